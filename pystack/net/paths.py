"""This host's addresses and routes, and the choice of a way to a destination (RFC 1122, section 3.3, strong model)."""

from collections.abc import Sequence
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EINVAL, ENETUNREACH

from attrs import define, evolve, field

from pystack.errors import os_error
from pystack.link.base import Medium
from pystack.net.address import InterfaceAddress, address_text
from pystack.net.config import NetConfig
from pystack.net.family import IPV4, IPV6, LIMITED_BROADCAST, Family, family_of
from pystack.net.interface import Interface
from pystack.net.neighbour import NeighbourCache
from pystack.net.path import Path
from pystack.net.pathmtu import PathMTUs
from pystack.net.routes import Route, RouteTable
from pystack.net.sourceroute import SourceRoute
from pystack.wire.ethernet import EtherType, pack_ethernet
from pystack.wire.mac import BROADCAST

__all__ = ["Paths"]


@define(eq=False)
class Paths:
    """Interfaces, routes, and the paths that follow from them."""

    config: NetConfig
    loopback: Interface
    interfaces: list[Interface] = field(init=False)
    """All of them, loopback first."""
    routes: dict[Family, RouteTable] = field(init=False)
    mtus: PathMTUs = field(init=False)
    generation: int = field(init=False, default=0)
    """Paths of earlier generations may be wrong."""
    _own: dict[bytes, Interface] = field(init=False, factory=dict)
    _cache: dict[tuple[bytes, bytes | None], Path] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self.interfaces = [self.loopback]
        self.routes = {IPV4: RouteTable(), IPV6: RouteTable()}
        self.mtus = PathMTUs(self.config)
        self._rebuild()

    # --- configuration

    def add_interface(
        self, interface: Interface, addresses: Sequence[InterfaceAddress], gateways: Sequence[bytes]
    ) -> None:
        """Everything or nothing: raises as `add_address` and `add_route`."""
        for number, own in enumerate(addresses):
            self._check_address(interface, own, addresses[:number])
        for gateway in gateways:
            if addresses and all(len(gateway) != len(own.address) for own in addresses):
                texts = ", ".join(map(str, addresses))
                raise ValueError(f"gateway {address_text(gateway)} and address {texts} are of different IP versions")
            is_ours = any(gateway == own.address for own in addresses)
            _check_gateway(interface, gateway, not is_ours and any(own.covers(gateway) for own in addresses))
        self.interfaces.append(interface)
        for own in addresses:
            self._attach(interface, own)
        for gateway in gateways:
            self._add_default(family_of(gateway), gateway, interface)
        for family in (IPV4, IPV6):
            if not any(len(gateway) == family.address_octets for gateway in gateways):
                for own in interface.addresses_of(family)[:1]:
                    self._lead_to_kernel(interface, own)
        self._rebuild()

    def add_address(self, interface: Interface, address: InterfaceAddress) -> None:
        """Raises `OSError`: EADDRINUSE (this host has it already), EADDRNOTAVAIL (a loopback address on a wire),
        EAFNOSUPPORT (the interface cannot carry that IP version)."""
        self._check_address(interface, address)
        is_first = not interface.addresses_of(family_of(address.address))
        self._attach(interface, address)
        if is_first:
            self._lead_to_kernel(interface, address)
        self._rebuild()

    def add_route(self, route: Route) -> None:
        """Raises ValueError for a gateway that is not a neighbour."""
        routes = self.routes[family_of(route.network)]
        if route.gateway is not None:
            way = routes.lookup(route.gateway, route.interface)
            on_link = way is not None and way.gateway is None and route.gateway not in self._own
            _check_gateway(route.interface, route.gateway, on_link)
        routes.add(route)
        self._rebuild()

    def invalidate(self) -> None:
        """An interface went down."""
        self._rebuild()

    def _check_address(
        self, interface: Interface, address: InterfaceAddress, others: Sequence[InterfaceAddress] = ()
    ) -> None:
        if address.address in self._own or any(address.address == other.address for other in others):
            raise os_error(EADDRINUSE, f"{address} is already an address of this host")
        family = family_of(address.address)
        if family.is_loopback(address.address) and not interface.internal:
            raise os_error(EADDRNOTAVAIL, f"{address} never leaves a host; give {interface.name} another address")
        if family is IPV6:
            _check_ipv6(interface)

    def _attach(self, interface: Interface, address: InterfaceAddress) -> None:
        interface.addresses.append(address)
        routes = self.routes[family_of(address.address)]
        routes.add(Route(address.network, address.prefix_length, None, interface))

    def _lead_to_kernel(self, interface: Interface, address: InterfaceAddress) -> None:
        """The kernel behind a shared interface has routes of its own to everywhere, unless it is its loopback."""
        family = family_of(address.address)
        if interface.capabilities.shares_host and not family.is_loopback(address.address):
            self._add_default(family, None, interface)

    def _add_default(self, family: Family, gateway: bytes | None, interface: Interface) -> None:
        self.routes[family].add(Route(family.any, 0, gateway, interface))

    def _rebuild(self) -> None:
        """Bring in line what follows from the addresses, and outdate every path."""
        self.generation += 1
        self._cache.clear()
        self._own = {own.address: interface for interface in self.interfaces for own in interface.addresses}
        for interface in self.interfaces:
            if interface.is_loopback:
                interface.destinations = dict.fromkeys((*self._own, IPV6.loopback), False)
                continue
            broadcasts = [own.broadcast for own in interface.addresses if own.broadcast is not None]
            groups = IPV6.everybody if interface.addresses_of(IPV6) else ()
            interface.destinations = dict.fromkeys((own.address for own in interface.addresses), False)
            interface.destinations |= dict.fromkeys((*broadcasts, *IPV4.everybody, *groups), True)
            ours = () if interface.internal else self._own
            interface.impossible_sources = frozenset((*ours, *broadcasts))

    # --- questions

    def is_local(self, address: bytes) -> bool:
        return address in self._own or family_of(address).is_loopback(address)

    def refresh(self, path: Path) -> Path:
        if path.generation == self.generation:
            return path
        return self.path(path.dst, path.src, broadcast=path.broadcast, route=path.route)

    def renew(self, path: Path) -> Path:
        """The way as it is now, whatever is remembered."""
        self._cache.pop((path.dst, path.src), None)
        return self.path(path.dst, path.src, broadcast=path.broadcast, route=path.route)

    def path(self, dst: bytes, src: bytes | None, *, broadcast: bool, route: SourceRoute | None = None) -> Path:
        if route is not None and len(dst) == 4:
            return self._by_source_route(dst, src, route)
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
        family = family_of(dst)
        if src is not None and len(src) != len(dst):
            raise os_error(EAFNOSUPPORT, f"{address_text(src)} and {address_text(dst)} are of different IP versions")
        if src == family.any:
            src = None
        if src is not None and not self.is_local(src):
            raise os_error(EADDRNOTAVAIL, f"{address_text(src)} is not an address of this host")
        if dst == family.any:  # as Linux does: this host (RFC 1122, 3.2.1.3, and RFC 4291, 2.5.2, never send it)
            dst = src or family.loopback
        if self.is_local(dst):
            return self._local(family, dst, src)
        if src is not None and family.is_loopback(src) and src not in self._own:
            raise os_error(EINVAL, f"{address_text(src)} cannot reach {address_text(dst)}: loopback stays in this host")
        bound = self._own[src] if src is not None else None
        if family.is_reserved(dst):
            raise os_error(EINVAL, f"{address_text(dst)} is not the address of a host")
        if family.is_group(dst):
            return self._to_group(family, dst, src, bound)
        return self._routed(family, dst, src, bound)

    def _local(self, family: Family, dst: bytes, src: bytes | None) -> Path:
        """To ourselves, inside the stack; but what a kernel owns too goes out to that kernel."""
        interface = self._own.get(dst)
        if interface is None:
            interface = next((some for some in self.interfaces if some.up and _is_kernels(some, family)), None)
        if interface is None or not interface.capabilities.shares_host:
            interface = self.loopback
        if src is None:
            src = family.loopback if family.is_loopback(dst) else dst
            if interface is not self.loopback:
                src = _source(family, interface, dst, dst)
        return self._path(src, dst, interface, dst)

    def _routed(self, family: Family, dst: bytes, src: bytes | None, bound: Interface | None) -> Path:
        route = self.routes[family].lookup(dst, bound)
        if route is None:
            raise os_error(ENETUNREACH, f"no route to {address_text(dst)}; give a gateway or add a route")
        interface = route.interface
        next_hop = route.gateway or dst
        if src is None:
            src = _source(family, interface, dst, next_hop)
        if any(own.broadcast == dst for own in interface.addresses):
            return self._path(src, dst, interface, dst, link_header=_group_header(interface, dst), broadcast=True)
        neighbours = None if interface.arp is None else interface.arp.cache
        return self._path(src, dst, interface, next_hop, neighbours=neighbours)

    def _to_group(self, family: Family, dst: bytes, src: bytes | None, bound: Interface | None) -> Path:
        """Limited broadcast and multicast: the interface of `src`, of the default route, or the first one."""
        interface = bound
        if interface is None and (route := self.routes[family].lookup(dst)) is not None:
            interface = route.interface
        if interface is None:
            interface = next((some for some in self.interfaces[1:] if some.up and some.addresses_of(family)), None)
        if interface is None or not interface.up:
            raise os_error(ENETUNREACH, f"no interface to reach {address_text(dst)} by")
        if src is None:
            addresses = interface.addresses_of(family)
            src = family.source(addresses, dst, dst) if addresses else family.any
        everybody = dst == LIMITED_BROADCAST
        return self._path(src, dst, interface, dst, link_header=_group_header(interface, dst), broadcast=everybody)

    def _by_source_route(self, dst: bytes, src: bytes | None, route: SourceRoute) -> Path:
        """As to the first hop, which knows the way on. Raises EINVAL for what no datagram can visit."""
        for stop in (*route.hops, dst):
            if IPV4.is_group(stop) or IPV4.is_reserved(stop) or self.is_local(stop):
                raise os_error(EINVAL, f"{address_text(stop)} is not a stop on the way to another host")
        first = route.hops[0]
        way = self._choose(first, src)
        if way.broadcast:
            raise os_error(EACCES, f"{address_text(first)} is a broadcast address: a source route visits hosts")
        if route.strict and way.next_hop != first:
            raise os_error(ENETUNREACH, f"a strict source route must begin at a neighbour, not {address_text(first)}")
        return evolve(way, dst=dst, route=route)

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


