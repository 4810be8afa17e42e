"""The TCP socket: connect, listen, accept, send and receive, without waiting."""

import socket
from collections.abc import Callable
from errno import (
    EAGAIN,
    EALREADY,
    ECONNABORTED,
    EINPROGRESS,
    EINVAL,
    EISCONN,
    ENETUNREACH,
    ENOTCONN,
    EOPNOTSUPP,
    EPIPE,
)
from socket import MSG_OOB, MSG_PEEK, SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_STREAM, SocketKind
from typing import TYPE_CHECKING, ClassVar

from attrs import evolve
from typing_extensions import Buffer, override

from pystack.errors import os_error
from pystack.net.family import family_of
from pystack.net.sourceroute import SourceRoute
from pystack.stack import options
from pystack.stack.endpoint import Address, Endpoint, address_text, check_port
from pystack.stack.flow import Flow, ListeningPort, Settings
from pystack.stack.options import OptionKey
from pystack.stack.streamoptions import OCTET_OPTIONS, STREAM_OPTIONS
from pystack.transport.tcp.connection import TCPConnection
from pystack.transport.tcp.fastopen import FastOpenMode
from pystack.transport.tcp.info import TCPInfo
from pystack.transport.tcp.state import State
from pystack.units import Ns

if TYPE_CHECKING:
    from pystack.stack.stack import Stack

__all__ = ["StreamEndpoint"]

PEEK, URGENT = int(MSG_PEEK), int(MSG_OOB)  # plain: the "&" of an IntFlag is Python code
MORE = int(getattr(socket, "MSG_MORE", 0x8000))


