"""Expressions of a script as Python values."""

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

from pystack.testing.packetdrill.constants import CONSTANTS
from pystack.testing.packetdrill.script import Application, BitOr, Expression, Group, Inverse, Symbol

__all__ = ["Misused", "Unsupported", "buffer_octets", "number", "socket_address"]


class Unsupported(Exception):
    """The script asks for something that this runner, or this stack, does not have; the text says what."""


class Misused(Exception):
    """The script asks for something that means nothing: the text says what."""


def number(value: Expression) -> int:
    """An integer: itself, a constant, several joined by `|`, `htons(80)`, or the one element of `[1]`."""
    match value:
        case int():
            return value
        case Symbol(name) if name in CONSTANTS:
            return CONSTANTS[name]
        case Symbol(name):
            raise Unsupported(f"the name {name}")
        case BitOr(parts):
            joined = 0
            for part in parts:
                joined |= number(part)
            return joined
        case Inverse(operand):
            return ~number(operand)
        case Application("htons" | "htonl" | "ntohs" | "ntohl", (argument,)):
            return number(argument)
        case [single]:
            return number(single)
    raise Misused(f"{value!r} is not a number")


def socket_address(value: Expression, default: tuple[str, int]) -> tuple[str, int]:
    """A `struct sockaddr`, or `default` for `...`. An IPv4 address inside an IPv6 one is that IPv4 address."""
    if value is ...:
        return default
    if not isinstance(value, Group):
        raise Misused(f"{value!r} is not a socket address")
    port = value.get("sin_port", "sin6_port")
    host = value.get("sin_addr", "sin6_addr")
    if host is None:
        host = next((item for item in value.items if isinstance(item, Application)), ...)
    return (default[0] if host is ... else _host(host)), (default[1] if port in (None, ...) else number(port))


def _host(value: Expression) -> str:
    match value:
        case Application("inet_addr", (str(text),)) | Application("inet_pton", (_, str(text), *_)):
            address = ip_address(text)
            mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
            return "" if address.is_unspecified else str(mapped or address)
        case Application("htonl", (argument,)) if number(argument) == 0:
            return ""
        case Symbol("INADDR_ANY" | "in6addr_any"):
            return ""
    raise Misused(f"{value!r} is not an address: inet_addr(...) or inet_pton(...)")


def buffer_octets(value: Expression) -> int:
    """How much a list of `{..., octets}` holds."""
    if not isinstance(value, list):
        raise Misused(f"{value!r} is not a list of buffers, as [{{..., 1000}}]")
    return sum(_lengths(value))


def _lengths(vectors: Sequence[Expression]) -> list[int]:
    lengths = []
    for vector in vectors:
        if not isinstance(vector, Group):
            raise Misused(f"{vector!r} is not a buffer, as {{..., 1000}}")
        length = vector.get("iov_len")
        lengths.append(number(vector.items[1] if length is None else length))
    return lengths
