"""Source routes: the hosts that a datagram must visit on its way (RFC 791, section 3.1; RFC 1122, section 3.2.1.8)."""

from typing import Self

from attrs import frozen
from typing_extensions import Buffer

from pystack.errors import DecodeError
from pystack.wire.ipv4 import unpack_ipv4
from pystack.wire.ipv4_options import IPv4Option, parse_ipv4_options

__all__ = ["SourceRoute", "final_destination", "route_back"]

MAX_HOPS = 9
"""What fits into the options of a header."""
_KINDS = (IPv4Option.LOOSE_SOURCE_ROUTE, IPv4Option.STRICT_SOURCE_ROUTE)
_FILLERS = (IPv4Option.NOP, IPv4Option.END)
_FIRST = 4
"""The pointer of a route of which nothing has been travelled; 4 more for each hop that has."""


@frozen
class SourceRoute:
    """Where a datagram goes before it goes to its destination."""

    hops: tuple[bytes, ...]
    """At least one."""
    strict: bool = False
    """Each hop must be a neighbour of the one before; otherwise routers lie between them."""

    @classmethod
    def parse(cls, options: Buffer) -> Self | None:
        """The route in an area of IP options as an application gives them: one source route, whose pointer is at its
        first hop, among no-operations. None: an empty area. Raises ValueError for anything else."""
        try:
            given = [option for option in parse_ipv4_options(options) if option.type not in _FILLERS]
        except DecodeError as error:
            raise ValueError(f"these are no IP options: {error}") from None
        if not given:
            return None
        if len(given) > 1 or given[0].type not in _KINDS:
            raise ValueError("of the IP options only one source route can be sent")
        (option,) = given
        hops = tuple(option.data[at : at + 4] for at in range(1, len(option.data), 4))
        if _pointer(option) != _FIRST or len(option.data) % 4 != 1 or not 1 <= len(hops) <= MAX_HOPS:
            raise ValueError(f"a source route has 1 to {MAX_HOPS} hops and its pointer at the first: {option}")
        return cls(hops, option.type == IPv4Option.STRICT_SOURCE_ROUTE)

    def options(self, dst: bytes) -> bytes:
        """The option area of a datagram that sets out for the first hop, and in the end for `dst`."""
        kind = IPv4Option.STRICT_SOURCE_ROUTE if self.strict else IPv4Option.LOOSE_SOURCE_ROUTE
        ahead = b"".join((*self.hops[1:], dst))
        return bytes((IPv4Option.NOP, kind, 3 + len(ahead), _FIRST)) + ahead

    @property
    def octets(self) -> int:
        """Of the option area: a multiple of four."""
        return 4 + 4 * len(self.hops)


def route_back(options: Buffer, src: bytes, *, allowed: bool) -> SourceRoute | None:
    """The way that a datagram from `src` has come, backwards; None: not by a source route.

    Raises `DecodeError` "ipv4.source_route" if that is not allowed, would have to go on from here, or makes no sense.
    """
    routes = [option for option in parse_ipv4_options(options) if option.type in _KINDS]
    if not routes:
        return None
    recorded = _addresses(routes[0])
    if not allowed or len(routes) > 1 or _pointer(routes[0]) != _FIRST + 4 * len(recorded):
        raise DecodeError("ipv4.source_route", " ".join(map(str, routes)))
    if recorded[:1] == (src,):  # case (B) of RFC 1122: its own first hop
        recorded = recorded[1:]
    if not recorded:
        return None
    return SourceRoute(recorded[::-1], routes[0].type == IPv4Option.STRICT_SOURCE_ROUTE)


def final_destination(packet: Buffer) -> bytes:
    """Where a datagram of ours goes in the end, wherever on its source route it is. Raises `DecodeError`."""
    header_octets, *_, dst = unpack_ipv4(packet)
    for option in parse_ipv4_options(memoryview(packet)[20:header_octets]):
        if option.type in _KINDS:
            hops = _addresses(option)
            if hops and _pointer(option) < _FIRST + 4 * len(hops):
                return hops[-1]
    return dst


def _pointer(option: IPv4Option) -> int:
    return option.data[0] if option.data else 0


def _addresses(option: IPv4Option) -> tuple[bytes, ...]:
    """Raises `DecodeError` if something is left over."""
    data = option.data
    if len(data) % 4 != 1:
        raise DecodeError("ipv4.source_route", str(option))
    return tuple(data[at : at + 4] for at in range(1, len(data), 4))
