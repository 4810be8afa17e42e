"""What was sent and is not acknowledged, as ranges of sequence numbers: when each left, how often, and whether it is in
flight, taken for lost, or with the peer already (RFC 2018 section 5, RFC 8985 section 5.2)."""

from bisect import bisect_right
from heapq import heappop, heappush
from typing import Final

from pystack.transport.tcp.runs import Runs
from pystack.units import Ns

__all__ = ["Range", "Scoreboard"]

FLIGHT: Final = 0
LOST: Final = 1
SACKED: Final = 2
GONE: Final = 3

_LONG_AGO: Ns = -1 << 62
_PRUNE = 64
_CROWDED = 512
"""Octets of small segments that become one range when there are very many."""
_ANY_TIME: Ns = 1 << 62


class Range:
    """Sequence numbers `start` to `end`, the latter not included, that left together, SYN and FIN counted."""

    __slots__ = ("end", "next", "prev", "sent_at", "size", "start", "state", "transmits")

    def __init__(self, start: int, end: int, size: int, sent_at: Ns, transmits: int = 1) -> None:
        self.start = start
        self.end = end
        self.size = size
        """Octets of the largest segment in it."""
        self.sent_at = sent_at
        self.transmits = transmits
        self.state = FLIGHT
        self.prev = self.next = self

    def __repr__(self) -> str:
        state = ("in flight", "lost", "sacked", "gone")[self.state]
        return f"<{self.start}:{self.end} {state}, sent {self.transmits}x, last at {self.sent_at}>"


