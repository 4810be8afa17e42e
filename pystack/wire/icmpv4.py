"""ICMP for IPv4 (RFC 792; RFC 1122 section 3.2.2; RFC 1191 section 4 for the next-hop MTU)."""

from enum import IntEnum
from ipaddress import IPv4Address
from typing import Self

from attrs import frozen
from typing_extensions import Buffer, override

from pystack.wire.address import AnyIPv4, ipv4_address
from pystack.wire.checksum import internet_checksum
from pystack.wire.icmp import ICMPMessage, unpack_icmp

__all__ = ["ICMPv4Message", "ICMPv4Type", "RedirectCode", "TimeExceededCode", "UnreachableCode"]


class ICMPv4Type(IntEnum):
    """RFC 792; the types that this library reads and writes."""

    ECHO_REPLY = 0
    UNREACHABLE = 3
    REDIRECT = 5
    ECHO_REQUEST = 8
    TIME_EXCEEDED = 11
    PARAMETER_PROBLEM = 12


class UnreachableCode(IntEnum):
    """Why a destination is unreachable: RFC 792 (to 5), RFC 1122 section 3.2.2.1 (to 12), RFC 1812 section 5.2.7.1."""

    NETWORK = 0
    HOST = 1
    PROTOCOL = 2
    PORT = 3
    FRAGMENTATION_NEEDED = 4
    SOURCE_ROUTE_FAILED = 5
    NETWORK_UNKNOWN = 6
    HOST_UNKNOWN = 7
    SOURCE_HOST_ISOLATED = 8
    NETWORK_PROHIBITED = 9
    HOST_PROHIBITED = 10
    NETWORK_TOS = 11
    HOST_TOS = 12
    COMMUNICATION_PROHIBITED = 13
    HOST_PRECEDENCE_VIOLATION = 14
    PRECEDENCE_CUTOFF = 15


class RedirectCode(IntEnum):
    """What a redirect is about (RFC 792)."""

    NETWORK = 0
    HOST = 1
    TOS_NETWORK = 2
    TOS_HOST = 3


class TimeExceededCode(IntEnum):
    """Whose time it was (RFC 792)."""

    IN_TRANSIT = 0
    REASSEMBLY = 1


_UNREACHABLE: dict[int, str] = {
    UnreachableCode.NETWORK: "net unreachable",
    UnreachableCode.HOST: "host unreachable",
    UnreachableCode.PROTOCOL: "protocol unreachable",
    UnreachableCode.PORT: "port unreachable",
    UnreachableCode.FRAGMENTATION_NEEDED: "unreachable - need to frag",
    UnreachableCode.SOURCE_ROUTE_FAILED: "unreachable - source route failed",
    UnreachableCode.NETWORK_UNKNOWN: "net unreachable - unknown",
    UnreachableCode.HOST_UNKNOWN: "host unreachable - unknown",
    UnreachableCode.SOURCE_HOST_ISOLATED: "unreachable - source host isolated",
    UnreachableCode.NETWORK_PROHIBITED: "net unreachable - admin prohibited",
    UnreachableCode.HOST_PROHIBITED: "host unreachable - admin prohibited",
    UnreachableCode.NETWORK_TOS: "net unreachable - tos",
    UnreachableCode.HOST_TOS: "host unreachable - tos",
    UnreachableCode.COMMUNICATION_PROHIBITED: "unreachable - admin prohibited filter",
    UnreachableCode.HOST_PRECEDENCE_VIOLATION: "unreachable - host precedence violation",
    UnreachableCode.PRECEDENCE_CUTOFF: "unreachable - precedence cutoff",
}
_REDIRECT: dict[int, str] = {
    RedirectCode.NETWORK: "net",
    RedirectCode.HOST: "host",
    RedirectCode.TOS_NETWORK: "tos net",
    RedirectCode.TOS_HOST: "tos host",
}
_TIME_EXCEEDED: dict[int, str] = {
    TimeExceededCode.IN_TRANSIT: "in-transit",
    TimeExceededCode.REASSEMBLY: "ip reassembly",
}

_ECHO = (ICMPv4Type.ECHO_REQUEST, ICMPv4Type.ECHO_REPLY)
_ERRORS = (
    ICMPv4Type.UNREACHABLE,
    ICMPv4Type.REDIRECT,
    ICMPv4Type.TIME_EXCEEDED,
    ICMPv4Type.PARAMETER_PROBLEM,
)


