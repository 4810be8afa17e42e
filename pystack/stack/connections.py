"""The TCP connections of one host: how they are made, where they are found, and which local ports they hold until
nothing is left of them."""

from collections import Counter, OrderedDict
from collections.abc import Callable
from errno import EADDRINUSE
from functools import partial

from attrs import define, field

from pystack.net.family import family_of
from pystack.net.path import Path
from pystack.stack.claims import PortClaims
from pystack.stack.config import StackConfig
from pystack.stack.flow import (
    DEFAULT_MSS,
    TCP,
    TCP_HEADER,
    Flow,
    Lingering,
    Settings,
    fit_to_path,
    flow_key,
    ports_of,
    super_segment,
)
from pystack.stack.ports import Ports
from pystack.stack.timers import Alarm, Timers
from pystack.transport.tcp.connection import TCPConnection
from pystack.transport.tcp.isn import ISNGenerator
from pystack.transport.tcp.timewait import TimeWait
from pystack.units import Ns
from pystack.wire.pseudo import pseudo_sum

__all__ = ["Connections"]


@define(eq=False)
class Connections:
    timers: Timers
    counters: Counter[str]
    ports: Ports
    claims: PortClaims
    numbers: ISNGenerator
    config: StackConfig
    on_alarm: Callable[[Flow, Ns], None]
    """A connection's deadline has come."""
    flows: dict[bytes, Flow] = field(init=False, factory=dict)
    """The living ones."""
    lingering: OrderedDict[bytes, Lingering] = field(init=False, factory=OrderedDict)
    """Those in TIME-WAIT that have no user, in the order in which it ends."""
    _end: Alarm = field(init=False)
    """Of the first one's TIME-WAIT, or one before it that is gone."""

    @_end.default
    def _make_end(self) -> Alarm:
        return self.timers.alarm(self._forget_due)

    @property
    def is_full(self) -> bool:
        return len(self.flows) >= self.config.connection_limit

    # --- local ports

    def choose_port(self, path: Path, remote_port: int) -> int:
        """An ephemeral port, claimed from the link. Raises EADDRNOTAVAIL."""
        target = path.dst + remote_port.to_bytes(2, "big")
        return self.ports.choose(target, lambda port: self._take_ephemeral(path, port, remote_port))

    def _take_ephemeral(self, path: Path, port: int, remote_port: int) -> bool:
        if self.ports.is_bound(port):
            return False
        try:
            return self.take(path, port, remote_port)
        except OSError as error:
            if error.errno == EADDRINUSE:
                return False
            raise

    def take(self, path: Path, port: int, remote_port: int) -> bool:
        """Whether `port` can serve a connection to `path.dst`; if so it is claimed from the link. Raises EADDRINUSE
        when the kernel has given it to somebody else."""
        key = flow_key(path.src, port, path.dst, remote_port)
        if key in self.flows or key in self.lingering:
            return False
        self.claims.acquire(path.interface, path.src, port)
        return True

    def _vacate(self, path: Path, local_port: int) -> None:
        self.ports.vacate(local_port)
        self.claims.release(path.interface, path.src, local_port)

    # --- from the first segment to the last

    def make(
        self, path: Path, local_port: int, remote_port: int, settings: Settings, iss: int, now: Ns
    ) -> TCPConnection:
        """One that is in no table. It announces what the path takes without IP options, and sends what it takes with
        ours (RFC 6691)."""
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
        fit_to_path(connection, path, now)
        return connection

    def add(self, key: bytes, path: Path, settings: Settings, now: Ns, iss: int | None = None) -> Flow:
        """One in its place, on a port that is claimed already."""
        local_port, remote_port = ports_of(key)
        if iss is None:
            iss = self.numbers.isn(path.src, local_port, path.dst, remote_port, now)
        flow = Flow(
            key,
            self.make(path, local_port, remote_port, settings, iss, now),
            path,
            pseudo_sum(path.src, path.dst, TCP),
            settings,
            path.mtu,
            super_segment(path),
        )
        flow.alarm = self.timers.alarm(partial(self.on_alarm, flow))
        self.flows[key] = flow
        self.ports.occupy(local_port)
        return flow

    def add_passive(self, key: bytes, path: Path, settings: Settings, now: Ns, iss: int | None = None) -> Flow:
        """As `add`, on a listener's port, in place of one in TIME-WAIT, if there is one: it then begins beyond the old
        one's numbers (MAY-2)."""
        lingering = self.lingering.get(key)
        if lingering is not None:
            iss = lingering.record.next_iss if iss is None else iss
            self.forget(lingering)
        self.claims.acquire(path.interface, path.src, ports_of(key)[0])
        flow = self.add(key, path, settings, now, iss)
        flow.passive = True
        return flow

    def remove(self, flow: Flow) -> None:
        self._drop(flow)
        self._vacate(flow.path, flow.connection.local_port)

    def linger(self, flow: Flow, record: TimeWait) -> None:
        """Replace a connection in TIME-WAIT that has no user by its record."""
        self._drop(flow)
        if len(self.lingering) >= self.config.time_wait_limit:
            self.counters["tcp.time_wait_evicted"] += 1
            self.forget(next(iter(self.lingering.values())))
        self.lingering[flow.key] = Lingering(flow.key, record, flow.path, flow.pseudo, flow.settings)
        if self._end.deadline is None:
            self._end.set(record.deadline)

    def linger_on(self, lingering: Lingering) -> None:
        """Its TIME-WAIT has begun again, and ends after all others."""
        self.lingering.move_to_end(lingering.key)

    def forget(self, lingering: Lingering) -> None:
        """Its TIME-WAIT is over."""
        del self.lingering[lingering.key]
        self._vacate(lingering.path, ports_of(lingering.key)[0])
        if not self.lingering:
            self._end.set(None)

    def _forget_due(self, now: Ns) -> None:
        """One that its user left only in TIME-WAIT may be due before others that came earlier: it waits for them."""
        while self.lingering:
            first = next(iter(self.lingering.values()))
            if first.record.deadline > now:
                self._end.set(first.record.deadline)
                return
            self.forget(first)

    def _drop(self, flow: Flow) -> None:
        del self.flows[flow.key]
        flow.alarm.cancel()
        flow.end_deferral()
