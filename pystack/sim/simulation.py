"""A virtual clock and the hosts that live by it."""

import hashlib
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from random import Random
from typing import TypeVar

from pystack.errors import StateError
from pystack.link.base import Medium
from pystack.link.faults import NO_FAULTS, FaultLink, Faults
from pystack.link.memory import MemoryLink
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
        self._cables = 0
        self._sleepers: list[tuple[Ns, int, Operation[bool]]] = []  # when due, a heap
        self._slept = 0

    def stack(self, config: StackConfig | None = None) -> Stack:
        """A new host. Its randomness, secrets included, derives from the seed and its place in the order of hosts."""
        name = f"{self.seed}/{len(self._stacks)}"
        stack = Stack(rng=self.random(f"{name}/rng"), entropy=self.random(f"{name}/entropy").randbytes, config=config)
        self._stacks.append(stack)
        return stack

    def join(
        self,
        one: Stack,
        address: str | Sequence[str],
        other: Stack,
        other_address: str | Sequence[str],
        *,
        there: Faults = NO_FAULTS,
        back: Faults = NO_FAULTS,
        mtu: int = 1500,
        medium: Medium = Medium.IP,
        tso: int = 0,
    ) -> FaultLink:
        """A new cable between two hosts, each of which gets its address on it ("192.0.2.1/24", or several). What
        becomes of frames is drawn from the seed: `there` is the way from `one` to `other`, `outbound` of what is
        returned, and `back` its `inbound`; both may be changed at any time.

        With `tso` (octets, at most 65,535) both hosts leave cutting and checksums to the link.
        """
        offload = bool(tso)
        near, far = MemoryLink.pair(mtu=mtu, medium=medium, tx_checksum=offload, rx_checksum=offload, tso=tso)
        seed = self.random(f"cable {self._cables}").getrandbits(64)
        self._cables += 1
        link = FaultLink(near, seed=seed, outbound=there, inbound=back)
        one.add_interface(link, address)
        other.add_interface(far, other_address)
        return link

    def random(self, name: str) -> Random:
        """A source of its own for `name`, e.g. for a fault: what one consumer draws does not move another."""
        return Random(int.from_bytes(hashlib.blake2s(f"{self.seed}:{name}".encode()).digest(), "big"))

    def step(self, until: Ns | None = None) -> bool:
        """Let everything happen that is due now; if nothing is, move the clock to the next event first.

        False: nothing will ever happen again, or not by `until`, which is now the time.
        """
        busy, deadline = self._settle()
        if busy:
            return True  # whoever looks on may want to act upon it before time passes
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

    def _settle(self) -> tuple[bool, Ns | None]:
        """Let everything happen that is due at this instant. Whether anything was, and when the next thing will be, as
        `next_deadline`."""
        now, sleepers = self.now, self._sleepers
        busy = False
        while sleepers and sleepers[0][0] <= now:
            heappop(sleepers)[2].advance(now)
            busy = True
        for _ in range(TURNS_AT_ONE_INSTANT):
            earliest: Ns | None = sleepers[0][0] if sleepers else None
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
                return busy, earliest
            busy = True
            for stack in self._stacks:
                for interface in stack.interfaces:
                    if not interface.has_room:  # there may be some now at the far end of its link
                        stack.poll(now)
        raise StateError(f"seed {self.seed}: the hosts keep each other busy at {now} ns without end")

    def next_deadline(self) -> Ns | None:
        """When something will happen next; None: never."""
        deadlines = [deadline for stack in self._stacks if (deadline := stack.next_deadline()) is not None]
        deadlines += (due for due, _, _ in self._sleepers[:1])
        return min(deadlines, default=None)

    def sleep(self, duration: Ns) -> Operation[bool]:
        """A call that is answered when `duration` has passed."""
        due = self.now + duration
        operation: Operation[bool] = Operation(lambda now: now >= due or None, None)
        if not operation.advance(self.now):
            heappush(self._sleepers, (due, self._slept, operation))
            self._slept += 1
        return operation

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
        while self.step():
            if self.now > end:
                raise StateError(f"seed {self.seed}: still busy at {self.now} ns")

    def wait(self, operation: Operation[T], *, timeout: Ns = 3600 * SECOND) -> T:
        """Step until `operation` is done, and return its result or raise its error."""
        self.run_until(lambda: operation.done, timeout=timeout)
        return operation.result()

    def _quiet_until(self, end: Ns) -> bool:
        deadline = self.next_deadline()
        return deadline is None or deadline > end
