"""Forward RTO-recovery: whether a retransmission timeout was for nothing, told from what is acknowledged after it
(RFC 5682, sections 2.1 and 3.1)."""

from enum import Enum

__all__ = ["ForwardRto", "Verdict"]


class Verdict(Enum):
    UNDECIDED = "wait for the next acknowledgement"
    SPURIOUS = "the timeout was for nothing"
    GENUINE = "go on with what was lost"


class ForwardRto:
    """Where the algorithm stands. After a timeout only the first segment is resent; when that moves SND.UNA, two new
    segments leave instead of what is taken for lost, and what is acknowledged then was sent before the timeout, or was
    not."""

    __slots__ = ("_point", "_resent", "_step", "allowance")

    def __init__(self) -> None:
        self._step = 0
        self._point = 0
        self._resent = 0
        """Where what the timeout has resent ends."""
        self.allowance = 0
        """While it holds back what is lost: octets of new data that may leave."""

    @property
    def active(self) -> bool:
        return self._step > 0

    @property
    def waits(self) -> bool:
        """Nothing has been acknowledged since the timeout: if it comes again, the algorithm starts again."""
        return self._step == 2

    @property
    def holds_back(self) -> bool:
        """Only new data may leave."""
        return self._step == 3

    def begin(self, nxt: int) -> None:
        """Step 1: the timer expired."""
        self._step = 2
        self._point = nxt
        self._resent = 0

    def on_resent(self, end: int) -> None:
        """Something up to `end` left again."""
        if not self._resent:
            self._resent = end

    def cancel(self) -> None:
        self._step = 0

    def on_ack(
        self,
        una: int,
        nxt: int,
        highest: int,
        mss: int,
        *,
        advances: bool,
        arrived: bool,
        original: bool,
        selective: bool,
        may_send: bool,
    ) -> Verdict:
        """An acknowledgement. `highest`: one past the highest octet that has arrived; `arrived`: it reports octets for
        the first time; `original`: among them some that were sent once; `selective`: SACK is in use; `may_send`: there
        is new data, and room for it in the peer's window."""
        if self._step == 2:
            if selective and original:  # nothing new has left since the timeout: docs/deviations.md
                return self._end(Verdict.SPURIOUS)
            if not advances:
                return Verdict.UNDECIDED if selective else self._end(Verdict.GENUINE)
            if una >= self._point or una < self._resent or not may_send:
                return self._end(Verdict.GENUINE)
            self._step = 3
            self.allowance = 2 * mss
            self._point = nxt
            return Verdict.UNDECIDED
        if highest > self._point or not arrived:
            return self._end(Verdict.GENUINE)
        return self._end(Verdict.SPURIOUS)

    def _end(self, verdict: Verdict) -> Verdict:
        self._step = 0
        return verdict
