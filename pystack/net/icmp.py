"""ICMP for IPv4 (RFC 792, RFC 1122 section 3.2.2): echo, the errors we send, what others' errors say of our flows."""

import errno
import logging
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import TypeAlias

from attrs import define, field

from pystack.errors import DecodeError
from pystack.net.address import address_text
from pystack.net.config import NetConfig
from pystack.net.errors import PathError, unreachable_errno
from pystack.net.ipv4 import HEADER_OCTETS
from pystack.net.output import Output
from pystack.net.packet import IPPacket
from pystack.net.path import Path
from pystack.net.pathmtu import MIN_PATH_MTU, plateau_below
from pystack.net.paths import Paths
from pystack.net.ratelimit import TokenBucket
from pystack.units import Ns
from pystack.wire.checksum import ones_sum_buffers
from pystack.wire.icmp import ICMP as HEADER
from pystack.wire.icmp import pack_icmp, unpack_icmp
from pystack.wire.icmpv4 import ICMPv4Type, UnreachableCode
from pystack.wire.ipv4 import unpack_ipv4
from pystack.wire.protocol import IPProtocol

__all__ = ["ICMP", "EchoErrorCallback", "EchoReplyCallback"]

log = logging.getLogger("pystack.icmp")

EchoReplyCallback: TypeAlias = Callable[[bytes, int, int, bytes, Ns], None]
"""Source, identifier, sequence number, data, now."""
EchoErrorCallback: TypeAlias = Callable[[PathError, Ns], None]

ERROR_OCTETS = 576
"""Largest ICMP error, IP header included (RFC 1812, section 4.3.2.3)."""
MIN_QUOTE = 8
"""Octets of transport header without which an error cannot be told to anybody (RFC 792)."""


