"""Two hosts across a bad network in virtual time: what TCP exists for, and that a run replays exactly."""

import hashlib

import pytest

from pystack.link.base import Medium
from pystack.link.capture import CaptureLink, Direction
from pystack.link.faults import FaultLink, Faults
from pystack.link.memory import MemoryLink
from pystack.sim.simulation import Simulation
from pystack.stack.stream import StreamEndpoint
from pystack.units import MS, Ns

pytestmark = pytest.mark.untraced

ADDRESSES = {4: ("192.0.2.1", "192.0.2.2", 24), 6: ("2001:db8::1", "2001:db8::2", 64)}
MEGABYTE = 1 << 20
BAD = Faults(loss=0.05, duplicate=0.05, reorder=0.05, corrupt=0.01, delay=5 * MS, jitter=2 * MS)


class Exchange:
    """A client and a server that send `size` octets to each other at the same time and close when they have sent."""

    def __init__(self, seed: int, faults: Faults, size: int, version: int = 4) -> None:
        self.sim = sim = Simulation(seed)
        self.wire = hashlib.sha256()
        ends = MemoryLink.pair(medium=Medium.ETHERNET if version == 4 else Medium.IP)
        client, self._there, length = ADDRESSES[version]
        self.client, self.server = sim.stack(), sim.stack()
        faulty = FaultLink(ends[0], seed=seed, outbound=faults, inbound=faults)
        self.client.add_interface(CaptureLink(faulty, self._observe), f"{client}/{length}")
        self.server.add_interface(ends[1], f"{self._there}/{length}")
        self.upward = sim.random("up").randbytes(size)
        self.downward = sim.random("down").randbytes(size)

    def _observe(self, direction: Direction, frame: bytes, now: Ns) -> None:
        self.wire.update(b"%d %d " % (direction.value, now) + frame)

    def run(self) -> None:
        sim = self.sim
        listener = self.server.stream()
        listener.bind(("", 7), sim.now)
        listener.listen(1, sim.now)
        near = self.client.stream()
        near.connect((self._there, 7), sim.now)
        accepting = listener.submit(listener.try_accept, None, sim.now)
        sim.wait(near.submit(near.try_connected, None, sim.now))
        far = sim.wait(accepting)
        ends = (_End(near, self.upward), _End(far, self.downward))
        sim.run_until(lambda: sum(end.advance(sim.now) for end in ends) == len(ends))
        assert bytes(ends[0].received) == self.downward
        assert bytes(ends[1].received) == self.upward
        near.close(sim.now)
        far.close(sim.now)
        listener.close(sim.now)
        sim.run()


class _End:
    """One application: sends everything, says that it has, reads to the end."""

    def __init__(self, endpoint: StreamEndpoint, data: bytes) -> None:
        self.endpoint = endpoint
        self.left = memoryview(data)
        self.received = bytearray()
        self.finished_sending = False
        self.finished = False

    def advance(self, now: Ns) -> bool:
        while self.left.nbytes and (taken := self.endpoint.try_send(self.left, now)):
            self.left = self.left[taken:]
        if not self.left.nbytes and not self.finished_sending:
            self.finished_sending = True
            self.endpoint.shutdown(1, now)
        while not self.finished and (data := self.endpoint.try_recv(1 << 20, now)) is not None:
            self.received += data
            self.finished = not data
        return self.finished and self.finished_sending


def check_at_rest(exchange: Exchange) -> None:
    """TIME-WAIT has run out: no connection, no timer."""
    for stack in (exchange.client, exchange.server):
        assert stack.tcp.flows == []
        assert stack.next_deadline() is None


@pytest.mark.parametrize("seed", range(50))
def test_every_octet_arrives_and_both_ends_come_to_rest(seed: int) -> None:
    exchange = Exchange(seed, BAD, MEGABYTE)
    exchange.run()
    check_at_rest(exchange)


@pytest.mark.parametrize("seed", range(10))
def test_every_octet_arrives_over_ipv6_too(seed: int) -> None:
    exchange = Exchange(seed, BAD, MEGABYTE // 4, version=6)
    exchange.run()
    check_at_rest(exchange)


def test_the_same_seed_gives_the_same_frames_at_the_same_times() -> None:
    runs = [Exchange(7, BAD, MEGABYTE // 4) for _ in range(2)]
    for run in runs:
        run.run()
    assert runs[0].wire.digest() == runs[1].wire.digest()
    assert runs[0].sim.now == runs[1].sim.now
    other = Exchange(8, BAD, MEGABYTE // 4)
    other.run()
    assert other.wire.digest() != runs[0].wire.digest()


def test_a_third_of_all_frames_lost_takes_long_but_ends() -> None:
    exchange = Exchange(1, Faults(loss=0.33, delay=1 * MS), 100_000)
    exchange.run()
    check_at_rest(exchange)


def test_a_narrow_bottleneck_with_a_short_queue() -> None:
    exchange = Exchange(1, Faults(rate=1_000_000, queue=10, delay=10 * MS), MEGABYTE)
    exchange.run()
    check_at_rest(exchange)
