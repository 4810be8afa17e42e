"""The fixed IPv6 header (RFC 8200 section 3)."""

import struct
from ipaddress import IPv6Address
from typing import ClassVar, Self

from attrs import field, frozen
from typing_extensions import Buffer, override

from pystack.errors import DecodeError
from pystack.wire.address import ipv6_address
from pystack.wire.base import WireValue
from pystack.wire.protocol import IPProtocol, protocol_name

__all__ = ["IPV6", "IPv6Header", "pack_ipv6", "unpack_ipv6"]

IPV6 = struct.Struct("!IHBB16s16s")
"""Version, traffic class and flow label in one word; payload length, next header, hop limit, source, destination."""


def unpack_ipv6(data: Buffer) -> tuple[int, int, int, int, int, bytes, bytes]:
    """(traffic_class, flow_label, payload_length, next_header, hop_limit, src, dst) of the first 40 octets.

    The payload may lie elsewhere: its length is not checked. Raises `DecodeError`: "ipv6.short", "ipv6.version".
    """
    try:
        first, payload_length, next_header, hop_limit, src, dst = IPV6.unpack_from(data)
    except struct.error:
        raise DecodeError("ipv6.short", f"{memoryview(data).nbytes} of {IPV6.size} octets") from None
    if first >> 28 != 6:
        raise DecodeError("ipv6.version", str(first >> 28))
    return first >> 20 & 0xFF, first & 0xFFFFF, payload_length, next_header, hop_limit, src, dst


def pack_ipv6(
    src: bytes,
    dst: bytes,
    next_header: int,
    payload_length: int,
    hop_limit: int = 64,
    traffic_class: int = 0,
    flow_label: int = 0,
) -> bytes:
    first = 6 << 28 | traffic_class << 20 | flow_label
    return IPV6.pack(first, payload_length, next_header, hop_limit, src, dst)


@frozen(repr=False)
class IPv6Header(WireValue):
    """IPv6 header, RFC 8200 section 3. `payload_length` counts octets behind these 40, extension headers included.

    Addresses are also taken as text, octets or number.
    """

    SIZE: ClassVar[int] = 40
    FIELD_BITS: ClassVar = {
        "next_header": 8,
        "hop_limit": 8,
        "payload_length": 16,
        "traffic_class": 8,
        "flow_label": 20,
    }

    src: IPv6Address = field(converter=ipv6_address)
    dst: IPv6Address = field(converter=ipv6_address)
    next_header: int = IPProtocol.TCP
    hop_limit: int = 64
    payload_length: int = 0
    traffic_class: int = 0
    flow_label: int = 0

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        """Decode the first 40 octets. Raises `DecodeError` only."""
        traffic_class, flow_label, payload_length, next_header, hop_limit, src, dst = unpack_ipv6(data)
        return cls(src, dst, next_header, hop_limit, payload_length, traffic_class, flow_label)

    @property
    def size(self) -> int:
        return self.SIZE

    @override
    def to_bytes(self) -> bytes:
        return self._pack(self.next_header, self.payload_length)

    def sealed_bytes(self, next_header: int, payload_length: int) -> bytes:
        """The header in front of `payload_length` octets that start with `next_header`."""
        if payload_length > 0xFFFF:
            raise ValueError(f"an IPv6 payload has at most 65535 octets, not {payload_length}")
        return self._pack(next_header, payload_length)

    def _pack(self, next_header: int, payload_length: int) -> bytes:
        try:
            if self.flow_label > 0xFFFFF or self.traffic_class > 0xFF:
                raise self._misfit()
            return pack_ipv6(
                self.src.packed,
                self.dst.packed,
                next_header,
                payload_length,
                self.hop_limit,
                self.traffic_class,
                self.flow_label,
            )
        except (struct.error, TypeError):
            raise self._misfit() from None

    def sealed(self, payload_length: int) -> Self:
        """A copy whose `payload_length` is this."""
        return self.from_bytes(self.sealed_bytes(self.next_header, payload_length))

    @override
    def __str__(self) -> str:
        return (
            f"{self.src} > {self.dst}: class 0x{self.traffic_class:02x}, flowlabel 0x{self.flow_label:05x}, "
            f"hlim {self.hop_limit}, next-header {protocol_name(self.next_header)} ({self.next_header}), "
            f"payload length {self.payload_length}"
        )
