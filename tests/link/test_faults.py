"""The bad network: each fault by itself, conservation, determinism, bounds, and an inner link that refuses."""

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.errors import LinkDown
from pystack.link.base import Checksum, Claims, Frame, GSOType, Link, LinkCapabilities, Medium, Offload
from pystack.link.faults import RETRY, Fate, FaultLink, Faults, flip_adjacent_bits, scatter_bits
from pystack.link.memory import MemoryLink
from pystack.units import MS, SECOND, Ns
from pystack.wire.checksum import internet_checksum

ADDRESSES = bytes.fromhex("020000000002 020000000001")
ARP = ADDRESSES + b"\x08\x06" + bytes(28)


def ip_frame(number: int, size: int = 40) -> Frame:
    return Frame((ADDRESSES + b"\x08\x00" + number.to_bytes(4, "big"), bytes(size - 18)))


def ip_frames(count: int, start: int = 0) -> list[Frame]:
    return [ip_frame(number) for number in range(start, start + count)]


def numbers(frames: Sequence[Frame]) -> list[int]:
    return [int.from_bytes(frame.to_bytes()[14:18], "big") for frame in frames]


def outbound(capacity: int = 1024, **settings: object) -> tuple[FaultLink, MemoryLink]:
    """A link with faults on the way out, and the end where its frames arrive."""
    a, b = MemoryLink.pair(capacity=capacity)
    return FaultLink(a, seed=1, outbound=Faults(**settings)), b  # type: ignore[arg-type]


def inbound(**settings: object) -> tuple[MemoryLink, FaultLink]:
    a, b = MemoryLink.pair()
    return a, FaultLink(b, seed=1, inbound=Faults(**settings))  # type: ignore[arg-type]


def run_out(link: FaultLink, arrived: Callable[[Ns], None], start: Ns = 0) -> Ns:
    """Do what a stack does until nothing is under way: call `receive` whenever `next_arrival` says."""
    now = start
    arrived(now)
    while (due := link.next_arrival()) is not None:
        now = max(now, due)
        arrived(now)
    return now


def drain_outbound(link: FaultLink, far: MemoryLink, start: Ns = 0) -> list[tuple[Ns, int]]:
    """(when, number) of each frame that reaches `far`."""
    got: list[tuple[Ns, int]] = []

    def turn(now: Ns) -> None:
        assert link.receive(64, now) == []
        got.extend((now, number) for number in numbers(far.receive(10_000, now)))

    run_out(link, turn, start)
    return got


def drain_inbound(link: FaultLink, start: Ns = 0) -> list[tuple[Ns, int]]:
    got: list[tuple[Ns, int]] = []
    run_out(link, lambda now: got.extend((now, number) for number in numbers(link.receive(64, now))), start)
    return got


def test_it_is_a_link_and_does_nothing_by_default() -> None:
    link, far = outbound()
    assert isinstance(link, Link)
    batch = ip_frames(3)
    assert link.send(batch, 5) == 3
    received = far.receive(64, 5)
    assert all(ours is theirs for ours, theirs in zip(batch, received, strict=True))
    far.send(batch, 5)
    assert link.receive(2, 5) == batch[:2]
    assert link.next_arrival() == 0
    assert link.receive(2, 5) == batch[2:]
    assert link.next_arrival() is None
    assert link.fileno() is None


def test_each_fate_befalls_its_frame() -> None:
    fates = [Fate.DELIVER, Fate.LOSE, Fate.DUPLICATE, Fate.REORDER, Fate.CORRUPT]
    link, far = outbound(fates=fates, reorder_gap=2)
    link.send(ip_frames(8), 0)
    frames = far.receive(64, 0)
    assert Counter(link.outbound.counters) == {
        "frames": 8,
        "lost": 1,
        "duplicated": 1,
        "reordered": 1,
        "corrupted": 1,
        "delivered": 8,
    }
    damaged = frames.pop(3)  # type: ignore[attr-defined]
    assert damaged.to_bytes() != ip_frame(4).to_bytes()
    assert damaged.to_bytes()[:14] == ADDRESSES + b"\x08\x00"
    assert numbers(frames) == [0, 2, 2, 5, 3, 6, 7]