@frozen(repr=False)
class ICMPv4Message(ICMPMessage):
    """A whole ICMP message, RFC 792. The constructors below seal the checksum; types without one stay opaque."""

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        """Decode a whole message. Raises `DecodeError` only. The checksum is kept, not judged."""
        kind, code, checksum, rest = unpack_icmp(data)
        return cls(kind, code, rest, bytes(memoryview(data).cast("B")[8:]), checksum)

    @classmethod
    def echo_request(cls, identifier: int, sequence: int, data: bytes = b"") -> Self:
        return cls(ICMPv4Type.ECHO_REQUEST, 0, identifier << 16 | sequence, data).sealed()

    @classmethod
    def echo_reply(cls, identifier: int, sequence: int, data: bytes = b"") -> Self:
        """Identifier, sequence and data are the request's (RFC 1122 section 3.2.2.6)."""
        return cls(ICMPv4Type.ECHO_REPLY, 0, identifier << 16 | sequence, data).sealed()

    @classmethod
    def unreachable(cls, code: int, quoted: bytes, next_hop_mtu: int = 0) -> Self:
        """`next_hop_mtu`: octets of IP packet, with `UnreachableCode.FRAGMENTATION_NEEDED` only."""
        return cls(ICMPv4Type.UNREACHABLE, code, next_hop_mtu, quoted).sealed()

    @classmethod
    def redirect(cls, code: int, gateway: AnyIPv4, quoted: bytes) -> Self:
        return cls(ICMPv4Type.REDIRECT, code, int(ipv4_address(gateway)), quoted).sealed()

    @classmethod
    def time_exceeded(cls, code: int, quoted: bytes) -> Self:
        return cls(ICMPv4Type.TIME_EXCEEDED, code, 0, quoted).sealed()

    @classmethod
    def parameter_problem(cls, pointer: int, quoted: bytes, code: int = 0) -> Self:
        """`pointer`: the octet of the quoted header where the error was found."""
        return cls(ICMPv4Type.PARAMETER_PROBLEM, code, pointer << 24, quoted).sealed()

    def sealed(self) -> Self:
        """A copy whose `checksum` fits."""
        return self.from_bytes(self.sealed_bytes())

    @property
    def checksum_valid(self) -> bool:
        return internet_checksum(self.to_bytes()) == 0

    @property
    def is_error(self) -> bool:
        """Whether it quotes a packet, and so must never be answered by an error (RFC 1122 section 3.2.2)."""
        return self.type in _ERRORS

    @property
    def identifier(self) -> int:
        """Of an echo request or reply."""
        self._needs(self.type in _ECHO, "identifier")
        return self.rest >> 16

    @property
    def sequence(self) -> int:
        """Of an echo request or reply."""
        self._needs(self.type in _ECHO, "sequence")
        return self.rest & 0xFFFF

    @property
    def quoted(self) -> bytes:
        """The start of the packet that an error is about: its IP header and at least 8 octets more."""
        self._needs(self.is_error, "quoted packet")
        return self.data

    @property
    def next_hop_mtu(self) -> int:
        """Of "fragmentation needed", in octets of IP packet; 0 from routers older than RFC 1191."""
        needed = self.type == ICMPv4Type.UNREACHABLE and self.code == UnreachableCode.FRAGMENTATION_NEEDED
        self._needs(needed, "next-hop MTU")
        return self.rest & 0xFFFF

    @property
    def pointer(self) -> int:
        """Of a parameter problem: the octet of the quoted header where the error was found."""
        self._needs(self.type == ICMPv4Type.PARAMETER_PROBLEM, "pointer")
        return self.rest >> 24

    @property
    def gateway(self) -> IPv4Address:
        """Of a redirect: the better first hop."""
        self._needs(self.type == ICMPv4Type.REDIRECT, "gateway")
        return ipv4_address(self.rest)

    @override
    def __str__(self) -> str:
        return f"ICMP {self._summary()}, length {self.size}"

    def _summary(self) -> str:
        match self.type:
            case ICMPv4Type.ECHO_REQUEST:
                return f"echo request, id {self.identifier}, seq {self.sequence}"
            case ICMPv4Type.ECHO_REPLY:
                return f"echo reply, id {self.identifier}, seq {self.sequence}"
            case ICMPv4Type.UNREACHABLE:
                mtu = f" (mtu {self.rest & 0xFFFF})" if self.code == UnreachableCode.FRAGMENTATION_NEEDED else ""
                return _named(_UNREACHABLE, self.code, "unreachable - code") + mtu
            case ICMPv4Type.REDIRECT:
                return f"redirect {_named(_REDIRECT, self.code, 'code')} to {self.gateway}"
            case ICMPv4Type.TIME_EXCEEDED:
                return f"time exceeded {_named(_TIME_EXCEEDED, self.code, 'code')}"
            case ICMPv4Type.PARAMETER_PROBLEM:
                return f"parameter problem - octet {self.pointer}" + (f", code {self.code}" if self.code else "")
        return f"type {self.type}, code {self.code}"


def _named(names: dict[int, str], code: int, otherwise: str) -> str:
    return names.get(code) or f"{otherwise} {code}"
