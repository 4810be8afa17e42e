"""Two hosts that run; pumps on still stacks, and a look at who sleeps."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from pystack.sockets.pump import Pump
from pystack.sockets.seat import Seat
from tests.sockets.still import StillStack
from tests.sockets.two import Two

StartPump = Callable[[StillStack], Pump]


class Nap(NamedTuple):
    thread: int
    lasts: int | None
    """Nanoseconds; None: until something happens."""


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> "queue.Queue[Nap]":
    """Every sleep on any seat, entered when it is about to begin: what wakes its thread comes after that."""
    begun: queue.Queue[Nap] = queue.Queue()
    sleep = Seat.sleep

    def recorded(seat: Seat, now: int) -> None:
        begun.put(Nap(threading.get_ident(), None if seat.until is None else seat.until - now))
        sleep(seat, now)

    monkeypatch.setattr(Seat, "sleep", recorded)
    return begun


@pytest.fixture
def start(naps: "queue.Queue[Nap]") -> Iterator[StartPump]:
    """Start a pump on a stack; it is closed with the test. Its thread sleeps already, until something happens."""
    with contextlib.ExitStack() as closing:

        def start_pump(stack: StillStack) -> Pump:
            pump = Pump(stack)  # type: ignore[arg-type]
            closing.callback(pump.close, 0)
            for interface in stack.interfaces:
                interface.link.set_waker(pump.wake)
            pump.start()
            nap = naps.get(timeout=20)
            while nap.lasts is not None:
                nap = naps.get(timeout=20)
            return pump

        yield start_pump


@pytest.fixture
def two() -> Iterator[Two]:
    hosts = Two()
    yield hosts
    hosts.a.close(0)
    hosts.b.close(0)
