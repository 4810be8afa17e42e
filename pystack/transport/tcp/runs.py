"""Stretches of sequence space as disjoint runs."""

from bisect import bisect_left, bisect_right

__all__ = ["Runs"]


class Runs:
    """A set of sequence numbers as at most `limit` runs; those that touch are one."""

    __slots__ = ("_ends", "_starts", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> "zip[tuple[int, int]]":
        return zip(self._starts, self._ends, strict=True)

    @property
    def start(self) -> int:
        """The lowest number. There must be one."""
        return self._starts[0]

    @property
    def end(self) -> int:
        """One past the highest number. There must be one."""
        return self._ends[-1]

    def add(self, start: int, end: int) -> list[tuple[int, int]]:
        """Add the numbers from `start` on, `end` not included. Returns the runs of those that are new; none when there
        would be more runs than `limit`: then they are not added."""
        starts, ends = self._starts, self._ends
        first = bisect_left(ends, start)
        last = bisect_right(starts, end, first)  # first..last-1 touch what is added
        if first == last:
            if len(starts) >= self.limit:
                return []
            starts.insert(first, start)
            ends.insert(first, end)
            return [(start, end)]
        if last - first == 1 and starts[first] <= start and end <= ends[first]:
            return []
        new = []
        at = start
        for index in range(first, last):
            if starts[index] > at:
                new.append((at, starts[index]))
            at = max(at, ends[index])
        if at < end:
            new.append((at, end))
        starts[first:last] = [min(start, starts[first])]
        ends[first:last] = [max(end, ends[last - 1])]
        return new

    def at(self, number: int) -> tuple[int, int] | None:
        """The run that `number` is in."""
        index = bisect_right(self._ends, number)
        if index == len(self._starts) or number < self._starts[index]:
            return None
        return self._starts[index], self._ends[index]

    def common(self, start: int, end: int) -> tuple[int, int] | None:
        """The first stretch of `start` to `end` that is in here."""
        index = bisect_right(self._ends, start)
        if index == len(self._starts) or end <= self._starts[index]:
            return None
        return max(start, self._starts[index]), min(end, self._ends[index])

    def first(self, count: int) -> list[tuple[int, int]]:
        """The lowest `count` of them at most."""
        return list(zip(self._starts[:count], self._ends[:count], strict=True))

    def pop_first(self) -> tuple[int, int]:
        """Remove the lowest one."""
        return self._starts.pop(0), self._ends.pop(0)

    def forget_before(self, number: int) -> None:
        """Remove everything below `number`."""
        starts, ends = self._starts, self._ends
        gone = bisect_right(ends, number)
        del starts[:gone], ends[:gone]
        if starts and starts[0] < number:
            starts[0] = number

    def clear(self) -> None:
        self._starts.clear()
        self._ends.clear()
