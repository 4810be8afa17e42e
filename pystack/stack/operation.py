"""A call that has not been answered yet: how every way of waiting (threads, asyncio, virtual time) sees one."""

from collections.abc import Callable
from typing import Generic, TypeVar

from pystack.errors import StateError
from pystack.units import Ns

__all__ = ["Operation"]

T = TypeVar("T")


class Operation(Generic[T]):
    """One pending call: an attempt that is made again whenever its endpoint moves, until it answers, fails or is late.

    `attempt(now)` returns the answer, or None for "not yet", or raises what the call raises.
    """

    __slots__ = ("_attempt", "_error", "_value", "deadline", "done", "on_done")

    def __init__(self, attempt: Callable[[Ns], T | None], deadline: Ns | None) -> None:
        self._attempt: Callable[[Ns], T | None] | None = attempt
        self._value: T | None = None
        self._error: BaseException | None = None
        self.deadline = deadline
        self.done = False
        self.on_done: Callable[[], None] | None = None
        """Called once, inside `poll`, when `done` becomes true: it may only wake whoever waits."""

    def advance(self, now: Ns) -> bool:
        """Try again. True when the operation is done."""
        if self._attempt is None:
            return True
        try:
            value = self._attempt(now)
        except OSError as error:
            self.fail(error)
            return True
        if value is not None:
            self._finish(value, None)
        elif self.deadline is not None and now >= self.deadline:
            self.fail(TimeoutError("timed out"))
        return self.done

    def fail(self, error: BaseException) -> None:
        if not self.done:
            self._finish(None, error)

    def cancel(self) -> None:
        """Forget the call: it will not be attempted again, and nobody is told."""
        self.on_done = None
        self.fail(StateError("the operation was cancelled"))

    def result(self) -> T:
        """The answer, or raise the failure. Raises `StateError` while the operation is pending."""
        if self._error is not None:
            raise self._error
        if self._value is None:
            raise StateError("the operation is not done yet")
        return self._value

    def _finish(self, value: T | None, error: BaseException | None) -> None:
        self._value = value
        self._error = error
        self._attempt = None
        self.done = True
        if self.on_done is not None:
            self.on_done()
