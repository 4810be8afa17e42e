"""What TCP_INFO tells: Linux's `struct tcp_info`, from what the connection tells about itself.

Units are Linux's: segments for windows and what is in flight, microseconds for times but milliseconds for "how long
ago".
"""

import struct
from collections.abc import Callable, Mapping

from pystack.transport.tcp.info import TCPInfo
from pystack.transport.tcp.state import State
from pystack.units import MS, US, Ns

__all__ = ["CA_STATES", "FIELDS", "OPTIONS", "STATES", "TOLD", "tcp_info"]

STATES = (
    State.ESTABLISHED,
    State.SYN_SENT,
    State.SYN_RECEIVED,
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    State.TIME_WAIT,
    State.CLOSED,
    State.CLOSE_WAIT,
    State.LAST_ACK,
    State.LISTEN,
    State.CLOSING,
)
"""In Linux's order, from 1."""

CA_STATES = ("Open", "Disorder", "CWR", "Recovery", "Loss")
OPTIONS = {"TIMESTAMPS": 1, "SACK": 2, "WSCALE": 4, "ECN": 8, "ECN_SEEN": 16, "SYN_DATA": 32}

_INFINITE = 0x7FFF_FFFF


def _microseconds(duration: Ns | None) -> int:
    return 0 if duration is None else duration // US


