"""Round-trip estimation and the retransmission timeout (RFC 6298). All values in nanoseconds."""

from pystack.units import Ns

__all__ = ["RttEstimator"]


class RttEstimator:
    """Smoothed round trip, its variance, and the timeout that follows, backed off until something gets through."""

    __slots__ = ("_max_rto", "_min_rto", "latest", "minimum", "rto", "rttvar", "srtt")

    def __init__(self, initial_rto: Ns, min_rto: Ns, max_rto: Ns) -> None:
        self._min_rto = min_rto
        self._max_rto = max_rto
        self.srtt: Ns | None = None
        self.rttvar: Ns = 0
        self.rto: Ns = initial_rto
        self.latest: Ns | None = None
        self.minimum: Ns | None = None

    def sample(self, rtt: Ns) -> None:
        """Fold in one measurement, of a segment sent exactly once or told apart by its timestamp (Karn, section 3:
        the caller's duty)."""
        srtt = self.srtt
        if srtt is None or self.minimum is None:  # section 2 (2.2)
            self.srtt, self.rttvar, self.minimum = rtt, rtt // 2, rtt
        else:  # (2.3): RTTVAR goes first, it must see the old SRTT
            deviation = srtt - rtt if srtt > rtt else rtt - srtt
            self.rttvar += (deviation - self.rttvar) // 4
            self.srtt = srtt + (rtt - srtt) // 8
            if rtt < self.minimum:
                self.minimum = rtt
        self.latest = rtt
        self._compute(self.srtt)

    def back_off(self) -> None:
        """(5.5), up to the ceiling of (2.5)."""
        self.rto = min(2 * self.rto, self._max_rto)

    def recover(self) -> None:
        """Take the back-off back without a measurement: data sent once got through (RFC 8961 section 4 (4) (a))."""
        if self.srtt is not None:
            self._compute(self.srtt)

    def _compute(self, srtt: Ns) -> None:
        """(2.4): the 200 ms floor is on the variance term, as in Linux: docs/deviations.md."""
        self.rto = min(srtt + max(self._min_rto, 4 * self.rttvar), self._max_rto)

    def restart(self, rto: Ns) -> None:
        """Take `rto` for the timeout until the first measurement. Does nothing after one."""
        if self.srtt is None:
            self.rto = rto
