"""Who on the link has which link address: the neighbour cache of RFC 4861 section 7.3, for ARP and NDP alike.

It sends and parses nothing: questions go out through `solicit`, resolved packets through `transmit`, given-up ones
through `unreachable`; ARP tells it what was heard. Entries age without a timer, checked when used; timers run only
while a neighbour is being asked for, or was used without being confirmed.
"""

import enum
import heapq
import logging
from collections import Counter, deque
from collections.abc import Callable
from random import Random

from attrs import define, field
from typing_extensions import Buffer

from pystack.link.base import Frame, Offload
from pystack.net.address import address_text
from pystack.net.config import NetConfig
from pystack.units import Ns

__all__ = ["Neighbour", "NeighbourCache", "Reachability", "Waiting"]

log = logging.getLogger("pystack.neighbour")

NEVER: Ns = -1


class Reachability(enum.Enum):
    """RFC 4861, section 7.3.2."""

    INCOMPLETE = "incomplete"
    """Asked for; packets wait."""
    REACHABLE = "reachable"
    """Confirmed not long ago."""
    STALE = "stale"
    """Known, unconfirmed, unused."""
    DELAY = "delay"
    """Known, unconfirmed, used: a confirmation from above may still come."""
    PROBE = "probe"
    """Being asked directly whether it is still there."""


@define(eq=False)
class Waiting:
    """A packet that lacks its link header."""

    packet: bytes
    """IP and transport headers."""
    payload: tuple[Buffer, ...]
    offload: Offload | None
    """Offsets count the link header already."""


@define(eq=False)
class Neighbour:
    address: bytes
    state: Reachability
    used: Ns
    """When a packet last went to it, or it was created."""
    placed: Ns = NEVER
    """What `used` was when it last took its place in the order of eviction."""
    link_address: bytes = b""
    link_header: bytes = b""
    """What goes in front of a packet for it."""
    fresh_until: Ns = NEVER
    """Until then a packet may simply go: the end of REACHABLE. Long past in every other state."""
    updated: Ns = 0
    """When `link_address` was last set, or confirmed by an answer."""
    deadline: Ns | None = None
    solicitations: int = 0
    waiting: deque[Waiting] = field(factory=deque)


