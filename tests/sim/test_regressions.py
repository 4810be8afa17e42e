"""Faults that other TCP/IP stacks are known for, each with what must happen instead."""

import socket
import sys
from collections.abc import Callable
from types import FrameType

import pytest
from attrs import evolve

from pystack import wire
from pystack.errors import PeerReset
from pystack.link.base import Medium
from pystack.link.capture import CaptureLink, Direction
from pystack.link.faults import FaultLink, Faults
from pystack.link.memory import MemoryLink
from pystack.sim.bulk import BulkFlow
from pystack.sim.simulation import Simulation
from pystack.stack.config import StackConfig
from pystack.stack.stream import StreamEndpoint
from pystack.transport.tcp.config import TCPConfig
from pystack.transport.tcp.state import State
from pystack.units import MS, SECOND, Ns
from tests.sim.scenario import Scenario
from tests.sim.session import Numbers, Session
from tests.stack.conftest import HOSTS, Pair, make_pair, raises_errno
from tests.stack.lone import ACK, FIN, RST, SYN, Lone

PEER, HOST = "192.0.2.1", "192.0.2.2"
FOREVER = Faults(loss=1)


def pair_of(client: TCPConfig, server: TCPConfig | None = None, *, delay: Ns = 0) -> tuple[Pair, FaultLink]:
    """Two hosts on a path that the test can cut."""
    sim = Simulation(1)
    near, far = MemoryLink.pair(medium=Medium.IP)
    link = FaultLink(near, seed=1, outbound=Faults(delay=delay), inbound=Faults(delay=delay))
    a, b = sim.stack(StackConfig(tcp=client)), sim.stack(StackConfig(tcp=server or client))
    a.add_interface(link, f"{HOSTS[4][0]}/24")
    b.add_interface(far, f"{HOSTS[4][1]}/24")
    return Pair(sim, a, b, near, far), link


# Nagle stalling bulk data when timestamps shrink the payload


@pytest.mark.parametrize("timestamps", [True, False])
@pytest.mark.parametrize("write", [1460, 1448, 2920, 100_000])
def test_nagle_does_not_stall_bulk_data(timestamps: bool, write: int) -> None:
    """A full segment holds 12 octets less with timestamps. Taken for less than full, each would wait for an ACK."""
    pair, _ = pair_of(TCPConfig(timestamps=timestamps), delay=20 * MS)
    client, conn = pair.established()
    before, left, got = pair.now, 200_000, 0
    while got < 200_000:
        while left and (taken := client.try_send(bytes(min(write, left)), pair.now)):
            left -= taken
        while data := conn.try_recv(1 << 20, pair.now):
            got += len(data)
        pair.sim.step()
    assert pair.now - before < 8 * 40 * MS  # slow start takes five round trips


# CLOSING and FIN-WAIT-2 without a timer


@pytest.mark.parametrize("state", [State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSING, State.LAST_ACK, State.TIME_WAIT])
def test_every_closing_state_ends_though_the_peer_is_gone(state: State) -> None:
    lone = Lone()
    conn = lone.establish()
    move_to(lone, conn, state)
    assert [flow.connection.state for flow in lone.stack.tcp.flows] == [state] * (state is not State.TIME_WAIT)
    lone.sim.run()  # nobody answers any more
    assert lone.stack.tcp.flows == []
    assert lone.stack.memory.used == 0
    assert lone.stack.next_deadline() is None


def test_fin_wait_2_ends_though_the_user_leaves_only_then() -> None:
    lone = Lone()
    conn = lone.establish()
    conn.shutdown(socket.SHUT_WR, lone.now)
    lone.segment(ACK, 1001, lone.iss + 2 & 0xFFFF_FFFF)
    lone.run(3600)
    assert conn.state is State.FIN_WAIT_2  # a user who listens may wait
    conn.close(lone.now)
    lone.sim.run()
    assert lone.stack.tcp.flows == []
    assert lone.stack.memory.used == 0


