"""The in-memory cable, hub and loopback: bounds, order, wake-ups, closing, two threads."""

import errno
import threading
from collections import deque
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.errors import LinkDown
from pystack.link.base import Checksum, Frame, Link, Medium, Offload
from pystack.link.memory import LoopbackLink, MemoryHub, MemoryLink
from pystack.wire.mac import MACAddress


def frames(*contents: bytes) -> list[Frame]:
    return [Frame((content,)) for content in contents]


def numbered(count: int, start: int = 0) -> list[Frame]:
    return frames(*(number.to_bytes(4, "big") for number in range(start, start + count)))


class Bell:
    """A waker that counts."""

    def __init__(self, link: Link) -> None:
        self.rung = 0
        link.set_waker(self)

    def __call__(self) -> None:
        self.rung += 1


def test_everything_here_is_a_link() -> None:
    a, b = MemoryLink.pair()
    links: Sequence[Link] = (a, b, MemoryHub().port(), LoopbackLink())
    for link in links:
        assert isinstance(link, Link)
        assert link.fileno() is None


def test_frames_cross_in_order_as_the_very_objects_that_were_sent() -> None:
    a, b = MemoryLink.pair()
    sent = [Frame((b"head", b"tail"), Offload(checksum=Checksum.PARTIAL)), *numbered(3)]
    assert a.send(sent, 0) == 4
    received = [*b.receive(3, 0), *b.receive(3, 0)]
    assert all(ours is theirs for ours, theirs in zip(sent, received, strict=True))
    assert b.receive(64, 0) == []
    assert a.receive(64, 0) == []


def test_next_arrival_is_past_while_frames_wait() -> None:
    a, b = MemoryLink.pair()
    assert b.next_arrival() is None
    a.send(numbered(2), 7)
    assert b.next_arrival() == 0
    b.receive(1, 7)
    assert b.next_arrival() == 0
    b.receive(1, 7)
    assert b.next_arrival() is None


def test_a_full_end_takes_a_prefix_and_refuses_the_rest() -> None:
    a, b = MemoryLink.pair(capacity=4)
    batch = numbered(6)
    assert a.send(batch, 0) == 4
    assert a.send(batch[4:], 0) == 0
    assert b.receive(64, 0) == batch[:4]
    assert a.send(batch[4:], 0) == 2
    assert b.receive(64, 0) == batch[4:]


def test_the_reader_is_woken_by_each_send_that_queues_something() -> None:
    a, b = MemoryLink.pair(capacity=2)
    bell = Bell(b)
    a.send([], 0)
    assert bell.rung == 0
    a.send(numbered(2), 0)
    assert bell.rung == 1
    a.send(numbered(1), 0)
    assert bell.rung == 1
    b.set_waker(None)
    b.receive(64, 0)
    a.send(numbered(1), 0)
    assert bell.rung == 1


def test_a_refused_sender_is_woken_once_when_room_returns() -> None:
    a, b = MemoryLink.pair(capacity=2)
    bell = Bell(a)
    a.send(numbered(2), 0)
    b.receive(1, 0)
    assert bell.rung == 0  # never refused: nothing to be told
    a.send(numbered(2), 0)
    b.receive(1, 0)
    assert bell.rung == 1
    b.receive(1, 0)
    assert bell.rung == 1


def test_stations_are_distinct_local_and_the_same_in_every_run() -> None:
    a, b = MemoryLink.pair()
    assert a.capabilities.mac == MACAddress("02:00:00:00:00:01")
    assert b.capabilities.mac == MACAddress("02:00:00:00:00:02")
    macs = MACAddress("02:aa:00:00:00:01"), MACAddress("02:aa:00:00:00:02")
    a, b = MemoryLink.pair(macs=macs)
    assert (a.capabilities.mac, b.capabilities.mac) == macs
    a, b = MemoryLink.pair(macs=("02:aa:00:00:00:01", "02:aa:00:00:00:02"))
    assert (a.capabilities.mac, b.capabilities.mac) == macs


