"""TIME-WAIT as a small record: it answers what still arrives, and says when the pair may be used again."""

from pystack.transport.tcp.segment import ACK, FIN, RST, SYN, Segment
from pystack.transport.tcp.throttle import Throttle
from pystack.units import MS, Ns
from pystack.wire.seq import before, unwrap, wrap

__all__ = ["TimeWait"]


class TimeWait:
    """What a connection leaves behind for 2 MSL (RFC 9293 section 3.10.7.4). RFC 1337: a RST does not end it."""

    __slots__ = ("_duration", "_throttle", "_ts_offset", "_window", "deadline", "rcv_nxt", "snd_nxt", "ts_recent")

    def __init__(
        self,
        *,
        snd_nxt: int,
        rcv_nxt: int,
        window: int,
        ts_offset: int,
        ts_recent: int | None,
        duration: Ns,
        throttle: Throttle,
        now: Ns,
    ) -> None:
        """`window`: the field as sent. `ts_recent`: the last timestamp seen, None when the connection used none."""
        self.snd_nxt = snd_nxt
        self.rcv_nxt = rcv_nxt
        self._window = window
        self._ts_offset = ts_offset
        self.ts_recent = ts_recent
        self._duration = duration
        self._throttle = throttle
        self.deadline: Ns = now + duration

    def may_reopen(self, segment: Segment, *, timestamps: bool = True) -> bool:
        """Whether `segment`, a SYN, may begin a new connection between the same pair (RFC 6191 section 2).
        `timestamps`: the new connection would use them. Its ISS must then lie beyond `next_iss`."""
        if segment.flags & (SYN | ACK | RST) != SYN:
            return False
        higher = unwrap(segment.seq, self.rcv_nxt) >= self.rcv_nxt  # RCV.NXT counts the FIN, the last one used
        stamp = segment.ts_val if timestamps else None
        if stamp is None:
            return higher
        if self.ts_recent is None:
            return True
        return before(self.ts_recent, stamp) or (stamp == self.ts_recent and higher)

    @property
    def next_iss(self) -> int:
        """An ISS (32 bits) that no segment of the old connection comes near."""
        return wrap(self.snd_nxt + (1 << 16) + 1)

    def on_segment(self, segment: Segment, now: Ns) -> Segment | None:
        """The answer, if any. A retransmitted FIN is acknowledged and starts the wait again; a SYN that `may_reopen`
        turned down is dropped silently, as RFC 6191 has it."""
        flags = segment.flags
        if flags & (RST | SYN):
            return None
        seq = unwrap(segment.seq, self.rcv_nxt)
        end = seq + segment.length + (1 if flags & FIN else 0)
        if flags & FIN and end == self.rcv_nxt:
            self.deadline = now + self._duration
            return self._ack(now)
        if seq == self.rcv_nxt and end == seq:  # the peer is up to date
            return None
        if segment.length or flags & FIN or self._throttle.allow(now):
            return self._ack(now)
        return None

    def _ack(self, now: Ns) -> Segment:
        answer = Segment(wrap(self.snd_nxt), wrap(self.rcv_nxt), ACK, self._window)
        if self.ts_recent is not None:
            answer.ts_val, answer.ts_ecr = wrap(now // MS + self._ts_offset), self.ts_recent
        return answer