def move_to(lone: Lone, conn: StreamEndpoint, state: State) -> None:
    """From ESTABLISHED, the user gone."""
    ack = lone.iss + 2 & 0xFFFF_FFFF
    if state is State.LAST_ACK:
        lone.segment(FIN | ACK, 1001, lone.iss + 1 & 0xFFFF_FFFF)
    conn.close(lone.now)
    if state is State.FIN_WAIT_2:
        lone.segment(ACK, 1001, ack)
    elif state is State.CLOSING:
        lone.segment(FIN | ACK, 1001, lone.iss + 1 & 0xFFFF_FFFF)
    elif state is State.TIME_WAIT:
        lone.segment(FIN | ACK, 1001, ack)


# abort ignored in some states


@pytest.mark.parametrize("synchronized", [True, False])
def test_abort_ends_a_connection_that_is_being_opened(synchronized: bool) -> None:
    lone = Lone()
    client = lone.connect()
    if synchronized:
        lone.segment(SYN, 1000)
        assert client.state is State.SYN_RECEIVED
    client.abort(lone.now)
    assert lone.stack.tcp.flows == []
    assert lone.stack.next_deadline() is None
    assert any(sent.tcp.flags & RST for sent in lone.sent()) is synchronized


@pytest.mark.parametrize(
    "state", [State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK]
)
def test_abort_ends_a_connection_in_every_state(state: State) -> None:
    lone = Lone()
    conn = lone.establish()
    ack = lone.iss + 1 & 0xFFFF_FFFF
    if state in (State.CLOSE_WAIT, State.LAST_ACK):
        lone.segment(FIN | ACK, 1001, ack)
    if state not in (State.ESTABLISHED, State.CLOSE_WAIT):
        conn.shutdown(socket.SHUT_WR, lone.now)
    if state is State.CLOSING:
        lone.segment(FIN | ACK, 1001, ack)
    elif state is State.FIN_WAIT_2:
        lone.segment(ACK, 1001, ack + 1)
    assert conn.state is state
    lone.sent()
    conn.abort(lone.now)
    assert lone.stack.tcp.flows == []
    assert lone.stack.next_deadline() is None
    resets = [sent for sent in lone.sent() if sent.tcp.flags & RST]
    assert len(resets) == (state not in (State.CLOSING, State.LAST_ACK))  # RFC 9293 section 3.10.5


# Readers not woken by RST


@pytest.mark.parametrize("call", ["recv", "recv_into", "send"])
def test_a_reset_wakes_whoever_waits(call: str) -> None:
    pair, _ = pair_of(TCPConfig(), delay=5 * MS)
    client, conn = pair.established()
    attempt: dict[str, Callable[[Ns], object]] = {
        "recv": lambda now: client.try_recv(1000, now),
        "recv_into": lambda now: client.try_recv_into(memoryview(bytearray(1000)), now),
        "send": lambda now: client.try_send(b"more", now),
    }
    if call == "send":
        fill(pair, client)
    waiting = client.submit(attempt[call], None, pair.now)
    pair.run(10)
    assert not waiting.done
    conn.abort(pair.now)
    with pytest.raises(PeerReset):
        pair.sim.wait(waiting)


def fill(pair: Pair, client: StreamEndpoint) -> None:
    """Send until nothing more is taken: nobody reads."""
    while client.try_send(bytes(100_000), pair.now) or client.info().snd_wnd:
        pair.run(0.1)


# connect() succeeding on a soft ICMP error


@pytest.mark.parametrize(("code", "name"), [(0, "ENETUNREACH"), (1, "EHOSTUNREACH")])
def test_a_soft_error_neither_ends_nor_completes_a_connect(code: int, name: str) -> None:
    lone = Lone(StackConfig(tcp=TCPConfig(syn_retries=2)))
    client = lone.connect()
    connecting = client.submit(client.try_connected, None, lone.now)
    (syn,) = lone.sent()
    lone.icmp(3, code, syn.tcp.seq)
    lone.run(1)
    assert not connecting.done
    assert client.state is State.SYN_SENT
    assert not client.writable
    with raises_errno(name):
        lone.sim.wait(connecting)
    assert lone.now >= 7 * SECOND  # all retries were made


def test_a_connect_goes_on_to_success_after_a_soft_error() -> None:
    lone = Lone()
    client = lone.connect()
    (syn,) = lone.sent()
    lone.icmp(3, 1, syn.tcp.seq)
    lone.run(1)
    lone.establish_actively(client)
    assert client.state is State.ESTABLISHED


