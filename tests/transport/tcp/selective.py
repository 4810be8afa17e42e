"""What tests of recovery with SACK have in common."""

from pystack.transport.tcp import Segment
from pystack.units import MS, Ns
from pystack.wire.seq import unwrap
from tests.transport.tcp.script import Script

RTT: Ns = 100 * MS


def sent(wire: Script) -> list[tuple[int, int]]:
    """What left since, as ranges; pure acknowledgements left out."""
    wire.drain()
    ranges = [(wire.relative_seq(segment), segment.length) for _, segment in wire.sent if segment.length]
    wire.sent.clear()
    return [(start, start + length) for start, length in ranges]


def full(first: int, last: int) -> list[tuple[int, int]]:
    """Segments of 1000."""
    return [(start, start + 1000) for start in range(first, last, 1000)]


def flying(wire: Script, count: int = 10, *, more: int = 200_000, **config: object) -> None:
    """`count` segments of 1000 left a round trip ago, the user has `more`."""
    config.setdefault("congestion", "newreno")
    wire.established(sack=True, rtt=RTT, send_buffer=1 << 20, **config)  # type: ignore[arg-type]
    wire.send(count * 1000 + more)
    assert sent(wire) == full(1, 1 + count * 1000)
    wire.advance(RTT)


def blocks(wire: Script, segment: Segment) -> list[tuple[int, int]]:
    """The SACK blocks of a segment, relative to the peer's numbers."""
    irs = wire.place.irs
    return [(unwrap(start, irs) - irs, unwrap(end, irs) - irs) for start, end in segment.sack]