def test_after_the_fates_the_chances_rule() -> None:
    link, far = outbound(fates=[Fate.DELIVER] * 3, loss=1.0)
    link.send(ip_frames(10), 0)
    assert numbers(far.receive(64, 0)) == [0, 1, 2]


def test_a_partition_can_begin_and_heal() -> None:
    link, far = outbound()
    link.outbound.faults = Faults(loss=1.0)
    link.send(ip_frames(3), 0)
    assert link.outbound.faults == Faults(loss=1.0)
    link.outbound.faults = Faults()
    link.send(ip_frames(2, start=3), 0)
    assert numbers(far.receive(64, 0)) == [3, 4]
    assert link.outbound.counters["lost"] == 3


def test_a_frame_held_back_goes_on_after_its_delay_when_none_follows() -> None:
    link, far = outbound(fates=[Fate.REORDER], reorder_delay=7 * MS, delay=2 * MS)
    link.send(ip_frames(2), 0)
    assert link.next_arrival() == 2 * MS
    assert drain_outbound(link, far) == [(2 * MS, 1), (9 * MS, 0)]


def test_frames_held_back_one_after_the_other_all_go_on() -> None:
    link, far = outbound(reorder=1.0, reorder_delay=7 * MS)
    link.send(ip_frames(4), 0)
    assert drain_outbound(link, far) == [(7 * MS, number) for number in range(4)]


def test_a_frame_held_back_in_front_of_a_slow_line_waits_for_its_time_only() -> None:
    link, far = outbound(fates=[Fate.REORDER], rate=1000, reorder_gap=3, reorder_delay=50 * MS)
    link.send(ip_frames(4), 0)  # 40 octets: 40 ms each
    assert [number for _, number in drain_outbound(link, far)] == [1, 0, 2, 3]


def test_delay_is_exact_in_both_directions() -> None:
    link, far = outbound(delay=30 * MS)
    link.send(ip_frames(2), 100)
    assert far.next_arrival() is None
    assert link.next_arrival() == 30 * MS + 100
    link.receive(64, 30 * MS + 99)
    assert far.next_arrival() is None
    link.receive(64, 30 * MS + 100)
    assert numbers(far.receive(64, 0)) == [0, 1]

    near, link = inbound(delay=30 * MS)
    near.send(ip_frames(2), 0)
    assert link.next_arrival() == 0
    assert link.receive(64, 100) == []
    assert link.next_arrival() == 30 * MS + 100
    assert link.receive(64, 30 * MS + 99) == []
    assert numbers(link.receive(64, 30 * MS + 100)) == [0, 1]
    assert link.next_arrival() is None


def test_delayed_frames_also_leave_with_the_next_send() -> None:
    link, far = outbound(delay=5)
    link.send(ip_frames(1), 0)
    link.send(ip_frames(1, start=1), 5)
    assert numbers(far.receive(64, 5)) == [0]


def test_jitter_spreads_but_never_reorders() -> None:
    link, far = outbound(delay=10 * MS, jitter=5 * MS)
    for number in range(200):
        link.send([ip_frame(number)], number * MS)
    got = drain_outbound(link, far, 200 * MS)
    link, far = outbound(delay=10 * MS, jitter=5 * MS)
    delays = []
    for number in range(50):
        now = number * SECOND
        link.send([ip_frame(number)], now)
        due = link.next_arrival()
        assert due is not None
        delays.append(due - now)
        link.receive(64, due)
    assert [number for _, number in got] == sorted(number for _, number in got)
    assert min(delays) >= 10 * MS
    assert max(delays) <= 15 * MS
    assert len(set(delays)) > 40


