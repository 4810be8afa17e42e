"""The socket calls of a script, made on the kernel's sockets; each in a thread, because it may block."""

import errno
import fcntl
import os
import queue
import select
import socket
import struct
import threading
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Any, cast

from attrs import define, field

from pystack.stack.endpoint import Endpoint
from pystack.stack.operation import Operation
from pystack.stack.stream import StreamEndpoint
from pystack.testing.packetdrill.constants import CONSTANTS, SHUTDOWNS
from pystack.testing.packetdrill.descriptors import Answer, Difference, compared, compared_address
from pystack.testing.packetdrill.flows import Flows
from pystack.testing.packetdrill.script import Call, Expression, Group, Symbol
from pystack.testing.packetdrill.settings import Settings
from pystack.testing.packetdrill.values import Misused, Unsupported, buffer_octets, number, socket_address
from pystack.units import Ns
from tests.interop.drill.info import tcpi_names

__all__ = ["KernelCalls", "KernelSocket"]

_SEC, _USEC = ("tv_sec", "tv_usec")
_TIMEOUTS = [(socket.SOL_SOCKET, CONSTANTS[name]) for name in ("SO_RCVTIMEO", "SO_SNDTIMEO")]
_LINGER = (socket.SOL_SOCKET, CONSTANTS["SO_LINGER"])
_ERROR = (socket.SOL_SOCKET, CONSTANTS["SO_ERROR"])
_INFO = (socket.IPPROTO_TCP, CONSTANTS["TCP_INFO"])
_NONBLOCK = CONSTANTS["SOCK_NONBLOCK"]
_CLOEXEC = CONSTANTS["SOCK_CLOEXEC"]
_SPARSE = 1 << 40
"""Octets of a file of zeros."""


@define(eq=False)
class KernelSocket:
    socket: socket.socket

    def getsockname(self) -> tuple[str, int]:
        return _plain(self.socket.getsockname())

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        self.socket.close()


@define(eq=False)
class _File:
    fd: int

    def fileno(self) -> int:
        return self.fd

    def close(self) -> None:
        os.close(self.fd)


@define(eq=False)
class _Epoll:
    epoll: select.epoll = field(factory=select.epoll)
    data: dict[int, int] = field(factory=dict)

    def close(self) -> None:
        self.epoll.close()


