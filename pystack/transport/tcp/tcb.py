"""The transmission control block: what a connection remembers (RFC 9293 section 3.3.1), and the moves and answers that
everything else is made of."""

import errno
import logging
from collections.abc import Hashable
from ipaddress import ip_address

from pystack.errors import os_error
from pystack.transport.tcp.config import TCPConfig
from pystack.transport.tcp.congestion import CONGESTION_CONTROLS, CongestionControl
from pystack.transport.tcp.ecn import ECN
from pystack.transport.tcp.fastopen import ActiveFastOpen, PassiveFastOpen
from pystack.transport.tcp.frto import ForwardRto
from pystack.transport.tcp.rack import ReorderingWindow
from pystack.transport.tcp.recovery import FastRecovery
from pystack.transport.tcp.recvbuffer import ReceiveBuffer
from pystack.transport.tcp.rtt import RttEstimator
from pystack.transport.tcp.sackoption import Block, Reported
from pystack.transport.tcp.scoreboard import Scoreboard
from pystack.transport.tcp.segment import ACK, RST, Segment
from pystack.transport.tcp.selective import SelectiveRecovery
from pystack.transport.tcp.sendbuffer import SendBuffer
from pystack.transport.tcp.state import TRANSITIONS, Got, State
from pystack.transport.tcp.throttle import Throttle
from pystack.transport.tcp.timers import NEVER, Timers
from pystack.transport.tcp.timewait import TimeWait
from pystack.transport.tcp.tlp import LossProbe
from pystack.transport.tcp.undo import Undo
from pystack.transport.tcp.window import ReceiveWindow
from pystack.units import MS, Ns
from pystack.wire.seq import wrap

__all__ = ["TIMESTAMPS_OCTETS", "TransmissionControlBlock"]

logger = logging.getLogger("pystack.tcp")

TIMESTAMPS_OCTETS = 12
"""The timestamps option with its two NOPs, in every segment once agreed on (RFC 7323 section 3.2)."""
_MIN_SEND_MSS = 48
"""A peer that announces less would make us send nothing but headers."""
_IW_MSS = 1460
_REPLIES_MAX = 128


