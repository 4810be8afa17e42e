"""Round-trip estimation and the retransmission timeout (RFC 6298). All values in nanoseconds."""

from pystack.units import SECOND, Ns

__all__ = ["RttEstimator"]

_MINIMUM_WINDOW: Ns = 300 * SECOND


class RttEstimator:
    """Smoothed round trip, its variance, and the timeout that follows, backed off until something gets through."""

    __slots__ = (
        "_max_rto",
        "_min_rto",
        "_minimum_before",
        "_minimum_now",
        "_window_end",
        "backoffs",
        "fresh",
        "minimum",
        "rto",
        "rttvar",
        "srtt",
    )

    def __init__(self, initial_rto: Ns, min_rto: Ns, max_rto: Ns) -> None:
        self._min_rto = min_rto
        self._max_rto = max_rto
        self.srtt: Ns | None = None
        self.rttvar: Ns = 0
        self.rto: Ns = initial_rto
        self.minimum: Ns | None = None
        """The smallest measurement of the last five to ten minutes: a path may become longer."""
        self.backoffs = 0
        """Timeouts since the last measurement."""
        self.fresh = False
        """Something was measured since somebody set this to False."""
        self._minimum_before: Ns = 0
        self._minimum_now: Ns = 0
        self._window_end: Ns = -1

    def sample(self, rtt: Ns, now: Ns = 0) -> None:
        """Fold in one measurement, of a segment sent exactly once or told apart by its timestamp (Karn, section 3:
        the caller's duty)."""
        srtt = self.srtt
        if srtt is None or self.minimum is None:  # section 2 (2.2)
            self.srtt, self.rttvar, self.minimum = rtt, rtt // 2, rtt
            self._minimum_before = self._minimum_now = rtt
            self._window_end = now + _MINIMUM_WINDOW
        else:  # (2.3): RTTVAR goes first, it must see the old SRTT
            deviation = srtt - rtt if srtt > rtt else rtt - srtt
            self.rttvar += (deviation - self.rttvar) // 4
            self.srtt = srtt + (rtt - srtt) // 8
            if rtt < self._minimum_now:
                self._minimum_now = rtt
                if rtt < self.minimum:
                    self.minimum = rtt
            if now > self._window_end:
                self._begin_window(rtt, now)
        self.fresh = True
        self._compute(self.srtt)

    def adapt(self, rtt: Ns, srtt: Ns, rttvar: Ns) -> None:
        """The first measurement after a timeout that was for nothing, before which `srtt` and `rttvar` were known: the
        path has become slower, perhaps (RFC 4015 section 3.1, step 11)."""
        self.srtt = max(srtt, rtt)
        self.rttvar = max(rttvar, rtt // 2)
        self._compute(self.srtt)

    def _begin_window(self, rtt: Ns, now: Ns) -> None:
        self._minimum_before, self._minimum_now = self._minimum_now, rtt
        self.minimum = min(self._minimum_before, rtt)
        self._window_end = now + _MINIMUM_WINDOW

    def back_off(self) -> None:
        """(5.5), up to the ceiling of (2.5)."""
        self.backoffs += 1
        self.rto = min(2 * self.rto, self._max_rto)

    def _compute(self, srtt: Ns) -> None:
        """(2.4): the 200 ms floor is on the variance term, as in Linux: docs/deviations.md."""
        self.backoffs = 0
        self.rto = min(srtt + max(self._min_rto, 4 * self.rttvar), self._max_rto)

    def restart(self, rto: Ns) -> None:
        """Take `rto` for the timeout until the first measurement. Does nothing after one."""
        if self.srtt is None:
            self.rto = rto
