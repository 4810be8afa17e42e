"""Faults as old as TCP implementations, each with what must happen instead."""

import socket

import pytest

from pystack import wire
from pystack.errors import PeerReset
from pystack.link.faults import Fate, Faults
from pystack.sim import SimSocket, Simulation
from pystack.stack.config import StackConfig
from pystack.transport.tcp.config import TCPConfig
from pystack.transport.tcp.state import State
from pystack.units import MS, SECOND
from tests.sim.session import Numbers
from tests.stack.lone import ACK, FIN, RST, SYN, URG, Lone

HOST, PEER = "192.0.2.1", "192.0.2.2"
DAY = 86_400 * SECOND


class Connected:
    """Two hosts with a connection, on a path that the test can change."""

    def __init__(self, config: TCPConfig | None = None, *, delay: int = 10 * MS, iss: int | None = None) -> None:
        self.sim = sim = Simulation(1)
        stacks = [sim.stack(StackConfig(tcp=config or TCPConfig())) for _ in range(2)]
        path = Faults(delay=delay)
        self.link = sim.join(stacks[0], f"{HOST}/24", stacks[1], f"{PEER}/24", there=path, back=path)
        if iss is not None:
            for stack in stacks:
                stack.tcp.connections.numbers = Numbers(iss)
        listener = SimSocket.listening(sim, stacks[1], 7)
        self.near = SimSocket(sim, stacks[0].stream())
        connecting = self.near.connect((PEER, 7))
        self.far = sim.wait(listener.accept())
        sim.wait(connecting)
        listener.close()
        self.stacks = stacks

    def run(self, duration: int) -> None:
        end = self.sim.now + duration
        while self.sim.step(end):
            pass


# Silly windows after a closed one


def test_a_reader_of_single_octets_is_not_sent_single_octets() -> None:
    """RFC 9293 section 3.8.6.2: neither is a small window offered, nor used."""
    net = Connected(TCPConfig(receive_buffer=8192, receive_buffer_max=8192))
    net.near.sendall(bytes(30_000))
    net.run(SECOND)
    lines = (net.link.outbound, net.link.inbound)
    before = [line.counters["frames"] for line in lines]
    for _ in range(6000):
        assert net.sim.wait(net.far.recv(1))
        net.run(1 * MS)
    assert all(line.counters["frames"] - had < 60 for line, had in zip(lines, before, strict=True))


# A window that shrinks


def test_a_peer_that_takes_back_its_window_stalls_nobody() -> None:
    """RFC 9293 section 3.8.6: what is beyond the new edge is not lost, and goes when the window opens."""
    lone = Lone(StackConfig(tcp=TCPConfig(timestamps=False)))
    conn = lone.establish(window=5000)
    ack = lone.iss + 1
    conn.try_send(bytes(5000), lone.now)
    assert sum(len(sent.payload) for sent in lone.sent()) == 5000
    lone.segment(ACK, 1001, ack + 1460 & 0xFFFF_FFFF, window=100)
    lone.run(5)
    lone.sent()
    lone.segment(ACK, 1001, ack + 1460 & 0xFFFF_FFFF, window=20_000)
    arrived = 1460
    for _ in range(20):
        lone.run(2)
        for sent in lone.sent():
            start = sent.tcp.seq - ack & 0xFFFF_FFFF
            if start <= arrived:
                arrived = max(arrived, start + len(sent.payload))
        lone.segment(ACK, 1001, ack + arrived & 0xFFFF_FFFF, window=20_000)
    assert arrived == 5000
    assert not conn.unsent


# TIME-WAIT assassination


