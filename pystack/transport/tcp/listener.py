"""What a listening port holds: connections in the handshake, and finished ones that nobody has accepted yet."""

from collections import deque
from typing import Generic, TypeVar

from attrs import define, field

__all__ = ["ACCEPT_QUEUE_FULL", "HALF_OPEN_FULL", "Listener"]

ACCEPT_QUEUE_FULL = "tcp.accept_queue_full"
HALF_OPEN_FULL = "tcp.half_open_full"

C = TypeVar("C")


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

    def established(self, key: bytes) -> None:
        """The handshake of `key` is done: it waits for `accept`."""
        connection = self._half_open.pop(key, None)
        if connection is not None:
            self._ready.append(connection)

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
