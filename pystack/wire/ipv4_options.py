"""IPv4 options (RFC 791 section 3.1, RFC 6814 for what became of them): kept whole, not acted upon."""

from typing import ClassVar

from attrs import frozen
from typing_extensions import Buffer, override

from pystack.errors import DecodeError
from pystack.wire.base import WireValue

__all__ = ["IPv4Option", "pack_ipv4_options", "parse_ipv4_options"]

_NAMES = {
    0: "EOL",
    1: "NOP",
    7: "RR",
    25: "QS",
    68: "timestamp",
    82: "traceroute",
    130: "security",
    131: "LSRR",
    136: "satid",
    137: "SSRR",
    148: "RA",
}


@frozen(repr=False)
class IPv4Option(WireValue):
    """One option: its type octet and the data behind the length octet.

    End of options and no-operation have neither length nor data on the wire; `data` of the former is whatever follows
    it in the header, so that nothing is lost.
    """

    END: ClassVar[int] = 0
    NOP: ClassVar[int] = 1
    RECORD_ROUTE: ClassVar[int] = 7
    TIMESTAMP: ClassVar[int] = 68
    LOOSE_SOURCE_ROUTE: ClassVar[int] = 131
    STRICT_SOURCE_ROUTE: ClassVar[int] = 137
    ROUTER_ALERT: ClassVar[int] = 148
    FIELD_BITS: ClassVar = {"type": 8}

    type: int
    data: bytes = b""

    @property
    def copied(self) -> bool:
        """Whether every fragment carries it."""
        return bool(self.type & 0x80)

    @override
    def to_bytes(self) -> bytes:
        if not 0 <= self.type <= 255:
            raise self._misfit()
        if self.type == self.END:
            return b"\0" + self.data
        if self.type == self.NOP:
            return b"\1"
        if len(self.data) > 38:
            raise ValueError(f"IPv4Option.data has {len(self.data)} octets of at most 38")
        return bytes((self.type, len(self.data) + 2)) + self.data

    @override
    def __str__(self) -> str:
        name = _NAMES.get(self.type) or f"unknown {self.type}"
        return f"{name} {self.data.hex()}" if any(self.data) or (self.data and self.type) else name


_END = IPv4Option(IPv4Option.END)
_NOP = IPv4Option(IPv4Option.NOP)


def parse_ipv4_options(data: Buffer) -> tuple[IPv4Option, ...]:
    """All options of an option area, without loss. Raises `DecodeError` "ipv4.option_length"."""
    area = bytes(data)
    options = []
    at = 0
    while at < len(area):
        kind = area[at]
        if kind == IPv4Option.END:
            options.append(IPv4Option(kind, area[at + 1 :]) if at + 1 < len(area) else _END)
            break
        if kind == IPv4Option.NOP:
            options.append(_NOP)
            at += 1
            continue
        length = area[at + 1] if at + 1 < len(area) else 0
        if length < 2 or at + length > len(area):
            raise DecodeError("ipv4.option_length", f"type {kind}, length {length}, {len(area) - at} octets left")
        options.append(IPv4Option(kind, area[at + 2 : at + length]))
        at += length
    return tuple(options)


def pack_ipv4_options(options: tuple[IPv4Option, ...]) -> bytes:
    """The option area, padded with zeros (end of options) to a multiple of 4 octets (RFC 791 section 3.1)."""
    area = b"".join([option.to_bytes() for option in options])
    return area + bytes(-len(area) % 4)
