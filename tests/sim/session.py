"""Sessions between two hosts across a bad network, and what must hold however bad it is."""

from contextlib import suppress
from socket import MSG_OOB
from struct import pack

from typing_extensions import override

from pystack.link.faults import Fate, FaultLink, Faults
from pystack.link.memory import MemoryLink
from pystack.net.config import NetConfig
from pystack.sim import SimSocket, Simulation, Stage, User
from pystack.stack import options
from pystack.stack.accounts import GUARANTEED
from pystack.stack.config import StackConfig
from pystack.stack.operation import Operation
from pystack.stack.stack import Stack
from pystack.transport.tcp.config import TCPConfig
from pystack.transport.tcp.fastopen import FastOpenMode
from pystack.transport.tcp.isn import ISNGenerator
from pystack.units import SECOND, Ns
from tests.sim.router import ALL_IS_WELL, Router
from tests.sim.scenario import (
    CLIENT_ABORTS,
    CLIENT_GIVES_UP,
    FAST,
    ORDERLY,
    PORT,
    SERVER_CLOSES_EARLY,
    SIMULTANEOUS,
    Manners,
    Outage,
    Scenario,
)

__all__ = ["Numbers", "Session"]

RUDE = (CLIENT_ABORTS, SERVER_CLOSES_EARLY)
"""The client and the server that are."""

ADDRESSES = {4: ("192.0.2.1", "192.0.2.2", 24), 6: ("2001:db8::1", "2001:db8::2", 64)}
PATIENT = NetConfig(solicit_count=60)
"""Neighbour discovery gives up after three questions. Here that would end most sessions before they begin."""
FAST_OPEN = FastOpenMode.CLIENT | FastOpenMode.SERVER
NO_TIME = pack("ii", 1, 0)
"""For SO_LINGER: close resets."""


