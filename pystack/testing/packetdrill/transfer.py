"""The calls that send and receive."""

import socket
from collections.abc import Callable
from errno import EFAULT
from typing import TypeAlias

from pystack.errors import os_error
from pystack.stack.datagram import DatagramEndpoint
from pystack.stack.operation import Operation
from pystack.stack.stream import StreamEndpoint
from pystack.testing.packetdrill.constants import CONSTANTS
from pystack.testing.packetdrill.descriptors import (
    DONTWAIT,
    Answer,
    Descriptor,
    Descriptors,
    Difference,
    compared_address,
)
from pystack.testing.packetdrill.script import Call, Expression, Group, Symbol
from pystack.testing.packetdrill.values import Misused, Unsupported, buffer_octets, number, socket_address
from pystack.transport.tcp.state import State
from pystack.units import Ns

__all__ = ["Transfers"]

_WAITALL = CONSTANTS["MSG_WAITALL"]
_FASTOPEN = CONSTANTS["MSG_FASTOPEN"]
_ERRQUEUE = CONSTANTS["MSG_ERRQUEUE"]
_UNREAD = (socket.IPPROTO_TCP, CONSTANTS["TCP_CM_INQ"])
ControlMessage: TypeAlias = tuple[int, int, int]
"""Level, type and data."""
_NOT_PASSED_ON = DONTWAIT | CONSTANTS["MSG_NOSIGNAL"]
"""What these flags ask for is done here."""


class Transfers(Descriptors):
    """What is sent is zeros; what is received is only counted."""

    # --- sending

    def call_write(self, call: Call, now: Ns) -> Operation[Answer]:
        fd, buffer, size = call.arguments
        _check_buffer(buffer, size)
        return self._send(fd, number(size), 0, None, now)

    def call_writev(self, call: Call, now: Ns) -> Operation[Answer]:
        fd, vectors, _ = call.arguments
        return self._send(fd, buffer_octets(vectors), 0, None, now)

    def call_send(self, call: Call, now: Ns) -> Operation[Answer]:
        fd, buffer, size, flags = call.arguments
        _check_buffer(buffer, size)
        return self._send(fd, number(size), number(flags), None, now)

    def call_sendto(self, call: Call, now: Ns) -> Operation[Answer]:
        fd, buffer, size, flags, address, _ = call.arguments
        _check_buffer(buffer, size)
        return self._send(fd, number(size), number(flags), address, now)

    def call_sendmsg(self, call: Call, now: Ns) -> Operation[Answer]:
        fd, message, flags = call.arguments
        name, size, control = _message(message)
        if control:
            raise Unsupported("msg_control: ancillary data to send")
        return self._send(fd, size, number(flags), name, now)

    def _send(self, fd: Expression, size: int, flags: int, address: Expression | None, now: Ns) -> Operation[Answer]:
        descriptor = self.get(fd)
        endpoint = descriptor.endpoint
        if isinstance(endpoint, DatagramEndpoint):
            return self._send_datagram(descriptor, endpoint, size, address, flags, now)
        assert isinstance(endpoint, StreamEndpoint)
        waits = descriptor.blocking and not flags & DONTWAIT
        if flags & _FASTOPEN and address is not None and address != 0:
            target = socket_address(address, self.remote)
            return self._open_by_sending(descriptor, endpoint, size, target, waits, now)
        attempt = _sending(endpoint, size, flags & ~_NOT_PASSED_ON, waits=waits)
        return self.wait(descriptor, attempt, now, timeout=descriptor.send_timeout, flags=flags)

    def _open_by_sending(
        self, descriptor: Descriptor, endpoint: StreamEndpoint, size: int, target: tuple[str, int], waits: bool, now: Ns
    ) -> Operation[Answer]:
        opening = endpoint.opening_send(bytes(size), target, waits=waits)

        def attempt(when: Ns) -> Answer | None:
            try:
                taken = opening(when)
            finally:
                if endpoint.state is not State.CLOSED:
                    self.on_target(endpoint, target)
            return None if taken is None else Answer(taken)

        return self.wait(descriptor, attempt, now, timeout=descriptor.send_timeout, flags=0)

    def _send_datagram(
        self,
        descriptor: Descriptor,
        endpoint: DatagramEndpoint,
        size: int,
        address: Expression | None,
        flags: int,
        now: Ns,
    ) -> Operation[Answer]:
        target = None if address is None or address == 0 else socket_address(address, self.remote)

        def attempt(when: Ns) -> Answer:
            return Answer(endpoint.try_sendto(bytes(size), target, when))

        operation = self.wait(descriptor, attempt, now, timeout=descriptor.send_timeout, flags=flags)
        if target is not None:
            self.on_target(endpoint, target)
        return operation

    # --- receiving

    def call_read(self, call: Call, now: Ns) -> Operation[Answer]:
        fd, buffer, size = call.arguments
        _check_buffer(buffer, size)
        return self._receive(fd, number(size), 0, None, now)

    def call_readv(self, call: Call, now: Ns) -> Operation[Answer]:
        fd, vectors, _ = call.arguments
        return self._receive(fd, buffer_octets(vectors), 0, None, now)

    def call_recv(self, call: Call, now: Ns) -> Operation[Answer]:
        fd, buffer, size, flags = call.arguments
        _check_buffer(buffer, size)
        return self._receive(fd, number(size), number(flags), None, now)

    def call_recvfrom(self, call: Call, now: Ns) -> Operation[Answer]:
        fd, buffer, size, flags, address, _ = call.arguments
        _check_buffer(buffer, size)
        return self._receive(fd, number(size), number(flags), address, now)

    def call_recvmsg(self, call: Call, now: Ns) -> Operation[Answer]:
        fd, message, flags = call.arguments
        name, size, control = _message(message)
        return self._receive(fd, size, number(flags), name, now, control)

    def _receive(
        self,
        fd: Expression,
        size: int,
        flags: int,
        sender: Expression | None,
        now: Ns,
        control: tuple[ControlMessage, ...] | None = None,
    ) -> Operation[Answer]:
        descriptor = self.get(fd)
        if flags & _ERRQUEUE:
            raise Unsupported("MSG_ERRQUEUE")
        endpoint = descriptor.endpoint
        passed = flags & ~(_NOT_PASSED_ON | _WAITALL)
        if isinstance(endpoint, StreamEndpoint):
            attempt = _receiving(endpoint, size, passed, whole=bool(flags & _WAITALL))
            if control is not None:
                attempt = _with_control(attempt, descriptor, endpoint, control)
        elif control:
            raise Unsupported("msg_control: ancillary data of a datagram")
        else:
            assert isinstance(endpoint, DatagramEndpoint)
            attempt = _receiving_datagram(endpoint, size, passed, sender)
        return self.wait(descriptor, attempt, now, timeout=descriptor.receive_timeout, flags=flags)


