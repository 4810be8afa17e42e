"""CUBIC: a window that is a cubic function of the time since the last congestion event (RFC 9438)."""

from typing import Final

from typing_extensions import override

from pystack.transport.tcp.congestion.base import INFINITE, CongestionControl
from pystack.transport.tcp.congestion.hystart import HyStart
from pystack.units import SECOND, Ns

__all__ = ["Cubic"]

# Ratios of integers throughout, so that every machine computes the same windows.
BETA: Final = (7, 10)
FAST_CONVERGENCE: Final = (17, 20)
"""(1 + beta) / 2."""
ALPHA: Final = (9, 17)
"""3 (1 - beta) / (1 + beta): with it, additive increase is as fast as Reno's on average (section 4.3)."""
C: Final = (4, 10)
"""Segments per second cubed."""
_CUBIC_SECOND: Final = SECOND**3


class Cubic(CongestionControl):
    """RFC 9438 with windows in octets and times in nanoseconds; HyStart++ in the first slow start (section 4.10).

    Increments are proportional to the octets acknowledged, so that one ACK for many segments counts as many.
    """

    __slots__ = (
        "_alpha",
        "_cwnd_prior",
        "_epoch",
        "_grown_at",
        "_growth",
        "_hystart",
        "_k",
        "_srtt",
        "_w_est",
        "_w_est_growth",
        "_w_max",
    )

    def __init__(self, smss: int, initial_window: int) -> None:
        super().__init__(smss, initial_window)
        self._hystart = HyStart(initial_window)
        self._srtt: Ns = 0
        self._cwnd_prior = 0
        self._w_max = 0
        """0: not known, the window at the beginning of congestion avoidance becomes it."""
        self._k: Ns = 0
        self._epoch: Ns | None = None
        """When this congestion avoidance stage began, later by the periods in which the application was the limit."""
        self._w_est = 0
        self._alpha = ALPHA
        self._grown_at: Ns = 0
        self._growth = self._w_est_growth = 0
        """What has been acknowledged but does not make a whole octet yet, times the window."""

    @override
    def on_ack(self, acked: int, rtt: Ns | None, now: Ns) -> None:
        if rtt is not None:
            self._srtt += (rtt - self._srtt) // 8 if self._srtt else rtt
        if self.cwnd < self.ssthresh:
            acked = self._slow_start(acked, rtt)
        if acked:
            self._avoid_congestion(acked, rtt, now)

    def _slow_start(self, acked: int, rtt: Ns | None) -> int:
        """What of `acked` is left for congestion avoidance."""
        if self.ssthresh == INFINITE:
            self.cwnd += self._hystart.grow(acked, self.cwnd, rtt)
            if self._hystart.finished:
                self.ssthresh = self._cwnd_prior = self.cwnd
            return 0
        grown = min(self.cwnd + acked, self.ssthresh)
        left = acked - (grown - self.cwnd)
        self.cwnd = grown
        return left

    def _avoid_congestion(self, acked: int, rtt: Ns | None, now: Ns) -> None:
        """Sections 4.2 to 4.5: the larger of the cubic function and of what Reno would have."""
        if self._epoch is None:
            self._epoch = self._grown_at = now
            self._begin_epoch()
        elif now - self._grown_at > max(self._srtt, rtt or 0):
            # Section 5.8: a window that is filled grows every round trip. This time it was not, and t stood still.
            self._epoch += now - self._grown_at
        self._grown_at = now
        cwnd = self.cwnd
        w_est = self._grow_w_est(acked)
        elapsed = now - self._epoch - self._k
        if self._w_cubic(elapsed) < w_est:
            self.cwnd = max(cwnd, w_est)
            return
        target = min(self._w_cubic(elapsed + self._srtt), cwnd + cwnd // 2)
        if target > cwnd:
            growth, self._growth = divmod(self._growth + (target - cwnd) * acked, cwnd)
            self.cwnd += growth

    def _begin_epoch(self) -> None:
        """Congestion avoidance begins: on the concave side of the curve if the plateau is above."""
        cwnd = self.cwnd
        if cwnd < self._w_max:
            self._k = _cube_root((self._w_max - cwnd) * C[1] * _CUBIC_SECOND // (C[0] * self.smss))
        else:
            self._k = 0
            self._w_max = cwnd
        self._w_est = cwnd
        self._alpha = ALPHA
        self._growth = self._w_est_growth = 0

    def _grow_w_est(self, acked: int) -> int:
        """Figure 4. Once Reno would be where the last event was, it is as fast as Reno."""
        if self._w_est >= self._cwnd_prior:
            self._alpha = 1, 1
        numerator, denominator = self._alpha
        growth, self._w_est_growth = divmod(
            self._w_est_growth + numerator * self.smss * acked // denominator, self.cwnd
        )
        self._w_est += growth
        return self._w_est

    def _w_cubic(self, since_k: Ns) -> int:
        """Figure 1, `since_k` after the plateau."""
        return self._w_max + C[0] * self.smss * since_k**3 // (C[1] * _CUBIC_SECOND)

    @override
    def on_loss(self, in_flight: int, now: Ns) -> None:
        self._reduce()
        self.cwnd = self.ssthresh

    @override
    def on_ecn(self, in_flight: int, now: Ns) -> None:
        """As a loss, but down to a window of one segment; there the caller sends even less (section 4.6)."""
        self.cwnd = max(self._reduce(), self.smss)

    @override
    def on_recovered(self, in_flight: int, now: Ns) -> None:
        """No burst when little is left in flight: RFC 6582 section 3.2, full acknowledgement, option 1."""
        self.cwnd = min(self.ssthresh, max(in_flight, self.smss) + self.smss)

    @override
    def on_timeout(self, in_flight: int, first: bool, now: Ns) -> None:
        """Section 4.8. K will be 0, and the plateau the window at which slow start ends."""
        if first:  # RFC 5681: held constant when the same segment is lost again
            self._reduce()
        self._w_max = 0
        self._epoch = None
        self.cwnd = self.smss

    def _reduce(self) -> int:
        """Figure 5, after fast convergence (section 4.7). Gives `ssthresh` before its lower bound."""
        cwnd = self.cwnd
        self._w_max = cwnd * FAST_CONVERGENCE[0] // FAST_CONVERGENCE[1] if cwnd < self._w_max else cwnd
        self._cwnd_prior = cwnd
        self._epoch = None
        reduced = cwnd * BETA[0] // BETA[1]  # a window that is not used does not grow: section 4.6
        self.ssthresh = max(reduced, 2 * self.smss)
        return reduced

    @override
    def snapshot(self) -> object:
        epoch = self._cwnd_prior, self._w_max, self._k, self._epoch, self._w_est, self._alpha
        return self.cwnd, self.ssthresh, *epoch

    @override
    def on_undo(self, before: object, now: Ns) -> None:
        """Section 4.9.2: everything as it was, unless the window has come back by itself."""
        assert isinstance(before, tuple)
        cwnd, ssthresh, *epoch = before
        if self.cwnd < self._cwnd_prior:
            self.cwnd, self.ssthresh = cwnd, ssthresh
            self._grown_at = now
            if epoch:  # else another congestion control has taken the snapshot
                self._cwnd_prior, self._w_max, self._k, self._epoch, self._w_est, self._alpha = epoch

    @override
    def on_idle(self, now: Ns) -> None:
        """The window starts again below `ssthresh`; t begins anew once it is back there."""
        super().on_idle(now)
        self._epoch = None

    @override
    def on_smss(self, smss: int) -> None:
        """C and so K count in segments: the curve to the same plateau begins anew from the window there is."""
        if smss != self.smss:
            self._epoch = None
        super().on_smss(smss)


def _cube_root(value: int) -> int:
    """The integer at or below the cube root of `value` >= 0: exact, so the same on every machine."""
    root = 1 << -(-value.bit_length() // 3)  # not below it; from there Newton's steps come down to it
    while root**3 > value:
        root = (2 * root + value // root**2) // 3
    return root
