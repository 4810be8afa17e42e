"""ARP for IPv4 on Ethernet (RFC 826)."""

import struct
from enum import IntEnum
from ipaddress import IPv4Address
from typing import ClassVar, Self

from attrs import field, frozen
from typing_extensions import Buffer, override

from pystack.errors import DecodeError
from pystack.wire.address import AnyIPv4, ipv4_address
from pystack.wire.base import WireValue
from pystack.wire.mac import AnyMAC, MACAddress, mac_address

__all__ = ["ARP", "ARPOperation", "ARPPacket", "pack_arp", "unpack_arp"]

ARP = struct.Struct("!HHBBH6s4s6s4s")

_ETHERNET, _IPV4 = 1, 0x0800
_UNKNOWN_MAC = bytes(6)


class ARPOperation(IntEnum):
    """RFC 826's ar$op."""

    REQUEST = 1
    REPLY = 2


def unpack_arp(data: Buffer) -> tuple[int, bytes, bytes, bytes, bytes]:
    """(operation, sender MAC, sender IP, target MAC, target IP) of the first 28 octets.

    Raises `DecodeError`: "arp.short", or "arp.space" when the addresses are not Ethernet's and IPv4's.
    """
    try:
        hardware, protocol, mac_size, ip_size, operation, *addresses = ARP.unpack_from(data)
    except struct.error:
        raise DecodeError("arp.short", f"{memoryview(data).nbytes} of {ARP.size} octets") from None
    if (hardware, protocol, mac_size, ip_size) != (_ETHERNET, _IPV4, 6, 4):
        raise DecodeError("arp.space", f"hardware {hardware}/{mac_size}, protocol 0x{protocol:04x}/{ip_size}")
    sender_mac, sender_ip, target_mac, target_ip = addresses
    return operation, sender_mac, sender_ip, target_mac, target_ip


def pack_arp(operation: int, sender_mac: bytes, sender_ip: bytes, target_mac: bytes, target_ip: bytes) -> bytes:
    return ARP.pack(_ETHERNET, _IPV4, 6, 4, operation, sender_mac, sender_ip, target_mac, target_ip)


@frozen(repr=False)
class ARPPacket(WireValue):
    """ARP packet for IPv4 over Ethernet, RFC 826. In a request the target's MAC is unknown: zeros."""

    SIZE: ClassVar[int] = 28
    FIELD_BITS: ClassVar = {"operation": 16}

    operation: int
    sender_mac: MACAddress = field(converter=mac_address)
    sender_ip: IPv4Address = field(converter=ipv4_address)
    target_mac: MACAddress = field(converter=mac_address)
    target_ip: IPv4Address = field(converter=ipv4_address)

    @classmethod
    def request(cls, sender_mac: AnyMAC, sender_ip: AnyIPv4, target_ip: AnyIPv4) -> Self:
        """ "Who has `target_ip`? Tell `sender_ip`." With both the same it is an announcement (RFC 5227 section 3)."""
        return cls(ARPOperation.REQUEST, sender_mac, sender_ip, _UNKNOWN_MAC, target_ip)

    @classmethod
    def reply(cls, sender_mac: AnyMAC, sender_ip: AnyIPv4, target_mac: AnyMAC, target_ip: AnyIPv4) -> Self:
        """ "`sender_ip` is at `sender_mac`", told to the target."""
        return cls(ARPOperation.REPLY, sender_mac, sender_ip, target_mac, target_ip)

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        """Decode the first 28 octets. Raises `DecodeError` only."""
        return cls(*unpack_arp(data))

    @override
    def to_bytes(self) -> bytes:
        try:
            return pack_arp(
                self.operation,
                self.sender_mac.octets,
                self.sender_ip.packed,
                self.target_mac.octets,
                self.target_ip.packed,
            )
        except struct.error:
            raise self._misfit() from None

    @property
    def size(self) -> int:
        return self.SIZE

    @override
    def __str__(self) -> str:
        if self.operation == ARPOperation.REQUEST:
            known = "" if self.target_mac.octets == _UNKNOWN_MAC else f" ({self.target_mac})"
            return f"Request who-has {self.target_ip}{known} tell {self.sender_ip}"
        if self.operation == ARPOperation.REPLY:
            return f"Reply {self.sender_ip} is-at {self.sender_mac}"
        return f"operation {self.operation} from {self.sender_ip} ({self.sender_mac}) to {self.target_ip}"
