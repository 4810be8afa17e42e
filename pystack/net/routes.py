"""Longest-prefix routes."""

from attrs import define, field, frozen

from pystack.net.address import address_text
from pystack.net.interface import Interface

__all__ = ["Route", "RouteTable"]


@frozen(eq=False)
class Route:
    network: bytes
    prefix_length: int
    gateway: bytes | None
    """None: the destination itself is a neighbour on the interface."""
    interface: Interface

    def __str__(self) -> str:
        via = f" via {address_text(self.gateway)}" if self.gateway else ""
        return f"{address_text(self.network)}/{self.prefix_length}{via} dev {self.interface.name}"


@define(eq=False)
class RouteTable:
    """The routes of one address family. Looking up costs one dict access per prefix length in use."""

    _by_length: dict[int, dict[int, list[Route]]] = field(init=False, factory=dict)
    """Longest prefix first; then by the network's leading bits; then in order of preference: the first added."""

    def add(self, route: Route) -> None:
        bits = len(route.network) * 8
        routes = self._by_length.setdefault(route.prefix_length, {})
        routes.setdefault(int.from_bytes(route.network, "big") >> (bits - route.prefix_length), []).append(route)
        self._by_length = dict(sorted(self._by_length.items(), reverse=True))

    def lookup(self, destination: bytes, interface: Interface | None = None) -> Route | None:
        """The best route over an interface that is up; with `interface`, over that one (strong host model)."""
        value, bits = int.from_bytes(destination, "big"), len(destination) * 8
        for prefix_length, networks in self._by_length.items():
            for route in networks.get(value >> (bits - prefix_length), ()):
                if route.interface.up and interface in (None, route.interface):
                    return route
        return None

    def __str__(self) -> str:
        routes = (route for networks in self._by_length.values() for some in networks.values() for route in some)
        return "\n".join(map(str, routes))
