"""Sessions between two hosts across a bad network, drawn from a seed, and what must hold however bad it is."""

from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from random import Random
from socket import SHUT_WR
from typing import Any, TypeAlias

from attrs import field, frozen
from typing_extensions import override

from pystack.link.base import Medium
from pystack.link.faults import FaultLink, Faults
from pystack.link.memory import MemoryLink
from pystack.net.config import NetConfig
from pystack.sim.simulation import Simulation
from pystack.stack.accounts import GUARANTEED
from pystack.stack.config import StackConfig
from pystack.stack.operation import Operation
from pystack.stack.stack import Stack
from pystack.stack.stream import StreamEndpoint
from pystack.transport.tcp.config import TCPConfig
from pystack.transport.tcp.isn import ISNGenerator
from pystack.units import MS, SECOND, Ns

__all__ = ["Ending", "Numbers", "Outage", "Scenario", "Session"]

User: TypeAlias = Generator[Operation[Any], Any, None]
"""Somebody who makes blocking calls: yields an operation, goes on with its result once it is done."""

Outage: TypeAlias = tuple[Ns, Ns]
"""From when to when nothing gets through."""

Ending: TypeAlias = str
ORDERLY, CLIENT_ABORTS, SERVER_CLOSES_EARLY = "orderly", "client aborts", "server closes early"

ADDRESSES = {4: ("192.0.2.1", "192.0.2.2", 24), 6: ("2001:db8::1", "2001:db8::2", 64)}
PORT = 7
NO_FAULTS = Faults()
PATIENT = NetConfig(solicit_count=60)
"""Neighbour discovery gives up after three questions. Here that would end most sessions before they begin."""


@frozen(kw_only=True)
class Scenario:
    """What happens to whom. Two scenarios that are equal play out alike, octet for octet."""

    seed: int
    outbound: Faults = NO_FAULTS
    inbound: Faults = NO_FAULTS
    outages: tuple[Outage, ...] = ()
    version: int = 4
    medium: Medium = Medium.IP
    mtu: int = 1500
    offload: bool = False
    """Hosts hand over super-segments with their checksums open, and the bad network cuts and completes them."""
    iss: int | None = None
    """Where both ends begin to count; None: as the stack likes."""
    client: TCPConfig = field(factory=TCPConfig)
    server: TCPConfig = field(factory=TCPConfig)
    memory_limit: int = 256 << 20
    connections: int = 1
    upward: int = 10_000
    """Octets that each client sends, `downward` those that it is sent."""
    downward: int = 10_000
    ending: Ending = ORDERLY

    @classmethod
    def draw(cls, seed: int) -> "Scenario":
        """One of all the kinds of trouble: loss up to a fifth of all frames, and so on."""
        rng = Random(f"scenario {seed}")
        medium = rng.choice((Medium.IP, Medium.ETHERNET))
        return cls(
            seed=seed,
            outbound=_faults(rng),
            inbound=_faults(rng),
            outages=tuple(_outage(rng) for _ in range(rng.choice((0, 0, 1, 2)))),
            version=4 if medium is Medium.ETHERNET else rng.choice((4, 6)),
            medium=medium,
            mtu=rng.choice((1280, 1500, 1500, 9000)),
            iss=rng.choice((None, None, 2**32 - 1 - rng.randrange(40_000))),
            client=_config(rng),
            server=_config(rng),
            memory_limit=rng.choice((128 << 10, 256 << 20, 256 << 20)),
            connections=rng.choice((1, 1, 1, 2, 3)),
            upward=rng.choice((0, 1, 1000, rng.randrange(20_000), rng.randrange(80_000))),
            downward=rng.choice((0, 1, 1000, rng.randrange(20_000), rng.randrange(80_000))),
            ending=rng.choice((ORDERLY, ORDERLY, ORDERLY, ORDERLY, CLIENT_ABORTS, SERVER_CLOSES_EARLY)),
            offload=rng.random() < 0.25,
        )


def _faults(rng: Random) -> Faults:
    def sometimes(most: float) -> float:
        return rng.choice((0.0, rng.uniform(0, most), rng.uniform(0, most)))

    return Faults(
        loss=sometimes(0.2),
        duplicate=sometimes(0.2),
        reorder=sometimes(0.2),
        corrupt=sometimes(0.1),
        delay=rng.choice((0, 1, 20, 100)) * MS,
        jitter=rng.choice((0, 0, 1, 50)) * MS,
        rate=rng.choice((None, None, rng.randrange(20_000, 100_000), rng.randrange(100_000, 2_000_000))),
        queue=rng.choice((2, 10, 1000)),
        reorder_gap=rng.randint(1, 5),
        reorder_delay=rng.choice((1, 10, 200)) * MS,
    )


