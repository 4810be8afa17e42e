"""The TCP side of one host: which segment belongs to which connection, when each may send, and where it ends."""

from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from errno import EADDRINUSE, ENOBUFS, EPROTO

from attrs import define, field

from pystack.errors import DecodeError, PeerReset, os_error
from pystack.link.base import Checksum
from pystack.net.errors import PathError
from pystack.net.family import family_of
from pystack.net.interface import Interface
from pystack.net.network import Network
from pystack.net.packet import IPPacket
from pystack.net.path import Path
from pystack.net.sourceroute import SourceRoute
from pystack.stack.claims import PortClaims
from pystack.stack.config import StackConfig
from pystack.stack.failure import failure_of
from pystack.stack.fastopen import FastOpenService
from pystack.stack.flow import (
    DEFAULT_MSS,
    TCP_HEADER,
    Flow,
    Lingering,
    ListeningPort,
    Settings,
    flow_key,
    ports_of,
    super_segment,
)
from pystack.stack.memory import MemoryBudget
from pystack.stack.ports import ANY, Ports
from pystack.stack.timers import Timers
from pystack.transport.tcp.connection import TCPConnection
from pystack.transport.tcp.fastopen import ActiveFastOpen, PassiveFastOpen
from pystack.transport.tcp.isn import ISNGenerator
from pystack.transport.tcp.listener import HALF_OPEN_FULL, Listener
from pystack.transport.tcp.segment import ACK, RST, SYN, Segment, reset_for
from pystack.transport.tcp.state import State
from pystack.transport.tcp.syncookie import COOKIE_LIFETIME, SYNCookies
from pystack.transport.tcp.timewait import TimeWait
from pystack.units import SECOND, Ns
from pystack.wire.checksum import ones_sum_buffers
from pystack.wire.pseudo import pseudo_sum

__all__ = ["TCP", "TCPService"]

TCP = 6
CHECKSUM_OFFSET = 16
QUANTUM = 32
"""Segments that one connection may send before the next one's turn."""

GUARANTEED = 4096
"""Octets that a connection may hold in each direction however short memory is, so that each makes progress (Linux's
tcp_rmem and tcp_wmem minimum)."""


