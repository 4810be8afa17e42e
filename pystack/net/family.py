"""What the two IP versions do not share: what the bits of an address say, and which of ours goes with a destination."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from errno import EAFNOSUPPORT
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from pystack.errors import os_error
from pystack.link.base import GSOType

if TYPE_CHECKING:
    from pystack.net.address import InterfaceAddress

__all__ = ["IPV4", "IPV6", "LIMITED_BROADCAST", "Family", "family_of"]

LIMITED_BROADCAST = b"\xff" * 4
_ALL_HOSTS = bytes((224, 0, 0, 1))
_ALL_NODES = b"\xff\x02" + bytes(13) + b"\x01"
_MAPPED = bytes(10) + b"\xff\xff"
"""The start of an IPv4-mapped address (RFC 4291, section 2.5.5.2): no packet carries one."""
_COMPATIBLE = bytes(12)
"""The start of an IPv4-compatible address, deprecated (RFC 4291, section 2.5.5.1), and of :: and ::1."""


class Family(ABC):
    """One IP version, as far as addresses go. `IPV4` and `IPV6` are all there are."""

    version: ClassVar[int]
    address_octets: ClassVar[int]
    header_octets: ClassVar[int]
    """A header without options or extensions: we send no others."""
    min_link_mtu: ClassVar[int]
    """Octets of IP packet that every link must carry."""
    any: ClassVar[bytes]
    """The unspecified address; with prefix length 0 also the network that holds every destination."""
    loopback: ClassVar[bytes]
    everybody: ClassVar[tuple[bytes, ...]]
    """Groups that every host is a member of."""
    gso_type: ClassVar[GSOType]

    @abstractmethod
    def is_loopback(self, address: bytes) -> bool: ...

    @abstractmethod
    def is_group(self, address: bytes) -> bool:
        """Whether packets to `address` go to everybody, or to a group, on one link."""
        ...

    @abstractmethod
    def is_reserved(self, address: bytes) -> bool:
        """Neither a host nor a group has this address."""
        ...

    @abstractmethod
    def source(self, addresses: "Sequence[InterfaceAddress]", dst: bytes, next_hop: bytes) -> bytes:
        """Which of an interface's `addresses` (at least one) goes with `dst`."""
        ...

    def __repr__(self) -> str:
        return f"IPv{self.version}"


class _IPv4(Family):
    """RFC 1122, section 3.2.1.3."""

    version: ClassVar = 4
    address_octets: ClassVar = 4
    header_octets: ClassVar = 20
    min_link_mtu: ClassVar = 68  # RFC 791, section 3.2
    any: ClassVar = bytes(4)
    loopback: ClassVar = bytes((127, 0, 0, 1))
    everybody: ClassVar = (LIMITED_BROADCAST, _ALL_HOSTS)  # RFC 1112, section 4
    gso_type: ClassVar = GSOType.TCPV4

    @override
    def is_loopback(self, address: bytes) -> bool:
        return address[0] == 127

    @override
    def is_group(self, address: bytes) -> bool:
        return address == LIMITED_BROADCAST or 224 <= address[0] < 240

    @override
    def is_reserved(self, address: bytes) -> bool:
        """Class E and "this network" (RFC 6890)."""
        return (address[0] >= 240 and address != LIMITED_BROADCAST) or address[0] == 0

    @override
    def source(self, addresses: "Sequence[InterfaceAddress]", dst: bytes, next_hop: bytes) -> bytes:
        """One on the same network as the next hop, else the first (RFC 1122, section 3.3.4.3)."""
        on_link = (own.address for own in addresses if own.covers(next_hop))
        return next(on_link, addresses[0].address)


class _IPv6(Family):
    """RFC 4291, section 2."""

    version: ClassVar = 6
    address_octets: ClassVar = 16
    header_octets: ClassVar = 40
    min_link_mtu: ClassVar = 1280  # RFC 8200, section 5
    any: ClassVar = bytes(16)
    loopback: ClassVar = bytes(15) + b"\x01"
    everybody: ClassVar = (_ALL_NODES,)
    gso_type: ClassVar = GSOType.TCPV6

    @override
    def is_loopback(self, address: bytes) -> bool:
        return address == self.loopback

    @override
    def is_group(self, address: bytes) -> bool:
        return address[0] == 0xFF

    @override
    def is_reserved(self, address: bytes) -> bool:
        """Unspecified, loopback or with an IPv4 address inside; or a group of scope 0 or 1, which no link carries."""
        return address[:12] in (_MAPPED, _COMPATIBLE) or (address[0] == 0xFF and address[1] & 0xF < 2)

    @override
    def source(self, addresses: "Sequence[InterfaceAddress]", dst: bytes, next_hop: bytes) -> bytes:
        """The best by RFC 6724, section 5, rules 2 (scope) and 8 (longest matching prefix), else the first."""
        wanted = _scope(dst)

        def rank(own: "InterfaceAddress") -> tuple[bool, int, int]:
            scope = _scope(own.address)
            narrow = scope < wanted
            return narrow, -scope if narrow else scope, -own.common_prefix(dst)

        return min(addresses, key=rank).address


def _scope(address: bytes) -> int:
    """RFC 6724, section 3.1, in the numbers of RFC 4291, section 2.7."""
    if address[0] == 0xFF:
        return address[1] & 0xF
    if address[0] == 0xFE and address[1] & 0x80:  # fe80::/10 link-local, fec0::/10 site-local
        return 5 if address[1] & 0x40 else 2
    return 2 if address == _IPv6.loopback else 14


IPV4 = _IPv4()
IPV6 = _IPv6()


def family_of(address: bytes) -> Family:
    """Raises `OSError` EAFNOSUPPORT for octets that are no address."""
    if len(address) == 4:
        return IPV4
    if len(address) == 16:
        return IPV6
    raise os_error(EAFNOSUPPORT, f"an address has 4 or 16 octets, not {len(address)}")
