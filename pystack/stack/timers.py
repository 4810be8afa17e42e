"""One heap of deadlines for a whole stack. Moving an alarm costs nothing while nobody asks for the next deadline: it is
entered then, if that is earlier than its old entry, which is corrected when met."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace

from pystack.units import Ns

__all__ = ["Alarm", "Timers"]

COMPACT_FROM = 64
"""Below this many entries dead ones are left to surface by themselves."""


class Alarm:
    """One owner's next deadline."""

    __slots__ = ("_callback", "_entry", "_timers", "_waiting", "deadline")

    def __init__(self, timers: "Timers", callback: Callable[[Ns], None]) -> None:
        self._timers = timers
        self._callback = callback
        self._entry: Ns | None = None  # the time under which the heap knows this alarm
        self._waiting = False  # to be entered
        self.deadline: Ns | None = None

    def set(self, deadline: Ns | None) -> None:
        """Ring at `deadline`; None: do not ring. Replaces what was set before."""
        if deadline == self.deadline:
            return
        self.deadline = deadline
        if deadline is not None and not self._waiting and (self._entry is None or deadline < self._entry):
            self._waiting = True
            self._timers.waiting.append(self)

    def cancel(self) -> None:
        """Never ring again; the owner is gone, and nothing here keeps it alive. The heap lets go of the alarm in
        amortised constant time."""
        self.deadline = None
        self._callback = _nobody
        if self._entry is not None:
            self._timers.abandon()


class Timers:
    """The alarms of one stack, rung in order of their deadlines, ties in order of entry."""

    def __init__(self) -> None:
        self._heap: list[tuple[Ns, int, Alarm]] = []
        self.waiting: list[Alarm] = []
        """Set since somebody asked for the next deadline, perhaps to one earlier than the heap knows."""
        self._entered = 0
        self._abandoned = 0

    def alarm(self, callback: Callable[[Ns], None]) -> Alarm:
        return Alarm(self, callback)

    def next_deadline(self) -> Ns | None:
        if self.waiting:
            self._enter()
        heap = self._heap
        while heap:
            when, _, alarm = heap[0]
            if alarm._entry != when or alarm.deadline is None:
                self._drop_first()
            elif alarm.deadline > when:
                self._entered += 1
                alarm._entry = alarm.deadline
                heapreplace(heap, (alarm.deadline, self._entered, alarm))
            else:
                return when
        return None

    def ring(self, now: Ns) -> None:
        """Call back every alarm that is due. One set anew by its callback for `now` or earlier rings again."""
        while self.waiting or (self._heap and self._heap[0][0] <= now):  # no entry is later than its alarm's deadline
            when = self.next_deadline()
            if when is None or when > now:
                return
            alarm = self._drop_first()
            alarm.deadline = None
            alarm._callback(now)

    def _enter(self) -> None:
        for alarm in self.waiting:
            alarm._waiting = False
            deadline = alarm.deadline
            if deadline is not None and (alarm._entry is None or deadline < alarm._entry):
                self._entered += 1
                alarm._entry = deadline
                heappush(self._heap, (deadline, self._entered, alarm))
        self.waiting.clear()

    def abandon(self) -> None:
        self._abandoned += 1
        if self._abandoned * 2 > len(self._heap) > COMPACT_FROM:
            live = [entry for entry in self._heap if entry[2].deadline is not None and entry[2]._entry == entry[0]]
            for when, _, alarm in self._heap:
                if alarm.deadline is None and alarm._entry == when:
                    alarm._entry = None
            heapify(live)
            self._heap = live
            self._abandoned = 0

    def _drop_first(self) -> Alarm:
        when, _, alarm = heappop(self._heap)
        if alarm._entry == when:
            alarm._entry = None
        return alarm


def _nobody(now: Ns) -> None:
    """Whom a cancelled alarm would call."""
