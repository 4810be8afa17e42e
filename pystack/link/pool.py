"""Memory for large received frames, read into again once nobody looks at it any more.

A frame of 64 KB may lie in a receive buffer for long or be gone at once. Memory that is allocated for each and freed
soon goes back to the system every time, and getting it anew costs more than reading the frame into it.
"""

from collections import deque
from typing import Final

from typing_extensions import Buffer

__all__ = ["FramePool"]

SMALL: Final = 32 << 10
"""Shorter frames are copied out: nobody shall hold 64 KB for the sake of less than half of it."""

MOST: Final = 256
"""Buffers that the pool remembers: as many as the largest receive buffer of one connection holds."""


class FramePool:
    """Hands out buffers of `size` octets one after the other, and again in the order in which they were lent."""

    __slots__ = ("_lent", "_size", "buffer")

    def __init__(self, size: int) -> None:
        self._size = size
        self._lent: deque[bytearray] = deque()
        self.buffer = _resizable(size)
        """Where the next frame is to be read into."""

    def frame(self, octets: int) -> Buffer:
        """The first `octets` of `buffer`, which stay as they are while anybody refers to them."""
        view = memoryview(self.buffer)[:octets]
        if octets < SMALL:
            return bytes(view)
        self._lent.append(self.buffer)
        self.buffer = self._next()
        return view.toreadonly()

    def _next(self) -> bytearray:
        if _TELLS and _is_free(self._lent[0]):
            return self._lent.popleft()
        if len(self._lent) > MOST:
            self._lent.popleft()
        return _resizable(self._size)


def _resizable(size: int) -> bytearray:
    """`size` octets that can grow by one without moving."""
    buffer = bytearray(size + 1)
    buffer.pop()
    return buffer


def _is_free(buffer: bytearray) -> bool:
    """Whether no view of `buffer` is left: as long as there is one, it cannot change its size."""
    try:
        buffer.append(0)
    except BufferError:
        return False
    buffer.pop()
    return True


def _is_seen_while_viewed() -> bool:
    buffer = bytearray(1)
    with memoryview(buffer):
        return not _is_free(buffer)


_TELLS: Final = _is_seen_while_viewed()
"""CPython refuses to resize what somebody looks at. On an interpreter that does not, no buffer is used twice."""
