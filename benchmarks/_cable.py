"""Two stacks on a memory cable, run in one thread by virtual time: no descriptors, no locks, no other process.

What is measured here is the stack's own work, of both ends together, and repeats exactly.
"""

import random
from collections.abc import Sequence
from typing import Self

from attrs import define

from pystack.link.base import Frame, Link
from pystack.link.memory import MemoryLink
from pystack.link.wrapper import LinkWrapper
from pystack.stack.stack import Stack
from pystack.stack.stream import StreamEndpoint
from pystack.units import Ns

__all__ = ["FAR", "PORT", "TICK", "Cable", "Counted", "connected", "listening"]

NEAR, FAR = "192.0.2.1", "192.0.2.2"
PORT = 80
TICK: Ns = 1000
"""Between two turns."""
LARGEST_PACKET = 65_535


class Counted(LinkWrapper):
    """Counts the frames that its stack sends and takes."""

    def __init__(self, inner: Link) -> None:
        super().__init__(inner)
        self.frames = 0
        self.arrived = 0

    def send(self, frames: Sequence[Frame], now: Ns) -> int:
        taken = self.inner.send(frames, now)
        self.frames += taken
        return taken

    def receive(self, budget: int, now: Ns) -> Sequence[Frame]:
        frames = self.inner.receive(budget, now)
        self.arrived += len(frames)
        return frames


@define
class Cable:
    """Both stacks, their links and the time."""

    client: Stack
    server: Stack
    links: tuple[Counted, Counted]
    now: Ns = 0

    @classmethod
    def lay(cls, mtu: int = 1500, *, offload: bool = False) -> Self:
        """Each run of it draws the same ports and numbers."""
        tso = LARGEST_PACKET if offload else 0
        ends = MemoryLink.pair(mtu, tx_checksum=offload, rx_checksum=offload, tso=tso)
        near, far = (Counted(end) for end in ends)
        return cls(stack_on(near, NEAR), stack_on(far, FAR), (near, far))

    @property
    def frames(self) -> int:
        """Sent so far, by both."""
        return self.links[0].frames + self.links[1].frames

    def turn(self) -> bool:
        """Poll both once. False: nothing will ever happen again."""
        self.now += TICK
        more = self.client.poll(self.now)
        more = self.server.poll(self.now) or more
        if not more:
            deadlines = [due for due in (self.client.next_deadline(), self.server.next_deadline()) if due is not None]
            if not deadlines:
                return False
            self.now = max(self.now, min(deadlines))
        return True

    def settle(self) -> None:
        """Until everything is acknowledged and nothing but timers far away is left."""
        while self.client.tcp.unfinished or self.server.tcp.unfinished:
            self.turn()


def stack_on(link: Link, address: str) -> Stack:
    rng = random.Random(address)
    stack = Stack(rng=rng, entropy=rng.randbytes)
    stack.add_interface(link, f"{address}/24")
    return stack


def listening(cable: Cable) -> StreamEndpoint:
    """The server's listener."""
    listener = cable.server.stream()
    listener.bind(("", PORT), cable.now)
    listener.listen(128, cable.now)
    return listener


def connected(cable: Cable, count: int) -> list[tuple[StreamEndpoint, StreamEndpoint]]:
    """`count` connections: the client's end and the server's."""
    listener = listening(cable)
    pairs = []
    for _ in range(count):
        client = cable.client.stream()
        client.connect((FAR, PORT), cable.now)
        while (server := listener.try_accept(cable.now)) is None or not client.try_connected(cable.now):
            cable.turn()
        pairs.append((client, server))
    return pairs
