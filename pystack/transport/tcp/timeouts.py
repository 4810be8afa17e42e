"""What each timer does when it expires (RFC 9293 sections 3.8 and 3.10.8, RFC 6298)."""

from pystack.transport.tcp.fastopen import ActiveFastOpen
from pystack.transport.tcp.lossrecovery import LossRecovery
from pystack.transport.tcp.segment import ACK
from pystack.transport.tcp.state import Got, State
from pystack.transport.tcp.timers import NEVER
from pystack.units import Ns

__all__ = ["Timeouts"]

_CLOSING = (State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)


class Timeouts(LossRecovery):
    """The connection as time passes."""

    __slots__ = ()

    def next_deadline(self) -> Ns | None:
        """When `on_timer` must be called; None: no timer is set."""
        deadline = self._timers.earliest()
        return None if deadline == NEVER else deadline

    def on_timer(self, now: Ns) -> None:
        """Run what is due at `now`. Harmless when nothing is."""
        timers = self._timers
        if timers.delayed_ack <= now:
            timers.delayed_ack = NEVER
            self._ack_due = self._output_due = True
            if self._interactive:
                self._interactive = False
                self._ack_delay = self.config.delayed_ack
            else:  # company comes more slowly than that
                self._ack_delay = min(2 * self._ack_delay, self._rtt.rto)
        if timers.loss <= now:
            timers.loss = NEVER
            self._on_loss_timer(now)
        if timers.retransmit <= now:
            timers.retransmit = NEVER
            self._on_retransmit_timer(now)
        if timers.persist <= now:
            timers.persist = NEVER
            self._on_persist_timer(now)
        if timers.keepalive <= now:
            timers.keepalive = NEVER
            self._on_keepalive_timer(now)
        if timers.end <= now:
            timers.end = NEVER
            self._on_end_timer(now)
        if timers.user <= now:
            timers.user = NEVER
            self._on_user_timer(now)

    def _on_retransmit_timer(self, now: Ns) -> None:
        """RFC 6298 (5.4) to (5.7)."""
        board, timers = self._board, self._timers
        if not board.in_flight and not board.reneged:  # what was lost has not left yet: the link had no room
            timers.retransmit = now + self._rtt.rto
            return
        self._troubled = True
        self._retransmits += 1
        synchronizing = self.snd_una == self.iss
        if synchronizing and isinstance(self._fast_open, ActiveFastOpen):
            self._fast_open.on_silence(now)
        limit = self.config.syn_retries if synchronizing else self.config.retries2
        if self._retransmits > limit and (synchronizing or not self.config.user_timeout):
            self._fail(Got.TIMEOUT, self._timed_out())
            return
        if self._retransmits >= self.config.retries1:
            self.path_suspect = True
        if self.snd_wnd == 0 and not synchronizing:  # the window closed: a probe, not congestion
            self._count_probe(now)
        else:
            if synchronizing:
                self._syn_retransmits += 1
            else:
                self._lose_on_timeout(now)
            if self.state is not State.SYN_SENT or self._syn_retransmits > self.config.syn_linear_timeouts:
                self._rtt.back_off()
            timers.retransmit = now + self._rtt.rto
        if synchronizing or self.snd_wnd == 0:
            self._recovery.on_timeout(self.snd_nxt)
            self._lose_all()
        self._output_due = True

    def _on_persist_timer(self, now: Ns) -> None:
        """RFC 9293 sections 3.8.6.1 and 3.8.6.2.1: use the window as it is, or probe a closed one. What leaves then is
        in flight like anything else: the retransmission timer repeats it."""
        self._output_due = True
        if self._ecn.pause_ends:  # it was for this that the data waited
            return
        self._override = True
        if self.snd_wnd == 0:
            self._count_probe(now)

    def _count_probe(self, now: Ns) -> None:
        """The intervals between probes double, SHLD-30."""
        self._troubled = True
        self._probes += 1
        self._timers.retransmit = now + min(self._rtt.rto << min(self._probes, 16), self.config.max_rto)

    def _on_keepalive_timer(self, now: Ns) -> None:
        """RFC 9293 section 3.8.4: only while nothing is outstanding, and never after a single silence."""
        idle_until = self._last_heard + self.config.keepalive_idle
        if self._board or self._snd_end > self.snd_nxt:  # other timers watch the peer
            self._timers.keepalive = now + self.config.keepalive_idle
            return
        if self._last_heard >= self._probed_at:
            self._keepalive_probes = 0
        if now < idle_until:
            self._timers.keepalive = idle_until
        elif self._keepalive_has_failed(now):
            self._reset(Got.TIMEOUT, self._timed_out(), now)
        else:
            self._keepalive_probes += 1
            self._probed_at = now
            self._reply(self._segment(self.snd_nxt - 1, ACK, now))
            self._timers.keepalive = now + self.config.keepalive_interval

    def _keepalive_has_failed(self, now: Ns) -> bool:
        """By the number of probes, or as in Linux when the silence has lasted for the user timeout."""
        if self.config.user_timeout:
            return self._keepalive_probes > 0 and now - self._last_heard >= self.config.user_timeout
        return self._keepalive_probes >= self.config.keepalive_count

    def _arm_keepalive(self) -> None:
        self._keepalive_probes = 0
        self._timers.keepalive = self._last_heard + self.config.keepalive_idle if self.config.keepalive else NEVER

    def _wait_for_progress(self, now: Ns) -> None:
        """From now on the user waits for the peer to take something, unless it does already."""
        if self.config.user_timeout and self._timers.user == NEVER:
            self._waiting_since = now
            self._timers.user = now + self.config.user_timeout

    def _on_user_timer(self, now: Ns) -> None:
        """USER TIMEOUT, RFC 9293 section 3.10.8. The answers to window probes are no progress: a user who sets a
        timeout does not want to wait for as long as the peer keeps its window closed."""
        due = self._waiting_since + self.config.user_timeout
        if now < due:
            self._timers.user = due
        else:
            self._fail(Got.TIMEOUT, self._timed_out())

    def _on_end_timer(self, now: Ns) -> None:
        """2 MSL is over, or nobody waits any more for what the peer does not do."""
        if self._time_wait is not None and now < self._time_wait.deadline:
            self._timers.end = self._time_wait.deadline  # a retransmitted FIN began the wait again
        elif self.state in _CLOSING:
            self._reset(Got.TIMEOUT, self._timed_out(), now)
        else:
            self._move(Got.TIMEOUT)

    def _watch_orphan(self, now: Ns) -> None:
        """A closed connection does not wait forever before a window that the peer keeps at zero."""
        if not self._orphan or self.state not in _CLOSING:
            return
        if self.snd_wnd or self.snd_una == self.iss:
            self._timers.end = NEVER
        elif self._timers.end == NEVER:
            self._timers.end = now + self.config.orphan_zero_window
