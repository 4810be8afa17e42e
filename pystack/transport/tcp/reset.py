"""The answer of a port where nobody is (RFC 9293 section 3.10.7.1)."""

from pystack.transport.tcp.segment import ACK, FIN, RST, SYN, Segment
from pystack.wire.seq import wrap

__all__ = ["reset_for"]


def reset_for(segment: Segment) -> Segment | None:
    """The RST that tells the sender of `segment` that no such connection exists; None for a RST."""
    flags = segment.flags
    if flags & RST:
        return None
    if flags & ACK:
        return Segment(segment.ack, 0, RST, 0)
    occupied = segment.length + bool(flags & SYN) + bool(flags & FIN)
    return Segment(0, wrap(segment.seq + occupied), RST | ACK, 0)
