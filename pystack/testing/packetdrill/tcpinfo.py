"""The `tcpi_` names of a script's Python blocks, from what the connection tells about itself.

Units are Linux's: segments for windows and what is in flight, microseconds for times but milliseconds for "how long
ago".
"""

from collections.abc import Callable, Mapping
from typing import Any

from pystack.transport.tcp.info import TCPInfo
from pystack.transport.tcp.state import State
from pystack.units import US, Ns

__all__ = ["LINUX_NAMES", "PYTHON_CONSTANTS", "TOLD", "tcpi_names"]

_STATES = (
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

_CA_STATES = ("Open", "Disorder", "CWR", "Recovery", "Loss")
_OPTIONS = {"TIMESTAMPS": 1, "SACK": 2, "WSCALE": 4, "ECN": 8, "ECN_SEEN": 16, "SYN_DATA": 32}

PYTHON_CONSTANTS: Mapping[str, int] = {
    **{f"TCP_CA_{name}": number for number, name in enumerate(_CA_STATES)},
    **{f"TCPI_OPT_{name}": bit for name, bit in _OPTIONS.items()},
    **{f"TCP_{state.name.replace('SYN_RECEIVED', 'SYN_RECV')}": n for n, state in enumerate(_STATES, 1)},
}
"""What a block may compare the values with."""

_INFINITE = 0x7FFF_FFFF


def _microseconds(duration: Ns | None) -> int:
    return 0 if duration is None else duration // US


def _segments(octets: int, info: TCPInfo) -> int:
    return -(-octets // max(info.snd_mss, 1))


def _ssthresh(info: TCPInfo) -> int:
    return _INFINITE if info.ssthresh is None else info.ssthresh // max(info.snd_mss, 1)


def _ca_state(info: TCPInfo) -> int:
    if info.sack:
        return _CA_STATES.index(info.phase)
    if info.retransmits:
        return _CA_STATES.index("Loss")
    return _CA_STATES.index("Recovery" if info.in_recovery else "Open")


def _options(info: TCPInfo) -> int:
    agreed = {
        "TIMESTAMPS": info.timestamps,
        "SACK": info.sack,
        "WSCALE": bool(info.rcv_scale or info.snd_scale),
        "ECN": info.ecn,
    }
    return sum(_OPTIONS[name] for name, on in agreed.items() if on)


TOLD: Mapping[str, Callable[[TCPInfo], int]] = {
    "tcpi_state": lambda info: _STATES.index(info.state) + 1,
    "tcpi_ca_state": _ca_state,
    "tcpi_options": _options,
    "tcpi_retransmits": lambda info: info.retransmits,
    "tcpi_probes": lambda info: info.probes,
    "tcpi_backoff": lambda info: info.retransmits,
    "tcpi_snd_wscale": lambda info: info.snd_scale,
    "tcpi_rcv_wscale": lambda info: info.rcv_scale,
    "tcpi_rto": lambda info: _microseconds(info.rto),
    "tcpi_snd_mss": lambda info: info.snd_mss,
    "tcpi_rcv_mss": lambda info: info.rcv_mss,
    "tcpi_advmss": lambda info: info.advertised_mss,
    "tcpi_unacked": lambda info: _segments(info.in_flight + info.lost + info.sacked, info),
    "tcpi_sacked": lambda info: _segments(info.sacked, info),
    "tcpi_lost": lambda info: _segments(info.lost + info.retransmitted, info),
    "tcpi_retrans": lambda info: _segments(info.retransmitted, info),
    "tcpi_reord_seen": lambda info: info.reordering_seen,
    "tcpi_dsack_dups": lambda info: info.dsacks,
    "tcpi_delivered": lambda info: _segments(info.delivered, info),
    "tcpi_delivered_ce": lambda info: _segments(info.delivered_ce, info),
    "tcpi_rtt": lambda info: _microseconds(info.srtt),
    "tcpi_rttvar": lambda info: _microseconds(info.rttvar),
    "tcpi_min_rtt": lambda info: _microseconds(info.min_rtt),
    "tcpi_snd_cwnd": lambda info: info.cwnd // max(info.snd_mss, 1),
    "tcpi_cwnd": lambda info: info.cwnd // max(info.snd_mss, 1),
    "tcpi_snd_ssthresh": _ssthresh,
    "tcpi_total_retrans": lambda info: info.total_retransmits,
    "tcpi_notsent_bytes": lambda info: info.unsent,
    "tcpi_bytes_acked": lambda info: info.octets_acked,
    "tcpi_bytes_received": lambda info: info.octets_received,
    "tcpi_snd_wnd": lambda info: info.snd_wnd,
    "tcpi_rcv_wnd": lambda info: info.rcv_wnd,
}
"""What this stack can tell."""

_NOT_TOLD = """
    delivery_rate_app_limited fastopen_client_fail ato fackets last_data_sent last_ack_sent
    last_data_recv last_ack_recv pmtu rcv_ssthresh reordering rcv_rtt rcv_space pacing_rate max_pacing_rate segs_out
    segs_in data_segs_in data_segs_out delivery_rate busy_time rwnd_limited sndbuf_limited
    bytes_sent bytes_retrans rcv_ooopack rehash total_rto total_rto_recoveries total_rto_time
    received_ce
"""

LINUX_NAMES = frozenset(TOLD).union(f"tcpi_{name}" for name in _NOT_TOLD.split())
"""Everything that Linux has a name for; what is not in `tcpi_names` this stack does not tell."""


def tcpi_names(info: TCPInfo) -> dict[str, Any]:
    return {name: read(info) for name, read in TOLD.items()}
