"""The pseudo-header that TCP, UDP and ICMPv6 checksums cover (RFC 9293 section 3.1; RFC 8200 section 8.1)."""

from ipaddress import IPv4Address, IPv6Address, ip_address

from attrs import field, frozen
from typing_extensions import override

from pystack.wire.base import WireValue
from pystack.wire.protocol import protocol_name

__all__ = ["PseudoHeader", "pseudo_sum"]


def pseudo_sum(src: bytes, dst: bytes, protocol: int) -> int:
    """The partial sum of addresses (4 or 16 octets each) and protocol; the caller adds the upper-layer length."""
    total = int.from_bytes(src + dst, "big") + protocol
    return total % 0xFFFF or (0xFFFF if total else 0)


def _address(value: IPv4Address | IPv6Address | str | bytes) -> IPv4Address | IPv6Address:
    return ip_address(value)


@frozen(repr=False)
class PseudoHeader(WireValue):
    """Addresses and protocol of an upper-layer packet; its length is given when the sum is taken.

    Both addresses are of one family, which decides the layout: 12 octets for IPv4, 40 for IPv6.
    """

    src: IPv4Address | IPv6Address = field(converter=_address)
    dst: IPv4Address | IPv6Address = field(converter=_address)
    protocol: int

    def __attrs_post_init__(self) -> None:
        if self.src.version != self.dst.version:
            raise ValueError(f"PseudoHeader: {self.src} and {self.dst} are not of one family")

    @override
    def to_bytes(self, length: int = 0) -> bytes:
        """The pseudo-header in front of an upper-layer packet of `length` octets (header and payload)."""
        addresses = self.src.packed + self.dst.packed
        try:
            if self.src.version == 4:
                return addresses + b"\0" + self.protocol.to_bytes(1, "big") + length.to_bytes(2, "big")
            return addresses + length.to_bytes(4, "big") + self.protocol.to_bytes(4, "big")
        except OverflowError:
            raise ValueError(f"PseudoHeader: protocol {self.protocol} or length {length} does not fit") from None

    def sum(self, length: int) -> int:
        """The partial sum, for `internet_checksum(..., initial=...)`."""
        return pseudo_sum(self.src.packed, self.dst.packed, self.protocol) + length

    @override
    def __str__(self) -> str:
        return f"{self.src} > {self.dst}: {protocol_name(self.protocol)}"
