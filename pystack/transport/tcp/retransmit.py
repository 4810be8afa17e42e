"""What was sent and is not acknowledged, as ranges of sequence numbers: when each was sent and how often."""

from collections import deque

from pystack.units import Ns

__all__ = ["Range", "RetransmissionQueue"]


class Range:
    """Sequence numbers `start` to `end`, the latter not included, that left in one segment, SYN and FIN counted."""

    __slots__ = ("end", "sent_at", "start", "transmits")

    def __init__(self, start: int, end: int, sent_at: Ns, transmits: int) -> None:
        self.start = start
        self.end = end
        self.sent_at = sent_at
        self.transmits = transmits

    def __repr__(self) -> str:
        return f"<{self.start}:{self.end}, sent {self.transmits}x, last at {self.sent_at}>"

    def cut(self, size: int) -> "Range":
        """Take the first `size` octets off."""
        front = Range(self.start, self.start + size, self.sent_at, self.transmits)
        self.start += size
        return front


class RetransmissionQueue:
    """Two runs that follow each other: ranges in flight, then ranges taken for lost that wait to be sent again.

    Every range enters and leaves each run once per transmission, so the work per segment and per acknowledgement does
    not grow with what is in flight.
    """

    __slots__ = ("_lost", "_sent", "in_flight")

    def __init__(self) -> None:
        self._sent: deque[Range] = deque()
        self._lost: deque[Range] = deque()
        self.in_flight = 0
        """Octets sent that are neither acknowledged nor taken for lost."""

    def __len__(self) -> int:
        return len(self._sent) + len(self._lost)

    @property
    def lost(self) -> bool:
        """Whether something waits to be sent again."""
        return bool(self._lost)

    @property
    def longest(self) -> int:
        """Octets of the longest range in flight. Looks at all of them: for rare events."""
        return max((each.end - each.start for each in self._sent), default=0)

    def on_sent(self, start: int, end: int, now: Ns) -> None:
        """New octets left."""
        self._sent.append(Range(start, end, now, 1))
        self.in_flight += end - start

    def acknowledge(self, una: int) -> tuple[Ns, bool, bool]:
        """Forget what lies before `una`. Returns when the last transmission of any of it left; whether some of it was
        sent exactly once; and whether some was sent more than once, so that nobody knows which transmission is
        acknowledged (Karn)."""
        latest: Ns = -1
        once = again = False
        sent = self._sent
        while sent:
            first = sent[0]
            if first.start >= una:
                break
            if first.transmits == 1:
                once = True
            else:
                again = True
            if first.sent_at > latest:
                latest = first.sent_at
            if first.end <= una:
                sent.popleft()
                self.in_flight -= first.end - first.start
            else:
                self.in_flight -= una - first.start
                first.start = una
        lost = self._lost
        while lost and lost[0].start < una:  # the original arrived after all, or what was resent did
            first = lost[0]
            again = again or first.transmits > 1
            once = once or first.transmits == 1
            latest = max(latest, first.sent_at)
            if first.end <= una:
                lost.popleft()
            else:
                first.start = una
        return latest, once, again

    def mark_all_lost(self) -> None:
        """The timer expired: everything is to be sent again, from the first octet on (RFC 5681 section 3.1)."""
        self._lost.extendleft(reversed(self._sent))
        self._sent.clear()
        self.in_flight = 0

    def next_lost(self, limit: int) -> Range | None:
        """The first octets to be sent again, at most `limit`: ranges are cut, or joined, to fill a segment. `on_resent`
        must follow when they leave."""
        lost = self._lost
        if not lost:
            return None
        first = lost[0]
        if first.end - first.start > limit:
            first = first.cut(limit)
            lost.appendleft(first)
        while len(lost) > 1 and first.end - first.start < limit:
            second = lost[1]
            first.end = min(second.end, first.start + limit)
            first.transmits = max(first.transmits, second.transmits)
            if first.end < second.end:
                second.start = first.end
            else:
                del lost[1]
        return first

    def on_resent(self, now: Ns) -> None:
        """The range of `next_lost` left."""
        first = self._lost.popleft()
        first.sent_at = now
        first.transmits += 1
        self._sent.append(first)
        self.in_flight += first.end - first.start

    def resend_first(self, limit: int, now: Ns) -> Range | None:
        """The first unacknowledged range, cut to `limit` octets, leaves again though the rest is in flight
        (RFC 5681 section 3.2, fast retransmit). None: it already waits to be sent again."""
        if not self._sent:
            return None
        first = self._sent[0]
        if first.end - first.start > limit:
            rest = first
            first = rest.cut(limit)
            self._sent.appendleft(first)
        first.sent_at = now
        first.transmits += 1
        return first

    def clear(self) -> None:
        self._sent.clear()
        self._lost.clear()
        self.in_flight = 0
