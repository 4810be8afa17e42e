"""The TCP side of one host: which segment belongs to which connection, and when each may send."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from errno import EADDRINUSE, ENOBUFS, EPROTO

from attrs import evolve

from pystack.errors import DecodeError, os_error
from pystack.link.base import Checksum
from pystack.net.errors import PathError
from pystack.net.interface import Interface
from pystack.net.network import Network
from pystack.net.packet import IPPacket
from pystack.net.path import Path
from pystack.net.sourceroute import SourceRoute
from pystack.stack.accounts import Accounts
from pystack.stack.agenda import Agenda
from pystack.stack.claims import PortClaims
from pystack.stack.config import StackConfig
from pystack.stack.connections import Connections
from pystack.stack.failure import failure_of
from pystack.stack.fastopen import FastOpenService
from pystack.stack.flow import TCP, Flow, Lingering, ListeningPort, Settings, flow_key, ports_of, super_segment
from pystack.stack.memory import MemoryBudget
from pystack.stack.passive import PassiveOpens
from pystack.stack.ports import Ports
from pystack.stack.timers import Timers
from pystack.stack.transmitter import Transmitter
from pystack.transport.tcp.config import TCPConfig
from pystack.transport.tcp.fastopen import ActiveFastOpen
from pystack.transport.tcp.isn import ISNGenerator
from pystack.transport.tcp.segment import Segment, reset_for
from pystack.transport.tcp.state import State
from pystack.transport.tcp.syncookie import SYNCookies
from pystack.units import Ns
from pystack.wire.checksum import ones_sum_buffers
from pystack.wire.pseudo import pseudo_sum

__all__ = ["TCPService"]

SHARE = 8
"""No buffer grows beyond the memory limit divided by it: a connection that nobody reads leaves something to others."""


class TCPService:
    def __init__(
        self,
        network: Network,
        timers: Timers,
        memory: MemoryBudget,
        counters: Counter[str],
        ports: Ports,
        claims: PortClaims,
        numbers: ISNGenerator,
        cookies: SYNCookies,
        fast_open: FastOpenService,
        config: StackConfig,
    ) -> None:
        self.network = network
        self.counters = counters
        self.connections = Connections(timers, counters, ports, claims, numbers, config, self._on_alarm)
        self._agenda = Agenda()
        self.accounts = Accounts(memory, counters, self._agenda)
        self._transmitter = Transmitter(network, counters)
        self._passive = PassiveOpens(
            self.connections,
            self._transmitter,
            self._agenda,
            timers,
            memory,
            cookies,
            fast_open,
            config,
            counters,
        )
        self.begin_with(config)

    def begin_with(self, config: StackConfig) -> None:
        """Whatever is new has the settings of `config` from now on."""
        self.plain = Settings(_within_share(config.tcp, config.memory_limit // SHARE))

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
        connections = self.connections
        if connections.is_full:
            raise os_error(ENOBUFS, "this stack has as many connections as connection_limit allows")
        if local_port is None:
            local_port = connections.choose_port(path, remote_port)
        elif not connections.take(path, local_port, remote_port):
            raise os_error(EADDRINUSE, f"port {local_port} is in use towards the same destination")
        flow = connections.add(flow_key(path.src, local_port, path.dst, remote_port), path, settings, now)
        flow.connection.connect(now, fast_open)
        if data:
            flow.connection.send(data, now, most=self.accounts.send_room(flow))
        self.push(flow, now)
        return flow

    def listen(
        self, address: bytes, port: int, backlog: int, settings: Settings, wake: Callable[[Ns], None]
    ) -> ListeningPort:
        """Passive open. Raises EADDRINUSE."""
        return self._passive.listen(address, port, backlog, settings, wake)

    def unlisten(self, listening: ListeningPort, now: Ns) -> None:
        """Close a listener: whatever nobody has accepted is reset (RFC 9293, section 3.10.4)."""
        for flow in self._passive.unlisten(listening):
            self._reset(flow, now)

    def push(self, flow: Flow, now: Ns) -> None:
        """Let the user's call take effect: what may be sent is sent at once."""
        while room := flow.path.interface.room:
            self._transmitter.send_some(flow, room, now)
            self.network.flush(now)
            if not flow.connection.has_output(now):
                break
        else:
            self._agenda.enqueue(flow)
        if not flow.touched:
            self._rest(flow, now)

    def after_read(self, flow: Flow, now: Ns) -> None:
        """The user has read: memory is free, and the window may have opened enough to tell the peer."""
        if flow.connection.has_output(now):
            self.push(flow, now)
        elif not flow.touched and self.connections.flows.get(flow.key) is flow:
            self.accounts.charge(flow, now)

    def detach(self, flow: Flow, now: Ns) -> None:
        """The user is gone: the connection goes on by itself to its end."""
        flow.on_progress = None
        self.accounts.orphan(flow)
        self.push(flow, now)

    # --- what the network delivers

    def deliver(self, packet: IPPacket, now: Ns) -> None:
        try:
            segment = Segment.from_bytes(packet.payload, packet.gso_size)
        except DecodeError as error:
            self.counters[error.reason] += 1
            return
        key = packet.src + packet.dst + memoryview(packet.payload[0])[:4]
        flow = self.connections.flows.get(key)
        if packet.checksum is Checksum.COMPLETE:
            pseudo = flow.pseudo if flow is not None else pseudo_sum(packet.src, packet.dst, TCP)
            if ones_sum_buffers(packet.payload, pseudo + packet.length) != 0xFFFF:
                self.counters["tcp.checksum"] += 1
                return
        if flow is None:
            self._deliver_unknown(key, segment, packet, now)
            return
        takes_text = not (segment.length and self.accounts.refuses_data(flow))
        if not takes_text:
            self.counters["tcp.memory"] += 1
        if packet.route is not None:
            self._follow(flow, packet.route, segment)
        segment.ecn = packet.tos & 3
        flow.connection.on_segment(segment, now, takes_text=takes_text)
        if not flow.touched:
            flow.touched = True
            self._agenda.touched.append(flow)

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
        passive = self._passive
        listening = passive.find(packet.dst, ports_of(key)[0])
        lingering = self.connections.lingering.get(key)
        if lingering is not None and (listening is None or not lingering.may_reopen(listening, segment)):
            if listening is None or not passive.redeem(listening, key, segment, packet, now):
                self._answer_lingering(lingering, segment, now)
        elif packet.broadcast:
            self.counters["tcp.broadcast"] += 1
        elif listening is not None:
            if not passive.admit(listening, key, segment, packet, now):
                self._refuse(key, segment, packet, now)
        else:
            self.counters["tcp.no_socket"] += 1
            if not packet.interface.capabilities.shares_host:
                self._refuse(key, segment, packet, now)

    def _refuse(self, key: bytes, segment: Segment, packet: IPPacket, now: Ns) -> None:
        """Answer a segment that finds nobody with RST (RFC 9293, section 3.10.7.1)."""
        reset = reset_for(segment)
        path = None if reset is None else self._transmitter.path_back(packet, self.plain)
        if reset is not None and path is not None:
            self._transmitter.answer(reset, path, ports_of(key), self.plain, now)

    def _answer_lingering(self, lingering: Lingering, segment: Segment, now: Ns) -> None:
        record = lingering.record
        deadline = record.deadline
        reply = record.on_segment(segment, now)
        if record.deadline != deadline:
            self.connections.linger_on(lingering)
        if reply is not None:
            ports = ports_of(lingering.key)
            self._transmitter.send(reply, lingering.path, lingering.pseudo, ports, lingering.settings, now)

    def on_path_error(self, error: PathError, now: Ns) -> None:
        """An ICMP error, or a local failure, about a segment of ours: it must quote a living connection (RFC 5927)."""
        remote_port, local_port = error.quote[2:4], error.quote[0:2]
        flow = self.connections.flows.get(error.dst + error.src + remote_port + local_port)
        if flow is None:
            self.counters["tcp.error_for_nobody"] += 1
            return
        connection = flow.connection
        if not connection.is_outstanding(int.from_bytes(error.quote[4:8], "big")):
            self.counters["tcp.error_out_of_window"] += 1
            return
        if error.mtu is not None:
            self.network.lower_path_mtu(error.dst, error.mtu, now)
            self._agenda.enqueue(flow)
        else:
            connection.on_path_error(error.errno, error.hard and error.errno != EPROTO, now)  # MUST-56: a soft error
            if connection.state is State.CLOSED:
                connection.error = failure_of(error)
        self._agenda.touch(flow)

    def on_link_down(self, interface: Interface, error: OSError, now: Ns) -> None:
        """Every connection through `interface` fails with `error`; nothing can be sent there any more."""
        for flow in self.flows:
            if flow.path.interface is interface:
                flow.connection.fail(error, now)
                self._agenda.touch(flow)

    # --- the turns of a poll

    @property
    def has_work(self) -> bool:
        """Whether `settle` has something to do now."""
        return self._agenda.has_work

    def settle(self, now: Ns, budget: int) -> None:
        """After input and timers: send what may be sent, about `budget` segments, then tell those who wait."""
        agenda = self._agenda
        touched, agenda.touched = agenda.touched, []
        for flow in touched:
            if flow.connection.has_output(now):
                agenda.enqueue(flow)
        self._send_in_turn(now, budget)
        for flow in touched:
            if flow.connection.snd_una > flow.acknowledged:
                flow.acknowledged = flow.connection.snd_una
                self.network.confirm(flow.path, now)
            if flow.on_progress is not None:
                flow.on_progress(now)
            flow.touched = False
            self._rest(flow, now)

    def _send_in_turn(self, now: Ns, budget: int) -> None:
        ready = self._agenda.ready
        stalled: list[Flow] = []
        while ready and budget > 0:
            flow = ready.popleft()
            room = flow.path.interface.room
            if not room:
                stalled.append(flow)
                continue
            budget -= self._transmitter.send_some(flow, room, now)
            if flow.connection.has_output(now):
                ready.append(flow)
            else:
                flow.queued = False
                if not flow.touched:
                    self._rest(flow, now)
        ready.extend(stalled)

    def _rest(self, flow: Flow, now: Ns) -> None:
        """Between two events: the alarm, the accept queue and the table follow the connection's state. What is touched
        comes to rest at the end of its turn, whatever its user does meanwhile."""
        if self.connections.flows.get(flow.key) is not flow:
            return
        connection = flow.connection
        state = connection.state
        if flow.listener is not None:
            self._passive.follow(flow, flow.listener, now)
        if state is State.CLOSED:
            if not flow.queued:
                self.accounts.close(flow)
                self.connections.remove(flow)
        elif flow.orphan and state is State.TIME_WAIT and not connection.has_output(now):
            self.accounts.close(flow)
            self.connections.linger(flow, connection.time_wait_record())
        else:
            flow.alarm.set(connection.next_deadline())
            self.accounts.charge(flow, now)

    def _on_alarm(self, flow: Flow, now: Ns) -> None:
        with suppress(OSError):  # no way there for the moment: the old path is as good as any
            flow.path = self.network.refresh(flow.path)
        connection = flow.connection
        suspected = connection.path_suspect
        connection.on_timer(now)
        if connection.path_suspect and not suspected:  # R1: MUST-20 (b)
            with suppress(OSError):
                flow.path = self.network.doubt(flow.path, now)
        self._agenda.touch(flow)

    # --- the end of the host

    @property
    def flows(self) -> list[Flow]:
        return list(self.connections.flows.values())

    @property
    def unfinished(self) -> bool:
        """Whether some connection still has octets, or its FIN, to bring to the peer."""
        return any(flow.connection.unacknowledged for flow in self.connections.flows.values())

    def drop_everything(self, now: Ns) -> None:
        """Reset what is not finished and forget TIME-WAIT."""
        for listening in self._passive.listeners:
            self.unlisten(listening, now)
        for flow in self.flows:
            self._reset(flow, now)
        for lingering in list(self.connections.lingering.values()):
            self.connections.forget(lingering)

    def _reset(self, flow: Flow, now: Ns) -> None:
        self.accounts.orphan(flow)
        flow.connection.abort(now)
        self.push(flow, now)


def _within_share(config: TCPConfig, share: int) -> TCPConfig:
    """`config`, its buffers growing to `share` octets at most. What they begin with stays as it is."""
    if max(config.receive_buffer_max, config.send_buffer_max) <= share:
        return config
    return evolve(
        config,
        receive_buffer_max=max(min(config.receive_buffer_max, share), config.receive_buffer),
        send_buffer_max=max(min(config.send_buffer_max, share), config.send_buffer),
    )
