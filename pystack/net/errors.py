"""Notices about our own packets: what ICMP or the neighbour cache says of a flow, in `errno`'s terms."""

import errno

from attrs import define

from pystack.net.address import address_text

__all__ = ["PathError"]


@define(eq=False, kw_only=True)
class PathError:
    """A packet of ours did not arrive. Whoever gets it must still match `quote` with a live flow before believing it:
    anyone can send an ICMP message (RFC 5927)."""

    errno: int
    hard: bool
    """Retrying is pointless for now. False: a hint, the condition may be transient (RFC 1122, section 4.2.3.9)."""
    src: bytes
    """Source of our packet: an address of ours."""
    dst: bytes
    """Destination of our packet."""
    protocol: int
    quote: bytes
    """The packet's payload from the transport header on: at least 8 octets."""
    mtu: int | None = None
    """The path MTU that "fragmentation needed" claims, for `Network.lower_path_mtu` once `quote` is validated."""
    reporter: bytes | None = None
    """Who sent the ICMP error; None: this host found out by itself."""
    icmp_type: int = 0
    icmp_code: int = 0

    def __repr__(self) -> str:
        name = errno.errorcode.get(self.errno, str(self.errno))
        strength = "hard" if self.hard else "soft"
        return f"<PathError {name} ({strength}) {address_text(self.src)} > {address_text(self.dst)} {self.protocol}>"
