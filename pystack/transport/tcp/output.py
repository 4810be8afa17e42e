"""What may be sent now: acknowledgements, what was lost, new data as far as windows, Nagle and SWS avoidance let."""

from pystack.transport.tcp.ecn import ECT0, ECNMode
from pystack.transport.tcp.fastopen import ActiveFastOpen, PassiveFastOpen
from pystack.transport.tcp.scoreboard import Range
from pystack.transport.tcp.segment import ACK, CWR, ECE, FIN, PSH, SYN, URG, Segment
from pystack.transport.tcp.selective import Phase
from pystack.transport.tcp.state import State
from pystack.transport.tcp.tcb import TransmissionControlBlock
from pystack.transport.tcp.timers import NEVER
from pystack.units import MS, SECOND, US, Ns
from pystack.wire.seq import wrap

__all__ = ["Output"]

_CLOSED = State.CLOSED
_LISTEN = State.LISTEN
_SYN_SENT = State.SYN_SENT
_FIN_WAIT_1 = State.FIN_WAIT_1
_URGENT_MAX = 0xFFFF
_AHEAD = 64
"""Segments that wait in front of a turn's output at most before no more are added."""
_BURST = 0xFFFF
"""Octets of the longest burst that PSH ends."""
_SHORTER: Ns = 512 * US
"""Each of so much of the smallest round trip halves what is added to a burst for a path being short."""
_FAST = Phase.FAST


