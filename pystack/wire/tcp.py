"""The TCP header (RFC 9293 section 3.1)."""

import struct
from enum import IntFlag
from typing import ClassVar, Self

from attrs import field, frozen
from typing_extensions import Buffer, override

from pystack.errors import DecodeError
from pystack.wire.base import WireValue
from pystack.wire.checksum import internet_checksum
from pystack.wire.pseudo import PseudoHeader
from pystack.wire.tcp_options import (
    SACK,
    EndOfOptions,
    FastOpen,
    MaximumSegmentSize,
    NoOperation,
    SACKPermitted,
    TCPOption,
    Timestamps,
    UnknownOption,
    UserTimeout,
    WindowScale,
    pack_options,
    parse_options,
)

__all__ = [
    "SACK",
    "TCP",
    "EndOfOptions",
    "FastOpen",
    "MaximumSegmentSize",
    "NoOperation",
    "SACKPermitted",
    "TCPFlags",
    "TCPHeader",
    "TCPOption",
    "Timestamps",
    "UnknownOption",
    "UserTimeout",
    "WindowScale",
    "pack_options",
    "parse_options",
    "unpack_tcp",
]

TCP = struct.Struct("!HHIIHHHH")
"""The fixed 20 octets: ports, sequence and acknowledgement numbers, data offset and flags in one word, window,
checksum, urgent pointer."""


class TCPFlags(IntFlag):
    """The control bits (RFC 9293 section 3.1) and AE (RFC 9768 section 3.1.1). The three reserved bits above have no
    name but are kept: 12 bits in all."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10
    URG = 0x20
    ECE = 0x40
    CWR = 0x80
    AE = 0x100

    @override
    def __str__(self) -> str:
        """As tcpdump writes them: "S.", "P.", "none"."""
        letters = "".join([letter for bit, letter in enumerate("FSRP.UEWe") if self & 1 << bit])
        reserved = f"+0x{self & ~0x1FF:x}" if self & ~0x1FF else ""
        return letters + reserved or "none"


class _Flags(dict[int, TCPFlags]):
    """`TCPFlags` by value, each made once: the enum's own look-up is slow."""

    def __missing__(self, value: int) -> TCPFlags:
        if not isinstance(value, int) or not 0 <= value <= 0xFFF:
            raise ValueError(f"TCPHeader.flags must be an integer in 0..4095, not {value!r}")
        flags = self[value] = TCPFlags(value)
        return flags


_FLAGS = _Flags()


def _flags(value: int) -> TCPFlags:
    return _FLAGS[value]


def unpack_tcp(data: Buffer) -> tuple[int, int, int, int, int, int, int, int, int]:
    """(src_port, dst_port, seq, ack, data_offset_octets, flags, window, checksum, urgent).

    `data` starts with a complete header, options included; `flags` has 12 bits. The checksum is kept, not judged.
    Raises `DecodeError`: "tcp.short", "tcp.data_offset".
    """
    try:
        src_port, dst_port, seq, ack, word, window, checksum, urgent = TCP.unpack_from(data)
    except struct.error:
        raise DecodeError("tcp.short", f"{memoryview(data).nbytes} of {TCP.size} octets") from None
    octets = word >> 10 & 0x3C
    if octets != 20:
        if octets < 20:
            raise DecodeError("tcp.data_offset", f"{octets} octets")
        if memoryview(data).nbytes < octets:
            raise DecodeError("tcp.short", f"{memoryview(data).nbytes} of {octets} octets")
    return src_port, dst_port, seq, ack, octets, word & 0xFFF, window, checksum, urgent


def _options(value: tuple[TCPOption, ...]) -> tuple[TCPOption, ...]:
    return tuple(value)


@frozen(repr=False)
class TCPHeader(WireValue):
    """TCP header, RFC 9293 section 3.1. `window` is the field as sent, not scaled; `options` are padded to a multiple
    of 4 octets, from which the data offset follows."""

    SIZE: ClassVar[int] = 20
    FIELD_BITS: ClassVar = {
        "src_port": 16,
        "dst_port": 16,
        "seq": 32,
        "ack": 32,
        "flags": 12,
        "window": 16,
        "checksum": 16,
        "urgent": 16,
    }

    src_port: int
    dst_port: int
    seq: int = 0
    ack: int = 0
    flags: TCPFlags = field(default=TCPFlags.ACK, converter=_flags)
    window: int = 65535
    checksum: int = 0
    urgent: int = 0
    options: tuple[TCPOption, ...] = field(default=(), converter=_options)

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        """Decode the header at the start of `data`; `size` says how many octets it has. Raises `DecodeError` only.
        The checksum is kept, not judged."""
        src_port, dst_port, seq, ack, octets, flags, window, checksum, urgent = unpack_tcp(data)
        options = parse_options(memoryview(data).cast("B")[20:octets]) if octets > 20 else ()
        return cls(src_port, dst_port, seq, ack, flags, window, checksum, urgent, options)

    @property
    def size(self) -> int:
        """Octets of the header: the data offset times 4."""
        return 20 + len(pack_options(self.options)) if self.options else 20

    @override
    def to_bytes(self) -> bytes:
        options = pack_options(self.options) if self.options else b""
        return self._pack(self._word(options), self.checksum, options)

    def sealed_bytes(self, pseudo: int, payload: Buffer) -> bytes:
        """The header in front of `payload` with its checksum right; `pseudo` is the `pseudo_sum`."""
        options = pack_options(self.options) if self.options else b""
        word = self._word(options)
        try:  # a 32-bit field is congruent to the sum of its two words
            words = self.src_port + self.dst_port + self.seq + self.ack + word + self.window + self.urgent
        except TypeError:
            raise self._misfit() from None
        length = 20 + len(options) + memoryview(payload).nbytes
        words += int.from_bytes(options, "big") + pseudo + length
        return self._pack(word, internet_checksum(payload, words), options)

    def _word(self, options: bytes) -> int:
        """Data offset and flags."""
        if len(options) > 40:
            raise ValueError(f"TCPHeader.options take {len(options)} octets of at most 40")
        return ((20 + len(options)) << 10) + self.flags

    def _pack(self, word: int, checksum: int, options: bytes) -> bytes:
        try:
            fixed = TCP.pack(self.src_port, self.dst_port, self.seq, self.ack, word, self.window, checksum, self.urgent)
        except struct.error:
            raise self._misfit() from None
        return fixed + options if options else fixed

    def sealed(self, pseudo: PseudoHeader, payload: Buffer = b"") -> Self:
        """A copy whose `checksum` fits `payload`."""
        return self.from_bytes(self.sealed_bytes(pseudo.sum(0), payload))

    @override
    def __str__(self) -> str:
        parts = [f"{self.src_port} > {self.dst_port}: Flags [{self.flags}]", f"seq {self.seq}"]
        if self.flags & TCPFlags.ACK:
            parts.append(f"ack {self.ack}")
        parts.append(f"win {self.window}")
        if self.flags & TCPFlags.URG:
            parts.append(f"urg {self.urgent}")
        if self.options:
            parts.append(f"options [{','.join(map(str, self.options))}]")
        return ", ".join(parts)
