"""The IPv4 header (RFC 791)."""

import struct
from enum import IntFlag
from ipaddress import IPv4Address
from typing import ClassVar, Self

from attrs import field, frozen
from typing_extensions import Buffer, override

from pystack.errors import DecodeError
from pystack.wire.address import ipv4_address
from pystack.wire.base import WireValue
from pystack.wire.checksum import internet_checksum
from pystack.wire.ipv4_options import IPv4Option, pack_ipv4_options, parse_ipv4_options
from pystack.wire.protocol import IPProtocol, protocol_name

__all__ = ["IPV4", "IPv4Flags", "IPv4Header", "pack_ipv4", "unpack_ipv4"]

IPV4 = struct.Struct("!BBHHHBBH4s4s")
"""The fixed 20 octets: version and header length, tos, total length, identification, flags and offset, ttl, protocol,
checksum, source, destination."""

_NUMBERS = struct.Struct("!BBHHHBBHII")  # the same with the addresses as numbers


class IPv4Flags(IntFlag):
    """The three bits in front of the fragment offset (RFC 791 section 3.1)."""

    RESERVED = 4
    DF = 2
    MF = 1


_FLAGS = tuple(IPv4Flags(value) for value in range(8))


def unpack_ipv4(data: Buffer) -> tuple[int, int, int, int, int, int, int, int, bytes, bytes]:
    """(header_octets, tos, total_length, identification, flags_and_offset, ttl, protocol, checksum, src, dst).

    `data` starts with a complete header; the payload may lie elsewhere, so the total length is held only against the
    header's. The checksum is kept, not judged. Raises `DecodeError`: "ipv4.short", "ipv4.version",
    "ipv4.header_length", "ipv4.total_length".
    """
    try:
        first, tos, total_length, identification, fragment, ttl, protocol, checksum, src, dst = IPV4.unpack_from(data)
    except struct.error:
        raise DecodeError("ipv4.short", f"{memoryview(data).nbytes} of {IPV4.size} octets") from None
    if first == 0x45:
        octets = 20
    else:
        if first >> 4 != 4:
            raise DecodeError("ipv4.version", str(first >> 4))
        octets = (first & 15) * 4
        if octets < 20:
            raise DecodeError("ipv4.header_length", f"{octets} octets")
        if memoryview(data).nbytes < octets:
            raise DecodeError("ipv4.short", f"{memoryview(data).nbytes} of {octets} octets")
    if total_length < octets:
        raise DecodeError("ipv4.total_length", f"{total_length} with a header of {octets} octets")
    return octets, tos, total_length, identification, fragment, ttl, protocol, checksum, src, dst


def pack_ipv4(
    src: bytes,
    dst: bytes,
    protocol: int,
    total_length: int,
    identification: int,
    flags_and_offset: int,
    ttl: int,
    tos: int,
    options: bytes = b"",
) -> bytes:
    """A header with correct length and checksum; `options` fill a multiple of 4 octets."""
    first = 0x45 + (len(options) >> 2)
    total = (
        (first << 8 | tos)
        + total_length
        + identification
        + flags_and_offset
        + (ttl << 8 | protocol)
        + int.from_bytes(src + dst + options, "big")
    )
    checksum = _complement(total)
    return (
        IPV4.pack(first, tos, total_length, identification, flags_and_offset, ttl, protocol, checksum, src, dst)
        + options
    )


def _complement(words: int) -> int:
    """The checksum of a header whose 16-bit words have this sum.

    They are never all zero, so a residue of 0 modulo 65535 stands for the sum 0xFFFF, whose complement is 0.
    """
    return -words % 0xFFFF


def _options(value: tuple[IPv4Option, ...]) -> tuple[IPv4Option, ...]:
    return tuple(value)