def test_rate_spaces_frames_and_a_full_queue_drops_the_last() -> None:
    link, far = outbound(rate=40_000, queue=2)  # 40 octets: 1 ms
    assert link.send(ip_frames(5), 0) == 5
    assert link.outbound.counters["queue_full"] == 2
    assert drain_outbound(link, far) == [(1 * MS, 0), (2 * MS, 1), (3 * MS, 2)]
    link.send(ip_frames(1), SECOND)
    assert link.next_arrival() == SECOND + 1 * MS


def test_no_queue_passes_frames_only_while_the_bottleneck_is_free() -> None:
    link, far = outbound(rate=40_000, queue=0)
    link.send(ip_frames(2), 0)
    link.send(ip_frames(2, start=2), 1 * MS)
    assert [number for _, number in drain_outbound(link, far, 1 * MS)] == [0, 2]


def test_the_queue_empties_as_time_passes() -> None:
    link, far = outbound(rate=40_000, queue=1)
    for number in range(4):
        link.send([ip_frame(number)], number * MS)
    assert [number for _, number in drain_outbound(link, far, 4 * MS)] == [0, 1, 2, 3]
    assert not link.outbound.counters["queue_full"]


def test_rate_and_delay_add_up() -> None:
    link, far = outbound(rate=40_000, delay=10 * MS)
    link.send(ip_frames(2), 0)
    assert drain_outbound(link, far) == [(11 * MS, 0), (12 * MS, 1)]


def test_too_many_under_way_are_dropped_and_counted() -> None:
    link, far = outbound(delay=1 * MS, in_flight=3)
    assert link.send(ip_frames(5), 0) == 5
    assert link.outbound.counters["line_full"] == 2
    assert drain_outbound(link, far) == [(1 * MS, number) for number in range(3)]


def test_arp_may_be_lost_and_late_but_is_not_damaged() -> None:
    link, far = outbound(corrupt=1.0, delay=1 * MS)
    link.send([Frame((ARP,))], 0)
    link.receive(64, 1 * MS)
    assert [frame.to_bytes() for frame in far.receive(64, 0)] == [ARP]
    assert not link.outbound.counters["corrupted"]
    link, far = outbound(loss=1.0)
    link.send([Frame((ARP,))], 0)
    assert far.next_arrival() is None


def test_another_model_of_corruption_may_be_given() -> None:
    link, far = outbound(corrupt=1.0, corruption=scatter_bits)
    link.send([Frame((ARP,))], 0)
    (damaged,) = far.receive(64, 0)
    assert damaged.to_bytes() != ARP
    assert len(damaged) == len(ARP)
    assert not scatter_bits(bytearray(), Medium.IP, Random(0))


@given(st.binary(min_size=1, max_size=80), st.integers())
def test_flipped_bits_are_adjacent_and_always_caught(packet: bytes, seed: int) -> None:
    frame = bytearray(packet)
    assert flip_adjacent_bits(frame, Medium.IP, Random(seed))
    difference = int.from_bytes(frame, "big") ^ int.from_bytes(packet, "big")
    run = f"{difference:b}".rstrip("0")
    assert run == "1" * len(run)
    assert 1 <= len(run) <= 8
    assert internet_checksum(frame) != internet_checksum(packet)


def test_nothing_to_flip_in_an_empty_packet() -> None:
    assert not flip_adjacent_bits(bytearray(), Medium.IP, Random(0))
    assert not flip_adjacent_bits(bytearray(ADDRESSES + b"\x08\x00"), Medium.ETHERNET, Random(0))


def test_the_sender_s_octets_are_not_touched() -> None:
    link, _ = outbound(corrupt=1.0)
    frame = ip_frame(1)
    before = frame.to_bytes()
    link.send([frame], 0)
    assert frame.to_bytes() == before