@define(eq=False)
class KernelCalls:
    """Every `call_NAME` is one call."""

    settings: Settings
    flows: Flows
    wake: Callable[[], object]
    """Tells whoever waits for an operation that it may be done."""
    congestion: str = field(default="cubic", init=False)
    without_effect: list[str] = field(factory=list, init=False)
    table: dict[int, Any] = field(factory=dict, init=False)
    _work: "queue.SimpleQueue[Callable[[], None]]" = field(factory=queue.SimpleQueue, init=False)

    def start(self) -> None:
        """The thread has the priority of the one that starts it."""
        threading.Thread(target=self._labour, daemon=True).start()

    def _labour(self) -> None:
        while True:
            self._work.get()()
            self.wake()

    def invoke(self, call: Call, now: Ns) -> Operation[Answer]:
        handler: Callable[[Call], Answer] | None = getattr(self, f"call_{call.name}", None)
        if handler is None:
            raise Unsupported(f"{call.name}()")
        outcome: list[Answer | BaseException] = []

        def work() -> None:
            try:
                outcome.append(handler(call))
            except BaseException as error:  # all of them belong to the one who made the call
                outcome.append(error)

        def look(when: Ns) -> Answer | None:
            for each in outcome:
                if isinstance(each, BaseException):
                    raise each
                return each
            return None

        self._work.put(work)
        return Operation(look, None)

    # --- descriptors

    def assign(self, call: Call, descriptor: object) -> Answer:
        fd = number(call.result) if call.result is not ... else max(self.table, default=2) + 1
        if fd < 0:
            fd = max(self.table, default=2) + 1
        self.table[fd] = descriptor
        return Answer(fd)

    def entry(self, fd: Expression) -> Any:
        found = self.table.get(number(fd))
        if found is None:
            raise OSError(errno.EBADF, "no such descriptor")
        return found

    def get(self, fd: Expression) -> socket.socket:
        found = self.entry(fd)
        if not isinstance(found, KernelSocket):
            raise OSError(errno.ENOTSOCK, "no socket")
        return found.socket

    def address(self, sock: socket.socket, value: Expression, default: tuple[str, int]) -> tuple[str, int]:
        host, port = socket_address(value, default)
        if sock.family == socket.AF_INET6:
            address = ip_address(host or "::")
            host = str(address) if address.version == 6 else f"::ffff:{address}"
        return host, port

    @property
    def remote(self) -> tuple[str, int]:
        return str(self.settings.remote), self.settings.connect_port

    def on_target(self, sock: socket.socket, target: tuple[str, int]) -> None:
        """The port must be known before the first packet."""
        if not sock.getsockname()[1]:
            sock.bind(("", 0))
        self.flows.on_target(cast(Endpoint, self._kept(sock)), _plain(target))

    def _kept(self, sock: socket.socket) -> KernelSocket:
        return next(each for each in self.table.values() if isinstance(each, KernelSocket) and each.socket is sock)

    # --- opening and closing

    def call_socket(self, call: Call) -> Answer:
        domain, kind, protocol = call.arguments
        default = socket.AF_INET if self.settings.ip_version == "ipv4" else socket.AF_INET6
        family = default if domain is ... else number(domain)
        sock = socket.socket(family, number(kind), 0 if protocol is ... else number(protocol))
        if sock.type == socket.SOCK_STREAM:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, self.congestion.encode())
        return self.assign(call, KernelSocket(sock))

    def call_bind(self, call: Call) -> Answer:
        fd, address, _ = call.arguments
        sock = self.get(fd)
        sock.bind(self.address(sock, address, ("", self.settings.bind_port)))
        if sock.type == socket.SOCK_DGRAM:
            self.on_target(sock, self.remote)
        return Answer()

    def call_listen(self, call: Call) -> Answer:
        fd, backlog = call.arguments
        sock = self.get(fd)
        sock.listen(number(backlog))
        self.flows.on_listen(cast(StreamEndpoint, self._kept(sock)))
        return Answer()

    def call_accept(self, call: Call) -> Answer:
        fd, *_ = call.arguments
        return self._accept(call, fd, 0)

    def call_accept4(self, call: Call) -> Answer:
        fd, _, _, flags = call.arguments
        return self._accept(call, fd, number(flags))

    def _accept(self, call: Call, fd: Expression, flags: int) -> Answer:
        child, _ = self.get(fd).accept()
        if flags & _NONBLOCK:
            os.set_blocking(child.fileno(), False)
        kept = KernelSocket(child)
        self.flows.on_accept(cast(StreamEndpoint, kept))
        return self.assign(call, kept)

    def call_connect(self, call: Call) -> Answer:
        fd, address, _ = call.arguments
        sock = self.get(fd)
        target = self.address(sock, address, self.remote)
        self.on_target(sock, target)
        sock.connect(target)
        return Answer()

    def call_close(self, call: Call) -> Answer:
        (fd,) = call.arguments
        self.entry(fd)
        self.table.pop(number(fd)).close()
        return Answer()

    def call_shutdown(self, call: Call) -> Answer:
        fd, how = call.arguments
        code = number(how)
        self.get(fd).shutdown(SHUTDOWNS.get(code, code))
        return Answer()

    def call_cap_set(self, call: Call) -> Answer:
        return Answer()

    # --- sending and receiving

    def call_write(self, call: Call) -> Answer:
        fd, _, size = call.arguments
        return Answer(self.get(fd).send(bytes(number(size))))

    def call_writev(self, call: Call) -> Answer:
        fd, vectors, _ = call.arguments
        return Answer(self.get(fd).send(bytes(buffer_octets(vectors))))

    def call_send(self, call: Call) -> Answer:
        fd, _, size, flags = call.arguments
        return Answer(self.get(fd).send(bytes(number(size)), number(flags)))

    def call_sendto(self, call: Call) -> Answer:
        fd, _, size, flags, address, _ = call.arguments
        return self._send_to(fd, number(size), number(flags), address)

    def call_sendmsg(self, call: Call) -> Answer:
        fd, message, flags = call.arguments
        name, size = _message(message)
        return self._send_to(fd, size, number(flags), name)

    def _send_to(self, fd: Expression, size: int, flags: int, address: Expression | None) -> Answer:
        sock = self.get(fd)
        if address is None or address == 0:
            return Answer(sock.send(bytes(size), flags))
        target = self.address(sock, address, self.remote)
        self.on_target(sock, target)
        return Answer(sock.sendto(bytes(size), flags, target))

    def call_read(self, call: Call) -> Answer:
        fd, _, size = call.arguments
        return Answer(len(self.get(fd).recv(number(size))))

    def call_readv(self, call: Call) -> Answer:
        fd, vectors, _ = call.arguments
        return Answer(len(self.get(fd).recv(buffer_octets(vectors))))

    def call_recv(self, call: Call) -> Answer:
        fd, _, size, flags = call.arguments
        return Answer(len(self.get(fd).recv(number(size), number(flags))))

    def call_recvfrom(self, call: Call) -> Answer:
        fd, _, size, flags, address, _ = call.arguments
        return self._receive_from(fd, number(size), number(flags), address)

    def call_recvmsg(self, call: Call) -> Answer:
        fd, message, flags = call.arguments
        name, size = _message(message)
        return self._receive_from(fd, size, number(flags), name)

    def _receive_from(self, fd: Expression, size: int, flags: int, sender: Expression | None) -> Answer:
        data, address = self.get(fd).recvfrom(size, flags)
        return Answer(len(data), compared_address(sender, _plain(address)) if address else ())

    # --- asking and setting

    def call_setsockopt(self, call: Call) -> Answer:
        fd, level, name, value, _ = call.arguments
        key = number(level), number(name)
        match _single(value):
            case str(text):
                packed: bytes | int = text.encode()
            case Group() as group if key in _TIMEOUTS:
                packed = struct.pack("ll", *(number(group.get(name) or 0) for name in (_SEC, _USEC)))
            case Group() as group:
                packed = struct.pack(
                    "ii", number(group.get("onoff", "l_onoff") or 0), number(group.get("linger", "l_linger") or 0)
                )
            case single:
                packed = number(single)
        self.get(fd).setsockopt(*key, packed)
        return Answer()

    def call_getsockopt(self, call: Call) -> Answer:
        fd, level, name, value, _ = call.arguments
        key = number(level), number(name)
        sock = self.get(fd)
        single = _single(value)
        if isinstance(value, str):
            actual = sock.getsockopt(*key, 16).partition(b"\0")[0].decode()
            return Answer(0, () if actual == value else (Difference("the option's value", value, actual),))
        if key == _LINGER and isinstance(single, Group):
            lingers = struct.unpack("ii", sock.getsockopt(*key, 8))
            wanted = tuple(number(single.get(*names) or 0) for names in (("onoff", "l_onoff"), ("linger", "l_linger")))
            return Answer(0, () if wanted == lingers else (Difference("(l_onoff, l_linger)", wanted, lingers),))
        if key == _INFO:
            told = tcpi_names(sock)
            fields = single.fields if isinstance(single, Group) else ()
            return Answer(
                0,
                tuple(
                    Difference(field, number(want), told[field])
                    for field, want in fields
                    if want is not ... and number(want) != told[field]
                ),
            )
        if isinstance(single, Group):
            raise Unsupported("a struct as an option's value")
        if key == _ERROR and isinstance(single, Symbol):
            value = int(getattr(errno, single.name))
        return compared("the option's value", value, sock.getsockopt(*key))

    def call_fcntl(self, call: Call) -> Answer:
        fd, command, *rest = call.arguments
        return Answer(fcntl.fcntl(self.get(fd), number(command), *map(number, rest)))

    def call_ioctl(self, call: Call) -> Answer:
        fd, request, value = call.arguments
        code = number(request)
        sets = code == CONSTANTS["FIONBIO"]
        reply = fcntl.ioctl(self.get(fd), code, struct.pack("i", number(value) if sets else 0))
        return Answer() if sets else compared("the value", value, struct.unpack("i", reply)[0])

    def call_getsockname(self, call: Call) -> Answer:
        fd, address, _ = call.arguments
        return Answer(0, compared_address(address, _plain(self.get(fd).getsockname())))

    def call_getpeername(self, call: Call) -> Answer:
        fd, address, _ = call.arguments
        return Answer(0, compared_address(address, _plain(self.get(fd).getpeername())))

    # --- waiting

    def call_poll(self, call: Call) -> Answer:
        entries, _, timeout = call.arguments
        if not isinstance(entries, list):
            raise Misused("poll() takes [{fd=3, events=POLLIN, revents=POLLIN}]")
        poll = select.poll()
        wanted = {}
        for entry in entries:
            assert isinstance(entry, Group)
            fd, events, expected = (number(entry.get(name) or 0) for name in ("fd", "events", "revents"))
            real = self.entry(fd).fileno() if fd in self.table else 1 << 20  # nobody has that many descriptors
            poll.register(real, events)
            wanted[real] = fd, expected
        ready = dict(poll.poll(number(timeout)))
        differences = [
            Difference(f"revents of {fd}", expected, ready.get(real, 0))
            for real, (fd, expected) in wanted.items()
            if ready.get(real, 0) != expected
        ]
        return Answer(len(ready), tuple(differences))

    def call_epoll_create(self, call: Call) -> Answer:
        return self.assign(call, _Epoll())

    call_epoll_create1 = call_epoll_create

    def call_epoll_ctl(self, call: Call) -> Answer:
        epfd, operation, fd, *event = call.arguments
        epoll, sock = self.entry(epfd), self.get(fd)
        code = number(operation)
        if code == CONSTANTS["EPOLL_CTL_DEL"]:
            epoll.epoll.unregister(sock)
            return Answer()
        events, data = _event(event[0])
        (epoll.epoll.register if code == CONSTANTS["EPOLL_CTL_ADD"] else epoll.epoll.modify)(sock, events)
        epoll.data[sock.fileno()] = data
        return Answer()

    def call_epoll_wait(self, call: Call) -> Answer:
        epfd, expected, most, timeout, *_ = call.arguments
        epoll = self.entry(epfd)
        wait = number(timeout)
        found = epoll.epoll.poll(None if wait < 0 else wait / 1000, number(most))
        told = [(events, epoll.data[fd]) for fd, events in found]
        if expected is ... or expected == [...] or not told:
            return Answer(len(told))
        wanted = [_event(each) for each in (expected if isinstance(expected, list) else [expected])]
        return Answer(
            len(told), () if wanted == told else (Difference("the events, each with its data,", wanted, told),)
        )

    # --- beside sockets

    def call_open(self, call: Call) -> Answer:
        file = os.memfd_create("zeros")
        os.truncate(file, _SPARSE)
        return self.assign(call, _File(file))

    def call_pipe(self, call: Call) -> Answer:
        (ends,) = call.arguments
        assert isinstance(ends, list)
        for end, fd in zip(ends, os.pipe(), strict=True):
            self.table[number(end)] = _File(fd)
        return Answer()

    def call_sendfile(self, call: Call) -> Answer:
        target, source, _, count = call.arguments
        return Answer(os.sendfile(self.entry(target).fileno(), self.entry(source).fileno(), 0, number(count)))

    def call_splice(self, call: Call) -> Answer:
        source, _, target, _, count, flags = call.arguments
        moved = os.splice(  # type: ignore[attr-defined, unused-ignore]
            self.entry(source).fileno(), self.entry(target).fileno(), number(count), flags=number(flags)
        )
        return Answer(moved)


def _plain(address: Any) -> tuple[str, int]:
    """Without what belongs to IPv6 alone."""
    host, port, *_ = address
    if ":" in host and (mapped := IPv6Address(host).ipv4_mapped):
        host = str(mapped)
    return host, port


def _single(value: Expression) -> Expression:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _message(message: Expression) -> tuple[Expression | None, int]:
    if not isinstance(message, Group):
        raise Misused("a message is {msg_name(...)=..., msg_iov(1)=[{..., 1000}], msg_flags=0}")
    if message.get("msg_control") not in (None, ..., []):
        raise Unsupported("msg_control: ancillary data")
    return message.get("msg_name"), buffer_octets(message.get("msg_iov") or [])


def _event(event: Expression) -> tuple[int, int]:
    if not isinstance(event, Group):
        raise Misused(f"{event!r} is not {{events=EPOLLIN, fd=4}}")
    data = event.get("fd", "ptr", "u32", "u64")
    return number(event.get("events") or 0), 0 if data is None or data is ... else number(data)
