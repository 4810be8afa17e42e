"""What the bits of an IPv4 address say (RFC 1122, section 3.2.1.3), and the addresses of an interface."""

import ipaddress
from typing import Self, TypeAlias

from attrs import frozen

__all__ = [
    "ALL_HOSTS",
    "ANY",
    "LIMITED_BROADCAST",
    "LOOPBACK",
    "AddressLike",
    "InterfaceAddress",
    "address_text",
    "is_loopback",
    "is_multicast",
    "is_reserved",
]

ANY = bytes(4)
LOOPBACK = bytes((127, 0, 0, 1))
LIMITED_BROADCAST = b"\xff" * 4
ALL_HOSTS = bytes((224, 0, 0, 1))
"""The group that every host is a member of (RFC 1112, section 4)."""

AddressLike: TypeAlias = str | ipaddress.IPv4Address | ipaddress.IPv4Interface


def is_loopback(address: bytes) -> bool:
    return address[0] == 127


def is_multicast(address: bytes) -> bool:
    return 224 <= address[0] < 240


def is_reserved(address: bytes) -> bool:
    """Class E and "this network" (RFC 6890): neither a source nor a destination of unicast."""
    return address[0] >= 240 or address[0] == 0


def address_text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))


@frozen
class InterfaceAddress:
    """One address of an interface, and the network that it puts the interface on."""

    address: bytes
    prefix_length: int
    network: bytes
    broadcast: bytes | None
    """The directed broadcast address. A /31 or /32 has none (RFC 3021)."""

    @classmethod
    def parse(cls, value: AddressLike) -> Self:
        """From "192.0.2.2/24" or its `ipaddress` value; without a prefix length the network is the address alone.

        Raises ValueError for what cannot be the address of one host.
        """
        interface = ipaddress.IPv4Interface(value)
        network, ip = interface.network, interface.ip
        if ip.is_multicast or ip.packed[0] >= 240 or ip.packed[0] == 0:
            raise ValueError(f"{interface} is not the address of one host")
        has_broadcast = network.prefixlen < 31
        if has_broadcast and ip in (network.network_address, network.broadcast_address):
            raise ValueError(f"{interface} is the address of a network or of all its hosts: use one between them")
        broadcast = network.broadcast_address.packed if has_broadcast else None
        return cls(ip.packed, network.prefixlen, network.network_address.packed, broadcast)

    def covers(self, address: bytes) -> bool:
        """Whether `address` lies on this network."""
        difference = int.from_bytes(address, "big") ^ int.from_bytes(self.network, "big")
        return difference >> (len(address) * 8 - self.prefix_length) == 0

    def __str__(self) -> str:
        return f"{address_text(self.address)}/{self.prefix_length}"
