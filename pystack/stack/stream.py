"""The TCP socket: connect, listen, accept, send and receive, without waiting."""

from errno import EALREADY, EINVAL, EISCONN, ENETUNREACH, ENOENT, ENOTCONN, EPIPE
from ipaddress import ip_address
from socket import MSG_OOB, MSG_PEEK, SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_STREAM, SocketKind
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import evolve, frozen
from typing_extensions import Buffer, override

from pystack.errors import os_error
from pystack.net.sourceroute import SourceRoute
from pystack.stack import options
from pystack.stack.endpoint import Address, Endpoint, address_text, check_port
from pystack.stack.flow import Flow, ListeningPort, Settings
from pystack.stack.options import OptionKey
from pystack.transport.tcp.config import TCPConfig
from pystack.transport.tcp.info import TCPInfo
from pystack.transport.tcp.state import State
from pystack.units import SECOND, Ns

if TYPE_CHECKING:
    from pystack.stack.stack import Stack

__all__ = ["StreamEndpoint"]

PEEK, URGENT = int(MSG_PEEK), int(MSG_OOB)  # plain: the "&" of an IntFlag is Python code
_OPENING = (State.LISTEN, State.SYN_SENT, State.SYN_RECEIVED)


class StreamEndpoint(Endpoint):
    """One TCP socket. `Flow` is its connection, once it has one."""

    type: ClassVar[SocketKind] = SOCK_STREAM
    defaults: ClassVar[dict[OptionKey, int]] = {
        options.REUSEADDR: 0,
        options.LINGER: options.LINGER_OFF,
    }

    def __init__(self, stack: "Stack", flow: Flow | None = None, version: int | None = None) -> None:
        super().__init__(stack, version)
        self._flow: Flow | None = None
        self._listening: ListeningPort | None = None
        self._settings = Settings(stack.config.tcp)
        self._read_shut = False
        self._write_shut = False
        self._error_told = False
        if flow is not None:
            self._adopt(flow)

    # --- opening

    def bind(self, address: Address, now: Ns) -> None:
        """Raises EINVAL (bound already), EADDRINUSE, EADDRNOTAVAIL."""
        self._check_open()
        if self._binding is not None or self._flow is not None:
            raise os_error(EINVAL, "the socket is bound already")
        self._binding = self._stack.bind_tcp(
            self._octets(address[0]), check_port(address[1]), reuse=bool(self.option(options.REUSEADDR))
        )

    def connect(self, address: Address, now: Ns) -> None:
        """Send the SYN; `try_connected` tells how it went. Raises what no packet is needed for: ENETUNREACH,
        EADDRNOTAVAIL, EADDRINUSE, EISCONN, EALREADY."""
        self._check_open()
        if self._listening is not None:
            raise os_error(EISCONN, "the socket listens")
        if self._flow is not None:
            opening = self._flow.connection.state in _OPENING
            raise os_error(EALREADY if opening else EISCONN, "a socket connects once; make a new one")
        remote, port = self._octets(address[0]), check_port(address[1])
        source, local_port = (self._binding.address, self._binding.port) if self._binding else (self._any, None)
        if remote and ip_address(remote).is_multicast:
            raise os_error(ENETUNREACH, f"{address_text(remote)} is a group; TCP connects to one host")
        target = remote or self._stack.loopback(source)
        path = self._stack.network.path(target, source or None, route=self._settings.route)
        self._adopt(self._stack.tcp.open(path, local_port, port, self._settings, now))

    def try_connected(self, now: Ns) -> bool | None:
        """True once the handshake is done, None before; raises why it failed."""
        flow = self._need_flow()
        if flow.connection.state in _OPENING:
            return None
        if flow.connection.state is State.CLOSED and flow.connection.error is not None:
            self._error_told = True
            raise flow.connection.error
        return True

    def listen(self, backlog: int, now: Ns) -> None:
        """Raises EINVAL (connected), EADDRINUSE. Binds to an ephemeral port if unbound."""
        self._check_open()
        if self._flow is not None:
            raise os_error(EINVAL, "the socket is connected; a listener must be a socket of its own")
        if self._binding is None:
            self.bind(("", 0), now)
        binding = self._binding
        assert binding is not None
        if self._listening is None:
            self._listening = self._stack.tcp.listen(
                binding.address, binding.port, max(backlog, 0), self._settings, self._advance
            )
            binding.listening = True
        else:
            self._listening.queues.backlog = min(max(backlog, 0), self._stack.config.max_backlog)

    def try_accept(self, now: Ns) -> "StreamEndpoint | None":
        """The oldest finished connection, or None. Raises EINVAL when the socket does not listen."""
        self._check_open()
        if self._listening is None:
            raise os_error(EINVAL, "the socket does not listen")
        if self._pending_error is not None:
            raise self._pending_error
        flow = self._listening.queues.accept()
        if flow is None:
            return None
        child = StreamEndpoint(self._stack, flow)
        child._settings = self._settings
        child._any = self._any
        child._options = dict(self._options)
        child._ip_options = self._ip_options
        return child

    def _adopt(self, flow: Flow) -> None:
        self._flow = flow
        flow.on_progress = self._advance

    # --- data

    def try_recv(self, size: int, now: Ns, flags: int = 0) -> bytes | None:
        """At most `size` octets; b"" at the end of the stream; None: nothing yet. What arrived before an error is
        handed out first; after a reset every call raises it: an end that was not clean never looks clean."""
        flow = self._need_flow()
        connection = flow.connection
        if connection.readable:
            if self._read_shut:
                connection.recv(connection.readable, now)
                self._stack.tcp.after_read(flow, now)
                return b""
            if flags & PEEK:
                return connection.peek(size)
            data = connection.recv(size, now)
            self._stack.tcp.after_read(flow, now)
            return data
        return None if self._nothing_to_read(flow) else b""

    def try_recv_into(self, view: memoryview, now: Ns, flags: int = 0) -> int | None:
        """As `try_recv`, into `view`: how many octets, 0 at the end of the stream, None: nothing yet."""
        flow = self._need_flow()
        connection = flow.connection
        if connection.readable and not self._read_shut and not flags & PEEK:
            count = connection.recv_into(view, now)
            self._stack.tcp.after_read(flow, now)
            return count
        data = self.try_recv(view.nbytes, now, flags)
        if data is None:
            return None
        view[: len(data)] = data
        return len(data)

    def _nothing_to_read(self, flow: Flow) -> bool:
        """Whether data may still come. Raises the connection's error."""
        connection = flow.connection
        if connection.state in _OPENING:
            return True
        if connection.error is not None and not self._read_shut:
            self._error_told = True
            raise connection.error
        return not (connection.eof or self._read_shut or connection.state is State.CLOSED)

    def try_send(self, data: Buffer, now: Ns, flags: int = 0) -> int | None:
        """How many octets of `data` the send buffer took; None: not yet, most of it is full. Raises EPIPE after a
        shutdown, and once the connection's error."""
        flow = self._need_flow()
        connection = flow.connection
        if connection.error is not None or self._write_shut or connection.state is State.CLOSED:
            error = self.take_error()
            raise error or os_error(EPIPE, "nothing can be sent on this connection any more")
        if not connection.writable:
            return None
        taken = connection.send(data, now, urgent=bool(flags & URGENT))
        if taken:
            self._stack.tcp.push(flow, now)
            return taken
        return None if memoryview(data).nbytes else 0

    @property
    def urgent(self) -> int | None:
        """Octets to read up to the end of the peer's urgent data, which stays in the stream (RFC 9293, section 3.8.5;
        RFC 6093); None: there is none."""
        return self._need_flow().connection.urgent

    @property
    @override
    def readable(self) -> bool:
        if self._listening is not None:
            return self._listening.queues.has_ready
        if self._flow is None:
            return True
        connection = self._flow.connection
        if connection.state in _OPENING:
            return False
        return bool(connection.readable) or connection.eof or self._read_shut or connection.state is State.CLOSED

    @property
    @override
    def writable(self) -> bool:
        if self._flow is None:
            return self._listening is None
        connection = self._flow.connection
        return connection.writable

    @property
    def state(self) -> State:
        if self._flow is not None:
            return self._flow.connection.state
        return State.LISTEN if self._listening is not None else State.CLOSED

    @property
    def unsent(self) -> int:
        """Octets, FIN included, that the peer has not acknowledged."""
        return self._flow.connection.unacknowledged if self._flow is not None else 0

    def info(self) -> TCPInfo:
        """Raises ENOTCONN."""
        return self._need_flow().connection.info()

    # --- closing

    def shutdown(self, how: int, now: Ns) -> None:
        """Half close (RFC 9293, section 3.6): FIN behind what is queued, and no more reading, as `how` says."""
        flow = self._need_flow()
        connection = flow.connection
        if how not in (SHUT_RD, SHUT_WR, SHUT_RDWR):
            raise os_error(EINVAL, f"how must be SHUT_RD, SHUT_WR or SHUT_RDWR, not {how}")
        if connection.state is State.CLOSED:
            raise os_error(ENOTCONN, "the connection has ended")
        if how in (SHUT_RD, SHUT_RDWR):
            self._read_shut = True
        if how in (SHUT_WR, SHUT_RDWR) and not self._write_shut:
            self._write_shut = True
            connection.shutdown(now)
            self._stack.tcp.push(flow, now)
        self._advance(now)

    def abort(self, now: Ns) -> None:
        """Reset the connection (RFC 9293, section 3.10.5) and close the socket."""
        if self._flow is not None:
            self._flow.connection.abort(now)
        self.close(now)

    @override
    def _release(self, now: Ns) -> None:
        if self._listening is not None:
            self._stack.tcp.unlisten(self._listening, now)
        if self._binding is not None:
            self._stack.unbind_tcp(self._binding)
        if self._flow is not None:
            if self.option(options.LINGER) == 0:
                self._flow.connection.abort(now)
            else:
                self._flow.connection.close(now)
            self._stack.tcp.detach(self._flow, now)

    @override
    def take_error(self) -> OSError | None:
        """The pending error, once."""
        if self._flow is not None and self._flow.connection.error is not None and not self._error_told:
            self._error_told = True
            return self._flow.connection.error
        return super().take_error()

    # --- names and options

    @override
    def getsockname(self) -> tuple[str, int]:
        self._check_open()
        if self._flow is not None:
            address, port = self._flow.local
            return address_text(address), port
        if self._binding is not None:
            return address_text(self._binding.address), self._binding.port
        return address_text(self._any), 0

    @override
    def getpeername(self) -> tuple[str, int]:
        flow = self._need_flow()
        if flow.connection.state in _OPENING or flow.connection.state is State.CLOSED:
            raise os_error(ENOTCONN, "the socket is not connected")
        address, port = flow.remote
        return address_text(address), port

    @override
    def setsockopt(self, level: int, name: int, value: int | bytes) -> None:
        """As every socket's; TCP_CONGESTION takes the name of a registered congestion control as bytes, and raises
        ENOENT when there is none."""
        if (level, name) != options.CONGESTION:
            super().setsockopt(level, name, value)
            return
        self._check_open()
        try:
            tcp = evolve(self._settings.tcp, congestion=options.decode_name(value))
        except ValueError as error:
            raise os_error(ENOENT, str(error)) from None
        self._change(evolve(self._settings, tcp=tcp))

    @override
    def getsockopt(self, level: int, name: int, buflen: int = 0) -> int | bytes:
        if (level, name) != options.CONGESTION:
            return super().getsockopt(level, name, buflen)
        self._check_open()
        return options.encode_name(self._settings.tcp.congestion, buflen)

    @override
    def _set_option(self, key: OptionKey, value: int) -> None:
        if key == options.TTL:
            self._change(evolve(self._settings, ttl=value))
        elif key == options.TOS:
            self._change(evolve(self._settings, tos=value))
        elif key in _SETTINGS:
            self._change(evolve(self._settings, tcp=_SETTINGS[key].apply(self._settings.tcp, value)))
        else:
            super()._set_option(key, value)

    @override
    def _get_option(self, key: OptionKey) -> int:
        if key == options.TTL:
            return self._settings.ttl
        if key == options.TOS:
            return self._settings.tos
        return _SETTINGS[key].read(self._settings.tcp) if key in _SETTINGS else super()._get_option(key)

    @override
    def _set_route(self, route: SourceRoute | None) -> None:
        if self._flow is not None:
            self._stack.tcp.reroute(self._flow, route)
        self._change(evolve(self._settings, route=route))

    def _change(self, settings: Settings) -> None:
        self._settings = settings
        if self._listening is not None:
            self._listening.settings = settings
        if self._flow is not None:
            self._flow.settings = settings
            self._flow.connection.configure(settings.tcp)
            self._stack.tcp.push(self._flow, self._stack.now)

    def _need_flow(self) -> Flow:
        self._check_open()
        if self._flow is None:
            raise os_error(ENOTCONN, "the socket is not connected")
        return self._flow


