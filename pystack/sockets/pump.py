"""Who runs a stack's `poll`, and where everybody else waits.

A thread that blocks in a call runs the stack itself: it is the *leader*, sleeps on the links' descriptors and finds
its answer without any thread being handed over to. Others that block at the same time, the *followers*, sleep each on
a lock of their own; when the leader's call is done it hands the lead to one of them. The pump's own daemon thread leads
when no caller has done so for `GRACE`; then it sleeps until something happens, however long that takes.

One lock guards the stack. No code of the user's runs under it, but an interpreter may run some there all the same
(signal handlers, destructors that the collector calls), so it is reentrant and `_busy` tells such a caller off.
"""

import enum
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from errno import EAGAIN, EBADF
from functools import partial
from time import monotonic_ns
from typing import Final, TypeVar

from pystack.errors import StateError, os_error
from pystack.sockets import lifetime
from pystack.sockets.seat import READ, WRITE, Seat
from pystack.stack.endpoint import Endpoint
from pystack.stack.operation import Operation
from pystack.stack.stack import Stack
from pystack.units import MS, Ns, to_seconds

__all__ = ["GRACE", "Pump"]

GRACE: Final[Ns] = 5 * MS
"""How long after a caller's lead the pump's thread leaves the stack alone: calls that follow each other never hop."""

JOIN: Final = 5.0
"""Seconds that `close` waits for the pump's thread, which has been rung and has nothing left to do."""

ORDINARY = (OSError, ValueError, TypeError, OverflowError, StateError)
"""What a call may raise with the stack in good order. Anything else has cut it in the middle."""

T = TypeVar("T")

log = logging.getLogger("pystack.pump")


class _Barred(enum.Enum):
    """Why no more calls are taken."""

    CLOSED = enum.auto()
    BROKEN = enum.auto()
    FORKED = enum.auto()


class _Waiter:
    """One thread's wait. `condition` and `deadline` are for waits that no `Operation` ends."""

    __slots__ = ("condition", "deadline", "finished", "gate")

    def __init__(self, condition: Callable[[], bool] | None = None, deadline: Ns | None = None) -> None:
        self.condition = condition
        self.deadline = deadline
        self.finished = False
        self.gate: threading.Lock | None = None
        """Held while this waiter follows."""