# Stale out-of-order data sent as false DSACK


class Receiver:
    """Watches what one end receives and what it says about it."""

    def __init__(self) -> None:
        self.arrived: list[tuple[int, int, Ns]] = []
        self.repeated: list[tuple[int, int]] = []
        self.reports = 0

    def __call__(self, direction: Direction, frame: bytes, now: Ns) -> None:
        layers = wire.dissect(frame, wire.LinkType.RAW)
        tcp = next(each for each in layers if isinstance(each, wire.TCPHeader))
        if direction is Direction.INBOUND:
            if isinstance(layers[-1], bytes) and layers[-1]:
                self._arrives(tcp.seq, tcp.seq + len(layers[-1]), now)
            return
        blocks = [block for each in tcp.options if isinstance(each, wire.SACK) for block in each.blocks]
        for index, (start, end) in enumerate(blocks):
            within_next = index + 1 < len(blocks) and blocks[1][0] <= start < end <= blocks[1][1]
            if index == 0 and (end <= tcp.ack or within_next):  # RFC 2883 section 4
                self.reports += 1
                assert self._covered(start, end, self.repeated), "a DSACK about octets that came once"
            else:
                assert start > tcp.ack, "a SACK block below the ACK"
                assert self._covered(start, end, [(left, right) for left, right, _ in self.arrived])

    def _arrives(self, start: int, end: int, now: Ns) -> None:
        for left, right, _ in self.arrived:
            if left < end and start < right:
                self.repeated.append((max(left, start), min(right, end)))
        self.arrived.append((start, end, now))

    @staticmethod
    def _covered(start: int, end: int, ranges: list[tuple[int, int]]) -> bool:
        for left, right in sorted(ranges):
            if left <= start < right:
                start = right
        return start >= end


@pytest.mark.parametrize("seed", range(12))
def test_selective_acknowledgements_tell_the_truth(seed: int) -> None:
    """Every block, DSACK or not, is about octets that arrived, and DSACK about such that arrived twice."""
    sim = Simulation(seed)
    near, far = MemoryLink.pair(medium=Medium.IP)
    bad = Faults(loss=0.05, reorder=0.1, duplicate=0.05 * (seed % 2), delay=5 * MS, jitter=2 * MS)
    receiver = Receiver()
    a, b = sim.stack(), sim.stack()
    b.tcp.connections.numbers = a.tcp.connections.numbers = Numbers(1000)
    a.add_interface(FaultLink(near, seed=seed, outbound=bad, inbound=Faults(delay=5 * MS)), f"{PEER}/24")
    b.add_interface(CaptureLink(far, receiver), f"{HOST}/24")
    flow = BulkFlow(sim, a, b, HOST, 7)
    while flow.received < 300_000:
        flow.turn()
        sim.step()
    assert receiver.reports or not seed % 2


# Uncapped half-open connections or out-of-order queues


def test_half_open_connections_are_capped() -> None:
    lone = Lone(StackConfig(half_open_limit=16))
    lone.listen()
    for port in range(2000):
        lone.segment(SYN, 1000, src_port=10_000 + port)
        lone.frames()
    half_open = len(lone.stack.tcp.flows)
    assert half_open == 16
    assert lone.stack.memory.used < 16 << 10
    lone.sim.run()
    assert lone.stack.tcp.flows == []


@pytest.mark.parametrize("size", [1, 100])
def test_what_waits_beyond_a_gap_is_capped(size: int) -> None:
    config = TCPConfig(receive_buffer=64 << 10, receive_buffer_max=64 << 10, timestamps=False)
    lone = Lone(StackConfig(tcp=config))
    conn = lone.establish()
    for index in range(3000):
        lone.segment(ACK, 1002 + index * 2 * size, lone.iss + 1 & 0xFFFF_FFFF, bytes(size))
    assert 0 < lone.stack.memory.used <= 64 << 10
    assert conn.info().out_of_order <= 64 << 10
    assert len(lone.far.receive(10_000, lone.now)) <= 3000 + 1  # no answer is more than one


# A timer that spins when idle


