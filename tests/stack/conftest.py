"""Two hosts on one cable, in virtual time."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from attrs import define

from pystack.link.base import Medium
from pystack.link.memory import MemoryLink
from pystack.sim.simulation import Simulation
from pystack.stack.config import StackConfig
from pystack.stack.stack import Stack
from pystack.stack.stream import StreamEndpoint
from pystack.units import SECOND

LOOPBACK = {4: "127.0.0.1", 6: "::1"}
HOSTS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}


@contextmanager
def raises_errno(*names: str) -> Iterator[None]:
    """The block raises an `OSError` with one of these errnos."""
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what is matched
        yield
    assert errno.errorcode.get(caught.value.errno or 0) in names


@define(eq=False)
class Pair:
    """Host `a` and host `b`, whose addresses, of either IP version, are `host_a` and `host_b`."""

    sim: Simulation
    a: Stack
    b: Stack
    link_a: MemoryLink
    link_b: MemoryLink
    version: int = 4

    @property
    def host_a(self) -> str:
        return HOSTS[self.version][0]

    @property
    def host_b(self) -> str:
        return HOSTS[self.version][1]

    @property
    def ip_octets(self) -> int:
        """Of an IP header."""
        return 20 if self.version == 4 else 40

    @property
    def now(self) -> int:
        return self.sim.now

    def listen(self, port: int = 80, backlog: int = 16) -> StreamEndpoint:
        """A listener on `b`."""
        server = self.b.stream()
        server.bind(("", port), self.now)
        server.listen(backlog, self.now)
        return server

    def connect(self, port: int = 80) -> StreamEndpoint:
        """A connection from `a`, its handshake done on this side."""
        client = self.a.stream()
        client.connect((self.host_b, port), self.now)
        assert self.sim.wait(client.submit(client.try_connected, 10 * SECOND, self.now))
        return client

    def accept(self, server: StreamEndpoint) -> StreamEndpoint:
        return self.sim.wait(server.submit(server.try_accept, 10 * SECOND, self.now))

    def established(self) -> tuple[StreamEndpoint, StreamEndpoint]:
        """(client on `a`, server's end on `b`); the listener is closed."""
        server = self.listen()
        client = self.connect()
        conn = self.accept(server)
        server.close(self.now)
        return client, conn

    def recv(self, endpoint: StreamEndpoint, size: int = 65536) -> bytes:
        return self.sim.wait(endpoint.submit(lambda now: endpoint.try_recv(size, now), 60 * SECOND, self.now))

    def recv_all(self, endpoint: StreamEndpoint) -> bytes:
        pieces = []
        while piece := self.recv(endpoint):
            pieces.append(piece)
        return b"".join(pieces)

    def send_all(self, endpoint: StreamEndpoint, data: bytes) -> None:
        left = [memoryview(data)]
        while left[0].nbytes:
            taken = self.sim.wait(endpoint.submit(lambda now: endpoint.try_send(left[0], now), None, self.now))
            left[0] = left[0][taken:]

    def run(self, seconds: float = 1.0) -> None:
        """Let time pass."""
        end = self.now + round(seconds * SECOND)
        while self.sim.step(end):
            pass


def make_pair(seed: int, medium: Medium, config: StackConfig | None = None, version: int = 4) -> Pair:
    sim = Simulation(seed)
    link_a, link_b = MemoryLink.pair(medium=medium)
    a, b = sim.stack(config), sim.stack(config)
    for stack, link, host in zip((a, b), (link_a, link_b), HOSTS[version], strict=True):
        stack.add_interface(link, f"{host}/{24 if version == 4 else 64}")
    return Pair(sim, a, b, link_a, link_b, version)


@pytest.fixture(
    params=[(Medium.ETHERNET, 4), (Medium.IP, 4), (Medium.IP, 6)],
    ids=lambda param: f"{param[0].value}-ipv{param[1]}",
)
def pair(request: pytest.FixtureRequest) -> Pair:
    medium, version = request.param
    return make_pair(1, medium, version=version)
