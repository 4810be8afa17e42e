"""What the user has sent and the peer has not acknowledged, by sequence number."""

from bisect import bisect_right

from typing_extensions import Buffer

__all__ = ["PIECE_COST", "SendBuffer", "room_for", "whole_super_segments"]

PIECE_COST = 128
"""Octets charged for each stored piece on top of its content."""
_SMALL = 4096
"""Shorter data is copied together."""
_SUPER_SEGMENT = 65535


def room_for(segments: int, mss: int) -> int:
    """Octets that a buffer has room for at a congestion window of so many segments of `mss` octets: what Linux takes.
    It charges each segment with the memory that it lies in, a power of two with room for headers, and lets twice the
    window be charged. Behind what leaves at once it takes whole super-segments until that is reached."""
    charge = 2 * segments * (256 + (1 << (mss + 511).bit_length()))
    leaving = segments * mss
    return leaving + whole_super_segments(charge - leaving)


def whole_super_segments(octets: int) -> int:
    """What Linux takes before it finds that `octets` are enough."""
    return -(-octets // _SUPER_SEGMENT) * _SUPER_SEGMENT


class SendBuffer:
    """A stretch of the stream in pieces, from the first unacknowledged octet (`start`) to the last one sent by the
    user (`end`). `bytes` are kept without copying and handed out as slices."""

    __slots__ = ("_head", "_pieces", "_starts", "_tail", "cost", "end", "limit", "start")

    def __init__(self, start: int, limit: int) -> None:
        self.start = start
        self.end = start
        self.limit = limit
        """Octets, the cost of pieces included."""
        self.cost = 0
        """What everything stored is charged."""
        self._pieces: list[memoryview | bytes] = []  # of bytes: what was gathered, cheaper than a view of it
        self._starts: list[int] = []
        self._head = 0  # pieces in front of it are acknowledged: removed in bulk
        self._tail = bytearray()  # small writes gather here until they are looked at

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def space(self) -> int:
        """Octets that `append` takes now."""
        return max(0, self.limit - self.cost)

    def append(self, data: Buffer, most: int) -> int:
        """How many octets of `data`, from the front, were taken: `most` at most."""
        view = memoryview(data)
        if view.format != "B" or not view.contiguous:
            view = memoryview(view.tobytes())
        taken = min(view.nbytes, self.space, most)
        if not taken:
            return 0
        self.cost += taken
        if taken < _SMALL:
            if not self._tail:
                self.cost += PIECE_COST
            self._tail += view[:taken]
            self.end += taken
            if len(self._tail) >= _SMALL:
                self._seal()
            return taken
        self._seal()
        if taken < view.nbytes:
            view = view[:taken]
        if not isinstance(view.obj, bytes):  # somebody may change it
            view = memoryview(view.tobytes())
        self._store(view)
        self.end += taken
        return taken

    def slices(self, seq: int, length: int) -> tuple[memoryview | bytes, ...]:
        """The `length` octets from `seq`, which must be in the buffer, without copying them."""
        sealed = self.end - len(self._tail)
        if seq + length > sealed:
            self._seal()
        index = bisect_right(self._starts, seq, self._head) - 1
        piece = self._pieces[index]
        at = seq - self._starts[index]
        if not at and length == len(piece):
            return (piece,)
        if at + length <= len(piece):
            return (memoryview(piece)[at : at + length],)
        parts = [memoryview(piece)[at:]]
        length -= len(piece) - at
        while length:
            index += 1
            part = memoryview(self._pieces[index])[:length]
            parts.append(part)
            length -= len(part)
        return tuple(parts)

    def acknowledge(self, seq: int) -> None:
        """Forget everything before `seq`."""
        if seq == self.end:
            self.start = seq
            self.clear()
            return
        if seq > self.end - len(self._tail):
            self._seal()
        self.cost -= seq - self.start
        self.start = seq
        starts, pieces, head = self._starts, self._pieces, self._head
        while head < len(pieces) and starts[head] + len(pieces[head]) <= seq:
            pieces[head] = b""
            head += 1
            self.cost -= PIECE_COST
        if head > 32 and head * 2 > len(pieces):
            del pieces[:head], starts[:head]
            head = 0
        self._head = head

    def clear(self) -> None:
        """Forget everything; the buffer is empty at `start`."""
        self._pieces.clear()
        self._starts.clear()
        self._tail.clear()
        self._head = self.cost = 0
        self.end = self.start

    def _store(self, view: memoryview) -> None:
        self.cost += PIECE_COST
        self._starts.append(self.end - len(self._tail))
        self._pieces.append(view)

    def _seal(self) -> None:
        """Make one piece of the small writes gathered so far: from now on it may be handed out."""
        if self._tail:
            tail, self._tail = self._tail, bytearray()
            self._starts.append(self.end - len(tail))
            self._pieces.append(bytes(tail))