@pytest.mark.parametrize("chance", ["loss", "duplicate", "reorder", "corrupt"])
def test_chances_come_out_about_right(chance: str) -> None:
    link, _ = outbound(capacity=10_000, **{chance: 0.1})
    link.send(ip_frames(4000), 0)
    past = {"loss": "lost", "duplicate": "duplicated", "reorder": "reordered", "corrupt": "corrupted"}[chance]
    assert 300 <= link.outbound.counters[past] <= 500


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": -0.1},
        {"loss": 1.1},
        {"duplicate": 2},
        {"reorder": 2},
        {"corrupt": 2},
        {"delay": -1},
        {"jitter": -1},
        {"rate": 0},
        {"queue": -1},
        {"reorder_gap": 0},
        {"reorder_delay": -1},
        {"in_flight": 0},
    ],
)
def test_impossible_faults_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Faults(**settings)  # type: ignore[arg-type]


chances = st.sampled_from([0.0, 0.0, 0.05, 0.3, 1.0])
times = st.integers(0, 20 * MS)
faults = st.builds(
    Faults,
    loss=chances,
    duplicate=chances,
    reorder=chances,
    corrupt=chances,
    delay=times,
    jitter=times,
    rate=st.none() | st.integers(1, 10**9),
    queue=st.integers(0, 20),
    reorder_gap=st.integers(1, 5),
    reorder_delay=times,
    in_flight=st.integers(1, 40),
    fates=st.lists(st.sampled_from(Fate), max_size=20),
)
departures = st.lists(st.tuples(times, st.integers(1, 6)), max_size=20)


@given(faults, departures, st.integers(0, 2**32), st.booleans())
def test_every_frame_is_accounted_for_and_the_same_seed_tells_the_same_story(
    settings: Faults, steps: list[tuple[Ns, int]], seed: int, outwards: bool
) -> None:
    def story() -> tuple[list[tuple[Ns, bytes]], Counter[str]]:
        near, far = MemoryLink.pair(capacity=10_000)
        link = FaultLink(near, seed=seed, **{"outbound" if outwards else "inbound": settings})
        line = link.outbound if outwards else link.inbound
        got: list[tuple[Ns, bytes]] = []

        def turn(now: Ns) -> None:
            frames = link.receive(8, now)
            frames = far.receive(1000, now) if outwards else frames
            got.extend((now, frame.to_bytes()) for frame in frames)

        now = sent = 0
        for wait, count in steps:
            now += wait
            (link if outwards else far).send(ip_frames(count, sent), now)
            turn(now)
            sent += count
            assert len(line) <= settings.in_flight
        run_out(link, turn, now)
        counters = line.counters
        assert len(line) == 0
        assert counters["frames"] == sent
        assert counters["delivered"] == len(got)
        gone = counters["lost"] + counters["queue_full"] + counters["line_full"]
        assert counters["delivered"] == sent + counters["duplicated"] - gone
        return got, counters

    assert story() == story()


@given(st.lists(st.sampled_from([Fate.DELIVER, Fate.LOSE, Fate.DUPLICATE]), max_size=30), times, times, st.integers())
def test_without_reordering_order_is_kept_whatever_else_happens(
    fates: list[Fate], delay: Ns, jitter: Ns, seed: int
) -> None:
    near, far = MemoryLink.pair()
    link = FaultLink(near, seed=seed, outbound=Faults(fates=fates, delay=delay, jitter=jitter))
    for number in range(len(fates)):
        link.send([ip_frame(number)], number * MS)
    got = [number for _, number in drain_outbound(link, far, len(fates) * MS)]
    copies = {Fate.DELIVER: 1, Fate.LOSE: 0, Fate.DUPLICATE: 2}
    assert got == [number for number, fate in enumerate(fates) for _ in range(copies[fate])]