class TransmissionControlBlock:
    """Sequence numbers are plain ints, unwrapped when a segment comes in and wrapped when one leaves: ISS is where the
    caller put it, everything later only grows."""

    __slots__ = (
        "_ack_delay",
        "_ack_due",
        "_active",
        "_advertised_mss",
        "_board",
        "_burst",
        "_burst_start",
        "_cwnd_limited",
        "_data_segments_in",
        "_data_segments_out",
        "_doubled_acks",
        "_dsacks",
        "_ecn",
        "_fast_open",
        "_fin_due",
        "_frto",
        "_interactive",
        "_ip_options",
        "_keepalive_probes",
        "_last_ack_sent",
        "_last_advance",
        "_last_heard",
        "_last_sent",
        "_last_text",
        "_max_snd_wnd",
        "_more_follows",
        "_most_in_flight",
        "_octets_resent",
        "_orphan",
        "_out_of_order_segments",
        "_output_due",
        "_override",
        "_path_mss",
        "_peer_mss",
        "_probe",
        "_probed_at",
        "_probes",
        "_pushed",
        "_quick_acks",
        "_rack",
        "_rcv_fin",
        "_rcv_mss",
        "_receive",
        "_recovery",
        "_replies",
        "_reported",
        "_resend_due",
        "_retransmits",
        "_rtt",
        "_sack",
        "_segments_in",
        "_segments_out",
        "_selective",
        "_send",
        "_send_autotuning",
        "_snd_scale",
        "_snd_small",
        "_syn_retransmits",
        "_text_before",
        "_throttle",
        "_time_wait",
        "_timers",
        "_timestamps",
        "_total_retransmits",
        "_troubled",
        "_ts_offset",
        "_ts_recent",
        "_ts_recent_at",
        "_undo",
        "_waiting_since",
        "_watchful",
        "_window",
        "_window_end",
        "_window_scaling",
        "config",
        "congestion",
        "deaf",
        "error",
        "irs",
        "iss",
        "local",
        "local_port",
        "marked",
        "may_grow",
        "path_suspect",
        "rcv_up",
        "remote",
        "remote_port",
        "snd_mss",
        "snd_nxt",
        "snd_una",
        "snd_up",
        "snd_wl1",
        "snd_wl2",
        "snd_wnd",
        "soft_error",
        "state",
    )

    def __init__(
        self,
        local: Hashable,
        remote: Hashable,
        local_port: int,
        remote_port: int,
        *,
        iss: int,
        mss: int,
        config: TCPConfig | None = None,
        ts_offset: int = 0,
        default_mss: int = 536,
    ) -> None:
        """`local` and `remote`: addresses, opaque. `mss`: octets of the largest payload that the path takes, without
        options. `iss`: 32 bits, unpredictable (`ISNGenerator`), as is `ts_offset`. `default_mss`: what the peer is
        taken to accept when it does not say (RFC 9293 section 3.7.1: 536 over IPv4, 1220 over IPv6)."""
        config = TCPConfig() if config is None else config
        if config.max_segment:
            mss = min(mss, config.max_segment)
        self.local = local
        self.remote = remote
        self.local_port = local_port
        self.remote_port = remote_port
        self.config = config
        self.state = State.CLOSED
        self.error: OSError | None = None
        """Why the connection ended, if not in order. Kept."""
        self.soft_error: int | None = None
        """The errno of the last path error that did not end the connection: a later timeout carries it."""
        self.may_grow = True
        """Buffers may be enlarged as the traffic asks for it; memory elsewhere may forbid it."""
        self.path_suspect = False
        """R1 was reached: the route or the neighbour may be dead (RFC 9293 section 3.8.3). Progress clears it."""

        self.iss = iss
        self.irs = 0
        self.snd_una = iss
        self.snd_nxt = iss
        self.snd_wnd = 0
        self.snd_wl1 = 0
        self.snd_wl2 = 0
        self.snd_up = iss
        self.rcv_up = 0
        self.marked = False
        """Urgent data was announced; whoever reads may set it back once `urgent` is None."""
        self._max_snd_wnd = 0
        self._snd_scale = 0
        self._rcv_fin: int | None = None  # where the peer's FIN is, once seen

        self._path_mss = mss
        self._ip_options = 0
        self._advertised_mss = mss
        self._peer_mss = default_mss
        self.snd_mss = min(mss, default_mss)
        self._rcv_mss = min(mss, default_mss)
        self._window_scaling = config.window_scaling
        self._timestamps = config.timestamps
        self._ts_offset = ts_offset
        self._ts_recent = 0
        self._ts_recent_at: Ns = 0

        self._send = SendBuffer(iss + 1, config.send_buffer)
        self._board = Scoreboard(config.scoreboard_ranges)
        self._receive = ReceiveBuffer(0, config.receive_buffer, config.reassembly_ranges)
        self._reported = Reported(self._receive.beyond.ranges)
        self._window = ReceiveWindow(self._receive, config.receive_buffer_max, mss)
        self._rtt = RttEstimator(config.initial_rto, config.min_rto, config.max_rto)
        self._timers = Timers()
        self._throttle = Throttle(config.challenge_acks, config.challenge_interval)
        self._time_wait: TimeWait | None = None
        self._sack = config.sack
        self._rack = ReorderingWindow()
        self._probe = LossProbe()
        self._frto = ForwardRto()
        self._undo = Undo()
        self._ecn = ECN()
        self._fast_open: ActiveFastOpen | PassiveFastOpen | None = None
        self._begin_congestion()

        self._active = False
        self._orphan = False  # the user is gone: nobody will read
        self.deaf = False
        """The user reads what has arrived, and does not wait for more."""
        self._fin_due = False  # the user has sent its last octet
        self._send_autotuning = True
        self._cwnd_limited = False  # at the fullest of the round trip that ends at `_window_end`
        self._most_in_flight = 0  # then
        self._window_end = iss
        self._resend_due = False  # the first lost segment leaves whatever the window is
        self._watchful = False  # acknowledgements mean more than that octets have arrived
        self._override = False  # the persist timer expired: send what the window rules hold back
        self._output_due = False
        self._ack_due = False
        self._replies: list[Segment] = []
        self._quick_acks = config.quick_acks
        self._interactive = False  # we answer what comes: an ACK may wait for the answer
        self._ack_delay = config.delayed_ack
        self._doubled_acks = 0  # so many more times there are two ACKs of what arrives together: one may get lost
        self._burst = self._burst_start = 0  # octets that came together last, while ACKs are doubled; what comes now
        self._last_ack_sent = 0
        self._last_advance = 0
        self._snd_small = iss  # where the last segment ended that was not full
        self._more_follows = False  # so the user's last call said
        self._pushed = iss  # up to here the user wants everything to leave
        self._waiting_since: Ns = 0  # no progress since then
        self._last_sent: Ns = 0
        self._last_heard: Ns = 0
        self._last_text: Ns = 0
        self._text_before: Ns = 0  # when the text before that came

        self._troubled = False  # something below, or `soft_error`, is to be forgotten at the next progress
        self._retransmits = 0  # timeouts since the last progress, or answer to a probe
        self._syn_retransmits = 0
        self._total_retransmits = 0
        self._segments_in = self._data_segments_in = self._out_of_order_segments = 0
        self._segments_out = self._data_segments_out = self._octets_resent = 0
        self._dsacks = 0  # blocks that reported a duplicate
        self._probes = 0
        self._keepalive_probes = 0  # since the peer was last heard
        self._probed_at: Ns = 0

    def __repr__(self) -> str:
        local, remote = _text(self.local), _text(self.remote)
        return f"<{type(self).__name__} {local}.{self.local_port} > {remote}.{self.remote_port} {self.state}>"

    @property
    def rcv_nxt(self) -> int:
        return self._receive.nxt

    @property
    def rcv_wnd(self) -> int:
        """Octets the peer may still send: to the right edge that was promised."""
        return self._window.edge - self._receive.nxt

    @property
    def fast_opened(self) -> bool:
        """The server's side of a connection whose SYN brought a valid cookie: the user reads and sends from
        SYN-RECEIVED on (RFC 7413 section 4.2.2)."""
        return isinstance(self._fast_open, PassiveFastOpen) and self._fast_open.accepted

    @property
    def deferred(self) -> bool:
        """The SYN has not left: it waits for the user's first data."""
        fast_open = self._fast_open
        unsent = self.snd_nxt == self.iss and self.state is State.SYN_SENT
        return unsent and isinstance(fast_open, ActiveFastOpen) and fast_open.waits

    @property
    def _snd_end(self) -> int:
        """SND.NXT once everything the user has sent, and its FIN, has left."""
        return self._send.end + self._fin_due

    @property
    def _fin_sent(self) -> bool:
        return self._fin_due and self.snd_nxt > self._send.end

    def _move(self, got: Got) -> None:
        """Take the new state from the table."""
        old = self.state
        self.state = state = TRANSITIONS[old, got]
        logger.debug("%s -> %s on %s: %r", old, state, got, self)
        if state is State.CLOSED:
            self._release()

    def _fail(self, got: Got, error: OSError) -> None:
        """The connection ends, and the user is told why. What was received in order stays readable."""
        self.error = error
        self._move(got)

    def _release(self) -> None:
        """Nothing is owed any more: RFC 9293's "delete the TCB", but for what the user may still read."""
        self._timers.clear()
        self._board.clear()
        self._send.clear()
        self._receive.drop_out_of_order()
        self._ack_due = False
        self._output_due = bool(self._replies)
        if self._orphan:
            self._receive.clear()

    def _begin_congestion(self) -> None:
        """A congestion control and recovery for the segment size that is known now."""
        self.congestion = self._new_congestion()
        self._recovery = FastRecovery(self.congestion, self.iss)
        self._selective = SelectiveRecovery(self.congestion)

    def _new_congestion(self) -> CongestionControl:
        return CONGESTION_CONTROLS[self.config.congestion](self.snd_mss, self._initial_window)

    @property
    def _initial_window(self) -> int:
        """RFC 6928 section 2."""
        smss, segments = self.snd_mss, self.config.initial_window
        return min(segments * smss, max(2 * smss, segments * _IW_MSS))

    def _choose_mss(self) -> None:
        """Eff.snd.MSS (RFC 9293 section 3.7.1, RFC 6691): what the peer and the path take, less the options of every
        segment, those of IP included."""
        self.snd_mss = min(max(self._peer_mss - self._ip_options, _MIN_SEND_MSS), self._path_mss)
        if self._timestamps:
            self.snd_mss -= TIMESTAMPS_OCTETS

    def _segment(self, seq: int, flags: int, now: Ns) -> Segment:
        """A segment without payload that acknowledges what has arrived and offers the window."""
        segment = Segment(wrap(seq), wrap(self._receive.nxt), flags | self._ecn.echo, self._window.field())
        if self._timestamps:
            segment.ts_val, segment.ts_ecr = wrap(now // MS + self._ts_offset), self._ts_recent
        return segment

    def _acknowledgment(self, now: Ns, duplicate: Block | None = None) -> Segment:
        """A pure ACK. `duplicate`: what arrived twice in the segment it answers."""
        segment = self._segment(self._control_seq, ACK, now)
        if self._sack and (duplicate is not None or self._receive.beyond.octets or self._fin_waits):
            segment.sack = self._sack_blocks(duplicate)
        return segment

    @property
    def _fin_waits(self) -> bool:
        """The peer's FIN has arrived before what it stands behind."""
        return self._rcv_fin is not None and self._receive.nxt < self._rcv_fin

    def _sack_blocks(self, duplicate: Block | None = None) -> tuple[Block, ...]:
        """As many as the options have room for (RFC 2018 section 3). A FIN counts as an octet."""
        count = 3 if self._timestamps else 4
        blocks = self._reported.blocks(count, duplicate)
        fin = self._rcv_fin
        if fin is not None and self._fin_waits:
            if self._receive.end < fin:
                blocks = *blocks[: count - 1], (fin, fin)
            blocks = tuple((start, end + (end == fin)) for start, end in blocks)
        return tuple((wrap(start), wrap(end)) for start, end in blocks)

    def _lose_all(self) -> None:
        """Everything in flight goes again."""
        self._board.mark_all_lost()
        self._watchful = True

    @property
    def _control_seq(self) -> int:
        """The sequence number of a segment without data: SND.NXT, but never beyond the peer's window, where a probe
        has been: the peer would not look at its ACK field (RFC 9293 appendix A.2)."""
        return max(self.snd_una, min(self.snd_nxt, self.snd_una + self.snd_wnd))

    def _reply(self, segment: Segment) -> None:
        """Queue an answer. It leaves before everything else."""
        if len(self._replies) < _REPLIES_MAX:
            self._replies.append(segment)
        self._output_due = True

    def _reply_ack(self, now: Ns, duplicate: Block | None = None) -> None:
        """Answer this very segment: a duplicate acknowledgement, or one that sets the peer right. `duplicate`: octets
        of it that had arrived before."""
        if self.snd_nxt > self.iss:  # or our SYN-ACK, which has not left yet, says the same
            self._reply(self._acknowledgment(now, duplicate))
            self._on_ack_sent()

    def _challenge_ack(self, now: Ns) -> None:
        """Let the peer prove that it meant it (RFC 5961), as often as its section 7 allows."""
        if self._throttle.allow(now):
            self._reply_ack(now)

    def _on_ack_sent(self) -> None:
        nxt = self._receive.nxt
        if self._quick_acks and self._last_ack_sent != nxt:
            self._quick_acks -= 1
        self._last_ack_sent = nxt
        self._ack_due = False
        self._timers.delayed_ack = NEVER

    def _reset(self, got: Got, error: OSError | None, now: Ns) -> None:
        """End the connection and tell the peer."""
        self._replies.clear()
        self._reply(self._segment(self._control_seq, RST | ACK, now))
        if error is not None:
            self.error = error
        self._move(got)

    def _timed_out(self) -> OSError:
        """ETIMEDOUT, or what the path said was wrong."""
        if self.soft_error is not None:
            return os_error(self.soft_error, "the peer did not answer")
        return os_error(errno.ETIMEDOUT, "the peer did not answer")


def _text(address: Hashable) -> str:
    """As people write it, when it is 4 or 16 octets."""
    return str(ip_address(address)) if isinstance(address, bytes) and len(address) in (4, 16) else str(address)