@pytest.mark.parametrize("quick_acks", [0, 16])
@pytest.mark.parametrize("end", ["client", "server"])
def test_an_idle_connection_has_no_events(end: str, quick_acks: int) -> None:
    pair = make_pair(1, Medium.IP, StackConfig(tcp=TCPConfig(quick_acks=quick_acks)))
    client, conn = pair.established()
    pair.send_all(client, b"x" * 10_000)
    assert pair.recv(conn)
    pair.run(10)
    assert (pair.a if end == "client" else pair.b).next_deadline() is None
    assert not pair.a.poll(pair.now)
    assert not pair.b.poll(pair.now)


def test_a_closed_window_is_probed_ever_more_rarely() -> None:
    pair = make_pair(1, Medium.IP)
    client, _ = pair.established()
    fill(pair, client)
    pair.run(60)
    steps = 0
    end = pair.now + 3600 * SECOND
    while pair.sim.step(end):
        steps += 1
    assert steps < 4 * 60  # probes, two minutes apart at the most, and their answers


# A local port reused at once against the peer's TIME-WAIT


def test_a_port_is_not_used_again_while_the_peer_may_remember_it() -> None:
    """The server closes first, so that it is the one in TIME-WAIT; the client's port is free at once."""
    pair = make_pair(1, Medium.IP)
    server = pair.listen()
    ports, began = [], pair.now
    for _ in range(200):
        client = pair.connect()
        ports.append(client.getsockname()[1])
        conn = pair.accept(server)
        conn.close(pair.now)
        assert pair.recv(client) == b""
        client.close(pair.now)
    assert len(set(ports)) == len(ports)
    assert pair.now - began < SECOND


@pytest.mark.parametrize("timestamps", [True, False])
def test_a_port_that_must_be_used_again_opens_at_once_all_the_same(timestamps: bool) -> None:
    """RFC 9293 MAY-2, RFC 6191: the new SYN is beyond what TIME-WAIT remembers."""
    sim = Simulation(1)
    config = StackConfig(tcp=TCPConfig(timestamps=timestamps), ephemeral_ports=(50_000, 50_000))
    near, far = MemoryLink.pair(medium=Medium.IP)
    a, b = sim.stack(config), sim.stack()
    a.add_interface(near, f"{HOSTS[4][0]}/24")
    b.add_interface(far, f"{HOSTS[4][1]}/24")
    pair = Pair(sim, a, b, near, far)
    server = pair.listen()
    pair.run(1)
    for _ in range(20):
        began = pair.now
        client = pair.connect()
        conn = pair.accept(server)
        conn.close(pair.now)
        assert pair.recv(client) == b""
        client.close(pair.now)
        pair.run(0.01)
        assert pair.now - began < 100 * MS


# Connections per second decaying with age


def test_the_thousandth_connection_costs_what_the_first_did() -> None:
    pair = make_pair(1, Medium.IP)
    server = pair.listen()

    def connections(count: int) -> None:
        for _ in range(count):
            client = pair.connect()
            conn = pair.accept(server)
            client.close(pair.now)
            assert pair.recv(conn) == b""
            conn.close(pair.now)

    connections(50)
    young = calls_made(lambda: connections(20))
    connections(1000)
    old = calls_made(lambda: connections(20))
    assert old <= 1.05 * young


def calls_made(work: Callable[[], None]) -> int:
    """Function calls, of Python and of C: a measure of effort that no busy machine disturbs."""
    count = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


# A sequence wrap that kills the sender


@pytest.mark.parametrize("before_wrap", [0, 1, 2, 5_000, 60_000])
@pytest.mark.parametrize("loss", [0.0, 0.05])
@pytest.mark.parametrize("sack", [True, False])
def test_a_sequence_number_wraps_and_nobody_notices(before_wrap: int, loss: float, sack: bool) -> None:
    faults = Faults(loss=loss, reorder=loss, delay=5 * MS)
    config = TCPConfig(sack=sack)
    scenario = Scenario(seed=1, outbound=faults, inbound=faults, client=config, server=config)
    session = Session(evolve(scenario, iss=2**32 - 1 - before_wrap, upward=120_000, downward=120_000)).run()
    assert session.took < (5 if loss == 0 else 60) * SECOND
