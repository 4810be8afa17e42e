"""ICMP for IPv4 (RFC 792, RFC 1122 section 3.2.2)."""

import errno
from typing import ClassVar

from attrs import define
from typing_extensions import override

from pystack.errors import DecodeError
from pystack.net.icmp import ICMP, Meaning, Quote
from pystack.net.packet import IPPacket
from pystack.net.pathmtu import plateau_below
from pystack.net.sourceroute import final_destination
from pystack.units import Ns
from pystack.wire.icmp import ICMP as HEADER
from pystack.wire.icmpv4 import ICMPv4Type, UnreachableCode
from pystack.wire.ipv4 import unpack_ipv4
from pystack.wire.protocol import IPProtocol

__all__ = ["ICMPv4"]

_UNREACHABLE: dict[int, tuple[int, bool]] = {
    0: (errno.ENETUNREACH, False),  # net
    1: (errno.EHOSTUNREACH, False),  # host
    2: (errno.ENOPROTOOPT, True),  # protocol
    3: (errno.ECONNREFUSED, True),  # port
    4: (errno.EMSGSIZE, False),  # fragmentation needed and DF set
    5: (errno.EOPNOTSUPP, False),  # source route failed
    6: (errno.ENETUNREACH, True),  # destination network unknown
    7: (errno.EHOSTDOWN, True),  # destination host unknown
    8: (getattr(errno, "ENONET", errno.EHOSTUNREACH), True),  # source host isolated; ENONET is Linux's
    9: (errno.ENETUNREACH, True),  # network administratively prohibited
    10: (errno.EHOSTUNREACH, True),  # host administratively prohibited
    11: (errno.ENETUNREACH, False),  # network, for this type of service
    12: (errno.EHOSTUNREACH, False),  # host, for this type of service
    13: (errno.EHOSTUNREACH, True),  # RFC 1812: filtered
    14: (errno.EHOSTUNREACH, True),  # RFC 1812: host precedence violation
    15: (errno.EHOSTUNREACH, True),  # RFC 1812: precedence cutoff in effect
}
"""`errno` and hardness by code, as Linux reports them (icmp(7), ip(7))."""


@define(eq=False)
class ICMPv4(ICMP):
    protocol: ClassVar = IPProtocol.ICMP
    echo_request: ClassVar[int] = ICMPv4Type.ECHO_REQUEST
    echo_reply: ClassVar[int] = ICMPv4Type.ECHO_REPLY
    error_octets: ClassVar[int] = 576  # RFC 1812, section 4.3.2.3

    @override
    def send_port_unreachable(self, packet: IPPacket, now: Ns) -> None:
        self._send_error(packet, ICMPv4Type.UNREACHABLE, UnreachableCode.PORT, 0, now)

    @override
    def send_protocol_unknown(self, packet: IPPacket, now: Ns) -> None:
        self._send_error(packet, ICMPv4Type.UNREACHABLE, UnreachableCode.PROTOCOL, 0, now)

    @override
    def _pseudo(self, src: bytes, dst: bytes, length: int) -> int:
        return 0

    @override
    def _is_answerable(self, packet: IPPacket) -> bool:
        """RFC 1122, section 3.2.2: nothing about an ICMP error. Fragments and sources that are not one host never get
        this far."""
        return packet.protocol != IPProtocol.ICMP or memoryview(packet.payload[0])[0] == ICMPv4Type.ECHO_REQUEST

    @override
    def _answer_echo(self, packet: IPPacket, rest: int, data: bytes, now: Ns) -> None:
        """RFC 1122, section 3.2.2.6: answer with all of the data, cut to what one datagram holds; nothing to a
        broadcast."""
        if packet.broadcast:
            raise DecodeError("icmp.echo_broadcast")
        if not self.replies.take(now):
            raise DecodeError("icmp.rate_limited")
        path = self._way_back(packet, packet.dst)
        if path is not None:
            room = path.mtu - path.header_octets - HEADER.size
            self._send(path, self.echo_reply, 0, rest, data[:room], now, tos=packet.tos & 0xFC)

    @override
    def _is_error(self, kind: int) -> bool:
        return kind in (ICMPv4Type.UNREACHABLE, ICMPv4Type.TIME_EXCEEDED, ICMPv4Type.PARAMETER_PROBLEM)

    @override
    def _ignore(self, kind: int) -> DecodeError:
        if kind == ICMPv4Type.REDIRECT:
            # Not obeyed (RFC 1122, 3.2.2.2, wants it): any neighbour could take over a route with one packet.
            return DecodeError("icmp.redirect")
        return DecodeError("icmp.ignored", f"type {kind}")  # source quench too: RFC 6633, section 3

    @override
    def _read_quote(self, octets: bytes) -> Quote:
        header_octets, _, total_length, _, fragment, _, protocol, _, src, _ = unpack_ipv4(octets)
        transport = b"" if fragment & 0x1FFF else octets[header_octets:]
        return Quote(src, final_destination(octets), protocol, total_length, transport)

    @override
    def _meaning(self, kind: int, code: int, rest: int, quote: Quote) -> Meaning:
        if kind == ICMPv4Type.TIME_EXCEEDED:
            return Meaning(errno.EHOSTUNREACH, hard=False)
        if kind == ICMPv4Type.PARAMETER_PROBLEM:
            return Meaning(errno.EPROTO, hard=True)
        number, hard = _UNREACHABLE.get(code, (errno.EHOSTUNREACH, False))
        if code != UnreachableCode.FRAGMENTATION_NEEDED:
            return Meaning(number, hard)
        guess = rest & 0xFFFF or plateau_below(quote.total_length)  # RFC 1191, section 5: a router too old to say
        return Meaning(number, hard, self._claimed_mtu(guess, quote))
