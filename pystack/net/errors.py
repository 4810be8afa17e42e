"""Notices about our own packets: what ICMP or the neighbour cache says of a flow, in `errno`'s terms."""

import errno

from attrs import define

from pystack.net.address import address_text

__all__ = ["PathError", "unreachable_errno"]


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


_UNREACHABLE: dict[int, tuple[int, bool]] = {
    0: (errno.ENETUNREACH, False),  # net
    1: (errno.EHOSTUNREACH, False),  # host
    2: (errno.ENOPROTOOPT, True),  # protocol
    3: (errno.ECONNREFUSED, True),  # port
    4: (errno.EMSGSIZE, False),  # fragmentation needed and DF set
    5: (errno.EOPNOTSUPP, False),  # source route failed
    6: (errno.ENETUNREACH, True),  # destination network unknown
    7: (errno.EHOSTDOWN, True),  # destination host unknown
    8: (getattr(errno, "ENONET", errno.EHOSTUNREACH), True),  # source host isolated; ENONET is Linux's
    9: (errno.ENETUNREACH, True),  # network administratively prohibited
    10: (errno.EHOSTUNREACH, True),  # host administratively prohibited
    11: (errno.ENETUNREACH, False),  # network, for this type of service
    12: (errno.EHOSTUNREACH, False),  # host, for this type of service
    13: (errno.EHOSTUNREACH, True),  # RFC 1812: filtered
    14: (errno.EHOSTUNREACH, True),  # RFC 1812: host precedence violation
    15: (errno.EHOSTUNREACH, True),  # RFC 1812: precedence cutoff in effect
}


def unreachable_errno(code: int) -> tuple[int, bool]:
    """`errno` and hardness of a destination unreachable, as Linux reports them (icmp(7), ip(7))."""
    return _UNREACHABLE.get(code, (errno.EHOSTUNREACH, False))