def _outage(rng: Random) -> Outage:
    start = rng.randrange(2000) * MS
    return start, start + rng.choice((100 * MS, 3 * SECOND, 40 * SECOND))


def _config(rng: Random) -> TCPConfig:
    return TCPConfig(
        congestion=rng.choice(("cubic", "cubic", "newreno")),
        timestamps=rng.random() < 0.7,
        sack=rng.random() < 0.8,
        loss_probe=rng.random() < 0.8,
        frto=rng.random() < 0.8,
        ecn=rng.random() < 0.5,
        reassembly_ranges=rng.choice((2, 1024, 1024)),
        scoreboard_ranges=rng.choice((2, 1024, 1024)),
        window_scaling=rng.random() < 0.8,
        nodelay=rng.random() < 0.5,
        receive_buffer=rng.choice((2048, 128 << 10, 128 << 10)),
        send_buffer=rng.choice((2048, 16 << 10, 16 << 10)),
        delayed_ack=rng.choice((0, 40 * MS, 40 * MS)),
        syn_retries=30,  # of a few thousand handshakes one would lose all of eight SYNs
        keepalive=True,  # a reset may be lost
        keepalive_idle=300 * SECOND,
    )


class Numbers(ISNGenerator):
    """Connections begin where the test says."""

    def __init__(self, iss: int) -> None:
        super().__init__(bytes(16))
        self.iss = iss

    @override
    def isn(self, local: bytes, local_port: int, remote: bytes, remote_port: int, now: Ns) -> int:
        return self.iss


class Stage:
    """Where users act: each makes its next call as soon as the one before is answered."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._present: list[tuple[User, Operation[Any]]] = []

    def enter(self, user: User) -> None:
        """Begin, up to the first call."""
        self._go_on(user, None)

    def play(self, watch: Callable[[], None]) -> None:
        """Let time pass until all users have gone home. Raises `StateError` when one waits for a call that nothing will
        ever answer. `watch` looks on after each step."""

        def everybody_is_gone() -> bool:
            watch()
            while answered := [entry for entry in self._present if entry[1].done]:
                for entry in answered:
                    self._present.remove(entry)
                    self._go_on(*entry)
            return not self._present

        self._sim.run_until(everybody_is_gone)

    def _go_on(self, user: User, answered: Operation[Any] | None) -> None:
        with suppress(StopIteration):
            if answered is None:
                following = next(user)
            else:
                try:
                    result = answered.result()
                except OSError as error:
                    following = user.throw(error)
                else:
                    following = user.send(result)
            self._present.append((user, following))


class Session:
    """One scenario with its hosts, users and wires."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.sim = sim = Simulation(scenario.seed)
        self.up = sim.random("up").randbytes(scenario.upward)
        self.down = sim.random("down").randbytes(scenario.downward)
        near, far = MemoryLink.pair(
            mtu=scenario.mtu,
            medium=scenario.medium,
            tx_checksum=scenario.offload,
            rx_checksum=scenario.offload,
            tso=65_535 if scenario.offload else 0,
        )
        self.link = FaultLink(near, seed=scenario.seed, outbound=scenario.outbound, inbound=scenario.inbound)
        self.client = self._host(scenario.client, self.link, 0)
        self.server = self._host(scenario.server, far, 1)
        self._stage = Stage(sim)
        self._conversations: list[_Conversation] = []
        self.took: Ns = 0
        """How long the users were busy, TIME-WAIT not counted."""

    def _host(self, config: TCPConfig, link: FaultLink | MemoryLink, place: int) -> Stack:
        scenario = self.scenario
        stack = self.sim.stack(StackConfig(net=PATIENT, tcp=config, memory_limit=scenario.memory_limit))
        if scenario.iss is not None:
            stack.tcp.connections.numbers = Numbers(scenario.iss)
        *addresses, prefix = ADDRESSES[scenario.version]
        stack.add_interface(link, f"{addresses[place]}/{prefix}")
        return stack

    def run(self) -> "Session":
        """Play it to its end, and check all that must hold."""
        try:
            self._run()
        except BaseException as problem:
            problem.add_note(f"seed {self.scenario.seed}, at {self.sim.now} ns: {self.scenario!r}")
            raise
        return self

    def _run(self) -> None:
        sim, count = self.sim, self.scenario.connections
        listener = self.server.stream()
        listener.bind(("", PORT), sim.now)
        listener.listen(count, sim.now)
        self._stage.enter(self._accept(listener))
        for _ in range(count):
            self._stage.enter(self._connect())
        self._stage.play(self._watch)
        self.took = sim.now
        listener.close(sim.now)
        sim.run()
        self._check_rest()

    def _connect(self) -> User:
        endpoint = self.client.stream()
        endpoint.connect((ADDRESSES[self.scenario.version][1], PORT), self.sim.now)
        yield endpoint.submit(endpoint.try_connected, None, self.sim.now)
        self._converse(endpoint, self.up, self.down, self.scenario.ending == CLIENT_ABORTS)

    def _accept(self, listener: StreamEndpoint) -> User:
        ending = self.scenario.ending
        patience = 600 * SECOND if ending == CLIENT_ABORTS else None  # its handshake may never be finished
        with suppress(TimeoutError):
            for _ in range(self.scenario.connections):
                endpoint = yield listener.submit(listener.try_accept, patience, self.sim.now)
                self._converse(endpoint, self.down, self.up, ending == SERVER_CLOSES_EARLY)

    def _converse(self, endpoint: StreamEndpoint, says: bytes, hears: bytes, rude: bool) -> None:
        orderly = self.scenario.ending == ORDERLY
        conversation = _Conversation(self.sim, endpoint, says, hears, rude, orderly)
        self._conversations.append(conversation)
        self._stage.enter(conversation.talk())
        self._stage.enter(conversation.listen())

    def _watch(self) -> None:
        """Outages come and go; memory stays within its limit, but for the least that each connection may hold."""
        now, scenario = self.sim.now, self.scenario
        down = any(start <= now < end for start, end in scenario.outages)
        for line, faults in ((self.link.outbound, scenario.outbound), (self.link.inbound, scenario.inbound)):
            if down != (line.faults.loss == 1):
                line.faults = Faults(loss=1) if down else faults
        for stack in (self.client, self.server):
            assert 0 <= stack.memory.used <= stack.memory.limit + 2 * GUARANTEED * scenario.connections

    def _check_rest(self) -> None:
        """TIME-WAIT has run out: no connection, no octet, no timer."""
        for conversation in self._conversations:
            conversation.check()
        for stack in (self.client, self.server):
            assert stack.tcp.flows == []
            assert stack.memory.used == 0
            assert stack.next_deadline() is None
            assert not stack.poll(self.sim.now)


