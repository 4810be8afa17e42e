"""A peer that fills the largest window out of order with segments of one octet: what is stored is charged and bounded,
what a segment costs does not grow with what is stored, and what was kept is delivered."""

from random import Random

import pytest

from pystack.transport.tcp import TCPConfig, TCPConnection
from pystack.transport.tcp.reassembly import RANGE_COST
from pystack.transport.tcp.segment import ACK, SYN, Segment
from pystack.transport.tcp.sendbuffer import PIECE_COST
from pystack.wire.seq import wrap
from tests.transport.tcp.counting import calls

pytestmark = pytest.mark.untraced

WINDOW = 15 << 20
RANGES = TCPConfig().reassembly_ranges
IRS = 2**32 - 1000


STREAM = Random(1).randbytes(65521)


def octets(start: int, size: int) -> bytes:
    """Of a stream in which every misplacement shows."""
    at = start % len(STREAM)
    return STREAM[at : at + size] if at + size <= len(STREAM) else (STREAM * (size // len(STREAM) + 2))[at : at + size]


class Receiver:
    """A connection that offers the whole of a 15 MiB buffer; its user reads nothing meanwhile."""

    def __init__(self) -> None:
        config = TCPConfig(receive_buffer=WINDOW, receive_buffer_max=WINDOW, timestamps=False)
        self.tcp = tcp = TCPConnection(b"1234", b"5678", 1, 2, iss=0, mss=1460, config=config)
        tcp.connect(0)
        tcp.take_output(0, 10)
        tcp.on_segment(Segment(IRS, 1, SYN | ACK, 65535, mss=1460, window_scale=8, sack_permitted=True), 0)
        tcp.take_output(0, 10)
        self.window = tcp._window.edge - tcp.rcv_nxt

    def arrive(self, start: int, data: bytes) -> None:
        """`data`, which is `start` octets into the stream, and whatever the connection has to say to it."""
        tcp = self.tcp
        tcp.on_segment(Segment(wrap(IRS + 1 + start), 1, ACK, 65535, (data,), len(data)), 0)
        answers = tcp.take_output(0, 10)
        assert len(answers) <= 1
        assert all(len(each.sack) <= 4 for each in answers)

    @property
    def kept(self) -> list[tuple[int, int]]:
        """The ranges beyond gaps."""
        return [(start - IRS - 1, end - IRS - 1) for start, end in self.tcp._receive.beyond.ranges]


ORDERS = ("ascending", "descending", "at random", "overlapping")


def attack(order: str, window: int, count: int, rng: Random) -> list[tuple[int, int]]:
    """`count` times where a segment begins, and how long it is: of one octet with a gap of one on either side, or of
    one to three that overlap others."""
    if order == "overlapping":
        return [(rng.randrange(2, count), rng.randint(1, 3)) for _ in range(count)]
    places = range(2, window, 2)
    if order == "at random":
        return [(start, 1) for start in rng.sample(places, count)]
    first = places[:count]
    return [(start, 1) for start in (reversed(first) if order == "descending" else first)]


def fill(order: str, count: int) -> None:
    receiver = Receiver()
    tcp = receiver.tcp
    segments = attack(order, receiver.window, count or (receiver.window - 2) // 2, Random(order))
    tenth = len(segments) // 10
    costs = []
    for number, (start, size) in enumerate(segments):
        data = octets(start, size)
        if number % tenth in range(20, 40):
            costs.append(calls(lambda start=start, data=data: receiver.arrive(start, data)))  # type: ignore[misc]
        else:
            receiver.arrive(start, data)
        if number % 1000 == 0:
            assert tcp.memory <= WINDOW
    kept = receiver.kept
    held = sum(end - start for start, end in kept)
    assert len(kept) <= RANGES
    assert tcp.memory <= held + RANGE_COST * len(kept) + PIECE_COST * (len(kept) + held // 256)
    assert max(costs) <= 2 * min(costs[:20])
    if order != "overlapping":  # the first that came are kept, the others were refused
        assert kept == [(start, start + 1) for start, _ in sorted(segments[:RANGES])]
    assert tcp.readable == 0
    deliver(receiver, kept)


def deliver(receiver: Receiver, kept: list[tuple[int, int]]) -> None:
    """The octets in the gaps arrive, and what was kept is not needed again."""
    tcp = receiver.tcp
    at = read = 0
    for start, end in kept:
        for piece in range(at, start, 1460):
            receiver.arrive(piece, octets(piece, min(1460, start - piece)))
        assert tcp.rcv_nxt == IRS + 1 + end
        at = end
        if tcp.readable > 1 << 20:
            read += check(tcp, read)
    read += check(tcp, read)
    assert read == at
    assert tcp.memory == 0


def check(tcp: TCPConnection, read: int) -> int:
    """Read what is there, `read` octets into the stream."""
    data = tcp.recv(1 << 24, 0)
    assert data == octets(read, len(data))
    return len(data)


@pytest.mark.parametrize("order", ORDERS)
def test_segments_of_one_octet_out_of_order_cost_no_more_than_the_budget(order: str) -> None:
    fill(order, 20_000)


@pytest.mark.deep
@pytest.mark.parametrize("order", ORDERS)
def test_a_whole_window_of_them(order: str) -> None:
    """15 MiB, less what is held back for the cost of pieces: close to seven million segments."""
    fill(order, 0)
