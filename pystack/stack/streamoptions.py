"""The options of a TCP socket that only TCP has, or that its connection acts on, with Linux's ranges."""

from collections.abc import Callable, Mapping
from errno import EINVAL, ENOENT
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from pystack.errors import os_error
from pystack.stack import options
from pystack.stack.flow import DEFAULT_MSS
from pystack.stack.linuxinfo import tcp_info
from pystack.stack.options import OptionKey
from pystack.transport.tcp.config import TCPConfig
from pystack.transport.tcp.state import State
from pystack.units import MS, SECOND

if TYPE_CHECKING:
    from pystack.stack.stream import StreamEndpoint

__all__ = ["OCTET_OPTIONS", "STREAM_OPTIONS", "OctetOption", "StreamOption"]

_SYN_ACK_FIRST, _SYN_ACK_LONGEST = 1, 120
"""Seconds between two SYN-ACKs, at first and at most."""
_DEFERRALS_MAX = 255
_FIN_WAIT_2_MAX = 120


@frozen
class StreamOption:
    """An option whose value is a number, which `set` gets in its range."""

    set: Callable[["StreamEndpoint", int], None]
    get: Callable[["StreamEndpoint"], int]


@frozen
class OctetOption:
    """An option whose value is octets; `get` gets how many of them C would see. Without `set` it can only be read."""

    get: Callable[["StreamEndpoint", int], int | bytes]
    set: Callable[["StreamEndpoint", int | bytes], None] | None = None


# --- what a connection is set up with


def _setting(name: str, convert: Callable[[int], Any] = int) -> StreamOption:
    """A field of `Settings`."""
    return StreamOption(
        lambda socket, value: socket.change(evolve(socket.settings, **{name: convert(value)})),
        lambda socket: int(getattr(socket.settings, name)),
    )


def _of_tcp(apply: Callable[[TCPConfig, int, TCPConfig], TCPConfig], read: Callable[[TCPConfig], int]) -> StreamOption:
    """Fields of `TCPConfig`. `apply` gets the connection's so far, the number, and the stack's own."""

    def set_fields(socket: "StreamEndpoint", value: int) -> None:
        tcp = apply(socket.settings.tcp, value, socket.stack.tcp.plain.tcp)
        socket.change(evolve(socket.settings, tcp=tcp))

    return StreamOption(set_fields, lambda socket: read(socket.settings.tcp))


def _with(config: TCPConfig, **fields: Any) -> TCPConfig:
    return evolve(config, **fields)


def _plain(name: str, unit: int = 1) -> StreamOption:
    """One field that counts in `unit`."""
    return _of_tcp(
        lambda config, value, stack: _with(config, **{name: value * unit}),
        lambda config: int(getattr(config, name)) // unit,
    )


def _switch(name: str) -> StreamOption:
    return _of_tcp(
        lambda config, value, stack: _with(config, **{name: bool(value)}), lambda config: int(getattr(config, name))
    )


def _buffer(name: str, key: OptionKey) -> StreamOption:
    """A size that is cut to what the stack allows, never refused; a negative one is the largest. It ends the automatic
    growth, as in Linux."""
    most = f"{name}_max"

    def apply(config: TCPConfig, value: int, stack: TCPConfig) -> TCPConfig:
        size = options.buffer_size(key, value, int(getattr(stack, most)))
        return _with(config, **{name: size, most: size})

    return _of_tcp(apply, lambda config: int(getattr(config, name)))


def _set_linger2(config: TCPConfig, value: int, stack: TCPConfig) -> TCPConfig:
    """0: the stack's default; below: do not wait at all."""
    if not value:
        return evolve(config, fin_wait_2=stack.fin_wait_2)
    return evolve(config, fin_wait_2=min(max(value, 0), _FIN_WAIT_2_MAX) * SECOND)


def _set_low_water(config: TCPConfig, value: int, stack: TCPConfig) -> TCPConfig:
    """0: the stack's default; below: Linux takes it for unsigned."""
    return evolve(config, unsent_low_water=value & 0xFFFF_FFFF or stack.unsent_low_water)


def _get_low_water(config: TCPConfig) -> int:
    return (config.unsent_low_water ^ 1 << 31) - (1 << 31)


def _deferral(seconds: int) -> int:
    """What TCP_DEFER_ACCEPT makes of `seconds`: Linux counts in repetitions of the SYN-ACK, and rounds up."""
    time, pause, repetitions = 0, _SYN_ACK_FIRST, 0
    while time < seconds and repetitions < _DEFERRALS_MAX:
        time += pause
        pause = min(2 * pause, _SYN_ACK_LONGEST)
        repetitions += 1
    return time


# --- what a living connection has a say in


