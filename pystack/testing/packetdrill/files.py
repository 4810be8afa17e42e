"""Calls on what is no socket: files, pipes, and moving octets between them and sockets."""

from collections.abc import Callable
from errno import EAGAIN, EINVAL

from attrs import define

from pystack.errors import os_error
from pystack.stack.operation import Operation
from pystack.testing.packetdrill.constants import CONSTANTS
from pystack.testing.packetdrill.descriptors import Answer, Descriptor
from pystack.testing.packetdrill.epoll import Epolling
from pystack.testing.packetdrill.script import Call, Expression
from pystack.testing.packetdrill.values import Misused, Unsupported, number
from pystack.units import Ns

__all__ = ["Files"]

_PIPE_OCTETS = 64 << 10
_NONBLOCK, _MORE = CONSTANTS["SPLICE_F_NONBLOCK"], CONSTANTS["SPLICE_F_MORE"]


class _File:
    """A file that was opened: zeros without end. Nothing on this machine is touched."""


@define(eq=False)
class _Pipe:
    """Both ends; what is in it is only counted."""

    held: int = 0


class Files(Epolling):
    def call_open(self, call: Call, now: Ns) -> Answer:
        path, _, *_ = call.arguments
        if not isinstance(path, str):
            raise Misused(f"{path!r} is not a path")
        return self.assign(call, _File())

    def call_pipe(self, call: Call, now: Ns) -> Answer:
        (ends,) = call.arguments
        if not isinstance(ends, list) or len(ends) != 2:
            raise Misused(f"{ends!r} is not two descriptors")
        pipe = _Pipe()
        for end in ends:
            self.table[number(end)] = pipe
        return Answer()

    def call_sendfile(self, call: Call, now: Ns) -> Operation[Answer]:
        target, source, _, count = call.arguments
        if not isinstance(self.entry(source), _File):
            raise Unsupported("sendfile() from anything but a file")
        return self._send(target, number(count), 0, None, now)

    def call_splice(self, call: Call, now: Ns) -> Answer | Operation[Answer]:
        source_fd, _, target_fd, _, count, flags = call.arguments
        source, target = self.entry(source_fd), self.entry(target_fd)
        size, options = number(count), number(flags)
        match source, target:
            case Descriptor(), _Pipe() as pipe:
                room = min(size, _PIPE_OCTETS - pipe.held)
                if not room:
                    raise os_error(EAGAIN)
                waits = CONSTANTS["MSG_DONTWAIT"] if options & _NONBLOCK else 0
                return self._moved(self._receive(source_fd, room, waits, None, now), _adding(pipe, 1))
            case _Pipe() as pipe, Descriptor():
                if not pipe.held:
                    raise os_error(EAGAIN)
                more = CONSTANTS["MSG_MORE"] if options & _MORE else 0
                sent = self._send(target_fd, min(size, pipe.held), more, None, now)
                return self._moved(sent, _adding(pipe, -1))
            case _File(), _Pipe() as pipe:
                moved = min(size, _PIPE_OCTETS - pipe.held)
                pipe.held += moved
                return Answer(moved)
            case _Pipe() as pipe, _File():
                moved = min(size, pipe.held)
                pipe.held -= moved
                return Answer(moved)
        raise os_error(EINVAL, "one end of splice() is a pipe")

    @staticmethod
    def _moved(operation: Operation[Answer], count: Callable[[int], None]) -> Operation[Answer]:
        """`operation`, whose octets are counted once it is done."""

        def attempt(now: Ns) -> Answer | None:
            if not operation.done:
                return None
            answer = operation.result()
            count(answer.value)
            return answer

        moved = Operation(attempt, None)
        if operation.done:
            moved.advance(0)
        else:
            operation.on_done = _advancing(moved)
        return moved

    def _close_other(self, fd: Expression) -> bool:
        """Whether `fd` was something else than a socket; then it is closed."""
        if isinstance(self.entry(fd), Descriptor):
            return False
        del self.table[number(fd)]
        return True


def _advancing(operation: Operation[Answer]) -> Callable[[], None]:
    def advance() -> None:
        operation.advance(0)

    return advance


def _adding(pipe: _Pipe, sign: int) -> Callable[[int], None]:
    def add(octets: int) -> None:
        pipe.held += sign * octets

    return add