@define(eq=False)
class ICMP:
    paths: Paths
    output: Output
    config: NetConfig
    counters: Counter[str]
    rng: Random
    notify: Callable[[PathError, Ns], None]
    on_echo_reply: EchoReplyCallback | None = None
    on_echo_error: EchoErrorCallback | None = None
    _errors: TokenBucket = field(init=False)
    _replies: TokenBucket = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._errors = TokenBucket(self.config.icmp_error_rate, self.config.icmp_error_burst, self.rng)
        self._replies = TokenBucket(self.config.echo_reply_rate, self.config.echo_reply_burst, self.rng)

    # --- out

    def ping(self, path: Path, identifier: int, sequence: int, data: bytes, now: Ns, ttl: int = 64) -> None:
        """Send an echo request. Raises `OSError` EMSGSIZE."""
        message = pack_icmp(ICMPv4Type.ECHO_REQUEST, 0, identifier << 16 | sequence, data)
        self.output.send(path, IPProtocol.ICMP, message, (), 0, now, ttl=ttl)

    def send_unreachable(self, packet: IPPacket, code: int, now: Ns) -> None:
        """Tell the sender of `packet` that it cannot be delivered, unless RFC 1122 section 3.2.2 forbids it."""
        if not _may_be_reported(packet):
            self.counters["icmp.error_suppressed"] += 1
        elif not self._errors.take(now):
            self.counters["icmp.rate_limited"] += 1
        else:
            quote = packet.datagram(ERROR_OCTETS - HEADER_OCTETS - HEADER.size)
            self._answer(packet, ICMPv4Type.UNREACHABLE, code, 0, quote, now, tos=0)

    def _answer(self, packet: IPPacket, kind: int, code: int, rest: int, data: bytes, now: Ns, *, tos: int) -> None:
        """A message back to the sender of `packet`; of `data`, what one datagram on that path holds."""
        try:
            path = self.paths.path(packet.src, packet.dst, broadcast=False)
        except OSError:  # there is no way back
            self.counters["icmp.unanswerable"] += 1
            return
        message = pack_icmp(kind, code, rest, data[: path.mtu - HEADER_OCTETS - HEADER.size])
        self.output.send(path, IPProtocol.ICMP, message, (), 0, now, tos=tos, dont_fragment=False)

    # --- in

    def receive(self, packet: IPPacket, now: Ns) -> None:
        """Raises `DecodeError` with the reason why a message is dropped."""
        kind, code, _, rest = unpack_icmp(packet.payload[0])
        if ones_sum_buffers(packet.payload) != 0xFFFF:
            raise DecodeError("icmp.checksum")
        match kind:
            case ICMPv4Type.ECHO_REQUEST:
                self._echo_request(packet, rest, now)
            case ICMPv4Type.ECHO_REPLY:
                if self.on_echo_reply is not None:
                    self.on_echo_reply(packet.src, rest >> 16, rest & 0xFFFF, _data(packet), now)
            case ICMPv4Type.UNREACHABLE | ICMPv4Type.TIME_EXCEEDED | ICMPv4Type.PARAMETER_PROBLEM:
                self._error(packet, kind, code, rest, now)
            case ICMPv4Type.REDIRECT:
                # Not obeyed (RFC 1122, 3.2.2.2, wants it): any neighbour could take over a route with one packet.
                raise DecodeError("icmp.redirect")
            case _:  # source quench too: RFC 6633, section 3
                raise DecodeError("icmp.ignored", f"type {kind}")

    def _echo_request(self, packet: IPPacket, rest: int, now: Ns) -> None:
        """RFC 1122, section 3.2.2.6: answer with all of the data, cut to what one datagram holds; nothing to a
        broadcast."""
        if packet.broadcast:
            raise DecodeError("icmp.echo_broadcast")
        if packet.interface.capabilities.shares_host:
            raise DecodeError("icmp.echo_shared")  # the kernel answers
        if not self._replies.take(now):
            raise DecodeError("icmp.rate_limited")
        self._answer(packet, ICMPv4Type.ECHO_REPLY, 0, rest, _data(packet), now, tos=packet.tos & 0xFC)

    def _error(self, packet: IPPacket, kind: int, code: int, rest: int, now: Ns) -> None:
        """Somebody says that a packet of ours did not arrive. Whether it was ours, its flow must judge by the quote."""
        if packet.broadcast:
            raise DecodeError("icmp.error_broadcast")
        quoted = _data(packet)
        try:
            octets, _, total_length, _, fragment, _, protocol, _, src, dst = unpack_ipv4(quoted)
        except DecodeError as error:
            raise DecodeError("icmp.quote_invalid", str(error)) from None
        quote = quoted[octets:]
        if src != packet.dst:
            raise DecodeError("icmp.quote_foreign", f"from {address_text(src)}")
        if len(quote) < MIN_QUOTE or fragment & 0x1FFF:
            raise DecodeError("icmp.quote_short")
        mtu = None
        if kind == ICMPv4Type.UNREACHABLE:
            number, hard = unreachable_errno(code)
            if code == UnreachableCode.FRAGMENTATION_NEEDED:
                mtu = _claimed_mtu(rest & 0xFFFF, total_length)
        elif kind == ICMPv4Type.TIME_EXCEEDED:
            number, hard = errno.EHOSTUNREACH, False
        else:
            number, hard = errno.EPROTO, True
        notice = PathError(
            errno=number,
            hard=hard,
            src=src,
            dst=dst,
            protocol=protocol,
            quote=quote,
            mtu=mtu,
            reporter=packet.src,
            icmp_type=kind,
            icmp_code=code,
        )
        log.debug("%s reports %r", address_text(packet.src), notice)
        self.dispatch(notice, now)

    def dispatch(self, error: PathError, now: Ns) -> None:
        """Hand a notice to whoever sent the packet that it is about."""
        if error.protocol in (IPProtocol.TCP, IPProtocol.UDP):
            self.notify(error, now)
        elif error.protocol == IPProtocol.ICMP and error.quote[0] == ICMPv4Type.ECHO_REQUEST:
            if self.on_echo_error is not None:
                self.on_echo_error(error, now)
        else:
            self.counters["icmp.quote_unknown"] += 1


def _data(packet: IPPacket) -> bytes:
    return b"".join(packet.payload)[HEADER.size :]


def _claimed_mtu(next_hop_mtu: int, total_length: int) -> int:
    """The path MTU that a router claims, or that RFC 1191 section 5 makes us guess if it is too old to say."""
    mtu = next_hop_mtu or plateau_below(total_length)
    if mtu < MIN_PATH_MTU:
        raise DecodeError("icmp.mtu_floor", f"{mtu} octets")
    if mtu >= total_length:  # it would have fitted (RFC 5927, section 7.2)
        raise DecodeError("icmp.mtu_absurd", f"{mtu} octets for a packet of {total_length}")
    return mtu


def _may_be_reported(packet: IPPacket) -> bool:
    """RFC 1122, section 3.2.2: nothing about an ICMP error, nothing that was broadcast. Fragments and sources that are
    not one host never get this far. On an address that a kernel owns too, errors are the kernel's."""
    if packet.broadcast or packet.interface.capabilities.shares_host:
        return False
    return packet.protocol != IPProtocol.ICMP or memoryview(packet.payload[0])[0] == ICMPv4Type.ECHO_REQUEST
