"""Users who make blocking calls in virtual time."""

from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, TypeAlias

from pystack.sim.simulation import Simulation
from pystack.stack.operation import Operation
from pystack.units import SECOND, Ns

__all__ = ["Stage", "User"]

User: TypeAlias = Generator[Operation[Any], Any, None]
"""Somebody who makes blocking calls: yields an operation, and is sent its result, or thrown its `OSError`, once it is
done."""


class Stage:
    """Where users act: each makes its next call as soon as the one before is answered."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._present: list[tuple[User, Operation[Any]]] = []

    def enter(self, user: User) -> None:
        """Begin, up to the first call."""
        self._go_on(user, None)

    def play(self, watch: Callable[[], None] = lambda: None, *, timeout: Ns = 3600 * SECOND) -> None:
        """Let time pass until all users have gone home; `watch` looks on after each step.

        Raises what a user raises, and `StateError` when one waits for a call that nothing will ever answer, or that is
        not answered by `timeout`."""

        def everybody_is_gone() -> bool:
            watch()
            while answered := [entry for entry in self._present if entry[1].done]:
                for entry in answered:
                    self._present.remove(entry)
                    self._go_on(*entry)
            return not self._present

        self._sim.run_until(everybody_is_gone, timeout=timeout)

    def _go_on(self, user: User, answered: Operation[Any] | None) -> None:
        with suppress(StopIteration):
            if answered is None:
                following = next(user)
            else:
                try:
                    result = answered.result()
                except OSError as error:
                    following = user.throw(error)
                else:
                    following = user.send(result)
            self._present.append((user, following))
