"""SEGMENT ARRIVES (RFC 9293 section 3.10.7), one method for each of its steps, in its order."""

import errno
import logging
from typing import Final

from typing_extensions import Buffer

from pystack.errors import PeerReset, os_error
from pystack.transport.tcp.acknowledgment import Acknowledgment
from pystack.transport.tcp.ecn import CE, ECNMode
from pystack.transport.tcp.fastopen import ActiveFastOpen
from pystack.transport.tcp.reassembly import cut
from pystack.transport.tcp.segment import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG, Segment, reset_for
from pystack.transport.tcp.state import Got, State
from pystack.transport.tcp.tcb import TIMESTAMPS_OCTETS
from pystack.transport.tcp.timers import NEVER
from pystack.transport.tcp.timewait import TimeWait
from pystack.units import MS, SECOND, Ns
from pystack.wire.seq import before, unwrap, wrap

__all__ = ["Arrival"]

logger = logging.getLogger("pystack.tcp")

_CLOSED: Final = State.CLOSED
_LISTEN: Final = State.LISTEN
_SYN_SENT: Final = State.SYN_SENT
_SYN_RECEIVED: Final = State.SYN_RECEIVED
_ESTABLISHED: Final = State.ESTABLISHED
_FIN_WAIT_2: Final = State.FIN_WAIT_2
_TIME_WAIT: Final = State.TIME_WAIT
_RECEIVING = (State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2)

_PAWS_IDLE: Ns = 24 * 86400 * SECOND
_MAX_SHIFT = 14
_TELLING = 3
"""So many segments beyond a gap, reported, let the peer take what is missing for lost (RFC 6675, DupThresh)."""
_DOUBLED = 4
"""A loss makes acknowledgements come in pairs for so many times as long as it makes them quick."""
_SHARE = 3
"""The first of a pair covers one part in so many of what came together before."""
_RTO_AFTER_SYN_LOSS: Ns = 3 * SECOND
_LONGEST_ACK_DELAY: Ns = 200 * MS
_SYN_AGAIN: Ns = 2 * MS
"""When a peer that was not in sync has had time to take our reset."""


