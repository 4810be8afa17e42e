"""As much of rtnetlink(7) as links need: look at interfaces, bring them up, give them addresses."""

import os
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import Final, Self

from attrs import frozen

__all__ = ["AnyInterface", "LinkInfo", "RouteSocket"]

AnyInterface = IPv4Interface | IPv6Interface

_MESSAGE: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
_INTERFACE: Final = struct.Struct("=BxHiII")  # family, ARP hardware type, index, flags, mask of flags to change
_ADDRESS: Final = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index

_NETLINK_ROUTE: Final = 0
_ERROR, _DONE = 2, 3
_NEWLINK, _GETLINK, _NEWADDR, _DELADDR, _GETADDR = 16, 18, 20, 21, 22
_REQUEST, _MULTI, _ACK, _DUMP, _EXCLUSIVE, _CREATE = 0x1, 0x2, 0x4, 0x300, 0x200, 0x400

_IFLA_IFNAME, _IFLA_MTU, _IFLA_AF_SPEC = 3, 4, 26
_IFLA_INET6_ADDR_GEN_MODE: Final = 8
_IN6_ADDR_GEN_MODE_NONE: Final = 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFA_F_NODAD: Final = 0x02
_IFF_UP: Final = 0x1


@frozen
class LinkInfo:
    """What the kernel says of one interface."""

    index: int
    name: str
    hardware: int
    """ARPHRD_*: 1 is Ethernet, 772 the loopback, 65534 none."""
    up: bool
    mtu: int


class RouteSocket:
    """A conversation with the kernel about the network namespace in which it was opened. Raises `OSError`."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def link(self, interface: str | int) -> LinkInfo:
        """The interface of that name or index. Raises `OSError` with ENODEV when there is none."""
        named = _attribute(_IFLA_IFNAME, interface.encode() + b"\0") if isinstance(interface, str) else b""
        index = interface if isinstance(interface, int) else 0
        (reply,) = self._request(_GETLINK, 0, _INTERFACE.pack(socket.AF_UNSPEC, 0, index, 0, 0) + named)
        _, hardware, index, flags, _ = _INTERFACE.unpack_from(reply)
        attributes = _attributes(reply[_INTERFACE.size :])
        return LinkInfo(
            index=index,
            name=attributes[_IFLA_IFNAME].rstrip(b"\0").decode(),
            hardware=hardware,
            up=bool(flags & _IFF_UP),
            mtu=int.from_bytes(attributes[_IFLA_MTU], sys.byteorder),
        )

    def set_up(self, index: int, up: bool) -> None:
        self._change(index, flags=_IFF_UP if up else 0, mask=_IFF_UP)

    def set_mtu(self, index: int, mtu: int) -> None:
        self._change(index, attributes=_attribute(_IFLA_MTU, struct.pack("=I", mtu)))

    def silence_ipv6(self, index: int) -> None:
        """No link-local address by itself: an interface that comes up then sends no solicitations and no reports."""
        mode = _attribute(_IFLA_INET6_ADDR_GEN_MODE, bytes([_IN6_ADDR_GEN_MODE_NONE]))
        self._change(index, attributes=_attribute(_IFLA_AF_SPEC, _attribute(socket.AF_INET6, mode)))

    def add_address(self, index: int, address: AnyInterface) -> None:
        """Raises `FileExistsError` when the interface has it already."""
        self._request(_NEWADDR, _ACK | _CREATE | _EXCLUSIVE, _address_request(index, address))

    def delete_address(self, index: int, address: AnyInterface) -> None:
        self._request(_DELADDR, _ACK, _address_request(index, address))

    def addresses(self) -> list[tuple[int, AnyInterface]]:
        """Every address of the namespace, with the index of its interface."""
        found = []
        for reply in self._request(_GETADDR, _DUMP, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
            _, prefix_length, _, _, index = _ADDRESS.unpack_from(reply)
            attributes = _attributes(reply[_ADDRESS.size :])
            packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
            if packed:
                found.append((index, ip_interface(f"{ip_address(packed)}/{prefix_length}")))
        return found

    def _change(self, index: int, *, flags: int = 0, mask: int = 0, attributes: bytes = b"") -> None:
        self._request(_NEWLINK, _ACK, _INTERFACE.pack(socket.AF_UNSPEC, 0, index, flags, mask) + attributes)

    def _request(self, kind: int, flags: int, body: bytes) -> list[bytes]:
        """Ask, and wait for the answer: the bodies of the messages that came, without their headers."""
        self._sequence += 1
        header = _MESSAGE.pack(_MESSAGE.size + len(body), kind, _REQUEST | flags, self._sequence, 0)
        self._socket.send(header + body)
        replies: list[bytes] = []
        while True:
            for reply_kind, reply_flags, sequence, reply in _messages(self._socket.recv(1 << 16)):
                if sequence != self._sequence:
                    continue
                if reply_kind == _ERROR:
                    code = -struct.unpack_from("=i", reply)[0]
                    if code:
                        raise OSError(code, os.strerror(code))
                    return replies
                if reply_kind == _DONE:
                    return replies
                replies.append(reply)
                if not reply_flags & _MULTI:
                    return replies


def _address_request(index: int, address: AnyInterface) -> bytes:
    packed = address.ip.packed
    family, flags = (socket.AF_INET, 0) if address.version == 4 else (socket.AF_INET6, _IFA_F_NODAD)
    header = _ADDRESS.pack(family, address.network.prefixlen, flags, 0, index)
    return header + _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        found[kind] = data[_ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]
    return found


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, sequence number and body of each message in `data`."""
    while len(data) >= _MESSAGE.size:
        length, kind, flags, sequence, _ = _MESSAGE.unpack_from(data)
        yield kind, flags, sequence, data[_MESSAGE.size : length]
        data = data[(length + 3) & ~3 :]
