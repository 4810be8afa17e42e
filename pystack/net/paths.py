"""This host's addresses and routes, and the choice of a way to a destination (RFC 1122, section 3.3, strong model)."""

from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EINVAL, ENETUNREACH

from attrs import define, field

from pystack.errors import os_error
from pystack.net.address import (
    ALL_HOSTS,
    ANY,
    LIMITED_BROADCAST,
    LOOPBACK,
    InterfaceAddress,
    address_text,
    is_loopback,
    is_multicast,
    is_reserved,
)
from pystack.net.config import NetConfig
from pystack.net.interface import Interface
from pystack.net.neighbour import NeighbourCache
from pystack.net.path import Path
from pystack.net.pathmtu import PathMTUs
from pystack.net.routes import Route, RouteTable
from pystack.wire.ethernet import EtherType, pack_ethernet
from pystack.wire.mac import BROADCAST

__all__ = ["Paths"]

DEFAULT = ANY
"""The network, of prefix length 0, that holds every destination."""


@define(eq=False)
class Paths:
    """Interfaces, routes, and the paths that follow from them."""

    config: NetConfig
    loopback: Interface
    interfaces: list[Interface] = field(init=False)
    """All of them, loopback first."""
    routes: RouteTable = field(init=False, factory=RouteTable)
    mtus: PathMTUs = field(init=False)
    generation: int = field(init=False, default=0)
    """Paths of earlier generations may be wrong."""
    _own: dict[bytes, Interface] = field(init=False, factory=dict)
    _cache: dict[tuple[bytes, bytes | None], Path] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self.interfaces = [self.loopback]
        self.mtus = PathMTUs(self.config)
        self._rebuild()

    # --- configuration

    def add_interface(self, interface: Interface, address: InterfaceAddress | None, gateway: bytes | None) -> None:
        """Everything or nothing: raises as `add_address` and `add_route`."""
        if address is not None:
            self._check_address(interface, address)
        if gateway is not None:
            on_link = address is not None and address.covers(gateway) and gateway != address.address
            _check_gateway(interface, gateway, on_link)
        self.interfaces.append(interface)
        if address is not None:
            self._attach(interface, address)
        if gateway is not None:
            self.routes.add(Route(DEFAULT, 0, gateway, interface))
        elif address is not None and interface.capabilities.shares_host and not is_loopback(address.address):
            self.routes.add(Route(DEFAULT, 0, None, interface))  # the kernel behind it has routes of its own
        self._rebuild()

    def add_address(self, interface: Interface, address: InterfaceAddress) -> None:
        """Raises `OSError`: EADDRINUSE (this host has it already), EADDRNOTAVAIL (a loopback address on a wire)."""
        self._check_address(interface, address)
        self._attach(interface, address)
        self._rebuild()

    def add_route(self, route: Route) -> None:
        """Raises ValueError for a gateway that is not a neighbour."""
        if route.gateway is not None:
            way = self.routes.lookup(route.gateway, route.interface)
            on_link = way is not None and way.gateway is None and route.gateway not in self._own
            _check_gateway(route.interface, route.gateway, on_link)
        self.routes.add(route)
        self._rebuild()

    def invalidate(self) -> None:
        """An interface went down."""
        self._rebuild()

    def _check_address(self, interface: Interface, address: InterfaceAddress) -> None:
        if address.address in self._own:
            raise os_error(EADDRINUSE, f"{address} is already an address of this host")
        if is_loopback(address.address) and not interface.internal:
            raise os_error(EADDRNOTAVAIL, f"{address} never leaves a host; give {interface.name} another address")

    def _attach(self, interface: Interface, address: InterfaceAddress) -> None:
        interface.addresses.append(address)
        self.routes.add(Route(address.network, address.prefix_length, None, interface))

    def _rebuild(self) -> None:
        """Bring in line what follows from the addresses, and outdate every path."""
        self.generation += 1
        self._cache.clear()
        self._own = {own.address: interface for interface in self.interfaces for own in interface.addresses}
        for interface in self.interfaces:
            broadcasts = [own.broadcast for own in interface.addresses if own.broadcast is not None]
            accepted = self._own if interface.is_loopback else [own.address for own in interface.addresses]
            interface.destinations = dict.fromkeys(accepted, False)
            if not interface.is_loopback:
                interface.destinations |= dict.fromkeys((*broadcasts, LIMITED_BROADCAST, ALL_HOSTS), True)
            ours = () if interface.internal else self._own
            interface.impossible_sources = frozenset((*ours, *broadcasts))

    # --- questions

    def is_local(self, address: bytes) -> bool:
        return address in self._own or (len(address) == 4 and is_loopback(address))

    def refresh(self, path: Path) -> Path:
        if path.generation == self.generation:
            return path
        return self.path(path.dst, path.src, broadcast=path.broadcast)

    def path(self, dst: bytes, src: bytes | None, *, broadcast: bool) -> Path:
        path = self._cache.get((dst, src))
        if path is None:
            path = self._choose(dst, src)
            if len(self._cache) >= self.config.path_limit:
                del self._cache[next(iter(self._cache))]
            self._cache[dst, src] = path
        if path.broadcast and not broadcast:
            raise os_error(EACCES, f"{address_text(dst)} is a broadcast address; set SO_BROADCAST to send there")
        return path

    # --- the choice

    def _choose(self, dst: bytes, src: bytes | None) -> Path:
        if len(dst) != 4:
            raise os_error(EAFNOSUPPORT, "this host has IPv4 only")
        if src == ANY:
            src = None
        if src is not None and not self.is_local(src):
            raise os_error(EADDRNOTAVAIL, f"{address_text(src)} is not an address of this host")
        if dst == ANY:  # as Linux does: this host (RFC 1122, 3.2.1.3, never sends it)
            dst = src or LOOPBACK
        if self.is_local(dst):
            return self._local(dst, src)
        if src is not None and is_loopback(src) and src not in self._own:
            raise os_error(EINVAL, f"{address_text(src)} cannot reach {address_text(dst)}: loopback stays in this host")
        bound = self._own[src] if src is not None else None
        if dst == LIMITED_BROADCAST or is_multicast(dst):
            return self._to_group(dst, src, bound)
        if is_reserved(dst):
            raise os_error(EINVAL, f"{address_text(dst)} is not the address of a host")
        return self._routed(dst, src, bound)

    def _local(self, dst: bytes, src: bytes | None) -> Path:
        """To ourselves, inside the stack; but what a kernel owns too goes out to that kernel."""
        interface = self._own.get(dst)
        if interface is None:
            interface = next((some for some in self.interfaces if some.up and some.capabilities.shares_host), None)
        if interface is None or not interface.capabilities.shares_host:
            interface = self.loopback
        if src is None:
            src = LOOPBACK if is_loopback(dst) else dst
            if interface is not self.loopback:
                src = interface.address
        return self._path(src, dst, interface, dst)

    def _routed(self, dst: bytes, src: bytes | None, bound: Interface | None) -> Path:
        route = self.routes.lookup(dst, bound)
        if route is None:
            raise os_error(ENETUNREACH, f"no route to {address_text(dst)}; give a gateway or add a route")
        interface = route.interface
        next_hop = route.gateway or dst
        if src is None:
            if not interface.addresses:
                raise os_error(EADDRNOTAVAIL, f"{interface.name} has no address yet")
            src = interface.source_for(next_hop)
        if any(own.broadcast == dst for own in interface.addresses):
            return self._path(src, dst, interface, dst, link_header=_group_header(interface, dst), broadcast=True)
        neighbours = None if interface.arp is None else interface.arp.cache
        return self._path(src, dst, interface, next_hop, neighbours=neighbours)

    def _to_group(self, dst: bytes, src: bytes | None, bound: Interface | None) -> Path:
        """Limited broadcast and multicast: the interface of `src`, of the default route, or the first one."""
        interface = bound
        if interface is None and (route := self.routes.lookup(dst)) is not None:
            interface = route.interface
        if interface is None:
            interface = next((some for some in self.interfaces[1:] if some.up and some.addresses), None)
        if interface is None or not interface.up:
            raise os_error(ENETUNREACH, f"no interface to reach {address_text(dst)} by")
        if src is None:
            src = interface.address
        everybody = dst == LIMITED_BROADCAST
        return self._path(src, dst, interface, dst, link_header=_group_header(interface, dst), broadcast=everybody)

    def _path(
        self,
        src: bytes,
        dst: bytes,
        interface: Interface,
        next_hop: bytes,
        *,
        neighbours: NeighbourCache | None = None,
        link_header: bytes = b"",
        broadcast: bool = False,
    ) -> Path:
        return Path(src, dst, interface, next_hop, broadcast, neighbours, link_header, self.generation, self.mtus)


def _check_gateway(interface: Interface, gateway: bytes, on_link: bool) -> None:
    """Ethernet reaches a gateway only if it is a neighbour; a link without neighbours has one far end anyway."""
    if interface.arp is not None and not on_link:
        raise ValueError(
            f"gateway {address_text(gateway)} is no neighbour on {interface.name}: "
            "give the interface another address on the same network, such as 192.0.2.2/24 for 192.0.2.1"
        )


def _group_header(interface: Interface, dst: bytes) -> bytes:
    """The link header for a broadcast or multicast destination."""
    if interface.arp is None:
        return b""
    mac = _multicast_mac(dst) if is_multicast(dst) else BROADCAST.octets
    return pack_ethernet(mac, interface.arp.mac, EtherType.IPV4)


def _multicast_mac(group: bytes) -> bytes:
    """RFC 1112, section 6.4: the low 23 bits of the group behind 01-00-5E."""
    return bytes((0x01, 0x00, 0x5E, group[1] & 0x7F, group[2], group[3]))
