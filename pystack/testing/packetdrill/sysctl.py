"""What `sysctl` in a script changes: Linux's names, and FreeBSD's, as settings of the stack. Nothing is executed."""

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from attrs import evolve

from pystack.stack.config import StackConfig
from pystack.units import MS, SECOND, US

__all__ = ["apply_command"]

_ASSIGNMENT = re.compile(
    r"""(?:/proc/sys/)?(?P<name>net[./][\w./-]+)\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>\S*))"""
)
_SEPARATORS = re.compile(r"\n|;|&&|\|\|")
_CONTINUED = re.compile(r"\\\n")


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


def _ecn(text: str) -> dict[str, Any]:
    """1: ask for it and agree; 0: neither. (2, only agree, counts as 0.)"""
    return {"ecn": int(text) == 1}


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
    "net.ipv4.tcp_congestion_control": _text("congestion"),
    "net.ipv4.tcp_syn_retries": _number("syn_retries"),
    "net.ipv4.tcp_synack_retries": _number("syn_retries"),
    "net.ipv4.tcp_retries1": _number("retries1"),
    "net.ipv4.tcp_retries2": _number("retries2"),
    "net.ipv4.tcp_keepalive_time": _number("keepalive_idle", unit=SECOND),
    "net.ipv4.tcp_keepalive_intvl": _number("keepalive_interval", unit=SECOND),
    "net.ipv4.tcp_keepalive_probes": _number("keepalive_count"),
    "net.ipv4.tcp_fin_timeout": _number("fin_wait_2", unit=SECOND),
    "net.ipv4.tcp_rto_min_us": _number("min_rto", unit=US),
    "net.ipv4.tcp_rmem": _buffer("receive_buffer", "receive_buffer_max"),
    "net.ipv4.tcp_wmem": _buffer("send_buffer", "send_buffer_max"),
    "net.inet.tcp.rfc1323": _switch("timestamps", "window_scaling"),
    "net.inet.tcp.sack.enable": _switch("sack"),
    "net.inet.tcp.initcwnd_segments": _number("initial_window"),
    "net.inet.tcp.cc.algorithm": _text("congestion"),
    "net.inet.tcp.ecn.enable": _ecn,
    "net.inet.tcp.keepidle": _number("keepalive_idle", unit=MS),
    "net.inet.tcp.keepintvl": _number("keepalive_interval", unit=MS),
    "net.inet.tcp.keepcnt": _number("keepalive_count"),
    "net.inet.tcp.rexmit_initial": _number("initial_rto", unit=MS),
    "net.inet.tcp.rexmit_min": _number("min_rto", unit=MS),
    "net.inet.tcp.finwait2_timeout": _number("fin_wait_2", unit=MS),
}
_STACK: dict[str, _Setting] = {
    "net.ipv4.tcp_fastopen": lambda text: {"fast_open": int(text, 0)},
    "net.ipv4.tcp_max_syn_backlog": _number("half_open_limit"),
    "net.core.somaxconn": _number("max_backlog"),
    "net.ipv4.tcp_max_tw_buckets": _number("time_wait_limit"),
    "net.ipv4.tcp_syncookies": _syn_cookies,
    "net.ipv4.ip_local_port_range": _ports,
    "net.core.rmem_default": _number("udp_queue_octets"),
}


def apply_command(config: StackConfig, text: str) -> tuple[StackConfig, list[str]]:
    """`config` as the sysctl commands in `text` leave it, and each command or setting that was skipped."""
    skipped = []
    for command in filter(None, map(str.strip, _SEPARATORS.split(_CONTINUED.sub(" ", text)))):
        assignments = list(_ASSIGNMENT.finditer(command))
        if not assignments:
            skipped.append(f"command {command}")
        for match in assignments:
            name = match["name"].replace("/", ".")
            value = next(group for group in (match["double"], match["single"], match["bare"]) if group is not None)
            changed = _apply(config, name, value.strip())
            if changed is None:
                skipped.append(f"sysctl {name}={value}")
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
