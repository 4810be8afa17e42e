"""What `sysctl` in a script changes: Linux's names, and FreeBSD's, as settings of the stack."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from attrs import evolve

from pystack.stack.config import StackConfig
from pystack.testing.packetdrill.shell import read_commands
from pystack.transport.tcp.ecn import ECNMode
from pystack.units import MS, SECOND, US

__all__ = ["KNOWN", "apply_command"]

_Setting: TypeAlias = Callable[[str], dict[str, Any]]
"""From the text of a value to the fields of the configuration that it sets."""


def _switch(*fields: str) -> _Setting:
    return lambda text: dict.fromkeys(fields, int(text) != 0)


def _number(field: str, unit: int = 1) -> _Setting:
    return lambda text: {field: int(text) * unit}


def _text(field: str) -> _Setting:
    return lambda text: {field: text}


def _buffer(field: str, largest: str) -> _Setting:
    """`min default max`."""
    return lambda text: dict(zip((field, largest), map(int, text.split()[1:]), strict=True))


def _low_water(text: str) -> dict[str, Any]:
    return {"unsent_low_water": int(text, 0) & 0xFFFF_FFFF}


def _ecn(text: str) -> dict[str, Any]:
    """FreeBSD counts as Linux does."""
    return {"ecn": ECNMode(int(text))}


def _delayed_ack(text: str) -> dict[str, Any]:
    """0: never."""
    return {"delayed_ack": 0} if int(text) == 0 else {}


def _minimum_rto(text: str) -> dict[str, Any]:
    """As in `ip route`: "5ms", "0.2s"."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)", text)
    if match is None:
        raise ValueError(text)
    return {"min_rto": round(float(match[1]) * {"ms": MS, "s": SECOND}[match[2]])}


def _route_features(text: str) -> dict[str, Any]:
    if text != "ecn":
        raise ValueError(text)
    return {"ecn": ECNMode.ON}


def _syn_cookies(text: str) -> dict[str, Any]:
    """1: when the half-open queue is full; 2: always."""
    return {"syn_cookies": True, "half_open_limit": 0} if int(text) == 2 else {"syn_cookies": int(text) == 1}


def _ports(text: str) -> dict[str, Any]:
    first, last = map(int, text.split())
    return {"ephemeral_ports": (first, last)}


_TCP: dict[str, _Setting] = {
    "net.ipv4.tcp_timestamps": _switch("timestamps"),
    "net.ipv4.tcp_window_scaling": _switch("window_scaling"),
    "net.ipv4.tcp_sack": _switch("sack"),
    "net.ipv4.tcp_ecn": _ecn,
    "net.ipv4.tcp_frto": _switch("frto"),
    "net.ipv4.tcp_early_retrans": _switch("loss_probe"),
    "net.ipv4.tcp_slow_start_after_idle": _switch("slow_start_after_idle"),
    "net.ipv4.tcp_congestion_control": _text("congestion"),
    "net.ipv4.tcp_syn_retries": _number("syn_retries"),
    "net.ipv4.tcp_synack_retries": _number("syn_retries"),
    "net.ipv4.tcp_syn_linear_timeouts": _number("syn_linear_timeouts"),
    "net.ipv4.tcp_retries1": _number("retries1"),
    "net.ipv4.tcp_retries2": _number("retries2"),
    "net.ipv4.tcp_keepalive_time": _number("keepalive_idle", unit=SECOND),
    "net.ipv4.tcp_keepalive_intvl": _number("keepalive_interval", unit=SECOND),
    "net.ipv4.tcp_keepalive_probes": _number("keepalive_count"),
    "net.ipv4.tcp_fin_timeout": _number("fin_wait_2", unit=SECOND),
    "net.ipv4.tcp_rto_min_us": _number("min_rto", unit=US),
    "net.ipv4.tcp_rto_max_ms": _number("max_rto", unit=MS),
    "net.ipv4.tcp_rmem": _buffer("receive_buffer", "receive_buffer_max"),
    "net.ipv4.tcp_wmem": _buffer("send_buffer", "send_buffer_max"),
    "net.ipv4.tcp_notsent_lowat": _low_water,
    "net.inet.tcp.rfc1323": _switch("timestamps", "window_scaling"),
    "net.inet.tcp.sack.enable": _switch("sack"),
    "net.inet.tcp.initcwnd_segments": _number("initial_window"),
    "net.inet.tcp.cc.algorithm": _text("congestion"),
    "net.inet.tcp.ecn.enable": _ecn,
    "net.inet.tcp.delayed_ack": _delayed_ack,
    "net.inet.tcp.delacktime": _number("delayed_ack", unit=MS),
    "net.inet.tcp.keepidle": _number("keepalive_idle", unit=MS),
    "net.inet.tcp.keepintvl": _number("keepalive_interval", unit=MS),
    "net.inet.tcp.keepcnt": _number("keepalive_count"),
    "net.inet.tcp.msl": _number("time_wait", unit=2 * MS),
    "net.inet.tcp.rexmit_initial": _number("initial_rto", unit=MS),
    "net.inet.tcp.rexmit_min": _number("min_rto", unit=MS),
    "net.inet.tcp.finwait2_timeout": _number("fin_wait_2", unit=MS),
    "net.inet.tcp.sendspace": _number("send_buffer"),
    "net.inet.tcp.recvspace": _number("receive_buffer"),
    "route initcwnd": _number("initial_window"),
    "route rto_min": _minimum_rto,
    "route congctl": _text("congestion"),
    "route features": _route_features,
}
_STACK: dict[str, _Setting] = {
    "net.ipv4.tcp_fastopen": lambda text: {"fast_open": int(text, 0)},
    "net.ipv4.tcp_max_syn_backlog": _number("half_open_limit"),
    "net.core.somaxconn": _number("max_backlog"),
    "net.ipv4.tcp_max_tw_buckets": _number("time_wait_limit"),
    "net.ipv4.tcp_syncookies": _syn_cookies,
    "net.ipv4.ip_local_port_range": _ports,
    "net.core.rmem_default": _number("udp_queue_octets"),
    "kern.ipc.somaxconn": _number("max_backlog"),
    "kern.ipc.soacceptqueue": _number("max_backlog"),
    "net.inet.tcp.syncookies": _switch("syn_cookies"),
    "net.inet.tcp.maxtcptw": _number("time_wait_limit"),
}
KNOWN = frozenset(name for name in (*_TCP, *_STACK) if not name.startswith("route "))
"""Every name that sets something."""

