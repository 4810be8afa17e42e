"""The virtio-net header: a frame's offload marks as the kernel's TAP, TUN and AF_PACKET carry them in front of it.

Ten octets in the machine's own order (virtio 1.1, section 5.1.6, without `num_buffers`): flags, GSO type, length of the
headers, GSO size, where the checksum starts, where its field lies behind that.
"""

import struct
from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from typing_extensions import Buffer, override

from pystack.errors import DecodeError
from pystack.link.base import Checksum, Frame, GSOType, LinkCapabilities, Offload
from pystack.link.linux import LARGEST_FRAME, KernelLink, gather
from pystack.link.normalise import normalise
from pystack.link.pool import FramePool
from pystack.units import Ns

__all__ = ["HEADER_OCTETS", "LARGEST_SUPER_SEGMENT", "VnetLink", "decode", "encode", "with_header"]

_HEADER: Final = struct.Struct("=BBHHHH")
HEADER_OCTETS: Final = _HEADER.size

_NEEDS_CSUM, _DATA_VALID = 1, 2
_ECN: Final = 0x80
"""The first segment, and no other, carries CWR. `normalise` cuts all super-segments so."""

LARGEST_SUPER_SEGMENT: Final = 65_535
"""Octets of IP packet. The kernel takes more, which IP's length field cannot say."""

_PLAIN: Final = bytes(HEADER_OCTETS)
"""In front of a frame without marks."""


def with_header(frame: Frame) -> Sequence[Buffer]:
    """`frame` as the kernel takes it."""
    offload = frame.offload
    return (_PLAIN if offload is None else encode(offload), *gather(frame.buffers))


@lru_cache(256)
def encode(offload: Offload) -> bytes:
    """The header in front of a frame with these marks, one that is sent."""
    flags = _NEEDS_CSUM if offload.checksum is Checksum.PARTIAL else 0
    return _HEADER.pack(
        flags,
        offload.gso_type,
        offload.header_length,
        offload.gso_size,
        offload.csum_start,
        offload.csum_offset,
    )


@lru_cache(256)
def decode(header: bytes) -> tuple[Offload | None, int]:
    """The marks of a frame that arrived behind `header`, and how many octets it must have for them.

    Raises `DecodeError` when they say nothing that we understand.
    """
    flags, kind, header_length, gso_size, csum_start, csum_offset = _HEADER.unpack(header)
    if flags & _NEEDS_CSUM:
        checksum, least = Checksum.PARTIAL, csum_start + csum_offset + 2
    elif flags & _DATA_VALID:
        checksum, least = Checksum.VERIFIED, 0
    else:
        checksum, least = Checksum.COMPLETE, 0
    if not least:
        csum_start = csum_offset = 0
    try:
        gso_type = GSOType(kind & ~_ECN)
    except ValueError:
        raise DecodeError("offload.gso_type", str(kind)) from None
    if gso_type is GSOType.NONE:
        if checksum is Checksum.COMPLETE:
            return None, 0
        return Offload(checksum, csum_start, csum_offset), least
    if not gso_size:
        raise DecodeError("offload.gso_size", "0 octets")
    return Offload(checksum, csum_start, csum_offset, gso_type, gso_size, header_length), least


class VnetLink(KernelLink):
    """A link whose frames may stand behind the header. `headers`: they do."""

    def __init__(self, name: str, capabilities: LinkCapabilities, *, headers: bool) -> None:
        super().__init__(name, capabilities)
        self._headers = headers
        self._header = bytearray(HEADER_OCTETS)
        self._pool = FramePool(LARGEST_FRAME)
        self._datagrams: deque[Frame] = deque()

    @override
    def next_arrival(self) -> Ns | None:
        return 0 if self._datagrams else None

    @override
    def _read(self) -> Frame | None:
        if self._datagrams:
            return self._datagrams.popleft()
        frame = self._read_frame()
        if frame is None or frame.offload is None or frame.offload.gso_type is not GSOType.UDP:
            return frame
        self._datagrams += normalise(frame, self.capabilities.medium)  # to the stack a datagram is a datagram
        return self._datagrams.popleft()

    @abstractmethod
    def _read_frame(self) -> Frame | None:
        """As `_read`, with the marks that the kernel gave."""

    def _behind_header(self, octets: int) -> Frame:
        """The frame whose header was read into `_header` and which was read into the pool's buffer, `octets` in all.

        Raises `DecodeError`, and nothing else, when its marks mean nothing to us or do not fit it.
        """
        offload, least = decode(bytes(self._header))
        length = octets - HEADER_OCTETS
        if length < least:
            raise DecodeError("offload.checksum", f"field behind the end of {length} octets")
        return Frame((self._pool.frame(length),), offload)
