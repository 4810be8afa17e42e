"""What a listening port holds: connections in the handshake, and finished ones that nobody has accepted yet."""

from collections import deque
from typing import Generic, TypeVar

from attrs import define, field

from pystack.units import SECOND, Ns

__all__ = ["ACCEPT_QUEUE_FULL", "HALF_OPEN_FULL", "Listener", "PendingFastOpens"]

ACCEPT_QUEUE_FULL = "tcp.accept_queue_full"
HALF_OPEN_FULL = "tcp.half_open_full"

C = TypeVar("C")

_RESET_COUNTS_FOR: Ns = 60 * SECOND


@define(eq=False)
class PendingFastOpens:
    """PendingFastOpenRequests of RFC 7413 section 4.2: connections whose data counted before their handshake was done.
    One that was reset goes on to count for a while (section 5.1): a flood with stolen cookies gains nothing by it."""

    limit: int = 0
    """Above it SYNs are ordinary ones; 0: all are."""
    _pending: int = field(init=False, default=0)
    _reset: deque[Ns] = field(init=False, factory=deque)

    def has_room(self, now: Ns) -> bool:
        while self._reset and self._reset[0] <= now:
            self._reset.popleft()
        return self._pending + len(self._reset) < self.limit

    def begin(self) -> None:
        self._pending += 1

    def end(self, *, reset: bool, now: Ns) -> None:
        """The handshake is done, or came to nothing."""
        self._pending -= 1
        if reset:
            self._reset.append(now + _RESET_COUNTS_FOR)


@define(eq=False)
class Listener(Generic[C]):
    """The two queues of RFC 9293, section 3.9.1.2, as Linux keeps them.

    A SYN is admitted while at most `backlog` connections wait for `accept` and fewer than `half_open_limit` are in the
    handshake; so at most `backlog + 1 + half_open_limit` connections belong to a listener.
    """

    backlog: int
    half_open_limit: int
    _half_open: dict[bytes, C] = field(init=False, factory=dict)
    _ready: deque[C] = field(init=False, factory=deque)
    fast_opens: PendingFastOpens = field(init=False, factory=PendingFastOpens)

    @property
    def refusal(self) -> str:
        """The drop counter's name for a SYN that would not be admitted now, or ""."""
        if len(self._ready) > self.backlog:
            return ACCEPT_QUEUE_FULL
        if len(self._half_open) >= self.half_open_limit:
            return HALF_OPEN_FULL
        return ""

    @property
    def has_ready(self) -> bool:
        return bool(self._ready)

    def opening(self, key: bytes, connection: C) -> None:
        """A handshake has begun."""
        self._half_open[key] = connection

    def established(self, key: bytes) -> bool:
        """The handshake of `key` is done, or need not be (Fast Open): it waits for `accept`. False: it did before."""
        connection = self._half_open.pop(key, None)
        if connection is None:
            return False
        self._ready.append(connection)
        return True

    def forget(self, key: bytes) -> None:
        """The handshake of `key` came to nothing."""
        self._half_open.pop(key, None)

    def accept(self) -> C | None:
        return self._ready.popleft() if self._ready else None

    def drain(self) -> list[C]:
        """Everything that is held, oldest first; the listener is empty afterwards."""
        held = [*self._ready, *self._half_open.values()]
        self._ready.clear()
        self._half_open.clear()
        return held
