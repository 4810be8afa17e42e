"""Capture files: the pcapng blocks that hold packets (draft-ietf-opsawg-pcapng), both ways; all others kept opaque.

Every block carries its section's byte order, since the values of its options depend on it.
"""

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import ClassVar, Literal, Self, TypeAlias

from attrs import field, frozen
from typing_extensions import Buffer, override

from pystack.errors import DecodeError
from pystack.wire.base import WireValue

__all__ = [
    "ByteOrder",
    "Direction",
    "EnhancedPacket",
    "InterfaceDescription",
    "LinkType",
    "OpaqueBlock",
    "PcapngBlock",
    "PcapngOption",
    "SectionHeader",
    "read_blocks",
]

ByteOrder: TypeAlias = Literal["<", ">"]

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_MAGIC = 0x1A2B3C4D
_END, _NAME, _RESOLUTION, _FLAGS = 0, 2, 9, 2  # option codes; the last two pairs are of different blocks


class LinkType(IntEnum):
    """What the frames of an interface start with (the LINKTYPE_ registry)."""

    ETHERNET = 1
    RAW = 101
    """The IP header, version 4 or 6."""


class Direction(IntEnum):
    """As in epb_flags, bits 0 and 1 (section 4.3.1)."""

    UNKNOWN = 0
    INBOUND = 1
    OUTBOUND = 2


@frozen(repr=False)
class PcapngOption(WireValue):
    """One option (section 3.5): code 0 ends the list. Numbers in `value` are in the section's byte order."""

    code: int
    value: bytes = b""

    @override
    def to_bytes(self, byte_order: ByteOrder = "<") -> bytes:
        try:
            return struct.pack(f"{byte_order}HH", self.code, len(self.value)) + _padded(self.value)
        except struct.error:
            raise ValueError(f"PcapngOption: code {self.code} or {len(self.value)} octets do not fit") from None

    @override
    def __str__(self) -> str:
        return f"option {self.code}: {self.value.hex()}"


_END_OF_OPTIONS = PcapngOption(_END)


