"""The two address families: how a program writes an address, and how it is told one."""

import operator
import socket
from abc import ABC, abstractmethod
from errno import EAFNOSUPPORT
from typing import Any, ClassVar, TypeAlias

from typing_extensions import override

from pystack.errors import os_error
from pystack.sockets.resolve import IPAddress

__all__ = ["INET", "INET6", "Address", "Family", "Name", "family_of"]

Host: TypeAlias = str | bytes | IPAddress
Address: TypeAlias = tuple[Host, int] | tuple[Host, int, int] | tuple[Host, int, int, int]
"""Host and port; of AF_INET6 also the flow information and the scope, which change nothing: flows are not labelled, and
links with zones are not there. A name is looked up as `resolve` says; "" is any address of this host."""
Name: TypeAlias = Any
"""What sockets call an address: (host, port), of AF_INET6 (host, port, 0, 0)."""

FLOW_INFO_LIMIT = 0xFFFFF


class Family(ABC):
    """`INET` and `INET6` are all there are."""

    number: ClassVar[socket.AddressFamily]
    version: ClassVar[int]
    """Of IP: what names are looked up for."""
    endpoint_version: ClassVar[int | None]
    """The IP version that a new socket speaks, None: both."""

    @abstractmethod
    def checked(self, what: str, address: Address) -> tuple[Host, int]:
        """Host and port of `address`; `what` names the call. Raises as the standard library does."""
        ...

    @abstractmethod
    def name(self, name: tuple[str, int]) -> Name: ...

    @abstractmethod
    def wildcard(self, host: IPAddress) -> IPAddress | str:
        """`host` as a socket is bound to it: "" for any address that the socket can have."""
        ...

    def _pair(self, what: str, address: Address, most: int, shape: str) -> tuple[Host, int]:
        if not isinstance(address, tuple):
            raise TypeError(f"{what}(): {self.number.name} address must be tuple, not {type(address).__name__}")
        if not 2 <= len(address) <= most:
            raise TypeError(f"{what}(): {self.number.name} address must be a {shape}")
        port = operator.index(address[1])
        if not 0 <= port <= 0xFFFF:
            raise OverflowError(f"{what}(): port must be 0-65535, not {port}")
        return address[0], port


class _Inet(Family):
    number: ClassVar = socket.AF_INET
    version: ClassVar = 4
    endpoint_version: ClassVar = 4

    @override
    def checked(self, what: str, address: Address) -> tuple[Host, int]:
        return self._pair(what, address, 2, "pair (host, port)")

    @override
    def name(self, name: tuple[str, int]) -> Name:
        return name

    @override
    def wildcard(self, host: IPAddress) -> IPAddress:
        return host


class _Inet6(Family):
    """Its sockets also speak IPv4, unless IPV6_V6ONLY is set: IPv4 addresses are then IPv4-mapped ones (RFC 4291,
    section 2.5.5.2; RFC 3493, section 3.7)."""

    number: ClassVar = socket.AF_INET6
    version: ClassVar = 6
    endpoint_version: ClassVar = None

    @override
    def checked(self, what: str, address: Address) -> tuple[Host, int]:
        pair = self._pair(what, address, 4, "tuple (host, port[, flowinfo[, scopeid]])")
        flow_info, *scope = (operator.index(number) for number in address[2:] or (0,))
        if not 0 <= flow_info <= FLOW_INFO_LIMIT:
            raise OverflowError(f"{what}(): flowinfo must be 0-{FLOW_INFO_LIMIT}, not {flow_info}")
        if any(not 0 <= number <= 0xFFFF_FFFF for number in scope):
            raise OverflowError(f"{what}(): scopeid must be 0-4294967295, not {scope[0]}")
        return pair

    @override
    def name(self, name: tuple[str, int]) -> Name:
        host, port = name
        if host == "0.0.0.0":
            host = "::"
        elif "." in host:
            host = f"::ffff:{host}"
        return host, port, 0, 0

    @override
    def wildcard(self, host: IPAddress) -> IPAddress | str:
        return "" if host.is_unspecified else host


INET = _Inet()
INET6 = _Inet6()


def family_of(number: int) -> Family:
    """Raises EAFNOSUPPORT."""
    for family in (INET, INET6):
        if family.number == number:
            return family
    raise os_error(EAFNOSUPPORT, "only AF_INET and AF_INET6")
