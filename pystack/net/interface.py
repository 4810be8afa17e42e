"""A link with addresses: what it accepts, who its neighbours are, and the queue of what its link has not taken yet."""

from collections import Counter

from attrs import define, field

from pystack.link.base import Claims, Frame, Link, LinkCapabilities
from pystack.net.address import InterfaceAddress
from pystack.net.arp import AddressResolution
from pystack.net.family import Family
from pystack.units import Ns

__all__ = ["Interface"]


@define(eq=False, repr=False)
class Interface:
    name: str
    link: Link
    capabilities: LinkCapabilities
    """The link's, read once."""
    counters: Counter[str]
    queue_limit: int
    accept_source_routes: bool = False
    """False: what comes by a source route is dropped."""
    is_loopback: bool = False
    """This host's own: 127/8, ::1 and our addresses."""
    addresses: list[InterfaceAddress] = field(factory=list)
    arp: AddressResolution | None = None
    """Ethernet only."""
    mac: bytes = b""
    """Ethernet only."""
    up: bool = True
    """False: the link is gone for good."""
    destinations: dict[bytes, bool] = field(factory=dict)
    """What we accept here (strong host model), and whether that is a broadcast or multicast address."""
    impossible_sources: frozenset[bytes] = frozenset()
    """Sources that nobody else can have: our own addresses, directed broadcasts."""
    claims: Claims | None = field(init=False)
    """The link, if its ports must be held. Found out once: to ask a protocol class takes 10 us."""
    queue: list[Frame] = field(init=False, factory=list)
    """Frames that the link has not taken yet."""
    _refused: bool = field(init=False, default=False)
    """The link did not take all of the queue."""

    @claims.default
    def _find_claims(self) -> Claims | None:
        return self.link if isinstance(self.link, Claims) else None

    def addresses_of(self, family: Family) -> list[InterfaceAddress]:
        """In the order in which they were added."""
        return [own for own in self.addresses if len(own.address) == family.address_octets]

    def has(self, address: bytes) -> bool:
        return any(own.address == address for own in self.addresses)

    @property
    def internal(self) -> bool:
        """Loopback and own addresses may be sources here: nothing on it is another host's, or not all of it."""
        return self.is_loopback or self.capabilities.shares_host

    @property
    def has_room(self) -> bool:
        """Nothing is left over that the link refused, and the queue takes more."""
        return not self._refused and len(self.queue) < self.queue_limit

    @property
    def room(self) -> int:
        """Frames that the queue still takes; none, while some are left over that the link refused."""
        return 0 if self._refused else max(0, self.queue_limit - len(self.queue))

    @property
    def unsent(self) -> bool:
        """Frames wait that the link has not refused."""
        return bool(self.queue) and not self._refused

    def transmit(self, frame: Frame) -> None:
        """Queue a frame; a full queue drops it. `has_room` tells before."""
        if not self.up:
            self.counters["link.down"] += 1
        elif len(self.queue) >= self.queue_limit:
            self.counters["link.queue_full"] += 1
        else:
            self.queue.append(frame)

    def transmit_control(self, frame: Frame) -> None:
        """As `transmit`, with some room that data cannot take: without ARP's answers nobody can reach us."""
        if self.up and self.queue_limit <= len(self.queue) < self.queue_limit + self.queue_limit // 8:
            self.queue.append(frame)
        else:
            self.transmit(frame)

    def flush(self, now: Ns) -> None:
        """Hand the queue, which is not empty, to the link. Raises `LinkDown`."""
        frames, self.queue = self.queue, []
        taken = self.link.send(frames, now)
        self._refused = taken < len(frames)
        if self._refused:
            self.queue = frames[taken:]

    def shut(self) -> None:
        """The link is gone: forget whatever depended on it."""
        self.up = False
        self.queue.clear()
        self._refused = False
        if self.arp is not None:
            self.arp.cache.clear()

    def __repr__(self) -> str:
        addresses = ", ".join(map(str, self.addresses)) or "no address"
        return f"<Interface {self.name} {addresses}{'' if self.up else ', down'}>"
