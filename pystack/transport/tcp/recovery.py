"""Loss recovery without SACK: fast retransmit and fast recovery (RFC 5681 section 3.2), NewReno's answer to partial
acknowledgements (RFC 6582), limited transmit (RFC 3042). It knows sequence numbers and duplicate acknowledgements, and
steers the congestion control's window while it lasts."""

from pystack.transport.tcp.congestion import CongestionControl
from pystack.units import Ns

__all__ = ["DUP_THRESHOLD", "FastRecovery"]

DUP_THRESHOLD = 3


class FastRecovery:
    """Counts duplicate acknowledgements, decides when the first unacknowledged segment is to be sent again."""

    __slots__ = ("_recover", "active", "congestion", "dup_acks", "inflation", "partial_acks", "resend")

    def __init__(self, congestion: CongestionControl, iss: int) -> None:
        self.congestion = congestion
        self._recover = iss
        self.active = False
        self.dup_acks = 0
        self.partial_acks = 0
        self.inflation = 0
        """Octets that may be in flight beyond `cwnd`: segments that the duplicates say have left the network."""
        self.resend = False
        """The first unacknowledged segment is due again."""

    def covers(self, una: int) -> bool:
        """Whether the last recovery, or what followed the last timeout, is not over."""
        return self.active or una <= self._recover

    def on_duplicate(self, una: int, nxt: int, in_flight: int, last_advance: int, now: Ns) -> bool:
        """A duplicate acknowledgement; True: recovery begins. `in_flight`: without what limited transmit has added;
        `last_advance`: octets by which the last new one moved `una`."""
        congestion = self.congestion
        smss = congestion.smss
        self.dup_acks += 1
        if self.active:
            self.inflation += smss
        elif self.dup_acks < DUP_THRESHOLD:
            self.inflation = self.dup_acks * smss  # RFC 3042
        elif self.dup_acks == DUP_THRESHOLD:
            self.inflation = 0
            if una > self._recover or (congestion.cwnd > smss and last_advance <= 4 * smss):
                # RFC 6582 section 3.2 step 2, and the heuristic of 4.1
                self.active = self.resend = True
                self.partial_acks = 0
                self._recover = nxt
                congestion.on_loss(in_flight, now)
                self.inflation = DUP_THRESHOLD * smss
                return True
        return False

    def on_advance(self, una: int, acked: int, in_flight: int, now: Ns) -> None:
        """New octets were acknowledged."""
        self.dup_acks = 0
        if not self.active:
            self.inflation = 0
        elif una >= self._recover:
            self.active = self.resend = False
            self.inflation = 0
            self.congestion.on_recovered(in_flight, now)
        else:
            smss = self.congestion.smss
            self.partial_acks += 1
            self.resend = True
            self.inflation = max(0, self.inflation - acked + (smss if acked >= smss else 0))

    def abandon(self, una: int) -> None:
        """It was for nothing. The next duplicates may begin another one."""
        self.on_timeout(una - 1)

    def on_timeout(self, nxt: int) -> None:
        """The retransmission timer takes over (RFC 6582 section 3.2 step 4)."""
        self._recover = nxt
        self.active = self.resend = False
        self.dup_acks = self.inflation = 0