@pytest.mark.parametrize("flags", [RST, RST | ACK, SYN, ACK, FIN | ACK])
@pytest.mark.parametrize("offset", [-100, 0, 100])
def test_nothing_old_ends_time_wait(flags: wire.TCPFlags, offset: int) -> None:
    """RFC 1337, RFC 6191: neither a reset, nor an old duplicate and what it provokes. A new SYN needs a listener."""
    lone = Lone()
    conn = lone.establish()
    conn.close(lone.now)
    lone.segment(FIN | ACK, 1001, lone.iss + 2 & 0xFFFF_FFFF)
    lone.sent()
    lone.segment(flags, 1002 + offset & 0xFFFF_FFFF, lone.iss + 2 & 0xFFFF_FFFF)
    lone.sent()
    lone.run(30)
    lone.segment(FIN | ACK, 1001, lone.iss + 2 & 0xFFFF_FFFF)
    answers = lone.sent()
    assert [sent.tcp.flags for sent in answers] == [ACK]


# FINs and their ACKs that cross, or are lost


@pytest.mark.parametrize("there", [[], [Fate.LOSE], [Fate.DELIVER, Fate.LOSE], [Fate.LOSE, Fate.LOSE, Fate.LOSE]])
@pytest.mark.parametrize("back", [[], [Fate.LOSE], [Fate.DELIVER, Fate.LOSE], [Fate.DUPLICATE, Fate.LOSE, Fate.LOSE]])
def test_both_ends_close_at_once_and_both_finish(there: list[Fate], back: list[Fate]) -> None:
    net = Connected()
    net.run(SECOND)
    net.link.outbound.faults = Faults(delay=10 * MS, fates=tuple(there))
    net.link.inbound.faults = Faults(delay=10 * MS, fates=tuple(back))
    for sock in (net.near, net.far):
        sock.shutdown()
    for sock in (net.near, net.far):
        assert net.sim.wait(sock.recv(1)) == b""
        net.sim.wait(sock.acknowledged())
        sock.close()
    net.sim.run()
    assert [stack.tcp.flows for stack in net.stacks] == [[], []]


# A peer that has forgotten the connection


def test_a_keepalive_finds_out_that_the_peer_has_started_anew() -> None:
    net = Connected(TCPConfig(keepalive=True, keepalive_idle=60 * SECOND))
    net.link.inbound.faults = net.link.outbound.faults = Faults(loss=1)
    net.far.abort()
    net.run(SECOND)
    net.link.inbound.faults = net.link.outbound.faults = Faults(delay=10 * MS)
    waiting = net.near.recv(1)
    with pytest.raises(PeerReset):
        net.sim.wait(waiting)
    assert net.sim.now < 62 * SECOND


# PAWS after a long silence


@pytest.mark.parametrize("days", [1, 24, 25, 30, 49, 50])
def test_a_connection_outlives_any_silence(days: int) -> None:
    """RFC 7323 section 5.5: the clock of the timestamps passes 2**31 in 24.8 days."""
    net = Connected()
    net.sim.wait(net.near.sendall(b"before"))
    assert net.sim.wait(net.far.recv(10)) == b"before"
    for _ in range(days):
        net.run(DAY)
    for one, other in ((net.near, net.far), (net.far, net.near)):
        began = net.sim.now
        net.sim.wait(one.sendall(b"after"))
        assert net.sim.wait(other.recv(10)) == b"after"
        assert net.sim.now - began < SECOND


# SACK reneging


def test_a_peer_may_forget_what_it_reported_to_hold() -> None:
    """RFC 2018 section 8: after a timeout everything goes again that is not acknowledged."""
    lone = Lone(StackConfig(tcp=TCPConfig(timestamps=False)))
    conn = lone.establish(options=(wire.MaximumSegmentSize(1000), wire.SACKPermitted()))
    first = lone.iss + 1 & 0xFFFF_FFFF
    conn.try_send(bytes(5000), lone.now)
    lone.sent()
    held = wire.SACK(((first + 1000 & 0xFFFF_FFFF, first + 5000 & 0xFFFF_FFFF),))
    lone.segment(ACK, 1001, first, options=(held,))
    acknowledged, again = 0, set()
    for _ in range(30):
        lone.run(5)
        for sent in lone.sent():
            start = sent.tcp.seq - first & 0xFFFF_FFFF
            again.add(start)
            if start == acknowledged:
                acknowledged += len(sent.payload)
                lone.segment(ACK, 1001, first + acknowledged & 0xFFFF_FFFF)
    assert acknowledged == 5000
    assert again >= {0, 1000, 2000, 3000, 4000}


