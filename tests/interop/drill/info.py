"""TCP_INFO of a kernel socket, by the names that scripts have for it."""

import socket
import struct
from typing import Any

__all__ = ["tcpi_names"]

_FIELDS = (
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
    "H total_rto total_rto_recoveries",
    "I total_rto_time",
)
_NAMES = [f"tcpi_{name}" for line in _FIELDS for name in line.split()[1:]]
_STRUCT = struct.Struct("=" + "".join(line[0] * (len(line.split()) - 1) for line in _FIELDS))


def tcpi_names(connection: socket.socket) -> dict[str, Any]:
    raw = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _STRUCT.size)
    told = dict(zip(_NAMES, _STRUCT.unpack(raw.ljust(_STRUCT.size, b"\0")), strict=True))
    scales = told.pop("tcpi_wscale")
    return told | {
        "tcpi_snd_wscale": scales & 15,
        "tcpi_rcv_wscale": scales >> 4,
        "tcpi_cwnd": told["tcpi_snd_cwnd"],
        "tcpi_delivery_rate_app_limited": told["tcpi_flags"] & 1,
    }
