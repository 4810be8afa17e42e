"""What ICMP for IPv4 (RFC 792) and for IPv6 (RFC 4443) share: eight octets of header and then data."""

import struct
from typing import ClassVar

from attrs import frozen
from typing_extensions import Buffer, override

from pystack.errors import DecodeError
from pystack.wire.base import WireValue
from pystack.wire.checksum import internet_checksum

__all__ = ["ICMP", "ICMPMessage", "pack_icmp", "unpack_icmp"]

ICMP = struct.Struct("!BBHI")
"""Type, code, checksum, and four octets whose meaning depends on the type."""


def unpack_icmp(data: Buffer) -> tuple[int, int, int, int]:
    """(type, code, checksum, rest) of the first 8 octets. Raises `DecodeError` "icmp.short"."""
    try:
        kind, code, checksum, rest = ICMP.unpack_from(data)
    except struct.error:
        raise DecodeError("icmp.short", f"{memoryview(data).nbytes} of {ICMP.size} octets") from None
    return kind, code, checksum, rest


def pack_icmp(kind: int, code: int, rest: int, data: bytes, initial: int = 0) -> bytes:
    """A message with correct checksum. `initial`: for ICMPv6, the `pseudo_sum` and the message's length."""
    blank = ICMP.pack(kind, code, 0, rest) + data
    return b"".join((blank[:2], internet_checksum(blank, initial).to_bytes(2, "big"), blank[4:]))


@frozen(repr=False)
class ICMPMessage(WireValue):
    """A whole message. `rest` is the second 32-bit word of the header, whose meaning depends on the type.

    Properties that the type does not have raise `AttributeError`.
    """

    SIZE: ClassVar[int] = 8
    FIELD_BITS: ClassVar = {"type": 8, "code": 8, "checksum": 16, "rest": 32}

    type: int
    code: int = 0
    rest: int = 0
    data: bytes = b""
    checksum: int = 0

    @property
    def size(self) -> int:
        return self.SIZE + len(self.data)

    @override
    def to_bytes(self) -> bytes:
        try:
            return ICMP.pack(self.type, self.code, self.checksum, self.rest) + self.data
        except struct.error:
            raise self._misfit() from None

    def sealed_bytes(self, initial: int = 0, payload: bytes = b"") -> bytes:
        """The message, `payload` added to its data, with its checksum right; `initial` as in `pack_icmp`."""
        try:
            return pack_icmp(self.type, self.code, self.rest, self.data + payload, initial)
        except struct.error:
            raise self._misfit() from None

    def _needs(self, wanted: bool, name: str) -> None:
        if not wanted:
            raise AttributeError(f"{self} has no {name}")
