"""A TCP connection as a sans-I/O state machine: the user's calls (RFC 9293 section 3.10, 3.9.1)."""

import errno
import sys

from attrs import evolve
from typing_extensions import Buffer

from pystack.errors import StateError, os_error
from pystack.transport.tcp.arrival import Arrival
from pystack.transport.tcp.config import QUICK_ACKS, TCPConfig
from pystack.transport.tcp.congestion.base import INFINITE
from pystack.transport.tcp.fastopen import ActiveFastOpen, PassiveFastOpen
from pystack.transport.tcp.info import TCPInfo
from pystack.transport.tcp.selective import Phase
from pystack.transport.tcp.sendbuffer import whole_super_segments
from pystack.transport.tcp.state import TRANSITIONS, Got, State
from pystack.transport.tcp.timers import NEVER
from pystack.transport.tcp.timewait import TimeWait
from pystack.units import Ns
from pystack.wire.seq import unwrap

__all__ = ["TCPConnection"]

_ANY_NUMBER = sys.maxsize
_SYNCHRONIZING = (State.SYN_SENT, State.SYN_RECEIVED)
_OPENING = (State.LISTEN, *_SYNCHRONIZING)
_SENDING = (State.SYN_SENT, State.SYN_RECEIVED, State.ESTABLISHED, State.CLOSE_WAIT)
_RECEIVING = (State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2)
_RESETTING = (State.SYN_RECEIVED, State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSE_WAIT)


