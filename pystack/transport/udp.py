"""UDP datagrams (RFC 768): sealing one, judging one, and the bounded queue in front of a socket."""

from collections import deque
from typing import Generic, TypeVar

from attrs import define, field
from typing_extensions import Buffer

from pystack.errors import DecodeError
from pystack.link.base import Checksum
from pystack.wire.checksum import ones_sum_buffers
from pystack.wire.udp import UDP, UDPHeader

__all__ = ["CHECKSUM_OFFSET", "DATAGRAM_COST", "DatagramQueue", "open_datagram", "seal_datagram"]

A = TypeVar("A")

CHECKSUM_OFFSET = 6
DATAGRAM_COST = 128
"""Octets charged to a queue for each datagram, beside its payload."""


def open_datagram(
    payload: tuple[Buffer, ...], length: int, pseudo: int, checksum: Checksum
) -> tuple[int, int, tuple[memoryview, ...]]:
    """(source port, destination port, data) of the IP payload `payload`, `length` octets in all.

    `pseudo` is the pseudo-header's sum without its length. Raises `DecodeError` "udp.short", "udp.length" or
    "udp.checksum".
    """
    header = UDPHeader.from_bytes(payload[0])
    if header.length > length:
        raise DecodeError("udp.length", f"{header.length} announced, {length} arrived")
    data = _cut(payload, UDPHeader.SIZE, header.length)
    if header.checksum and checksum is Checksum.COMPLETE:
        fixed = memoryview(payload[0])[: UDPHeader.SIZE]
        if ones_sum_buffers((fixed, *data), pseudo + header.length) != 0xFFFF:
            raise DecodeError("udp.checksum", f"{header.checksum:#06x}")
    return header.src_port, header.dst_port, data


def _cut(buffers: tuple[Buffer, ...], start: int, stop: int) -> tuple[memoryview, ...]:
    """Views of octets `start` to `stop` of `buffers` taken as one string."""
    pieces = []
    offset = 0
    for buffer in buffers:
        view = memoryview(buffer)
        piece = view[max(start - offset, 0) : max(stop - offset, 0)]
        if piece.nbytes:
            pieces.append(piece)
        offset += view.nbytes
    return tuple(pieces)


def seal_datagram(src_port: int, dst_port: int, data: bytes, pseudo: int, *, partial: bool) -> bytes:
    """The header in front of `data`. `partial` leaves the checksum to the link: the field holds the folded sum of the
    pseudo-header. RFC 768: a computed 0 is sent as 0xFFFF."""
    length = UDPHeader.SIZE + len(data)
    blank = UDP.pack(src_port, dst_port, length, 0)
    if partial:
        return blank[:CHECKSUM_OFFSET] + ones_sum_buffers((), pseudo + length).to_bytes(2, "big")
    checksum = 0xFFFF - ones_sum_buffers((blank, data), pseudo + length)
    return blank[:CHECKSUM_OFFSET] + (checksum or 0xFFFF).to_bytes(2, "big")


@define(eq=False)
class DatagramQueue(Generic[A]):
    """Received datagrams with their senders, oldest first, at most `limit` octets with `DATAGRAM_COST` for each."""

    limit: int
    octets: int = field(init=False, default=0)
    _queue: deque[tuple[bytes, A]] = field(init=False, factory=deque)

    def __len__(self) -> int:
        return len(self._queue)

    def push(self, data: bytes, sender: A) -> bool:
        """False: no room, the datagram is lost. An empty queue takes any datagram."""
        cost = len(data) + DATAGRAM_COST
        if self._queue and self.octets + cost > self.limit:
            return False
        self.octets += cost
        self._queue.append((data, sender))
        return True

    def first(self) -> tuple[bytes, A] | None:
        return self._queue[0] if self._queue else None

    def pop(self) -> tuple[bytes, A] | None:
        if not self._queue:
            return None
        data, sender = self._queue.popleft()
        self.octets -= len(data) + DATAGRAM_COST
        return data, sender
