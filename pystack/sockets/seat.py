"""A place to sleep: until a descriptor is ready, a time has come, or another thread rings."""

import os
import select
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Protocol

from pystack.units import MS, Ns

__all__ = ["READ", "WRITE", "Seat"]

READ: Final[int] = getattr(select, "POLLIN", 1)
WRITE: Final[int] = getattr(select, "POLLOUT", 4)

LONGEST: Final = 3_600_000
"""Milliseconds of one sleep; whoever has more to wait for wakes once an hour in between."""


class _Bell(Protocol):
    """A descriptor that becomes readable when rung, whatever the number of rings."""

    def fileno(self) -> int: ...
    def ring(self) -> None: ...
    def silence(self) -> None: ...
    def close(self) -> None: ...


class _EventBell:
    """Linux: one descriptor, 0.5 us a ring."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        return self._fd

    def ring(self) -> None:
        with suppress(OSError, ValueError):  # closed already: nobody sleeps there any more
            os.eventfd_write(self._fd, 1)

    def silence(self) -> None:
        with suppress(OSError):
            os.eventfd_read(self._fd)

    def close(self) -> None:
        fd, self._fd = self._fd, -1  # first: a late ring must not hit whoever gets the number next
        if fd >= 0:
            os.close(fd)


class _PairBell:
    """Everywhere: a connected pair of sockets, which even Windows can wait for."""

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)

    def fileno(self) -> int:
        return self._near.fileno()

    def ring(self) -> None:
        with suppress(OSError):  # full: it is ringing; closed: nobody sleeps there any more
            self._far.send(b"\0")

    def silence(self) -> None:
        with suppress(OSError):
            self._near.recv(4096)

    def close(self) -> None:
        self._near.close()
        self._far.close()


class _Poller(Protocol):
    """What is used of `select.poll`."""

    def register(self, fd: int, eventmask: int, /) -> None: ...
    def unregister(self, fd: int, /) -> None: ...
    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]: ...


class _SelectPoller:
    """`select.poll` where there is only `select.select`."""

    def __init__(self) -> None:
        self._masks: dict[int, int] = {}

    def register(self, fd: int, eventmask: int, /) -> None:
        self._masks[fd] = eventmask

    def unregister(self, fd: int, /) -> None:
        del self._masks[fd]

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        readers = [fd for fd, mask in self._masks.items() if mask & READ]
        writers = [fd for fd, mask in self._masks.items() if mask & WRITE]
        readable, writable, _ = select.select(readers, writers, [], None if timeout is None else timeout / 1000)
        return [(fd, READ) for fd in readable] + [(fd, WRITE) for fd in writable]


class Seat:
    """Where one thread at a time sleeps.

    `wake` takes no lock, so that it may be called under any: whoever wants to sleep first sets `asleep`, then looks
    once more for what a waker may have left behind; a waker first leaves it, then calls `wake`. Whichever comes second
    sees what the other did, and a seat where nobody sleeps costs its wakers no system call.
    """

    __slots__ = ("_bell", "_bell_fd", "_poller", "asleep", "until", "watched")

    def __init__(self) -> None:
        self._bell: _Bell = _EventBell() if hasattr(os, "eventfd") else _PairBell()
        self._bell_fd = self._bell.fileno()
        self._poller: _Poller = select.poll() if hasattr(select, "poll") else _SelectPoller()
        self._poller.register(self._bell_fd, READ)
        self.asleep = False
        """Somebody sleeps here, or is about to: `wake` must ring."""
        self.until: Ns | None = None
        """When the sleep ends by itself; None: never."""
        self.watched: Mapping[int, int] = {}
        """Descriptors, with `READ` and `WRITE` bits, that end the sleep too. Replaced by `watch`, never changed."""

    def watch(self, wanted: Mapping[int, int]) -> None:
        """Only for whoever sleeps here next."""
        if wanted != self.watched:
            for fd in self.watched.keys() - wanted.keys():
                self._poller.unregister(fd)
            for fd, mask in wanted.items():
                self._poller.register(fd, mask)
            self.watched = wanted

    def sleep(self, now: Ns) -> None:
        until = self.until
        timeout = None if until is None else min(max(0, -((now - until) // MS)), LONGEST)  # rounded up
        for fd, _ in self._poller.poll(timeout):
            if fd == self._bell_fd:
                self._bell.silence()
        self.asleep = False

    def wake(self) -> None:
        """From any thread, under any lock."""
        if self.asleep:
            self.asleep = False
            self._bell.ring()

    def close(self) -> None:
        """Nobody may sleep here, now or later."""
        self._bell.close()
