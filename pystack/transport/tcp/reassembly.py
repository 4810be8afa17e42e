"""What has arrived beyond a gap, by sequence number."""

from collections.abc import Iterator

from typing_extensions import Buffer

from pystack.transport.tcp.runs import Runs
from pystack.transport.tcp.sendbuffer import PIECE_COST

__all__ = ["GATHERED", "RANGE_COST", "SMALL", "Reassembly", "cut"]

RANGE_COST = PIECE_COST
"""Octets charged for each range beyond a gap, on top of its pieces."""
SMALL = 512
"""Shorter pieces are copied together instead of kept one by one."""
GATHERED = 16 << 10
"""Up to this size."""


class Reassembly:
    """Ranges of sequence numbers, and the pieces that they are stored in, by where each begins. Joining two ranges
    moves no piece, and each is looked at once when it leaves.

    Octets are copied: they may wait for long, and a view would hold the whole frame that they came in, and cost more
    than it is charged. Where octets arrive twice the first ones stay.
    """

    __slots__ = ("_growing", "_pieces", "octets", "ranges")

    def __init__(self, limit: int) -> None:
        self.ranges = Runs(limit)
        self.octets = 0
        self._pieces: dict[int, bytes | bytearray] = {}
        self._growing: dict[int, int] = {}  # where each piece ends that takes more, and where it begins

    @property
    def cost(self) -> int:
        """What it is charged."""
        return self.octets + PIECE_COST * len(self._pieces) + RANGE_COST * len(self.ranges)

    @property
    def overhead(self) -> int:
        """What of it is not octets."""
        return self.cost - self.octets

    def insert(self, seq: int, buffers: tuple[Buffer, ...], length: int) -> bool:
        """Store what is new of `length` octets from `seq` on. False: there would be too many ranges."""
        new = self.ranges.add(seq, seq + length)
        for start, end in new:
            whole = end - start == length
            self._store(start, end, buffers if whole else cut(buffers, start - seq, end - start))
            self.octets += end - start
        return bool(new) or self.ranges.at(seq) is not None

    def take_first(self) -> Iterator[tuple[int, bytes | bytearray]]:
        """Give the pieces of the first range away, each with where it begins."""
        start, end = self.ranges.pop_first()
        self.octets -= end - start
        while start < end:
            piece = self._pieces.pop(start)
            yield start, piece
            start += len(piece)
            self._growing.pop(start, None)

    def clear(self) -> None:
        self.ranges.clear()
        self.octets = 0
        self._pieces.clear()
        self._growing.clear()

    def _store(self, start: int, end: int, buffers: tuple[Buffer, ...]) -> None:
        if end - start >= SMALL:
            self._pieces[start] = b"".join(buffers)
            return
        begin = self._growing.pop(start, start)
        piece = bytearray() if begin == start else self._pieces[begin]
        for buffer in buffers:
            piece += buffer
        after = self._pieces.get(end, b"")
        if 0 < len(after) < SMALL - len(piece):
            del self._pieces[end]
            piece += after
            end += len(after)
        self._pieces[begin] = piece
        if len(piece) < GATHERED:
            self._growing[end] = begin


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
