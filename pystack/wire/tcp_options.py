"""TCP options (RFC 9293 section 3.2): one value per option, and nothing of the option area is lost."""

import struct
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeAlias

from attrs import field, frozen
from typing_extensions import Buffer, override

from pystack.errors import DecodeError
from pystack.wire.base import WireValue

__all__ = [
    "SACK",
    "EndOfOptions",
    "FastOpen",
    "MaximumSegmentSize",
    "NoOperation",
    "SACKPermitted",
    "TCPOption",
    "Timestamps",
    "UnknownOption",
    "UserTimeout",
    "WindowScale",
    "pack_options",
    "parse_options",
]

_MSS = struct.Struct("!BBH")
_SCALE = struct.Struct("!BBB")
_TIMESTAMPS = struct.Struct("!BBII")


@frozen(repr=False)
class EndOfOptions(WireValue):
    """Kind 0, RFC 9293 section 3.1. `rest` is what follows it in the header, meaningless but kept; usually zeros."""

    KIND: ClassVar[int] = 0
    rest: bytes = b""

    @override
    def to_bytes(self) -> bytes:
        return b"\0" + self.rest

    @override
    def __str__(self) -> str:
        return f"eol {self.rest.hex()}" if any(self.rest) else "eol"


@frozen(repr=False)
class NoOperation(WireValue):
    """Kind 1, RFC 9293 section 3.1: one octet of alignment."""

    KIND: ClassVar[int] = 1

    @override
    def to_bytes(self) -> bytes:
        return b"\1"

    @override
    def __str__(self) -> str:
        return "nop"


@frozen(repr=False)
class MaximumSegmentSize(WireValue):
    """Kind 2, RFC 9293 section 3.7.1: octets of payload that the sender of this SYN takes in one segment."""

    KIND: ClassVar[int] = 2
    FIELD_BITS: ClassVar = {"mss": 16}
    mss: int

    @override
    def to_bytes(self) -> bytes:
        try:
            return _MSS.pack(2, 4, self.mss)
        except struct.error:
            raise self._misfit() from None

    @override
    def __str__(self) -> str:
        return f"mss {self.mss}"


@frozen(repr=False)
class WindowScale(WireValue):
    """Kind 3, RFC 7323 section 2: the sender's windows are shifted by this many bits, at most 14."""

    KIND: ClassVar[int] = 3
    FIELD_BITS: ClassVar = {"shift": 8}
    shift: int

    @override
    def to_bytes(self) -> bytes:
        try:
            return _SCALE.pack(3, 3, self.shift)
        except struct.error:
            raise self._misfit() from None

    @override
    def __str__(self) -> str:
        return f"wscale {self.shift}"


@frozen(repr=False)
class SACKPermitted(WireValue):
    """Kind 4, RFC 2018 section 2."""

    KIND: ClassVar[int] = 4

    @override
    def to_bytes(self) -> bytes:
        return b"\4\2"

    @override
    def __str__(self) -> str:
        return "sackOK"


