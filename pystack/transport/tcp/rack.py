"""How long RACK waits for late segments before it takes them for lost (RFC 8985 section 6.2, steps 2 to 5). Which those
are the scoreboard knows."""

from pystack.transport.tcp.recovery import DUP_THRESHOLD
from pystack.units import Ns

__all__ = ["ReorderingWindow"]

_PERSIST = 16
"""Recoveries without a DSACK after which an enlarged window shrinks again."""


class ReorderingWindow:
    """A quarter of the smallest round trip, growing with each round trip that brings a DSACK, up to the smoothed one.
    As long as no reordering was ever seen there is none: during recovery, and once three segments beyond a gap have
    arrived, where the duplicate threshold of RFC 5681 would have started it."""

    __slots__ = ("_dsack_round", "_grew", "_multiplier", "_persist", "rtt", "seen", "value")

    def __init__(self) -> None:
        self.rtt: Ns = 0
        """Round trip of the most recently delivered segment (RACK.rtt)."""
        self.seen = 0
        """How often data came out of order."""
        self.value: Ns = 0
        """The window as it was last used."""
        self._multiplier = 1
        self._persist = _PERSIST
        self._dsack_round: int | None = None
        self._grew = False

    def on_dsack(self, una: int, nxt: int) -> None:
        """A segment arrived twice: taken for lost too early, perhaps. Counts once per round trip."""
        if self._dsack_round is None or una >= self._dsack_round:
            self._dsack_round = nxt
            self._multiplier += 1
            self._persist = _PERSIST
            self._grew = True

    def on_recovered(self) -> None:
        """A recovery has ended. It does not count when the acknowledgement that ends it has enlarged the window."""
        if not self._grew:
            self._persist -= 1
            if self._persist <= 0:
                self._multiplier = 1

    def update(self, min_rtt: Ns, srtt: Ns, *, recovering: bool, sacked_segments: int) -> Ns:
        """Step 4, the end of it."""
        self._grew = False
        if not self.seen and (recovering or sacked_segments >= DUP_THRESHOLD):
            self.value = 0
        else:
            self.value = min(self._multiplier * min_rtt // 4, srtt)
        return self.value
