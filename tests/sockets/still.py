"""A stack and links that do nothing by themselves, so that the pump's own work shows."""

import contextlib
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, TypeVar

from pystack.sockets.pump import Pump
from pystack.stack.operation import Operation

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds after which a wait in a test is a failure: far beyond what any of them needs."""


class StillLink:
    """A link without frames: `stir` makes its stack be polled."""

    def __init__(self, *, descriptor: bool = False) -> None:
        self._near: socket.socket | None = None
        self._far: socket.socket | None = None
        if descriptor:
            self._near, self._far = socket.socketpair()
        self._waker: Callable[[], None] | None = None
        self.closed = False

    def fileno(self) -> int | None:
        return self._near.fileno() if self._near is not None else None

    def set_waker(self, waker: Callable[[], None] | None) -> None:
        self._waker = waker

    def stir(self) -> None:
        if self._far is not None:
            self._far.send(b"x")
        elif self._waker is not None:
            self._waker()

    def drain(self) -> None:
        if self._near is not None and not self.closed:
            with contextlib.suppress(BlockingIOError):
                self._near.recv(100, socket.MSG_DONTWAIT)

    def close(self) -> None:
        self.closed = True
        for end in (self._near, self._far):
            if end is not None:
                end.close()


class StillStack:
    """What a pump needs of a stack. Its operations end when an answer is put into `answers`."""

    def __init__(self, *links: StillLink) -> None:
        self.interfaces = [SimpleNamespace(link=link, up=True, name="still", full=False) for link in links]
        self.pollers: list[int] = []
        """The threads that polled, in order."""
        self.polled = threading.Semaphore(0)
        self.operations: list[Operation[Any]] = []
        self.alarm: int | None = None
        self.on_poll: Callable[[], None] = lambda: None
        self.calls: list[str] = []
        self.unfinished = False
        self.now = 0

    def poll(self, now: int, budget: int = 64) -> bool:
        self.pollers.append(threading.get_ident())
        for interface in self.interfaces:
            interface.link.drain()
        if self.alarm is not None and self.alarm <= now:
            self.alarm = None
        self.on_poll()
        self.operations = [each for each in self.operations if not each.advance(now)]
        self.polled.release()
        return False

    def next_deadline(self) -> int | None:
        deadlines = [each.deadline for each in self.operations if each.deadline is not None and not each.done]
        if self.alarm is not None:
            deadlines.append(self.alarm)
        return min(deadlines, default=None)

    def wants_write(self, interface: Any) -> bool:
        full: bool = interface.full
        return full

    def close(self, now: int) -> None:
        self.calls.append("close")
        operations, self.operations = self.operations, []
        for operation in operations:
            operation.fail(OSError(9, "closed"))

    def drop(self, now: int) -> None:
        self.calls.append("drop")


class Question:
    """An endpoint with one question: it is answered by `answer`, at the next poll."""

    def __init__(self, stack: StillStack) -> None:
        self._stack = stack
        self._answer: str | None = None
        self.submitted = threading.Event()
        self.closed = False

    def answer(self, answer: str) -> None:
        self._answer = answer

    def attempt(self, now: int) -> str | None:
        answer, self._answer = self._answer, None
        return answer

    def pend(self, attempt: Callable[[int], T | None], timeout: int | None, now: int) -> Operation[T]:
        operation = Operation(attempt, None if timeout is None else now + timeout)
        self._stack.operations.append(operation)
        self.submitted.set()
        return operation

    def close(self, now: int) -> None:
        self.closed = True

    def ask(self, pump: Pump, timeout: int | None) -> str:
        """The answer, waited for at most `timeout` nanoseconds."""
        return pump.run(self, self.attempt, timeout)  # type: ignore[arg-type]  # `pend` is all that it calls


def in_thread(function: Callable[..., T], *args: Any) -> "Future[T]":
    """`function(*args)` in a thread of its own; the future's `result` should be given `PATIENCE`."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function(*args))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
