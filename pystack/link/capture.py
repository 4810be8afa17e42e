"""Watching a link: each wire frame in both directions goes to a sink, such as a pcapng file for Wireshark."""

import logging
from bisect import bisect_right
from collections.abc import Sequence
from typing import BinaryIO, Final, Protocol

from pystack.errors import DecodeError
from pystack.link.base import Frame, Link, Medium
from pystack.link.normalise import normalise
from pystack.link.wrapper import LinkWrapper
from pystack.units import Ns
from pystack.wire.pcapng import Direction, EnhancedPacket, InterfaceDescription, LinkType, SectionHeader

__all__ = ["CaptureLink", "Direction", "PcapngSink", "Sink"]

logger = logging.getLogger("pystack.capture")

_LINK_TYPES: Final = {Medium.ETHERNET: LinkType.ETHERNET, Medium.IP: LinkType.RAW}


class Sink(Protocol):
    """Takes each frame as it crosses; called inside the stack's turn, so it must be quick and must not raise."""

    def __call__(self, direction: Direction, frame: bytes, now: Ns, /) -> None: ...


class PcapngSink:
    """Writes frames to a pcapng file, which stays the caller's to close. Each block is flushed: a crash loses nothing.

    A file that cannot be written (the disk is full, it has been closed) ends the capture, not the traffic: `error` says
    why.
    """

    def __init__(
        self, file: BinaryIO, medium: Medium = Medium.ETHERNET, unix_offset: Ns = 0, *, name: str = ""
    ) -> None:
        """`unix_offset` is what to add to `now` to get nanoseconds since 1970. Raises `OSError` as `file` does."""
        self.error: OSError | ValueError | None = None
        self._file = file
        self._unix_offset = unix_offset
        file.write(bytes(SectionHeader()) + bytes(InterfaceDescription.nanoseconds(_LINK_TYPES[medium], name)))
        file.flush()

    def __call__(self, direction: Direction, frame: bytes, now: Ns) -> None:
        if self.error is not None:
            return
        block = EnhancedPacket.captured(frame, now + self._unix_offset, direction).to_bytes()
        try:
            self._file.write(block)
            self._file.flush()
        except (OSError, ValueError) as error:  # ValueError: the file is closed
            self.error = error
            logger.warning("the capture ends here: %s", error)


class CaptureLink(LinkWrapper):
    """Any link, watched: `sink` is told of every wire frame, INBOUND ones as they arrive and OUTBOUND ones once the
    inner link has taken them.

    Outbound frames are normalised, and the inner link is given what was captured. When it takes only some segments of a
    super-segment, `send` counts the super-segment as not taken, and when that comes first in the next call, goes on
    behind those segments. Inbound frames pass unchanged, marks included, while the sink sees the wire frames they stand
    for. A frame whose marks do not fit its octets is neither repaired nor withheld, and is captured as it is.
    """

    def __init__(self, inner: Link, sink: Sink) -> None:
        super().__init__(inner)
        self._sink = sink
        self._medium = inner.capabilities.medium
        self._begun: tuple[Frame, Sequence[Frame]] | None = None  # refused, and which of its segments are left

    def send(self, frames: Sequence[Frame], now: Ns) -> int:
        if not frames:
            return 0
        begun = self._begun
        pieces: list[Frame] = []
        ends: list[int] = []  # per frame: how many pieces there are, its own included
        for frame in frames:
            if begun is not None and begun[0] is frame and not ends:
                pieces += begun[1]
            else:
                pieces += self._wire_frames(frame)
            ends.append(len(pieces))
        crossed = self.inner.send(pieces, now)
        for piece in pieces[:crossed]:
            self._sink(Direction.OUTBOUND, piece.to_bytes(), now)
        taken = bisect_right(ends, crossed)
        self._begun = (frames[taken], pieces[crossed : ends[taken]]) if taken < len(frames) else None
        return taken

    def receive(self, budget: int, now: Ns) -> Sequence[Frame]:
        frames = self.inner.receive(budget, now)
        for frame in frames:
            for piece in self._wire_frames(frame):
                self._sink(Direction.INBOUND, piece.to_bytes(), now)
        return frames

    def _wire_frames(self, frame: Frame) -> Sequence[Frame]:
        try:
            return normalise(frame, self._medium)
        except DecodeError:
            return (frame,)