class Numbers(ISNGenerator):
    """Connections begin where the test says."""

    def __init__(self, iss: int) -> None:
        super().__init__(bytes(16))
        self.iss = iss

    @override
    def isn(self, local: bytes, local_port: int, remote: bytes, remote_port: int, now: Ns) -> int:
        return self.iss


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
        *self._addresses, self._prefix = ADDRESSES[scenario.version]
        weather = scenario.weather
        inner = near if weather == ALL_IS_WELL else Router(near, weather, sim.random("router"), self._addresses[1])
        self.link = FaultLink(inner, seed=scenario.seed, outbound=scenario.outbound, inbound=scenario.inbound)
        self.client = self._host(scenario.client, self.link, 0)
        self.server = self._host(scenario.server, far, 1)
        self._stage = Stage(sim)
        self._conversations: list[_Conversation] = []
        self._outages = 0
        self._met: set[tuple[str, int]] = set()
        self.took: Ns = 0
        """How long the users were busy, TIME-WAIT not counted."""

    def _host(self, tcp: TCPConfig, link: FaultLink | MemoryLink, place: int) -> Stack:
        scenario = self.scenario
        config = StackConfig(
            net=PATIENT,
            tcp=tcp,
            memory_limit=scenario.memory_limit,
            half_open_limit=scenario.half_open_limit,
            fast_open=FAST_OPEN if scenario.opening == FAST else FastOpenMode.OFF,
        )
        stack = self.sim.stack(config)
        if scenario.iss is not None:
            stack.tcp.connections.numbers = Numbers(scenario.iss)
        stack.add_interface(link, f"{self._addresses[place]}/{self._prefix}")
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
        sim, stage = self.sim, self._stage
        for outage in self.scenario.outages:
            stage.enter(self._break(outage))
        if self.scenario.opening == SIMULTANEOUS:
            self._open_simultaneously()
        else:
            stage.enter(self._accept())
            for number in range(self.scenario.connections):
                stage.enter(self._connect(number))
        stage.play(self._watch)
        self.took = sim.now
        sim.run()
        self._check_rest()

    # Users

    def _break(self, outage: Outage) -> User:
        """Nothing gets through for a while."""
        start, end = outage
        yield self.sim.sleep(start)
        self._outages += 1
        self.link.outbound.faults = self.link.inbound.faults = Faults(loss=1)
        yield self.sim.sleep(end - start)
        self._outages -= 1
        if not self._outages:
            self.link.outbound.faults, self.link.inbound.faults = self.scenario.outbound, self.scenario.inbound

    def _open_simultaneously(self) -> None:
        ends = [SimSocket(self.sim, host.stream()) for host in (self.client, self.server)]
        for place, end in enumerate(ends):
            end.endpoint.bind((self._addresses[place], PORT), self.sim.now)
        waiting = [end.connect((self._addresses[1 - place], PORT)) for place, end in enumerate(ends)]
        for place, end in enumerate(ends):
            self._stage.enter(self._converse_once(waiting[place], end, place))

    def _converse_once(self, connecting: Operation[bool], sock: SimSocket, place: int) -> User:
        yield connecting
        self._converse(sock, place)

    def _connect(self, number: int) -> User:
        if self.scenario.opening == FAST:
            yield self.sim.sleep(number * SECOND)  # by then the first may have brought a cookie
        sock = SimSocket(self.sim, self.client.stream())
        server = self._addresses[1], PORT
        try:
            if self.scenario.opening == FAST and self._speaks_first:
                sent = yield sock.submit(sock.endpoint.opening_send(self.up, server, waits=True))
            else:
                yield sock.connect(server)
                sent = 0
        except OSError:
            assert self.scenario.ending != ORDERLY
            sock.close()
        else:
            self._converse(sock, 0, sent)

    @property
    def _speaks_first(self) -> bool:
        """Whether what the client begins with may be in its SYN."""
        client = self.scenario.talking[0]
        return bool(self.up) and not client.answers and client.urgent is None

    def _accept(self) -> User:
        """Until every client has been met. A SYN that was duplicated may come when its connection has ended, and with
        a cookie be let in again (RFC 7413 section 2.1): its data is not that of a session."""
        ending, sim = self.scenario.ending, self.sim
        listener = SimSocket(sim, self.server.stream())
        listener.endpoint.setsockopt(*options.FASTOPEN, 16)
        listener.endpoint.bind(("", PORT), sim.now)
        listener.endpoint.listen(16, sim.now)
        patience = 600 * SECOND if ending in (CLIENT_ABORTS, CLIENT_GIVES_UP) else None  # perhaps nobody comes
        with suppress(TimeoutError):
            while len(self._met) < self.scenario.connections:
                sock = yield listener.accept(patience)
                if self._is_new(sock):
                    self._converse(sock, 1)
                else:
                    sock.abort()
        listener.close()

    def _is_new(self, sock: SimSocket) -> bool:
        try:
            peer = sock.endpoint.getpeername()
        except OSError:  # it has ended already
            peer = "?", len(self._met)
            if self.scenario.opening == FAST and self.scenario.ending in (ORDERLY, SERVER_CLOSES_EARLY):
                return False
        new = peer not in self._met
        self._met.add(peer)
        return new

    def _converse(self, sock: SimSocket, place: int, sent: int = 0) -> None:
        scenario = self.scenario
        both = (self.up, self.down)
        conversation = _Conversation(
            self.sim,
            sock,
            both[place][sent:],
            both[1 - place],
            scenario.talking[place],
            scenario.talking[1 - place],
            rude=scenario.ending == RUDE[place],
            rude_other=scenario.ending == RUDE[1 - place],
            orderly=scenario.ending == ORDERLY,
        )
        self._conversations.append(conversation)
        for user in conversation.users():
            self._stage.enter(user)

    # What must hold

    def _watch(self) -> None:
        """Memory stays within its limit, but for the least that each connection may hold."""
        for stack in (self.client, self.server):
            assert 0 <= stack.memory.used <= stack.memory.limit + 2 * GUARANTEED * self.scenario.connections

    def _check_rest(self) -> None:
        """TIME-WAIT has run out: no connection, no octet, no timer."""
        for conversation in self._conversations:
            conversation.check()
        for line in (self.link.outbound, self.link.inbound):
            count = line.counters
            gone = count["lost"] + count["queue_full"] + count["line_full"]
            assert count["frames"] + count["duplicated"] == count["delivered"] + gone
            assert not count["malformed"]
        ways = self.scenario.outbound, self.scenario.inbound
        intact = not any(faults.corrupt or Fate.CORRUPT in faults.fates for faults in ways)
        for stack in (self.client, self.server):
            assert not intact or not any("checksum" in reason for reason in stack.counters)
            assert stack.tcp.flows == []
            assert stack.memory.used == 0
            assert stack.next_deadline() is None
            assert not stack.poll(self.sim.now)