@frozen(repr=False)
class IPv4Header(WireValue):
    """IPv4 header, RFC 791 section 3.1; `dscp` and `ecn` share the old type of service (RFC 2474, RFC 3168).

    `total_length` counts octets of header and payload, `fragment_offset` units of 8 octets. Addresses are also taken as
    text, octets or number. `options` are padded to a multiple of 4 octets.
    """

    SIZE: ClassVar[int] = 20
    FIELD_BITS: ClassVar = {
        "protocol": 8,
        "ttl": 8,
        "identification": 16,
        "flags": 3,
        "fragment_offset": 13,
        "total_length": 16,
        "dscp": 6,
        "ecn": 2,
        "checksum": 16,
    }

    src: IPv4Address = field(converter=ipv4_address)
    dst: IPv4Address = field(converter=ipv4_address)
    protocol: int = IPProtocol.TCP
    ttl: int = 64
    identification: int = 0
    flags: int = IPv4Flags.DF
    fragment_offset: int = 0
    total_length: int = 20
    dscp: int = 0
    ecn: int = 0
    checksum: int = 0
    options: tuple[IPv4Option, ...] = field(default=(), converter=_options)

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        """Decode the header at the start of `data`; `size` says how many octets it has. Raises `DecodeError` only.
        The checksum is kept, not judged."""
        octets, tos, total_length, identification, fragment, ttl, protocol, checksum, src, dst = unpack_ipv4(data)
        return cls(
            src,
            dst,
            protocol,
            ttl,
            identification,
            _FLAGS[fragment >> 13],
            fragment & 0x1FFF,
            total_length,
            tos >> 2,
            tos & 3,
            checksum,
            () if octets == 20 else parse_ipv4_options(memoryview(data).cast("B")[20:octets]),
        )

    @property
    def size(self) -> int:
        """Octets of the header."""
        return 20 + len(self._option_area())

    @override
    def to_bytes(self) -> bytes:
        return self._pack(self.protocol, self.total_length, self._option_area(), seal=False)

    def sealed_bytes(self, protocol: int, payload_length: int) -> bytes:
        """The header in front of `payload_length` octets of `protocol`, with length and checksum right."""
        options = self._option_area()
        total_length = 20 + len(options) + payload_length
        if total_length > 0xFFFF:
            raise ValueError(f"an IPv4 packet has at most 65535 octets, not {total_length}")
        return self._pack(protocol, total_length, options, seal=True)

    def _option_area(self) -> bytes:
        return pack_ipv4_options(self.options) if self.options else b""

    def _pack(self, protocol: int, total_length: int, options: bytes, *, seal: bool) -> bytes:
        if len(options) > 40:
            raise ValueError(f"IPv4Header.options take {len(options)} octets of at most 40")
        try:
            if self.ecn > 3 or self.fragment_offset > 0x1FFF:
                raise self._misfit()
            first, tos = 0x45 + (len(options) >> 2), self.dscp << 2 | self.ecn
            fragment = self.flags << 13 | self.fragment_offset
            numbered, ttl, src, dst = self.identification, self.ttl, int(self.src), int(self.dst)
            checksum = self.checksum
            if seal:
                words = (first << 8) + tos + total_length + numbered + fragment + (ttl << 8) + protocol + src + dst
                checksum = _complement(words + int.from_bytes(options, "big"))
            fixed = _NUMBERS.pack(first, tos, total_length, numbered, fragment, ttl, protocol, checksum, src, dst)
        except (struct.error, TypeError):
            raise self._misfit() from None
        return fixed + options if options else fixed

    def sealed(self, payload_length: int) -> Self:
        """A copy whose `total_length` and `checksum` fit a payload of `payload_length` octets."""
        return self.from_bytes(self.sealed_bytes(self.protocol, payload_length))

    @property
    def checksum_valid(self) -> bool:
        return internet_checksum(self.to_bytes()) == 0

    @override
    def __str__(self) -> str:
        flags = "+".join(name for bit, name in ((4, "reserved"), (2, "DF"), (1, "+")) if self.flags & bit) or "none"
        options = f", options ({', '.join(map(str, self.options))})" if self.options else ""
        return (
            f"{self.src} > {self.dst}: tos 0x{self.dscp << 2 | self.ecn:x}, ttl {self.ttl}, id {self.identification}, "
            f"offset {self.fragment_offset * 8}, flags [{flags}], proto {protocol_name(self.protocol)} "
            f"({self.protocol}), length {self.total_length}{options}"
        )
