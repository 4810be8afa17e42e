"""The socket options this stack knows, by the numbers of the platform's `socket` module (Linux's where it has none)."""

import socket
import struct
from errno import EINVAL, ENOPROTOOPT
from typing import TypeAlias

from pystack.errors import os_error
from pystack.net.sourceroute import SourceRoute

__all__ = [
    "ACCEPTCONN",
    "BROADCAST",
    "CONGESTION",
    "CORK",
    "DEFAULT_TTL",
    "DEFER_ACCEPT",
    "ERROR",
    "FASTOPEN",
    "FASTOPEN_CONNECT",
    "FASTOPEN_NO_COOKIE",
    "INFO",
    "IP_OPTIONS",
    "KEEPALIVE",
    "KEEPCNT",
    "KEEPIDLE",
    "KEEPINTVL",
    "LINGER",
    "LINGER2",
    "LINGER_OFF",
    "MAXSEG",
    "NODELAY",
    "NOTSENT_LOWAT",
    "OOBINLINE",
    "PROTOCOL",
    "QUICKACK",
    "RCVBUF",
    "REUSEADDR",
    "SNDBUF",
    "SYNCNT",
    "SYNONYMS",
    "TOS",
    "TTL",
    "TYPE",
    "USER_TIMEOUT",
    "V6ONLY",
    "OptionKey",
    "buffer_size",
    "decode",
    "decode_name",
    "decode_route",
    "encode",
    "encode_name",
    "encode_octets",
    "unknown",
]

OptionKey: TypeAlias = tuple[int, int]
"""Level and name, as `setsockopt` takes them."""

