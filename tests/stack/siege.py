"""A host that strangers attack while it serves: a listener, a datagram socket, and a connection to an honest peer."""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import NamedTuple, Self

from attrs import define, field

from pystack.link.base import Frame, Medium
from pystack.net.config import NetConfig
from pystack.stack.config import StackConfig
from pystack.stack.datagram import DatagramEndpoint
from pystack.stack.stack import Stack
from pystack.stack.stream import StreamEndpoint
from pystack.units import MS, Ns
from tests.stack.conftest import Pair, make_pair

__all__ = ["FEW", "Besieged", "Ground"]

FEW = StackConfig(
    half_open_limit=20,
    connection_limit=60,
    time_wait_limit=20,
    memory_limit=4_000_000,
    udp_queue_octets=20_000,
    net=NetConfig(neighbour_limit=30, unresolved_limit=10, path_limit=30, path_mtu_limit=10),
)
BYTES = bytes(range(256))


class Ground(NamedTuple):
    medium: Medium
    version: int
    seed: int


@define(eq=False)
class Besieged:
    """`host` is under attack from the place of host `a`, which has a connection of its own to it."""

    ground: Ground
    pair: Pair
    rng: Random
    server: StreamEndpoint
    client: StreamEndpoint
    conn: StreamEndpoint
    resolver: DatagramEndpoint
    accepted: deque[StreamEndpoint] = field(init=False, factory=deque)
    heard: deque[bytes] = field(init=False, factory=lambda: deque(maxlen=64))
    """The last frames that the host has sent."""
    served: int = field(init=False, default=0)
    """Connections of the attackers' that the application has taken."""

    @classmethod
    def make(cls, ground: Ground) -> Self:
        pair = make_pair(ground.seed + 100, ground.medium, FEW, ground.version)
        server = pair.listen(backlog=8)
        client = pair.connect()
        conn = pair.accept(server)
        resolver = pair.b.datagram()
        resolver.bind(("", 53), pair.now)
        besieged = cls(ground, pair, Random(f"{ground}"), server, client, conn, resolver)
        besieged.exchange(b"before")
        return besieged

    @property
    def host(self) -> Stack:
        return self.pair.b

    def take(self, frames: Sequence[bytes]) -> None:
        """At most 64 frames arrive in one turn of the host; the honest peer hears nothing of what it says to them."""
        pair = self.pair
        pair.link_a.send([Frame((octets,)) for octets in frames], pair.now)
        pair.b.poll(pair.now)
        self.heard.extend(frame.to_bytes() for frame in pair.link_a.receive(1024, pair.now))
        pair.sim.now += self.rng.choice((0, 1 * MS, 20 * MS, 300 * MS))
        self._serve(pair.now)
        self.check_caps()

    def exchange(self, data: bytes) -> None:
        """The honest peer says `data`, and hears it back."""
        for sender, receiver in ((self.client, self.conn), (self.conn, self.client)):
            self.pair.send_all(sender, data)
            got = b""
            while len(got) < len(data):
                got += self.pair.recv(receiver)
            assert got == data

    def check_caps(self) -> None:
        stack = self.host
        assert len(stack.tcp.flows) <= FEW.connection_limit
        assert len(stack.tcp.connections.lingering) <= FEW.time_wait_limit
        assert stack.memory.used <= FEW.memory_limit + 70_000
        assert len(stack.network._paths._cache) <= FEW.net.path_limit
        for interface in stack.interfaces:
            if interface.arp is not None:
                assert len(interface.arp.cache) <= FEW.net.neighbour_limit

    def relieve(self) -> None:
        """The attack is over: the connection has survived it, and in the end nothing is left."""
        pair = self.pair
        for each in self.accepted:
            each.abort(pair.now)
        pair.run(10)
        self.exchange(BYTES * 100)
        for endpoint in (self.server, self.client, self.conn, self.resolver):
            endpoint.close(pair.now)
        pair.sim.run()
        assert pair.b.tcp.flows == []
        assert pair.b.memory.used == 0

    def _serve(self, now: Ns) -> None:
        """An application that takes whoever comes, says something, and leaves in one way or another."""
        rng, accepted = self.rng, self.accepted
        conn = self.server.try_accept(now)
        if conn is not None:
            accepted.append(conn)
            self.served += 1
            with suppress(OSError):
                conn.try_send(bytes(rng.choice((1, 3000, 20_000))), now)
        for each in list(accepted)[-4:]:
            with suppress(OSError):
                each.try_recv(1000, now)
        if len(accepted) > 15:
            each = accepted.popleft()
            each.abort(now) if rng.random() < 0.5 else each.close(now)
