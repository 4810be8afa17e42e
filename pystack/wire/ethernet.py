"""Ethernet II framing (RFC 894) and the 802.1Q tag."""

import struct
from enum import IntEnum
from typing import ClassVar, Self

from attrs import field, frozen
from typing_extensions import Buffer, override

from pystack.errors import DecodeError
from pystack.wire.base import WireValue
from pystack.wire.mac import MACAddress, mac_address

__all__ = ["ETHERNET", "EtherType", "EthernetHeader", "VLANTag", "ethertype_name", "pack_ethernet", "unpack_ethernet"]

ETHERNET = struct.Struct("!6s6sH")
_VLAN = struct.Struct("!HH")


class EtherType(IntEnum):
    """What an Ethernet frame carries (IANA "IEEE 802 Numbers"). Values below 0x600 are lengths of 802.3 frames."""

    IPV4 = 0x0800
    ARP = 0x0806
    VLAN = 0x8100
    IPV6 = 0x86DD


_NAMES: dict[int, str] = {
    EtherType.IPV4: "IPv4",
    EtherType.ARP: "ARP",
    EtherType.VLAN: "802.1Q",
    EtherType.IPV6: "IPv6",
}


def ethertype_name(ethertype: int) -> str:
    if ethertype < 0x600:
        return f"802.3 length {ethertype}"
    return _NAMES.get(ethertype) or f"0x{ethertype:04x}"


def unpack_ethernet(data: Buffer) -> tuple[bytes, bytes, int]:
    """(dst, src, ethertype) of a frame's first 14 octets. Raises `DecodeError` "ethernet.short"."""
    try:
        dst, src, ethertype = ETHERNET.unpack_from(data)
    except struct.error:
        raise DecodeError("ethernet.short", f"{memoryview(data).nbytes} of {ETHERNET.size} octets") from None
    return dst, src, ethertype


def pack_ethernet(dst: bytes, src: bytes, ethertype: int) -> bytes:
    return ETHERNET.pack(dst, src, ethertype)


@frozen(repr=False)
class EthernetHeader(WireValue):
    """Ethernet II header, RFC 894. With a tag, `ethertype` is `EtherType.VLAN` and a `VLANTag` follows."""

    SIZE: ClassVar[int] = 14
    FIELD_BITS: ClassVar = {"ethertype": 16}

    dst: MACAddress = field(converter=mac_address)
    src: MACAddress = field(converter=mac_address)
    ethertype: int = EtherType.IPV4

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        """Decode the first 14 octets. Raises `DecodeError` only."""
        return cls(*unpack_ethernet(data))

    @override
    def to_bytes(self) -> bytes:
        return self.sealed_bytes(self.ethertype)

    def sealed_bytes(self, ethertype: int) -> bytes:
        """The header in front of a payload of this `ethertype`."""
        try:
            return ETHERNET.pack(self.dst.octets, self.src.octets, ethertype)
        except struct.error:
            raise self._misfit() from None

    @property
    def size(self) -> int:
        return self.SIZE

    @override
    def __str__(self) -> str:
        return f"{self.src} > {self.dst}, ethertype {ethertype_name(self.ethertype)}"


@frozen(repr=False)
class VLANTag(WireValue):
    """IEEE 802.1Q tag: what stands between an ethertype of 0x8100 and the payload, the payload's ethertype included."""

    SIZE: ClassVar[int] = 4
    FIELD_BITS: ClassVar = {"priority": 3, "drop_eligible": 1, "vlan": 12, "ethertype": 16}

    vlan: int
    ethertype: int = EtherType.IPV4
    priority: int = 0
    drop_eligible: bool = False

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        """Decode the first 4 octets. Raises `DecodeError` "vlan.short"."""
        try:
            control, ethertype = _VLAN.unpack_from(data)
        except struct.error:
            raise DecodeError("vlan.short", f"{memoryview(data).nbytes} of {cls.SIZE} octets") from None
        return cls(control & 0xFFF, ethertype, control >> 13, bool(control & 0x1000))

    @override
    def to_bytes(self) -> bytes:
        return self.sealed_bytes(self.ethertype)

    def sealed_bytes(self, ethertype: int) -> bytes:
        """The tag in front of a payload of this `ethertype`."""
        try:
            if self.vlan > 0xFFF or self.drop_eligible > 1:
                raise self._misfit()
            return _VLAN.pack(self.priority << 13 | self.drop_eligible << 12 | self.vlan, ethertype)
        except (struct.error, TypeError):
            raise self._misfit() from None

    @property
    def size(self) -> int:
        return self.SIZE

    @override
    def __str__(self) -> str:
        eligible = ", DEI" if self.drop_eligible else ""
        return f"vlan {self.vlan}, p {self.priority}{eligible}, ethertype {ethertype_name(self.ethertype)}"
