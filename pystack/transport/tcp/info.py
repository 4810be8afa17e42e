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
    """Fast recovery is under way."""
    phase: str
    """With SACK, what Linux calls the congestion avoidance state: Open, CWR, Recovery, Loss."""
    sack: bool
    ecn: bool
    retransmitted: int
    """Octets in flight that were sent before."""
    lost: int
    """Octets taken for lost that wait to be sent again."""
    sacked: int
    """Octets that the peer holds beyond gaps."""
    reordering_seen: int
    """How often segments arrived out of order."""
    reordering_window: Ns
    """How long RACK waited for late segments when it last looked."""
    dsacks: int
    """Duplicates that the peer has reported."""
    delivered: int
    """Octets that have arrived, the SYN and FIN counted."""
    delivered_ce: int
    """Of those, octets acknowledged by segments that echo congestion marks."""

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

    outstanding: int
    """Segments that were sent and are not acknowledged."""
    retransmits: int
    """Timeouts since the last progress."""
    backoffs: int
    """Timeouts since the last measurement of a round trip: so often the timeout has doubled."""
    probes: int
    """Zero-window probes since the window closed."""
    total_retransmits: int
    """Segments sent more than once."""
    soft_error: int | None
    """errno of the last path error that did not end the connection, until the next progress."""
    syn_data: bool
    """Data in the SYN was acknowledged by the SYN-ACK (RFC 7413): the peer's by ours, or ours by the peer's."""
    segments_in: int
    segments_out: int
    """As on the wire: the parts of super-segments are counted."""
    data_segments_in: int
    data_segments_out: int
    out_of_order_segments: int
    octets_sent: int
    """Of data, retransmissions included."""
    octets_retransmitted: int
    last_sent: Ns
    """When something other than a pure acknowledgement left last."""
    last_heard: Ns
    octets_acked: int
    octets_received: int
