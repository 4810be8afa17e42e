"""ICMP for IPv6 (RFC 4443). Neighbour discovery's messages are opaque here."""

from enum import IntEnum
from typing import Self

from attrs import frozen
from typing_extensions import Buffer, override

from pystack.wire.icmp import ICMPMessage, unpack_icmp
from pystack.wire.pseudo import PseudoHeader

__all__ = ["ICMPv6Message", "ICMPv6Type", "ICMPv6UnreachableCode"]


class ICMPv6Type(IntEnum):
    """RFC 4443 section 2.1, and neighbour discovery's numbers (RFC 4861 section 4)."""

    UNREACHABLE = 1
    PACKET_TOO_BIG = 2
    TIME_EXCEEDED = 3
    PARAMETER_PROBLEM = 4
    ECHO_REQUEST = 128
    ECHO_REPLY = 129
    ROUTER_SOLICITATION = 133
    ROUTER_ADVERTISEMENT = 134
    NEIGHBOR_SOLICITATION = 135
    NEIGHBOR_ADVERTISEMENT = 136
    REDIRECT = 137


class ICMPv6UnreachableCode(IntEnum):
    """RFC 4443 section 3.1."""

    NO_ROUTE = 0
    PROHIBITED = 1
    BEYOND_SCOPE = 2
    ADDRESS = 3
    PORT = 4
    POLICY = 5
    REJECT_ROUTE = 6


_UNREACHABLE: dict[int, str] = {
    ICMPv6UnreachableCode.NO_ROUTE: "unreachable route",
    ICMPv6UnreachableCode.PROHIBITED: "unreachable prohibited",
    ICMPv6UnreachableCode.BEYOND_SCOPE: "beyond scope",
    ICMPv6UnreachableCode.ADDRESS: "unreachable address",
    ICMPv6UnreachableCode.PORT: "unreachable port",
    ICMPv6UnreachableCode.POLICY: "unreachable policy",
    ICMPv6UnreachableCode.REJECT_ROUTE: "unreachable reject route",
}
_TIME_EXCEEDED = {0: "in-transit", 1: "reassembly"}
_PARAMETER_PROBLEM = {0: "erroneous header field", 1: "next header", 2: "option"}
_DISCOVERY: dict[int, str] = {
    ICMPv6Type.ROUTER_SOLICITATION: "router solicitation",
    ICMPv6Type.ROUTER_ADVERTISEMENT: "router advertisement",
    ICMPv6Type.NEIGHBOR_SOLICITATION: "neighbor solicitation",
    ICMPv6Type.NEIGHBOR_ADVERTISEMENT: "neighbor advertisement",
    ICMPv6Type.REDIRECT: "redirect",
}
_ECHO = (ICMPv6Type.ECHO_REQUEST, ICMPv6Type.ECHO_REPLY)
_QUOTING = (
    ICMPv6Type.UNREACHABLE,
    ICMPv6Type.PACKET_TOO_BIG,
    ICMPv6Type.TIME_EXCEEDED,
    ICMPv6Type.PARAMETER_PROBLEM,
)


@frozen(repr=False)
class ICMPv6Message(ICMPMessage):
    """A whole ICMPv6 message, RFC 4443. Its checksum covers the addresses too: `sealed` wants the pseudo-header."""

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        """Decode a whole message. Raises `DecodeError` only. The checksum is kept, not judged."""
        kind, code, checksum, rest = unpack_icmp(data)
        return cls(kind, code, rest, bytes(memoryview(data).cast("B")[8:]), checksum)

    @classmethod
    def echo_request(cls, identifier: int, sequence: int, data: bytes = b"") -> Self:
        return cls(ICMPv6Type.ECHO_REQUEST, 0, identifier << 16 | sequence, data)

    @classmethod
    def echo_reply(cls, identifier: int, sequence: int, data: bytes = b"") -> Self:
        """Identifier, sequence and data are the request's (RFC 4443 section 4.2)."""
        return cls(ICMPv6Type.ECHO_REPLY, 0, identifier << 16 | sequence, data)

    @classmethod
    def unreachable(cls, code: int, quoted: bytes) -> Self:
        return cls(ICMPv6Type.UNREACHABLE, code, 0, quoted)

    @classmethod
    def packet_too_big(cls, mtu: int, quoted: bytes) -> Self:
        """`mtu`: octets of IP packet that the next hop takes."""
        return cls(ICMPv6Type.PACKET_TOO_BIG, 0, mtu, quoted)

    @classmethod
    def time_exceeded(cls, code: int, quoted: bytes) -> Self:
        return cls(ICMPv6Type.TIME_EXCEEDED, code, 0, quoted)

    @classmethod
    def parameter_problem(cls, pointer: int, quoted: bytes, code: int = 0) -> Self:
        """`pointer`: the octet of the quoted packet where the error was found."""
        return cls(ICMPv6Type.PARAMETER_PROBLEM, code, pointer, quoted)

    def sealed(self, pseudo: PseudoHeader) -> Self:
        """A copy whose `checksum` fits."""
        return self.from_bytes(self.sealed_bytes(pseudo.sum(self.size)))

    @property
    def is_error(self) -> bool:
        """Types below 128 are errors, known or not, and must never be answered by one (RFC 4443 section 2.4)."""
        return self.type < 128

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
        """As much of the packet that the error is about as fits."""
        self._needs(self.type in _QUOTING, "quoted packet")
        return self.data

    @property
    def mtu(self) -> int:
        """Of "packet too big": octets of IP packet that the next hop takes (RFC 4443 section 3.2)."""
        self._needs(self.type == ICMPv6Type.PACKET_TOO_BIG, "MTU")
        return self.rest

    @property
    def pointer(self) -> int:
        """Of a parameter problem: the octet of the quoted packet where the error was found."""
        self._needs(self.type == ICMPv6Type.PARAMETER_PROBLEM, "pointer")
        return self.rest

    @override
    def __str__(self) -> str:
        return f"ICMP6, {self._summary()}, length {self.size}"

    def _summary(self) -> str:
        match self.type:
            case ICMPv6Type.ECHO_REQUEST:
                return f"echo request, id {self.identifier}, seq {self.sequence}"
            case ICMPv6Type.ECHO_REPLY:
                return f"echo reply, id {self.identifier}, seq {self.sequence}"
            case ICMPv6Type.UNREACHABLE:
                return f"destination unreachable, {_named(_UNREACHABLE, self.code)}"
            case ICMPv6Type.PACKET_TOO_BIG:
                return f"packet too big, mtu {self.mtu}"
            case ICMPv6Type.TIME_EXCEEDED:
                return f"time exceeded {_named(_TIME_EXCEEDED, self.code)}"
            case ICMPv6Type.PARAMETER_PROBLEM:
                return f"parameter problem, {_named(_PARAMETER_PROBLEM, self.code)} - octet {self.pointer}"
        return _named(_DISCOVERY, self.type, "type") + (f", code {self.code}" if self.code else "")


def _named(names: dict[int, str], code: int, otherwise: str = "code") -> str:
    return names.get(code) or f"{otherwise} {code}"
