"""What an acknowledgement costs does not depend on how much is in flight. Calls are counted, not time."""

from collections.abc import Callable
from typing import Any

import pytest

from pystack.transport.tcp import TCPConfig, TCPConnection
from pystack.transport.tcp.scoreboard import Range
from pystack.transport.tcp.segment import ACK, SYN, Segment
from pystack.units import MS
from pystack.wire.seq import wrap
from tests.transport.tcp.counting import calls

MSS = 1000
SMALL, LARGE = 64, 16_000
"""Segments in flight: 64 KB and 16 MB."""


def flight(segments: int, *, sack: bool = True, apart: bool = True) -> TCPConnection:
    """So many segments left, each at a time of its own unless they leave together."""
    size = segments * MSS
    config = TCPConfig(
        timestamps=False,
        sack=sack,
        nodelay=True,
        congestion="newreno",
        send_buffer=4 * size,
        send_buffer_max=4 * size,
    )
    tcp = TCPConnection(b"1234", b"5678", 1, 2, iss=0, mss=MSS, config=config)
    tcp.connect(0)
    tcp.take_output(0, 1)
    tcp.on_segment(Segment(0, 1, SYN | ACK, 65535, mss=MSS, window_scale=14, sack_permitted=sack), 0)
    tcp.on_segment(Segment(1, 1, ACK, 65535), 0)
    tcp.congestion.cwnd = 2 * size
    tcp.send(bytes(size + 50 * MSS), 0)
    for number in range(segments):
        tcp.congestion.cwnd = (number + 1) * MSS
        tcp.take_output(number if apart else 0, 1)
    assert tcp.info().in_flight == size
    return tcp