REUSEADDR: OptionKey = (socket.SOL_SOCKET, socket.SO_REUSEADDR)
BROADCAST: OptionKey = (socket.SOL_SOCKET, socket.SO_BROADCAST)
LINGER: OptionKey = (socket.SOL_SOCKET, socket.SO_LINGER)
KEEPALIVE: OptionKey = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)
RCVBUF: OptionKey = (socket.SOL_SOCKET, socket.SO_RCVBUF)
SNDBUF: OptionKey = (socket.SOL_SOCKET, socket.SO_SNDBUF)
OOBINLINE: OptionKey = (socket.SOL_SOCKET, socket.SO_OOBINLINE)
ERROR: OptionKey = (socket.SOL_SOCKET, socket.SO_ERROR)
TYPE: OptionKey = (socket.SOL_SOCKET, socket.SO_TYPE)
ACCEPTCONN: OptionKey = (socket.SOL_SOCKET, getattr(socket, "SO_ACCEPTCONN", 30))
PROTOCOL: OptionKey = (socket.SOL_SOCKET, getattr(socket, "SO_PROTOCOL", 38))
TTL: OptionKey = (socket.IPPROTO_IP, socket.IP_TTL)
TOS: OptionKey = (socket.IPPROTO_IP, socket.IP_TOS)
IP_OPTIONS: OptionKey = (socket.IPPROTO_IP, getattr(socket, "IP_OPTIONS", 4))
UNICAST_HOPS: OptionKey = (socket.IPPROTO_IPV6, getattr(socket, "IPV6_UNICAST_HOPS", 16))
V6ONLY: OptionKey = (socket.IPPROTO_IPV6, getattr(socket, "IPV6_V6ONLY", 26))
TCLASS: OptionKey = (socket.IPPROTO_IPV6, getattr(socket, "IPV6_TCLASS", 67))
NODELAY: OptionKey = (socket.IPPROTO_TCP, socket.TCP_NODELAY)
MAXSEG: OptionKey = (socket.IPPROTO_TCP, getattr(socket, "TCP_MAXSEG", 2))
CORK: OptionKey = (socket.IPPROTO_TCP, getattr(socket, "TCP_CORK", 3))
KEEPIDLE: OptionKey = (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", 4))
KEEPINTVL: OptionKey = (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPINTVL", 5))
KEEPCNT: OptionKey = (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPCNT", 6))
SYNCNT: OptionKey = (socket.IPPROTO_TCP, getattr(socket, "TCP_SYNCNT", 7))
LINGER2: OptionKey = (socket.IPPROTO_TCP, getattr(socket, "TCP_LINGER2", 8))
DEFER_ACCEPT: OptionKey = (socket.IPPROTO_TCP, getattr(socket, "TCP_DEFER_ACCEPT", 9))
INFO: OptionKey = (socket.IPPROTO_TCP, getattr(socket, "TCP_INFO", 11))
QUICKACK: OptionKey = (socket.IPPROTO_TCP, getattr(socket, "TCP_QUICKACK", 12))
USER_TIMEOUT: OptionKey = (socket.IPPROTO_TCP, getattr(socket, "TCP_USER_TIMEOUT", 18))
NOTSENT_LOWAT: OptionKey = (socket.IPPROTO_TCP, getattr(socket, "TCP_NOTSENT_LOWAT", 25))
CONGESTION: OptionKey = (socket.IPPROTO_TCP, getattr(socket, "TCP_CONGESTION", 13))
"""The only one whose value is a name, not a number: `decode_name`, `encode_name`."""

FASTOPEN: OptionKey = (socket.IPPROTO_TCP, getattr(socket, "TCP_FASTOPEN", 23))
FASTOPEN_CONNECT: OptionKey = (socket.IPPROTO_TCP, getattr(socket, "TCP_FASTOPEN_CONNECT", 30))
FASTOPEN_NO_COOKIE: OptionKey = (socket.IPPROTO_TCP, getattr(socket, "TCP_FASTOPEN_NO_COOKIE", 34))

SYNONYMS: dict[OptionKey, OptionKey] = {UNICAST_HOPS: TTL, TCLASS: TOS}
"""IPv6's name for what IPv4 has too."""
DEFAULT_TTL = 64
_RANGES = {
    TTL: (1, 255),
    KEEPIDLE: (1, 32767),
    KEEPINTVL: (1, 32767),
    KEEPCNT: (1, 127),
    SYNCNT: (1, 127),
    USER_TIMEOUT: (0, 2**31 - 1),
    MAXSEG: (88, 32767),
    FASTOPEN: (0, 2**31 - 1),
    FASTOPEN_CONNECT: (0, 1),
    FASTOPEN_NO_COOKIE: (0, 1),
}
"""Linux's."""
_SWITCHES = frozenset({REUSEADDR, BROADCAST, KEEPALIVE, OOBINLINE, NODELAY, CORK, QUICKACK})
_FOREVER = 2**31 - 1
_SMALLEST = {SNDBUF: 4608, RCVBUF: 2304}

_NAME_OCTETS = 16
_INT = struct.Struct("i")
_LINGER = struct.Struct("ii")
LINGER_OFF = -1
"""How "do not linger" is kept: other values of LINGER are seconds."""


def unknown(key: OptionKey) -> OSError:
    return os_error(ENOPROTOOPT, f"option {key[1]} of level {key[0]} is not one of this kind of socket")


def decode(key: OptionKey, value: int | bytes) -> int:
    """The number that `setsockopt`'s value stands for. Raises EINVAL for too few octets, and for a number that the
    option cannot be."""
    if isinstance(value, int):
        if key == LINGER:
            raise os_error(EINVAL, "SO_LINGER takes struct.pack('ii', onoff, seconds)")
        return _checked(key, int(value))
    expected = _LINGER if key == LINGER else _INT
    if len(value) < expected.size:
        raise os_error(EINVAL, f"this option takes {expected.size} octets, not {len(value)}")
    if key == LINGER:
        onoff, seconds = _LINGER.unpack_from(value)
        return (int(seconds) if seconds >= 0 else _FOREVER) if onoff else LINGER_OFF
    return _checked(key, int(_INT.unpack_from(value)[0]))


def buffer_size(key: OptionKey, value: int, most: int) -> int:
    """What a buffer is charged for, and reads as, when it is to hold `value` octets: twice as much, as in Linux, where
    the other half is for the bookkeeping. `most` limits it; a negative value asks for that."""
    return min(max(2 * value, _SMALLEST[key]), most) if value >= 0 else most


def decode_route(value: int | bytes) -> SourceRoute | None:
    """What IP_OPTIONS asks for: one source route, or no option at all. Raises EINVAL."""
    if isinstance(value, int):
        raise os_error(EINVAL, "IP_OPTIONS takes octets: a source route, or none")
    try:
        return SourceRoute.parse(value)
    except ValueError as error:
        raise os_error(EINVAL, str(error)) from None


def _checked(key: OptionKey, number: int) -> int:
    if key == TTL and number == -1:  # as in Linux: back to the default
        return DEFAULT_TTL
    if key == TOS:
        return number & 0xFF
    if key in _SWITCHES:
        return int(number != 0)
    if key == MAXSEG and not number:
        return 0  # what the path takes
    low, high = _RANGES.get(key, (number, number))
    if not low <= number <= high:
        raise os_error(EINVAL, f"this option takes {low} to {high}, not {number}")
    return number


def encode(key: OptionKey, number: int, buflen: int) -> int | bytes:
    """What `getsockopt` returns: the number, or with `buflen` that many octets of what C would see."""
    if key == LINGER:
        raw = _LINGER.pack(int(number != LINGER_OFF), max(number, 0))
        return raw[:buflen] if buflen else int(number != LINGER_OFF)
    return _INT.pack(number)[:buflen] if buflen else number


def encode_octets(raw: bytes, buflen: int) -> int | bytes:
    """A structure, as `getsockopt` returns it: the first `buflen` octets, or without `buflen` the first four as a
    number, as the standard library does."""
    return raw[:buflen] if buflen else int(_INT.unpack_from(raw)[0])


def decode_name(value: int | bytes) -> str:
    """The name that `setsockopt`'s octets spell, up to a NUL. Raises EINVAL for a number, and for no name at all."""
    name = b"" if isinstance(value, int) else value.partition(b"\0")[0]
    if not name:
        raise os_error(EINVAL, "this option takes a name, as bytes")
    return name.decode("ascii", "replace")


def encode_name(name: str, buflen: int) -> bytes:
    """What `getsockopt` returns: `buflen` octets, or the 16 that a name has in C."""
    return name.encode().ljust(_NAME_OCTETS, b"\0")[: buflen or _NAME_OCTETS]