@given(st.lists(st.sampled_from(Fate), min_size=1, max_size=40), st.integers(1, 5))
def test_a_frame_held_back_is_overtaken_by_so_many_and_no_more(fates: list[Fate], gap: int) -> None:
    """What comes in after it in order, by the counting of the line itself."""
    fates = [Fate.REORDER if fate is Fate.REORDER else Fate.DELIVER for fate in fates]
    link, far = outbound(fates=fates, reorder_gap=gap, delay=1)
    link.send(ip_frames(len(fates)), 0)
    got = [number for _, number in drain_outbound(link, far)]
    assert sorted(got) == list(range(len(fates)))
    in_order = [number for number in got if fates[number] is Fate.DELIVER]
    assert in_order == sorted(in_order)
    for number, fate in enumerate(fates):
        if fate is Fate.REORDER:
            overtaken = sum(1 for other in got[: got.index(number)] if other > number and fates[other] is Fate.DELIVER)
            later = sum(1 for other in range(number + 1, len(fates)) if fates[other] is Fate.DELIVER)
            assert overtaken == min(gap, later)


def test_directions_and_seeds_are_independent() -> None:
    def survivors(seed: int, outbound_loss: float, *, outwards: bool) -> list[int]:
        near, far = MemoryLink.pair()
        link = FaultLink(near, seed=seed, outbound=Faults(loss=outbound_loss), inbound=Faults(loss=0.5))
        for number in range(100):
            link.send([ip_frame(number)], 0)
            far.send([ip_frame(number)], 0)
        return numbers(far.receive(1000, 0) if outwards else link.receive(1000, 0))

    assert survivors(1, 0.5, outwards=False) == survivors(1, 0.0, outwards=False)
    assert survivors(1, 0.5, outwards=False) != survivors(2, 0.5, outwards=False)
    assert survivors(1, 0.5, outwards=False) != survivors(1, 0.5, outwards=True)


def test_an_inner_link_that_refuses_holds_the_sender_back_and_loses_nothing() -> None:
    link, far = outbound(capacity=2)
    woken: list[bool] = []
    link.set_waker(lambda: woken.append(True))
    assert link.send(ip_frames(5), 0) == 5
    assert link.send(ip_frames(1, start=5), 0) == 0
    assert link.next_arrival() == RETRY
    link.receive(64, 3)
    assert link.next_arrival() == 3 + RETRY
    got = numbers(far.receive(64, 3))
    assert woken
    link.receive(64, 3)
    got += numbers(far.receive(64, 3))
    assert link.send(ip_frames(1, start=5), 4) == 1
    got += numbers(far.receive(64, 4))
    assert got == [0, 1, 2, 3, 4, 5]
    assert link.next_arrival() is None


def test_delayed_frames_that_are_refused_are_offered_again_and_stay_bounded() -> None:
    link, far = outbound(capacity=1, delay=1 * MS, in_flight=300)
    for _ in range(4):
        link.send(ip_frames(100), 0)
    assert link.outbound.counters["line_full"] == 100
    got = drain_outbound(link, far)
    assert [number for _, number in got] == list(range(100)) * 3
    assert got[-1][0] == 1 * MS + 299 * RETRY


def test_a_budget_is_kept_and_what_is_due_goes_first() -> None:
    near, link = inbound(duplicate=1.0)
    near.send(ip_frames(3), 0)
    got = []
    while link.next_arrival() is not None:
        frames = link.receive(2, 0)
        assert 1 <= len(frames) <= 2
        got += numbers(frames)
    assert got == [0, 0, 1, 1, 2, 2]


def test_a_late_frame_that_no_longer_waits_is_announced_at_once() -> None:
    near, link = inbound(fates=[Fate.REORDER], reorder_gap=1, reorder_delay=SECOND)
    near.send(ip_frames(2), 0)
    assert numbers(link.receive(1, 5)) == []
    assert numbers(link.receive(1, 5)) == [1]
    assert link.next_arrival() == 0
    assert numbers(link.receive(1, 5)) == [0]


