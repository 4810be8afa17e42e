"""What of TCP can be set, for a stack as a whole or per connection."""

from attrs import field, frozen
from attrs.validators import ge, le

from pystack.transport.tcp.congestion import CONGESTION_CONTROLS
from pystack.transport.tcp.ecn import ECNMode
from pystack.units import MS, SECOND, Ns

__all__ = ["QUICK_ACKS", "TCPConfig"]

QUICK_ACKS = 16


def _registered(_config: object, _field: object, name: str) -> None:
    if name not in CONGESTION_CONTROLS:
        raise ValueError(f"no congestion control is called {name!r}: there are {', '.join(CONGESTION_CONTROLS)}")


@frozen(kw_only=True)
class TCPConfig:
    """Defaults follow Linux where the RFCs leave them free. Durations in nanoseconds, sizes in octets."""

    congestion: str = field(default="cubic", validator=_registered)
    """Name of a congestion control in the registry."""
    initial_window: int = field(default=10, validator=ge(1))
    """Segments sent before the first acknowledgement of data (RFC 6928)."""
    slow_start_after_idle: bool = True
    """Begin with the initial window again after an idle time (RFC 5681 section 4.1)."""
    nodelay: bool = False
    """Switch Nagle's algorithm off (RFC 9293 section 3.7.4)."""
    cork: bool = False
    """Send nothing but full segments, for as long as a retransmission timeout at most."""

    max_segment: int = field(default=0, validator=ge(0))
    """Largest payload to announce and to send; 0: what the path takes."""
    timestamps: bool = True
    """Offer and accept the timestamps option (RFC 7323 section 3)."""
    window_scaling: bool = True
    """Offer and accept window scaling (RFC 7323 section 2)."""

    sack: bool = True
    """Offer and accept selective acknowledgements (RFC 2018), and with them RACK, tail loss probes and PRR."""
    loss_probe: bool = True
    """Probe for losses at the end of a flight (RFC 8985 section 7). Only with SACK."""
    frto: bool = True
    """Find out whether a retransmission timeout was for nothing (RFC 5682)."""
    ecn: ECNMode = field(default=ECNMode.PASSIVE, converter=ECNMode)
    """Explicit congestion notification (RFC 3168)."""

    receive_buffer: int = field(default=128 << 10, validator=ge(256))
    """Where the receive buffer starts, the cost of its pieces included. Half of it is offered as the window."""
    receive_buffer_max: int = field(default=15 << 20, validator=ge(256))
    """What it may grow to. The window-scale shift follows from it."""
    send_buffer: int = field(default=16 << 10, validator=ge(256))
    """Where the send buffer starts, the cost of its pieces included."""
    send_buffer_max: int = field(default=4 << 20, validator=ge(256))
    unsent_low_water: int = field(default=0, validator=ge(0))
    """Octets that have not left, in whole super-segments, after which no more are taken, and under half of which the
    user is asked for more, as by Linux's TCP_NOTSENT_LOWAT; 0: as many as the buffer takes."""
    reassembly_ranges: int = field(default=1024, validator=ge(1))
    """Separate ranges held out of order."""
    scoreboard_ranges: int = field(default=1024, validator=ge(1))
    """Separate ranges that the peer may report to hold out of order."""

    initial_rto: Ns = field(default=1 * SECOND, validator=ge(1))
    """Before the first measurement (RFC 6298 section 2.1)."""
    min_rto: Ns = field(default=200 * MS, validator=ge(1))
    """Floor of the variance term of the retransmission timeout."""
    max_rto: Ns = field(default=120 * SECOND, validator=ge(60 * SECOND))
    """Ceiling of the retransmission timeout and between probes (RFC 6298 section 2.5: at least 60 s)."""
    syn_retries: int = field(default=7, validator=ge(0))
    """Retransmissions of SYN and SYN-ACK; 7 take four minutes (RFC 9293 section 3.8.3: R2 at least three)."""
    syn_linear_timeouts: int = field(default=0, validator=ge(0))
    """So many timeouts of an active open come before the first that doubles the next one (Linux has 4 by default; RFC
    6298 section 5.5 has none)."""
    retries1: int = field(default=3, validator=ge(0))
    """R1: after so many retransmissions of one segment the path is suspected."""
    retries2: int = field(default=15, validator=ge(0))
    """R2: after so many the connection is given up."""
    user_timeout: Ns = field(default=0, validator=ge(0))
    """R2 as a time: how long what the user has sent may stay unacknowledged, or unsent before a closed window, without
    any progress. It takes the place of `retries2` and of `keepalive_count`, and ends a connect too (RFC 9293 sections
    3.8.3 and 3.9.1.1, RFC 5482); 0: there is none."""

    delayed_ack: Ns = field(default=40 * MS, validator=(ge(0), le(499 * MS)))
    """How long an acknowledgement may wait for company (RFC 9293 section 3.8.6.3: less than 0.5 s)."""
    quick_acks: int = field(default=QUICK_ACKS, validator=ge(0))
    """So many acknowledgements at the start are not delayed: the peer is in slow start."""
    challenge_acks: int = field(default=1, validator=ge(1))
    """Challenge ACKs and answers to unacceptable empty segments, per `challenge_interval` (RFC 5961 section 7)."""
    challenge_interval: Ns = field(default=500 * MS, validator=ge(1))

    keepalive: bool = False
    keepalive_idle: Ns = field(default=7200 * SECOND, validator=ge(1))
    keepalive_interval: Ns = field(default=75 * SECOND, validator=ge(1))
    keepalive_count: int = field(default=9, validator=ge(1))

    time_wait: Ns = field(default=60 * SECOND, validator=ge(0))
    """2 MSL."""
    fin_wait_2: Ns = field(default=60 * SECOND, validator=ge(0))
    """How long FIN-WAIT-2 waits for the peer's FIN once the user is gone."""
    orphan_zero_window: Ns = field(default=60 * SECOND, validator=ge(0))
    """How long a closed connection probes a window that the peer keeps at zero."""
