"""Holding local ports on links that share their address with the kernel."""

from attrs import define, field

from pystack.net.interface import Interface

__all__ = ["PortClaims"]


@define(eq=False)
class PortClaims:
    """Counted claims: a port is held on its link from its first user to its last (`Claims`, DESIGN of links)."""

    protocol: int
    _users: dict[tuple[int, bytes, int], int] = field(init=False, factory=dict)

    def acquire(self, interface: Interface, address: bytes, port: int) -> None:
        """One more user. Raises `OSError` EADDRINUSE when the kernel has given the port to somebody else."""
        if interface.claims is None:
            return
        key = (id(interface), address, port)
        if key not in self._users:
            interface.claims.claim(self.protocol, address, port)
        self._users[key] = self._users.get(key, 0) + 1

    def release(self, interface: Interface, address: bytes, port: int) -> None:
        if interface.claims is None:
            return
        key = (id(interface), address, port)
        left = self._users.get(key, 0) - 1
        if left > 0:
            self._users[key] = left
        elif left == 0:
            del self._users[key]
            interface.claims.release(self.protocol, address, port)
