"""Where packets to one destination go, with all that can be known before there is a packet."""

from attrs import define, field

from pystack.link.base import GSOType
from pystack.net import ipv4, ipv6
from pystack.net.address import address_text
from pystack.net.family import family_of
from pystack.net.interface import Interface
from pystack.net.neighbour import NeighbourCache
from pystack.net.pathmtu import PathMTUs
from pystack.net.sourceroute import SourceRoute
from pystack.wire.ethernet import ETHERNET

__all__ = ["Path"]

MAX_DATAGRAM = 65_535
"""Octets, header included, that IPv4's length field can say, and a link's MTU."""
TEMPLATES = 32
"""Headers remembered per path; a traceroute uses one per TTL."""


@define(eq=False, repr=False)
class Path:
    """From one of our addresses to a destination. Cheap to hold per connection; `Network.refresh` renews it when
    interfaces or routes have changed."""

    src: bytes
    dst: bytes
    interface: Interface
    next_hop: bytes
    broadcast: bool
    """To all hosts of a network."""
    neighbours: NeighbourCache | None
    """Who knows the link header for `next_hop`; None: `link_header` serves for every packet."""
    link_header: bytes
    generation: int
    _mtus: PathMTUs
    route: SourceRoute | None = None
    """Where packets go before they go to `dst`."""
    link_length: int = field(init=False)
    """Octets of link header."""
    link_mtu: int = field(init=False)
    """Octets of IP packet that the first link takes."""
    header_octets: int = field(init=False)
    """Octets of IP header, options included."""
    gso_type: GSOType = field(init=False)
    """How TCP super-segments on this path are marked."""
    _templates: dict[int, ipv4.HeaderTemplate | ipv6.HeaderTemplate] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        family = family_of(self.dst)
        self.header_octets, self.gso_type = family.header_octets, family.gso_type
        if self.route is not None:
            self.header_octets += self.route.octets
        self.link_mtu = min(self.interface.capabilities.mtu, MAX_DATAGRAM)
        self.link_length = len(self.link_header) if self.neighbours is None else ETHERNET.size

    @property
    def mtu(self) -> int:
        """The current path MTU, octets of IP packet: the link's, or less when ICMP said so."""
        mtus = self._mtus
        return mtus.limit(self.dst, self.link_mtu) if mtus.learned else self.link_mtu

    def ip_header(self, protocol: int, total_length: int, ttl: int, tos: int) -> bytes:
        """The header of a datagram that is not to be fragmented."""
        template = self._templates.get(protocol << 16 | ttl << 8 | tos) or self._template(protocol, ttl, tos)
        return template.build(total_length)

    def fragmentable_header(self, protocol: int, total_length: int, ttl: int, tos: int, identification: int) -> bytes:
        """The header of a datagram that routers may fragment, where there are such."""
        template = self._templates.get(protocol << 16 | ttl << 8 | tos) or self._template(protocol, ttl, tos)
        return template.build_fragmentable(total_length, identification)

    def _template(self, protocol: int, ttl: int, tos: int) -> ipv4.HeaderTemplate | ipv6.HeaderTemplate:
        if len(self._templates) >= TEMPLATES:
            self._templates.clear()
        template = self._templates[protocol << 16 | ttl << 8 | tos] = self._make_template(protocol, ttl, tos)
        return template

    def _make_template(self, protocol: int, ttl: int, tos: int) -> ipv4.HeaderTemplate | ipv6.HeaderTemplate:
        if len(self.dst) == 16:
            return ipv6.HeaderTemplate(self.src, self.dst, protocol, ttl, tos)
        if self.route is None:
            return ipv4.HeaderTemplate(self.src, self.dst, protocol, ttl, tos)
        options = self.route.options(self.dst)
        return ipv4.OptionsTemplate(self.src, self.route.hops[0], protocol, ttl, tos, options)

    def __repr__(self) -> str:
        via = "" if self.next_hop == self.dst else f" via {address_text(self.next_hop)}"
        return f"<Path {address_text(self.src)} > {address_text(self.dst)}{via} on {self.interface.name}>"
