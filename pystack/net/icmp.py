"""What ICMP for both IP versions has in common: echo, the errors we send, what others' errors say of our flows."""

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import ClassVar, TypeAlias

from attrs import define, frozen

from pystack.errors import DecodeError
from pystack.net.address import address_text
from pystack.net.errors import PathError
from pystack.net.output import Output
from pystack.net.packet import IPPacket
from pystack.net.path import Path
from pystack.net.pathmtu import MIN_PATH_MTU
from pystack.net.paths import Paths
from pystack.net.ratelimit import TokenBucket
from pystack.units import Ns
from pystack.wire.checksum import ones_sum_buffers
from pystack.wire.icmp import ICMP as HEADER
from pystack.wire.icmp import pack_icmp, unpack_icmp
from pystack.wire.protocol import IPProtocol

__all__ = ["ICMP", "EchoErrorCallback", "EchoReplyCallback", "Meaning", "Quote"]

log = logging.getLogger("pystack.icmp")

EchoReplyCallback: TypeAlias = Callable[[bytes, int, int, bytes, Ns], None]
"""Source, identifier, sequence number, data, now."""
EchoErrorCallback: TypeAlias = Callable[[PathError, Ns], None]

MIN_QUOTE = 8
"""Octets of transport header without which an error cannot be told to anybody (RFC 792)."""


@frozen(eq=False)
class Quote:
    """A packet of ours as an error quotes it."""

    src: bytes
    dst: bytes
    protocol: int
    total_length: int
    """Octets of the packet, header included."""
    transport: bytes
    """What is quoted behind the IP header; nothing of a later fragment, which carries no transport header."""


@frozen
class Meaning:
    """An error in `errno`'s terms; the fields are `PathError`'s."""

    errno: int
    hard: bool
    mtu: int | None = None


