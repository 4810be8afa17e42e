"""The UDP header (RFC 768)."""

import struct
from typing import ClassVar, Self

from attrs import frozen
from typing_extensions import Buffer, override

from pystack.errors import DecodeError
from pystack.wire.base import WireValue
from pystack.wire.checksum import ones_sum_buffers
from pystack.wire.pseudo import PseudoHeader

__all__ = ["UDP", "UDPHeader", "unpack_udp"]

UDP = struct.Struct("!HHHH")
"""Source port, destination port, length, checksum."""


def unpack_udp(data: Buffer) -> tuple[int, int, int, int]:
    """(src_port, dst_port, length, checksum) of the first 8 octets.

    The payload may lie elsewhere, so `length` is held only against the header's 8 octets. Raises `DecodeError`:
    "udp.short", "udp.length".
    """
    try:
        src_port, dst_port, length, checksum = UDP.unpack_from(data)
    except struct.error:
        raise DecodeError("udp.short", f"{memoryview(data).nbytes} of {UDP.size} octets") from None
    if length < 8:
        raise DecodeError("udp.length", str(length))
    return src_port, dst_port, length, checksum


@frozen(repr=False)
class UDPHeader(WireValue):
    """UDP header, RFC 768. `length`: octets, header and payload. `checksum`: 0 = none (IPv4; RFC 8200 section 8.1 for
    IPv6)."""

    SIZE: ClassVar[int] = 8
    FIELD_BITS: ClassVar = {"src_port": 16, "dst_port": 16, "length": 16, "checksum": 16}

    src_port: int
    dst_port: int
    length: int = 8
    checksum: int = 0

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        """Decode the first 8 octets. Raises `DecodeError` only. The checksum is kept, not judged."""
        return cls(*unpack_udp(data))

    @property
    def size(self) -> int:
        return self.SIZE

    @override
    def to_bytes(self) -> bytes:
        try:
            return UDP.pack(self.src_port, self.dst_port, self.length, self.checksum)
        except struct.error:
            raise self._misfit() from None

    def sealed_bytes(self, pseudo: int, payload: Buffer) -> bytes:
        """The header in front of `payload`, with length and checksum right; `pseudo` is the `pseudo_sum`.

        RFC 768: a computed 0 is sent as 0xFFFF.
        """
        length = 8 + memoryview(payload).nbytes
        if length > 0xFFFF:
            raise ValueError(f"UDP payload has {length - 8} octets of at most 65527")
        blank = type(self)(self.src_port, self.dst_port, length).to_bytes()
        checksum = 0xFFFF - ones_sum_buffers((blank, payload), pseudo + length) or 0xFFFF
        return blank[:6] + checksum.to_bytes(2, "big")

    def sealed(self, pseudo: PseudoHeader, payload: Buffer) -> Self:
        """A copy whose `length` and `checksum` fit `payload`."""
        return self.from_bytes(self.sealed_bytes(pseudo.sum(0), payload))

    @override
    def __str__(self) -> str:
        return f"{self.src_port} > {self.dst_port}: UDP, length {self.length - 8}"