# RST in SYN-SENT


@pytest.mark.parametrize(("flags", "wrong"), [(RST, 0), (RST | ACK, 0), (RST | ACK, 2), (RST | ACK, 2**31)])
def test_a_reset_that_does_not_acknowledge_the_syn_refuses_nothing(flags: wire.TCPFlags, wrong: int) -> None:
    lone = Lone()
    client = lone.connect()
    (syn,) = lone.sent()
    lone.segment(flags, 0, syn.tcp.seq + wrong & 0xFFFF_FFFF)
    assert client.state is State.SYN_SENT
    lone.segment(RST | ACK, 0, syn.tcp.seq + 1 & 0xFFFF_FFFF)
    with pytest.raises(ConnectionRefusedError):
        client.try_connected(lone.now)


# Delayed ACKs against Nagle


def test_two_small_writes_and_a_read_wait_for_one_delayed_ack_at_most() -> None:
    config = TCPConfig(quick_acks=0, delayed_ack=40 * MS)
    net = Connected(config, delay=5 * MS)
    for _ in range(20):
        began = net.sim.now
        net.near.sendall(b"head")
        net.near.sendall(b"body")
        heard = b""
        while len(heard) < 8:
            heard += net.sim.wait(net.far.recv(10))
        net.far.sendall(b"answer")
        assert net.sim.wait(net.near.recv(10)) == b"answer"
        assert net.sim.now - began <= 4 * 5 * MS + 40 * MS


# Numbers half the circle away


@pytest.mark.parametrize("distance", [2**31 - 1, 2**31, 2**31 + 1])
def test_what_is_half_the_circle_away_is_neither_taken_nor_acknowledged(distance: int) -> None:
    lone = Lone(StackConfig(tcp=TCPConfig(timestamps=False)))
    conn = lone.establish()
    ack = lone.iss + 1 & 0xFFFF_FFFF
    conn.try_send(b"x", lone.now)
    lone.sent()
    for flags, seq, number in ((ACK, 1001 + distance, ack), (ACK, 1001, ack + distance), (RST, 1001 + distance, 0)):
        lone.segment(flags, seq & 0xFFFF_FFFF, number & 0xFFFF_FFFF, b"false")
    assert conn.state is State.ESTABLISHED
    assert conn.unsent == 1
    assert conn.try_recv(10, lone.now) is None


# An urgent pointer across the wrap


@pytest.mark.parametrize("before_wrap", range(6))
def test_urgent_data_is_found_where_the_numbers_wrap(before_wrap: int) -> None:
    net = Connected(iss=2**32 - 1 - before_wrap)
    net.sim.wait(net.near.sendall(b"ab"))
    net.sim.wait(net.near.sendall(b"!", socket.MSG_OOB))
    net.sim.wait(net.near.sendall(b"cd"))
    net.run(SECOND)
    assert net.sim.wait(net.far.recv(10)) == b"ab"
    assert net.far.endpoint.at_mark
    assert net.sim.wait(net.far.recv(1, socket.MSG_OOB)) == b"!"
    assert net.sim.wait(net.far.recv(10)) == b"cd"


@pytest.mark.parametrize("pointer", [0, 1, 5, 0xFFFF])
def test_an_urgent_pointer_to_nowhere_holds_up_nothing(pointer: int) -> None:
    """What it names may never come; every other octet is read all the same."""
    lone = Lone(StackConfig(tcp=TCPConfig(timestamps=False)))
    conn = lone.establish()
    ack = lone.iss + 1 & 0xFFFF_FFFF
    lone.segment(ACK | URG, 1001, ack, b"abc", urgent=pointer)
    lone.segment(FIN | ACK, 1004, ack)
    heard, left = b"", 10
    while data := conn.try_recv(10, lone.now):
        heard += data
        left -= 1
        assert left
    assert data == b""
    assert heard == (b"bc" if pointer == 1 else b"abc")
