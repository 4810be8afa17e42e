"""Passive opens of one host: from a SYN, or the cookie that stands for one, to the queue of whoever accepts."""

from collections import Counter
from collections.abc import Callable
from errno import EADDRINUSE

from attrs import define, field

from pystack.errors import PeerReset, os_error
from pystack.net.packet import IPPacket
from pystack.stack.agenda import Agenda
from pystack.stack.config import StackConfig
from pystack.stack.connections import Connections
from pystack.stack.fastopen import FastOpenService
from pystack.stack.flow import DEFAULT_MSS, Flow, ListeningPort, Settings, ports_of
from pystack.stack.memory import MemoryBudget
from pystack.stack.ports import ANY
from pystack.stack.timers import Timers
from pystack.stack.transmitter import Transmitter
from pystack.transport.tcp.fastopen import PassiveFastOpen
from pystack.transport.tcp.listener import HALF_OPEN_FULL, Listener
from pystack.transport.tcp.segment import ACK, RST, SYN, Segment
from pystack.transport.tcp.state import State
from pystack.transport.tcp.syncookie import COOKIE_LIFETIME, SYNCookies
from pystack.units import SECOND, Ns

__all__ = ["PassiveOpens"]


@define(eq=False)
class PassiveOpens:
    connections: Connections
    transmitter: Transmitter
    agenda: Agenda
    timers: Timers
    memory: MemoryBudget
    cookies: SYNCookies
    fast_open: FastOpenService
    config: StackConfig
    counters: Counter[str]
    _listeners: dict[tuple[bytes, int], ListeningPort] = field(init=False, factory=dict)

    # --- listening ports

    @property
    def listeners(self) -> list[ListeningPort]:
        return list(self._listeners.values())

    def listen(
        self, address: bytes, port: int, backlog: int, settings: Settings, wake: Callable[[Ns], None]
    ) -> ListeningPort:
        """Raises EADDRINUSE."""
        if (address, port) in self._listeners:
            raise os_error(EADDRINUSE, f"another socket of this host listens on port {port}")
        queues: Listener[Flow] = Listener(min(backlog, self.config.max_backlog), self.config.half_open_limit)
        listening = ListeningPort(address, port, queues, settings, wake)
        self._listeners[address, port] = listening
        return listening

    def unlisten(self, listening: ListeningPort) -> list[Flow]:
        """Close a listener. What nobody has accepted is left to the caller."""
        if self._listeners.pop((listening.address, listening.port), None) is None:
            return []
        waiting = listening.queues.drain()
        for flow in waiting:
            flow.listener = None
        return waiting

    def find(self, address: bytes, port: int) -> ListeningPort | None:
        """Who listens for packets to `address`: its own listener comes before those of wildcards."""
        for place in ((address, port), (bytes(len(address)), port), (ANY, port)):
            if place in self._listeners:
                return self._listeners[place]
        return None

    # --- what brings connections

    def admit(self, listening: ListeningPort, key: bytes, segment: Segment, packet: IPPacket, now: Ns) -> bool:
        """LISTEN state, RFC 9293, section 3.10.7.2: a plain SYN begins a connection, an ACK may bring a cookie back.
        False: an ACK that brings none."""
        if segment.flags & RST:
            return True
        if segment.flags & ACK:
            return self.redeem(listening, key, segment, packet, now)
        if not segment.flags & SYN:
            return True
        refusal = self._refusal or listening.queues.refusal
        if refusal:
            self.counters[refusal] += 1
            if refusal == HALF_OPEN_FULL and self.config.syn_cookies:
                self._answer_with_cookie(listening, key, segment, packet, now)
            return True
        fast_open = self.fast_open.passive(listening, segment, packet, now, cookieless=listening.settings.cookieless)
        flow = self._open(listening, key, packet, None, now, fast_open)
        if flow is not None:
            flow.connection.on_segment(segment, now)
            if flow.connection.fast_opened:
                self.counters["tcp.fast_open_accepted"] += 1
                listening.queues.fast_opens.begin()
            self.agenda.touch(flow)
        return True

    def redeem(self, listening: ListeningPort, key: bytes, ack: Segment, packet: IPPacket, now: Ns) -> bool:
        """Make the connection that a cookie stands for, as if its SYN had just been answered. False: no cookie."""
        if now >= listening.cookies_until:
            return False
        syn = None if ack.flags & (SYN | RST) else self.cookies.recover(key, ack, now)
        lingering = self.connections.lingering.get(key)
        if syn is None or (lingering is not None and not lingering.may_reopen(listening, syn)):
            return False
        refusal = self._refusal or listening.queues.refusal
        if refusal and refusal != HALF_OPEN_FULL:
            self.counters[refusal] += 1
            return True
        flow = self._open(listening, key, packet, ack.ack - 1 & 0xFFFF_FFFF, now)
        if flow is not None:
            self.counters["tcp.cookies_redeemed"] += 1
            flow.connection.on_segment(syn, now)
            flow.connection.take_output(now, 1)  # the SYN-ACK that the peer has
            flow.connection.on_segment(ack, now)
            self.agenda.touch(flow)
        return True

    def _answer_with_cookie(
        self, listening: ListeningPort, key: bytes, syn: Segment, packet: IPPacket, now: Ns
    ) -> None:
        """SYN-ACK without memory (RFC 4987, section 3.6): what a connection would answer, its numbers replaced."""
        settings = listening.settings
        path = self.transmitter.path_back(packet, settings)
        if path is None:
            return
        connection = self.connections.make(path, *ports_of(key), settings, 0, now)
        connection.listen(PassiveFastOpen(None, accepted=False))  # what is not remembered is not acknowledged
        connection.on_segment(syn, now)
        for syn_ack in connection.take_output(now, 1):
            self.cookies.answer(key, syn, syn_ack, now, DEFAULT_MSS[len(path.dst)])
            self.transmitter.answer(syn_ack, path, ports_of(key), settings, now)
            self.counters["tcp.cookies_sent"] += 1
            listening.cookies_until = now + COOKIE_LIFETIME

    def _open(
        self,
        listening: ListeningPort,
        key: bytes,
        packet: IPPacket,
        iss: int | None,
        now: Ns,
        fast_open: PassiveFastOpen | None = None,
    ) -> Flow | None:
        """A connection in LISTEN for what `packet` brings. None: there is no way back."""
        path = self.transmitter.path_back(packet, listening.settings)
        if path is None:
            return None
        flow = self.connections.add_passive(key, path, listening.settings, now, iss)
        flow.listener = listening
        listening.queues.opening(key, flow)
        flow.connection.listen(fast_open)
        return flow

    @property
    def _refusal(self) -> str:
        """Why no connection at all is taken on, by a cookie neither, or ""."""
        if self.connections.is_full:
            return "tcp.connection_limit"
        return "tcp.memory" if self.memory.refuses_connections else ""

    # --- from the handshake to whoever accepts

    def follow(self, flow: Flow, listening: ListeningPort, now: Ns) -> None:
        """Let the listener's queues follow. With Fast Open the user may accept before the handshake is done."""
        connection, queues = flow.connection, listening.queues
        synchronized = connection.snd_una > connection.iss
        closed = connection.state is State.CLOSED
        if not connection.fast_opened:
            if synchronized or closed:
                self._leave_handshake(flow, listening, now)
            return
        if queues.established(flow.key):
            listening.on_progress(now)
        if synchronized or closed:
            reset = not synchronized and isinstance(connection.error, PeerReset)
            queues.fast_opens.end(reset=reset, now=now)
            flow.listener = None

    def _leave_handshake(self, flow: Flow, listening: ListeningPort, now: Ns) -> None:
        connection = flow.connection
        if connection.state is State.CLOSED:
            listening.queues.forget(flow.key)
        elif listening.settings.defer_accept and not (connection.readable or connection.eof):
            if flow.deferral is None:
                flow.deferral = self.timers.alarm(lambda when: self._admit_silent(flow, when))
                flow.deferral.set(now + listening.settings.defer_accept * SECOND)
            return
        else:
            listening.queues.established(flow.key)
            listening.on_progress(now)
        flow.end_deferral()
        flow.listener = None

    def _admit_silent(self, flow: Flow, now: Ns) -> None:
        """TCP_DEFER_ACCEPT's time is over, and the peer has sent nothing."""
        listening, flow.listener = flow.listener, None
        if listening is not None:
            listening.queues.established(flow.key)
            listening.on_progress(now)
