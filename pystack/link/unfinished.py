"""Packets whose transport checksum the kernel left to hardware that they never reached.

The field then holds the folded pseudo-header sum, not inverted. So do packets that the kernel's receive offload merged
out of several that it had verified.
"""

from functools import lru_cache
from typing import Final

from pystack.link.base import Checksum, Offload
from pystack.wire.protocol import IPProtocol
from pystack.wire.pseudo import pseudo_sum

__all__ = ["holds_pseudo_sum", "unfinished"]

_FIELD: Final = {int(IPProtocol.TCP): 16, int(IPProtocol.UDP): 6}
"""Where the checksum lies in the transport header."""


@lru_cache(64)
def _partial(start: int, field: int) -> Offload:
    return Offload(checksum=Checksum.PARTIAL, csum_start=start, csum_offset=field)


def unfinished(frame: bytes | memoryview, ip: int = 0) -> Offload | None:
    """The marks of a frame whose IP header is at `ip` and whose transport checksum is unfinished.

    None when it is neither TCP nor UDP right behind an IPv4 header or a plain IPv6 header.
    """
    try:
        version = frame[ip] >> 4
        start, protocol = (ip + 4 * (frame[ip] & 0xF), frame[ip + 9]) if version == 4 else (ip + 40, frame[ip + 6])
    except IndexError:
        return None
    field = _FIELD.get(protocol)
    return None if field is None or len(frame) < start + field + 2 else _partial(start, field)


def holds_pseudo_sum(packet: bytes, offload: Offload) -> bool:
    """Whether the checksum field of an IPv4 packet says that it is unfinished."""
    field = offload.csum_start + offload.csum_offset
    total = pseudo_sum(packet[12:16], packet[16:20], packet[9]) + len(packet) - offload.csum_start
    return (total & 0xFFFF) + (total >> 16) == int.from_bytes(packet[field : field + 2], "big")
