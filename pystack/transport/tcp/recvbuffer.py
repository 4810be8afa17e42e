"""What has arrived and the user has not read: the stream in order, and ranges beyond a gap."""

from collections import deque

from typing_extensions import Buffer

from pystack.transport.tcp.reassembly import GATHERED, RANGE_COST, SMALL, Reassembly
from pystack.transport.tcp.sendbuffer import PIECE_COST

__all__ = ["ReceiveBuffer"]


class _Pieces:
    """Consecutive octets as the buffers they came in, small ones merged."""

    __slots__ = ("octets", "pieces")

    def __init__(self) -> None:
        self.octets = 0
        self.pieces: deque[memoryview | bytes | bytearray] = deque()

    @property
    def cost(self) -> int:
        return self.octets + PIECE_COST * len(self.pieces)

    def append(self, piece: memoryview | bytes | bytearray) -> None:
        size = len(piece)
        self.octets += size
        if size >= SMALL:
            self.pieces.append(piece)
            return
        last = self.pieces[-1] if self.pieces else None
        if isinstance(last, bytearray) and len(last) < GATHERED:
            last += piece
        else:
            self.pieces.append(bytearray(piece))


class ReceiveBuffer:
    """The stream from the first unread octet to `nxt` (RCV.NXT), and what came beyond it.

    Octets within the window that was promised are always taken in order; out of order at most `max_ranges` ranges,
    and as much as `limit` allows, the cost of pieces and ranges included.
    """

    __slots__ = ("_offset", "_ready", "beyond", "limit", "nxt")

    def __init__(self, nxt: int, limit: int, max_ranges: int) -> None:
        self.nxt = nxt
        self.limit = limit
        self._ready = _Pieces()
        self._offset = 0  # octets of the first ready piece that were read
        self.beyond = Reassembly(max_ranges)
        """What waits beyond gaps."""

    @property
    def readable(self) -> int:
        """Octets that `read` can give."""
        return self._ready.octets

    @property
    def cost(self) -> int:
        """What everything stored is charged."""
        ready = self._ready
        cost = ready.octets + PIECE_COST * len(ready.pieces)
        return cost + self.beyond.cost if self.beyond.octets else cost

    @property
    def room(self) -> int:
        """Octets from `nxt` on that `limit` leaves room for, less than 0 when it is exceeded. Those that wait beyond a
        gap lie among them: only their overhead takes room away."""
        ready = self._ready
        cost = ready.octets + PIECE_COST * len(ready.pieces)
        return self.limit - (cost + self.beyond.overhead if self.beyond.octets else cost)

    @property
    def end(self) -> int:
        """One past the last octet that has arrived."""
        return self.beyond.ranges.end if self.beyond.octets else self.nxt

    def append(self, buffers: tuple[Buffer, ...], length: int) -> None:
        """`length` octets that begin at `nxt`."""
        self.nxt += length
        ready = self._ready
        if length >= SMALL and len(buffers) == 1:
            ready.octets += length
            ready.pieces.append(memoryview(buffers[0]))
        else:
            for buffer in buffers:
                ready.append(memoryview(buffer))
        if self.beyond.octets:
            self._close_gap()

    def insert(self, seq: int, buffers: tuple[Buffer, ...], length: int) -> bool:
        """`length` octets beyond a gap. False: they were dropped, one of the bounds is reached."""
        if self.cost + length + PIECE_COST + RANGE_COST > self.limit:
            return False
        return self.beyond.insert(seq, buffers, length)

    def drop_out_of_order(self) -> None:
        """Give up everything beyond the first gap: it was never acknowledged."""
        self.beyond.clear()

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

    def _take(self, size: int) -> memoryview | bytes | bytearray:
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

    def _close_gap(self) -> None:
        """Move what now follows without a gap to the ready octets."""
        beyond = self.beyond
        while beyond.octets and beyond.ranges.start <= self.nxt:
            for start, piece in beyond.take_first():
                skip = self.nxt - start
                if skip < len(piece):
                    self._ready.append(piece[skip:] if skip else piece)
                    self.nxt = start + len(piece)
