"""The addresses of an interface."""

import ipaddress
from typing import Self, TypeAlias

from attrs import frozen

from pystack.net.family import family_of

__all__ = ["AddressLike", "InterfaceAddress", "address_text"]

AddressLike: TypeAlias = (
    str | ipaddress.IPv4Address | ipaddress.IPv4Interface | ipaddress.IPv6Address | ipaddress.IPv6Interface
)


def address_text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))


@frozen
class InterfaceAddress:
    """One address of an interface, and the network that it puts the interface on."""

    address: bytes
    prefix_length: int
    network: bytes
    broadcast: bytes | None
    """The directed broadcast address. IPv6 and a /31 or /32 (RFC 3021) have none."""

    @classmethod
    def parse(cls, value: AddressLike) -> Self:
        """From "192.0.2.2/24", "2001:db8::2/64" or an `ipaddress` value; without a prefix length the network is the
        address alone.

        Raises ValueError for what cannot be the address of one host.
        """
        interface = ipaddress.ip_interface(value)
        network, ip = interface.network, interface.ip
        family = family_of(ip.packed)
        reserved = family.is_reserved(ip.packed) and not family.is_loopback(ip.packed)
        if reserved or family.is_group(ip.packed):
            raise ValueError(f"{interface} is not the address of one host")
        is_shared = network.prefixlen < network.max_prefixlen - 1
        if is_shared and ip == network.network_address:  # RFC 4291, section 2.6.1: the anycast address of its routers
            raise ValueError(f"{interface} is the address of a network: use one inside it")
        broadcast = network.broadcast_address if is_shared and ip.version == 4 else None
        if ip == broadcast:
            raise ValueError(f"{interface} is the address of all hosts of a network: use one below it")
        return cls(
            ip.packed,
            network.prefixlen,
            network.network_address.packed,
            None if broadcast is None else broadcast.packed,
        )

    def covers(self, address: bytes) -> bool:
        """Whether `address` lies on this network."""
        return len(address) == len(self.network) and self.common_prefix(address) == self.prefix_length

    def common_prefix(self, address: bytes) -> int:
        """How many leading bits of `address`, of the same IP version, are those of this one's network; the prefix
        length at most."""
        difference = int.from_bytes(address, "big") ^ int.from_bytes(self.network, "big")
        return min(len(address) * 8 - difference.bit_length(), self.prefix_length)

    def __str__(self) -> str:
        return f"{address_text(self.address)}/{self.prefix_length}"