def visits(tcp: TCPConnection, action: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """Ranges whose state `action` looks at."""
    count = 0
    slot = Range.__dict__["state"]

    class Watched:
        def __get__(self, each: Range | None, owner: type) -> Any:
            nonlocal count
            count += 1
            return slot.__get__(each, owner)

        def __set__(self, each: Range, value: int) -> None:
            slot.__set__(each, value)

    with monkeypatch.context() as patch:
        patch.setattr(Range, "state", Watched())
        action()
    return count


def ack(number: int, *blocks: tuple[int, int]) -> Segment:
    return Segment(1, wrap(number), ACK, 65535, sack=blocks)


def turn(tcp: TCPConnection, segment: Segment, now: int) -> None:
    tcp.on_segment(segment, now)
    tcp.take_output(now, 4)


LATER = 100 * MS


def advance(tcp: TCPConnection) -> None:
    turn(tcp, ack(1 + MSS), LATER)


def first_block(tcp: TCPConnection) -> None:
    turn(tcp, ack(1, (1 + MSS, 1 + 2 * MSS)), LATER)


def blocks_far_apart(tcp: TCPConnection, more: int = 10) -> None:
    end = (tcp.snd_nxt - tcp.snd_una) * 3 // 4
    turn(tcp, ack(1, (end, end + more), (end // 2, end // 2 + more), (1 + 9 * MSS, 1 + 9 * MSS + more)), LATER)


def more_blocks_far_apart(tcp: TCPConnection) -> None:
    """The first time everything sent before them was taken for lost, each range once."""
    blocks_far_apart(tcp, 20)


def grown_block(tcp: TCPConnection) -> None:
    """A block over half of what is in flight has grown by a segment."""
    turn(tcp, ack(1, (1 + MSS, tcp.snd_nxt - tcp.snd_nxt // 2 // MSS * MSS + MSS)), LATER)


def hopeless_block(tcp: TCPConnection) -> None:
    """The same once more."""
    turn(tcp, ack(1, (1 + MSS, tcp.snd_nxt - tcp.snd_nxt // 2 // MSS * MSS)), LATER)


PREPARED: dict[Callable[[TCPConnection], None], Callable[[TCPConnection], None]] = {
    grown_block: hopeless_block,
    hopeless_block: hopeless_block,
    more_blocks_far_apart: blocks_far_apart,
}
ACKS = [advance, first_block, more_blocks_far_apart, grown_block, hopeless_block]


def prepared(segments: int, action: Callable[[TCPConnection], None]) -> TCPConnection:
    tcp = flight(segments)
    before = PREPARED.get(action)
    if before is not None:
        before(tcp)
        for now in range(3):  # what that set free is sent
            tcp.take_output(LATER + now, 1 << 20)
    return tcp


@pytest.mark.parametrize("action", ACKS, ids=lambda each: each.__name__)
def test_calls_per_acknowledgement_do_not_grow(action: Callable[[TCPConnection], None]) -> None:
    counts = []
    for segments in (SMALL, LARGE):
        tcp = prepared(segments, action)
        counts.append(calls(lambda tcp=tcp: action(tcp)))  # type: ignore[misc]
    assert counts[1] <= counts[0] + 20


@pytest.mark.parametrize("action", ACKS, ids=lambda each: each.__name__)
def test_ranges_visited_per_acknowledgement_do_not_grow(
    action: Callable[[TCPConnection], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    for segments in (SMALL, LARGE):
        tcp = prepared(segments, action)
        counts.append(visits(tcp, lambda tcp=tcp: action(tcp), monkeypatch))  # type: ignore[misc]
    assert counts[1] <= counts[0] + 20


def test_without_sack_neither() -> None:
    counts = []
    for segments in (SMALL, LARGE):
        tcp = flight(segments, sack=False)

        def duplicates(tcp: TCPConnection = tcp) -> None:
            for _ in range(5):
                turn(tcp, ack(1), LATER)
            turn(tcp, ack(1 + MSS), LATER)

        counts.append(calls(duplicates))
    assert counts[1] <= counts[0] + 20


def test_a_whole_recovery_costs_in_proportion_to_what_it_covers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tenth segment is lost; each range is looked at a bounded number of times until all is acknowledged."""
    counts = []
    for segments in (400, 4000):
        tcp = flight(segments)

        def recover(tcp: TCPConnection = tcp, segments: int = segments) -> None:
            now = LATER
            for number in range(1, segments):
                if number % 10:
                    start = 1 + (number // 10 * 10 + 1) * MSS
                    now += 1
                    turn(tcp, ack(1, (start, 1 + (number + 1) * MSS)), now)
            now += LATER
            turn(tcp, ack(1 + segments * MSS), now)

        counts.append(visits(tcp, recover, monkeypatch))
        assert tcp.snd_una >= 1 + segments * MSS
    assert counts[1] < 12 * counts[0]


def test_what_leaves_together_is_one_range() -> None:
    tcp = flight(1000, apart=False)
    assert len(tcp._board) == 1
    assert tcp.info().in_flight == 1000 * MSS


def test_hostile_blocks_store_no_more_than_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    """One octet each, everywhere: at most 1,024 runs, and two cuts for each of them."""
    tcp = flight(4000)
    before = len(tcp._board)
    for number in range(0, 4000, 2):
        for offset in (100, 300, 500):
            tcp.on_segment(ack(1, (1 + number * MSS + offset, 2 + number * MSS + offset)), LATER)
    assert tcp.info().sacked <= 1024
    assert len(tcp._board) <= before + 2 * 1024
    tcp.on_segment(ack(tcp.snd_nxt), LATER)
    assert tcp.info().unacked == 50 * MSS
    assert visits(tcp, lambda: tcp.on_segment(ack(tcp.snd_nxt), LATER), monkeypatch) == 0


def test_a_crowd_of_tiny_segments_is_bounded() -> None:
    """Beyond 1,024 ranges small ones are joined."""
    tcp = flight(1000)
    tcp.congestion.cwnd = 1 << 24
    tcp.on_segment(ack(tcp.snd_nxt), LATER)
    tcp.take_output(LATER, 1 << 20)
    tcp.on_segment(ack(tcp.snd_nxt), 2 * LATER)
    for number in range(5000):
        tcp.send(b"x", 2 * LATER)
        tcp.take_output(2 * LATER + number, 10)
    assert tcp.info().in_flight == 5000
    assert len(tcp._board) < 1100
    tcp.on_segment(ack(tcp.snd_nxt), 3 * LATER)
    assert tcp.info().unacked == 0
