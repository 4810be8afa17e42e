"""Which local ports are taken, for one transport protocol, and which one is given out next."""

import hashlib
from collections.abc import Callable
from errno import EADDRINUSE, EADDRNOTAVAIL

from attrs import define, field

from pystack.errors import os_error

__all__ = ["ANY", "Binding", "Ports", "overlap"]

ANY = b""
"""The wildcard local address of both IP versions. The unspecified address of one is its own wildcard."""

COUNTERS = 64
"""Size of the counter table of RFC 6056, algorithm 4."""


def overlap(one: bytes, other: bytes) -> bool:
    """Whether a packet could be for both of two local addresses, wildcards or not."""
    if ANY in (one, other) or one == other:
        return True
    return len(one) == len(other) and not (any(one) and any(other))


@define(eq=False)
class Binding:
    """One socket's hold on a local port."""

    address: bytes
    port: int
    reuse: bool
    listening: bool = False

    def excludes(self, address: bytes, reuse: bool) -> bool:
        """Whether a further socket may not bind `address` on this port (Linux's reading of SO_REUSEADDR)."""
        if not overlap(address, self.address):
            return False
        return not (reuse and self.reuse and not self.listening)


@define(eq=False)
class Ports:
    """Bound ports and the ephemeral choice of RFC 6056, section 3.3.4 (double-hash port selection).

    The hash makes the sequence of ports towards one destination unknown to others, and going up by one from call to
    call keeps a port from being used again while the peer may still hold the last connection in TIME-WAIT.
    """

    secret: bytes
    first: int
    last: int
    _bindings: dict[int, list[Binding]] = field(init=False, factory=dict)
    _in_use: dict[int, int] = field(init=False, factory=dict)
    _counters: list[int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        seed = hashlib.blake2s(self.secret, digest_size=32, person=b"counters").digest()
        self._counters = [seed[i % 32] * 256 + seed[(i * 7 + 1) % 32] for i in range(COUNTERS)]

    def bind(self, address: bytes, port: int, *, reuse: bool) -> Binding:
        """Hold `port`. Raises EADDRINUSE."""
        held = self._bindings.get(port, [])
        if any(other.excludes(address, reuse) for other in held) or (port in self._in_use and not reuse):
            raise os_error(EADDRINUSE, f"port {port} is taken by another socket of this host; choose another or 0")
        binding = Binding(address, port, reuse)
        self._bindings.setdefault(port, []).append(binding)
        return binding

    def choose(self, destination: bytes, take: Callable[[int], bool]) -> int:
        """The first port in the secret order for `destination` that `take` accepts. Raises EADDRNOTAVAIL."""
        digest = hashlib.blake2s(destination, key=self.secret, digest_size=16).digest()
        slot = int.from_bytes(digest[8:], "big") % COUNTERS
        span = self.last - self.first + 1
        offset = int.from_bytes(digest[:8], "big")
        for _ in range(span):
            port = self.first + (offset + self._counters[slot]) % span
            self._counters[slot] += 1
            if take(port):
                return port
        raise os_error(EADDRNOTAVAIL, f"no free local port between {self.first} and {self.last}; close some sockets")

    def is_bound(self, port: int) -> bool:
        return port in self._bindings

    def is_free(self, port: int) -> bool:
        return port not in self._bindings and port not in self._in_use

    def release(self, binding: Binding) -> None:
        held = self._bindings.get(binding.port, [])
        if binding in held:
            held.remove(binding)
            if not held:
                del self._bindings[binding.port]

    def occupy(self, port: int) -> None:
        """A connection uses `port`, whoever bound it."""
        self._in_use[port] = self._in_use.get(port, 0) + 1

    def vacate(self, port: int) -> None:
        left = self._in_use.get(port, 0) - 1
        if left > 0:
            self._in_use[port] = left
        else:
            self._in_use.pop(port, None)
