"""The timers of one connection, each a deadline by name."""

from pystack.units import Ns

__all__ = ["NEVER", "Timers"]

NEVER: Ns = 1 << 62
"""The deadline of a timer that is not set: later than any clock gets."""


class Timers:
    """Deadlines, `NEVER` when not set. Nothing is queued: whoever owns the connection asks for the earliest."""

    __slots__ = ("delayed_ack", "end", "keepalive", "loss", "persist", "retransmit", "user")

    def __init__(self) -> None:
        self.retransmit: Ns = NEVER
        """Something sent is not acknowledged (RFC 6298 section 5)."""
        self.loss: Ns = NEVER
        """Something in flight may be lost (RFC 8985): the reordering timer while the peer holds data beyond a gap, else
        that of the tail loss probe. Never later than `retransmit`."""
        self.persist: Ns = NEVER
        """Data waits, nothing is in flight, and the window is too small (RFC 9293 sections 3.8.6.1, 3.8.6.2.1), or
        marks ask for a pause (RFC 3168 section 6.1.2)."""
        self.delayed_ack: Ns = NEVER
        self.keepalive: Ns = NEVER
        self.end: Ns = NEVER
        """The connection is over then: 2 MSL, FIN-WAIT-2 without a user, an orphan before a closed window."""
        self.user: Ns = NEVER
        """The user does not wait longer than this for progress (RFC 9293 section 3.10.8, USER TIMEOUT), unless there
        has been some since it was set."""

    def earliest(self) -> Ns:
        """The next deadline, or `NEVER`."""
        return min(self.retransmit, self.loss, self.persist, self.delayed_ack, self.keepalive, self.end, self.user)

    def clear(self) -> None:
        self.retransmit = self.loss = self.persist = self.delayed_ack = NEVER
        self.keepalive = self.end = self.user = NEVER
