"""What may be sent now: acknowledgements, what was lost, new data as far as windows, Nagle and SWS avoidance let."""

from pystack.transport.tcp.retransmit import Range
from pystack.transport.tcp.segment import ACK, FIN, PSH, SYN, URG, Segment
from pystack.transport.tcp.state import State
from pystack.transport.tcp.tcb import TransmissionControlBlock
from pystack.transport.tcp.timers import NEVER
from pystack.units import MS, Ns
from pystack.wire.seq import wrap

__all__ = ["Output"]

_CLOSED = State.CLOSED
_LISTEN = State.LISTEN
_SYN_SENT = State.SYN_SENT
_FIN_WAIT_1 = State.FIN_WAIT_1
_URGENT_MAX = 0xFFFF


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
            return out[:limit]
        self._replies = []
        if self.state is not _CLOSED and self.state is not _LISTEN:
            answers = len(out)
            if self.snd_una == self.iss:
                self._send_syn(out, now)
            else:
                if self._recovery.resend or self._queue.lost:
                    self._send_lost(out, now, limit)
                if self._snd_end > self.snd_nxt and not self._queue.lost:
                    self._send_new(out, now, limit, tso)
            if len(out) > answers:
                self._last_sent = now
                self._on_ack_sent()
            elif self._ack_due and len(out) < limit:
                out.append(self._segment(self._control_seq, ACK, now))
                self._on_ack_sent()
        self._output_due = len(out) >= limit
        return out

    def _send_syn(self, out: list[Segment], now: Ns) -> None:
        """Our SYN, with our options, alone or with the ACK of the peer's."""
        if self.snd_nxt == self.iss:
            self._queue.on_sent(self.iss, self.iss + 1, now)
            self.snd_nxt = self.iss + 1
        elif self._queue.next_lost(1) is not None:
            self._queue.on_resent(now)
            self._total_retransmits += 1
        else:
            self._send_early_fin(out, now)
            return
        first = self.state is _SYN_SENT
        syn = Segment(
            wrap(self.iss),
            0 if first else wrap(self._receive.nxt),
            SYN if first else SYN | ACK,
            self._window.initial_field(),
            mss=self._advertised_mss,
        )
        if self._window_scaling:
            syn.window_scale = self._window.wanted_shift
        if self._timestamps:
            syn.ts_val, syn.ts_ecr = wrap(now // MS + self._ts_offset), 0 if first else self._ts_recent
        out.append(syn)
        if self._timers.retransmit == NEVER:
            self._timers.retransmit = now + self._rtt.rto

    def _send_early_fin(self, out: list[Segment], now: Ns) -> None:
        """Closed in SYN-RECEIVED with no data: the FIN does not wait for the ACK of our SYN (section 3.10.4)."""
        if self.state is _FIN_WAIT_1 and self.snd_nxt == self._send.end and not self._queue.lost:
            self._queue.on_sent(self.snd_nxt, self.snd_nxt + 1, now)
            out.append(self._segment(self.snd_nxt, ACK | FIN, now))
            self.snd_nxt += 1

    def _send_lost(self, out: list[Segment], now: Ns, limit: int) -> None:
        """What recovery or the timer wants sent again, within the window that the peer offers now (RFC 9293 section
        3.8.6, SHLD-16): at least the first octet, which probes a closed one."""
        queue, recovery, mss = self._queue, self._recovery, self.snd_mss
        right = self.snd_una + self.snd_wnd
        if recovery.resend and len(out) < limit:
            recovery.resend = False
            again = queue.resend_first(max(1, min(mss, right - self.snd_una)), now)
            if again is not None:
                self._resend(out, again, now)
        allowed = self.congestion.cwnd + recovery.inflation
        while queue.lost and len(out) < limit:
            lost = queue.next_lost(mss)
            if lost is not None and lost.end > right:
                if lost.start >= right and lost.start > self.snd_una:
                    break
                lost = queue.next_lost(max(1, right - lost.start))
            if lost is None or (queue.in_flight and queue.in_flight + lost.end - lost.start > allowed):
                self._cwnd_limited = True
                break
            queue.on_resent(now)
            self._resend(out, lost, now)

    def _resend(self, out: list[Segment], again: Range, now: Ns) -> None:
        self._total_retransmits += 1
        end = self._send.end
        size = min(again.end, end) - again.start
        out.append(self._data_segment(self._segment(again.start, ACK, now), again.start, size, again.end > end))
        if self._timers.retransmit == NEVER:
            self._timers.retransmit = now + self._rtt.rto

    def _send_new(self, out: list[Segment], now: Ns, limit: int, tso: int) -> None:
        """Data not sent before, and FIN behind it."""
        send, queue, mss = self._send, self._queue, self.snd_mss
        if not queue and now - self._last_sent > self._rtt.rto:
            self.congestion.on_idle(now)
        if self._last_ack_sent != self._receive.nxt:  # we answer: from now on an ACK may wait for the answer
            self._quick_acks = 0
        largest = tso - tso % mss if tso > mss else mss
        window = self.snd_una + self.snd_wnd - self.snd_nxt
        allowed = self.congestion.cwnd + self._recovery.inflation - queue.in_flight
        head = self._segment(self.snd_nxt, ACK, now)
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
            segment = self._data_segment(head, self.snd_nxt, size, fin)
            if size > mss:
                segment.gso_size = mss
            out.append(segment)
            size += fin
            queue.on_sent(self.snd_nxt, self.snd_nxt + size, now)
            self.snd_nxt += size
            window -= size
            allowed -= size
            self._override = False
            if fin:
                break
        left = self._snd_end - self.snd_nxt
        self._cwnd_limited = allowed < mss or (left > 0 and 2 * queue.in_flight >= self.congestion.cwnd)
        timers = self._timers
        if queue:
            timers.persist = NEVER
            if timers.retransmit == NEVER:
                timers.retransmit = now + self._rtt.rto
        elif left and timers.persist == NEVER and len(out) < limit:
            timers.persist = now + self._rtt.rto

    def _may_send_short(self, size: int, unsent: int, window: int) -> bool:
        """Whether less than a full segment may leave: sender's silly-window avoidance (RFC 9293 section 3.8.6.2.1) and
        Nagle (3.7.4). Data is taken as pushed by every call of the user."""
        if self._override:
            return True
        if size < 0:
            return False
        idle = self.config.nodelay or self.snd_una == self.snd_nxt
        if size == unsent:  # (2): all of it; nothing will come after a FIN that would be worth waiting for
            return idle or self._fin_due
        return size > 0 and idle and size == window and 2 * size >= self._max_snd_wnd  # (3)

    def _data_segment(self, head: Segment, seq: int, size: int, fin: bool) -> Segment:
        """`size` octets of the stream from `seq` on; what it acknowledges and offers is `head`'s."""
        send = self._send
        flags = ACK | FIN if fin else ACK
        if size and seq + size == send.end:
            flags |= PSH
        payload = send.slices(seq, size) if size else ()
        segment = Segment(wrap(seq), head.ack, flags, head.window, payload, size, head.ts_val, head.ts_ecr)
        if self.snd_up > seq:
            segment.flags |= URG
            segment.urgent = min(self.snd_up - seq, _URGENT_MAX)
        return segment
