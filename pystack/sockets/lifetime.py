"""What happens to running stacks without anybody's call: the interpreter exits, or the process forks."""

import atexit
import os
import weakref
from typing import Protocol

from pystack.units import Ns

__all__ = ["Mortal", "enlist", "release"]


class Mortal(Protocol):
    """Something that must not outlive its process, nor be used by another."""

    def close(self, timeout: Ns) -> None: ...

    def forget(self) -> None:
        """In the child of a fork: nothing is ours, whatever state the parent's threads have left it in."""
        ...


_living: "weakref.WeakSet[Mortal]" = weakref.WeakSet()


def enlist(one: Mortal) -> None:
    _living.add(one)


def release(one: Mortal) -> None:
    """It has ended. Idempotent."""
    _living.discard(one)


def _close_all() -> None:
    """What nobody has closed leaves no interface behind, and no peer waiting."""
    for one in list(_living):
        one.close(0)


def _forget_all() -> None:
    for one in list(_living):
        one.forget()
    _living.clear()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