class _Conversation:
    """One end of a connection and its two users: one talks, one listens, and whoever leaves last hangs up."""

    def __init__(
        self, sim: Simulation, endpoint: StreamEndpoint, says: bytes, hears: bytes, rude: bool, orderly: bool
    ) -> None:
        self._sim = sim
        self._endpoint = endpoint
        self._says = says
        self._hears = hears
        self._rude = rude
        self._orderly = orderly
        self._heard = bytearray()
        self._present = 2
        self.over = False

    def talk(self) -> User:
        sim, endpoint = self._sim, self._endpoint
        says = self._says[: len(self._says) // 2] if self._rude else self._says
        try:
            while says:
                taken = yield endpoint.submit(partial(endpoint.try_send, says), None, sim.now)
                says = says[taken:]
            if self._rude:
                endpoint.abort(sim.now)
            else:
                endpoint.shutdown(SHUT_WR, sim.now)
        except OSError:
            assert not self._orderly
        yield from self._leave()

    def listen(self) -> User:
        sim, endpoint = self._sim, self._endpoint
        try:
            while data := (yield endpoint.submit(partial(endpoint.try_recv, 1 << 16), None, sim.now)):
                self._heard += data
        except OSError:
            assert not self._orderly
        yield from self._leave()

    def _leave(self) -> User:
        """The last one waits until the peer has everything: without a user, a connection may be given up."""
        self._present -= 1
        if self._present:
            return
        endpoint, sim = self._endpoint, self._sim
        if not endpoint.closed:
            yield endpoint.submit(lambda _: not endpoint.unsent or None, None, sim.now)
            endpoint.close(sim.now)
        self.over = True

    def check(self) -> None:
        """What was heard is what was said, from its beginning, and all of it when nobody hung up early."""
        assert self.over
        assert bytes(self._heard) == self._hears[: len(self._heard)]
        assert not self._orderly or len(self._heard) == len(self._hears)