def _options(value: Sequence[PcapngOption]) -> tuple[PcapngOption, ...]:
    return tuple(value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _unpad(data: bytes, start: int, length: int) -> tuple[bytes, int]:
    """`length` octets of `data` from `start`, and where the next 32-bit boundary is. Filler must be zeros."""
    end = start + length
    after = end + -length % 4
    if after > len(data):
        raise DecodeError("pcapng.length", f"{length} octets announced, {len(data) - start} there")
    if any(data[end:after]):
        raise DecodeError("pcapng.padding", data[end:after].hex())
    return data[start:end], after


def _parse_options(body: bytes, byte_order: ByteOrder, start: int) -> tuple[PcapngOption, ...]:
    options = []
    at = start
    while at < len(body):
        if at + 4 > len(body):
            raise DecodeError("pcapng.options", f"{len(body) - at} octets left")
        code, length = struct.unpack_from(f"{byte_order}HH", body, at)
        value, at = _unpad(body, at + 4, length)
        options.append(PcapngOption(code, value))
        if code == _END:
            break
    if at != len(body):
        raise DecodeError("pcapng.options", f"{len(body) - at} octets after the end of options")
    return tuple(options)


def _block(kind: int, body: bytes, options: tuple[PcapngOption, ...], byte_order: ByteOrder) -> bytes:
    tail = b"".join([option.to_bytes(byte_order) for option in options])
    total = 12 + len(body) + len(tail)
    try:
        return struct.pack(f"{byte_order}II", kind, total) + body + tail + struct.pack(f"{byte_order}I", total)
    except struct.error:
        raise ValueError(f"pcapng block type {kind} or length {total} does not fit") from None


def _value(options: tuple[PcapngOption, ...], code: int) -> bytes | None:
    return next((option.value for option in options if option.code == code), None)


@frozen(repr=False)
class SectionHeader(WireValue):
    """Section header block (section 4.1): opens a file, or a new section with its own byte order and interfaces."""

    FIELD_BITS: ClassVar = {"major": 16, "minor": 16}

    byte_order: ByteOrder = "<"
    major: int = 1
    minor: int = 0
    section_length: int = -1
    """Octets of the blocks that follow; -1: not said."""
    options: tuple[PcapngOption, ...] = field(default=(), converter=_options)

    @classmethod
    def _from_body(cls, body: bytes, byte_order: ByteOrder) -> Self:
        if len(body) < 16:
            raise DecodeError("pcapng.section", f"body of {len(body)} octets")
        _magic, major, minor, length = struct.unpack_from(f"{byte_order}IHHq", body)
        return cls(byte_order, major, minor, length, _parse_options(body, byte_order, 16))

    @override
    def to_bytes(self) -> bytes:
        try:
            body = struct.pack(f"{self.byte_order}IHHq", _MAGIC, self.major, self.minor, self.section_length)
        except struct.error:
            raise self._misfit() from None
        return _block(_SECTION, body, self.options, self.byte_order)

    @override
    def __str__(self) -> str:
        return f"pcapng {self.major}.{self.minor}, {'little' if self.byte_order == '<' else 'big'} endian"


@frozen(repr=False)
class InterfaceDescription(WireValue):
    """Interface description block (section 4.2); packets name it by its place in the section, from 0."""

    FIELD_BITS: ClassVar = {"link_type": 16, "snap_length": 32}

    link_type: int = LinkType.ETHERNET
    snap_length: int = 0
    """Octets kept of each frame; 0: all."""
    options: tuple[PcapngOption, ...] = field(default=(), converter=_options)
    byte_order: ByteOrder = "<"

    @classmethod
    def nanoseconds(cls, link_type: int, name: str = "") -> Self:
        """An interface whose packets are stamped in nanoseconds (if_tsresol 9)."""
        named = (PcapngOption(_NAME, name.encode()),) if name else ()
        return cls(link_type, 0, (*named, PcapngOption(_RESOLUTION, b"\x09"), _END_OF_OPTIONS))

    @classmethod
    def _from_body(cls, body: bytes, byte_order: ByteOrder) -> Self:
        if len(body) < 8:
            raise DecodeError("pcapng.interface", f"body of {len(body)} octets")
        link_type, reserved, snap_length = struct.unpack_from(f"{byte_order}HHI", body)
        if reserved:
            raise DecodeError("pcapng.padding", f"reserved field is {reserved}")
        return cls(link_type, snap_length, _parse_options(body, byte_order, 8), byte_order)

    @override
    def to_bytes(self) -> bytes:
        try:
            body = struct.pack(f"{self.byte_order}HHI", self.link_type, 0, self.snap_length)
        except struct.error:
            raise self._misfit() from None
        return _block(_INTERFACE, body, self.options, self.byte_order)

    @property
    def name(self) -> str:
        return (_value(self.options, _NAME) or b"").decode(errors="replace")

    @property
    def ticks_per_second(self) -> int:
        """The unit of its packets' timestamps (if_tsresol); a million unless said otherwise."""
        resolution = _value(self.options, _RESOLUTION) or b"\x06"
        base, exponent = (2, resolution[0] & 0x7F) if resolution[0] & 0x80 else (10, resolution[0])
        return int(base**exponent)

    @override
    def __str__(self) -> str:
        name = f"{self.name}, " if self.name else ""
        return f"{name}link type {self.link_type}, {self.ticks_per_second} ticks per second"


@frozen(repr=False)
class EnhancedPacket(WireValue):
    """Enhanced packet block (section 4.3): one frame, stamped in its interface's ticks since 1970."""

    FIELD_BITS: ClassVar = {"interface": 32, "timestamp": 64, "original_length": 32}

    interface: int
    timestamp: int
    data: bytes
    original_length: int
    """Octets the frame had on the wire; `data` may be cut."""
    options: tuple[PcapngOption, ...] = field(default=(), converter=_options)
    byte_order: ByteOrder = "<"

    @classmethod
    def captured(
        cls, data: bytes, timestamp: int, direction: Direction = Direction.UNKNOWN, interface: int = 0
    ) -> Self:
        """A whole frame; `timestamp` in the interface's ticks since 1970."""
        flags = (PcapngOption(_FLAGS, direction.to_bytes(4, "little")), _END_OF_OPTIONS) if direction else ()
        return cls(interface, timestamp, data, len(data), flags)

    @classmethod
    def _from_body(cls, body: bytes, byte_order: ByteOrder) -> Self:
        if len(body) < 20:
            raise DecodeError("pcapng.packet", f"body of {len(body)} octets")
        interface, high, low, captured, original = struct.unpack_from(f"{byte_order}5I", body)
        data, at = _unpad(body, 20, captured)
        return cls(interface, high << 32 | low, data, original, _parse_options(body, byte_order, at), byte_order)

    @override
    def to_bytes(self) -> bytes:
        try:
            high, low = self.timestamp >> 32, self.timestamp & 0xFFFF_FFFF
            head = struct.pack(f"{self.byte_order}5I", self.interface, high, low, len(self.data), self.original_length)
        except (struct.error, TypeError):
            raise self._misfit() from None
        return _block(_PACKET, head + _padded(self.data), self.options, self.byte_order)

    @property
    def direction(self) -> Direction:
        flags = _value(self.options, _FLAGS)
        if flags is None or len(flags) != 4:
            return Direction.UNKNOWN
        bits = int.from_bytes(flags, "little" if self.byte_order == "<" else "big") & 3
        return Direction(bits) if bits < 3 else Direction.UNKNOWN

    @override
    def __str__(self) -> str:
        return (
            f"{self.direction.name.lower()}, interface {self.interface}, tick {self.timestamp}, {len(self.data)} octets"
        )


@frozen(repr=False)
class OpaqueBlock(WireValue):
    """Any other block: kept, not understood. `body` is a multiple of 4 octets."""

    type: int
    body: bytes
    byte_order: ByteOrder = "<"

    @override
    def to_bytes(self) -> bytes:
        if len(self.body) % 4:
            raise ValueError(f"OpaqueBlock.body has {len(self.body)} octets, not a multiple of 4")
        return _block(self.type, self.body, (), self.byte_order)

    @override
    def __str__(self) -> str:
        return f"block type {self.type}, {len(self.body)} octets"


PcapngBlock: TypeAlias = SectionHeader | InterfaceDescription | EnhancedPacket | OpaqueBlock

_BLOCKS: dict[int, type[SectionHeader | InterfaceDescription | EnhancedPacket]] = {
    _SECTION: SectionHeader,
    _INTERFACE: InterfaceDescription,
    _PACKET: EnhancedPacket,
}


def _section_order(data: memoryview) -> ByteOrder:
    magic = bytes(data[8:12])
    if magic == _MAGIC.to_bytes(4, "little"):
        return "<"
    if magic == _MAGIC.to_bytes(4, "big"):
        return ">"
    raise DecodeError("pcapng.magic", magic.hex())


def read_blocks(data: Buffer) -> Iterator[PcapngBlock]:
    """The blocks of a whole file, in order; joined again they are the same octets.

    Raises `DecodeError` where the octets are no longer blocks: what came before has been given out by then, so a
    capture that was cut off is still readable.
    """
    view = memoryview(data).cast("B")
    byte_order: ByteOrder | None = None
    while view.nbytes:
        if view.nbytes < 12:
            raise DecodeError("pcapng.short", f"{view.nbytes} octets left")
        if int.from_bytes(view[:4], "little") == _SECTION:  # a palindrome: the same in both byte orders
            byte_order = _section_order(view)
        if byte_order is None:
            raise DecodeError("pcapng.section", "the file does not start with a section header")
        kind, total = struct.unpack_from(f"{byte_order}II", view)
        if total < 12 or total % 4:
            raise DecodeError("pcapng.length", f"block of {total} octets")
        if total > view.nbytes:
            raise DecodeError("pcapng.short", f"block of {total} octets, {view.nbytes} left")
        if view[total - 4 : total] != view[4:8]:
            raise DecodeError("pcapng.length", "the two lengths of a block differ")
        body = bytes(view[8 : total - 4])
        known = _BLOCKS.get(kind)
        yield known._from_body(body, byte_order) if known else OpaqueBlock(kind, body, byte_order)
        view = view[total:]