def _blocks(blocks: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    return tuple((left, right) for left, right in blocks)


@frozen(repr=False)
class SACK(WireValue):
    """Kind 5, RFC 2018 section 3: received blocks as (left edge, right edge), 32-bit sequence numbers."""

    KIND: ClassVar[int] = 5
    blocks: tuple[tuple[int, int], ...] = field(converter=_blocks)

    @override
    def to_bytes(self) -> bytes:
        edges = [edge for block in self.blocks for edge in block]
        try:
            return struct.pack(f"!BB{len(edges)}I", 5, 2 + 4 * len(edges), *edges)
        except struct.error:
            raise ValueError(f"SACK.blocks must be pairs of 32-bit numbers, not {self.blocks!r}") from None

    @override
    def __str__(self) -> str:
        return f"sack {len(self.blocks)} " + "".join(f"{{{left}:{right}}}" for left, right in self.blocks)


@frozen(repr=False)
class Timestamps(WireValue):
    """Kind 8, RFC 7323 section 3: the sender's clock (TSval) and the last clock it saw of the other side (TSecr)."""

    KIND: ClassVar[int] = 8
    FIELD_BITS: ClassVar = {"value": 32, "echo": 32}
    value: int
    echo: int = 0

    @override
    def to_bytes(self) -> bytes:
        try:
            return _TIMESTAMPS.pack(8, 10, self.value, self.echo)
        except struct.error:
            raise self._misfit() from None

    @override
    def __str__(self) -> str:
        return f"TS val {self.value} ecr {self.echo}"


@frozen(repr=False)
class UserTimeout(WireValue):
    """Kind 28, RFC 5482 section 3: how long the sender keeps unacknowledged data, in seconds or in minutes."""

    KIND: ClassVar[int] = 28
    FIELD_BITS: ClassVar = {"timeout": 15, "minutes": 1}
    timeout: int
    minutes: bool = False

    @property
    def seconds(self) -> int:
        return self.timeout * 60 if self.minutes else self.timeout

    @override
    def to_bytes(self) -> bytes:
        try:
            if self.timeout > 0x7FFF:
                raise self._misfit()
            return _MSS.pack(28, 4, self.minutes << 15 | self.timeout)
        except (struct.error, TypeError):
            raise self._misfit() from None

    @override
    def __str__(self) -> str:
        return f"uto {self.timeout}{'m' if self.minutes else 's'}"


@frozen(repr=False)
class FastOpen(WireValue):
    """Kind 34, RFC 7413 section 4.1.1: a cookie of 4 to 16 octets, or none in order to ask for one."""

    KIND: ClassVar[int] = 34
    cookie: bytes = b""

    @override
    def to_bytes(self) -> bytes:
        return _tlv(34, self.cookie)

    @override
    def __str__(self) -> str:
        return f"tfo cookie {self.cookie.hex()}" if self.cookie else "tfo cookiereq"


@frozen(repr=False)
class UnknownOption(WireValue):
    """Any other kind, or a known kind of a length its RFC does not give: kept, to be ignored (RFC 9293, MUST-6)."""

    FIELD_BITS: ClassVar = {"kind": 8}
    kind: int
    data: bytes = b""

    @override
    def to_bytes(self) -> bytes:
        if not 2 <= self.kind <= 255:
            raise ValueError(f"UnknownOption.kind must be in 2..255, not {self.kind!r}: 0 and 1 have no length")
        return _tlv(self.kind, self.data)

    @override
    def __str__(self) -> str:
        return f"unknown-{self.kind}" + (f" 0x{self.data.hex()}" if self.data else "")


TCPOption: TypeAlias = (
    EndOfOptions
    | NoOperation
    | MaximumSegmentSize
    | WindowScale
    | SACKPermitted
    | SACK
    | Timestamps
    | UserTimeout
    | FastOpen
    | UnknownOption
)

_END = EndOfOptions()
_NOP = NoOperation()
_SACK_PERMITTED = SACKPermitted()


def _tlv(kind: int, data: bytes) -> bytes:
    if len(data) > 38:
        raise ValueError(f"TCP option {kind} has {len(data)} octets of data, of at most 38")
    return bytes((kind, len(data) + 2)) + data


def _sack(area: bytes, at: int, length: int) -> SACK:
    edges = struct.unpack_from(f"!{(length - 2) // 4}I", area, at + 2)
    return SACK(tuple(zip(edges[::2], edges[1::2], strict=True)))


def _timestamps(area: bytes, at: int, _length: int) -> Timestamps:
    _kind, _length, value, echo = _TIMESTAMPS.unpack_from(area, at)
    return Timestamps(value, echo)


def _user_timeout(area: bytes, at: int, _length: int) -> UserTimeout:
    value = area[at + 2] << 8 | area[at + 3]
    return UserTimeout(value & 0x7FFF, bool(value >> 15))


def _fast_open(area: bytes, at: int, length: int) -> FastOpen:
    return FastOpen(area[at + 2 : at + length])


_PARSERS: dict[tuple[int, int], Callable[[bytes, int, int], TCPOption]] = {
    (2, 4): lambda area, at, _length: MaximumSegmentSize(area[at + 2] << 8 | area[at + 3]),
    (3, 3): lambda area, at, _length: WindowScale(area[at + 2]),
    (4, 2): lambda _area, _at, _length: _SACK_PERMITTED,
    **{(5, 2 + 8 * blocks): _sack for blocks in range(5)},
    (8, 10): _timestamps,
    (28, 4): _user_timeout,
    **{(34, length): _fast_open for length in range(2, 41)},
}
"""By (kind, length on the wire), called with (area, place, length); what is not here stays unknown."""


def parse_options(data: Buffer) -> tuple[TCPOption, ...]:
    """All options of an option area, in order, without loss: packed again they are the same octets.

    Raises `DecodeError` "tcp.option_length" when a length is below 2 or reaches beyond the area (RFC 9293, MUST-7).
    """
    area = bytes(data)
    size = len(area)
    options: list[TCPOption] = []
    at = 0
    while at < size:
        kind = area[at]
        if kind == 1:
            options.append(_NOP)
            at += 1
            continue
        if kind == 0:
            options.append(EndOfOptions(area[at + 1 :]) if at + 1 < size else _END)
            break
        length = area[at + 1] if at + 1 < size else 0
        if length < 2 or at + length > size:
            raise DecodeError("tcp.option_length", f"kind {kind}, length {length}, {size - at} octets left")
        parser = _PARSERS.get((kind, length))
        options.append(parser(area, at, length) if parser else UnknownOption(kind, area[at + 2 : at + length]))
        at += length
    return tuple(options)


def pack_options(options: Sequence[TCPOption]) -> bytes:
    """The option area, padded with zeros (end of options) to a multiple of 4 octets (RFC 9293 section 3.1)."""
    area = b"".join([option.to_bytes() for option in options])
    return area + bytes(-len(area) % 4)
