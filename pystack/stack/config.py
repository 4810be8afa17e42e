"""What a stack can be told; every cap of this layer. docs/limits.md lists them all."""

from attrs import field, frozen

from pystack.net.config import NetConfig
from pystack.transport.tcp.config import TCPConfig
from pystack.transport.tcp.fastopen import FastOpenMode
from pystack.units import SECOND, Ns

__all__ = ["StackConfig"]


@frozen
class StackConfig:
    net: NetConfig = field(factory=NetConfig)
    tcp: TCPConfig = field(factory=TCPConfig)
    """What a new connection starts with; `setsockopt` changes its own copy."""
    ephemeral_ports: tuple[int, int] = (32768, 60999)
    """First and last port that are given out unasked (Linux's range)."""
    half_open_limit: int = 256
    """Connections of one listener whose handshake is not finished; further SYNs are answered with a cookie."""
    syn_cookies: bool = True
    """False: they are dropped."""
    max_backlog: int = 4096
    """What `listen` may ask for; more is cut to this, as by Linux's somaxconn."""
    time_wait_limit: int = 16384
    """Records kept in TIME-WAIT; the oldest goes when one more is needed."""
    connection_limit: int = 65536
    """TCP connections in any other state."""
    memory_limit: int = 256 << 20
    """Octets in all buffers and queues together, each stored piece charged 128 more."""
    udp_queue_octets: int = 212992
    """Default receive queue of a UDP socket, each datagram charged `DATAGRAM_COST` octets more (Linux's default)."""
    fast_open: FastOpenMode = field(default=FastOpenMode.OFF, converter=FastOpenMode)
    """What sockets may ask for (RFC 7413)."""
    fast_open_key_period: Ns = 86400 * SECOND
    """A Fast Open cookie that this host gives out is good until the end of the next period."""
    fast_open_cache_limit: int = 1024
    """Servers whose Fast Open cookie is remembered, and as many that are left alone because it did not work."""
    fast_open_cache_lifetime: Ns = 86400 * SECOND
    """How long their cookies are kept."""
    fast_open_pause: Ns = 60 * SECOND
    """How long a server is left alone at first; doubled with each failure in a row, to an hour."""
    echo_limit: int = 1024
    """Echo requests waiting for their reply."""