class Scoreboard:
    """Every range lies in one list by sequence number, and while it is in flight in another by the time of its last
    transmission; those taken for lost wait in a heap. What a range costs is paid once per transmission, and a SACK
    block costs what it tells anew, so that no work grows with what is in flight.

    The peer may report at most `limit` separate runs: further ones are not believed until some are acknowledged.
    """

    __slots__ = (
        "_before",
        "_head",
        "_heap",
        "_next",
        "_ranges",
        "_runs",
        "_starts",
        "_times",
        "again",
        "delivered",
        "fack",
        "in_flight",
        "latest",
        "lost",
        "lost_resend",
        "newest",
        "once",
        "rack_end",
        "rack_sent_at",
        "reordered",
        "resent",
        "sacked",
        "sacked_segments",
        "sampled",
    )

    def __init__(self, limit: int) -> None:
        self._starts: list[int] = []
        self._ranges: list[Range] = []
        self._head = 0  # what is in front of it is acknowledged: removed in bulk
        self._times = Range(0, 0, 1, 0)  # sentinel of the ring by time
        self._heap: list[int] = []  # where lost ranges start, or did
        self._next: Range | None = None  # what `next_lost` gave
        self._runs = Runs(limit)
        self._before = self._times

        self.in_flight = 0
        """Octets sent that are neither acknowledged nor taken for lost."""
        self.lost = 0
        """Octets that wait to be sent again."""
        self.resent = 0
        """Octets in flight that were sent before."""
        self.sacked = 0
        """Octets that the peer holds beyond a gap."""
        self.sacked_segments = 0
        """In segments."""
        self.delivered = 0
        """Octets that have arrived for the first time, as far as the peer has said; only grows."""
        self.fack = 0
        """The highest number that has arrived (RACK.fack)."""
        self.rack_sent_at: Ns = _LONG_AGO
        """When the last sent of all delivered transmissions left (RACK.xmit_ts), and what ended it (RACK.end_seq)."""
        self.rack_end = 0

        # What the acknowledgement at hand has told:
        self.latest: Ns = _LONG_AGO
        """When the last transmission of what it acknowledges cumulatively, and had not reported before, left."""
        self.once = False
        """Some of that was sent exactly once."""
        self.again = False
        """Some of it was sent more often, so that nobody knows which transmission arrived (Karn)."""
        self.sampled: Ns = _LONG_AGO
        """When the newest of what it newly reports beyond gaps, and was sent exactly once, left."""
        self.newest: Ns = _LONG_AGO
        """When the newest transmission that it proves to have arrived left."""
        self.reordered = False
        """It reports data sent once below data that arrived earlier."""
        self.lost_resend: Ns = _LONG_AGO
        """When the newest of the retransmissions left that were taken for lost since."""

    def __len__(self) -> int:
        return len(self._ranges) - self._head

    @property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """What the peer holds beyond gaps, ascending."""
        return tuple(self._runs)

    @property
    def longest(self) -> int:
        """Octets of the largest segment in flight. Looks at all of them: for rare events."""
        return max((each.size for each in self._live() if each.state != SACKED), default=0)

    @property
    def segments(self) -> int:
        """Segments that are not acknowledged. Looks at all of them."""
        return sum(-(-(each.end - each.start) // each.size) for each in self._live())

    @property
    def reneged(self) -> bool:
        """The peer no longer holds what it reported: that is now what it waits for (RFC 2018 section 8)."""
        return bool(self) and self._ranges[self._head].state == SACKED

    # Sending

    def on_sent(self, start: int, end: int, size: int, now: Ns) -> None:
        """New octets left, in segments of `size` octets."""
        self.in_flight += end - start
        ranges = self._ranges
        if ranges:
            last = ranges[-1]
            if last.transmits == 1 and last.state == FLIGHT:
                octets = last.end - last.start
                if last.sent_at == now and last.size == size and not octets % size:
                    last.end = end  # they left together: what is true of one is true of the other
                    return
                if len(self) > self._runs.limit and octets + end - start <= _CROWDED and last.next is self._times:
                    last.end = end  # a crowd of small ones: they count as sent when the last of them was
                    last.size = max(last.size, size)
                    last.sent_at = now
                    return
        each = Range(start, end, size, now)
        self._starts.append(start)
        ranges.append(each)
        self._link(each)

    def next_lost(self, limit: int) -> Range | None:
        """The lowest octets to be sent again, at most `limit`: ranges are cut, or joined, to fill a segment.
        `on_resent` must follow when they leave."""
        self._next = None
        heap = self._heap
        while self.lost and heap:
            index = bisect_right(self._starts, heap[0], self._head) - 1
            if index < self._head or self._ranges[index].state != LOST:
                heappop(heap)  # acknowledged meanwhile, or sent again
                continue
            first = self._ranges[index]
            if first.end - first.start > limit:
                self._split(index, first.start + limit)
            else:
                self._fill(index, limit)
            self._next = first
            return first
        heap.clear()
        return None

    def on_resent(self, now: Ns) -> None:
        """The range of `next_lost` left."""
        first = self._next
        assert first is not None
        self.lost -= first.end - first.start
        self.in_flight += first.end - first.start
        first.state = FLIGHT
        first.size = first.end - first.start
        self._resend(first, now)

    def resend_first(self, limit: int, now: Ns) -> Range | None:
        """The first unacknowledged range, cut to `limit` octets, leaves again though the rest is in flight
        (RFC 5681 section 3.2, fast retransmit). None: it already waits to be sent again, or has arrived."""
        if not self or self._ranges[self._head].state != FLIGHT:
            return None
        first = self._ranges[self._head]
        if first.end - first.start > limit:
            self._split(self._head, first.start + limit)
        self._repeat(first, now)
        return first

    def resend_last(self, limit: int, now: Ns) -> Range | None:
        """The same for the last `limit` octets (RFC 8985 section 7.3)."""
        if not self or self._ranges[-1].state != FLIGHT:
            return None
        last = self._ranges[-1]
        if last.end - last.start > limit:
            whole = (last.end - last.start - 1) // last.size * last.size  # where its last segment begins
            last = self._split(len(self._ranges) - 1, max(last.start + whole, last.end - limit))
        self._repeat(last, now)
        return last

    def _repeat(self, each: Range, now: Ns) -> None:
        """`each` leaves again though it is in flight."""
        if each.transmits > 1:
            self.resent -= each.end - each.start
        self._unlink(each)
        self._resend(each, now)

    def _resend(self, each: Range, now: Ns) -> None:
        each.transmits += 1
        each.sent_at = now
        self.resent += each.end - each.start
        self._link(each)

    # What the peer says

    def begin(self) -> None:
        """A new acknowledgement is at hand."""
        self.latest = self.sampled = self.newest = self.lost_resend = _LONG_AGO
        self.once = self.again = self.reordered = False

    def acknowledge(self, una: int, trusted: Ns = _ANY_TIME) -> None:
        """Everything before `una` has arrived. Of what was sent more than once, the last transmission is taken to be
        the one that arrived only if it left at `trusted` or before (RFC 8985 section 6.2, step 2)."""
        ranges = self._ranges
        head = self._head
        while head < len(ranges):
            each = ranges[head]
            if each.start >= una:
                break
            whole = each.end <= una
            end = each.end if whole else una
            octets = end - each.start
            if each.state == SACKED:
                self.sacked -= octets
                self.sacked_segments -= -(-octets // each.size)
            else:
                if each.transmits == 1:
                    self.once = True
                else:
                    self.again = True
                if each.sent_at > self.latest:
                    self.latest = each.sent_at
                self._deliver(each, end, octets, trusted)
            if whole:
                if each.state == FLIGHT:
                    self._unlink(each)
                each.state = GONE
                head += 1
            else:
                each.start = una
                break
        self._head = head
        if head > _PRUNE and head * 2 > len(ranges):
            del ranges[:head], self._starts[:head]
            self._head = 0
        if self._runs:
            self._runs.forget_before(una)

    def advance(self, una: int) -> Ns:
        """The same while everything is in flight for the first time: nothing is lost, nothing sacked, nothing was sent
        again. Returns when the newest of what is acknowledged left."""
        ranges, times = self._ranges, self._times
        head = self._head
        octets = una - ranges[head].start
        each = ranges[head]
        while each.end < una:
            each.state = GONE
            head += 1
            each = ranges[head]
        if each.end == una:
            each.state = GONE
            head += 1
            first = each.next
        else:
            each.start = una
            first = each
        times.next = first
        first.prev = self._before = times
        self.in_flight -= octets
        self.delivered += octets
        self.fack = self.rack_end = una
        self.rack_sent_at = each.sent_at
        self._head = head
        if head > _PRUNE and head * 2 > len(ranges):
            del ranges[:head], self._starts[:head]
            self._head = 0
        return each.sent_at

    def sack(self, start: int, end: int, trusted: Ns = _ANY_TIME) -> None:
        """The peer holds the octets from `start` on, `end` not included. They must have been sent. Blocks of one
        acknowledgement come in ascending order."""
        for first, last in self._runs.add(start, end):
            index = max(bisect_right(self._starts, first, self._head) - 1, self._head)
            at = first
            while at < last:
                each = self._ranges[index]
                if each.start < at:
                    self._split(index, at)
                    index += 1
                    each = self._ranges[index]
                if each.end > last:
                    self._split(index, last)
                at = each.end
                self._mark_sacked(each, trusted)
                index += 1

    def _mark_sacked(self, each: Range, trusted: Ns) -> None:
        octets = each.end - each.start
        if each.transmits == 1 and each.sent_at > self.sampled:
            self.sampled = each.sent_at
        self._deliver(each, each.end, octets, trusted)
        if each.state == FLIGHT:
            self._unlink(each)
        each.state = SACKED
        self.sacked += octets
        self.sacked_segments += -(-octets // each.size)

    def _deliver(self, each: Range, end: int, octets: int, trusted: Ns) -> None:
        """The octets of `each` up to `end` have arrived for the first time."""
        self.delivered += octets
        if each.state == FLIGHT:
            self.in_flight -= octets
            if each.transmits > 1:
                self.resent -= octets
        else:
            self.lost -= octets
        sent_at = each.sent_at
        if end > self.fack:
            self.fack = end
        elif end < self.fack and each.transmits == 1:
            self.reordered = True
        if each.transmits > 1 and sent_at > trusted:
            return
        if sent_at > self.newest:
            self.newest = sent_at
        if sent_at > self.rack_sent_at or (sent_at == self.rack_sent_at and end > self.rack_end):
            self.rack_sent_at = sent_at
            self.rack_end = end
            self._before = each.prev if each.state == FLIGHT else self._times

    # What is taken for lost

    def mark_lost(self, until: Ns) -> bool:
        """Take for lost what was sent before the last transmission that has arrived, and at `until` or before
        (RFC 8985 section 6.2, step 5). Whether there was any."""
        times, sent_at, end = self._times, self.rack_sent_at, self.rack_end
        each = times.next
        found = False
        while each is not times and each.sent_at <= until:
            if each.sent_at > sent_at or (each.sent_at == sent_at and each.end >= end):
                break
            following = each.next
            if each.transmits > 1 and each.sent_at > self.lost_resend:
                self.lost_resend = each.sent_at
            self._lose(each)
            found = True
            each = following
        return found

    @property
    def suspect(self) -> Ns | None:
        """When the newest of those left that are in flight, yet were sent before something that has arrived; None:
        there are none."""
        return None if self._before is self._times else self._before.sent_at

    def mark_lost_on_timeout(self, until: Ns) -> None:
        """Take for lost the first range, and what was sent at `until` or before (RFC 8985 section 6.3)."""
        times = self._times
        if self and self._ranges[self._head].state == FLIGHT:
            self._lose(self._ranges[self._head])
        while times.next is not times and times.next.sent_at <= until:
            self._lose(times.next)

    def mark_all_lost(self) -> None:
        """Take everything for lost that the peer does not hold (RFC 5681 section 3.1). Looks at all of it, once: then
        nothing is in flight."""
        times = self._times
        while times.next is not times:
            self._lose(times.next)

    def forget_sacks(self) -> None:
        """The peer has reneged: what it reported counts as lost. Looks at all ranges: for rare events."""
        for each in self._live():
            if each.state == SACKED:
                each.state = LOST
                self.lost += each.end - each.start
                heappush(self._heap, each.start)
        self._runs.clear()
        self.sacked = self.sacked_segments = 0
        self.fack = 0

    def unmark_lost(self) -> None:
        """What was taken for lost was only late: it is in flight as before. Looks at all ranges: for rare events."""
        flying = [each for each in self._live() if each.state != SACKED]
        for each in flying:
            if each.state == LOST:
                each.state = FLIGHT
                octets = each.end - each.start
                self.in_flight += octets
                if each.transmits > 1:
                    self.resent += octets
        self.lost = 0
        self._heap.clear()
        self._before = self._times.prev = self._times.next = self._times
        for each in sorted(flying, key=lambda each: (each.sent_at, each.end)):
            self._link(each)

    def clear(self) -> None:
        self._starts.clear()
        self._ranges.clear()
        self._heap.clear()
        self._runs.clear()
        self._head = 0
        self._before = self._times.prev = self._times.next = self._times
        self.in_flight = self.lost = self.resent = self.sacked = self.sacked_segments = 0

    def _lose(self, each: Range) -> None:
        octets = each.end - each.start
        self._unlink(each)
        each.state = LOST
        self.in_flight -= octets
        if each.transmits > 1:
            self.resent -= octets
        self.lost += octets
        heappush(self._heap, each.start)

    # The two orders

    def _live(self) -> list[Range]:
        return self._ranges[self._head :]

    def _link(self, each: Range) -> None:
        """Last in time."""
        times = self._times
        last = times.prev
        each.prev = last
        each.next = times
        last.next = times.prev = each

    def _unlink(self, each: Range) -> None:
        before, after = each.prev, each.next
        before.next = after
        after.prev = before
        if each is self._before:
            self._before = before

    def _split(self, index: int, at: int) -> Range:
        """Cut the range at `index` in two. Returns the second, which follows it in both orders."""
        front = self._ranges[index]
        rest = Range(at, front.end, front.size, front.sent_at, front.transmits)
        rest.state = front.state
        front.end = at
        self._ranges.insert(index + 1, rest)
        self._starts.insert(index + 1, at)
        if front.state == FLIGHT:
            rest.prev = front
            rest.next = front.next
            front.next.prev = rest
            front.next = rest
            if front is self._before:
                self._before = rest
        elif front.state == LOST:
            heappush(self._heap, at)
        return rest

    def _fill(self, index: int, limit: int) -> None:
        """Join the lost range at `index` with the lost ones behind it, to at most `limit` octets."""
        ranges = self._ranges
        first = ranges[index]
        while first.end - first.start < limit and index + 1 < len(ranges) and ranges[index + 1].state == LOST:
            second = ranges[index + 1]
            first.end = min(second.end, first.start + limit)
            first.transmits = max(first.transmits, second.transmits)
            if first.end < second.end:
                second.start = self._starts[index + 1] = first.end
                heappush(self._heap, second.start)
            else:
                second.state = GONE
                del ranges[index + 1], self._starts[index + 1]
