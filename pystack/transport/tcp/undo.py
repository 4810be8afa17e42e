"""Whether what was sent again was sent for nothing: the peer says so by timestamps (Eifel, RFC 3522), or by reporting
every retransmission as a duplicate (DSACK, RFC 2883, RFC 3708)."""

from pystack.units import Ns

__all__ = ["Undo"]


class Undo:
    """What was before a reduction of the congestion window, kept until it is clear whether it was justified."""

    __slots__ = (
        "_resends",
        "adapts_beyond",
        "awaits_echo",
        "before",
        "done_at",
        "first_resend",
        "marker",
        "rttvar",
        "srtt",
        "timed_out",
    )

    def __init__(self) -> None:
        self.before: object = None
        """The congestion control's state; None: nothing to restore."""
        self.done_at: Ns = -1
        """When a reduction was taken back for the last time."""
        self.marker = 0
        """SND.UNA when it began."""
        self.timed_out = False
        self.first_resend: Ns | None = None
        self.awaits_echo = False
        """The next acknowledgement of new data tells which transmission brought it forth."""
        self._resends = 0
        self.srtt: Ns | None = None
        self.rttvar: Ns = 0
        self.adapts_beyond: int | None = None
        """The first measurement of data from here on is to be taken at its word (RFC 4015 section 3.1, step 11)."""

    def begin(self, before: object, una: int, srtt: Ns | None, rttvar: Ns, *, timed_out: bool) -> None:
        """`before`: the congestion control's `snapshot`."""
        self.before = before
        self.marker = una
        self.srtt, self.rttvar = srtt, rttvar
        self.timed_out = timed_out
        self.first_resend = None
        self.awaits_echo = False
        self._resends = 0

    def forget(self) -> None:
        """What was reduced stays so."""
        self.before = None
        self.awaits_echo = False

    def on_resent(self, segments: int, now: Ns) -> None:
        if self.before is None:
            return
        self._resends += segments
        if self.first_resend is None:
            self.first_resend = now
            self.awaits_echo = True

    def on_dsack(self, start: int, end: int, size: int) -> bool:
        """The peer got these octets twice. True: so it got everything that was sent again."""
        if self.before is None or not self._resends or end <= self.marker:
            return False
        self._resends = max(0, self._resends - max(1, (end - start) // size))
        return not self._resends

    def on_echo(self, older: bool) -> bool:
        """The first acknowledgement of new data since something was sent again. `older`: it echoes a timestamp from
        before that. True: it was for nothing."""
        awaited, self.awaits_echo = self.awaits_echo, False
        return awaited and older
