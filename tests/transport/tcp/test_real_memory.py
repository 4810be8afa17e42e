"""What the buffers are charged is what they cost: the interpreter's own count of memory against `cost`."""

import gc
import tracemalloc
from collections.abc import Callable
from typing import TypeVar

import pytest

from pystack.link.pool import FramePool
from pystack.transport.tcp import TCPConfig, TCPConnection
from pystack.transport.tcp.recvbuffer import ReceiveBuffer
from pystack.transport.tcp.scoreboard import Scoreboard
from pystack.transport.tcp.segment import ACK, SYN, Segment
from pystack.transport.tcp.sendbuffer import PIECE_COST, SendBuffer

PIECES = 1000
FACTOR = 1.5
"""What is stored takes at most so much more than it is charged,"""
FIXED = 4096
"""besides what a buffer takes that holds little."""
MUCH = 1 << 27
HEADERS = 66
FRAME_MAX = 65_550

T = TypeVar("T")


def real(make: Callable[[], T]) -> tuple[T, int]:
    """What `make` makes, and the octets that it takes."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        made = make()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return made, after - before


def payload(size: int) -> tuple[memoryview]:
    """As a link brings it: a view of the frame around it."""
    return (memoryview(bytes(HEADERS + size))[HEADERS:],)


def assert_honest(cost: int, octets: int) -> None:
    assert octets <= FACTOR * cost + FIXED
    assert cost <= FACTOR * octets + FIXED


@pytest.mark.parametrize(("gap", "ranges"), [(0, 1), (1, PIECES)])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("size", [1, 100, 511, 512, 1448, 16_000])
def test_pieces_beyond_a_gap(size: int, descending: bool, gap: int, ranges: int) -> None:
    places = [2 + number * (size + gap) for number in range(PIECES)]

    def fill() -> ReceiveBuffer:
        buffer = ReceiveBuffer(0, MUCH, PIECES)
        for start in reversed(places) if descending else places:
            assert buffer.insert(start, payload(size), size)
        return buffer

    buffer, octets = real(fill)
    assert len(buffer.beyond.ranges) == ranges
    assert_honest(buffer.cost, octets)


@pytest.mark.parametrize("size", [1, 100, 511, 512, 1448, 16_000])
def test_what_the_user_has_not_read(size: int) -> None:
    def fill() -> ReceiveBuffer:
        buffer = ReceiveBuffer(0, MUCH, PIECES)
        for _ in range(PIECES):
            buffer.append(payload(size), size)
        return buffer

    buffer, octets = real(fill)
    assert buffer.readable == PIECES * size
    assert_honest(buffer.cost, octets)


@pytest.mark.parametrize("size", [1448, 16_000, 33_000, 60_000])
def test_what_came_in_super_segments(size: int) -> None:
    """The largest ones stay in the memory that they were read into, which may be twice as large."""

    def fill() -> ReceiveBuffer:
        pool = FramePool(FRAME_MAX)
        buffer = ReceiveBuffer(0, MUCH, PIECES)
        for _ in range(PIECES // 10):
            buffer.append((memoryview(pool.frame(HEADERS + size))[HEADERS:],), size)
        return buffer

    buffer, octets = real(fill)
    assert octets <= 2 * buffer.cost + FRAME_MAX


def test_a_part_of_a_super_segment_does_not_hold_all_of_it() -> None:
    """Most of each was there before: what is kept is the end, not the frame of 64 KB."""
    window = 1 << 20
    config = TCPConfig(receive_buffer=window, receive_buffer_max=window, timestamps=False)
    tcp = TCPConnection(b"1234", b"5678", 1, 2, iss=0, mss=1460, config=config)
    tcp.connect(0)
    tcp.take_output(0, 1)
    tcp.on_segment(Segment(0, 1, SYN | ACK, 65535, mss=1460, window_scale=8, sack_permitted=True), 0)
    size, new = 60_000, 600
    tcp.on_segment(Segment(1, 1, ACK, 65535, payload(size), size), 0)
    tcp.recv(size, 0)

    def fill() -> None:
        for number in range(1, 101):
            tcp.on_segment(Segment(1 + number * new, 1, ACK, 65535, payload(size), size), 0)
            tcp.take_output(0, 10)

    _, octets = real(fill)
    assert tcp.readable == 100 * new
    assert octets <= FACTOR * tcp.memory + FIXED


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("size", [1, 100, 1448, 4095, 4096, 16_000])
def test_what_the_peer_has_not_acknowledged(size: int, together: bool) -> None:
    def fill() -> SendBuffer:
        buffer = SendBuffer(0, MUCH)
        for _ in range(PIECES):
            assert buffer.append(bytes(size), MUCH) == size
            if not together:  # each is sent before the next one is given
                buffer.slices(buffer.end - size, size)
        return buffer

    buffer, octets = real(fill)
    assert len(buffer) == PIECES * size
    assert octets <= FACTOR * buffer.cost + FIXED


def test_what_is_known_of_segments_in_flight() -> None:
    """The scoreboard is not charged, but bounded by the number of ranges, and a range is a little more than a piece."""

    def fill() -> Scoreboard:
        board = Scoreboard(PIECES)
        for number in range(20 * PIECES):
            board.on_sent(number, number + 1, 1, number)
        return board

    board, octets = real(fill)
    assert len(board) < 1.1 * PIECES
    assert octets < 2 * PIECE_COST * len(board) + FIXED


def test_what_is_known_of_segments_that_the_peer_reports() -> None:
    """Every other one, so that each is a run of its own."""

    def fill() -> Scoreboard:
        board = Scoreboard(PIECES)
        board.on_sent(0, 2000 * PIECES, 1000, 0)
        for start in range(0, 2000 * PIECES, 2000):
            board.begin()
            board.sack(start + 1000, start + 2000)
        return board

    board, octets = real(fill)
    assert len(board) == 2 * PIECES
    assert octets < 2 * PIECE_COST * len(board) + FIXED
