"""HyStart++: leave the first slow start when the round trips say that the path is full (RFC 9406)."""

from pystack.units import MS, Ns

__all__ = ["HyStart"]

MIN_RTT_THRESH: Ns = 4 * MS
MAX_RTT_THRESH: Ns = 16 * MS
MIN_RTT_DIVISOR = 8
N_RTT_SAMPLE = 8
CSS_GROWTH_DIVISOR = 4
CSS_ROUNDS = 5


class HyStart:
    """Part of a congestion control for as long as its `ssthresh` is arbitrarily high: `grow` says by how much an
    acknowledgement lets the window grow, `finished` that slow start is over and `ssthresh` becomes the window.

    A round lasts until what was in flight at its beginning is acknowledged: the window, less what the ACK has just
    taken off it. Section 4.2 finds the same by sequence numbers, which congestion control does not see. L is infinite,
    though nothing is paced: an ACK may speak for a super-segment of 45 segments, and with L = 8 the window of a path
    with offload would hardly grow at all.
    """

    __slots__ = ("_baseline", "_css_rounds", "_left", "_minimum", "_owed", "_previous", "_samples", "finished")

    def __init__(self, cwnd: int) -> None:
        self.finished = False
        self._left = cwnd
        """Octets of this round that are not acknowledged."""
        self._previous: Ns | None = None
        """The shortest round trip of the last round, `_minimum` that of this one."""
        self._minimum: Ns | None = None
        self._samples = 0
        self._baseline: Ns | None = None
        """What the round trip was when conservative slow start began; None: this is plain slow start."""
        self._css_rounds = 0
        self._owed = 0
        """Octets acknowledged in conservative slow start that have not made the window grow yet."""

    def grow(self, acked: int, cwnd: int, rtt: Ns | None) -> int:
        """Octets by which the window of `cwnd` grows for `acked` new ones."""
        growth = acked
        if self._baseline is not None:
            growth, self._owed = divmod(self._owed + acked, CSS_GROWTH_DIVISOR)
        if rtt is not None:
            self._samples += 1
            self._minimum = rtt if self._minimum is None else min(self._minimum, rtt)
            if self._samples >= N_RTT_SAMPLE:
                self._judge(self._minimum)
        self._left -= acked
        if self._left <= 0:
            self._next_round(cwnd - acked)
        return growth

    def _judge(self, minimum: Ns) -> None:
        """Enter conservative slow start, or take it back when the longer round trip was a passing one."""
        if self._baseline is not None:
            if minimum < self._baseline:
                self._baseline = None
        elif self._previous is not None:
            threshold = max(MIN_RTT_THRESH, min(self._previous // MIN_RTT_DIVISOR, MAX_RTT_THRESH))
            if minimum >= self._previous + threshold:
                self._baseline = minimum
                self._css_rounds = self._owed = 0

    def _next_round(self, in_flight: int) -> None:
        self._left = in_flight
        self._previous, self._minimum, self._samples = self._minimum, None, 0
        if self._baseline is not None:
            self._css_rounds += 1
            self.finished = self._css_rounds >= CSS_ROUNDS
