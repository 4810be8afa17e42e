"""What has arrived and the user has not read: the stream in order, and ranges beyond a gap."""

from bisect import bisect_left, bisect_right
from collections import deque

from typing_extensions import Buffer

from pystack.transport.tcp.sendbuffer import PIECE_COST

__all__ = ["ReceiveBuffer"]

_SMALL = 512
"""Shorter pieces are copied together instead of kept as they came."""
_GATHERED = 16 << 10
"""Up to this size."""


class _Pieces:
    """Consecutive octets as the buffers they came in, small ones merged."""

    __slots__ = ("octets", "pieces")

    def __init__(self) -> None:
        self.octets = 0
        self.pieces: deque[memoryview | bytearray] = deque()

    @property
    def cost(self) -> int:
        return self.octets + PIECE_COST * len(self.pieces)

    def append(self, buffer: Buffer) -> None:
        view = memoryview(buffer)
        size = view.nbytes
        self.octets += size
        if size >= _SMALL:
            self.pieces.append(view)
            return
        last = self.pieces[-1] if self.pieces else None
        if isinstance(last, bytearray) and len(last) < _GATHERED:
            last += view
        else:
            self.pieces.append(bytearray(view))

    def join(self, after: "_Pieces") -> "_Pieces":
        """Both in a row; whichever has fewer pieces is moved."""
        self.octets += after.octets
        mine, theirs = self.pieces, after.pieces
        if mine and theirs and len(mine[-1]) + len(theirs[0]) < _SMALL:
            theirs[0] = bytearray(mine.pop()) + theirs[0]
        if len(mine) >= len(theirs):
            mine += theirs
        else:
            theirs.extendleft(reversed(mine))
            self.pieces = theirs
        return self