def _segment_size(socket: "StreamEndpoint") -> int:
    """TCP_MAXSEG: of an open connection what it sends, before that what it will announce, if that is known."""
    if socket.flow is not None and socket.state not in (State.CLOSED, State.LISTEN):
        return socket.flow.connection.snd_mss
    return socket.settings.tcp.max_segment or DEFAULT_MSS[4]


def _is_quick(socket: "StreamEndpoint") -> bool:
    if socket.flow is not None:
        return socket.flow.connection.quick
    return socket.settings.tcp.quick_acks > 0 if socket.settings.quick is None else socket.settings.quick


def _set_quick(socket: "StreamEndpoint", value: int) -> None:
    """TCP_QUICKACK: acknowledge at once, or wait for company, until the connection changes its mind."""
    if socket.flow is None:
        socket.change(evolve(socket.settings, quick=bool(value)))
    else:
        socket.flow.connection.acknowledge_quickly(bool(value))
        socket.stack.tcp.push(socket.flow, socket.stack.now)


def _set_fast_open(socket: "StreamEndpoint", value: int) -> None:
    """TCP_FASTOPEN of a listener: how many connections may be in use before their handshake is done. Raises EINVAL on
    a socket that has, or had, a connection."""
    _check_unconnected(socket)
    limit = min(value, socket.stack.config.max_backlog)
    if socket.listening is not None:
        socket.listening.queues.fast_opens.limit = limit
    socket.remember(options.FASTOPEN, limit)


def _set_fast_open_connect(socket: "StreamEndpoint", value: int) -> None:
    """Raises EINVAL on a listener, or one that has, or had, a connection, and as `opening_send`."""
    _check_unconnected(socket)
    socket.check_fast_open()
    if socket.listening is not None:
        raise os_error(EINVAL, "a listener does not connect")
    socket.remember(options.FASTOPEN_CONNECT, value)


def _check_unconnected(socket: "StreamEndpoint") -> None:
    if socket.flow is not None:
        raise os_error(EINVAL, "TCP Fast Open must be asked for before the connection")


STREAM_OPTIONS: Mapping[OptionKey, StreamOption] = {
    options.TTL: _setting("ttl"),
    options.TOS: _setting("tos", lambda value: value & ~3),  # its last two bits are those of ECN
    options.FASTOPEN_NO_COOKIE: _setting("cookieless", bool),
    options.DEFER_ACCEPT: _setting("defer_accept", _deferral),
    options.NODELAY: _switch("nodelay"),
    options.CORK: _switch("cork"),
    options.KEEPALIVE: _switch("keepalive"),
    options.KEEPIDLE: _plain("keepalive_idle", SECOND),
    options.KEEPINTVL: _plain("keepalive_interval", SECOND),
    options.KEEPCNT: _plain("keepalive_count"),
    options.SYNCNT: _plain("syn_retries"),
    options.USER_TIMEOUT: _plain("user_timeout", MS),
    options.MAXSEG: StreamOption(_plain("max_segment").set, _segment_size),
    options.LINGER2: _of_tcp(_set_linger2, lambda config: config.fin_wait_2 // SECOND or -1),
    options.SNDBUF: _buffer("send_buffer", options.SNDBUF),
    options.NOTSENT_LOWAT: _of_tcp(_set_low_water, _get_low_water),
    options.RCVBUF: _buffer("receive_buffer", options.RCVBUF),
    options.QUICKACK: StreamOption(_set_quick, lambda socket: int(_is_quick(socket))),
    options.FASTOPEN: StreamOption(_set_fast_open, lambda socket: socket.option(options.FASTOPEN)),
    options.FASTOPEN_CONNECT: StreamOption(
        _set_fast_open_connect, lambda socket: socket.option(options.FASTOPEN_CONNECT)
    ),
}


# --- what is no number


def _set_congestion(socket: "StreamEndpoint", value: int | bytes) -> None:
    """The name of a registered congestion control. Raises ENOENT when there is none."""
    try:
        tcp = evolve(socket.settings.tcp, congestion=options.decode_name(value))
    except ValueError as error:
        raise os_error(ENOENT, str(error)) from None
    socket.change(evolve(socket.settings, tcp=tcp))


def _get_congestion(socket: "StreamEndpoint", buflen: int) -> int | bytes:
    return options.encode_name(socket.settings.tcp.congestion, buflen)


def _get_info(socket: "StreamEndpoint", buflen: int) -> int | bytes:
    """`struct tcp_info`; of a socket without a connection only the state."""
    if socket.flow is None:
        return options.encode_octets(tcp_info(socket.state), buflen)
    flow = socket.flow
    info = tcp_info(socket.state, flow.connection.info(), flow.path.mtu, socket.stack.now)
    return options.encode_octets(info, buflen)


OCTET_OPTIONS: Mapping[OptionKey, OctetOption] = {
    options.CONGESTION: OctetOption(_get_congestion, _set_congestion),
    options.INFO: OctetOption(_get_info),
}