@define(eq=False)
class ICMP(ABC):
    """One IP version's ICMP. Subclasses say what the numbers mean, and what their RFC forbids to answer."""

    protocol: ClassVar[IPProtocol]
    echo_request: ClassVar[int]
    echo_reply: ClassVar[int]
    error_octets: ClassVar[int]
    """Largest error, IP header included."""

    paths: Paths
    output: Output
    counters: Counter[str]
    errors: TokenBucket
    """The budget of errors, both versions' together."""
    replies: TokenBucket
    """The budget of echo replies, both versions' together."""
    notify: Callable[[PathError, Ns], None]
    on_echo_reply: EchoReplyCallback | None = None
    on_echo_error: EchoErrorCallback | None = None

    # --- what the versions say

    @abstractmethod
    def send_port_unreachable(self, packet: IPPacket, now: Ns) -> None:
        """Tell the sender of `packet` that nobody listens there, unless that is forbidden."""
        ...

    @abstractmethod
    def send_protocol_unknown(self, packet: IPPacket, now: Ns) -> None:
        """Tell the sender of `packet` that its transport protocol is not spoken here, unless that is forbidden."""
        ...

    @abstractmethod
    def _pseudo(self, src: bytes, dst: bytes, length: int) -> int:
        """What the checksum of `length` octets of message covers beside them, as a partial sum."""
        ...

    @abstractmethod
    def _is_answerable(self, packet: IPPacket) -> bool:
        """Whether a datagram that did not come to many may cause an error."""
        ...

    @abstractmethod
    def _read_quote(self, octets: bytes) -> Quote:
        """Raises `DecodeError` for what is no packet."""
        ...

    @abstractmethod
    def _meaning(self, kind: int, code: int, rest: int, quote: Quote) -> Meaning:
        """What an error says of the packet that it quotes. Raises `DecodeError` for what cannot be true."""
        ...

    @abstractmethod
    def _is_error(self, kind: int) -> bool: ...

    @abstractmethod
    def _answer_echo(self, packet: IPPacket, rest: int, data: bytes, now: Ns) -> None: ...

    @abstractmethod
    def _ignore(self, kind: int) -> DecodeError:
        """Why a message is dropped that is neither echo nor error."""
        ...

    # --- out

    def ping(self, path: Path, identifier: int, sequence: int, data: bytes, now: Ns, ttl: int = 64) -> None:
        """Send an echo request. Raises `OSError` EMSGSIZE."""
        self._send(path, self.echo_request, 0, identifier << 16 | sequence, data, now, tos=0, ttl=ttl)

    def _send_error(self, packet: IPPacket, kind: int, code: int, rest: int, now: Ns) -> None:
        """An error about `packet` to its sender, unless that is forbidden or beyond the budget. On an address that a
        kernel owns too, errors are the kernel's."""
        if packet.broadcast or packet.interface.capabilities.shares_host or not self._is_answerable(packet):
            self.counters["icmp.error_suppressed"] += 1
        elif not self.errors.take(now):
            self.counters["icmp.rate_limited"] += 1
        elif (path := self._way_back(packet, packet.dst)) is not None:
            quote = packet.datagram(min(self.error_octets, path.mtu) - path.header_octets - HEADER.size)
            self._send(path, kind, code, rest, quote, now, tos=0)

    def _way_back(self, packet: IPPacket, src: bytes) -> Path | None:
        try:
            return self.paths.path(packet.src, src, broadcast=False, route=packet.route)
        except OSError:
            self.counters["icmp.unanswerable"] += 1
            return None

    def _send(
        self, path: Path, kind: int, code: int, rest: int, data: bytes, now: Ns, *, tos: int, ttl: int = 64
    ) -> None:
        """IPv4 routers may fragment answers: nobody here would learn from an error that one was too big."""
        pseudo = self._pseudo(path.src, path.dst, HEADER.size + len(data))
        message = pack_icmp(kind, code, rest, data, pseudo)
        whole = kind == self.echo_request
        self.output.send(path, self.protocol, message, (), 0, now, tos=tos, ttl=ttl, dont_fragment=whole)

    # --- in

    def receive(self, packet: IPPacket, now: Ns) -> None:
        """Raises `DecodeError` with the reason why a message is dropped."""
        kind, code, _, rest = unpack_icmp(packet.payload[0])
        if ones_sum_buffers(packet.payload, self._pseudo(packet.src, packet.dst, packet.length)) != 0xFFFF:
            raise DecodeError("icmp.checksum")
        if kind == self.echo_request:
            if packet.interface.capabilities.shares_host:
                raise DecodeError("icmp.echo_shared")  # the kernel answers
            self._answer_echo(packet, rest, _data(packet), now)
        elif kind == self.echo_reply:
            if self.on_echo_reply is not None:
                self.on_echo_reply(packet.src, rest >> 16, rest & 0xFFFF, _data(packet), now)
        elif self._is_error(kind):
            self._receive_error(packet, kind, code, rest, now)
        else:
            raise self._ignore(kind)

    def _receive_error(self, packet: IPPacket, kind: int, code: int, rest: int, now: Ns) -> None:
        """Somebody says that a packet of ours did not arrive. Whether it was ours, its flow must judge by the quote."""
        if packet.broadcast:
            raise DecodeError("icmp.error_broadcast")
        try:
            quote = self._read_quote(_data(packet))
        except DecodeError as error:
            raise DecodeError("icmp.quote_invalid", str(error)) from None
        if quote.src != packet.dst:
            raise DecodeError("icmp.quote_foreign", f"from {address_text(quote.src)}")
        if len(quote.transport) < MIN_QUOTE:
            raise DecodeError("icmp.quote_short")
        meaning = self._meaning(kind, code, rest, quote)
        notice = PathError(
            errno=meaning.errno,
            hard=meaning.hard,
            src=quote.src,
            dst=quote.dst,
            protocol=quote.protocol,
            quote=quote.transport,
            mtu=meaning.mtu,
            reporter=packet.src,
            icmp_type=kind,
            icmp_code=code,
        )
        log.debug("%s reports %r", address_text(packet.src), notice)
        self.dispatch(notice, now)

    def _claimed_mtu(self, mtu: int, quote: Quote) -> int:
        """The path MTU that a router claims, if that can be. Raises `DecodeError`."""
        if mtu < MIN_PATH_MTU[len(quote.dst)]:
            raise DecodeError("icmp.mtu_floor", f"{mtu} octets")
        if mtu >= quote.total_length:  # it would have fitted (RFC 5927, section 7.2)
            raise DecodeError("icmp.mtu_absurd", f"{mtu} octets for a packet of {quote.total_length}")
        return mtu

    def dispatch(self, error: PathError, now: Ns) -> None:
        """Hand a notice to whoever sent the packet that it is about."""
        if error.protocol in (IPProtocol.TCP, IPProtocol.UDP):
            self.notify(error, now)
        elif error.protocol == self.protocol and error.quote[0] == self.echo_request:
            if self.on_echo_error is not None:
                self.on_echo_error(error, now)
        else:
            self.counters["icmp.quote_unknown"] += 1


def _data(packet: IPPacket) -> bytes:
    return b"".join(packet.payload)[HEADER.size :]