@frozen
class _Setting:
    """An option that is a setting of the connection: the fields of `TCPConfig`, and the unit that the option counts."""

    fields: tuple[str, ...]
    unit: int = 1
    is_switch: bool = False

    def apply(self, config: TCPConfig, value: int) -> TCPConfig:
        """Raises EINVAL."""
        setting: Any = bool(value) if self.is_switch else value * self.unit
        try:
            return evolve(config, **dict.fromkeys(self.fields, setting))
        except ValueError as error:
            raise os_error(EINVAL, str(error)) from None

    def read(self, config: TCPConfig) -> int:
        return int(getattr(config, self.fields[0])) // self.unit


_SETTINGS: dict[OptionKey, _Setting] = {
    options.NODELAY: _Setting(("nodelay",), is_switch=True),
    options.KEEPALIVE: _Setting(("keepalive",), is_switch=True),
    options.KEEPIDLE: _Setting(("keepalive_idle",), SECOND),
    options.KEEPINTVL: _Setting(("keepalive_interval",), SECOND),
    options.KEEPCNT: _Setting(("keepalive_count",)),
    options.SYNCNT: _Setting(("syn_retries",)),
    options.LINGER2: _Setting(("fin_wait_2",), SECOND),
    options.RCVBUF: _Setting(("receive_buffer", "receive_buffer_max")),
    options.SNDBUF: _Setting(("send_buffer", "send_buffer_max")),
}
"""Setting a buffer's size also ends its automatic growth, as in Linux."""
