"""Explicit congestion notification (RFC 3168): marks that routers leave instead of dropping packets."""

from enum import IntEnum
from typing import Final

from pystack.transport.tcp.segment import CWR, ECE
from pystack.units import Ns

__all__ = ["CE", "ECN", "ECT0", "NOT_ECT", "ECNMode"]

NOT_ECT: Final = 0
ECT0: Final = 2
CE: Final = 3


class ECNMode(IntEnum):
    """When a connection uses it, with the numbers of Linux's `net.ipv4.tcp_ecn`."""

    OFF = 0
    ON = 1
    """Ask for it, and agree."""
    PASSIVE = 2
    """Agree when the peer asks for it."""


class ECN:
    """Both directions of one connection."""

    __slots__ = ("_high", "cwr_due", "delivered_ce", "echo", "marks", "on", "pause_ends")

    def __init__(self) -> None:
        self.on = False
        """Both ends have agreed: marks are echoed, and echoes heeded (section 6.1.1)."""
        self.marks = False
        """Our data may be marked, too: no SYN of ours, and none of the peer's, was without the offer."""
        self.echo = 0
        """The flag for every acknowledgement: ECE from the first mark until the peer says that it has slowed down."""
        self.cwr_due = False
        """The window was reduced: the next new data says so."""
        self.delivered_ce = 0
        """Octets acknowledged by segments with ECE."""
        self.pause_ends: Ns = 0
        """The window is one segment, and even that was too much: nothing new leaves before (section 6.1.2); 0: no
        pause."""
        self._high = 0

    def agree(self, nxt: int, *, marks: bool) -> None:
        """Use it from now on. `nxt`: SND.NXT, before any data."""
        self.on = True
        self.marks = marks
        self._high = nxt

    def disagree(self) -> None:
        """The peer's SYN came again, without the offer: something on the path does not like it (section 6.1.1.1)."""
        self.on = self.marks = False

    def on_data(self, flags: int, mark: int) -> bool:
        """Data arrived. True: the peer should hear of a mark at once."""
        if flags & CWR:
            self.echo = 0
        if mark != CE:
            return False
        first = not self.echo
        self.echo = ECE
        return first

    def on_echo(self, una: int, nxt: int) -> bool:
        """An acknowledgement up to `una` carries ECE. True: reduce the window, which happens at most once for what was
        in flight (section 6.1.2)."""
        if una <= self._high:
            return False
        self.on_reduced(nxt)
        return True

    def on_reduced(self, nxt: int) -> None:
        """The window was reduced, for whatever reason: CWR tells the peer, and marks on what is in flight are answered
        with it."""
        if self.on:
            self._high = nxt
            self.cwr_due = self.marks
