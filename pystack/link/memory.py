"""Links inside this process: a cable of two ends, a hub of many ports, and a loopback.

Frames are handed over as they are, marks included, without copying and in constant time. Every queue is bounded.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final

from typing_extensions import override

from pystack.errors import LinkDown
from pystack.link.base import Frame, LinkCapabilities, Medium
from pystack.units import Ns
from pystack.wire.mac import AnyMAC, MACAddress, mac_address

__all__ = ["HubPort", "LoopbackLink", "MemoryHub", "MemoryLink"]

CAPACITY: Final = 1024
"""Frames that wait at one port, unless the caller says otherwise."""


class _Port(ABC):
    """A bounded queue of frames with one reader, and the waker of that reader."""

    def __init__(self, capabilities: LinkCapabilities, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1 frame, not {capacity}")
        self._capabilities = capabilities
        self._capacity = capacity
        self._inbox: deque[Frame] = deque()
        self._waker: Callable[[], None] | None = None
        self._closed = False

    @property
    def capabilities(self) -> LinkCapabilities:
        return self._capabilities

    def send(self, frames: Sequence[Frame], now: Ns) -> int:
        """How many of `frames`, from the front, were taken. Raises `LinkDown` once this link is closed."""
        if self._closed:
            raise LinkDown("this memory link has been closed")
        return self._carry(frames)

    def receive(self, budget: int, now: Ns) -> Sequence[Frame]:
        """What waits here, at most `budget` frames. Raises `LinkDown` once this link is closed."""
        if self._closed:
            raise LinkDown("this memory link has been closed")
        inbox = self._inbox
        if not inbox:
            return []
        frames = [inbox.popleft() for _ in range(min(budget, len(inbox)))]
        self._relieved()
        return frames

    def next_arrival(self) -> Ns | None:
        return 0 if self._inbox else None

    def fileno(self) -> None:
        return None

    def set_waker(self, callback: Callable[[], None] | None) -> None:
        """As the contract says; a call already under way in another thread may still reach the callback replaced."""
        self._waker = callback

    def close(self) -> None:
        """Pull the plug: what waits here is gone, and what others send here vanishes silently."""
        if self._closed:
            return
        self._closed = True
        self._inbox = deque()  # not clear(): a reader in another thread may be counting on the old one's length
        self._relieved()

    @abstractmethod
    def _carry(self, frames: Sequence[Frame]) -> int:
        """Queue `frames` wherever this port's frames go; how many were taken."""

    @abstractmethod
    def _relieved(self) -> None:
        """This port's queue has become shorter, or takes everything because it is closed."""

    def _enqueue(self, frames: Sequence[Frame]) -> int:
        """Queue what fits, and wake the reader; how many fitted."""
        room = self._capacity - len(self._inbox)
        taken = frames if room >= len(frames) else frames[:room]
        if taken:
            self._inbox.extend(taken)
            self._wake()
        return len(taken)

    def _wake(self) -> None:
        if (waker := self._waker) is not None:
            waker()


class MemoryLink(_Port):
    """One end of an in-memory cable; `pair` makes both. Two hosts in two threads may share it.

    A full far end refuses frames, and the sender's waker is called when it has room again.

    No lock is needed, because each queue has one writer (the far end's host) and one reader (this end's host), and
    each operation of a deque is atomic. The writer appends at most `capacity - len(inbox)` frames; meanwhile the
    reader can only make the queue shorter, so the bound holds. The reader takes at most `len(inbox)` frames; meanwhile
    the writer can only make it longer, so there is always one to take. No wake-up is lost: a refused writer first sets
    `_refused` and then looks at the queue again, a reader first takes frames and then looks at `_refused`. Whichever
    comes second sees what the other did.
    """

    _peer: "MemoryLink"

    def __init__(self, capabilities: LinkCapabilities, capacity: int = CAPACITY) -> None:
        super().__init__(capabilities, capacity)
        self._refused = False
        """Our peer was turned away and waits for room in our inbox."""

    @staticmethod
    def pair(
        mtu: int = 1500,
        medium: Medium = Medium.ETHERNET,
        *,
        capacity: int = CAPACITY,
        macs: tuple[AnyMAC, AnyMAC] | None = None,
        tx_checksum: bool = False,
        rx_checksum: bool = False,
        tso: int = 0,
    ) -> tuple["MemoryLink", "MemoryLink"]:
        """Both ends of a cable that holds `capacity` frames each way.

        `mtu` and `tso` are octets of IP packet. Offload marks pass through untouched, so both hosts must understand
        what the capabilities allow. Without `macs` the stations are 02:00:00:00:00:01 and 02:00:00:00:00:02.
        """
        first, second = macs or (_station(1), _station(2))
        a, b = (
            MemoryLink(_capabilities(medium, mtu, mac, tx_checksum, rx_checksum, tso), capacity)
            for mac in (first, second)
        )
        a._peer, b._peer = b, a
        return a, b

    @override
    def _carry(self, frames: Sequence[Frame]) -> int:
        peer = self._peer
        if peer._closed:
            return len(frames)
        taken = peer._enqueue(frames)
        if taken < len(frames):
            peer._refused = True
            taken += peer._enqueue(frames[taken:])
        return taken

    @override
    def _relieved(self) -> None:
        if self._refused:
            self._refused = False
            self._peer._wake()


