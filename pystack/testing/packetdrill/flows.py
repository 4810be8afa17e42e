"""Which connection the script's packets belong to."""

from collections.abc import Iterator
from ipaddress import ip_address
from itertools import count

from attrs import define, field

from pystack.stack.endpoint import Endpoint
from pystack.stack.stream import StreamEndpoint
from pystack.testing.packetdrill.flow import Flow
from pystack.testing.packetdrill.script import Packet, TCPPacket
from pystack.testing.packetdrill.sent import Sent
from pystack.testing.packetdrill.settings import Settings
from pystack.wire.tcp import TCPFlags

__all__ = ["Flows"]

_FIRST_PORT = 53001
"""Where connections to a listener come from; each one port further."""


@define(eq=False)
class Flows:
    """A script names no ports: its packets are those of the connection that it opened last. connect() opens one, and
    after listen() so does the next SYN."""

    settings: Settings
    current: Flow | None = field(default=None, init=False)
    _earlier: list[Flow] = field(factory=list, init=False)
    _listening: int | None = field(default=None, init=False)
    """The port where the next SYN opens a connection."""
    _ports: Iterator[int] = field(factory=lambda: count(_FIRST_PORT), init=False)

    # --- what the script's calls change

    def on_listen(self, endpoint: StreamEndpoint) -> None:
        self._listening = endpoint.getsockname()[1]

    def on_accept(self, endpoint: StreamEndpoint) -> None:
        if self.current is not None and self.current.endpoint is None:
            self.current.endpoint = endpoint

    def on_target(self, endpoint: Endpoint, target: tuple[str, int]) -> None:
        """A connection, or datagrams, go out from `endpoint`; or datagrams for it may come from there."""
        local, local_port = endpoint.getsockname()
        address = ip_address(local)
        flow = Flow(
            self.settings.local if address.is_unspecified else address,
            local_port,
            ip_address(target[0]),
            target[1],
            endpoint,
        )
        if self.current is None or self.current.addresses != flow.addresses or self.current.endpoint is not endpoint:
            self._turn_to(flow)

    def _turn_to(self, flow: Flow) -> None:
        if self.current is not None and self.current.addresses != flow.addresses:
            self._earlier.append(self.current)
        self.current = flow

    # --- packets

    def for_inbound(self, packet: Packet) -> Flow:
        """Where an inbound packet goes: to the connection, or to a port where perhaps nobody is."""
        body = packet.body
        opens = isinstance(body, TCPPacket) and body.flags & (TCPFlags.SYN | TCPFlags.ACK) == TCPFlags.SYN
        if self.current is None or (opens and self._listening is not None):
            port = self._listening or self.settings.bind_port
            if opens:
                self._listening = None
            flow = Flow(self.settings.local, port, self.settings.remote, next(self._ports))
            self._turn_to(flow)
            return flow
        return self.current

    def for_outbound(self, sent: Sent) -> Flow | None:
        """The connection, if the packet is one of its."""
        return self.current if self.current is not None and self.current.sends(sent) else None

    def concerns(self, sent: Sent) -> bool:
        """Whether the script could expect this packet: those of its earlier connections it has turned away from."""
        return not any(flow.sends(sent) for flow in self._earlier) or self.for_outbound(sent) is not None