def _check_ipv6(interface: Interface) -> None:
    if interface.capabilities.medium is Medium.ETHERNET:
        raise os_error(
            EAFNOSUPPORT,
            f"{interface.name} is Ethernet, where IPv6 needs neighbour discovery, which this host does not speak yet: "
            "give it an IPv4 address, or use a link whose medium is IP",
        )
    if interface.capabilities.mtu < IPV6.min_link_mtu:
        raise os_error(
            EAFNOSUPPORT,
            f"{interface.name} carries packets of {interface.capabilities.mtu} octets, "
            f"IPv6 needs {IPV6.min_link_mtu} (RFC 8200, section 5)",
        )


def _is_kernels(interface: Interface, family: Family) -> bool:
    return interface.capabilities.shares_host and bool(interface.addresses_of(family))


def _source(family: Family, interface: Interface, dst: bytes, next_hop: bytes) -> bytes:
    """Our address on `interface` for packets to `dst`. Raises EADDRNOTAVAIL."""
    addresses = interface.addresses_of(family)
    if not addresses:
        raise os_error(EADDRNOTAVAIL, f"{interface.name} has no {family} address yet")
    return family.source(addresses, dst, next_hop)


def _group_header(interface: Interface, dst: bytes) -> bytes:
    """The link header for a broadcast or multicast destination."""
    if interface.arp is None:
        return b""
    mac = _multicast_mac(dst) if IPV4.is_group(dst) and dst != LIMITED_BROADCAST else BROADCAST.octets
    return pack_ethernet(mac, interface.arp.mac, EtherType.IPV4)


def _multicast_mac(group: bytes) -> bytes:
    """RFC 1112, section 6.4: the low 23 bits of the group behind 01-00-5E."""
    return bytes((0x01, 0x00, 0x5E, group[1] & 0x7F, group[2], group[3]))
