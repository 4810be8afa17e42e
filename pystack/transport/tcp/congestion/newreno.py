"""Reno's window: slow start, congestion avoidance, halving (RFC 5681); NewReno once RFC 6582's recovery drives it."""

from typing_extensions import override

from pystack.transport.tcp.congestion.base import CongestionControl
from pystack.units import Ns

__all__ = ["NewReno"]


class NewReno(CongestionControl):
    """RFC 5681 section 3.1, counting octets, so that ACKs of many segments (offload, ACK thinning) count in full."""

    __slots__ = ("_acked",)

    def __init__(self, smss: int, initial_window: int) -> None:
        super().__init__(smss, initial_window)
        self._acked = 0

    @override
    def on_ack(self, acked: int, rtt: Ns | None, now: Ns) -> None:
        if self.cwnd < self.ssthresh:
            grown = min(self.cwnd + acked, self.ssthresh)
            acked -= grown - self.cwnd
            self.cwnd = grown
        self._acked += acked
        if self._acked >= self.cwnd:  # a window's worth: one segment more
            self._acked -= self.cwnd
            self.cwnd += self.smss

    @override
    def on_loss(self, in_flight: int, now: Ns) -> None:
        self._halve(in_flight)
        self.cwnd = self.ssthresh

    @override
    def on_ecn(self, in_flight: int, now: Ns) -> None:
        """As a loss, but down to a window of one segment (RFC 3168 section 6.1.2)."""
        self._halve(in_flight)
        self.cwnd = max(in_flight // 2, self.smss)

    @override
    def on_recovered(self, in_flight: int, now: Ns) -> None:
        """RFC 6582 section 3.2, full acknowledgement, option 1: no burst when little is left in flight."""
        self.cwnd = min(self.ssthresh, max(in_flight, self.smss) + self.smss)
        self._acked = 0

    @override
    def on_timeout(self, in_flight: int, first: bool, now: Ns) -> None:
        if first:  # RFC 5681: held constant when the same segment is lost again
            self._halve(in_flight)
        self.cwnd = self.smss
        self._acked = 0

    def _halve(self, in_flight: int) -> None:
        self.ssthresh = max(in_flight // 2, 2 * self.smss)