@define(eq=False)
class TCPService:
    network: Network
    timers: Timers
    memory: MemoryBudget
    counters: Counter[str]
    ports: Ports
    claims: PortClaims
    numbers: ISNGenerator
    cookies: SYNCookies
    fast_open: FastOpenService
    config: StackConfig
    _flows: dict[bytes, Flow] = field(init=False, factory=dict)
    _lingering: dict[bytes, Lingering] = field(init=False, factory=dict)
    _listeners: dict[tuple[bytes, int], ListeningPort] = field(init=False, factory=dict)
    _touched: list[Flow] = field(init=False, factory=list)
    _ready: deque[Flow] = field(init=False, factory=deque)
    _orphans: dict[Flow, None] = field(init=False, factory=dict)
    """Connections that live on without a user, oldest first."""

    @property
    def _plain(self) -> Settings:
        return Settings(self.config.tcp)

    # --- what endpoints ask for

    def open(
        self,
        path: Path,
        local_port: int | None,
        remote_port: int,
        settings: Settings,
        now: Ns,
        fast_open: ActiveFastOpen | None = None,
        data: bytes | memoryview = b"",
    ) -> Flow:
        """Active open: the SYN is sent, unless `fast_open` lets it wait for data. `data` is queued before. `local_port`
        None: an ephemeral one. Raises EADDRINUSE, EADDRNOTAVAIL."""
        if len(self._flows) >= self.config.connection_limit:
            raise os_error(ENOBUFS, "this stack has as many connections as connection_limit allows")
        if local_port is None:
            target = path.dst + remote_port.to_bytes(2, "big")
            local_port = self.ports.choose(target, lambda port: self._take(path, port, remote_port, ephemeral=True))
        elif not self._take(path, local_port, remote_port, ephemeral=False):
            raise os_error(EADDRINUSE, f"port {local_port} is in use towards the same destination")
        flow = self._new_flow(path, local_port, remote_port, settings, now)
        flow.connection.connect(now, fast_open)
        if data:
            flow.connection.send(data, now, most=self.send_room(flow))
        self.push(flow, now)
        return flow

    def _take(self, path: Path, port: int, remote_port: int, *, ephemeral: bool) -> bool:
        """Whether `port` can serve a connection to `path.dst`; if so it is claimed from the link."""
        key = flow_key(path.src, port, path.dst, remote_port)
        if key in self._flows or key in self._lingering:
            return False
        if ephemeral and self.ports.is_bound(port):
            return False
        try:
            self.claims.acquire(path.interface, path.src, port)
        except OSError as error:
            if ephemeral and error.errno == EADDRINUSE:
                return False
            raise
        return True

    def listen(
        self, address: bytes, port: int, backlog: int, settings: Settings, wake: Callable[[Ns], None]
    ) -> ListeningPort:
        """Passive open. Raises EADDRINUSE."""
        if (address, port) in self._listeners:
            raise os_error(EADDRINUSE, f"another socket of this host listens on port {port}")
        queues: Listener[Flow] = Listener(min(backlog, self.config.max_backlog), self.config.half_open_limit)
        listening = ListeningPort(address, port, queues, settings, wake)
        self._listeners[address, port] = listening
        return listening

    def unlisten(self, listening: ListeningPort, now: Ns) -> None:
        """Close a listener: whatever nobody has accepted is reset (RFC 9293, section 3.10.4)."""
        if self._listeners.pop((listening.address, listening.port), None) is None:
            return
        for flow in listening.queues.drain():
            flow.listener = None
            self._orphan(flow)
            flow.connection.abort(now)
            self.push(flow, now)

    def send_room(self, flow: Flow) -> int:
        """Octets that memory has for what the user sends. Whoever finds none has some in flight, and looks again when
        the peer acknowledges them."""
        memory = self.memory
        return max(memory.limit - memory.used, GUARANTEED - flow.connection.send_memory, 0)

    def push(self, flow: Flow, now: Ns) -> None:
        """Let the user's call take effect: what may be sent is sent at once."""
        while flow.path.interface.has_room:
            segments = self._collect(flow, now)
            self._transmit(flow, segments, now)
            self.network.flush(now)
            if not flow.connection.has_output(now):
                break
        else:
            self._enqueue(flow)
        self._rest(flow, now)

    def after_read(self, flow: Flow, now: Ns) -> None:
        """The user has read: memory is free, and the window may have opened enough to tell the peer."""
        if flow.connection.has_output(now):
            self.push(flow, now)
        else:
            self._account(flow, now)

    def detach(self, flow: Flow, now: Ns) -> None:
        """The user is gone: the connection goes on by itself to its end."""
        flow.on_progress = None
        self._orphan(flow)
        self.push(flow, now)

    # --- what the network delivers

    def deliver(self, packet: IPPacket, now: Ns) -> None:
        try:
            segment = Segment.from_bytes(packet.payload, packet.gso_size)
        except DecodeError as error:
            self.counters[error.reason] += 1
            return
        key = packet.src + packet.dst + memoryview(packet.payload[0])[:4]
        flow = self._flows.get(key)
        if packet.checksum is Checksum.COMPLETE:
            pseudo = flow.pseudo if flow is not None else pseudo_sum(packet.src, packet.dst, TCP)
            if ones_sum_buffers(packet.payload, pseudo + packet.length) != 0xFFFF:
                self.counters["tcp.checksum"] += 1
                return
        if flow is None:
            self._deliver_unknown(key, segment, packet, now)
            return
        if segment.length and self.memory.exhausted and flow.charged - flow.connection.send_memory >= GUARANTEED:
            self.counters["tcp.memory"] += 1
            return
        if packet.route is not None:
            self._follow(flow, packet.route, segment)
        segment.ecn = packet.tos & 3
        flow.connection.on_segment(segment, now)
        if not flow.touched:
            flow.touched = True
            self._touched.append(flow)

    def _follow(self, flow: Flow, route: SourceRoute, segment: Segment) -> None:
        """A segment in the window came by another way than those before it (SHLD-24)."""
        connection = flow.connection
        offset = segment.seq - connection.rcv_nxt & 0xFFFF_FFFF
        if flow.passive and flow.settings.route is None and offset <= connection.rcv_wnd:
            with suppress(OSError):
                self.reroute(flow, route)

    def reroute(self, flow: Flow, route: SourceRoute | None) -> None:
        """Send by `route` from now on. Raises as `Network.path`."""
        if route != flow.path.route:
            flow.path = self.network.path(flow.path.dst, flow.path.src, route=route)
            flow.tso, flow.mtu = super_segment(flow.path), 0

    def _deliver_unknown(self, key: bytes, segment: Segment, packet: IPPacket, now: Ns) -> None:
        """A segment of no living connection: TIME-WAIT's, a listener's, or nobody's."""
        port = int.from_bytes(key[-2:], "big")
        places = ((address, port) for address in (packet.dst, bytes(len(packet.dst)), ANY))
        listening = next((self._listeners[place] for place in places if place in self._listeners), None)
        lingering = self._lingering.get(key)
        if lingering is not None and (listening is None or not _may_reopen(lingering, listening, segment)):
            if listening is None or not self._redeem(listening, key, segment, packet, now):
                self._answer_lingering(lingering, segment, now)
        elif packet.broadcast:
            self.counters["tcp.broadcast"] += 1
        elif listening is not None:
            self._admit(listening, key, segment, packet, now)
        else:
            self.counters["tcp.no_socket"] += 1
            if not packet.interface.capabilities.shares_host:
                self._refuse(key, segment, packet, now)

    def _admit(self, listening: ListeningPort, key: bytes, segment: Segment, packet: IPPacket, now: Ns) -> None:
        """LISTEN state, RFC 9293, section 3.10.7.2: a plain SYN begins a connection, an ACK may bring a cookie back."""
        if segment.flags & RST:
            return
        if segment.flags & ACK:
            if not self._redeem(listening, key, segment, packet, now):
                self._refuse(key, segment, packet, now)
            return
        if not segment.flags & SYN:
            return
        refusal = listening.queues.refusal or self._refusal
        if refusal:
            self.counters[refusal] += 1
            if refusal == HALF_OPEN_FULL and self.config.syn_cookies:
                self._answer_with_cookie(listening, key, segment, packet, now)
            return
        fast_open = self.fast_open.passive(listening, segment, packet, now, cookieless=listening.settings.cookieless)
        flow = self._open_passively(listening, key, packet, None, now, fast_open)
        if flow is not None:
            flow.connection.on_segment(segment, now)
            if flow.connection.fast_opened:
                self.counters["tcp.fast_open_accepted"] += 1
                listening.queues.fast_opens.begin()
            self._touch(flow)

    def _answer_with_cookie(
        self, listening: ListeningPort, key: bytes, syn: Segment, packet: IPPacket, now: Ns
    ) -> None:
        """SYN-ACK without memory (RFC 4987, section 3.6): what a connection would answer, its numbers replaced."""
        path = self._path_back(packet, listening.settings)
        if path is None:
            return
        local_port, remote_port = ports_of(key)
        connection = self._new_connection(path, local_port, remote_port, listening.settings, 0, now)
        connection.listen(PassiveFastOpen(None, accepted=False))  # what is not remembered is not acknowledged
        connection.on_segment(syn, now)
        for syn_ack in connection.take_output(now, 1):
            self.cookies.answer(key, syn, syn_ack, now, DEFAULT_MSS[len(path.dst)])
            self._send(
                syn_ack, path, pseudo_sum(path.src, path.dst, TCP), (local_port, remote_port), listening.settings, now
            )
            self.counters["tcp.cookies_sent"] += 1
            listening.cookies_until = now + COOKIE_LIFETIME

    def _redeem(self, listening: ListeningPort, key: bytes, ack: Segment, packet: IPPacket, now: Ns) -> bool:
        """Make the connection that a cookie stands for, as if its SYN had just been answered. False: no cookie."""
        if now >= listening.cookies_until:
            return False
        syn = None if ack.flags & (SYN | RST) else self.cookies.recover(key, ack, now)
        lingering = self._lingering.get(key)
        if syn is None or (lingering is not None and not _may_reopen(lingering, listening, syn)):
            return False
        refusal = listening.queues.refusal or self._refusal
        if refusal and refusal != HALF_OPEN_FULL:
            self.counters[refusal] += 1
            return True
        flow = self._open_passively(listening, key, packet, ack.ack - 1 & 0xFFFF_FFFF, now)
        if flow is not None:
            self.counters["tcp.cookies_redeemed"] += 1
            flow.connection.on_segment(syn, now)
            flow.connection.take_output(now, 1)  # the SYN-ACK that the peer has
            flow.connection.on_segment(ack, now)
            self._touch(flow)
        return True

    def _open_passively(
        self,
        listening: ListeningPort,
        key: bytes,
        packet: IPPacket,
        iss: int | None,
        now: Ns,
        fast_open: PassiveFastOpen | None = None,
    ) -> Flow | None:
        """A connection in LISTEN for what `packet` brings, in place of one in TIME-WAIT, if there is one: it then
        begins beyond the old one's numbers (MAY-2). None: there is no way back."""
        path = self._path_back(packet, listening.settings)
        if path is None:
            return None
        lingering = self._lingering.get(key)
        if lingering is not None:
            iss = lingering.record.next_iss if iss is None else iss
            self._forget_lingering(lingering)
        local_port, remote_port = ports_of(key)
        self.claims.acquire(path.interface, path.src, local_port)
        flow = self._new_flow(path, local_port, remote_port, listening.settings, now, iss)
        flow.passive = True
        flow.listener = listening
        listening.queues.opening(key, flow)
        flow.connection.listen(fast_open)
        return flow

    @property
    def _refusal(self) -> str:
        """Why no connection at all is taken on, or ""."""
        if len(self._flows) >= self.config.connection_limit:
            return "tcp.connection_limit"
        return "tcp.memory" if self.memory.refuses_connections else ""

    def _path_back(self, packet: IPPacket, settings: Settings) -> Path | None:
        """By the way that the user wants (MUST-52), or by which the packet came (MUST-53)."""
        try:
            return self.network.path(packet.src, packet.dst, route=settings.route or packet.route)
        except OSError:
            self.counters["tcp.no_route"] += 1
            return None

    def _refuse(self, key: bytes, segment: Segment, packet: IPPacket, now: Ns) -> None:
        """Answer a segment that finds nobody with RST (RFC 9293, section 3.10.7.1)."""
        reset = reset_for(segment)
        if reset is None:
            return
        path = self._path_back(packet, self._plain)
        if path is None:
            return
        self._send(reset, path, pseudo_sum(path.src, path.dst, TCP), ports_of(key), self._plain, now)

    def on_path_error(self, error: PathError, now: Ns) -> None:
        """An ICMP error, or a local failure, about a segment of ours: it must quote a living connection (RFC 5927)."""
        remote_port, local_port = error.quote[2:4], error.quote[0:2]
        flow = self._flows.get(error.dst + error.src + remote_port + local_port)
        if flow is None:
            self.counters["tcp.error_for_nobody"] += 1
            return
        connection = flow.connection
        if not connection.is_outstanding(int.from_bytes(error.quote[4:8], "big")):
            self.counters["tcp.error_out_of_window"] += 1
            return
        if error.mtu is not None:
            self.network.lower_path_mtu(error.dst, error.mtu, now)
            self._enqueue(flow)
        else:
            connection.on_path_error(error.errno, error.hard and error.errno != EPROTO, now)  # MUST-56: a soft error
            if connection.state is State.CLOSED:
                connection.error = failure_of(error)
        self._touch(flow)

    def on_link_down(self, interface: Interface, error: OSError, now: Ns) -> None:
        """Every connection through `interface` fails with `error`; nothing can be sent there any more."""
        for flow in list(self._flows.values()):
            if flow.path.interface is interface:
                flow.connection.fail(error, now)
                self._touch(flow)

    # --- the turns of a poll

    @property
    def has_work(self) -> bool:
        """Whether `settle` has something to do now."""
        if self._touched or not self._ready:
            return bool(self._touched)
        return any(flow.path.interface.has_room for flow in self._ready)

    def settle(self, now: Ns, budget: int) -> None:
        """After input and timers: send what may be sent, about `budget` segments, then tell those who wait."""
        touched, self._touched = self._touched, []
        for flow in touched:
            if flow.connection.has_output(now):
                self._enqueue(flow)
        self._send_in_turn(now, budget)
        for flow in touched:
            flow.touched = False
            if flow.connection.snd_una > flow.acknowledged:
                flow.acknowledged = flow.connection.snd_una
                self.network.confirm(flow.path, now)
            self._rest(flow, now)
            if flow.on_progress is not None:
                flow.on_progress(now)

    def _send_in_turn(self, now: Ns, budget: int) -> None:
        stalled: list[Flow] = []
        while self._ready and budget > 0:
            flow = self._ready.popleft()
            if not flow.path.interface.has_room:
                stalled.append(flow)
                continue
            segments = self._collect(flow, now)
            self._transmit(flow, segments, now)
            budget -= len(segments)
            if flow.connection.has_output(now):
                self._ready.append(flow)
            else:
                flow.queued = False
                self._rest(flow, now)
        self._ready.extend(stalled)

    def _touch(self, flow: Flow) -> None:
        if not flow.touched:
            flow.touched = True
            self._touched.append(flow)

    def _enqueue(self, flow: Flow) -> None:
        if not flow.queued:
            flow.queued = True
            self._ready.append(flow)

    def _rest(self, flow: Flow, now: Ns) -> None:
        """Between two events: the alarm, the accept queue and the table follow the connection's state."""
        if self._flows.get(flow.key) is not flow:
            return
        connection = flow.connection
        state = connection.state
        if flow.listener is not None:
            self._follow_handshake(flow, flow.listener, now)
        if state is State.CLOSED:
            if not flow.queued:
                self._remove(flow)
        elif flow.orphan and state is State.TIME_WAIT and not connection.has_output(now):
            self._linger(flow, connection.time_wait_record())
        else:
            flow.alarm.set(connection.next_deadline())
            self._charge(flow, now)

    def _account(self, flow: Flow, now: Ns) -> None:
        """As `_charge`, for a connection that may be gone."""
        if self._flows.get(flow.key) is flow:
            self._charge(flow, now)

    def _charge(self, flow: Flow, now: Ns) -> None:
        """Charge what the connection holds now, and take back what it can spare when memory is short."""
        connection, memory = flow.connection, self.memory
        cost = connection.memory
        if cost != flow.charged:
            memory.used += cost - flow.charged
            flow.charged = cost
        connection.may_grow = not memory.growth_stops
        if not connection.may_grow and memory.drops_out_of_order:
            self._save_memory(flow, now)

    def _save_memory(self, flow: Flow, now: Ns) -> None:
        connection, memory = flow.connection, self.memory
        connection.drop_out_of_order()
        memory.used += connection.memory - flow.charged
        flow.charged = connection.memory
        if memory.exhausted and self._orphans:
            oldest = next(iter(self._orphans))
            self.counters["tcp.orphan_dropped"] += 1
            oldest.connection.abort(now)
            self._touch(oldest)

    def _orphan(self, flow: Flow) -> None:
        flow.orphan = True
        self._orphans[flow] = None

    def _follow_handshake(self, flow: Flow, listening: ListeningPort, now: Ns) -> None:
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
        self._end_deferral(flow)
        flow.listener = None

    def _admit_silent(self, flow: Flow, now: Ns) -> None:
        """TCP_DEFER_ACCEPT's time is over, and the peer has sent nothing."""
        listening, flow.listener = flow.listener, None
        if listening is not None:
            listening.queues.established(flow.key)
            listening.on_progress(now)

    def _end_deferral(self, flow: Flow) -> None:
        if flow.deferral is not None:
            flow.deferral.cancel()
            flow.deferral = None

    def _collect(self, flow: Flow, now: Ns) -> list[Segment]:
        """What the connection sends now, cut for the path as it is now."""
        mtu = flow.path.mtu
        if mtu != flow.mtu:
            flow.mtu = mtu
            self._fit_to_path(flow.connection, flow.path, now)
        return flow.connection.take_output(now, min(QUANTUM, flow.path.interface.room), flow.tso)

    def _transmit(self, flow: Flow, segments: list[Segment], now: Ns) -> None:
        path, ports = flow.path, (flow.connection.local_port, flow.connection.remote_port)
        for segment in segments:
            self._send(segment, path, flow.pseudo, ports, flow.settings, now)

    def _send(
        self, segment: Segment, path: Path, pseudo: int, ports: tuple[int, int], settings: Settings, now: Ns
    ) -> None:
        header = segment.header_bytes(*ports)
        total = pseudo + len(header) + segment.length
        if path.interface.capabilities.tx_checksum:
            checksum = ones_sum_buffers((), total)
            csum_offset: int | None = CHECKSUM_OFFSET
        else:
            checksum = 0xFFFF - ones_sum_buffers((header, *segment.payload), total)
            csum_offset = None
        sealed = header[:CHECKSUM_OFFSET] + checksum.to_bytes(2, "big") + header[CHECKSUM_OFFSET + 2 :]
        self.network.send(
            path,
            TCP,
            sealed,
            segment.payload,
            segment.length,
            now,
            csum_offset=csum_offset,
            gso_size=segment.gso_size,
            ttl=settings.ttl,
            tos=settings.tos | segment.ecn,
        )

    # --- tables

    def _new_connection(
        self, path: Path, local_port: int, remote_port: int, settings: Settings, iss: int, now: Ns
    ) -> TCPConnection:
        """It announces what the path takes without IP options, and sends what it takes with ours (RFC 6691)."""
        connection = TCPConnection(
            path.src,
            path.dst,
            local_port,
            remote_port,
            iss=iss,
            mss=path.link_mtu - family_of(path.dst).header_octets - TCP_HEADER,
            default_mss=DEFAULT_MSS[len(path.dst)],
            config=settings.tcp,
            ts_offset=self.numbers.timestamp_offset(path.src, path.dst),
        )
        if settings.quick is not None:
            connection.acknowledge_quickly(settings.quick)
        self._fit_to_path(connection, path, now)
        return connection

    def _fit_to_path(self, connection: TCPConnection, path: Path, now: Ns) -> None:
        ip_options = path.header_octets - family_of(path.dst).header_octets
        connection.on_path_mtu(path.mtu - path.header_octets - TCP_HEADER, now, ip_options=ip_options)

    def _new_flow(
        self, path: Path, local_port: int, remote_port: int, settings: Settings, now: Ns, iss: int | None = None
    ) -> Flow:
        local, remote = path.src, path.dst
        if iss is None:
            iss = self.numbers.isn(local, local_port, remote, remote_port, now)
        connection = self._new_connection(path, local_port, remote_port, settings, iss, now)
        flow = Flow(
            flow_key(local, local_port, remote, remote_port),
            connection,
            path,
            pseudo_sum(local, remote, TCP),
            self.timers.alarm(lambda when: self._on_alarm(flow, when)),
            settings,
            path.mtu,
            super_segment(path),
        )
        self._flows[flow.key] = flow
        self.ports.occupy(local_port)
        return flow

    def _on_alarm(self, flow: Flow, now: Ns) -> None:
        with suppress(OSError):  # no way there for the moment: the old path is as good as any
            flow.path = self.network.refresh(flow.path)
        connection = flow.connection
        suspected = connection.path_suspect
        connection.on_timer(now)
        if connection.path_suspect and not suspected:  # R1: MUST-20 (b)
            with suppress(OSError):
                flow.path = self.network.doubt(flow.path, now)
        self._touch(flow)

    def _remove(self, flow: Flow) -> None:
        self._drop_from_tables(flow)
        self._vacate(flow.path, flow.connection.local_port)

    def _drop_from_tables(self, flow: Flow) -> None:
        del self._flows[flow.key]
        self._orphans.pop(flow, None)
        flow.alarm.cancel()
        self._end_deferral(flow)
        self.memory.used -= flow.charged
        flow.charged = 0

    def _vacate(self, path: Path, local_port: int) -> None:
        self.ports.vacate(local_port)
        self.claims.release(path.interface, path.src, local_port)

    def _linger(self, flow: Flow, record: TimeWait) -> None:
        """Replace a connection in TIME-WAIT that has no user by its record."""
        self._drop_from_tables(flow)
        if len(self._lingering) >= self.config.time_wait_limit:
            self.counters["tcp.time_wait_evicted"] += 1
            self._forget_lingering(next(iter(self._lingering.values())))
        alarm = self.timers.alarm(lambda _: self._forget_lingering(lingering))
        lingering = Lingering(flow.key, record, flow.path, flow.pseudo, flow.settings, alarm)
        self._lingering[flow.key] = lingering
        alarm.set(record.deadline)

    def _answer_lingering(self, lingering: Lingering, segment: Segment, now: Ns) -> None:
        reply = lingering.record.on_segment(segment, now)
        lingering.alarm.set(lingering.record.deadline)
        if reply is not None:
            ports = ports_of(lingering.key)
            self._send(reply, lingering.path, lingering.pseudo, ports, lingering.settings, now)

    def _forget_lingering(self, lingering: Lingering) -> None:
        del self._lingering[lingering.key]
        lingering.alarm.cancel()
        self._vacate(lingering.path, ports_of(lingering.key)[0])

    # --- the end of the host

    @property
    def flows(self) -> list[Flow]:
        return list(self._flows.values())

    @property
    def unfinished(self) -> bool:
        """Whether some connection still has octets, or its FIN, to bring to the peer."""
        return any(flow.connection.unacknowledged for flow in self._flows.values())

    def drop_everything(self, now: Ns) -> None:
        """Reset what is not finished and forget TIME-WAIT."""
        for listening in list(self._listeners.values()):
            self.unlisten(listening, now)
        for flow in self.flows:
            self._orphan(flow)
            flow.connection.abort(now)
            self.push(flow, now)
        for lingering in list(self._lingering.values()):
            self._forget_lingering(lingering)


def _may_reopen(lingering: Lingering, listening: ListeningPort, syn: Segment) -> bool:
    return lingering.record.may_reopen(syn, timestamps=listening.settings.tcp.timestamps)