class LoopbackLink(MemoryLink):
    """What is sent is received: the link behind a host's own addresses.

    Nothing here ever leaves the machine, so checksums may stay `PARTIAL` unless `checksums` asks for them.
    """

    def __init__(self, mtu: int = 65_535, *, capacity: int = CAPACITY, checksums: bool = False, tso: int = 0) -> None:
        offload = not checksums
        super().__init__(_capabilities(Medium.IP, mtu, None, offload, offload, tso), capacity)
        self._peer = self


class MemoryHub:
    """An in-memory Ethernet of any number of ports: a frame goes to every other one.

    A port whose queue is full misses the frame, as at a switch, so that a host that has stopped reading does not stop
    the others; `HubPort.missed` counts. Ports may be used from different threads.
    """

    def __init__(
        self,
        mtu: int = 1500,
        medium: Medium = Medium.ETHERNET,
        *,
        capacity: int = CAPACITY,
        tx_checksum: bool = False,
        rx_checksum: bool = False,
        tso: int = 0,
    ) -> None:
        """`capacity`: frames waiting per port. `mtu` and `tso`: octets of IP packet."""
        self._capacity = capacity
        self._mtu = mtu
        self._medium = medium
        self._offload = (tx_checksum, rx_checksum, tso)
        self._ports: tuple[HubPort, ...] = ()
        self._numbered = 0
        self._lock = Lock()  # a port's queue has many writers here

    def port(self, mac: AnyMAC | None = None) -> "HubPort":
        """Plug in one more station, 02:00:00:00:00:01 and so on unless `mac` is given."""
        with self._lock:
            self._numbered += 1
            capabilities = _capabilities(self._medium, self._mtu, mac or _station(self._numbered), *self._offload)
            port = HubPort(self, capabilities, self._capacity)
            self._ports = (*self._ports, port)
        return port

    def _carry(self, sender: "HubPort", frames: Sequence[Frame]) -> None:
        with self._lock:
            for port in self._ports:
                if port is not sender:
                    port.missed += len(frames) - port._enqueue(frames)

    def _unplug(self, port: "HubPort") -> None:
        with self._lock:
            self._ports = tuple(other for other in self._ports if other is not port)


class HubPort(_Port):
    """One port of a `MemoryHub`. It takes everything it is given."""

    def __init__(self, hub: MemoryHub, capabilities: LinkCapabilities, capacity: int) -> None:
        super().__init__(capabilities, capacity)
        self._hub = hub
        self.missed = 0
        """Frames for this port that found its queue full."""

    @override
    def _carry(self, frames: Sequence[Frame]) -> int:
        self._hub._carry(self, frames)
        return len(frames)

    @override
    def _relieved(self) -> None:
        """Nobody waits for it: a hub refuses no sender."""

    @override
    def close(self) -> None:
        self._hub._unplug(self)
        super().close()


def _capabilities(
    medium: Medium, mtu: int, mac: AnyMAC | None, tx_checksum: bool, rx_checksum: bool, tso: int
) -> LinkCapabilities:
    if tso and not tx_checksum:
        raise ValueError("tso needs tx_checksum: each segment cut gets a checksum of its own")
    if not 0 <= tso <= 65_535:
        raise ValueError(f"tso must be 0 to 65,535 octets, not {tso}")
    if not 68 <= mtu <= 65_535:  # RFC 791, section 3.2: every link carries 68 octets
        raise ValueError(f"mtu must be 68 to 65,535 octets, not {mtu}")
    return LinkCapabilities(
        medium=medium,
        mtu=mtu,
        mac=mac_address(mac) if mac and medium is Medium.ETHERNET else None,
        tx_checksum=tx_checksum,
        rx_checksum=rx_checksum,
        tso=tso,
    )


def _station(number: int) -> MACAddress:
    """A locally administered unicast address (IEEE 802, the 02 bit of the first octet)."""
    return MACAddress(b"\x02" + number.to_bytes(5, "big"))