class Arrival(Acknowledgment):
    """The receiving side. Nothing that a peer sends raises."""

    __slots__ = ()

    def on_segment(self, seg: Segment, now: Ns, *, takes_text: bool = True) -> None:
        """Take one segment of this connection. Answers wait in `take_output`. Unless it `takes_text`, for which there
        is no memory, the rest of the segment counts, and the peer sends the text and what is behind it again."""
        self._last_heard = now
        self._segments_in += 1
        state = self.state
        simple = state is _ESTABLISHED or (state is _FIN_WAIT_2 and not (self._orphan or self.deaf))
        if simple and takes_text and self._predicted(seg, now):
            return
        if state is _CLOSED:
            self._in_closed(seg)
        elif state is _LISTEN:
            self._in_listen(seg, now)
        elif state is _SYN_SENT:
            self._in_syn_sent(seg, now)
        elif state is _TIME_WAIT:
            self._in_time_wait(seg, now)
        else:
            seq = unwrap(seg.seq, self._receive.nxt)
            if (
                self._check_paws(seg, seq, now)
                and self._check_sequence(seg, seq, now)
                and self._check_rst(seg, seq, now)
                and self._check_syn(seg, seq, now)
                and self._check_ack(seg, seq, now)
                and takes_text
            ):
                self._process_content(seg, seq, now)

    def _predicted(self, seg: Segment, now: Ns) -> bool:
        """Header prediction: the next segment in order, or a plain ACK, of a connection where nothing is amiss. It
        passes every check below, so only what they lead to is done. False: they must look."""
        receive = self._receive
        nxt = receive.nxt
        if seg.flags | PSH != ACK | PSH or seg.seq != wrap(nxt) or seg.length > self._window.edge - nxt:
            return False
        una = self.snd_una
        ack = unwrap(seg.ack, una)
        if not una <= ack <= self.snd_nxt or receive.beyond.octets or self._rcv_fin is not None or seg.ecn == CE:
            return False
        if self._timestamps:
            stamp = seg.ts_val
            if stamp is None:
                return False
            if stamp != self._ts_recent:
                if before(stamp, self._ts_recent):
                    return False
                if nxt <= self._last_ack_sent:
                    self._ts_recent = stamp
            self._ts_recent_at = now
        self._take_ack(seg, nxt, ack, now)
        if seg.length:
            self._data_segments_in += 1
            self._take_text(seg.payload, seg.length, seg.gso_size, now)
        return True

    # CLOSED, LISTEN, SYN-SENT, TIME-WAIT: sections 3.10.7.1 to 3.10.7.3, and the end of 3.10.7.4

    def _in_closed(self, seg: Segment) -> None:
        reset = reset_for(seg)
        if reset is not None:
            self._reply(reset)

    def _in_listen(self, seg: Segment, now: Ns) -> None:
        if seg.flags & RST:
            return
        if seg.flags & ACK:
            self._in_closed(seg)
        elif seg.flags & SYN:
            self._learn_from_syn(seg, now)
            self._window.initial_field()  # what our SYN-ACK will offer: text behind the SYN is within it
            self._move(Got.SYN)
            self._output_due = True
            if self.fast_opened:
                self._begin_congestion()
            elif self._fast_open is not None:  # RFC 7413 section 4.2.2: only the SYN is acknowledged
                return
            self._process_content(seg, self.irs, now)

    def _in_syn_sent(self, seg: Segment, now: Ns) -> None:
        flags = seg.flags
        acknowledged = False
        if flags & ACK:
            ack = unwrap(seg.ack, self.snd_una)
            if ack <= self.iss or ack > self.snd_nxt:
                self._in_closed(seg)
                if not flags & RST and not self._retransmits:  # an old connection: once it is gone ours may begin
                    self._timers.retransmit = min(self._timers.retransmit, now + _SYN_AGAIN)
                return
            acknowledged = True
        if flags & RST:
            if acknowledged:
                self._fail(Got.RST, os_error(errno.ECONNREFUSED, "nobody listens there"))
            return
        if not flags & SYN:
            return
        self._learn_from_syn(seg, now)
        if acknowledged:
            self._move(Got.SYN_ACK)
            ack = unwrap(seg.ack, self.snd_una)
            self._synchronized(seg, self.irs, ack, now)
            if isinstance(self._fast_open, ActiveFastOpen):
                self._fast_open.on_syn_ack(seg.fast_open, self._peer_mss, ack - self.iss - 1, now)
            if self._fin_due:  # the user closed behind the data of the SYN
                self._move(Got.CLOSE)
            self._ack_due = self._output_due = True
            self._process_content(seg, self.irs, now)
        else:
            self._move(Got.SYN)
            self._lose_all()  # our SYN goes again, now with an ACK
            self._timers.retransmit = now + self._rtt.rto
            self._output_due = True
            self._process_content(seg, self.irs, now)

    def _process_content(self, seg: Segment, seq: int, now: Ns) -> None:
        """Steps six to eight. What comes with a SYN lies behind it; in SYN-RECEIVED the user hears of it once we are
        ESTABLISHED."""
        if seg.flags & SYN:
            seq += 1
        if seg.flags & FIN and self.state is _ESTABLISHED and seq <= self._receive.nxt:
            self._interactive = True  # the user may be done as well: the ACK may wait for that
        self._check_urgent(seg, seq)
        self._process_text(seg, seq, now)
        self._check_fin(seg, seq, now)

    def _in_time_wait(self, seg: Segment, now: Ns) -> None:
        assert self._time_wait is not None
        answer = self._time_wait.on_segment(seg, now)
        self._timers.end = self._time_wait.deadline
        if answer is not None:
            self._reply(answer)

    def _learn_from_syn(self, seg: Segment, now: Ns) -> None:
        """Where the peer starts, and which options both sides have (RFC 9293 section 3.7.1, RFC 7323)."""
        self.irs = seg.seq
        self._window.begin(self.irs + 1)
        self._last_ack_sent = self.rcv_up = self.irs + 1
        if seg.mss:  # 0 says nothing, like no option at all
            self._peer_mss = seg.mss
        self._timestamps = self._timestamps and seg.ts_val is not None
        if self._timestamps:
            self._ts_recent = seg.ts_val or 0
            self._ts_recent_at = now
            self._window.mss = self._advertised_mss - TIMESTAMPS_OCTETS
        self._window_scaling = self._window_scaling and seg.window_scale is not None
        self._sack = self._sack and seg.sack_permitted
        self._learn_ecn(seg)
        if self._window_scaling:
            scale = seg.window_scale or 0
            if scale > _MAX_SHIFT:  # RFC 7323 section 2.3
                logger.info("window scale %d counts as %d: %r", scale, _MAX_SHIFT, self)
            self._snd_scale = min(scale, _MAX_SHIFT)
            self._window.shift = self._window.wanted_shift
        self._choose_mss()
        self.snd_wnd = seg.window  # never scaled in a SYN
        self._max_snd_wnd = seg.window
        self.snd_wl1 = self.irs
        self.snd_wl2 = unwrap(seg.ack, self.snd_una) if seg.flags & ACK else self.snd_una

    def _learn_ecn(self, seg: Segment) -> None:
        """RFC 3168 section 6.1.1: a SYN offers ECN by both flags, a SYN-ACK accepts it by one."""
        offered = seg.flags & (ECE | CWR)
        if self.state is _SYN_SENT and seg.flags & ACK:
            agreed = offered == ECE and self.config.ecn is ECNMode.ON
        else:
            agreed = offered == ECE | CWR
        if self.config.ecn and agreed:
            self._ecn.agree(self.iss + 1, marks=not self._syn_retransmits)

    def _synchronized(self, seg: Segment, seq: int, ack: int, now: Ns) -> None:
        """Our SYN is acknowledged: the connection carries data from now on. What the SYN carried and the peer did not
        take goes again, which says nothing of congestion."""
        if not self.fast_opened:
            self._begin_congestion()
        if self._syn_retransmits > 1:  # RFC 6928 section 2
            self.congestion.cwnd = self.snd_mss
        self._cwnd_limited = False
        self._take_watched_ack(seg, ack, now)
        if self._syn_retransmits:
            self._rtt.restart(_RTO_AFTER_SYN_LOSS)  # RFC 6298 (5.7)
        if self._board and isinstance(self._fast_open, ActiveFastOpen):
            self._lose_all()
        self._grow_send_buffer()
        self._arm_keepalive()

    # Section 3.10.7.4, the numbered steps

    def _check_paws(self, seg: Segment, seq: int, now: Ns) -> bool:
        """RFC 7323 section 5.3, R1 to R3. RST is exempt."""
        if not self._timestamps or seg.flags & RST:
            return True
        stamp = seg.ts_val
        if stamp is None:  # section 3.2: once agreed on, it is in every segment, but for the SYN of a peer that crashed
            return bool(seg.flags & SYN)
        if before(stamp, self._ts_recent) and now - self._ts_recent_at <= _PAWS_IDLE:
            self._answer_unacceptable(seg, seq, now)
            return False
        return True

    def _check_sequence(self, seg: Segment, seq: int, now: Ns) -> bool:
        """First: acceptability, table 6. With the window closed, what starts at RCV.NXT passes for its ACK and its
        RST, and its text goes nowhere."""
        nxt, edge = self._receive.nxt, self._window.edge
        last = seq + seg.length + bool(seg.flags & SYN) + bool(seg.flags & FIN) - 1
        acceptable = nxt <= seq < edge or seq == nxt or seq < nxt <= last
        if last < seq == edge and not seg.flags & RST:
            acceptable = True  # a peer that has filled the window sends its ACKs from there
        if acceptable:
            if self._timestamps and seq <= self._last_ack_sent and not seg.flags & (RST | SYN):
                self._ts_recent = seg.ts_val or 0  # RFC 7323 section 4.3 (2)
                self._ts_recent_at = now
            return True
        if self.snd_una == self.iss and seg.flags & (SYN | RST) == SYN and seq == self.irs:
            if seg.flags & ACK:
                return True  # simultaneous open: its SYN is old, its ACK is not
            if seg.flags & (ECE | CWR) != ECE | CWR:
                self._ecn.disagree()
            self._lose_all()  # the peer has not heard our SYN-ACK
            self._output_due = True
            return False
        if not seg.flags & RST:
            self._answer_unacceptable(seg, seq, now)
        return False

    def _answer_unacceptable(self, seg: Segment, seq: int, now: Ns) -> None:
        """An ACK that sets the peer right. Text is always answered: it is a retransmission whose ACK was lost, or a
        probe; empty segments within limits, or two confused peers would answer each other forever."""
        if seg.length or seg.flags & FIN:
            end = min(seq + seg.length, self._receive.nxt)
            self._reply_ack(now, (seq, end) if seq < end else None)
        else:
            self._challenge_ack(now)

    def _check_rst(self, seg: Segment, seq: int, now: Ns) -> bool:
        """Second: RST, hardened by RFC 5961 section 3.2."""
        if not seg.flags & RST:
            return True
        if seq > self._receive.nxt:  # in the window, not exact: a blind guesser gets this far
            self._challenge_ack(now)
        elif seq < self._receive.nxt:  # only its text reaches into the window
            return False
        elif self.state is _SYN_RECEIVED and self._active:
            self._fail(Got.RST, os_error(errno.ECONNREFUSED, "the peer gave up a simultaneous open"))
        elif self.state is State.CLOSE_WAIT:  # its stream has ended in order: only ours is cut
            self._fail(Got.RST, os_error(errno.EPIPE, "the peer takes no more"))
        else:
            self._fail(Got.RST, PeerReset())
        return False

    def _check_syn(self, seg: Segment, seq: int, now: Ns) -> bool:
        """Fourth (the third, security compartments, is for those who have them): SYN in a synchronized state, RFC 5961
        section 4.2; a connection that Fast Open has given to the user counts as one."""
        if not seg.flags & SYN:
            return True
        if self.snd_una == self.iss and seq == self.irs:  # simultaneous open
            return True
        if self.state is _SYN_RECEIVED and not (self._active or self.fast_opened):
            self._move(Got.SYN)
        else:
            self._challenge_ack(now)
        return False

    def _check_ack(self, seg: Segment, seq: int, now: Ns) -> bool:
        """Fifth: the ACK field, within the range of RFC 5961 section 5.2."""
        if not seg.flags & ACK:
            return False
        ack = unwrap(seg.ack, self.snd_una)
        if self.state is _SYN_RECEIVED:
            if not self.snd_una < ack <= self.snd_nxt:
                self._in_closed(seg)
                return False
            self._move(Got.ACK_OF_SYN)
            if seg.flags & SYN and self._board.lost:  # a SYN-ACK, and ours has not left: all it lacks is the ACK
                self._ack_due = self._output_due = True
            self._synchronized(seg, seq, ack, now)
            if not seg.flags & SYN:  # simultaneous open: a SYN's window is not scaled, and known already
                self._update_window(seg, seq, ack, now)
            if self._fin_due:  # the user closed before its data could leave
                self._move(Got.CLOSE)
            self._finish_text(now)
            return True
        if ack > self.snd_nxt or ack < max(self.snd_una - self._max_snd_wnd, self.iss):
            self._challenge_ack(now)
            return False
        if ack < self.snd_una:
            if seg.sack and self._sack:
                self._take_watched_ack(seg, ack, now)
            return True
        if seg.flags & ECE and self._ecn.on:
            self._watchful = True
        if self.snd_una == self.iss < ack:  # closed by the user in SYN-RECEIVED
            self._synchronized(seg, seq, ack, now)
            self._update_window(seg, seq, ack, now)
        else:
            self._take_ack(seg, seq, ack, now)
        if self._fin_sent and ack == self.snd_nxt:
            return self._on_fin_acked(now)
        return True

    def _on_fin_acked(self, now: Ns) -> bool:
        """The rest of the fifth step, by state. True: the segment has more to say."""
        if self.state is State.FIN_WAIT_1:
            self._move(Got.ACK_OF_FIN)
            self._timers.end = now + self.config.fin_wait_2 if self._orphan else NEVER
        elif self.state is State.CLOSING:
            self._enter_time_wait(Got.ACK_OF_FIN, now)
            return False
        elif self.state is State.LAST_ACK:
            self._move(Got.ACK_OF_FIN)
            return False
        return True

    def _check_urgent(self, seg: Segment, seq: int) -> None:
        """Sixth: the urgent pointer, which names the octet after the urgent data (RFC 6093). The data itself stays in
        the stream."""
        if seg.flags & URG and self.state in _RECEIVING:
            end = seq + seg.urgent
            if end > self.rcv_up:
                self.rcv_up = end
                self.marked = True

    def _process_text(self, seg: Segment, seq: int, now: Ns) -> None:
        """Seventh: the part of the text that is new and was allowed."""
        if not seg.length or self.state is _CLOSED:
            return
        self._data_segments_in += 1
        receive = self._receive
        nxt = receive.nxt
        if self._rcv_fin is not None and seq > self._rcv_fin:  # "this should not occur": ignored
            return
        right = self._window.edge if self._rcv_fin is None else min(self._window.edge, self._rcv_fin)
        skip = max(nxt - seq, 0)
        start = seq + skip
        length = min(seq + seg.length, right) - start
        if self._ecn.on and self._ecn.on_data(seg.flags, seg.ecn):
            self._ack_due = self._output_due = True
        if length <= 0:  # the answer is shared with that to a FIN behind it
            self._ack_due = self._output_due = True
        elif self._orphan or (self.deaf and self._fin_due):  # section 3.6.1: data after CLOSE, nobody will read it
            self._replies.clear()
            self._in_closed(seg)
            self._fail(Got.ABORT, PeerReset())
        else:
            payload = seg.payload
            if length < seg.length:  # copied: a part must not hold the whole frame
                payload = (b"".join(cut(payload, skip, length)),)
            if start == nxt:
                duplicate = (seq, nxt) if skip else receive.beyond.ranges.common(start, start + length)
                self._take_text(payload, length, seg.gso_size, now)
                if duplicate is not None and not seg.flags & FIN:
                    self._reply_ack(now, duplicate)
                elif duplicate is not None or start + length < seq + seg.length:  # the peer goes beyond the window
                    self._ack_due = self._output_due = True
            else:
                self._out_of_order_segments += 1
                duplicate = receive.beyond.ranges.common(start, start + length)
                news = receive.insert(start, payload, length) and self._reported.on_out_of_order(start)
                self._note_fin(seg, seq)
                enough = self._sack and len(self._replies) >= _TELLING
                if enough and not (news or duplicate or self._watchful):
                    self._ack_due = self._output_due = True  # what else arrives shares another: docs/deviations.md
                else:
                    self._reply_ack(now, duplicate)

    def _take_text(self, payload: tuple[Buffer, ...], length: int, gso_size: int, now: Ns) -> None:
        """Text that begins at RCV.NXT: deliver it, and acknowledge it at once or soon (section 3.8.6.3)."""
        receive = self._receive
        fills_gap = receive.beyond.octets > 0 or self._rcv_fin is not None
        if fills_gap:  # the peer sends little after a loss, and would wait for our timer when that is an odd segment
            self._quick_acks, self._doubled_acks = self.config.quick_acks, _DOUBLED * self.config.quick_acks
            self._interactive = False
            self._burst, self._burst_start = 0, receive.nxt
        elif self._doubled_acks and now != self._last_text:
            self._burst, self._burst_start = receive.nxt - self._burst_start, receive.nxt
        receive.append(payload, length)
        size = length
        if gso_size:
            size = gso_size
            self._segments_in += (length - 1) // gso_size
            self._data_segments_in += (length - 1) // gso_size
        if size > self._rcv_mss:
            self._rcv_mss = min(size, self._advertised_mss)
        waiting = receive.nxt - self._last_ack_sent
        two_segments = waiting >= 2 * self._rcv_mss
        if two_segments and self._doubled_acks and _SHARE * waiting >= self._burst and not (fills_gap or self._replies):
            self._doubled_acks -= 1
            self._reply_ack(now)  # what else arrives with it shares another: docs/deviations.md
        elif two_segments or fills_gap or (self._quick_acks and not self._interactive):
            self._ack_due = self._output_due = True
        elif self._doubled_acks and not self._interactive:  # an odd segment, the second half of a pair
            self._doubled_acks -= 1
            self._ack_due = self._output_due = True
        elif self._timers.delayed_ack == NEVER:
            self._delay_ack(size, now)
        self._text_before, self._last_text = self._last_text, now

    def _delay_ack(self, size: int, now: Ns) -> None:
        """Wait for company: as long as it takes to come, as far as we know, and no longer than a round trip. After an
        idle time the peer's window is small again: its acknowledgements are quick, as at the start. A full segment
        (`size`: its octets) that comes alone after two round trips, others having come more densely, may be a tail loss
        probe, and an answer is late."""
        least, gap = self.config.delayed_ack, now - self._last_text
        srtt = self._rtt.srtt or 0
        idle = gap > self._rtt.rto
        if idle:
            self._quick_acks = self.config.quick_acks
        elif gap < self._ack_delay:
            self._ack_delay = max(least, self._ack_delay // 2 + max(gap, least // 2))
        probe = size >= self._rcv_mss and gap > max(2 * srtt, 4 * (self._last_text - self._text_before))
        if (idle or probe) and self.config.quick_acks and not self._interactive:
            self._ack_due = self._output_due = True
            return
        longest = max(least, min(srtt, _LONGEST_ACK_DELAY))
        self._timers.delayed_ack = now + min(self._ack_delay, longest)

    def _check_fin(self, seg: Segment, seq: int, now: Ns) -> None:
        """Eighth: FIN. One that comes before its data waits for it, like the data."""
        if self.state is not _CLOSED:
            self._note_fin(seg, seq)
            if seg.flags & FIN and self._fin_waits and not seg.length:
                self._reply_ack(now)
        self._finish_text(now)

    def _note_fin(self, seg: Segment, seq: int) -> None:
        """Where the peer's FIN is: behind all text that is there."""
        fin = seq + seg.length
        if seg.flags & FIN and self._rcv_fin is None and self._receive.end <= fin <= self._window.edge:
            self._rcv_fin = fin

    def _finish_text(self, now: Ns) -> None:
        """Everything before the peer's FIN is here: take it too, and acknowledge it: at once where nothing of ours may
        come soon."""
        receive = self._receive
        if receive.nxt != self._rcv_fin or self.state not in _RECEIVING:
            return
        receive.nxt += 1
        self._window.edge = max(self._window.edge, receive.nxt)
        if self.state is not _ESTABLISHED or not self._data_segments_in:
            self._ack_due = self._output_due = True
        elif self._timers.delayed_ack == NEVER and not self._ack_due:
            self._delay_ack(0, now)
        if self.state is _FIN_WAIT_2:
            self._enter_time_wait(Got.FIN, now)
        else:
            self._move(Got.FIN)

    def _enter_time_wait(self, got: Got, now: Ns) -> None:
        self._move(got)
        self._timers.clear()
        self._time_wait = TimeWait(
            snd_nxt=self.snd_nxt,
            rcv_nxt=self._receive.nxt,
            window=self._window.field(),
            ts_offset=self._ts_offset,
            ts_recent=self._ts_recent if self._timestamps else None,
            duration=self.config.time_wait,
            throttle=self._throttle,
            now=now,
        )
        self._timers.end = self._time_wait.deadline
