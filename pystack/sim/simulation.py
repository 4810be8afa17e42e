"""A virtual clock and the hosts that live by it."""

import hashlib
from collections.abc import Callable
from random import Random
from typing import TypeVar

from pystack.errors import StateError
from pystack.stack.config import StackConfig
from pystack.stack.operation import Operation
from pystack.stack.stack import Stack
from pystack.units import SECOND, Ns

__all__ = ["Simulation"]

T = TypeVar("T")

TURNS_AT_ONE_INSTANT = 1_000_000
"""Polls without time passing before the simulation takes it for a livelock."""


class Simulation:
    """Stacks in virtual time: nothing waits, and the same seed gives the same bytes at the same nanoseconds."""

    def __init__(self, seed: int, *, start: Ns = 0) -> None:
        self.seed = seed
        self.now: Ns = start
        self._stacks: list[Stack] = []

    def stack(self, config: StackConfig | None = None) -> Stack:
        """A new host. Its randomness, secrets included, derives from the seed and its place in the order of hosts."""
        name = f"{self.seed}/{len(self._stacks)}"
        stack = Stack(rng=self.random(f"{name}/rng"), entropy=self.random(f"{name}/entropy").randbytes, config=config)
        self._stacks.append(stack)
        return stack

    def random(self, name: str) -> Random:
        """A source of its own for `name`, e.g. for a fault: what one consumer draws does not move another."""
        return Random(int.from_bytes(hashlib.blake2s(f"{self.seed}:{name}".encode()).digest(), "big"))

    def step(self, until: Ns | None = None) -> bool:
        """Move the clock to the next event, if nothing is due now, and let everything happen that is due then.

        False: nothing will ever happen again, or not by `until`, which is now the time.
        """
        deadline = self._settle()
        if deadline is None or (until is not None and deadline > until):
            self._move_to(self.now if until is None else max(self.now, until))
            return False
        self._move_to(deadline)
        self._settle()
        return True

    def _move_to(self, now: Ns) -> None:
        self.now = now
        for stack in self._stacks:
            stack.now = now

    def _settle(self) -> Ns | None:
        """Let everything happen that is due at this instant. When the next thing will be, as `next_deadline`."""
        now = self.now
        for _ in range(TURNS_AT_ONE_INSTANT):
            earliest: Ns | None = None
            idle = True
            for stack in self._stacks:
                deadline = stack.next_deadline()
                if deadline is None:
                    continue
                if deadline <= now:
                    stack.poll(now)
                    idle = False
                elif earliest is None or deadline < earliest:
                    earliest = deadline
            if idle:
                return earliest
            for stack in self._stacks:
                for interface in stack.interfaces:
                    if not interface.has_room:  # there may be some now at the far end of its link
                        stack.poll(now)
        raise StateError(f"seed {self.seed}: the hosts keep each other busy at {now} ns without end")

    def next_deadline(self) -> Ns | None:
        """When something will happen next; None: never."""
        deadlines = (stack.next_deadline() for stack in self._stacks)
        return min((each for each in deadlines if each is not None), default=None)

    def run_until(self, done: Callable[[], bool], *, timeout: Ns = 3600 * SECOND) -> None:
        """Step until `done()`, which may act on the hosts. Raises `StateError` when that has not come after `timeout`,
        or never can."""
        end = self.now + timeout
        self._settle()
        while not done():
            if not self.step(end) and not done() and self._quiet_until(end):
                raise StateError(f"seed {self.seed}: nothing more happens by {self.now} ns, and it is not done")

    def run(self, *, timeout: Ns = 3600 * SECOND) -> None:
        """Step until nothing is left to happen. Raises `StateError` if something still is after `timeout`."""
        end = self.now + timeout
        while self.step(end):
            pass
        if self.next_deadline() is not None:
            raise StateError(f"seed {self.seed}: still busy at {self.now} ns")

    def wait(self, operation: Operation[T], *, timeout: Ns = 3600 * SECOND) -> T:
        """Step until `operation` is done, and return its result or raise its error."""
        self.run_until(lambda: operation.done, timeout=timeout)
        return operation.result()

    def _quiet_until(self, end: Ns) -> bool:
        deadline = self.next_deadline()
        return deadline is None or deadline > end
