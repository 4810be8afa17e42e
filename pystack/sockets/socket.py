"""A socket of a `Host` that behaves as the standard library's: the same methods, exceptions and timeouts."""

import io
import math
import operator
import socket
import warnings
from collections.abc import Callable
from errno import EAGAIN, ECONNABORTED, EINPROGRESS, EOPNOTSUPP
from typing import IO, TYPE_CHECKING, Any, Final, Literal, NoReturn, Self, TypeAlias, TypeVar, cast, overload

from typing_extensions import Buffer

from pystack.errors import os_error
from pystack.sockets.family import INET, Address, Family, Name
from pystack.sockets.resolve import IPAddress, resolve
from pystack.stack import options
from pystack.stack.datagram import DatagramEndpoint
from pystack.stack.stream import MORE, URGENT, StreamEndpoint
from pystack.transport.tcp.info import TCPInfo
from pystack.units import SECOND, Ns, from_seconds

if TYPE_CHECKING:
    from pystack.sockets.host import Host

__all__ = ["Socket"]

T = TypeVar("T")

_TextMode: TypeAlias = Literal["r", "w", "rw", "wr", ""]
_BinaryMode: TypeAlias = Literal["b", "rb", "br", "wb", "bw", "rwb", "rbw", "wrb", "wbr", "brw", "bwr"]

BLOCK: Final = 65536
"""Octets that `sendfile` reads at once."""

PEEK: Final = int(socket.MSG_PEEK)
DONT_WAIT: Final = int(getattr(socket, "MSG_DONTWAIT", 0))
WAIT_ALL: Final = int(getattr(socket, "MSG_WAITALL", 0))
NO_SIGNAL: Final = int(getattr(socket, "MSG_NOSIGNAL", 0))
FAST_OPEN: Final = int(getattr(socket, "MSG_FASTOPEN", 0x20000000))
KNOWN_FLAGS: Final = PEEK | DONT_WAIT | WAIT_ALL | NO_SIGNAL
STREAM_FLAGS: Final = KNOWN_FLAGS | URGENT | MORE


class _Datagrams:
    """A UDP endpoint seen through a stream's calls, for `recv`, `recv_into` and `send`."""

    def __init__(self, endpoint: DatagramEndpoint) -> None:
        self._endpoint = endpoint

    def try_recv(self, size: int, now: Ns, flags: int = 0) -> bytes | None:
        received = self._endpoint.try_recvfrom(size, now, flags)
        return None if received is None else received[0]

    def try_recv_into(self, view: memoryview, now: Ns, flags: int = 0) -> int | None:
        data = self.try_recv(view.nbytes, now, flags)
        if data is None:
            return None
        view[: len(data)] = data
        return len(data)

    def try_send(self, data: Buffer, now: Ns, flags: int = 0) -> int | None:
        return self._endpoint.try_sendto(data, None, now, flags)