class StreamEndpoint(Endpoint):
    """One TCP socket. `Flow` is its connection, once it has one."""

    __slots__ = (
        "_error_told",
        "_read_shut",
        "_starved",
        "_urgent_read",
        "_write_shut",
        "flow",
        "listening",
        "settings",
    )

    type: ClassVar[SocketKind] = SOCK_STREAM
    defaults: ClassVar[dict[OptionKey, int]] = {
        options.REUSEADDR: 0,
        options.LINGER: options.LINGER_OFF,
        options.OOBINLINE: 0,
        options.FASTOPEN: 0,
        options.FASTOPEN_CONNECT: 0,
    }

    def __init__(self, stack: "Stack", flow: Flow | None = None, version: int | None = None) -> None:
        super().__init__(stack, version)
        self.flow: Flow | None = None
        self.listening: ListeningPort | None = None
        self.settings = stack.tcp.plain
        self._read_shut = False
        self._write_shut = False
        self._error_told = False
        self._starved = False  # the last attempt to send found no room
        self._urgent_read = -1  # the end of the urgent data whose last octet MSG_OOB has read
        if flow is not None:
            self._adopt(flow)

    # --- opening

    def bind(self, address: Address, now: Ns) -> None:
        """Raises EINVAL (bound already), EADDRINUSE, EADDRNOTAVAIL."""
        self._check_open()
        if self._binding is not None or self.flow is not None:
            raise os_error(EINVAL, "the socket is bound already")
        self._binding = self.stack.bind_tcp(
            self._octets(address[0]), check_port(address[1]), reuse=bool(self.option(options.REUSEADDR))
        )

    def connect(self, address: Address, now: Ns) -> None:
        """Send the SYN; `try_connected` tells how it went. With TCP_FASTOPEN_CONNECT, where a cookie is known, it
        leaves with the first data. Raises what no packet is needed for: ENETUNREACH, EADDRNOTAVAIL, EADDRINUSE,
        EISCONN, EALREADY."""
        self._open(address, now, fast=bool(self.option(options.FASTOPEN_CONNECT)))

    def opening_send(self, data: Buffer, address: Address, *, waits: bool) -> Callable[[Ns], int | None]:
        """The attempt that is `sendto` with MSG_FASTOPEN (RFC 7413 appendix A.1): connect, with `data` in the SYN where
        a cookie is known. It answers with the octets taken: at once, or if it `waits`, after the handshake, when it
        sends what could not leave before. Without `waits` and a cookie it raises EINPROGRESS: send it again later.

        It raises as `connect`, and EOPNOTSUPP where `StackConfig.fast_open` does not allow it."""
        octets = memoryview(data).cast("B")
        taken: int | None = None

        def attempt(now: Ns) -> int | None:
            nonlocal taken
            if taken is None:
                self.check_fast_open()
                taken = self._open(address, now, fast=True, data=octets)
                if not waits:
                    if taken:
                        return taken
                    raise os_error(EINPROGRESS, "no Fast Open cookie is known: send it again once connected")
            if self.try_connected(now) is None:
                return None
            return taken or self.try_send(octets, now)

        return attempt

    def check_fast_open(self) -> None:
        allowed = FastOpenMode.CLIENT | FastOpenMode.CLIENT_WITHOUT_COOKIE
        if not self.stack.config.fast_open & allowed:
            raise os_error(EOPNOTSUPP, "this stack's fast_open setting does not allow clients to use TCP Fast Open")

    def _open(self, address: Address, now: Ns, *, fast: bool, data: memoryview | None = None) -> int:
        """Connect; without `data` a fast SYN waits for some. The octets of `data` that were taken."""
        self._check_open()
        if self.listening is not None:
            raise os_error(EISCONN, "the socket listens")
        if self.flow is not None:
            opening = self.flow.connection.opening and not self.flow.connection.deferred
            raise os_error(EALREADY if opening else EISCONN, "a socket connects once; make a new one")
        remote, port = self._octets(address[0]), check_port(address[1])
        source, local_port = (self._binding.address, self._binding.port) if self._binding else (self._any, None)
        target = remote or self.stack.loopback(source)
        path = self.stack.network.path(target, source or None, route=self.settings.route)
        if family_of(path.dst).is_group(path.dst):
            raise os_error(ENETUNREACH, f"{address_text(path.dst)} is a group; TCP connects to one host")
        fast_open = None
        if fast:
            fast_open = self.stack.fast_open.active(path, port, now, cookieless=self.settings.cookieless)
        if fast_open is None or not fast_open.mss:
            data = None
        elif data is None:
            fast_open.waits = True
        self._adopt(self.stack.tcp.open(path, local_port, port, self.settings, now, fast_open, data or b""))
        return self.unsent if data is not None else 0

    def try_connected(self, now: Ns) -> bool | None:
        """True once the handshake is done, None before; raises why it failed."""
        flow = self._need_flow()
        if flow.connection.opening:
            return True if flow.connection.deferred else None
        if flow.connection.state is State.CLOSED and flow.connection.error is not None:
            if self._error_told:
                raise os_error(ECONNABORTED, "the connection has failed, and the socket has told why")
            self._error_told = True
            raise flow.connection.error.with_traceback(None)
        return True

    def listen(self, backlog: int, now: Ns) -> None:
        """Raises EINVAL (connected), EADDRINUSE. Binds to an ephemeral port if unbound."""
        self._check_open()
        if self.flow is not None:
            raise os_error(EINVAL, "the socket is connected; a listener must be a socket of its own")
        if self._binding is None:
            self.bind(("", 0), now)
        binding = self._binding
        assert binding is not None
        if self.listening is None:
            self.listening = self.stack.tcp.listen(
                binding.address, binding.port, max(backlog, 0), self.settings, self._advance
            )
            binding.listening = True
            self.listening.queues.fast_opens.limit = self.option(options.FASTOPEN)
        else:
            self.listening.queues.backlog = min(max(backlog, 0), self.stack.config.max_backlog)

    def try_accept(self, now: Ns) -> "StreamEndpoint | None":
        """The oldest finished connection, or None. Raises EINVAL when the socket does not listen."""
        self._check_open()
        if self.listening is None:
            raise os_error(EINVAL, "the socket does not listen")
        if self._pending_error is not None:
            raise self._pending_error
        flow = self.listening.queues.accept()
        if flow is None:
            return None
        child = StreamEndpoint(self.stack, flow)
        child.settings = self.settings
        child._any = self._any
        child._options = dict(self._options)
        child._ip_options = self._ip_options
        return child

    def _adopt(self, flow: Flow) -> None:
        self.flow = flow
        flow.on_progress = self._advance

    # --- data

    def try_recv(self, size: int, now: Ns, flags: int = 0) -> bytes | None:
        """At most `size` octets; b"" at the end of the stream; None: nothing yet. What arrived before an error is
        handed out first; after a reset every call raises it: an end that was not clean never looks clean. With MSG_OOB
        the urgent octet; raises EINVAL if there is none, or it is read already, or SO_OOBINLINE leaves it in the
        stream, EAGAIN if it is announced and has not arrived."""
        flow = self._need_flow()
        if flow.connection.marked or flags & URGENT:
            return self._recv_around_mark(flow, size, now, flags)
        return self._recv(flow, size, now, flags)

    def _recv(self, flow: Flow, size: int, now: Ns, flags: int) -> bytes | None:
        connection = flow.connection
        if not size:
            return b""
        if connection.readable:
            if flags & PEEK:
                return connection.peek(size)
            data = connection.recv(size, now)
            self.stack.tcp.after_read(flow, now)
            return data
        return None if self._nothing_to_read(flow) else b""

    def try_recv_into(self, view: memoryview, now: Ns, flags: int = 0) -> int | None:
        """As `try_recv`, into `view`: how many octets, 0 at the end of the stream, None: nothing yet."""
        flow = self._need_flow()
        connection = flow.connection
        if connection.readable and not flags & (PEEK | URGENT) and not connection.marked:
            count = connection.recv_into(view, now)
            self.stack.tcp.after_read(flow, now)
            return count
        data = self.try_recv(view.nbytes, now, flags)
        if data is None:
            return None
        view[: len(data)] = data
        return len(data)

    def _recv_around_mark(self, flow: Flow, size: int, now: Ns, flags: int) -> bytes | None:
        """While urgent data is to be read: no call reads across the mark, which is before its last octet. That octet is
        not part of the stream unless SO_OOBINLINE is set (RFC 6093, section 3.1)."""
        connection = flow.connection
        left = connection.urgent
        inline = bool(self.option(options.OOBINLINE))
        if flags & URGENT:
            return self._recv_urgent(connection, left, flags)
        if left is None:
            connection.marked = False
        elif left > 1:
            size = min(size, left - 1)
        elif not inline:
            if connection.readable < 2:
                return None if self._nothing_to_read(flow) else b""
            if flags & PEEK:
                return connection.peek(size + 1)[1:]
            connection.recv(1, now)
        return self._recv(flow, size, now, flags)

    def _recv_urgent(self, connection: TCPConnection, left: int | None, flags: int) -> bytes:
        if left is None or self._urgent_read == connection.rcv_up or self.option(options.OOBINLINE):
            raise os_error(EINVAL, "there is no urgent octet to read")
        if connection.readable < left:
            if connection.eof or connection.state is State.CLOSED:
                return b""
            raise os_error(EAGAIN, "the urgent octet has not arrived yet")
        if not flags & PEEK:
            self._urgent_read = connection.rcv_up
        return connection.peek_at(left - 1)

    def _nothing_to_read(self, flow: Flow) -> bool:
        """Whether data may still come. Raises the connection's error, unless the peer's FIN came before it: then the
        stream has ended as it should."""
        connection = flow.connection
        if connection.opening:
            return True
        if connection.eof:
            return False
        if connection.error is not None and not (self._read_shut and self._error_told):
            self._error_told = True
            raise connection.error.with_traceback(None)  # kept: each raise would add to what it holds
        return not (self._read_shut or connection.state is State.CLOSED)

    def try_send(self, data: Buffer, now: Ns, flags: int = 0) -> int | None:
        """How many octets of `data` the send buffer took; None: not yet, there is no room, or was none and still is not
        enough to be `writable`. Raises EPIPE after a shutdown and without a connection, and once the connection's
        error. MSG_OOB makes the data urgent; MSG_MORE says that more follows: a tail that does not fill a segment waits
        for it."""
        self._check_open()
        flow = self.flow
        if flow is None:
            raise os_error(EPIPE, "the socket is not connected")
        connection = flow.connection
        if connection.error is not None or self._write_shut or connection.state is State.CLOSED:
            error = self.take_error()
            raise error or os_error(EPIPE, "nothing can be sent on this connection any more")
        if (self._starved or connection.opening) and not connection.writable:
            return None
        room = self.stack.tcp.accounts.send_room(flow)
        taken = connection.send(data, now, urgent=bool(flags & URGENT), more=bool(flags & MORE), most=room)
        if taken or not room:  # when there is none, others give way
            self.stack.tcp.push(flow, now)
        self._starved = not taken and memoryview(data).nbytes > 0
        return None if self._starved else taken

    @property
    def urgent(self) -> int | None:
        """Octets to read up to the end of the peer's urgent data (RFC 9293, section 3.8.5; RFC 6093), the last one
        included; None: there is none."""
        return self._need_flow().connection.urgent

    @property
    def at_mark(self) -> bool:
        """Whether the next octet is the last one of the peer's urgent data: what SIOCATMARK tells."""
        return self.urgent == 1

    @property
    @override
    def readable(self) -> bool:
        if self.listening is not None:
            return self.listening.queues.has_ready
        if self.flow is None:
            return True
        connection = self.flow.connection
        if connection.opening:
            return False
        if connection.eof or self._read_shut or connection.state is State.CLOSED:
            return True
        waiting = connection.readable
        if waiting == 1 and connection.marked and connection.urgent == 1:
            return bool(self.option(options.OOBINLINE))
        return waiting > 0

    @property
    @override
    def writable(self) -> bool:
        if self.flow is None:
            return self.listening is None
        connection = self.flow.connection
        if not connection.send_space:
            return connection.writable
        return connection.writable and self.stack.tcp.accounts.send_room(self.flow) > 0

    @property
    def state(self) -> State:
        if self.flow is not None:
            return self.flow.connection.state
        return State.LISTEN if self.listening is not None else State.CLOSED

    @property
    def fresh(self) -> bool:
        """It neither listens nor has, or had, a connection."""
        return self.flow is None and self.listening is None

    @property
    @override
    def failed(self) -> bool:
        told = self._error_told or self.flow is None or self.flow.connection.error is None
        return not told or super().failed

    @property
    def ended(self) -> bool:
        """The connection is over in both directions, if there ever was one."""
        return self.state in (State.CLOSED, State.TIME_WAIT)

    @property
    def reading_ended(self) -> bool:
        """What can be read now is all that there will be."""
        return self._read_shut or self.ended or (self.flow is not None and self.flow.connection.eof)

    @property
    def writing_ended(self) -> bool:
        return self._write_shut or self.ended

    @property
    def unsent(self) -> int:
        """Octets, FIN included, that the peer has not acknowledged."""
        return self.flow.connection.unacknowledged if self.flow is not None else 0

    def info(self) -> TCPInfo:
        """Raises ENOTCONN."""
        return self._need_flow().connection.info()

    # --- closing

    def shutdown(self, how: int, now: Ns) -> None:
        """Half close (RFC 9293, section 3.6): FIN behind what is queued, and no waiting for more to read, as `how`
        says. A listener that is shut for reading listens no more."""
        if how not in (SHUT_RD, SHUT_WR, SHUT_RDWR):
            raise os_error(EINVAL, f"how must be SHUT_RD, SHUT_WR or SHUT_RDWR, not {how}")
        if self.listening is not None:
            if how != SHUT_WR:
                self._unlisten(self.listening, now)
            return
        flow = self._need_flow()
        connection = flow.connection
        if self.ended:
            raise os_error(ENOTCONN, "the connection has ended")
        if how in (SHUT_RD, SHUT_RDWR):
            self._read_shut = connection.deaf = True
        if how in (SHUT_WR, SHUT_RDWR) and not self._write_shut:
            self._write_shut = True
            connection.shutdown(now)
            self.stack.tcp.push(flow, now)
        self._advance(now)

    def abort(self, now: Ns) -> None:
        """Reset the connection (RFC 9293, section 3.10.5) and close the socket."""
        if self.flow is not None:
            self.flow.connection.abort(now)
        self.close(now)

    def _unlisten(self, listening: ListeningPort, now: Ns) -> None:
        self.listening = None
        self.stack.tcp.unlisten(listening, now)
        if self._binding is not None:
            self._binding.listening = False
        self._advance(now)

    @override
    def _release(self, now: Ns) -> None:
        if self.listening is not None:
            self._unlisten(self.listening, now)
        if self._binding is not None:
            self.stack.unbind_tcp(self._binding)
        if self.flow is not None:
            if self.option(options.LINGER) == 0:
                self.flow.connection.abort(now)
            else:
                self.flow.connection.close(now)
            self.stack.tcp.detach(self.flow, now)

    @override
    def take_error(self) -> OSError | None:
        """The pending error, once."""
        if self.flow is not None and self.flow.connection.error is not None and not self._error_told:
            self._error_told = True
            return self.flow.connection.error
        return super().take_error()

    # --- names and options

    @override
    def getsockname(self) -> tuple[str, int]:
        self._check_open()
        if self.flow is not None:
            address, port = self.flow.local
            return address_text(address), port
        if self._binding is not None:
            return address_text(self._binding.address), self._binding.port
        return address_text(self._any), 0

    @override
    def getpeername(self) -> tuple[str, int]:
        flow = self._need_flow()
        if flow.connection.opening or self.ended:
            raise os_error(ENOTCONN, "the socket is not connected")
        address, port = flow.remote
        return address_text(address), port

    @override
    def setsockopt(self, level: int, name: int, value: int | bytes) -> None:
        """As every socket's; TCP_CONGESTION takes the name of a registered congestion control as bytes, and raises
        ENOENT when there is none. TCP_INFO can only be read."""
        option = OCTET_OPTIONS.get((level, name))
        if option is None or option.set is None:
            super().setsockopt(level, name, value)
        else:
            self._check_open()
            option.set(self, value)

    @override
    def getsockopt(self, level: int, name: int, buflen: int = 0) -> int | bytes:
        option = OCTET_OPTIONS.get((level, name))
        if option is None:
            return super().getsockopt(level, name, buflen)
        self._check_open()
        return option.get(self, buflen)

    @override
    def _set_option(self, key: OptionKey, value: int) -> None:
        option = STREAM_OPTIONS.get(key)
        if option is None:
            super()._set_option(key, value)
        else:
            option.set(self, value)

    @override
    def _get_option(self, key: OptionKey) -> int:
        if key == options.ERROR and not self.failed:
            return self._take_soft_error()
        option = STREAM_OPTIONS.get(key)
        return super()._get_option(key) if option is None else option.get(self)

    def _take_soft_error(self) -> int:
        """The errno of what the path has reported and the connection has survived, once."""
        if self.flow is None:
            return 0
        connection = self.flow.connection
        code, connection.soft_error = connection.soft_error, None
        return code or 0

    @override
    def _set_route(self, route: SourceRoute | None) -> None:
        if self.flow is not None:
            self.stack.tcp.reroute(self.flow, route)
        self.change(evolve(self.settings, route=route))

    def change(self, settings: Settings) -> None:
        """Take over `settings`, and so does what there is already: a listener, a connection."""
        self.settings = settings
        if self.listening is not None:
            self.listening.settings = settings
        if self.flow is not None:
            self.flow.settings = settings
            self.flow.connection.configure(settings.tcp, self.stack.now)
            self.stack.tcp.push(self.flow, self.stack.now)

    def _need_flow(self) -> Flow:
        self._check_open()
        if self.flow is None:
            raise os_error(ENOTCONN, "the socket is not connected")
        return self.flow