class ReceiveBuffer:
    """The stream from the first unread octet to `nxt` (RCV.NXT), and what came beyond it, by sequence number.

    Octets within the window that was promised are always taken in order; out of order at most `max_ranges` ranges,
    and as much as `limit` allows, the cost of pieces included. Where octets arrive twice the first ones stay.
    """

    __slots__ = (
        "_offset",
        "_ranges",
        "_ready",
        "_starts",
        "limit",
        "max_ranges",
        "nxt",
        "out_of_order",
        "out_of_order_cost",
    )

    def __init__(self, nxt: int, limit: int, max_ranges: int) -> None:
        self.nxt = nxt
        self.limit = limit
        self.max_ranges = max_ranges
        self._ready = _Pieces()
        self._offset = 0  # octets of the first ready piece that were read
        self._starts: list[int] = []
        self._ranges: list[_Pieces] = []
        self.out_of_order = 0
        """Octets that wait beyond gaps."""
        self.out_of_order_cost = 0

    @property
    def readable(self) -> int:
        """Octets that `read` can give."""
        return self._ready.octets

    @property
    def cost(self) -> int:
        """What everything stored is charged."""
        ready = self._ready
        return ready.octets + PIECE_COST * len(ready.pieces) + self.out_of_order_cost

    @property
    def room(self) -> int:
        """Octets from `nxt` on that `limit` leaves room for, less than 0 when it is exceeded. Those that wait beyond a
        gap lie among them: only their pieces take room away."""
        ready = self._ready
        cost = ready.octets + PIECE_COST * len(ready.pieces) + self.out_of_order_cost - self.out_of_order
        return self.limit - cost

    @property
    def gaps(self) -> bool:
        """Whether something waits beyond a gap."""
        return bool(self._starts)

    @property
    def end(self) -> int:
        """One past the last octet that has arrived."""
        return self._end(-1) if self._starts else self.nxt

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """What waits beyond gaps, as (first, one past the last) sequence numbers, ascending."""
        return tuple((start, start + held.octets) for start, held in zip(self._starts, self._ranges, strict=True))

    @property
    def range_count(self) -> int:
        return len(self._starts)

    def first_ranges(self, count: int) -> list[tuple[int, int]]:
        """The first `count` of `ranges` at most."""
        return [(self._starts[index], self._end(index)) for index in range(min(count, len(self._starts)))]

    def range_at(self, seq: int) -> tuple[int, int] | None:
        """The range beyond a gap that `seq` lies in."""
        index = bisect_right(self._starts, seq) - 1
        if index < 0 or seq >= self._end(index):
            return None
        return self._starts[index], self._end(index)

    def held(self, start: int, end: int) -> tuple[int, int] | None:
        """The first part of what lies between `start` and `end` that waits beyond a gap already."""
        index = max(bisect_right(self._starts, start) - 1, 0)
        for at in range(index, min(index + 2, len(self._starts))):
            first, last = max(start, self._starts[at]), min(end, self._end(at))
            if first < last:
                return first, last
        return None

    def append(self, buffers: tuple[Buffer, ...], length: int) -> None:
        """`length` octets that begin at `nxt`."""
        self.nxt += length
        ready = self._ready
        if length >= _SMALL and len(buffers) == 1:
            ready.octets += length
            ready.pieces.append(memoryview(buffers[0]))
        else:
            for buffer in buffers:
                ready.append(buffer)
        if self._starts:
            self._close_gap()

    def insert(self, seq: int, buffers: tuple[Buffer, ...], length: int) -> bool:
        """`length` octets beyond a gap. False: they were dropped, one of the bounds is reached."""
        end = seq + length
        first = bisect_left(self._starts, seq)
        if first and self._end(first - 1) >= seq:
            first -= 1
        last = bisect_right(self._starts, end)  # ranges first..last-1 touch [seq, end)
        if first == last and len(self._starts) >= self.max_ranges:
            return False
        if self.cost + length + PIECE_COST > self.limit:
            return False
        touched = list(zip(self._starts[first:last], self._ranges[first:last], strict=True))
        start = min(seq, touched[0][0]) if touched else seq
        merged = _Pieces()
        at = seq
        for begin, held in touched:
            self._count(held, -1)
            if begin > at:
                _copy(merged, buffers, at - seq, begin - at)
            at = max(at, begin + held.octets)
            merged = merged.join(held)
        if end > at:
            _copy(merged, buffers, at - seq, end - at)
        self._starts[first:last] = [start]
        self._ranges[first:last] = [merged]
        self._count(merged, 1)
        return True

    def drop_out_of_order(self) -> None:
        """Give up everything beyond the first gap: it was never acknowledged."""
        self._starts.clear()
        self._ranges.clear()
        self.out_of_order = self.out_of_order_cost = 0

    def clear(self) -> None:
        self.drop_out_of_order()
        self._ready = _Pieces()
        self._offset = 0

    def read(self, size: int) -> bytes:
        """Take at most `size` octets out."""
        parts: list[Buffer] = []
        wanted = size = min(size, self._ready.octets)
        while wanted:
            part = self._take(wanted)
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    def read_into(self, view: memoryview) -> int:
        """Take out as many octets as fit into `view` (of format B), and say how many."""
        at = 0
        size = min(view.nbytes, self._ready.octets)
        while at < size:
            part = self._take(size - at)
            view[at : at + len(part)] = part
            at += len(part)
        return size

    def peek(self, size: int) -> bytes:
        """The first `size` octets at most, which stay."""
        parts: list[Buffer] = []
        wanted = min(size, self._ready.octets)
        offset = self._offset
        for piece in self._ready.pieces:
            if not wanted:
                break
            part = memoryview(piece)[offset : offset + wanted]
            offset = 0
            wanted -= len(part)
            parts.append(part)
        return b"".join(parts)

    def peek_at(self, offset: int) -> bytes:
        """The octet that has `offset` readable ones before it."""
        offset += self._offset
        for piece in self._ready.pieces:
            if offset < len(piece):
                return bytes(piece[offset : offset + 1])
            offset -= len(piece)
        return b""

    def _take(self, size: int) -> memoryview | bytearray:
        """The next octets, at most `size`, at most one piece."""
        ready = self._ready
        piece, offset = ready.pieces[0], self._offset
        left = len(piece) - offset
        if size >= left:
            ready.pieces.popleft()
            self._offset = 0
            ready.octets -= left
            return piece[offset:] if offset else piece
        self._offset += size
        ready.octets -= size
        return piece[offset : offset + size]

    def _count(self, held: _Pieces, sign: int) -> None:
        """A range begins, or ends, to wait beyond a gap."""
        self.out_of_order += sign * held.octets
        self.out_of_order_cost += sign * held.cost

    def _end(self, index: int) -> int:
        return self._starts[index] + self._ranges[index].octets

    def _close_gap(self) -> None:
        """Move what now follows without a gap to the ready octets."""
        while self._starts and self._starts[0] <= self.nxt:
            start = self._starts.pop(0)
            held = self._ranges.pop(0)
            self._count(held, -1)
            skip = self.nxt - start
            if skip >= held.octets:
                continue
            self.nxt = start + held.octets
            if skip:
                held = _without(held, skip)
            if self._offset:  # the first ready piece is half read: it stays first
                self._ready.octets += held.octets
                self._ready.pieces += held.pieces
            else:
                self._ready = self._ready.join(held)


def _copy(to: _Pieces, buffers: tuple[Buffer, ...], skip: int, length: int) -> None:
    """Append to `to` the `length` octets of `buffers` after the first `skip`."""
    for buffer in cut(buffers, skip, length):
        to.append(buffer)


def _without(held: _Pieces, skip: int) -> _Pieces:
    rest = _Pieces()
    _copy(rest, tuple(held.pieces), skip, held.octets - skip)
    return rest


def cut(buffers: tuple[Buffer, ...], skip: int, length: int) -> tuple[memoryview, ...]:
    """The `length` octets of `buffers` after the first `skip`, without copying."""
    parts = []
    for buffer in buffers:
        view = memoryview(buffer)
        if skip >= view.nbytes:
            skip -= view.nbytes
            continue
        part = view[skip : skip + length]
        skip = 0
        length -= part.nbytes
        parts.append(part)
        if not length:
            break
    return tuple(parts)