class _Conversation:
    """One end of a connection and its two users: one talks, one listens, and whoever leaves last hangs up."""

    def __init__(
        self,
        sim: Simulation,
        sock: SimSocket,
        says: bytes,
        hears: bytes,
        manners: Manners,
        of_the_other: Manners,
        *,
        rude: bool,
        rude_other: bool,
        orderly: bool,
    ) -> None:
        self._sim = sim
        self._sock = sock
        self._says = says[: len(says) // 2] if rude else says
        self._hears = hears
        self._manners = manners
        self._mark = None if rude_other else _urgent_place(of_the_other, hears)
        self._rude = rude
        self._orderly = orderly
        self._heard = bytearray()
        self._urgent: bytes | None = None
        self._present = 2
        self.over = False
        sock.endpoint.setsockopt(*options.OOBINLINE, int(manners.inline))

    def users(self) -> list[User]:
        """Who answers talks when everything is heard; who is rude does not wait."""
        if self._manners.answers and not self._rude:
            return [self._one_after_the_other()]
        return [self._talk(), self._listen()]

    def _one_after_the_other(self) -> User:
        yield from self._listen()
        yield from self._talk()

    def _talk(self) -> User:
        sock, says = self._sock, self._says
        mark = None if self._rude else _urgent_place(self._manners, says)
        try:
            if mark is not None:
                yield sock.sendall(says[:mark])
                yield sock.sendall(says[mark : mark + 1], MSG_OOB)
                says = says[mark + 1 :]
            if says:
                yield sock.sendall(says)
            if self._rude:
                self._hang_up_rudely()
            else:
                sock.shutdown()
        except OSError:
            assert not self._orderly
        yield from self._leave()

    def _hang_up_rudely(self) -> None:
        if self._manners.linger == 0:
            self._sock.endpoint.setsockopt(*options.LINGER, NO_TIME)
            self._sock.close()
        else:
            self._sock.abort()

    def _listen(self) -> User:
        sock = self._sock
        pauses = sorted(self._manners.pauses)
        try:
            while data := (yield sock.submit(self._hear)):
                self._heard += data
                while pauses and len(self._heard) >= pauses[0][0]:
                    yield self._sim.sleep(pauses.pop(0)[1])
        except OSError:
            assert not self._orderly
        yield from self._leave()

    def _hear(self, now: Ns) -> bytes | None:
        """What is there, up to the mark of the urgent data; the urgent octet by itself, unless it is in the stream."""
        endpoint = self._sock.endpoint
        if endpoint.at_mark:
            assert len(self._heard) == self._mark
            if self._urgent is None and not self._manners.inline:
                with suppress(BlockingIOError):  # it has not arrived
                    self._urgent = endpoint.try_recv(1, now, MSG_OOB)
        return endpoint.try_recv(1 << 16, now)

    def _leave(self) -> User:
        """The last one waits until the peer has everything: without a user, a connection may be given up."""
        self._present -= 1
        if self._present:
            return
        sock = self._sock
        if not sock.endpoint.closed:
            with suppress(TimeoutError):
                yield sock.acknowledged(self._manners.linger)
            assert not self._orderly or sock.endpoint.info().octets_received == len(self._hears)
            sock.close()
        self.over = True

    def check(self) -> None:
        """What was heard is what was said, from its beginning, and all of it when nobody hung up early."""
        assert self.over
        hears, mark = self._hears, self._mark
        if mark is not None and not self._manners.inline:
            assert self._urgent == hears[mark : mark + 1] or not self._orderly
            hears = hears[:mark] + hears[mark + 1 :]
        assert bytes(self._heard) == hears[: len(self._heard)]
        assert not self._orderly or len(self._heard) == len(hears)


def _urgent_place(manners: Manners, says: bytes) -> int | None:
    """Which octet of `says` is urgent."""
    return None if manners.urgent is None or not says else int(manners.urgent * len(says))