def test_offload_is_finished_before_fates_are_met() -> None:
    payload = bytes(range(200)) * 5
    tcp = struct.pack("!HHIIHHHH", 1, 2, 3, 4, 5 << 12 | 0x10, 500, 0, 0)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40 + 1000, 9, 0x4000, 64, 6, 0, b"\xc0\0\2\1", b"\xc0\0\2\2")
    whole = Frame((ip + tcp, payload), Offload(Checksum.PARTIAL, 20, 16, GSOType.TCPV4, 300, 40))
    near, far = MemoryLink.pair(medium=Medium.IP, tx_checksum=True, rx_checksum=True, tso=65_535)
    link = FaultLink(near, seed=0, outbound=Faults(fates=[Fate.DELIVER, Fate.LOSE]))
    assert link.capabilities.tx_checksum
    assert link.capabilities.tso == 65_535
    assert not link.capabilities.rx_checksum
    assert link.send([whole], 0) == 1
    frames = far.receive(64, 0)
    assert [frame.to_bytes()[40:] for frame in frames] == [payload[:300], payload[600:900], payload[900:]]
    assert all(frame.offload is None for frame in frames)
    assert all(internet_checksum(frame.to_bytes()[:20]) == 0 for frame in frames)
    far.send([whole], 0)
    assert len(link.receive(64, 0)) == 4


def test_marks_that_do_not_fit_drop_the_frame_and_count_it() -> None:
    link, far = outbound()
    broken = Frame((b"short",), Offload(Checksum.PARTIAL, 4, 16))
    assert link.send([broken, ip_frame(1)], 0) == 2
    assert numbers(far.receive(64, 0)) == [1]
    assert link.outbound.counters["malformed"] == 1
    far.send([broken], 0)
    assert link.receive(64, 0) == []
    assert link.inbound.counters["malformed"] == 1


def test_closing_closes_the_inner_link_and_loses_what_is_under_way() -> None:
    link, far = outbound(delay=1 * MS)
    link.send(ip_frames(2), 0)
    link.close()
    link.close()
    assert link.next_arrival() is None
    assert far.next_arrival() is None
    with pytest.raises(LinkDown):
        link.receive(64, 2 * MS)


class KernelLink:
    """A link with a descriptor and claims, as a raw one has."""

    def __init__(self) -> None:
        self.capabilities = LinkCapabilities(Medium.IP, 1500, shares_host=True)
        self.claimed: list[tuple[int, bytes, int]] = []

    def send(self, frames: Sequence[Frame], now: Ns) -> int:
        return 0

    def receive(self, budget: int, now: Ns) -> Sequence[Frame]:
        return ()

    def next_arrival(self) -> None:
        return None

    def fileno(self) -> int:
        return 42

    def set_waker(self, callback: Callable[[], None] | None) -> None:
        pass

    def claim(self, protocol: int, address: bytes, port: int) -> None:
        self.claimed.append((protocol, address, port))

    def release(self, protocol: int, address: bytes, port: int) -> None:
        self.claimed.remove((protocol, address, port))

    def close(self) -> None:
        pass


def test_descriptor_and_claims_are_the_inner_link_s() -> None:
    inner = KernelLink()
    link = FaultLink(inner, seed=0)
    assert isinstance(link, Claims)
    assert link.fileno() == 42
    assert link.capabilities.shares_host
    link.claim(6, b"\x7f\0\0\1", 80)
    assert inner.claimed == [(6, b"\x7f\0\0\1", 80)]
    link.release(6, b"\x7f\0\0\1", 80)
    assert inner.claimed == []
    assert link.send(ip_frames(1), 7) == 1
    assert link.next_arrival() == 7 + RETRY  # the pump may not be polling for writability


def test_where_the_inner_link_knows_no_claims_every_port_is_free() -> None:
    link, _ = outbound()
    link.claim(6, b"\x7f\0\0\1", 80)
    link.release(6, b"\x7f\0\0\1", 80)