class Pump:
    """Keeps one stack running, between the threads that call it and one of its own."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._lock = threading.RLock()
        self._busy = False
        self._barred: _Barred | None = None
        self._cause: BaseException | None = None
        self._ended = False
        """The links are closed and nothing runs any more."""
        self._leader: _Waiter | None = None
        self._followers: dict[_Waiter, None] = {}
        self._watching: dict[_Waiter, None] = {}
        """Those who wait for a condition: it is looked at after each poll."""
        self._lent = Seat()
        self._own = Seat()
        self._seat: Seat | None = None
        """Where the one that leads sleeps; None: nobody leads."""
        self._turnover = 0
        """Grows whenever a caller begins or ends to lead."""
        self._parked = False
        """The pump's thread waits for the leader to leave, and for nothing else."""
        self._last_led_by = 0
        """The thread of the last caller that led."""
        self._summoned = False
        """The pump's thread must lead now, without waiting for `GRACE`."""
        self._signalled = False
        """A link without a descriptor has called since the last poll."""
        self._dropped: deque[Endpoint] = deque()
        """Endpoints to close at the next turn: their sockets were collected."""
        self._forsaken = False
        """The pump's thread must close everything."""
        self._thread = threading.Thread(target=self._run, name="pystack-pump", daemon=True)

    def start(self) -> None:
        lifetime.enlist(self)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        return self._barred is None

    # --- calls

    def call(self, function: Callable[[Ns], T]) -> T:
        """`function(now)` under the lock."""
        with self._lock:
            return self._call(function)

    def _call(self, function: Callable[[Ns], T]) -> T:
        """The same for who has the lock."""
        if self._barred is not None or self._busy:
            raise self._refusal()
        answer = self._guarded(function, monotonic_ns())
        seat = self._seat
        if seat is not None and seat.asleep:
            self._correct(seat)
        return answer

    def run(self, endpoint: Endpoint, attempt: Callable[[Ns], T | None], timeout: Ns | None) -> T:
        """What `attempt` answers, waited for as long as `timeout` says (None: for ever). With a timeout of 0
        `BlockingIOError` is raised instead of waiting."""
        waiter: _Waiter | None = None
        operation: Operation[T] | None = None
        try:
            with self._lock:
                answer = self._call(attempt)
                if answer is not None:
                    return answer
                if timeout == 0:
                    return self._attempt_after_poll(attempt)
                operation = self._call(partial(endpoint.pend, attempt, timeout))
                waiter = self._expect(operation)
            self._wait(waiter)
        except BaseException:
            self._cut(operation, waiter)
            raise
        return self._result(operation)

    def perform(self, start: Callable[[Ns], Operation[T]]) -> T:
        """The result of the operation that `start(now)` begins. Cut by an exception, the operation is cancelled."""
        waiter: _Waiter | None = None
        operation: Operation[T] | None = None
        try:
            with self._lock:
                operation = self._call(start)
                if operation.done:
                    return operation.result()
                waiter = self._expect(operation)
            self._wait(waiter)
        except BaseException:
            self._cut(operation, waiter)
            raise
        return self._result(operation)

    def _expect(self, operation: Operation[T]) -> _Waiter:
        """Under the lock: somebody will wait for `operation`."""
        waiter = _Waiter()
        operation.on_done = partial(self._notify, waiter)
        self._line_up(waiter)
        return waiter

    def _cut(self, operation: Operation[T] | None, waiter: _Waiter | None) -> None:
        """An exception has ended the wait for `operation`, or the call that was to begin it."""
        with self._lock:
            if waiter is not None:
                self._leave(waiter)
            if operation is not None:
                operation.cancel()

    def _result(self, operation: Operation[T]) -> T:
        if not operation.done:
            raise self._refusal()
        return operation.result()

    def wait_until(self, condition: Callable[[], bool], timeout: Ns) -> None:
        """Keep the stack running until `condition()`, looked at under the lock, or for `timeout`."""
        waiter = _Waiter(condition, monotonic_ns() + timeout)
        try:
            with self._lock:
                if self._ended or condition():
                    return
                self._watching[waiter] = None
                self._line_up(waiter)
            self._wait(waiter)
        finally:
            with self._lock:
                self._watching.pop(waiter, None)
                self._leave(waiter)

    def close_endpoint(self, endpoint: Endpoint) -> None:
        """Never refused: a Host that has ended has nothing left to close."""
        with self._lock:
            if self._busy:  # a signal handler closes its listener, say, in the middle of a poll
                self.drop(endpoint)
            elif self._barred is None:
                self.call(endpoint.close)

    def _attempt_after_poll(self, attempt: Callable[[Ns], T | None]) -> T:
        """Under the lock. What has arrived counts, even when the pump's thread has not had the processor to see it."""
        self._call(self._advance)
        answer = self._call(attempt)
        if answer is None:
            raise os_error(EAGAIN, "this socket does not wait; settimeout(None) makes it")
        return answer

    def _refusal(self) -> Exception:
        match self._barred:
            case _Barred.CLOSED:
                return os_error(EBADF, "the Host is closed; make a new one")
            case _Barred.FORKED:
                return StateError("a Host does not survive fork: it goes on in the parent; make a new one here")
            case _Barred.BROKEN:
                error = StateError(
                    f"the Host has closed its links, because {self._cause!r} cut its work; make a new one"
                )
                error.__cause__ = self._cause
                return error
            case None:
                return StateError(
                    "this thread is inside the Host already: signal handlers and destructors may only close it"
                )

    # --- waking, from any thread and under any lock

    def wake(self) -> None:
        """For links without a descriptor (`set_waker`)."""
        self._signalled = True
        seat = self._seat
        if seat is not None:
            seat.wake()
        elif not self._ended:
            _unattended.add(self)

    def drop(self, endpoint: Endpoint) -> None:
        """Close `endpoint` soon: its socket was collected."""
        if self._barred is None:
            self._dropped.append(endpoint)
            self.wake()

    def abandon(self) -> None:
        """Close everything soon: the Host was collected."""
        self._forsaken = True
        self._own.wake()

    # --- waiting

    def _line_up(self, waiter: _Waiter) -> None:
        if self._leader is not None:
            waiter.gate = threading.Lock()
            waiter.gate.acquire()
            self._followers[waiter] = None
            return
        self._leader = waiter
        self._turnover += 1
        if self._seat is self._own:
            self._own.wake()
        self._take(self._lent)

    def _take(self, seat: Seat) -> None:
        self._seat = seat
        _unattended.discard(self)

    def _leave(self, waiter: _Waiter) -> None:
        """Under the lock. Hand the lead on, if `waiter` has it."""
        if self._leader is not waiter:
            self._followers.pop(waiter, None)
            return
        self._turnover += 1
        self._lent.asleep = False
        self._leader = next(iter(self._followers), None)
        if self._leader is not None:
            self._release(self._leader)
            return
        self._seat = None
        if self._parked:
            self._own.wake()
        if self._ended:
            self._lent.close()

    def _release(self, follower: _Waiter) -> None:
        del self._followers[follower]
        assert follower.gate is not None
        follower.gate.release()

    def _notify(self, waiter: _Waiter) -> None:
        """Under the lock: the wait of `waiter` is over."""
        waiter.finished = True
        if waiter is self._leader:
            self._lent.wake()
        elif waiter in self._followers:
            self._release(waiter)

    def _wait(self, waiter: _Waiter) -> None:
        """Until `waiter` is finished, or late."""
        while not waiter.finished:
            if self._leader is waiter:
                self._lead(waiter)
            elif waiter.gate is not None:
                waiter.gate.acquire(timeout=_gate_timeout(waiter.deadline))
                if _is_late(waiter, monotonic_ns()):
                    waiter.finished = True
        if self._leader is waiter:  # both happened before this thread woke: it was promoted, and it was answered
            with self._lock:
                self._leave(waiter)

    def _lead(self, waiter: _Waiter) -> None:
        seat = self._lent
        stirred = False
        self._last_led_by = threading.get_ident()
        while True:
            with self._lock:
                now = monotonic_ns()
                more = not waiter.finished and self._serve(now, stirred)
                if waiter.finished or _is_late(waiter, now):
                    waiter.finished = True
                    self._leave(waiter)
                    return
                self._prepare(seat, now, more)
                if waiter.deadline is not None and (seat.until is None or waiter.deadline < seat.until):
                    seat.until = waiter.deadline
            if _unattended:
                _summon()
            seat.sleep(now)
            stirred = True

    # --- the stack's turns, under the lock

    def _serve(self, now: Ns, stirred: bool) -> bool:
        """Poll, if a sleep has ended or there is another reason; whether more waits."""
        return (stirred or self._signalled or bool(self._dropped)) and self._advance(now)

    def _prepare(self, seat: Seat, now: Ns, more: bool) -> None:
        """Make `seat` ready for a sleep as long as there is nothing to do: not at all, if there is."""
        if more:
            seat.until = now
            return
        seat.watch(self._interest())
        seat.until = self._stack.next_deadline()
        seat.asleep = True
        if self._signalled or self._dropped:
            seat.until = now

    def _advance(self, now: Ns) -> bool:
        self._signalled = False
        while self._dropped:
            self._guarded(self._dropped.popleft().close, now)
        more = self._guarded(self._stack.poll, now, ordinary=())
        for waiter in list(self._watching):
            if waiter.condition is not None and waiter.condition():
                self._notify(waiter)
        return more

    def _guarded(self, function: Callable[[Ns], T], now: Ns, *, ordinary: tuple[type[Exception], ...] = ORDINARY) -> T:
        """`function(now)`; what cuts it in the middle ends the Host."""
        outer, self._busy = self._busy, True
        self._stack.now = now
        try:
            return function(now)
        except ordinary:
            raise
        except BaseException as error:
            self._break(error)
            raise
        finally:
            self._busy = outer

    def _correct(self, seat: Seat) -> None:
        """A call has changed the stack while somebody sleeps: wake them if their sleep no longer fits."""
        deadline = self._stack.next_deadline()
        sooner = deadline is not None and (seat.until is None or deadline < seat.until)
        if sooner or self._interest() != seat.watched:
            seat.wake()

    def _interest(self) -> dict[int, int]:
        """The links' descriptors and what is wanted of them."""
        wanted = {}
        for interface in self._stack.interfaces:
            fd = interface.link.fileno()
            if fd is not None and interface.up:
                wanted[fd] = READ | WRITE if self._stack.wants_write(interface) else READ
        return wanted

    # --- the pump's own thread

    def _run(self) -> None:
        try:
            self._stand_in()
        except BaseException:
            log.exception("the stack failed, and with it its Host")
        finally:
            with self._lock:
                self._own.close()

    def _stand_in(self) -> None:
        """Lead while no caller does, until the Host ends."""
        seat = self._own
        seen = self._turnover
        while True:
            with self._lock:
                now = monotonic_ns()
                self._parked = False
                if self._forsaken:
                    self._quit(now)
                if self._ended:
                    return
                if self._leader is None and (self._turnover == seen or self._summoned):
                    self._summoned = False
                    seen = self._turnover
                    self._take(seat)
                    self._prepare(seat, now, self._advance(now))
                else:
                    self._parked = self._leader is not None and self._turnover == seen
                    seen = self._turnover
                    seat.watch({})
                    seat.until = None if self._parked else now + GRACE
                    seat.asleep = True
                if self._forsaken:
                    seat.until = now
            seat.sleep(now)

    # --- the end

    def close(self, timeout: Ns) -> None:
        """Refuse calls, wake who waits, bring what is queued to the peers for at most `timeout`; then let go of the
        links. Idempotent. Never waits longer, whatever interrupts it."""
        if self._barred is _Barred.FORKED:
            return
        with self._lock:
            if self._busy:  # called by a signal handler, say, in the middle of a poll
                self.abandon()
                return
        try:
            with self._lock:
                if self._barred is None:
                    self._barred = _Barred.CLOSED
                    self._guarded(self._stack.close, monotonic_ns())
            if timeout > 0:
                self.wait_until(lambda: not self._stack.unfinished, timeout)
        finally:
            with self._lock:
                self._quit(monotonic_ns())
        if self._thread.ident is None:
            self._own.close()
        elif self._thread is not threading.current_thread():
            self._thread.join(JOIN)

    def _quit(self, now: Ns) -> None:
        """Reset what is not finished, and end."""
        if self._ended:
            return
        try:
            if self._barred is None:
                self._barred = _Barred.CLOSED
                self._guarded(self._stack.close, now)
            self._guarded(self._stack.drop, now)
        finally:
            self._end()

    def _break(self, cause: BaseException) -> None:
        """The stack was cut in the middle of its work: send nothing that may be half-updated."""
        if not self._ended:
            self._barred = _Barred.BROKEN
            self._cause = cause
            self._end()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        lifetime.release(self)
        _unattended.discard(self)
        for interface in self._stack.interfaces:
            with suppress(Exception):
                interface.link.set_waker(None)
                interface.link.close()
        for waiter in [*self._followers, *self._watching]:
            self._notify(waiter)
        if self._leader is not None:
            self._notify(self._leader)
        else:
            self._lent.close()
        self._own.wake()

    def forget(self) -> None:
        """In the child of a fork: nothing here is ours. Locks may be held by threads that do not exist any more."""
        self._lock = threading.RLock()
        self._busy = False
        self._barred = _Barred.FORKED
        self._ended = True
        self._seat = self._leader = None
        self._followers.clear()
        self._watching.clear()
        self._dropped.clear()
        _unattended.discard(self)
        self._lent.close()
        self._own.close()


def _gate_timeout(deadline: Ns | None) -> float:
    """What `Lock.acquire` takes for waiting until `deadline`."""
    return -1 if deadline is None else max(0.0, to_seconds(deadline - monotonic_ns()))


def _is_late(waiter: _Waiter, now: Ns) -> bool:
    return waiter.deadline is not None and now >= waiter.deadline


_unattended: set[Pump] = set()
"""Pumps whose links have called while nobody led. Their own threads will see after `GRACE`, and mostly the caller that
led last comes back before."""


def _summon() -> None:
    """This thread is about to sleep on one Host. Where it led before, it will not come back soon."""
    thread = threading.get_ident()
    for pump in list(_unattended):
        if pump._last_led_by == thread:
            _unattended.discard(pump)
            pump._summoned = True
            pump._own.wake()
