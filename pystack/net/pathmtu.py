"""Path MTU discovery: what is known of paths narrower than their first link (RFC 1191, RFC 8201)."""

from attrs import define, field, frozen

from pystack.net.config import NetConfig
from pystack.units import Ns

__all__ = ["MIN_PATH_MTU", "PLATEAUS", "PathMTUs", "plateau_below"]

MIN_PATH_MTU = {4: 552, 16: 1280}
"""Claims below are ignored, by octets of an address: as Linux does for IPv4, where they only make a victim send tiny
packets, and as RFC 8201 section 4 demands for IPv6, where every link carries 1280 octets."""

PLATEAUS = (65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68)
"""RFC 1191, table 7-1: likely MTUs, for routers that do not tell theirs."""


def plateau_below(total_length: int) -> int:
    """The guess after an IPv4 datagram of `total_length` octets was too big (RFC 1191, section 5); never below the
    floor."""
    lower = (plateau for plateau in PLATEAUS if plateau < total_length)
    return max(next(lower, 0), MIN_PATH_MTU[4])


@frozen
class Learned:
    mtu: int
    expires: Ns


@define(eq=False)
class PathMTUs:
    """Path MTUs below that of the link, by destination. Only lowered by messages, raised by age alone."""

    config: NetConfig
    learned: dict[bytes, Learned] = field(init=False, factory=dict)
    """Empty, as a rule: whoever sends packets looks first."""

    def limit(self, destination: bytes, link_mtu: int) -> int:
        """The largest packet for `destination`, octets of IP packet. Ageing is `expire`'s work."""
        learned = self.learned.get(destination)
        return learned.mtu if learned is not None and learned.mtu < link_mtu else link_mtu

    def expire(self, destination: bytes, now: Ns) -> None:
        """Forget what is known of `destination` if it is too old."""
        learned = self.learned.get(destination)
        if learned is not None and now >= learned.expires:
            del self.learned[destination]

    def lower(self, destination: bytes, mtu: int, link_mtu: int, now: Ns) -> bool:
        """Take over a smaller path MTU. False: it is below the floor, or not smaller than what is known; the same
        again counts as news all the same, and its age starts anew."""
        self.expire(destination, now)
        known = self.limit(destination, link_mtu)
        if not MIN_PATH_MTU[len(destination)] <= mtu <= known or mtu == link_mtu:
            return False
        self.learned.pop(destination, None)  # so that the order of the dict is that of the age
        if len(self.learned) >= self.config.path_mtu_limit:
            del self.learned[next(iter(self.learned))]
        self.learned[destination] = Learned(mtu, now + self.config.path_mtu_age)
        return mtu < known