class TCPConnection(Arrival):
    """One connection. Feed it with `on_segment` and `on_timer`, collect from it with `take_output` and
    `next_deadline`; it does no I/O, reads no clock and draws no randomness.

    After a reset or a timeout what was received in order before can still be read, as in Linux; then `error` says why
    nothing more comes. `eof` is True only after the peer's FIN.
    """

    __slots__ = ()

    def connect(self, now: Ns, fast_open: ActiveFastOpen | None = None) -> None:
        """Active OPEN: a SYN waits in `take_output`; what is sent before it is taken may leave with it, as `fast_open`
        says. Raises `StateError` unless CLOSED and unused, or LISTEN."""
        if self.error is not None or self._active or (self.state, Got.ACTIVE_OPEN) not in TRANSITIONS:
            raise StateError(f"connect() in {self.state}: make a new TCPConnection")
        self._active = True
        self._fast_open = fast_open
        self._output_due = True
        self._last_heard = now
        self._wait_for_progress(now)
        self._move(Got.ACTIVE_OPEN)

    def listen(self, fast_open: PassiveFastOpen | None = None) -> None:
        """Passive OPEN: wait for one SYN. `fast_open`: what its Fast Open option deserves. Raises `StateError` unless
        CLOSED and unused."""
        if self.error is not None or self._active or (self.state, Got.PASSIVE_OPEN) not in TRANSITIONS:
            raise StateError(f"listen() in {self.state}: make a new TCPConnection")
        self._fast_open = fast_open
        self._move(Got.PASSIVE_OPEN)

    def send(self, data: Buffer, now: Ns, *, urgent: bool = False, more: bool = False, most: int = _ANY_NUMBER) -> int:
        """Queue octets from the front of `data`, `most` at most; how many says the result, 0: the buffer is full.
        `bytes` objects are kept, not copied. `urgent`: the urgent pointer moves behind them (RFC 9293 section 3.8.5).
        `more`: a tail that does not fill a segment waits for the next call, the acknowledgement of what is in flight,
        or a retransmission timeout.

        Raises the connection's `error`, EPIPE after `shutdown` or `close`, ENOTCONN before `connect`.
        """
        if self.error is not None:
            raise self.error
        if self.state not in _SENDING or self._fin_due:
            unopened = self.state is State.LISTEN or (self.state is State.CLOSED and not self._fin_due)
            raise os_error(errno.ENOTCONN if unopened else errno.EPIPE)
        if self.config.unsent_low_water:
            most = min(most, self._unsent_room)
        taken = self._send.append(data, most)
        if taken:
            if urgent:
                self.snd_up = self._send.end
            self._more_follows = more
            self._output_due = True
            if self.config.user_timeout:
                self._wait_for_progress(now)
        return taken

    @property
    def send_space(self) -> int:
        """Octets that `send` would take now."""
        if self.state not in _SENDING or self._fin_due:
            return 0
        return min(self._send.space, self._unsent_room) if self.config.unsent_low_water else self._send.space

    @property
    def writable(self) -> bool:
        """Whether a blocked sender should wake: a third of the buffer is free and little has not left, as in Linux, or
        `send` would raise."""
        if self.error is not None or self.state not in _SENDING or self._fin_due:
            return True
        if self.state in _SYNCHRONIZING and not (self.fast_opened or self.deferred):
            return False
        if 3 * self._send.space < self._send.limit:
            return False
        low_water = self.config.unsent_low_water
        return not low_water or 2 * self._never_sent < low_water

    @property
    def _unsent_room(self) -> int:
        return max(0, whole_super_segments(self.config.unsent_low_water) - self._never_sent)

    @property
    def _never_sent(self) -> int:
        """Octets of the user's."""
        return self._send.end - max(self.snd_nxt, self._send.start)

    @property
    def opening(self) -> bool:
        """The handshake goes on, and the user has to wait for its end."""
        return self.state in _OPENING and not self.fast_opened

    @property
    def unacknowledged(self) -> int:
        """Octets sent by the user and not yet acknowledged by the peer, its FIN counted too."""
        return max(0, self._snd_end - max(self.snd_una, self._send.start)) if self.state is not State.CLOSED else 0

    @property
    def unsent(self) -> int:
        """Those of them that have never left, or wait to leave again."""
        board = self._board
        sent = board.in_flight + board.sacked
        return self.unacknowledged - (sent if self.snd_una > self.iss else max(sent - 1, 0))

    def recv(self, size: int, now: Ns) -> bytes:
        """At most `size` octets in order; b"" when none are there: then `eof` and `error` say why."""
        data = self._receive.read(size)
        self._on_read(len(data), now)
        return data

    def recv_into(self, buffer: Buffer, now: Ns) -> int:
        """The same into `buffer`; how many octets."""
        view = memoryview(buffer)
        size = self._receive.read_into(view if view.format == "B" else view.cast("B"))
        self._on_read(size, now)
        return size

    def peek(self, size: int) -> bytes:
        """What `recv` would give, which stays."""
        return self._receive.peek(size)

    def peek_at(self, offset: int) -> bytes:
        """One octet of what `peek` would give."""
        return self._receive.peek_at(offset)

    def _on_read(self, octets: int, now: Ns) -> None:
        """Let the receive buffer grow with the user's pace, and tell the peer when the window has opened far enough
        (RFC 9293 section 3.8.6.2.2)."""
        if not octets or self.state not in _RECEIVING:
            return
        if self.may_grow:
            self._window.on_read(octets, self._rtt.srtt, now)
        if self._window.worth_an_update():
            self._ack_due = self._output_due = True

    @property
    def readable(self) -> int:
        """Octets that `recv` can give."""
        return self._receive.readable

    @property
    def eof(self) -> bool:
        """The peer's FIN has arrived in order: after the `readable` octets the stream ends."""
        return self._rcv_fin is not None and self._receive.nxt > self._rcv_fin

    @property
    def urgent(self) -> int | None:
        """Octets to read up to the end of the peer's urgent data, which stays in the stream; None: no urgent data
        (RFC 9293 section 3.8.5, MUST-32 and 33)."""
        read = self._receive.nxt - self.eof - self._receive.readable
        return self.rcv_up - read if self.rcv_up > read else None

    def shutdown(self, now: Ns) -> None:
        """Send FIN behind everything queued; receiving goes on. Idempotent. Raises ENOTCONN before `connect`."""
        if self.state in (State.CLOSED, State.LISTEN) and self.error is None and not self._fin_due:
            raise os_error(errno.ENOTCONN)
        self._close_sending(now)

    def close(self, now: Ns) -> None:
        """The user is done: FIN behind everything queued, unless the peer sent what nobody read, or sends more: RST
        (RFC 9293 section 3.6.1, RFC 2525 section 2.17). Idempotent."""
        if self._orphan:
            return
        self._orphan = True
        if self._receive.readable:
            self._receive.clear()
            if self.state in _RESETTING:
                self._reset(Got.ABORT, None, now)
                return
        self._close_sending(now)
        self._watch_orphan(now)
        if self.state is State.FIN_WAIT_2:
            self._timers.end = now + self.config.fin_wait_2

    def abort(self, now: Ns) -> None:
        """End it at once; the peer gets a RST where RFC 9293 section 3.10.5 wants one. Idempotent."""
        self._orphan = True
        self._receive.clear()
        if self.state in _RESETTING:
            self._reset(Got.ABORT, None, now)
        elif self.state is not State.CLOSED:
            self._replies.clear()
            self._move(Got.ABORT)

    def _close_sending(self, now: Ns) -> None:
        state = self.state
        if self._fin_due or state is State.CLOSED:
            return
        if state is not State.LISTEN and state is not State.SYN_SENT:
            self._fin_due = self._output_due = True
            self._wait_for_progress(now)
            if state is State.SYN_RECEIVED and len(self._send) and not self.fast_opened:
                return  # section 3.10.4: queued until ESTABLISHED
        elif len(self._send) and isinstance(self._fast_open, ActiveFastOpen):
            self._fin_due = True  # so is this, since the user was told that the data is on its way: docs/deviations.md
            return
        self._move(Got.CLOSE)

    def is_outstanding(self, seq: int) -> bool:
        """Whether a segment with this sequence number (32 bits) was sent and is not acknowledged: what an ICMP error
        quotes must be (RFC 5927 section 4.1)."""
        return self.snd_una <= unwrap(seq, self.snd_una) < self.snd_nxt

    def on_path_error(self, code: int, hard: bool, now: Ns) -> None:
        """The path reported `code` (an errno) for an outstanding segment: an ICMP error, or a neighbour that does not
        answer.

        Hard errors end a connection that is being opened; in synchronized states every error is only kept, to be the
        errno of a later timeout (RFC 5927 section 5.2): docs/deviations.md.
        """
        if self.state is State.SYN_SENT and isinstance(self._fast_open, ActiveFastOpen):
            self._fast_open.on_silence(now)
        if hard and self.state in _SYNCHRONIZING:
            self._fail(Got.UNREACHABLE, os_error(code))
        else:
            self.soft_error = code
            self._troubled = True

    def on_path_mtu(self, mss: int, now: Ns, *, ip_options: int = 0) -> None:
        """The path takes payloads of at most `mss` octets from now on, TCP's options included; every packet carries
        `ip_options` octets of IP options besides, which the peer did not count. What is in flight and too large is cut
        anew and sent again, which is not taken for congestion (RFC 1191 section 6.5)."""
        if self.config.max_segment:
            mss = min(mss, self.config.max_segment)
        if mss == self._path_mss and ip_options == self._ip_options:
            return
        self._path_mss, self._ip_options = mss, ip_options
        before = self.snd_mss
        self._choose_mss()
        if self.snd_una == self.iss and not self.fast_opened:
            if self._board.longest > mss:  # data that left with the SYN: the SYN goes again alone
                self._lose_all()
                self._output_due = True
            return
        self.congestion.on_smss(self.snd_mss)
        self.congestion.initial_window = self._initial_window
        if self.snd_mss > before:
            self._output_due = True  # the window may hold more now
        elif self.snd_mss < before and self._board.longest > self.snd_mss:
            self._recovery.on_timeout(self.snd_nxt)
            if self._sack:
                self._selective.on_timeout(self.snd_nxt, now)
            self._lose_all()
            self._output_due = True

    def fail(self, error: OSError, now: Ns) -> None:
        """The way to the peer is gone for good: end at once, with `error`. Nothing is sent."""
        if self.state is not State.CLOSED:
            self._replies.clear()
            self.error = error
            self._move(Got.ABORT)

    def configure(self, config: TCPConfig, now: Ns) -> None:
        """Take over from `config` what can change in a living connection: `nodelay`, `cork`, the user timeout, the
        congestion control, the keepalive settings, the low-water mark, and the sizes of the buffers, which from then
        on stay as they are set. What the peer was told, `max_segment` above all, stays."""
        old = self.config
        if config.max_segment != old.max_segment:
            config = evolve(config, max_segment=old.max_segment)
        self.config = config
        if config.nodelay and not old.nodelay:
            self._pushed = self._send.end  # once even past the cork, as in Linux
        if self._snd_end > self.snd_nxt:
            self._output_due = True
        if config.user_timeout != old.user_timeout:
            self._timers.user = NEVER
            if self._snd_end > self.snd_una and self.state not in (State.CLOSED, State.LISTEN):
                self._wait_for_progress(now)
        if config.congestion != old.congestion:
            self._change_congestion()
        if config.send_buffer != old.send_buffer:
            self._send.limit = config.send_buffer
            self._send_autotuning = False
        if config.receive_buffer != old.receive_buffer:
            self._window.fix(config.receive_buffer)
        if self.snd_una > self.iss and self.state not in (State.CLOSED, State.TIME_WAIT):
            self._arm_keepalive()

    @property
    def quick(self) -> bool:
        """Whether what arrives now would be acknowledged at once."""
        return self._quick_acks > 0 and not self._interactive

    def acknowledge_quickly(self, quick: bool) -> None:
        """What arrives is acknowledged at once, what waits too; or it waits for company (RFC 9293 section 3.8.6.3). Not
        for ever: an answer to the peer ends the first, a gap that is filled the second."""
        self._quick_acks = QUICK_ACKS if quick else 0
        self._interactive = not quick
        if quick and self._timers.delayed_ack != NEVER:
            self._ack_due = self._output_due = True

    def _change_congestion(self) -> None:
        """Another congestion control goes on with the window of the one before."""
        old, new = self.congestion, self._new_congestion()
        new.cwnd, new.ssthresh = old.cwnd, old.ssthresh
        self.congestion = self._recovery.congestion = self._selective.congestion = new
        self._undo.forget()

    def time_wait_record(self) -> TimeWait:
        """In TIME-WAIT: the record that stands for the connection from now on, once its output is taken. Raises
        `StateError` elsewhere."""
        if self._time_wait is None or self.state is not State.TIME_WAIT:
            raise StateError(f"no TIME-WAIT record in {self.state}")
        return self._time_wait

    @property
    def memory(self) -> int:
        """Octets stored in both buffers, with 128 for each piece: what a stack's memory limit counts."""
        return self._send.cost + self._receive.cost

    @property
    def send_memory(self) -> int:
        """What of `memory` is in the send buffer."""
        return self._send.cost

    def drop_out_of_order(self) -> None:
        """Under memory pressure: give up what arrived beyond a gap. It was never acknowledged; the peer sends it
        again."""
        self._receive.drop_out_of_order()

    def info(self) -> TCPInfo:
        rtt, congestion, board, fast_open = self._rtt, self.congestion, self._board, self._fast_open
        return TCPInfo(
            state=self.state,
            snd_mss=self.snd_mss,
            rcv_mss=self._rcv_mss,
            advertised_mss=self._advertised_mss,
            snd_wnd=self.snd_wnd,
            rcv_wnd=self.rcv_wnd,
            snd_scale=self._snd_scale,
            rcv_scale=self._window.shift,
            timestamps=self._timestamps,
            congestion=self.config.congestion,
            cwnd=congestion.cwnd,
            ssthresh=None if congestion.ssthresh == INFINITE else congestion.ssthresh,
            in_recovery=self._recovery.active or self._selective.phase is Phase.FAST,
            phase=self._selective.phase.value,
            sack=self._sack,
            ecn=self._ecn.on,
            retransmitted=board.resent,
            lost=board.lost,
            sacked=board.sacked,
            reordering_seen=self._rack.seen,
            reordering_window=self._rack.value,
            dsacks=self._dsacks,
            delivered=board.delivered,
            delivered_ce=self._ecn.delivered_ce,
            srtt=rtt.srtt,
            rttvar=rtt.rttvar,
            min_rtt=rtt.minimum,
            rto=rtt.rto,
            in_flight=board.in_flight,
            unsent=self.unsent,
            unacked=self.unacknowledged,
            unread=self._receive.readable,
            out_of_order=self._receive.beyond.cost,
            outstanding=board.segments,
            retransmits=self._retransmits,
            backoffs=rtt.backoffs,
            probes=self._probes,
            total_retransmits=self._total_retransmits,
            soft_error=self.soft_error,
            syn_data=self.fast_opened or (isinstance(fast_open, ActiveFastOpen) and fast_open.acknowledged),
            segments_in=self._segments_in,
            segments_out=self._segments_out,
            data_segments_in=self._data_segments_in,
            data_segments_out=self._data_segments_out,
            out_of_order_segments=self._out_of_order_segments,
            octets_sent=max(0, self.snd_nxt - self.iss - 1 - self._fin_sent) + self._octets_resent,
            octets_retransmitted=self._octets_resent,
            last_sent=self._last_sent,
            last_heard=self._last_heard,
            octets_acked=max(0, self._send.start - self.iss - 1),
            octets_received=max(0, self._receive.nxt - self.eof - self.irs - 1),
        )
