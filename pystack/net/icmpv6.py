"""ICMP for IPv6 (RFC 4443). Neighbour discovery and multicast listener messages are not spoken yet."""

import errno
from typing import ClassVar

from attrs import define
from typing_extensions import override

from pystack.errors import DecodeError
from pystack.net.family import IPV6
from pystack.net.icmp import ICMP, Meaning, Quote
from pystack.net.ipv6 import NEXT_HEADER_AT
from pystack.net.packet import IPPacket
from pystack.units import Ns
from pystack.wire.icmp import ICMP as HEADER
from pystack.wire.icmpv6 import ICMPv6Type, ICMPv6UnreachableCode
from pystack.wire.ipv6 import unpack_ipv6
from pystack.wire.protocol import IPProtocol
from pystack.wire.pseudo import pseudo_sum

__all__ = ["ICMPv6"]

_UNREACHABLE: dict[int, tuple[int, bool]] = {
    ICMPv6UnreachableCode.NO_ROUTE: (errno.ENETUNREACH, False),
    ICMPv6UnreachableCode.PROHIBITED: (errno.EACCES, True),
    ICMPv6UnreachableCode.BEYOND_SCOPE: (errno.EHOSTUNREACH, False),
    ICMPv6UnreachableCode.ADDRESS: (errno.EHOSTUNREACH, False),
    ICMPv6UnreachableCode.PORT: (errno.ECONNREFUSED, True),
    ICMPv6UnreachableCode.POLICY: (errno.EACCES, True),
    ICMPv6UnreachableCode.REJECT_ROUTE: (errno.EACCES, True),
}
"""`errno` and hardness by code, as Linux reports them (ipv6(7))."""

UNRECOGNIZED_NEXT_HEADER = 1
"""Code of a parameter problem (RFC 4443, section 3.4)."""
FIRST_INFORMATIONAL = 128
"""Types below are errors, known or not (RFC 4443, section 2.1)."""


@define(eq=False)
class ICMPv6(ICMP):
    protocol: ClassVar = IPProtocol.ICMPV6
    echo_request: ClassVar[int] = ICMPv6Type.ECHO_REQUEST
    echo_reply: ClassVar[int] = ICMPv6Type.ECHO_REPLY
    error_octets: ClassVar[int] = IPV6.min_link_mtu  # RFC 4443, section 2.4 (c)

    @override
    def send_port_unreachable(self, packet: IPPacket, now: Ns) -> None:
        self._send_error(packet, ICMPv6Type.UNREACHABLE, ICMPv6UnreachableCode.PORT, 0, now)

    @override
    def send_protocol_unknown(self, packet: IPPacket, now: Ns) -> None:
        """RFC 8200, section 4: an unknown next header is a parameter problem."""
        self._send_error(packet, ICMPv6Type.PARAMETER_PROBLEM, UNRECOGNIZED_NEXT_HEADER, NEXT_HEADER_AT, now)

    @override
    def _pseudo(self, src: bytes, dst: bytes, length: int) -> int:
        return pseudo_sum(src, dst, IPProtocol.ICMPV6) + length

    @override
    def _is_answerable(self, packet: IPPacket) -> bool:
        """RFC 4443, section 2.4 (e): nothing about an error or a redirect. None of the errors sent here may answer a
        multicast, and sources that are not one host never get this far."""
        if packet.protocol != IPProtocol.ICMPV6:
            return True
        kind = memoryview(packet.payload[0])[0]
        return kind >= FIRST_INFORMATIONAL and kind != ICMPv6Type.REDIRECT

    @override
    def _answer_echo(self, packet: IPPacket, rest: int, data: bytes, now: Ns) -> None:
        """RFC 4443, section 4.2: answer with all of the data or not at all; to a group from an address of ours."""
        if not self.replies.take(now):
            raise DecodeError("icmp.rate_limited")
        src = packet.dst
        if packet.broadcast:
            src = IPV6.source(packet.interface.addresses_of(IPV6), packet.src, packet.src)
        path = self._way_back(packet, src)
        if path is None:
            return
        if len(data) > path.mtu - path.header_octets - HEADER.size:
            raise DecodeError("icmp.echo_too_big", f"{len(data)} octets of data")
        self._send(path, self.echo_reply, 0, rest, data, now, tos=packet.tos & 0xFC)

    @override
    def _is_error(self, kind: int) -> bool:
        return kind < FIRST_INFORMATIONAL

    @override
    def _ignore(self, kind: int) -> DecodeError:
        return DecodeError("icmp.redirect" if kind == ICMPv6Type.REDIRECT else "icmp.ignored", f"type {kind}")

    @override
    def _read_quote(self, octets: bytes) -> Quote:
        """Our packets have no extension headers, so the transport's follows at once."""
        _, _, length, next_header, _, src, dst = unpack_ipv6(octets)
        return Quote(src, dst, next_header, IPV6.header_octets + length, octets[IPV6.header_octets :])

    @override
    def _meaning(self, kind: int, code: int, rest: int, quote: Quote) -> Meaning:
        match kind:
            case ICMPv6Type.UNREACHABLE:
                number, hard = _UNREACHABLE.get(code, (errno.EPROTO, True))
                return Meaning(number, hard)
            case ICMPv6Type.PACKET_TOO_BIG:
                return Meaning(errno.EMSGSIZE, hard=False, mtu=self._claimed_mtu(rest, quote))
            case ICMPv6Type.TIME_EXCEEDED:
                return Meaning(errno.EHOSTUNREACH, hard=False)
            case ICMPv6Type.PARAMETER_PROBLEM:
                return Meaning(errno.EPROTO, hard=True)
        return Meaning(errno.EPROTO, hard=False)  # unknown errors are the transport's too: RFC 4443, section 2.4 (a)