@define(eq=False)
class NeighbourCache:
    """The neighbours on one interface."""

    config: NetConfig
    rng: Random
    counters: Counter[str]
    link_header: Callable[[bytes], bytes]
    """The link header towards a link address."""
    solicit: Callable[[bytes, bytes | None], None]
    """Ask for an address: everybody (None), or the holder of this link address alone."""
    transmit: Callable[[Frame], None]
    unreachable: Callable[[Neighbour, Ns], None]
    """A neighbour did not answer; its `waiting` packets are lost."""
    _entries: dict[bytes, Neighbour] = field(init=False, factory=dict)
    _unresolved: dict[bytes, Neighbour] = field(init=False, factory=dict)
    """Those in INCOMPLETE, oldest first."""
    _timers: list[tuple[Ns, int, Neighbour]] = field(init=False, factory=list)
    """A heap; items whose time is no longer their neighbour's deadline are void."""
    _armed: int = field(init=False, default=0)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, address: bytes) -> Neighbour | None:
        return self._entries.get(address)

    def send(self, address: bytes, waiting: Waiting, now: Ns) -> None:
        """Send a packet to a neighbour, or keep it until the neighbour's link address is known."""
        neighbour = self._entries.get(address) or self._ask(address, now)
        neighbour.used = now
        if neighbour.state is Reachability.INCOMPLETE:
            if len(neighbour.waiting) >= self.config.waiting_limit:
                neighbour.waiting.popleft()
                self.counters["neighbour.queue_full"] += 1
            neighbour.waiting.append(waiting)
            return
        aged = neighbour.state is Reachability.REACHABLE and now >= neighbour.fresh_until
        if aged or neighbour.state is Reachability.STALE:
            neighbour.state, neighbour.fresh_until = Reachability.DELAY, NEVER
            self._arm(neighbour, now + self.config.first_probe_delay)
        self._release(neighbour, waiting)

    def confirm(self, address: bytes, now: Ns) -> None:
        """A transport saw its data acknowledged: the way to this neighbour works (RFC 4861, section 7.3.1)."""
        neighbour = self._entries.get(address)
        if (
            neighbour is not None
            and neighbour.state is not Reachability.INCOMPLETE
            and neighbour.fresh_until - now < self.config.reachable_time // 4
        ):
            self._reached(neighbour, now)

    def doubt(self, address: bytes, now: Ns) -> None:
        """A transport waits in vain for an answer: ask the neighbour at once whether it is still there, without the
        delay that would give the transport time to confirm it (RFC 4861, section 7.3.3). What is sent meanwhile goes
        where it went."""
        neighbour = self._entries.get(address)
        if neighbour is not None and neighbour.state not in (Reachability.INCOMPLETE, Reachability.PROBE):
            neighbour.state, neighbour.fresh_until, neighbour.solicitations = Reachability.PROBE, NEVER, 0
            self._solicit(neighbour, now)

    def advertised(self, address: bytes, link_address: bytes, now: Ns, *, solicited: bool) -> bool:
        """A neighbour told its link address (RFC 4861, section 7.2.5), `solicited` if by an answer to us alone.
        False: nobody here asked for it or uses it, so it is not learnt."""
        neighbour = self._entries.get(address)
        if neighbour is None:
            return False
        state = neighbour.state
        changed = link_address != neighbour.link_address
        if changed and state is not Reachability.INCOMPLETE:
            if now - neighbour.updated < self.config.neighbour_lock:
                self.counters["neighbour.contradicted"] += 1
                return True
            log.info("%s moved to %s", address_text(address), link_address.hex(":"))
        if changed:
            neighbour.link_address = link_address
            neighbour.link_header = self.link_header(link_address)
            neighbour.updated = now
        if solicited and state in (Reachability.INCOMPLETE, Reachability.PROBE):
            neighbour.updated = now
            self._reached(neighbour, now)
        elif changed:
            neighbour.state, neighbour.fresh_until, neighbour.deadline = Reachability.STALE, NEVER, None
        if state is Reachability.INCOMPLETE:
            del self._unresolved[address]
            self._release_waiting(neighbour, now)
        return True

    def introduced(self, address: bytes, link_address: bytes, now: Ns) -> None:
        """A neighbour asked us for ours, and thereby told its own: it will want an answer soon."""
        if address not in self._entries:
            neighbour = self._insert(Neighbour(address, Reachability.STALE, now))
            neighbour.link_address, neighbour.updated = link_address, now
            neighbour.link_header = self.link_header(link_address)
        else:
            self.advertised(address, link_address, now, solicited=False)

    def next_deadline(self) -> Ns | None:
        timers = self._timers
        while timers:
            due, _, neighbour = timers[0]
            if neighbour.deadline == due:
                return due
            heapq.heappop(timers)
        return None

    def on_timer(self, now: Ns) -> None:
        while (due := self.next_deadline()) is not None and due <= now:
            neighbour = heapq.heappop(self._timers)[2]
            if neighbour.state is Reachability.DELAY:
                neighbour.state, neighbour.solicitations = Reachability.PROBE, 0
            if neighbour.solicitations < self.config.solicit_count:
                self._solicit(neighbour, now)
            else:
                self._give_up(neighbour, now)

    def clear(self) -> None:
        """The link is gone, and with it everybody on it."""
        self._entries.clear()
        self._unresolved.clear()
        self._timers.clear()

    def _ask(self, address: bytes, now: Ns) -> Neighbour:
        while len(self._unresolved) >= self.config.unresolved_limit:
            self._evict(next(iter(self._unresolved.values())))
        neighbour = self._insert(Neighbour(address, Reachability.INCOMPLETE, now))
        self._unresolved[address] = neighbour
        self._solicit(neighbour, now)
        return neighbour

    def _insert(self, neighbour: Neighbour) -> Neighbour:
        if len(self._entries) >= self.config.neighbour_limit:
            self._make_room()
        self._place(neighbour)
        return neighbour

    def _make_room(self) -> None:
        """Evict whoever came first and was not used since (second chance: constant time, amortised). Those being asked
        for stay, as `unresolved_limit` bounds them: questions to us must not cut off our own."""
        for _ in range(len(self._entries)):
            first = next(iter(self._entries.values()))
            if first.used == first.placed and first.state is not Reachability.INCOMPLETE:
                break
            self._place(first)
        self._evict(next(iter(self._entries.values())))

    def _place(self, neighbour: Neighbour) -> None:
        """Put it last in the order of eviction."""
        neighbour.placed = neighbour.used
        self._entries.pop(neighbour.address, None)
        self._entries[neighbour.address] = neighbour

    def _evict(self, neighbour: Neighbour) -> None:
        self.counters["neighbour.evicted"] += 1
        self.counters["neighbour.queue_full"] += len(neighbour.waiting)
        self._forget(neighbour)

    def _forget(self, neighbour: Neighbour) -> None:
        del self._entries[neighbour.address]
        self._unresolved.pop(neighbour.address, None)
        neighbour.deadline = None

    def _solicit(self, neighbour: Neighbour, now: Ns) -> None:
        neighbour.solicitations += 1
        self._arm(neighbour, now + self.config.solicit_interval)
        self.solicit(neighbour.address, neighbour.link_address or None)

    def _give_up(self, neighbour: Neighbour, now: Ns) -> None:
        log.info("%s does not answer", address_text(neighbour.address))
        self.counters["neighbour.unreachable"] += 1
        self._forget(neighbour)
        self.unreachable(neighbour, now)

    def _reached(self, neighbour: Neighbour, now: Ns) -> None:
        base = self.config.reachable_time
        neighbour.state, neighbour.deadline = Reachability.REACHABLE, None
        neighbour.fresh_until = now + self.rng.randrange(base // 2, base + base // 2)

    def _release_waiting(self, neighbour: Neighbour, now: Ns) -> None:
        waiting, neighbour.waiting = neighbour.waiting, deque()
        for packet in waiting:
            self.send(neighbour.address, packet, now)

    def _release(self, neighbour: Neighbour, waiting: Waiting) -> None:
        self.transmit(Frame((neighbour.link_header + waiting.packet, *waiting.payload), waiting.offload))

    def _arm(self, neighbour: Neighbour, deadline: Ns) -> None:
        neighbour.deadline = deadline
        self._armed += 1
        if len(self._timers) > 4 * self.config.neighbour_limit:
            self._timers = [timer for timer in self._timers if timer[2].deadline == timer[0]]
            heapq.heapify(self._timers)
        heapq.heappush(self._timers, (deadline, self._armed, neighbour))
