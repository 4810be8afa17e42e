"""What a stack remembers of TCP: connections in their place, listening ports, TIME-WAIT records."""

from collections.abc import Callable

from attrs import define, field, frozen

from pystack.net.family import family_of
from pystack.net.path import Path
from pystack.net.sourceroute import SourceRoute
from pystack.stack.timers import Alarm
from pystack.transport.tcp.config import TCPConfig
from pystack.transport.tcp.connection import TCPConnection
from pystack.transport.tcp.listener import Listener
from pystack.transport.tcp.segment import Segment
from pystack.transport.tcp.timewait import TimeWait
from pystack.units import Ns

__all__ = [
    "DEFAULT_MSS",
    "TCP",
    "TCP_HEADER",
    "Flow",
    "Lingering",
    "ListeningPort",
    "Settings",
    "fit_to_path",
    "flow_key",
    "ports_of",
    "super_segment",
]

TCP = 6
"""The IP protocol number."""
TCP_HEADER = 20
"""Octets, without options."""
DEFAULT_MSS = {4: 536, 16: 1220}
"""What a peer is taken to accept when it does not say, by the length of an address (RFC 9293, section 3.7.1)."""
OPTIONS_MAX = 40


@frozen
class Settings:
    """What a user sets for a connection, its IP headers included."""

    tcp: TCPConfig
    ttl: int = 64
    tos: int = 0
    cookieless: bool = False
    """Fast Open without cookies (TCP_FASTOPEN_NO_COOKIE)."""
    route: SourceRoute | None = None
    """Before what the peer's segments say."""
    defer_accept: int = 0
    """Seconds that an open connection without data may wait before a listener's user hears of it."""
    quick: bool | None = None
    """Whether acknowledging begins at once or in company (TCP_QUICKACK); None: as `tcp` says."""


@define(eq=False)
class Flow:
    """One connection in its place: its machine, where its packets go, and who is told."""

    key: bytes
    """What its inbound segments carry: remote and local address, remote and local port, as on the wire."""
    connection: TCPConnection
    path: Path
    pseudo: int
    """Sum of the pseudo-header without its length."""
    settings: Settings
    mtu: int
    """Octets of IP packet that the connection knows the path to take."""
    tso: int
    """Octets of payload that the link takes in one super-segment; 0: it takes none."""
    alarm: Alarm = field(init=False)
    passive: bool = False
    """It began with the peer's SYN: the way that its segments come is the way back."""
    listener: "ListeningPort | None" = None
    """Where it waits until it is accepted."""
    on_progress: Callable[[Ns], None] | None = None
    """The endpoint's reaction, called once per poll in which something happened to the connection."""
    acknowledged: int = 0
    """SND.UNA when the neighbour was last confirmed by it."""
    charged: int = 0
    """What the stack's memory budget has on account for it."""
    deferral: Alarm | None = None
    """Open, but nobody is told before data arrives or this goes off."""
    orphan: bool = False
    """Its user has closed it for good."""
    touched: bool = False
    queued: bool = False

    @property
    def local(self) -> tuple[bytes, int]:
        return self.path.src, self.connection.local_port

    @property
    def remote(self) -> tuple[bytes, int]:
        return self.path.dst, self.connection.remote_port

    def end_deferral(self) -> None:
        if self.deferral is not None:
            self.deferral.cancel()
            self.deferral = None


@define(eq=False)
class ListeningPort:
    """A passive open: new connections take their settings from it."""

    address: bytes
    port: int
    queues: Listener[Flow]
    settings: Settings
    on_progress: Callable[[Ns], None]
    cookies_until: Ns = 0
    """Until then an ACK may bring back a cookie."""


@define(eq=False)
class Lingering:
    """A TIME-WAIT record in its place."""

    key: bytes
    record: TimeWait
    path: Path
    pseudo: int
    settings: Settings

    def may_reopen(self, listening: ListeningPort, syn: Segment) -> bool:
        """Whether `syn` may begin a connection of `listening` in its place."""
        return self.record.may_reopen(syn, timestamps=listening.settings.tcp.timestamps)


def flow_key(local: bytes, local_port: int, remote: bytes, remote_port: int) -> bytes:
    return remote + local + remote_port.to_bytes(2, "big") + local_port.to_bytes(2, "big")


def ports_of(key: bytes) -> tuple[int, int]:
    """Local and remote port of a flow's key."""
    return int.from_bytes(key[-2:], "big"), int.from_bytes(key[-4:-2], "big")


def fit_to_path(connection: TCPConnection, path: Path, now: Ns) -> None:
    ip_options = path.header_octets - family_of(path.dst).header_octets
    connection.on_path_mtu(path.mtu - path.header_octets - TCP_HEADER, now, ip_options=ip_options)


def super_segment(path: Path) -> int:
    """Octets of payload, options aside, that the path's link takes in one super-segment; 0: it takes none."""
    capabilities = path.interface.capabilities
    if not capabilities.tx_checksum:  # whoever cuts must finish the checksums
        return 0
    return max(0, capabilities.tso - path.header_octets - TCP_HEADER - OPTIONS_MAX)