def _check_buffer(buffer: Expression, size: Expression) -> None:
    """Nothing is read from where a buffer is, but NULL is nowhere."""
    if buffer is not ... and not isinstance(buffer, str | list) and number(buffer) == 0 and number(size):
        raise os_error(EFAULT, "the buffer is at NULL")


def _message(message: Expression) -> tuple[Expression | None, int, tuple[ControlMessage, ...] | None]:
    """Address, octets and ancillary data (None: left open) of a `struct msghdr`."""
    if not isinstance(message, Group):
        raise Misused("a message is {msg_name(...)=..., msg_iov(1)=[{..., 1000}], msg_flags=0}")
    control = message.get("msg_control")
    parts = None if control is None or control is ... else tuple(map(_control, _list(control)))
    return message.get("msg_name"), buffer_octets(message.get("msg_iov") or []), parts


def _list(value: Expression) -> list[Expression]:
    return value if isinstance(value, list) else [value]


def _control(entry: Expression) -> ControlMessage:
    """Level, type and data of a `struct cmsghdr`."""
    if not isinstance(entry, Group):
        raise Misused("ancillary data is [{cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ, cmsg_data=100}]")
    level, kind = (number(entry.get(name) or 0) for name in ("cmsg_level", "cmsg_type"))
    if (level, kind) != _UNREAD:
        name = entry.get("cmsg_type")
        raise Unsupported(f"msg_control: {name.name if isinstance(name, Symbol) else kind}")
    return level, kind, number(entry.get("cmsg_data") or 0)


def _with_control(
    attempt: Callable[[Ns], Answer | None],
    descriptor: Descriptor,
    endpoint: StreamEndpoint,
    expected: tuple[ControlMessage, ...],
) -> Callable[[Ns], Answer | None]:
    """With TCP_INQ a call says what is left to read; Linux counts the end of the stream as one octet, once nothing else
    is there."""

    def attempt_and_compare(now: Ns) -> Answer | None:
        answer = attempt(now)
        if answer is None:
            return None
        unread = endpoint.info().unread or int(endpoint.reading_ended)
        told = ((*_UNREAD, unread),) if descriptor.tells_unread else ()
        differences = () if told == expected else (Difference("(level, type, data)", expected, told),)
        return Answer(answer.value, (*answer.differences, *differences))

    return attempt_and_compare


def _sending(endpoint: StreamEndpoint, size: int, flags: int, *, waits: bool) -> Callable[[Ns], Answer | None]:
    """All of it if the caller `waits`, else what fits; what left before an error counts."""
    data = memoryview(bytes(size))
    taken = 0

    def attempt(now: Ns) -> Answer | None:
        nonlocal taken
        while True:
            try:
                count = endpoint.try_send(data[taken:], now, flags)
            except OSError:
                if not taken:
                    raise
                return Answer(taken)
            if count is None:
                return Answer(taken) if taken and not waits else None
            taken += count
            if taken == size:
                return Answer(taken)

    return attempt


def _receiving(endpoint: StreamEndpoint, size: int, flags: int, *, whole: bool) -> Callable[[Ns], Answer | None]:
    """`whole`: not before all of `size` is there, or the end, or what comes next is the urgent mark."""
    got = 0

    def attempt(now: Ns) -> Answer | None:
        nonlocal got
        while (data := endpoint.try_recv(size - got, now, flags)) is not None:
            got += len(data)
            if not whole or not data or got == size or endpoint.at_mark:
                return Answer(got)
        return None

    return attempt


def _receiving_datagram(
    endpoint: DatagramEndpoint, size: int, flags: int, sender: Expression | None
) -> Callable[[Ns], Answer | None]:
    def attempt(now: Ns) -> Answer | None:
        received = endpoint.try_recvfrom(size, now, flags)
        return None if received is None else Answer(len(received[0]), compared_address(sender, received[1]))

    return attempt
