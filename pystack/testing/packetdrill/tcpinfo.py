"""The `tcpi_` names of a script's Python blocks."""

from collections.abc import Mapping
from typing import Any

from pystack.stack.linuxinfo import CA_STATES, OPTIONS, STATES, TOLD
from pystack.transport.tcp.info import TCPInfo

__all__ = ["LINUX_NAMES", "PYTHON_CONSTANTS", "tcpi_names"]

PYTHON_CONSTANTS: Mapping[str, int] = {
    **{f"TCP_CA_{name}": number for number, name in enumerate(CA_STATES)},
    **{f"TCPI_OPT_{name}": bit for name, bit in OPTIONS.items()},
    **{f"TCP_{state.name.replace('SYN_RECEIVED', 'SYN_RECV')}": n for n, state in enumerate(STATES, 1)},
}
"""What a block may compare the values with."""

_NOT_TOLD = """
    delivery_rate_app_limited fastopen_client_fail ato fackets last_data_sent last_ack_sent
    last_data_recv last_ack_recv pmtu rcv_ssthresh reordering rcv_rtt rcv_space pacing_rate max_pacing_rate
    delivery_rate busy_time rwnd_limited sndbuf_limited
    rehash total_rto total_rto_recoveries total_rto_time
    received_ce
"""

LINUX_NAMES = frozenset(TOLD).union(f"tcpi_{name}" for name in _NOT_TOLD.split())
"""Everything that Linux has a name for; what is not in `tcpi_names` this stack does not tell."""


def tcpi_names(info: TCPInfo) -> dict[str, Any]:
    return {name: read(info) for name, read in TOLD.items()}
