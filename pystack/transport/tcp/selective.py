"""Loss recovery with SACK: in which phase a connection is, and what its congestion window is meanwhile (RFC 8985, RFC
6937). Which octets are lost is not its business."""

from enum import Enum

from pystack.transport.tcp.congestion import CongestionControl
from pystack.transport.tcp.prr import ProportionalRateReduction
from pystack.units import Ns

__all__ = ["Phase", "SelectiveRecovery"]


class Phase(Enum):
    """The value is Linux's name for it."""

    OPEN = "Open"
    REDUCING = "CWR"
    FAST = "Recovery"
    LOSS = "Loss"


class SelectiveRecovery:
    """One phase lasts until everything is acknowledged that was sent before it began."""

    __slots__ = ("_prr", "_target", "began", "congestion", "high", "phase")

    def __init__(self, congestion: CongestionControl) -> None:
        self.congestion = congestion
        self._prr = ProportionalRateReduction()
        self._target = 0
        self.phase = Phase.OPEN
        self.high = 0
        self.began: Ns = 0

    @property
    def reducing(self) -> bool:
        """PRR sets the window."""
        return self.phase is Phase.FAST or self.phase is Phase.REDUCING

    @property
    def recovering(self) -> bool:
        """Something was taken for lost, and not all is acknowledged that was sent before."""
        return self.phase is Phase.FAST or self.phase is Phase.LOSS

    def begin(self, phase: Phase, nxt: int, pipe: int, now: Ns) -> None:
        """FAST or REDUCING begins, and the congestion control has set `ssthresh`, or a smaller window still: marks take
        it below two segments. `pipe`: octets in the network."""
        self._target = min(self.congestion.cwnd, self.congestion.ssthresh)
        self.phase = phase
        self.high = nxt
        self.began = now
        self._prr.begin(pipe)

    def on_timeout(self, nxt: int, now: Ns) -> None:
        self.phase = Phase.LOSS
        self.high = nxt
        self.began = now

    def reduce(self, delivered: int, in_flight: int, *, safe: bool) -> None:
        """An acknowledgement of `delivered` octets in FAST or REDUCING: PRR's window."""
        congestion = self.congestion
        allowed = self._prr.on_ack(delivered, in_flight, self._target, congestion.smss, safe=safe)
        congestion.cwnd = max(in_flight + allowed, congestion.smss)

    def on_sent(self, octets: int) -> None:
        """Something left, new or not."""
        self._prr.out += octets

    def finish(self, in_flight: int, now: Ns) -> None:
        """Everything sent before is acknowledged."""
        if self.reducing:
            self.congestion.on_recovered(in_flight, now)
            self.congestion.cwnd = max(self._target, self.congestion.smss)
        self.phase = Phase.OPEN