_HELD = {
    "net.ipv4.tcp_abort_on_overflow": "0",
    "net.ipv4.tcp_adv_win_scale": "1",
    "net.ipv4.tcp_app_win": "31",
    "net.ipv4.tcp_comp_sack_nr": "0",
    "net.ipv4.tcp_comp_sack_delay_ns": "0",
    "net.ipv4.tcp_dsack": "1",
    "net.ipv4.tcp_ecn_fallback": "1",
    "net.ipv4.tcp_min_snd_mss": "48",
    "net.ipv4.tcp_moderate_rcvbuf": "1",
    "net.ipv4.tcp_mtu_probing": "0",
    "net.ipv4.tcp_no_metrics_save": "1",
    "net.ipv4.tcp_plb_enabled": "0",
    "net.ipv4.tcp_recovery": "1",
    "net.ipv4.tcp_reflect_tos": "0",
    "net.ipv4.tcp_reordering": "3",
    "net.ipv4.tcp_retrans_collapse": "1",
    "net.ipv4.tcp_rfc1337": "1",
    "net.ipv4.tcp_shrink_window": "0",
    "net.ipv4.tcp_stdurg": "0",
    "net.ipv4.tcp_thin_linear_timeouts": "0",
    "net.ipv4.tcp_workaround_signed_windows": "0",
    "net.ipv4.ip_no_pmtu_disc": "0",
    "net.inet.tcp.rfc3042": "1",
    "net.inet.tcp.do_prr": "1",
    "net.inet.tcp.path_mtu_discovery": "1",
}
"""What the stack does in any case."""

_UNSEEN = frozenset(
    {
        *(f"net.ipv4.tcp_{name}" for name in ("autocorking", "early_demux", "limit_output_bytes", "low_latency")),
        *(f"net.ipv4.tcp_{name}" for name in ("max_orphans", "mem", "min_tso_segs", "tso_rtt_log", "tso_win_divisor")),
        *(f"net.ipv4.tcp_{name}" for name in ("pacing_ca_ratio", "pacing_ss_ratio", "allowed_congestion_control")),
        *(f"net.inet.tcp.{name}" for name in ("hostcache.enable", "log_debug", "log_in_vain", "tso")),
        *("net.core.default_qdisc", "net.core.optmem_max", "kern.timecounter.alloweddeviation"),
    }
)
"""What no packet of a script would show."""


def apply_command(config: StackConfig, text: str, folder: Path | None = None) -> tuple[StackConfig, list[str]]:
    """`config` as the commands in `text` leave it, and each command or setting that was skipped. Shell scripts that
    they run are looked for in `folder`."""
    skipped = []
    for found in read_commands(text, folder):
        if isinstance(found, str):
            skipped.append(f"command {found}")
            continue
        name, value = found
        if name in _UNSEEN or _HELD.get(name) == value:
            continue
        changed = _apply(config, name, value)
        if changed is None:
            skipped.append(f"{name}={value}" if name.startswith("route ") else f"sysctl {name}={value}")
        else:
            config = changed
    return config, skipped


def _apply(config: StackConfig, name: str, value: str) -> StackConfig | None:
    """None: this stack has no such setting, or does not take the value."""
    try:
        if name in _TCP:
            return evolve(config, tcp=_evolved(config.tcp, _TCP[name], value))
        if name in _STACK:
            changed: StackConfig = _evolved(config, _STACK[name], value)
            return changed
    except ValueError:
        return None
    return None


def _evolved(config: Any, setting: _Setting, text: str) -> Any:
    """Raises `ValueError` for a value that `config` does not take."""
    return evolve(config, **setting(text))