def test_an_ip_medium_has_no_station() -> None:
    a, _ = MemoryLink.pair(mtu=1280, medium=Medium.IP)
    assert a.capabilities.mac is None
    assert a.capabilities.medium is Medium.IP
    assert a.capabilities.mtu == 1280


def test_offload_is_off_unless_asked_for() -> None:
    a, _ = MemoryLink.pair()
    assert (a.capabilities.tx_checksum, a.capabilities.rx_checksum, a.capabilities.tso) == (False, False, 0)
    assert not a.capabilities.shares_host
    _, b = MemoryLink.pair(tx_checksum=True, rx_checksum=True, tso=65_535)
    assert (b.capabilities.tx_checksum, b.capabilities.rx_checksum, b.capabilities.tso) == (True, True, 65_535)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tso": 1000}, "tx_checksum"),
        ({"tso": 65_536, "tx_checksum": True}, "tso"),
        ({"mtu": 67}, "mtu"),
        ({"mtu": 65_536}, "mtu"),
        ({"capacity": 0}, "capacity"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MemoryLink.pair(**settings)  # type: ignore[arg-type]


def test_closing_loses_what_waits_there_and_what_is_sent_there() -> None:
    a, b = MemoryLink.pair(capacity=2)
    a.send(numbered(2), 0)
    b.send(numbered(1), 0)
    b.close()
    b.close()
    assert a.send(numbered(64), 0) == 64
    assert len(a.receive(64, 0)) == 1  # it was on the cable already
    assert b.next_arrival() is None
    with pytest.raises(LinkDown) as sending:
        b.send(numbered(1), 0)
    with pytest.raises(LinkDown) as receiving:
        b.receive(1, 0)
    assert sending.value.errno == receiving.value.errno == errno.ENETDOWN


def test_closing_wakes_a_refused_sender() -> None:
    a, b = MemoryLink.pair(capacity=1)
    bell = Bell(a)
    assert a.send(numbered(2), 0) == 1
    b.close()
    assert bell.rung == 1
    assert a.send(numbered(2), 0) == 2


def test_loopback_returns_what_it_is_given() -> None:
    link = LoopbackLink(capacity=2)
    bell = Bell(link)
    batch = numbered(3)
    assert link.send(batch, 0) == 2
    assert bell.rung == 1
    assert link.receive(64, 0) == batch[:2]
    assert bell.rung == 2
    assert link.send(batch[2:], 0) == 1
    link.close()
    with pytest.raises(LinkDown):
        link.receive(1, 0)


def test_loopback_leaves_checksums_undone_unless_asked() -> None:
    assert LoopbackLink().capabilities.tx_checksum
    assert LoopbackLink().capabilities.rx_checksum
    assert not LoopbackLink(checksums=True).capabilities.tx_checksum
    assert LoopbackLink().capabilities.medium is Medium.IP


def test_a_hub_gives_a_frame_to_every_other_port() -> None:
    hub = MemoryHub(mtu=9000)
    a, b, c = (hub.port() for _ in range(3))
    assert {str(port.capabilities.mac) for port in (a, b, c)} == {f"02:00:00:00:00:0{n}" for n in (1, 2, 3)}
    assert a.capabilities.mtu == 9000
    batch = numbered(2)
    assert a.send(batch, 0) == 2
    assert a.receive(64, 0) == []
    assert b.receive(64, 0) == batch
    assert c.receive(64, 0) == batch


def test_a_full_hub_port_misses_frames_and_counts_them() -> None:
    hub = MemoryHub(capacity=2)
    a, b, c = (hub.port() for _ in range(3))
    bells = Bell(b), Bell(c)
    assert a.send(numbered(2), 0) == 2
    b.receive(64, 0)
    assert a.send(numbered(1), 0) == 1
    assert (b.missed, c.missed) == (0, 1)
    assert [bell.rung for bell in bells] == [2, 1]


def test_an_unplugged_port_is_no_longer_served() -> None:
    hub = MemoryHub(capacity=1)
    a, b = hub.port(), hub.port(MACAddress("02:bb:00:00:00:01"))
    assert b.capabilities.mac == MACAddress("02:bb:00:00:00:01")
    b.close()
    b.close()
    assert a.send(numbered(5), 0) == 5
    assert b.missed == 0
    with pytest.raises(LinkDown):
        b.send(numbered(1), 0)
    assert hub.port().capabilities.mac == MACAddress("02:00:00:00:00:03")


@given(st.lists(st.one_of(st.integers(1, 5), st.integers(-5, -1)), max_size=60), st.integers(1, 7))
def test_a_cable_is_a_bounded_queue(steps: list[int], capacity: int) -> None:
    """Positive steps send, negative ones receive; a plain deque says what must happen."""
    a, b = MemoryLink.pair(capacity=capacity)
    model: deque[Frame] = deque()
    number = 0
    for step in steps:
        if step > 0:
            batch = numbered(step, number)
            number += step
            taken = a.send(batch, 0)
            assert taken == min(step, capacity - len(model))
            model.extend(batch[:taken])
        else:
            got = b.receive(-step, 0)
            assert got == [model.popleft() for _ in range(min(-step, len(model)))]
        assert (b.next_arrival() is None) == (not model)


class Interrupted(list[Frame]):
    """A batch that lets the other thread have its turn when it is looked at for the `moment`-th time."""

    def __init__(self, batch: list[Frame], moment: int, turn: Callable[[], object]) -> None:
        super().__init__(batch)
        self._moments = iter([False] * moment + [True])
        self._turn = turn

    def __len__(self) -> int:
        if next(self._moments, False):
            self._turn()
        return super().__len__()


@pytest.mark.parametrize("moment", range(5))
def test_a_reader_that_empties_the_queue_while_a_sender_is_refused_costs_no_wake_up(moment: int) -> None:
    a, b = MemoryLink.pair(capacity=2)
    bell = Bell(a)
    a.send(numbered(2), 0)
    batch = numbered(2, start=2)
    if a.send(Interrupted(batch, moment, lambda: b.receive(64, 0)), 0) < len(batch):
        b.receive(64, 0)
        assert bell.rung


@pytest.mark.parametrize("capacity", [1, 3, 64])
def test_two_threads_lose_nothing_and_no_wake_up(capacity: int) -> None:
    """Each side waits for nothing but its waker, so a lost wake-up would leave it hanging."""
    a, b = MemoryLink.pair(capacity=capacity)
    count = 5_000
    room, arrival = threading.Event(), threading.Event()
    a.set_waker(room.set)
    b.set_waker(arrival.set)
    batch = numbered(count)
    woken: list[bool] = []

    def write() -> None:
        sent = 0
        while sent < count:
            room.clear()
            taken = a.send(batch[sent : sent + 5], 0)
            sent += taken
            if not taken:
                woken.append(room.wait(30))

    got: list[Frame] = []
    writer = threading.Thread(target=write)
    writer.start()
    while len(got) < count:
        arrival.clear()
        received = b.receive(4, 0)
        assert len(received) <= capacity
        got.extend(received)
        if not received:
            assert arrival.wait(30)
    writer.join()
    assert got == batch
    assert all(woken)


def test_many_threads_never_overfill_a_hub_port() -> None:
    hub = MemoryHub(capacity=8)
    reader = hub.port()
    writers = [hub.port() for _ in range(4)]
    threads = [
        threading.Thread(target=lambda port=port: [port.send(numbered(3), 0) for _ in range(300)]) for port in writers
    ]
    for thread in threads:
        thread.start()
    got = 0
    while any(thread.is_alive() for thread in threads):
        waiting = reader.receive(64, 0)
        assert len(waiting) <= 8
        got += len(waiting)
    got += len(reader.receive(64, 0))
    assert got + reader.missed == 4 * 300 * 3