class Socket:
    """One socket of `host`; made by `Host.socket`, `create_connection`, `create_server` and `accept`.

    Safe to use from several threads. Unlike with the kernel's sockets, `close` in one thread ends the calls that wait
    in others: they raise EBADF. There is no descriptor: `fileno` and `detach` raise `io.UnsupportedOperation`.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_endpoint",
        "_family",
        "_host",
        "_io_refs",
        "_patience",
        "_proto",
        "_pump",
        "_stream",
        "_timeout",
    )

    def __init__(
        self, host: "Host", endpoint: StreamEndpoint | DatagramEndpoint, proto: int = 0, family: Family = INET
    ) -> None:
        self._host = host
        self._family = family
        self._pump = host._pump
        self._endpoint = endpoint
        self._stream = endpoint if isinstance(endpoint, StreamEndpoint) else _Datagrams(endpoint)
        self._proto = proto
        self._timeout: float | None = None
        self._patience: Ns | None = None
        self._io_refs = 0
        self._closed = False

    # --- naming

    @property
    def family(self) -> socket.AddressFamily:
        return self._family.number

    @property
    def type(self) -> socket.SocketKind:
        return self._endpoint.type

    @property
    def proto(self) -> int:
        return self._proto

    def getsockname(self) -> Name:
        return self._family.name(self._pump.call(lambda _: self._endpoint.getsockname()))

    def getpeername(self) -> Name:
        return self._family.name(self._pump.call(lambda _: self._endpoint.getpeername()))

    def _literal(self, what: str, address: Address) -> tuple[IPAddress, int]:
        """`address` with its name looked up, for the call named `what`."""
        host, port = self._family.checked(what, address)
        return resolve(host, self._host._names, versions=(self._family.version,))[0], port

    def __repr__(self) -> str:
        parts = [f"family={self.family.name}", f"type={self.type.name}", f"proto={self._proto}"]
        for label, name in (("laddr", self._endpoint.getsockname), ("raddr", self._endpoint.getpeername)):
            try:  # without the lock: a destructor's warning shows it too
                parts.append(f"{label}={self._family.name(name())}")
            except OSError:
                continue
        return f"<pystack.Socket{' [closed]' if self._closed else ''} {', '.join(parts)}>"

    # --- waiting

    @property
    def timeout(self) -> float | None:
        return self._timeout

    def gettimeout(self) -> float | None:
        return self._timeout

    def settimeout(self, value: float | None) -> None:
        """Seconds that a call may wait; None: for ever; 0: not at all (`BlockingIOError`)."""
        if value is None:
            self._timeout = self._patience = None
            return
        seconds = float(value)
        if math.isnan(seconds):
            raise ValueError("Invalid value NaN (not a number)")
        if seconds < 0:
            raise ValueError("Timeout value out of range: it must not be negative")
        if math.isinf(seconds):
            raise OverflowError("timestamp too large to convert: None waits for ever")
        self._timeout, self._patience = seconds, from_seconds(seconds)

    def getblocking(self) -> bool:
        return self._timeout != 0

    def setblocking(self, flag: bool) -> None:
        self.settimeout(None if flag else 0.0)

    def _patience_with(self, flags: int) -> Ns | None:
        known = STREAM_FLAGS if isinstance(self._endpoint, StreamEndpoint) else KNOWN_FLAGS
        if flags & ~known:
            raise os_error(EOPNOTSUPP, f"this kind of socket does not know the flags {flags & ~known:#x}")
        return 0 if flags & DONT_WAIT else self._patience

    def _perform(self, attempt: Callable[[Ns], T | None], flags: int = 0) -> T:
        return self._pump.run(self._endpoint, attempt, self._patience_with(flags) if flags else self._patience)

    # --- opening

    def bind(self, address: Address) -> None:
        host, port = self._literal("bind", address)
        target = self._family.wildcard(host), port
        self._pump.call(lambda now: self._endpoint.bind(target, now))

    def connect(self, address: Address) -> None:
        """Raises `ConnectionRefusedError`, `TimeoutError` and what else the standard library's would; with a timeout
        of 0 `BlockingIOError` (EINPROGRESS) while the handshake goes on."""
        self._connect(self._literal("connect", address))

    def _connect(self, target: tuple[IPAddress, int]) -> None:
        """The same, with no name left to look up."""
        self._pump.call(lambda now: self._endpoint.connect(target, now))
        endpoint = self._endpoint
        if not isinstance(endpoint, StreamEndpoint):
            return
        try:
            self._perform(endpoint.try_connected)
        except BlockingIOError:
            raise os_error(EINPROGRESS, "the handshake goes on; call again, or give the socket a timeout") from None

    def connect_ex(self, address: Address) -> int:
        """As `connect`, but the errno is returned. Other exceptions, such as those for names, are raised."""
        try:
            self.connect(address)
        except socket.gaierror:
            raise
        except OSError as error:
            return error.errno or EAGAIN  # "timed out" has none
        return 0

    def listen(self, backlog: int = 128) -> None:
        endpoint = self._stream_only("listen")
        self._pump.call(lambda now: endpoint.listen(backlog, now))

    def accept(self) -> tuple["Socket", Name]:
        """A new, blocking socket and its peer's address. Raises `ConnectionAbortedError` for a connection that its
        peer reset while it waited here; the next one may be well."""
        endpoint = self._stream_only("accept")

        def attempt(now: Ns) -> tuple[StreamEndpoint, tuple[str, int]] | None:
            child = endpoint.try_accept(now)
            if child is None:
                return None
            try:
                return child, child.getpeername()
            except OSError:
                child.close(now)
                raise os_error(ECONNABORTED, "the peer reset it before it was accepted; accept the next") from None

        child, peer = self._perform(attempt)
        return Socket(self._host, child, family=self._family), self._family.name(peer)

    def _stream_only(self, what: str) -> StreamEndpoint:
        if isinstance(self._endpoint, StreamEndpoint):
            return self._endpoint
        raise os_error(EOPNOTSUPP, f"{what} is for SOCK_STREAM sockets")

    # --- receiving

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        if bufsize <= 0:
            if bufsize < 0:
                raise ValueError("negative buffersize in recv")
            return b""
        if flags & WAIT_ALL and isinstance(self._endpoint, StreamEndpoint):
            buffer = bytearray(bufsize)
            return bytes(memoryview(buffer)[: self._fill(self._endpoint, memoryview(buffer), flags)])
        stream = self._stream
        return self._perform(lambda now: stream.try_recv(bufsize, now, flags), flags)

    def recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        view = _window("recv_into", buffer, nbytes)
        if not view.nbytes:
            return 0
        if flags & WAIT_ALL and isinstance(self._endpoint, StreamEndpoint):
            return self._fill(self._endpoint, view, flags)
        stream = self._stream
        return self._perform(lambda now: stream.try_recv_into(view, now, flags), flags)

    def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, Name | None]:
        """The sender is None on a stream."""
        if bufsize < 0:
            raise ValueError("negative buffersize in recvfrom")
        endpoint = self._endpoint
        if isinstance(endpoint, StreamEndpoint):
            return self.recv(bufsize, flags), None
        data, sender = self._perform(lambda now: endpoint.try_recvfrom(bufsize, now, flags), flags)
        return data, self._family.name(sender)

    def recvfrom_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> tuple[int, Name | None]:
        view = _window("recvfrom_into", buffer, nbytes)
        if isinstance(self._endpoint, StreamEndpoint):
            return self.recv_into(view, 0, flags), None
        data, sender = self.recvfrom(view.nbytes, flags)
        view[: len(data)] = data
        return len(data), sender

    def _fill(self, stream: StreamEndpoint, view: memoryview, flags: int) -> int:
        """MSG_WAITALL: all of `view`, or less when the stream ends, fails, is late or has its mark in the middle."""
        filled = 0

        def attempt(now: Ns) -> int | None:
            nonlocal filled
            while filled < view.nbytes and not (filled and stream.at_mark):
                count = stream.try_recv_into(view[filled:], now, flags)
                if count is None:
                    return None
                filled += count
                if not count or flags & PEEK:
                    break
            return filled

        try:
            return self._perform(attempt, flags)
        except OSError:
            if filled:
                return filled
            raise

    # --- sending

    def send(self, data: Buffer, flags: int = 0) -> int:
        octets = _octets(data)
        stream = self._stream
        return self._perform(lambda now: stream.try_send(octets, now, flags), flags)

    def sendall(self, data: Buffer, flags: int = 0) -> None:
        """All of `data`, within the timeout. After an exception nobody can tell how much of it was sent."""
        rest = _octets(data)
        left = len(rest)
        stream = self._stream

        def attempt(now: Ns) -> bool | None:
            nonlocal rest, left
            while (taken := stream.try_send(rest, now, flags)) is not None:
                left -= taken
                if not left:
                    return True
                rest = memoryview(rest)[taken:]
            return None

        self._perform(attempt, flags)

    @overload
    def sendto(self, data: Buffer, address: Address | None, /) -> int: ...
    @overload
    def sendto(self, data: Buffer, flags: int, address: Address | None, /) -> int: ...
    def sendto(self, data: Buffer, *rest: Any) -> int:
        """`sendto(data, address)` or `sendto(data, flags, address)`. A stream goes where it is connected, or with
        MSG_FASTOPEN connects to `address`, as far as possible with `data` in its SYN."""
        if not 1 <= len(rest) <= 2:
            raise TypeError(f"sendto() takes 2 or 3 arguments ({len(rest) + 1} given)")
        flags = operator.index(rest[0]) if len(rest) == 2 else 0
        endpoint = self._endpoint
        if isinstance(endpoint, StreamEndpoint) and flags & FAST_OPEN and rest[-1] is not None:
            flags &= ~FAST_OPEN
            waits = self._patience_with(flags) != 0
            attempt = endpoint.opening_send(_octets(data), self._literal("sendto", rest[-1]), waits=waits)
            return self._perform(attempt, flags)
        if isinstance(endpoint, StreamEndpoint):
            return self.send(data, flags)
        target = None if rest[-1] is None else self._literal("sendto", rest[-1])
        octets = _octets(data)
        return self._perform(lambda now: endpoint.try_sendto(octets, target, now, flags), flags)

    def sendfile(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> int:
        """Send `file`, opened in binary mode, from `offset`, to its end or `count` octets; how many were sent. Its
        position is behind them afterwards, also when an exception ends the call."""
        if "b" not in getattr(file, "mode", "b"):
            raise ValueError("file should be opened in binary mode")
        if not isinstance(self._endpoint, StreamEndpoint):
            raise ValueError("only SOCK_STREAM type sockets are supported")
        if count is not None and count <= 0:
            raise ValueError(f"count must be a positive integer (got {count!r})")
        if self._timeout == 0:
            raise ValueError("non-blocking sockets are not supported")
        if offset:
            file.seek(offset)
        sent = 0
        try:
            while count is None or sent < count:
                block = memoryview(file.read(BLOCK if count is None else min(BLOCK, count - sent)))
                if not block:
                    break
                while block:
                    taken = self.send(block)
                    sent += taken
                    block = block[taken:]
        finally:
            if sent and hasattr(file, "seek"):
                file.seek(offset + sent)
        return sent

    # --- files

    @overload
    def makefile(
        self,
        mode: _TextMode = "r",
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[str]: ...
    @overload
    def makefile(
        self,
        mode: _BinaryMode,
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[bytes]: ...
    @overload
    def makefile(
        self,
        mode: str,
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]: ...
    def makefile(
        self,
        mode: str = "r",
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """A file on this socket, as the standard library makes it. The socket stays open until it, and every file
        made of it, is closed."""
        if not set(mode) <= {"r", "w", "b"}:
            raise ValueError(f"invalid mode {mode!r} (only r, w, b allowed)")
        writing = "w" in mode
        reading = "r" in mode or not writing
        binary = "b" in mode
        size = io.DEFAULT_BUFFER_SIZE if buffering is None or buffering < 0 else buffering
        if size == 0 and not binary:
            raise ValueError("unbuffered streams must be binary")
        raw = socket.SocketIO(cast(socket.socket, self), cast(Any, "r" * reading + "w" * writing))
        self._io_refs += 1
        if size == 0:
            return cast(IO[bytes], raw)
        buffer: io.BufferedRWPair | io.BufferedReader | io.BufferedWriter
        if reading and writing:
            buffer = io.BufferedRWPair(raw, raw, size)
        elif reading:
            buffer = io.BufferedReader(raw, size)
        else:
            buffer = io.BufferedWriter(raw, size)
        if binary:
            return cast(IO[bytes], buffer)
        text = io.TextIOWrapper(cast(IO[bytes], buffer), io.text_encoding(encoding), errors, newline)
        text.mode = mode  # type: ignore[misc]
        return text

    def _decref_socketios(self) -> None:
        """Called by `socket.SocketIO` when it is closed."""
        if self._io_refs > 0:
            self._io_refs -= 1
        if self._closed:
            self.close()

    def fileno(self) -> int:
        raise io.UnsupportedOperation(
            "a pystack socket has no file descriptor: wait for it in a thread, with a timeout"
        )

    def detach(self) -> int:
        raise io.UnsupportedOperation("a pystack socket has no file descriptor to detach: use the socket itself")

    # --- options

    def setsockopt(self, level: int, optname: int, value: int | Buffer | None, optlen: int | None = None) -> None:
        if value is None:
            raw: int | bytes = bytes(operator.index(optlen or 0))
        elif isinstance(value, int):
            raw = value
        else:
            raw = bytes(value)
        self._pump.call(lambda _: self._endpoint.setsockopt(level, optname, raw))

    def getsockopt(self, level: int, optname: int, buflen: int = 0) -> int | bytes:
        return self._pump.call(lambda _: self._endpoint.getsockopt(level, optname, buflen))

    def sockatmark(self) -> bool:
        """Whether the next octet is the last one of the peer's urgent data, which MSG_OOB reads, or `recv` with
        SO_OOBINLINE. No `recv` reads across this mark. Raises ENOTCONN."""
        endpoint = self._stream_only("sockatmark")
        return self._pump.call(lambda _: endpoint.at_mark)

    def info(self) -> TCPInfo:
        """The state of the connection, at this moment. Raises ENOTCONN."""
        endpoint = self._stream_only("info")
        return self._pump.call(lambda _: endpoint.info())

    # --- the end

    def shutdown(self, how: int) -> None:
        """SHUT_RD, SHUT_WR or SHUT_RDWR. A `recv` that waits in another thread returns b"" when reading ends."""
        self._pump.call(lambda now: self._endpoint.shutdown(how, now))

    def close(self) -> None:
        """Never waits, but for a linger time set with SO_LINGER; what is queued is still delivered. Calls that wait in
        other threads raise EBADF. Idempotent."""
        self._closed = True
        if self._io_refs > 0:
            return
        linger = self._linger()
        self._pump.close_endpoint(self._endpoint)
        if linger:
            endpoint = self._stream_only("close")
            self._pump.wait_until(lambda: not endpoint.unsent, linger)

    def _linger(self) -> Ns:
        """How long `close` waits for the peer to acknowledge what is queued."""
        endpoint = self._endpoint
        if not isinstance(endpoint, StreamEndpoint) or endpoint.closed or self._timeout == 0:
            return 0
        return max(0, endpoint.option(options.LINGER)) * SECOND

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._closed:
            self.close()

    def __getstate__(self) -> NoReturn:
        raise TypeError(f"cannot pickle {self.__class__.__name__!r} object")

    def __del__(self) -> None:
        endpoint = getattr(self, "_endpoint", None)
        if endpoint is not None and not endpoint.closed and self._pump.is_open:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self._pump.drop(endpoint)


def _octets(data: Buffer) -> bytes | bytearray | memoryview:
    """`data` so that its `len` counts octets. `bytes` stays itself: the stack keeps it without copying."""
    if isinstance(data, bytes | bytearray):
        return data
    view = memoryview(data)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


def _window(what: str, buffer: Buffer, nbytes: int) -> memoryview:
    """The octets of `buffer` that a call may write: the first `nbytes`, or all when it is 0."""
    view = memoryview(buffer)
    if view.format != "B" or view.ndim != 1:
        view = view.cast("B")
    if nbytes == 0:
        return view
    if nbytes < 0:
        raise ValueError(f"negative buffersize in {what}")
    if nbytes > view.nbytes:
        raise ValueError("buffer too small for requested bytes")
    return view[:nbytes]
