"""How the script's numbers become those on the wire, and back: one connection as the script sees it."""

from ipaddress import IPv4Address, IPv6Address

from attrs import define, evolve, field

from pystack.stack.endpoint import Endpoint
from pystack.testing.packetdrill.script import TCPPacket
from pystack.testing.packetdrill.sent import Sent
from pystack.wire.seq import wrap
from pystack.wire.tcp import TCPFlags, TCPHeader
from pystack.wire.tcp_options import SACK, FastOpen, TCPOption, Timestamps

__all__ = ["Flow"]


@define(eq=False)
class Flow:
    """A connection, or a pair of UDP ports.

    The script numbers each side's octets from its SYN, which carries the number itself. The script's side starts on the
    wire where the script says. The stack's side starts anywhere: its first SYN says where.
    """

    local: IPv4Address | IPv6Address
    local_port: int
    remote: IPv4Address | IPv6Address
    remote_port: int
    endpoint: Endpoint | None = None
    """The socket, once the script has it."""
    cookies: tuple[bytes, bytes] | None = field(default=None, init=False)
    """The Fast Open cookie that the stack takes from this peer: in the script and on the wire."""
    _remote_isn: int | None = field(default=None, init=False)
    _local_isn: int | None = field(default=None, init=False)
    _local_script_isn: int = field(default=0, init=False)
    _stamps: dict[int, int] = field(factory=dict, init=False)
    """TSval in the script of what the stack sent: TSval on the wire."""
    _first_stamp: tuple[int, int] | None = field(default=None, init=False)
    """Of the first that the stack sent: in the script and on the wire."""

    @property
    def addresses(self) -> tuple[object, ...]:
        """What tells this connection from others."""
        return self.local, self.local_port, self.remote, self.remote_port

    def sends(self, sent: Sent) -> bool:
        """Whether the stack sent this packet on this connection."""
        return (sent.ip.src, sent.ip.dst, sent.ports) == (self.local, self.remote, (self.local_port, self.remote_port))

    def to_wire(self, packet: TCPPacket, window: int, options: tuple[TCPOption, ...]) -> TCPHeader:
        """An inbound packet's header."""
        if packet.flags & TCPFlags.SYN:
            seq = packet.seq
            if self._remote_isn is None:
                self._remote_isn = packet.seq
        else:
            seq = packet.seq + (self._remote_isn or 0)
        return TCPHeader(
            self.remote_port,
            self.local_port,
            wrap(seq),
            wrap(packet.ack + self._local_shift) if packet.ack is not None else 0,
            packet.flags,
            window,
            0,
            packet.urgent or 0,
            tuple(map(self._option_to_wire, options)),
        )

    def sent_seq(self, seq: int) -> int:
        """Where on the wire the stack's octet `seq` is: for quoting it."""
        return wrap(seq + self._local_shift)

    @property
    def _local_shift(self) -> int:
        return (self._local_isn or 0) - self._local_script_isn

    def _option_to_wire(self, option: TCPOption) -> TCPOption:
        match option:
            case SACK(blocks):
                shift = self._local_shift
                return SACK(tuple((wrap(left + shift), wrap(right + shift)) for left, right in blocks))
            case Timestamps(value, echo):
                return Timestamps(value, self._echo_to_wire(echo))
            case FastOpen(cookie) if self.cookies is not None and cookie == self.cookies[0]:
                return FastOpen(self.cookies[1])
        return option

    def _echo_to_wire(self, echo: int) -> int:
        """A TSval that the stack has sent; one that it has not is counted from the first; 0 says "none"."""
        if echo in self._stamps or self._first_stamp is None or echo == 0:
            return self._stamps.get(echo, echo)
        script, wire = self._first_stamp
        return wrap(wire + echo - script)

    def to_script(self, header: TCPHeader, length: int, expected: TCPPacket, tick: int) -> TCPPacket:
        """An outbound packet as the script would write it, where `expected` is what it says. What the script leaves
        out is left out."""
        if header.flags & TCPFlags.SYN and self._local_isn is None:
            self._local_isn, self._local_script_isn = header.seq, expected.seq
        shift = self._local_shift if header.flags & TCPFlags.SYN else self._local_isn or 0
        remote = self._remote_isn or 0
        return TCPPacket(
            header.flags,
            wrap(header.seq - shift),
            length,
            wrap(header.ack - remote) if header.flags & TCPFlags.ACK else None,
            header.window if expected.window is not None else None,
            header.urgent if expected.urgent is not None else None,
            None
            if expected.options is None
            else tuple(self._option_to_script(option, expected, tick) for option in header.options),
        )

    def _option_to_script(self, option: TCPOption, expected: TCPPacket, tick: int) -> TCPOption:
        match option:
            case SACK(blocks):
                isn = self._remote_isn or 0
                return SACK(tuple((wrap(left - isn), wrap(right - isn)) for left, right in blocks))
            case Timestamps(value, _):
                written = next((each for each in expected.options or () if isinstance(each, Timestamps)), None)
                return option if written is None else evolve(option, value=self._stamp(value, written.value, tick))
            case FastOpen(cookie) if self.cookies is not None and cookie == self.cookies[1]:
                return FastOpen(self.cookies[0])
        return option

    def _stamp(self, wire: int, script: int, tick: int) -> int:
        """TSval as the script counts it: from its first one. Without a tick, what the script says is true."""
        if self._first_stamp is None:
            self._first_stamp = (script, wire)
        self._stamps[script] = wire
        if not tick:
            return script
        first_script, first_wire = self._first_stamp
        counted = wrap(first_script + wire - first_wire)
        return script if abs(counted - script) <= 1 else counted
