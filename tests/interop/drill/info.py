"""TCP_INFO of a kernel's socket, or of ours, by the names that scripts have for it."""

import socket
import struct
from typing import Any

from pystack.stack.linuxinfo import FIELDS

__all__ = ["tcpi_names"]

_FIELDS = (*FIELDS, "H total_rto total_rto_recoveries", "I total_rto_time")
_NAMES = [f"tcpi_{name}" for line in _FIELDS for name in line.split()[1:]]
_STRUCT = struct.Struct("=" + "".join(line[0] * (len(line.split()) - 1) for line in _FIELDS))


def tcpi_names(connection: Any) -> dict[str, Any]:
    raw = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _STRUCT.size)
    told = dict(zip(_NAMES, _STRUCT.unpack(raw.ljust(_STRUCT.size, b"\0")), strict=True))
    scales = told.pop("tcpi_wscale")
    return told | {
        "tcpi_snd_wscale": scales & 15,
        "tcpi_rcv_wscale": scales >> 4,
        "tcpi_cwnd": told["tcpi_snd_cwnd"],
        "tcpi_delivery_rate_app_limited": told["tcpi_flags"] & 1,
    }