def _segments(octets: int, info: TCPInfo) -> int:
    return -(-octets // max(info.snd_mss, 1))


def _ssthresh(info: TCPInfo) -> int:
    return _INFINITE if info.ssthresh is None else info.ssthresh // max(info.snd_mss, 1)


def _ca_state(info: TCPInfo) -> int:
    if info.sack:
        return CA_STATES.index("Disorder" if info.phase == "Open" and info.sacked else info.phase)
    if info.retransmits:
        return CA_STATES.index("Loss")
    return CA_STATES.index("Recovery" if info.in_recovery else "Open")


def _lost(info: TCPInfo) -> int:
    """With what was resent and has not arrived, but for a tail loss probe, and what turned out to be only late."""
    resent = info.retransmitted if _ca_state(info) >= CA_STATES.index("Recovery") else 0
    return _segments(info.lost + resent, info)


def _agreed(info: TCPInfo) -> int:
    agreed = {
        "TIMESTAMPS": info.timestamps,
        "SACK": info.sack,
        "WSCALE": bool(info.rcv_scale or info.snd_scale),
        "ECN": info.ecn,
        "SYN_DATA": info.syn_data,
    }
    return sum(OPTIONS[name] for name, on in agreed.items() if on)


TOLD: Mapping[str, Callable[[TCPInfo], int]] = {
    "tcpi_state": lambda info: STATES.index(info.state) + 1,
    "tcpi_ca_state": _ca_state,
    "tcpi_options": _agreed,
    "tcpi_retransmits": lambda info: info.retransmits,
    "tcpi_probes": lambda info: info.probes,
    "tcpi_backoff": lambda info: info.backoffs or info.probes,
    "tcpi_snd_wscale": lambda info: info.snd_scale,
    "tcpi_rcv_wscale": lambda info: info.rcv_scale,
    "tcpi_rto": lambda info: _microseconds(info.rto),
    "tcpi_snd_mss": lambda info: info.snd_mss,
    "tcpi_rcv_mss": lambda info: info.rcv_mss,
    "tcpi_advmss": lambda info: info.advertised_mss,
    "tcpi_unacked": lambda info: info.outstanding,
    "tcpi_sacked": lambda info: _segments(info.sacked, info),
    "tcpi_lost": _lost,
    "tcpi_retrans": lambda info: _segments(info.retransmitted, info),
    "tcpi_reord_seen": lambda info: info.reordering_seen,
    "tcpi_dsack_dups": lambda info: info.dsacks,
    "tcpi_delivered": lambda info: _segments(info.delivered, info) + info.dsacks,
    "tcpi_delivered_ce": lambda info: _segments(info.delivered_ce, info),
    "tcpi_rtt": lambda info: _microseconds(info.srtt),
    "tcpi_rttvar": lambda info: _microseconds(info.rttvar),
    "tcpi_min_rtt": lambda info: _microseconds(info.min_rtt),
    "tcpi_snd_cwnd": lambda info: info.cwnd // max(info.snd_mss, 1),
    "tcpi_cwnd": lambda info: info.cwnd // max(info.snd_mss, 1),
    "tcpi_snd_ssthresh": _ssthresh,
    "tcpi_total_retrans": lambda info: info.total_retransmits,
    "tcpi_notsent_bytes": lambda info: info.unsent,
    "tcpi_segs_in": lambda info: info.segments_in,
    "tcpi_segs_out": lambda info: info.segments_out,
    "tcpi_data_segs_in": lambda info: info.data_segments_in,
    "tcpi_data_segs_out": lambda info: info.data_segments_out,
    "tcpi_bytes_sent": lambda info: info.octets_sent,
    "tcpi_bytes_retrans": lambda info: info.octets_retransmitted,
    "tcpi_rcv_ooopack": lambda info: info.out_of_order_segments,
    "tcpi_bytes_acked": lambda info: info.octets_acked,
    "tcpi_bytes_received": lambda info: info.octets_received,
    "tcpi_snd_wnd": lambda info: info.snd_wnd,
    "tcpi_rcv_wnd": lambda info: info.rcv_wnd,
}
"""What this stack can tell."""

FIELDS = (
    "B state ca_state retransmits probes backoff options wscale flags",
    "I rto ato snd_mss rcv_mss unacked sacked lost retrans fackets",
    "I last_data_sent last_ack_sent last_data_recv last_ack_recv",
    "I pmtu rcv_ssthresh rtt rttvar snd_ssthresh snd_cwnd advmss reordering rcv_rtt rcv_space total_retrans",
    "Q pacing_rate max_pacing_rate bytes_acked bytes_received",
    "I segs_out segs_in notsent_bytes min_rtt data_segs_in data_segs_out",
    "Q delivery_rate busy_time rwnd_limited sndbuf_limited",
    "I delivered delivered_ce",
    "Q bytes_sent bytes_retrans",
    "I dsack_dups reord_seen rcv_ooopack snd_wnd rcv_wnd rehash",
)
"""In the order of the structure, with the format of each. The two window scales share an octet."""
_NAMES = tuple(f"tcpi_{name}" for line in FIELDS for name in line.split()[1:])
_STRUCT = struct.Struct("=" + "".join(line[0] * (len(line.split()) - 1) for line in FIELDS))
_LARGEST = {format: (1 << 8 * struct.calcsize("=" + format)) - 1 for format in "BIQ"}
_LIMITS = tuple(_LARGEST[line[0]] for line in FIELDS for _ in line.split()[1:])


def tcp_info(state: State, info: TCPInfo | None = None, mtu: int = 0, now: Ns = 0) -> bytes:
    """The structure, up to `tcpi_rehash`. What this stack does not measure is 0, and there is no pacing."""
    values = dict.fromkeys(_NAMES, 0)
    values["tcpi_pacing_rate"] = values["tcpi_max_pacing_rate"] = _LARGEST["Q"]
    if info is not None:
        values.update((name, read(info)) for name, read in TOLD.items() if name in values)
        values["tcpi_wscale"] = info.snd_scale | info.rcv_scale << 4
        values["tcpi_pmtu"] = mtu
        values["tcpi_last_data_sent"] = max(now - info.last_sent, 0) // MS
        values["tcpi_last_ack_recv"] = max(now - info.last_heard, 0) // MS
    values["tcpi_state"] = STATES.index(state) + 1
    return _STRUCT.pack(*(min(values[name], limit) for name, limit in zip(_NAMES, _LIMITS, strict=True)))
