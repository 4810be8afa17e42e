"""The options of a TCP socket that are settings of its connection, with Linux's ranges."""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, frozen

from pystack.stack import options
from pystack.stack.options import OptionKey
from pystack.transport.tcp.config import TCPConfig
from pystack.units import MS, SECOND

__all__ = ["SETTINGS", "TCPSetting", "deferral"]

_SYN_ACK_FIRST, _SYN_ACK_LONGEST = 1, 120
"""Seconds between two SYN-ACKs, at first and at most."""
_DEFERRALS_MAX = 255
_FIN_WAIT_2_MAX = 120
_BUFFER_MIN = 256


@frozen
class TCPSetting:
    """How an option's number becomes fields of `TCPConfig`, and what it reads as."""

    apply: Callable[[TCPConfig, int, TCPConfig], TCPConfig]
    """The connection's settings so far, the number (in its range), the stack's own settings."""
    read: Callable[[TCPConfig], int]


def _with(config: TCPConfig, **fields: Any) -> TCPConfig:
    return evolve(config, **fields)


def _plain(name: str, unit: int = 1) -> TCPSetting:
    """One field that counts in `unit`."""
    return TCPSetting(
        lambda config, value, stack: _with(config, **{name: value * unit}),
        lambda config: int(getattr(config, name)) // unit,
    )


def _switch(name: str) -> TCPSetting:
    return TCPSetting(
        lambda config, value, stack: _with(config, **{name: bool(value)}), lambda config: int(getattr(config, name))
    )


def _buffer(name: str) -> TCPSetting:
    """A size that is cut to what the stack allows, never refused; a negative one is the largest. It ends the automatic
    growth, as in Linux."""
    most = f"{name}_max"

    def apply(config: TCPConfig, value: int, stack: TCPConfig) -> TCPConfig:
        limit = int(getattr(stack, most))
        size = min(max(value, _BUFFER_MIN), limit) if value >= 0 else limit
        return _with(config, **{name: size, most: size})

    return TCPSetting(apply, lambda config: int(getattr(config, name)))


def _set_linger2(config: TCPConfig, value: int, stack: TCPConfig) -> TCPConfig:
    """0: the stack's default; below: do not wait at all."""
    if not value:
        return evolve(config, fin_wait_2=stack.fin_wait_2)
    return evolve(config, fin_wait_2=min(max(value, 0), _FIN_WAIT_2_MAX) * SECOND)


SETTINGS: Mapping[OptionKey, TCPSetting] = {
    options.NODELAY: _switch("nodelay"),
    options.CORK: _switch("cork"),
    options.KEEPALIVE: _switch("keepalive"),
    options.KEEPIDLE: _plain("keepalive_idle", SECOND),
    options.KEEPINTVL: _plain("keepalive_interval", SECOND),
    options.KEEPCNT: _plain("keepalive_count"),
    options.SYNCNT: _plain("syn_retries"),
    options.USER_TIMEOUT: _plain("user_timeout", MS),
    options.MAXSEG: _plain("max_segment"),
    options.LINGER2: TCPSetting(_set_linger2, lambda config: config.fin_wait_2 // SECOND or -1),
    options.SNDBUF: _buffer("send_buffer"),
    options.RCVBUF: _buffer("receive_buffer"),
}


def deferral(seconds: int) -> int:
    """What TCP_DEFER_ACCEPT makes of `seconds`: Linux counts in repetitions of the SYN-ACK, and rounds up."""
    time, pause, repetitions = 0, _SYN_ACK_FIRST, 0
    while time < seconds and repetitions < _DEFERRALS_MAX:
        time += pause
        pause = min(2 * pause, _SYN_ACK_LONGEST)
        repetitions += 1
    return time
