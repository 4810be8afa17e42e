"""Where packets to one destination go, with all that can be known before there is a packet."""

from attrs import define, field

from pystack.net.address import address_text
from pystack.net.interface import Interface
from pystack.net.ipv4 import MAX_DATAGRAM, HeaderTemplate
from pystack.net.neighbour import NeighbourCache
from pystack.net.pathmtu import PathMTUs
from pystack.wire.ethernet import ETHERNET

__all__ = ["Path"]

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
    _path_mtus: PathMTUs
    link_length: int = field(init=False)
    """Octets of link header."""
    link_mtu: int = field(init=False)
    """Octets of IP packet that the first link takes."""
    _templates: dict[int, HeaderTemplate] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self.link_mtu = min(self.interface.capabilities.mtu, MAX_DATAGRAM)
        self.link_length = len(self.link_header) if self.neighbours is None else ETHERNET.size

    @property
    def mtu(self) -> int:
        """The current path MTU, octets of IP packet: the link's, or less when ICMP said so."""
        return self._path_mtus.limit(self.dst, self.link_mtu)

    def ip_header(self, protocol: int, total_length: int, ttl: int, tos: int) -> bytes:
        """The header of an atomic datagram on this path."""
        key = protocol << 16 | ttl << 8 | tos
        template = self._templates.get(key)
        if template is None:
            if len(self._templates) >= TEMPLATES:
                self._templates.clear()
            template = self._templates[key] = HeaderTemplate(self.src, self.dst, protocol, ttl, tos)
        return template.build(total_length)

    def __repr__(self) -> str:
        via = "" if self.next_hop == self.dst else f" via {address_text(self.next_hop)}"
        return f"<Path {address_text(self.src)} > {address_text(self.dst)}{via} on {self.interface.name}>"