class Output(TransmissionControlBlock):
    """The sending side (RFC 9293 sections 3.7 and 3.8)."""

    __slots__ = ()

    def has_output(self, now: Ns) -> bool:
        """Whether `take_output` might give something. Cheap; True now and then for nothing."""
        return self._output_due

    def take_output(self, now: Ns, limit: int, tso: int = 0) -> list[Segment]:
        """At most `limit` segments, which count as sent at `now`.

        `tso`: new data may come in super-segments of up to so many octets of payload, `gso_size` set; 0: none. What
        was lost is always resent at the path's segment size.
        """
        out = self._replies
        if len(out) > limit:
            self._replies = out[limit:]
            self._segments_out += limit
            return out[:limit]
        self._replies = []
        if self.state is not _CLOSED and self.state is not _LISTEN:
            answers = len(out)
            if self.snd_una == self.iss:
                if len(out) < limit:
                    self._send_syn(out, now, limit)
                if self.fast_opened and self._snd_end > self.snd_nxt and not self._board.lost and len(out) < limit:
                    self._send_new(out, now, limit, tso)
                    self._timers.loss = NEVER  # the timer of the SYN-ACK watches over what follows it
            else:
                holding_back = self._frto.holds_back
                if (self._recovery.resend or self._board.lost) and not holding_back:
                    self._send_lost(out, now, limit)
                if self._probe.due and len(out) < limit:
                    self._send_probe(out, now)
                if self._snd_end > self.snd_nxt and (not self._board.lost or holding_back):
                    self._send_new(out, now, limit, tso)
                if holding_back and not self._board.in_flight and len(out) < limit:
                    self._frto.cancel()  # nothing new could leave: there would be nothing to wait for
                    self._send_lost(out, now, limit)
            if len(out) > answers:
                self._last_sent = now
                self._on_ack_sent()
            elif self._ack_due and len(out) < limit:
                out.append(self._acknowledgment(now))
                self._on_ack_sent()
        self._output_due = len(out) >= limit
        self._segments_out += len(out)
        return out

    def _send_allowed(self, now: Ns) -> None:
        """What earlier acknowledgements of this turn have allowed leaves before the next one is looked at, as if each
        had been answered at once. That one may tell of a loss: then the flight counts, from which the window is
        reduced, and nothing but what was lost would follow."""
        out = self._replies
        if self._snd_end > self.snd_nxt and not self._board.lost and len(out) < _AHEAD:
            answers = len(out)
            self._send_new(out, now, _AHEAD, 0)
            if len(out) > answers:
                self._last_sent = now
                self._on_ack_sent()

    def _send_syn(self, out: list[Segment], now: Ns, limit: int) -> None:
        """Our SYN, with our options, alone or with the ACK of the peer's. The first one may carry Fast Open's cookie
        and data; it goes again without them (RFC 7413 section 4.2.2)."""
        fast_open = None
        if self.snd_nxt == self.iss:
            if self.deferred and not len(self._send):
                return
            fast_open = self._fast_open
            self._board.on_sent(self.iss, self.iss + 1, 1, now)
            self.snd_nxt = self.iss + 1
        else:
            lost = self._board.next_lost(1)
            if lost is None or lost.start > self.iss:  # a lost FIN waits for the ACK of our SYN
                self._send_early_fin(out, now)
                return
            self._board.on_resent(now)
            self._total_retransmits += 1
        first = self.state is _SYN_SENT
        syn = Segment(
            wrap(self.iss),
            0 if first else wrap(self._receive.nxt),
            SYN if first else SYN | ACK,
            self._window.initial_field(),
            mss=self._advertised_mss,
            sack_permitted=self._sack,
        )
        syn.flags |= self._ecn_offer(first)
        if self._window_scaling:
            syn.window_scale = self._window.wanted_shift
        if self._timestamps:
            syn.ts_val, syn.ts_ecr = wrap(now // MS + self._ts_offset), 0 if first else self._ts_recent
        if isinstance(fast_open, PassiveFastOpen):
            syn.fast_open = fast_open.option
        elif fast_open is not None and first:
            syn.fast_open = fast_open.option
            self._load(syn, fast_open, now)
        out.append(syn)
        if self._timers.retransmit == NEVER:
            self._timers.retransmit = now + self._rtt.rto
        if len(out) < limit:
            self._send_early_fin(out, now)

    def _load(self, syn: Segment, fast_open: ActiveFastOpen, now: Ns) -> None:
        """Put data into the SYN, as much as the server takes (RFC 7413 section 4.1.3)."""
        start = self.snd_nxt
        size = min(len(self._send), min(fast_open.mss, self._path_mss) - syn.options_octets)
        if size <= 0:
            return
        syn.payload, syn.length = self._send.slices(start, size), size
        fast_open.sent = size
        self._board.on_sent(start, start + size, size, now)
        self.snd_nxt += size

    def _ecn_offer(self, first: bool) -> int:
        """The flags that offer ECN, or accept it (RFC 3168 section 6.1.1). A SYN that went unanswered goes again
        without: something on the path may not like it."""
        if not first:
            return ECE if self._ecn.on else 0
        return ECE | CWR if self.config.ecn is ECNMode.ON and not self._syn_retransmits else 0

    def _send_early_fin(self, out: list[Segment], now: Ns) -> None:
        """Closed in SYN-RECEIVED with no data: the FIN does not wait for the ACK of our SYN (section 3.10.4)."""
        if self.state is _FIN_WAIT_1 and self.snd_nxt == self._send.end and not self._board.lost:
            self._board.on_sent(self.snd_nxt, self.snd_nxt + 1, 1, now)
            out.append(self._segment(self.snd_nxt, ACK | FIN, now))
            self.snd_nxt += 1

    def _send_lost(self, out: list[Segment], now: Ns, limit: int) -> None:
        """What recovery or the timer wants sent again, within the window that the peer offers now (RFC 9293 section
        3.8.6, SHLD-16): at least the first octet, which probes a closed one."""
        board, recovery, mss = self._board, self._recovery, self.snd_mss
        right = self.snd_una + self.snd_wnd
        if recovery.resend and len(out) < limit:
            recovery.resend = False
            again = board.resend_first(max(1, min(mss, right - self.snd_una)), now)
            if again is not None:
                self._resend(out, again, now)
        allowed = self.congestion.cwnd + recovery.inflation
        while board.lost and len(out) < limit:
            lost = board.next_lost(mss)
            if lost is not None and lost.end > right:
                if lost.start >= right and lost.start > self.snd_una:
                    break
                lost = board.next_lost(max(1, right - lost.start))
            if lost is None:
                break
            if board.in_flight + lost.end - lost.start > allowed and board.in_flight and not self._resend_due:
                self._cwnd_limited = True
                break
            self._resend_due = False
            board.on_resent(now)
            self._resend(out, lost, now)

    def _resend(self, out: list[Segment], again: Range, now: Ns) -> None:
        self._total_retransmits += 1
        self._undo.on_resent(1, now)
        self._frto.on_resent(again.end)
        self._watchful = True
        if self._selective.reducing:
            self._selective.on_sent(again.end - again.start)
        end = self._send.end
        size = min(again.end, end) - again.start
        self._octets_resent += size
        self._data_segments_out += size > 0
        out.append(self._fill(self._segment(again.start, ACK, now), again.start, size, fin=again.end > end))
        first = again.start == self.snd_una and self._selective.phase is _FAST
        if self._timers.retransmit == NEVER or first:  # RFC 6675 section 6: the timer may start again with it
            self._timers.retransmit = now + self._rtt.rto

    def _send_probe(self, out: list[Segment], now: Ns) -> None:
        """A tail loss probe: one new segment if there is one, or the last one again (RFC 8985 section 7.3)."""
        board, mss, nxt = self._board, self.snd_mss, self.snd_nxt
        size = min(self._send.end - nxt, mss, self.snd_una + self.snd_wnd - nxt)
        if size > 0:
            flags = ACK | PSH if (self._rtt.srtt or 0) < self.config.delayed_ack else ACK  # docs/deviations.md
            out.append(self._fill(self._segment(nxt, flags, now), nxt, size, fin=False))
            board.on_sent(nxt, nxt + size, size, now)
            self.snd_nxt += size
            self._data_segments_out += 1
            if size < mss:
                self._snd_small = self.snd_nxt
        else:
            again = board.resend_last(mss, now)
            if again is None:
                self._probe.cancel()
                return
            self._resend(out, again, now)
        self._probe.on_sent(self.snd_nxt, is_retransmission=size <= 0)
        self._rtt.fresh = False
        self._watchful = True
        self._timers.retransmit = now + self._rtt.rto

    def _arm_loss_timer(self, now: Ns, *, probe: bool = True) -> None:
        """RACK's reordering timer, or that of the tail loss probe where `probe` allows one (RFC 8985 section 8)."""
        board, timers, rack = self._board, self._timers, self._rack
        due = NEVER
        if board.sacked or self._selective.recovering:
            suspect = board.suspect
            if suspect is not None and suspect + rack.rtt + rack.value > now:
                due = suspect + rack.rtt + rack.value
                timers.retransmit = max(timers.retransmit, due)
        elif probe:
            self._arm_probe(now)
            return
        else:
            due = timers.loss
        timers.loss = due

    def _arm_probe(self, now: Ns) -> None:
        """The timer of the tail loss probe (RFC 8985 section 7.2)."""
        in_flight, timers = self._board.in_flight, self._timers
        if in_flight and self.snd_wnd and self._probe.end is None and self.config.loss_probe:
            due = now + self._probe.timeout(self._rtt.srtt, in_flight <= self.snd_mss, self.config.min_rto)
            timers.loss = min(due, timers.retransmit)
        else:
            timers.loss = NEVER

    def _send_new(self, out: list[Segment], now: Ns, limit: int, tso: int) -> None:
        """Data not sent before, and FIN behind it."""
        send, board, mss = self._send, self._board, self.snd_mss
        if self._ecn.pause_ends:
            if now < self._ecn.pause_ends:
                self._timers.persist = self._ecn.pause_ends
                return
            self._ecn.pause_ends = 0
        if not board and self.config.slow_start_after_idle:
            self._restart(now)
        if self._data_segments_in and now - self._last_text < self._ack_delay:  # we answer what comes
            self._interactive = True
        window = self.snd_una + self.snd_wnd - self.snd_nxt
        holding_back = self._frto.holds_back
        if holding_back:
            allowed = self._frto.allowance
        else:
            allowed = self.congestion.cwnd + self._recovery.inflation - board.in_flight
        head = self._segment(self.snd_nxt, ACK, now)
        if self._sack and self._receive.beyond.octets:
            head.sack = self._sack_blocks()
            mss -= head.sack_octets
        largest = tso - tso % mss if tso > mss else mss
        if self._ecn.cwr_due:
            largest = mss  # a super-segment's flags would be repeated in each segment
        start = entered = self.snd_nxt
        flags, parts = head.flags, 0
        before = first = len(out)
        while len(out) < limit:
            unsent = send.end - self.snd_nxt
            size = min(unsent, window, allowed, largest)
            if size >= mss:
                size -= size % mss
            elif not self._may_send_short(size, unsent, window):
                break
            elif size < 1:  # the override timer probes a closed window
                size = min(unsent, 1)
            fin = self._fin_due and size == unsent and (window > size or self._override)
            if not size and not fin:
                break
            segment = head
            if self.snd_nxt > start:
                segment = Segment(wrap(self.snd_nxt), head.ack, flags, head.window, (), 0, head.ts_val, head.ts_ecr)
                segment.sack = head.sack
            self._fill(segment, self.snd_nxt, size, fin=fin)
            if size > mss:
                segment.gso_size = mss
                segment.flags |= PSH
                parts += size // mss - 1
            if self._ecn.marks and size and not self._override:
                self._mark_capable(segment)
            out.append(segment)
            last = fin or (size == unsent and not self._fin_due)
            size += fin
            if size < mss or fin:  # full ones are entered together
                self._snd_small = self.snd_nxt + size
                if self.snd_nxt > entered:
                    board.on_sent(entered, self.snd_nxt, mss, now)
                entered = self.snd_nxt + size
                board.on_sent(self.snd_nxt, entered, min(size, mss), now)
            self.snd_nxt += size
            window -= size
            allowed -= size
            self._override = False
            if last:
                before += fin and size == 1  # no data segment
                break
        if self.snd_nxt > entered:
            board.on_sent(entered, self.snd_nxt, mss, now)
        sent = self.snd_nxt - start
        if sent > mss and largest == mss:
            self._push_bursts(out, first, mss)
        self._segments_out += parts
        self._data_segments_out += len(out) - before + parts
        if sent and self._selective.reducing:
            self._selective.on_sent(sent)
        if holding_back:
            self._frto.allowance -= sent
        left = self._snd_end - self.snd_nxt
        self._note_use(full=allowed < mss)
        self._watch_over_data(sent > 0, left > 0 and len(out) < limit, now)

    def _note_use(self, *, full: bool) -> None:
        """How much of the congestion window the round trip uses, at its fullest (RFC 7661 section 4.2)."""
        in_flight = self._board.in_flight
        if full or self.snd_una >= self._window_end or (not self._cwnd_limited and in_flight > self._most_in_flight):
            self._cwnd_limited, self._most_in_flight, self._window_end = full, in_flight, self.snd_nxt

    def _restart(self, now: Ns) -> None:
        """After a silence of more than the retransmission timeout the window is not believed any more, from one timeout
        to the next less so."""
        idle = now - self._last_sent - self._rtt.rto
        while idle > 0:
            window = self.congestion.cwnd
            self.congestion.on_idle(now)
            if self.congestion.cwnd == window:
                break
            idle -= self._rtt.rto

    def _push_bursts(self, out: list[Segment], first: int, mss: int) -> None:
        """PSH where Linux would end a super-segment, and so set it: after about a millisecond of the rate at which the
        window is sent, or more on a short path, but never less than two segments or more than half of the window."""
        cwnd, rtt = self.congestion.cwnd, self._rtt
        octets = _BURST
        if rtt.srtt and rtt.minimum is not None:
            percent = 200 if cwnd < self.congestion.ssthresh // 2 else 120
            octets = percent * cwnd * SECOND // (102_400 * rtt.srtt) + (_BURST >> rtt.minimum // _SHORTER)
        burst = max(1, min(max(2, min(octets, _BURST) // mss), cwnd // (2 * mss)))
        for last in range(first + burst - 1, len(out) - 1, burst):
            if burst > 1:
                out[last].flags |= PSH
        if (len(out) - first - 1) % burst:
            out[-1].flags |= PSH

    def _watch_over_data(self, sent: bool, held_back: bool, now: Ns) -> None:
        """The timers after an attempt to send. `held_back`: the window rules keep data here, not the link."""
        timers = self._timers
        if self._board:
            timers.persist = NEVER
            if timers.retransmit == NEVER:
                timers.retransmit = now + self._rtt.rto
            if sent and self._sack:
                self._arm_loss_timer(now)
        elif held_back and timers.persist == NEVER:
            timers.persist = now + self._rtt.rto

    def _may_send_short(self, size: int, unsent: int, window: int) -> bool:
        """Whether less than a full segment may leave: sender's silly-window avoidance (RFC 9293 section 3.8.6.2.1),
        Nagle (3.7.4) in Minshall's form (appendix A.3), the user's cork. Every call of the user pushes its data."""
        if self._override:
            return True
        if size < 0:
            return False
        if self.snd_nxt < self._pushed or self.snd_nxt < self.snd_up:
            idle = True
        elif self.config.cork or self._more_follows:
            idle = False
        else:
            idle = self.config.nodelay or self._snd_small <= self.snd_una
        if size == unsent:  # (2): all of it; nothing will come after a FIN that would be worth waiting for
            return idle or self._fin_due
        return size > 0 and idle and size == window and 2 * size >= self._max_snd_wnd  # (3)

    def _fill(self, segment: Segment, seq: int, size: int, *, fin: bool) -> Segment:
        """`segment`, which begins at `seq`, with `size` octets of the stream, and FIN behind them."""
        send = self._send
        if size:
            segment.payload = send.slices(seq, size)
            segment.length = size
            if seq + size == send.end:
                segment.flags |= PSH
        if fin:
            segment.flags |= FIN
        if self.snd_up > seq:
            segment.flags |= URG
            segment.urgent = min(self.snd_up - seq, _URGENT_MAX)
        return segment

    def _mark_capable(self, segment: Segment) -> None:
        """New data may be marked on its way, and says that the window was reduced (RFC 3168 sections 6.1.2, 6.1.5)."""
        segment.ecn = ECT0
        if self._ecn.cwr_due:
            self._ecn.cwr_due = False
            segment.flags |= CWR
