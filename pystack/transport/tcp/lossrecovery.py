"""When something is taken for lost, and what follows: recovery begins and ends, reductions are taken back (RFC 8985,
RFC 6937, RFC 4015, RFC 3168)."""

from pystack.transport.tcp.output import Output
from pystack.transport.tcp.selective import Phase
from pystack.transport.tcp.timers import NEVER
from pystack.units import Ns

__all__ = ["LossRecovery"]


class LossRecovery(Output):
    """What the pieces of loss recovery have to do with each other."""

    __slots__ = ()

    def _detect_losses(self, now: Ns) -> bool:
        """RFC 8985 section 6.2, steps 4 and 5. True: there are new ones."""
        board, rtt, rack = self._board, self._rtt, self._rack
        if self._undo.done_at == now and not board.sacked:
            return False  # what has just been taken back is not to be found lost again by the same acknowledgement
        window = rack.update(
            rtt.minimum or 0,
            rtt.srtt or 0,
            recovering=self._selective.recovering,
            sacked_segments=board.sacked_segments,
        )
        return board.mark_lost(now - rack.rtt - window)

    def _on_losses(self, pipe: int, now: Ns, acked: int = 0) -> None:
        """Something is newly taken for lost; `pipe`: octets in the network before, `acked`: those acknowledged just
        now. That a retransmission is lost is another indication of congestion (RFC 5681 section 4.3)."""
        selective = self._selective
        if selective.phase is Phase.OPEN or self._board.lost_resend >= selective.began:
            self._reduce(Phase.FAST, pipe, now, acked)
        elif selective.phase is Phase.REDUCING:  # the window is on its way down already
            selective.phase = Phase.FAST
            selective.high = self.snd_nxt
        self._output_due = True

    def _flight(self, acked: int) -> int:
        """Octets outstanding before `acked` of them were acknowledged, without what limited transmit has added (RFC
        5681 section 3.2, step 2)."""
        return min(self.snd_nxt - self.snd_una + max(acked, 0), self.congestion.cwnd)

    def _reduce(self, phase: Phase, pipe: int, now: Ns, acked: int) -> None:
        """Begin FAST or REDUCING: one congestion event."""
        congestion, rtt = self.congestion, self._rtt
        flight = self._flight(acked)
        if self._selective.phase is Phase.OPEN and phase is Phase.FAST:
            before = congestion.snapshot()
            self._undo.begin(before, self.snd_una, rtt.srtt, rtt.rttvar, timed_out=False)
        elif phase is Phase.REDUCING:
            self._undo.forget()
        if phase is Phase.FAST:
            congestion.on_loss(flight, now)
        else:
            congestion.on_ecn(flight, now)
        self._ecn.on_reduced(self.snd_nxt)
        self._probe.cancel()
        self._frto.cancel()
        self._selective.begin(phase, self.snd_nxt, pipe, now)

    def _on_probe_repair(self, acked: int, now: Ns) -> None:
        """A tail loss probe has repaired a loss by itself: only the window is left to be reduced."""
        congestion = self.congestion
        if self._selective.phase is not Phase.OPEN:
            return
        congestion.on_loss(self._flight(acked), now)
        congestion.on_recovered(self._board.in_flight, now)
        congestion.cwnd = max(congestion.ssthresh, congestion.smss)
        self._ecn.on_reduced(self.snd_nxt)

    def _undo_reduction(self, now: Ns) -> None:
        """The reduction was for nothing: what was taken for lost was only late."""
        undo, congestion, board = self._undo, self.congestion, self._board
        congestion.on_undo(undo.before, now)
        board.unmark_lost()
        if undo.timed_out:  # RFC 4015 section 3.1, step 11
            undo.adapts_beyond = self.snd_nxt
            self._retransmits = 0
        undo.forget()
        undo.done_at = now
        self._frto.cancel()
        self._recovery.abandon(self.snd_una)
        self._selective.phase = Phase.OPEN
        self._resend_due = False
        self._output_due = True

    def _on_loss_timer(self, now: Ns) -> None:
        """The reordering timer of RFC 8985 section 6.2, or the probe timer of section 7.3."""
        board, timers, selective = self._board, self._timers, self._selective
        if board.sacked or selective.recovering:
            pipe = board.in_flight + board.lost
            if self._detect_losses(now):
                self._on_losses(pipe, now)
                if selective.reducing:
                    selective.reduce(self.snd_mss, board.in_flight, safe=False)
        elif self._probe.end is None and self._rtt.fresh and board.in_flight:
            self._probe.due = self._output_due = True
        if board:
            timers.retransmit = now + self._rtt.rto
        self._arm_loss_timer(now, probe=False)

    def _lose_on_timeout(self, now: Ns) -> None:
        """The retransmission timer expired: what was lost, and how recovery goes on (RFC 6298 (5.4), RFC 8985 section
        6.3, RFC 5682)."""
        board, selective, recovery, undo = self._board, self._selective, self._recovery, self._undo
        congestion, rtt = self.congestion, self._rtt
        begun = selective.recovering or recovery.covers(self.snd_una)
        if not begun:
            undo.begin(congestion.snapshot(), self.snd_una, rtt.srtt, rtt.rttvar, timed_out=True)
        elif selective.phase is Phase.FAST or recovery.active:
            undo.forget()
        congestion.on_timeout(board.in_flight + board.lost, self._retransmits == 1, now)
        self._ecn.on_reduced(self.snd_nxt)
        if self.config.frto and (not begun or self._frto.waits):
            self._frto.begin(self.snd_nxt)
        else:
            self._frto.cancel()
        if self._sack:
            if board.reneged:
                board.forget_sacks()
            board.mark_lost_on_timeout(now - self._rack.rtt - self._rack.value)
            selective.on_timeout(self.snd_nxt, now)
            self._probe.cancel()
            self._resend_due = True
        else:
            self._lose_all()
        recovery.on_timeout(self.snd_nxt)
        self._timers.loss = NEVER
        self._watchful = True
