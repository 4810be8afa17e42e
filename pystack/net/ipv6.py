"""IPv6 datagrams: judging what arrives, writing headers for what leaves (RFC 8200). Extension headers are dropped."""

import struct

from typing_extensions import Buffer

from pystack.errors import DecodeError
from pystack.link.base import Checksum, Frame
from pystack.net.family import IPV6
from pystack.net.interface import Interface
from pystack.net.packet import IPPacket, first_octets
from pystack.wire.ipv6 import pack_ipv6, unpack_ipv6
from pystack.wire.protocol import IPProtocol

__all__ = ["NEXT_HEADER_AT", "HeaderTemplate", "accept_ipv6"]

NEXT_HEADER_AT = 6
"""Where in the header the next one's number is: what a parameter problem points at."""

_HEADER = IPV6.header_octets
_DROPPED: dict[int, str] = {
    IPProtocol.HOPOPT: "ipv6.extension",
    IPProtocol.IPV6_ROUTE: "ipv6.extension",
    IPProtocol.IPV6_OPTS: "ipv6.extension",
    IPProtocol.IPV6_FRAG: "ipv6.fragment",
    IPProtocol.IPV6_NONXT: "ipv6.no_next_header",  # RFC 8200, 4.7: nothing follows, and nobody is told
}


def accept_ipv6(frame: Frame, view: memoryview, interface: Interface, link_broadcast: bool) -> IPPacket:
    """The datagram in `frame` if it is whole, valid and ours; `view` is the first buffer from the IP header on.

    Raises `DecodeError` with the name of the rule that it breaks. The hop limit is not looked at: only those who
    forward a packet do (RFC 8200, section 3).
    """
    buffers, offload = frame.buffers, frame.offload
    traffic_class, _, length, next_header, hop_limit, src, dst = unpack_ipv6(view)
    if len(buffers) == 1:
        payload: tuple[Buffer, ...] = (view[_HEADER : _HEADER + length],)  # what follows is the link's padding
        if len(view) < _HEADER + length:
            raise DecodeError("ipv6.truncated", f"{len(view)} of {_HEADER + length} octets")
    else:
        payload = first_octets((view[_HEADER:], *buffers[1:]), length, "ipv6.truncated")
    group = interface.destinations.get(dst)
    if group is None:
        raise DecodeError("ipv6.martian" if IPV6.is_reserved(dst) else "ipv6.not_ours")
    if link_broadcast and not group:
        raise DecodeError("ipv6.link_broadcast")
    if not 0 < src[0] < 0xFF and _is_martian(src, interface):
        raise DecodeError("ipv6.martian")
    if src in interface.impossible_sources:
        raise DecodeError("ipv6.spoofed")
    if next_header in _DROPPED:
        raise DecodeError(_DROPPED[next_header])
    return IPPacket(
        src,
        dst,
        next_header,
        hop_limit,
        traffic_class,
        view[:_HEADER],
        payload,
        length,
        Checksum.COMPLETE if offload is None else offload.checksum,
        0 if offload is None else offload.gso_size,
        interface,
        group or link_broadcast,
    )


def _is_martian(src: bytes, interface: Interface) -> bool:
    """RFC 4291, sections 2.5.2, 2.5.3, 2.5.5 and 2.7: what is not one host's address sends nothing over a link."""
    if src == IPV6.loopback:
        return not interface.internal
    return IPV6.is_group(src) or IPV6.is_reserved(src)


_PACKET = struct.Struct("!4sH2s32s")


class HeaderTemplate:
    """The header of one flow's datagrams, in which only the length changes.

    The flow label is zero, which RFC 6437 section 3 asks of sources that do not label flows: a label that many
    connections share would say no more than the addresses do.
    """

    __slots__ = ("_addresses", "_middle", "_start")

    def __init__(self, src: bytes, dst: bytes, protocol: int, ttl: int, tos: int) -> None:
        self._start, _, self._middle, self._addresses = _PACKET.unpack(pack_ipv6(src, dst, protocol, 0, ttl, tos))

    def build(self, total_length: int) -> bytes:
        return _PACKET.pack(self._start, total_length - _HEADER, self._middle, self._addresses)

    def build_fragmentable(self, total_length: int, identification: int) -> bytes:
        """The same: no router fragments IPv6 (RFC 8200, section 5), and nothing is identified before it is."""
        return self.build(total_length)
