"""What an acceptable ACK field, the window and the SACK option beside it mean for what was sent (RFC 9293 section
3.10.7.4, fifth step)."""

from pystack.transport.tcp.frto import Verdict
from pystack.transport.tcp.sackoption import Block, split_duplicate
from pystack.transport.tcp.segment import ECE, FIN, SYN, Segment
from pystack.transport.tcp.selective import Phase
from pystack.transport.tcp.sendbuffer import room_for
from pystack.transport.tcp.timeouts import Timeouts
from pystack.transport.tcp.timers import NEVER
from pystack.units import MS, Ns
from pystack.wire.seq import before, unwrap, wrap

__all__ = ["Acknowledgment"]


class Acknowledgment(Timeouts):
    """The sending side hears from the peer."""

    __slots__ = ()

    def _take_ack(self, seg: Segment, seq: int, ack: int, now: Ns) -> None:
        """SND.UNA <= SEG.ACK <= SND.NXT: forget what is acknowledged, learn of losses, learn the window."""
        if self._watchful or seg.sack:
            self._take_watched_ack(seg, ack, now)
        elif ack > self.snd_una:
            self._advance(ack, now)
        elif not self._sack and not seg.length and self._board and self._is_duplicate(seg):
            self._take_watched_ack(seg, ack, now)
        if self.snd_wl1 < seq or (self.snd_wl1 == seq and self.snd_wl2 <= ack):
            self._update_window(seg, seq, ack, now)

    def _is_duplicate(self, seg: Segment) -> bool:
        """RFC 5681 section 2, but for what the caller knows: data is outstanding, no payload, ACK is SND.UNA."""
        return not seg.flags & (SYN | FIN) and seg.window << self._snd_scale == self.snd_wnd != 0

    def _update_window(self, seg: Segment, seq: int, ack: int, now: Ns) -> None:
        self.snd_wl1 = seq
        self.snd_wl2 = ack
        window = seg.window << self._snd_scale
        if window == self.snd_wnd:
            if not window:  # a probe was answered
                self._retransmits = 0
            elif self._snd_end > self.snd_nxt:
                self._output_due = True
            return
        closed, self.snd_wnd = not self.snd_wnd, window
        if window > self._max_snd_wnd:
            self._max_snd_wnd = window
        if closed and self._probes and self._board:  # the probe was not taken, or this ACK would say so
            self._lose_all()
        if window:
            self._probes = 0
            self._timers.persist = NEVER
            self._output_due = True
        self._watch_orphan(now)

    def _advance(self, ack: int, now: Ns) -> None:
        """New octets are acknowledged, and nothing is amiss."""
        board, timers, send = self._board, self._timers, self._send
        acked = ack - self.snd_una
        rtt = now - board.advance(ack)
        self._rtt.sample(rtt, now)
        self._rack.rtt = rtt
        self.snd_una = ack
        self._last_advance = acked
        self._waiting_since = now
        send.acknowledge(min(ack, send.end))
        if self._troubled:
            self._forget_trouble()
        if self._cwnd_limited or self._outgrows_window():
            self.congestion.on_ack(acked, rtt, now)
            self._grow_send_buffer()
        if board.in_flight:
            self._output_due = True
            timers.retransmit = now + self._rtt.rto
            if self._sack:
                self._arm_probe(now)
        else:
            timers.retransmit = timers.loss = NEVER
            self._on_all_acknowledged()

    def _outgrows_window(self) -> bool:
        """Slow start ends at twice what was in flight, though the window was not full (RFC 7661 section 4.3)."""
        cwnd = self.congestion.cwnd
        return cwnd < self.congestion.ssthresh and cwnd < 2 * self._most_in_flight

    def _on_all_acknowledged(self) -> None:
        """Nothing is in flight any more."""
        if self._snd_end > self.snd_nxt:
            self._more_follows = False  # as in Linux, where MSG_MORE holds back what its own call would send
            self._output_due = True
        else:
            self._timers.user = NEVER

    def _forget_acknowledged(self, ack: int, acked: int, now: Ns) -> None:
        self.snd_una = ack
        self._last_advance = acked
        self._waiting_since = now
        send = self._send
        send.acknowledge(min(ack, send.end))
        if self._troubled:
            self._forget_trouble()

    def _forget_trouble(self) -> None:
        self._troubled = self.path_suspect = False
        self._retransmits = self._probes = 0
        self.soft_error = None

    def _measure(self, seg: Segment, now: Ns) -> Ns | None:
        """Take a round trip from what the acknowledgement at hand has told the scoreboard."""
        board, rtt = self._board, self._rtt
        sample: Ns | None = None
        if board.again:
            sample = self._echoed_rtt(seg, now - board.latest, now)
        elif board.once:
            sample = now - board.latest
        if sample is None and board.sampled >= 0:
            sample = now - board.sampled
        if sample is not None:
            rtt.sample(sample, now)
        return sample

    def _echoed_rtt(self, seg: Segment, since_resent: Ns, now: Ns) -> Ns | None:
        """RFC 7323 section 4: the echo says which transmission is acknowledged. Of an earlier one than the last it says
        little: it may be the answer to a duplicate, which echoes what came in order before it."""
        if not self._timestamps:
            return None
        rtt = wrap(now // MS + self._ts_offset - seg.ts_ecr) * MS
        return rtt if rtt <= since_resent + MS else None

    def _grow_send_buffer(self) -> None:
        """As far as the window, or the initial one, asks for it."""
        send, config = self._send, self.config
        if send.limit < config.send_buffer_max and self._send_autotuning and self.may_grow:
            mss = self.snd_mss
            segments = max(self.congestion.cwnd // mss, config.initial_window)
            send.limit = max(send.limit, min(room_for(segments, mss), config.send_buffer_max))

    # While something is, or may be, amiss

    def _take_watched_ack(self, seg: Segment, ack: int, now: Ns) -> None:
        """An acknowledgement, new or not, during recovery, with SACK blocks, or after something was sent again."""
        board = self._board
        if seg.sack and self._output_due and self._selective.phase is Phase.OPEN:
            self._send_allowed(now)
        echo = seg.flags & (ECE | SYN) == ECE and self._ecn.on
        if echo:
            self._cwnd_limited, self._most_in_flight = False, 0  # RFC 3168 section 6.1.2: it makes no window grow
        acked = ack - self.snd_una
        delivered = board.delivered
        recent = now - (self._rtt.minimum or 0)
        duplicate_ack = not acked and not seg.length and bool(board) and self._is_duplicate(seg)
        board.begin()
        if acked > 0:
            board.acknowledge(ack, min(recent, self._echoed_until(seg, now)) if board.resent else recent)
            self._forget_acknowledged(ack, acked, now)
        duplicate = self._take_blocks(seg, ack, recent) if seg.sack and self._sack else None
        delivered = board.delivered - delivered
        rtt = self._measure(seg, now)
        if acked > 0 or delivered or duplicate_ack or duplicate is not None:
            most = self._look_for_spurious(seg, acked, delivered, duplicate, duplicate_ack, rtt, now)
            if self._sack:
                self._recover_selectively(seg, ack, acked, delivered, duplicate, duplicate_ack, rtt, now)
            else:
                self._recover_by_duplicates(ack, acked, duplicate_ack, rtt, now)
            if most is not None and self.congestion.cwnd > most:
                self.congestion.cwnd = most
        if echo:
            self._take_echo(acked, delivered, now)
        self._rearm(acked, now)
        self._watchful = self._is_amiss()

    def _is_amiss(self) -> bool:
        board, recovery, undo = self._board, self._recovery, self._undo
        return bool(
            board.sacked
            or board.lost
            or board.resent
            or recovery.active
            or recovery.dup_acks
            or self._selective.phase is not Phase.OPEN
            or self._probe.end is not None
            or self._frto.active
            or undo.awaits_echo
            or undo.adapts_beyond is not None
        )

    def _echoed_until(self, seg: Segment, now: Ns) -> Ns:
        """What left later than this is not what moved SND.UNA (RFC 8985 section 6.2, step 2). Of what arrived beyond a
        gap the echo says nothing: the peer goes on to echo what came in order (RFC 7323 section 4.3)."""
        if not self._timestamps:
            return now
        echoed = now // MS - wrap(now // MS + self._ts_offset - seg.ts_ecr)
        return (echoed + 1) * MS - 1

    def _take_blocks(self, seg: Segment, ack: int, trusted: Ns) -> Block | None:
        """Enter the SACK blocks into the scoreboard; `trusted` as there. Returns the one that reports a duplicate, if
        any."""
        una, nxt = self.snd_una, self.snd_nxt
        blocks = []
        for left, right in seg.sack:
            start = unwrap(left, una)
            end = start + wrap(right - left)
            if start < end <= nxt and start >= una - self._max_snd_wnd:
                blocks.append((start, end))
        duplicate, blocks = split_duplicate(blocks, ack)
        for start, end in sorted(blocks):
            if end > una:
                self._board.sack(max(start, una), end, trusted)
        return duplicate

    def _look_for_spurious(
        self,
        seg: Segment,
        acked: int,
        delivered: int,
        duplicate: Block | None,
        duplicate_ack: bool,
        rtt: Ns | None,
        now: Ns,
    ) -> int | None:
        """Whether a reduction was for nothing: DSACK, the Eifel detection (RFC 3522), F-RTO. Returns what the window
        must not exceed after this acknowledgement, if anything."""
        undo, board, frto = self._undo, self._board, self._frto
        spurious = False
        most: int | None = None
        if duplicate is not None:
            self._dsacks += 1
            self._rack.on_dsack(self.snd_una, self.snd_nxt)
            if duplicate[1] != self._probe.end:
                spurious = undo.on_dsack(*duplicate, self.snd_mss)
        if acked > 0 and undo.awaits_echo and undo.first_resend is not None:
            resent = wrap(undo.first_resend // MS + self._ts_offset)
            if undo.on_echo(self._timestamps and before(seg.ts_ecr, resent)):
                spurious = True
                self._rack.seen += not undo.timed_out
        if frto.active and (acked > 0 or delivered or duplicate_ack):
            holding = frto.holds_back
            verdict = frto.on_ack(
                self.snd_una,
                self.snd_nxt,
                max(board.fack, self.snd_una),
                self.snd_mss,
                advances=acked > 0,
                arrived=delivered > 0,
                original=board.once or board.sampled >= 0,
                selective=self._sack,
                may_send=self._snd_end > self.snd_nxt < self.snd_una + self.snd_wnd,
            )
            if verdict is Verdict.SPURIOUS:
                spurious = True
            elif verdict is Verdict.GENUINE:  # one round trip has passed, or two
                most = (3 if holding else 2) * self.snd_mss
        if spurious and undo.before is not None and not (seg.flags & ECE and self._ecn.on):
            self._undo_reduction(now)
            most = None
        if undo.adapts_beyond is not None and self.snd_una > undo.adapts_beyond and rtt is not None:
            self._rtt.adapt(rtt, undo.srtt or 0, undo.rttvar)
            undo.adapts_beyond = None
        return most

    def _recover_selectively(
        self,
        seg: Segment,
        ack: int,
        acked: int,
        delivered: int,
        duplicate: Block | None,
        duplicate_ack: bool,
        rtt: Ns | None,
        now: Ns,
    ) -> None:
        """RFC 8985 sections 6.2 and 7.4, RFC 6937."""
        board, selective, rack = self._board, self._selective, self._rack
        if board.newest >= 0:
            rack.rtt = now - board.newest
        rack.seen += board.reordered
        dsack_end = None if duplicate is None else duplicate[1]
        if self._probe.on_ack(ack, dsack_end=dsack_end, bare_duplicate=duplicate_ack and not seg.sack):
            self._on_probe_repair(acked, now)
        if selective.phase is not Phase.OPEN and self.snd_una >= selective.high:
            if selective.phase is not Phase.REDUCING:
                rack.on_recovered()
            selective.finish(board.in_flight, now)
        pipe = board.in_flight + board.lost + delivered
        losses = self._detect_losses(now)
        if losses:
            self._on_losses(pipe, now, acked)
        if selective.reducing:
            selective.reduce(delivered, board.in_flight, safe=acked > 0 and not losses)
        elif acked > 0 and (self._cwnd_limited or self._outgrows_window()):
            self.congestion.on_ack(delivered, rtt, now)
            self._grow_send_buffer()

    def _recover_by_duplicates(self, ack: int, acked: int, duplicate_ack: bool, rtt: Ns | None, now: Ns) -> None:
        """Without SACK: RFC 5681 section 3.2, RFC 6582."""
        recovery, board, congestion, undo = self._recovery, self._board, self.congestion, self._undo
        if acked > 0:
            if recovery.active or recovery.dup_acks:
                recovery.on_advance(ack, acked, board.in_flight, now)
            elif self._cwnd_limited or self._outgrows_window():
                congestion.on_ack(acked, rtt, now)
                self._grow_send_buffer()
        elif duplicate_ack:
            before_loss = congestion.snapshot()
            flight = min(board.in_flight, congestion.cwnd)  # without what limited transmit has added
            if recovery.on_duplicate(ack, self.snd_nxt, flight, self._last_advance, now):
                undo.begin(before_loss, ack, self._rtt.srtt, self._rtt.rttvar, timed_out=False)
                self._ecn.on_reduced(self.snd_nxt)

    def _take_echo(self, acked: int, delivered: int, now: Ns) -> None:
        """The acknowledgement carries ECE (RFC 3168 section 6.1.2)."""
        ecn, board, congestion = self._ecn, self._board, self.congestion
        ecn.delivered_ce += delivered
        if self._recovery.active or self._selective.phase is not Phase.OPEN:
            return
        if not ecn.on_echo(self.snd_una, self.snd_nxt):
            return
        if congestion.cwnd < 2 * congestion.smss:
            self._timers.retransmit = ecn.pause_ends = now + self._rtt.rto
        if not self._sack:
            congestion.on_ecn(self._flight(acked), now)
        else:
            self._reduce(Phase.REDUCING, board.in_flight + board.lost + delivered, now, acked)
            self._selective.reduce(delivered, board.in_flight, safe=False)

    def _rearm(self, acked: int, now: Ns) -> None:
        board, recovery, timers = self._board, self._recovery, self._timers
        if not board:
            timers.retransmit = timers.loss = NEVER
            self._on_all_acknowledged()
        else:
            if acked > 0 and (not recovery.active or recovery.partial_acks <= 1):  # RFC 6582: only the first partial
                timers.retransmit = now + self._rtt.rto
            if self._sack:
                self._arm_loss_timer(now, probe=acked > 0)
            self._output_due = True
