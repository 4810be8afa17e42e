"""What links around links have in common: they pass on what they do not change."""

from collections.abc import Callable
from ipaddress import IPv4Interface

from pystack.link.base import Claims, Link, LinkCapabilities
from pystack.units import Ns

__all__ = ["LinkWrapper"]


class LinkWrapper:
    """A link around `inner`, which it owns: closing the wrapper closes it. Subclasses send and receive."""

    def __init__(self, inner: Link) -> None:
        self.inner = inner
        self._claims = inner if isinstance(inner, Claims) else None

    @property
    def capabilities(self) -> LinkCapabilities:
        return self.inner.capabilities

    @property
    def address(self) -> IPv4Interface | None:
        """The inner link's, where it is given and not chosen: the kernel's own."""
        return getattr(self.inner, "address", None)

    def next_arrival(self) -> Ns | None:
        return self.inner.next_arrival()

    def fileno(self) -> int | None:
        return self.inner.fileno()

    def set_waker(self, callback: Callable[[], None] | None) -> None:
        self.inner.set_waker(callback)

    def claim(self, protocol: int, address: bytes, port: int) -> None:
        """As the inner link's `Claims`; where it offers none, every port is free."""
        if self._claims is not None:
            self._claims.claim(protocol, address, port)

    def release(self, protocol: int, address: bytes, port: int) -> None:
        if self._claims is not None:
            self._claims.release(protocol, address, port)

    def close(self) -> None:
        self.inner.close()
