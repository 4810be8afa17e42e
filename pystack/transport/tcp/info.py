"""What a connection tells about itself."""

from attrs import frozen

from pystack.transport.tcp.state import State
from pystack.units import Ns

__all__ = ["TCPInfo"]


@frozen(kw_only=True)
class TCPInfo:
    """A snapshot, after Linux's `struct tcp_info`. Durations in nanoseconds, sizes in octets."""

    state: State
    snd_mss: int
    """Payload octets of a full segment, options already taken off."""
    rcv_mss: int
    """The largest payload seen from the peer."""
    advertised_mss: int
    snd_wnd: int
    rcv_wnd: int
    snd_scale: int
    """Shift of the windows that the peer sends."""
    rcv_scale: int
    timestamps: bool

    congestion: str
    cwnd: int
    ssthresh: int | None
    """None before the first loss."""
    in_recovery: bool

    srtt: Ns | None
    rttvar: Ns
    min_rtt: Ns | None
    rto: Ns

    in_flight: int
    unsent: int
    unacked: int
    """Octets the user sent that the peer has not acknowledged, sent or not."""
    unread: int
    out_of_order: int
    """Cost of what waits beyond a gap."""

    retransmits: int
    """Timeouts since the last progress."""
    probes: int
    """Zero-window probes since the window closed."""
    total_retransmits: int
    """Segments sent more than once."""
    soft_error: int | None
    """errno of the last path error that did not end the connection, until the next progress."""
    octets_acked: int
    octets_received: int
