"""IPv4 datagrams: judging what arrives (RFC 791, RFC 1122 section 3.2.1), writing headers for what leaves."""

import struct

from typing_extensions import Buffer, override

from pystack.errors import DecodeError
from pystack.link.base import Checksum, Frame
from pystack.net.family import IPV4
from pystack.net.interface import Interface
from pystack.net.packet import IPPacket, first_octets
from pystack.net.sourceroute import route_back
from pystack.wire.checksum import ones_sum
from pystack.wire.ipv4 import IPv4Flags, pack_ipv4, unpack_ipv4

__all__ = ["HeaderTemplate", "OptionsTemplate", "accept_ipv4"]

DONT_FRAGMENT = IPv4Flags.DF.value << 13
_FRAGMENT = 0x3FFF
"""More-fragments flag and offset: both zero in a whole datagram."""


def accept_ipv4(frame: Frame, view: memoryview, interface: Interface, link_broadcast: bool) -> IPPacket:
    """The datagram in `frame` if it is whole, valid and ours; `view` is the first buffer from the IP header on.

    Raises `DecodeError` with the name of the rule that it breaks. The TTL is not looked at: RFC 1122 section 3.2.1.7
    forbids to discard a datagram because of it.
    """
    buffers, offload = frame.buffers, frame.offload
    octets, tos, total_length, _, fragment, ttl, protocol, _, src, dst = unpack_ipv4(view)
    header = view[:octets]
    if offload is None:
        checksum, gso_size = Checksum.COMPLETE, 0
    else:
        checksum, gso_size = offload.checksum, offload.gso_size
    # RFC 1122, 3.2.1.2: always verified, but for a frame that never left this machine.
    if checksum is not Checksum.PARTIAL and ones_sum(header) != 0xFFFF:
        raise DecodeError("ipv4.checksum")
    if len(buffers) == 1:
        payload: tuple[Buffer, ...] = (view[octets:total_length],)  # what follows is the link's padding
        if len(view) < total_length:
            raise DecodeError("ipv4.truncated", f"{len(view)} of {total_length} octets")
    else:
        payload = first_octets((view[octets:], *buffers[1:]), total_length - octets, "ipv4.truncated")
    if fragment & _FRAGMENT:
        raise DecodeError("ipv4.fragment")
    route = None
    if octets > IPV4.header_octets:
        # Other options are tolerated and ignored.
        route = route_back(header[IPV4.header_octets :], src, allowed=interface.accept_source_routes)
    broadcast = interface.destinations.get(dst)
    if broadcast is None:
        if not (interface.is_loopback and dst[0] == 127):
            raise DecodeError("ipv4.martian" if dst[0] == 127 else "ipv4.not_ours")
        broadcast = False
    elif link_broadcast and not broadcast:  # RFC 1122, 3.3.6
        raise DecodeError("ipv4.link_broadcast")
    first = src[0]
    if first >= 224 or first == 0 or (first == 127 and not interface.internal):  # RFC 1122, 3.2.1.3
        raise DecodeError("ipv4.martian")
    if src in interface.impossible_sources:
        raise DecodeError("ipv4.spoofed")
    return IPPacket(
        src,
        dst,
        protocol,
        ttl,
        tos,
        header,
        payload,
        total_length - octets,
        checksum,
        gso_size,
        interface,
        broadcast or link_broadcast,
        route,
    )


_HEADER = struct.Struct("!2sH6sH8s")


class HeaderTemplate:
    """The header of one flow's datagrams, in which only the length and with it the checksum change.

    Those of `build` are atomic: DF is set, and the identification is 0 (RFC 6864, section 4.1: any value will do).
    """

    __slots__ = ("_addresses", "_middle", "_start", "_sum")

    def __init__(self, src: bytes, dst: bytes, protocol: int, ttl: int, tos: int, options: bytes = b"") -> None:
        blank = pack_ipv4(src, dst, protocol, 0, 0, DONT_FRAGMENT, ttl, tos, options)
        self._start, _, self._middle, checksum, self._addresses = _HEADER.unpack_from(blank)
        self._sum = 0xFFFF - checksum

    def build(self, total_length: int) -> bytes:
        # Never all zero, so that the modulo is the ones' complement sum (RFC 1071).
        checksum = -(self._sum + total_length) % 0xFFFF
        return _HEADER.pack(self._start, total_length, self._middle, checksum, self._addresses)

    def build_fragmentable(self, total_length: int, identification: int) -> bytes:
        """Without DF."""
        middle = identification.to_bytes(2, "big") + bytes(2) + self._middle[4:]
        checksum = -(self._sum - DONT_FRAGMENT + identification + total_length) % 0xFFFF
        return _HEADER.pack(self._start, total_length, middle, checksum, self._addresses)


class OptionsTemplate(HeaderTemplate):
    """One with IP options."""

    __slots__ = ("_options",)

    def __init__(self, src: bytes, dst: bytes, protocol: int, ttl: int, tos: int, options: bytes) -> None:
        super().__init__(src, dst, protocol, ttl, tos, options)
        self._options = options

    @override
    def build(self, total_length: int) -> bytes:
        return super().build(total_length) + self._options

    @override
    def build_fragmentable(self, total_length: int, identification: int) -> bytes:
        return super().build_fragmentable(total_length, identification) + self._options
