"""The UDP socket: bind, connect, send and receive datagrams, without waiting."""

from errno import EDESTADDRREQ, EINVAL, ENOTCONN, EPIPE
from socket import MSG_PEEK, SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_DGRAM, SocketKind
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import Buffer, override

from pystack.errors import os_error
from pystack.net.path import Path
from pystack.net.sourceroute import SourceRoute
from pystack.stack import options
from pystack.stack.endpoint import Address, Endpoint, address_text, check_port
from pystack.stack.flow import flow_key
from pystack.stack.options import OptionKey
from pystack.transport.udp import DatagramQueue
from pystack.units import Ns

if TYPE_CHECKING:
    from pystack.stack.stack import Stack

__all__ = ["DatagramEndpoint"]


class DatagramEndpoint(Endpoint):
    """One UDP socket (RFC 768; RFC 1122, section 4.1)."""

    type: ClassVar[SocketKind] = SOCK_DGRAM
    defaults: ClassVar[dict[OptionKey, int]] = {
        options.REUSEADDR: 0,
        options.BROADCAST: 0,
        options.RCVBUF: 0,
        options.SNDBUF: 0,
        options.TTL: options.DEFAULT_TTL,
        options.TOS: 0,
    }

    def __init__(self, stack: "Stack", version: int | None = None) -> None:
        super().__init__(stack, version)
        self._queue: DatagramQueue[tuple[bytes, int]] = DatagramQueue(stack.config.udp_queue_octets)
        self._path: Path | None = None
        self._peer: tuple[bytes, int] | None = None
        self._key = b""
        self._route: SourceRoute | None = None
        self._charged = 0
        self._read_shut = False
        self._write_shut = False

    def bind(self, address: Address, now: Ns) -> None:
        """Raises EINVAL (bound already), EADDRINUSE, EADDRNOTAVAIL."""
        self._check_open()
        if self._binding is not None:
            raise os_error(EINVAL, "the socket is bound already")
        self._bind(self._octets(address[0]), check_port(address[1]))

    def _bind(self, octets: bytes, port: int) -> int:
        reuse = bool(self.option(options.REUSEADDR))
        self._binding = binding = self.stack.bind_udp(octets, port, reuse=reuse)
        self.stack.udp.open(self, binding.address, binding.port)
        return binding.port

    def connect(self, address: Address, now: Ns) -> None:
        """Fix the peer: only its datagrams are received, and its ICMP errors are reported. Sends nothing."""
        self._check_open()
        remote, port = self._octets(address[0]), check_port(address[1])
        path = self._path_to(remote)
        local_port = self._binding.port if self._binding is not None else self._bind(self._any, 0)
        self._disconnect()
        self._peer = (path.dst, port)
        self._path = path
        self._key = flow_key(path.src, local_port, path.dst, port)
        self.stack.udp.connect(self, self._key)

    def _path_to(self, remote: bytes) -> Path:
        source = self._binding.address if self._binding is not None else self._any
        return self.stack.network.path(
            remote or self.stack.loopback(source),
            source or None,
            broadcast=bool(self.option(options.BROADCAST)),
            route=self._route,
        )

    def _disconnect(self) -> None:
        if self._peer is not None:
            self.stack.udp.disconnect(self, self._key)
            self._peer = None

    def try_sendto(self, data: Buffer, address: Address | None, now: Ns, flags: int = 0) -> int:
        """The octets of `data`, all of them: a datagram is taken whole. Raises EDESTADDRREQ, EMSGSIZE, EACCES,
        ENETUNREACH, and the pending error."""
        self._check_open()
        error = self.take_error()
        if error is not None:
            raise error
        if self._write_shut:
            raise os_error(EPIPE, "this side has been shut down")
        if address is not None:
            path, port = self._path_to(self._octets(address[0])), check_port(address[1])
        elif self._peer is not None and self._path is not None:
            self._path = path = self.stack.network.refresh(self._path)
            port = self._peer[1]
        else:
            raise os_error(EDESTADDRREQ, "connect first, or name the destination")
        src_port = self._binding.port if self._binding is not None else self._bind(self._any, 0)
        payload = bytes(data)
        ttl, tos = self.option(options.TTL), self.option(options.TOS)
        self.stack.udp.send(path, src_port, port, payload, now, ttl=ttl, tos=tos)
        self.stack.network.flush(now)
        return len(payload)

    def try_recvfrom(self, size: int, now: Ns, flags: int = 0) -> tuple[bytes, tuple[str, int]] | None:
        """The oldest datagram, cut to `size` octets, and its sender; None: nothing yet. Raises the pending error."""
        self._check_open()
        error = self.take_error()
        if error is not None:
            raise error
        entry = self._queue.first() if flags & MSG_PEEK else self._queue.pop()
        self._account()
        if entry is None:
            return (b"", (address_text(self._any), 0)) if self._read_shut else None
        data, (address, port) = entry
        return data[:size], (address_text(address), port)

    def on_datagram(self, data: bytes, sender: tuple[bytes, int], now: Ns) -> bool:
        """From the network: False when the queue is full. A connected socket hears only its peer."""
        if self._peer is not None and sender != self._peer:
            return True
        if self.stack.memory.exhausted or not self._queue.push(data, sender):
            return False
        self._account()
        self._advance(now)
        return True

    def _account(self) -> None:
        """Charge what is queued to the stack's memory limit."""
        self.stack.memory.used += self._queue.octets - self._charged
        self._charged = self._queue.octets

    @property
    def waiting(self) -> bool:
        """A datagram is there, or the end."""
        return bool(self._queue) or self._read_shut

    @property
    @override
    def readable(self) -> bool:
        return self.waiting or self._pending_error is not None

    @property
    @override
    def writable(self) -> bool:
        return True

    def shutdown(self, how: int, now: Ns) -> None:
        """Raises ENOTCONN, EINVAL."""
        self._check_open()
        if self._peer is None:
            raise os_error(ENOTCONN, "the socket is not connected")
        if how not in (SHUT_RD, SHUT_WR, SHUT_RDWR):
            raise os_error(EINVAL, f"how must be SHUT_RD, SHUT_WR or SHUT_RDWR, not {how}")
        self._read_shut |= how in (SHUT_RD, SHUT_RDWR)
        self._write_shut |= how in (SHUT_WR, SHUT_RDWR)
        self._advance(now)

    @override
    def _set_route(self, route: SourceRoute | None) -> None:
        if self._path is not None and self._peer is not None:
            self._path = self.stack.network.path(
                self._path.dst, self._path.src, broadcast=self._path.broadcast, route=route
            )
        self._route = route

    @override
    def _set_option(self, key: OptionKey, value: int) -> None:
        if key in (options.RCVBUF, options.SNDBUF):
            value = options.buffer_size(key, value, self.stack.config.memory_limit)
        super()._set_option(key, value)
        if key == options.RCVBUF:
            self._queue.limit = value

    @override
    def _get_option(self, key: OptionKey) -> int:
        return self._queue.limit if key == options.RCVBUF else super()._get_option(key)

    @override
    def _release(self, now: Ns) -> None:
        self.stack.memory.used -= self._charged
        self._disconnect()
        if self._binding is not None:
            self.stack.udp.close(self, self._binding.address, self._binding.port)
            self.stack.unbind_udp(self._binding)

    @override
    def getsockname(self) -> tuple[str, int]:
        self._check_open()
        if self._path is not None and self._binding is not None:
            return address_text(self._path.src), self._binding.port
        if self._binding is not None:
            return address_text(self._binding.address), self._binding.port
        return address_text(self._any), 0

    @override
    def getpeername(self) -> tuple[str, int]:
        self._check_open()
        if self._peer is None:
            raise os_error(ENOTCONN, "the socket is not connected")
        return address_text(self._peer[0]), self._peer[1]
