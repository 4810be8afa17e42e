"""One limit for all sockets of a stack, and what gives way before acknowledged data would have to."""

import socket
from typing import Any

import pytest

from pystack.link.base import Medium
from pystack.stack.accounts import GUARANTEED
from pystack.stack.config import StackConfig
from pystack.stack.memory import MemoryBudget
from pystack.transport.tcp.config import TCPConfig
from pystack.transport.tcp.segment import Segment
from pystack.transport.tcp.sendbuffer import PIECE_COST
from pystack.units import SECOND
from tests.stack.conftest import Pair, make_pair
from tests.stack.lone import ACK, FIN, Lone


def small(limit: int, **tcp: Any) -> Pair:
    return make_pair(1, Medium.IP, StackConfig(memory_limit=limit, tcp=TCPConfig(**tcp)))


def test_pressure_rises_in_steps() -> None:
    budget = MemoryBudget(1600)
    seen = []
    for used in (0, 1199, 1200, 1399, 1400, 1499, 1500, 1599, 1600):
        budget.used = used
        seen.append(budget.growth_stops + budget.drops_out_of_order + budget.refuses_connections + budget.exhausted)
    assert seen == [0, 0, 1, 1, 2, 2, 3, 3, 4]


def test_what_is_held_is_charged_and_given_back(pair: Pair) -> None:
    client, conn = pair.established()
    assert pair.a.memory.used == pair.b.memory.used == 0
    pair.send_all(client, bytes(50_000))
    pair.run(0.5)
    assert 50_000 < pair.b.memory.used < 60_000
    assert pair.recv(conn, 1 << 20)
    assert pair.b.memory.used == 0
    pair.send_all(conn, bytes(30_000))
    pair.run(0.5)
    client.close(pair.now)
    conn.close(pair.now)
    pair.sim.run()
    assert pair.a.memory.used == pair.b.memory.used == 0


def test_many_connections_that_nobody_reads_stay_under_the_limit_and_lose_nothing() -> None:
    limit = 1_000_000
    pair = small(limit)
    server = pair.listen(backlog=100)
    clients = [pair.connect() for _ in range(20)]
    conns = [pair.accept(server) for _ in clients]
    sent = [0] * len(clients)
    for _ in range(40):
        for index, client in enumerate(clients):
            sent[index] += client.try_send(bytes([index]) * 65536, pair.now) or 0
        pair.run(0.2)
        assert pair.b.memory.used < limit + 70_000
    for client in clients:
        client.shutdown(1, pair.now)
    for index, conn in enumerate(conns):
        assert pair.recv_all(conn) == bytes([index]) * sent[index]


def test_what_users_send_stays_under_the_limit_and_arrives() -> None:
    """Each buffer may be as large as half of the limit, and peers that do not read keep them full."""
    limit = 131_072
    pair = small(limit, send_buffer=65_536, receive_buffer=4096, receive_buffer_max=4096)
    server = pair.listen(backlog=100)
    clients = [pair.connect() for _ in range(6)]
    conns = [pair.accept(server) for _ in clients]
    sent = [0] * len(clients)
    for _ in range(20):
        for index, client in enumerate(clients):
            sent[index] += client.try_send(bytes([index]) * 65_536, pair.now) or 0
        pair.run(0.2)
        assert limit - 4096 < pair.a.memory.used <= limit + len(clients) * (GUARANTEED + PIECE_COST)
    assert min(sent) >= GUARANTEED
    assert not any(client.writable for client in clients)
    for index, (client, conn) in enumerate(zip(clients, conns, strict=True)):
        client.shutdown(1, pair.now)
        assert client.writable
        assert pair.recv_all(conn) == bytes([index]) * sent[index]


def test_a_sender_that_waited_for_memory_goes_on_when_there_is_some() -> None:
    pair = small(131_072, send_buffer=65_536)
    client, conn = pair.established()
    pair.a.memory.used += 131_072
    pair.send_all(client, bytes(60_000))
    pair.a.memory.used -= 131_072
    client.shutdown(1, pair.now)
    assert len(pair.recv_all(conn)) == 60_000


def test_send_buffers_do_not_grow_when_memory_is_short() -> None:
    pair = small(1_000_000)
    client, conn = pair.established()
    connection = pair.a.tcp.flows[0].connection
    space = connection.send_space
    pair.a.memory.used += 750_000
    pair.send_all(client, b"x")
    for _ in range(30):
        pair.send_all(client, bytes(20_000))
        pair.run(0.1)
        pair.recv(conn, 1 << 20)
    assert 2 * connection.info().cwnd > space
    assert connection.send_space == space
    pair.a.memory.used -= 750_000
    for _ in range(10):
        pair.send_all(client, bytes(space // 2))
        pair.run(0.1)
        pair.recv(conn, 1 << 20)
    assert connection.send_space > space


def test_two_hosts_full_of_what_they_send_still_take_what_they_are_sent() -> None:
    pair = small(131_072, send_buffer=65_536)
    server = pair.listen(backlog=100)
    clients = [pair.connect() for _ in range(4)]
    conns = [pair.accept(server) for _ in clients]
    everybody = clients + conns
    left, heard = [200_000] * len(everybody), [0] * len(everybody)
    end = pair.now + 600 * SECOND
    while min(heard) < 200_000:
        assert pair.now < end
        for index, endpoint in enumerate(everybody):
            left[index] -= (endpoint.try_send(bytes(left[index]), pair.now) or 0) if left[index] else 0
        pair.run(0.05)
        for index, endpoint in enumerate(everybody):
            heard[index] += len(endpoint.try_recv(1 << 20, pair.now) or b"")


def test_no_buffer_gets_more_than_its_share_of_memory() -> None:
    limit = 2_000_000
    pair = small(limit)
    client, conn = pair.established()
    for turn in range(100):
        client.try_send(bytes(limit), pair.now)
        pair.run(0.05)
        if turn < 50:  # the send buffer grows with the window
            pair.recv(conn, 1 << 20)
    assert limit // 16 < pair.a.memory.used <= limit // 8
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        client.setsockopt(socket.SOL_SOCKET, option, limit)
        assert client.getsockopt(socket.SOL_SOCKET, option) == limit // 8


def test_syns_are_refused_when_memory_is_short() -> None:
    pair = small(100_000)
    server = pair.listen()
    client = pair.connect()
    pair.accept(server)
    pair.b.memory.used += 95_000
    late = pair.a.stream()
    late.connect((pair.host_b, 80), pair.now)
    assert late.try_connected(pair.now) is None
    pair.run(0.5)
    assert late.try_connected(pair.now) is None
    assert pair.b.counters["tcp.memory"] >= 1
    pair.b.memory.used -= 95_000
    pair.run(3)
    assert late.try_connected(pair.now)
    client.close(pair.now)


def test_the_oldest_orphan_goes_first() -> None:
    pair = small(1_000_000)
    pair.listen()
    clients = [pair.connect() for _ in range(3)]
    for client in clients:
        client.try_send(bytes(16_000), pair.now)
    pair.link_b.close()
    for client in clients[:2]:
        client.try_send(bytes(1000), pair.now)
        client.close(pair.now)
    orphans = list(pair.a.tcp.accounts._orphans)
    pair.a.memory.used += 1_000_000
    clients[2].try_send(b"x", pair.now)
    pair.a.poll(pair.now)
    assert pair.a.counters["tcp.orphan_dropped"] >= 1
    assert orphans[0].key not in [flow.key for flow in pair.a.tcp.flows]


@pytest.mark.parametrize("size", [1, 500])
def test_small_segments_out_of_order_cost_no_more_than_the_budget(size: int) -> None:
    """A hostile peer fills the window with pieces that cannot be joined."""
    pair = small(1_000_000, receive_buffer=200_000)
    client, conn = pair.established()
    flow = pair.b.tcp.flows[0]
    machine = flow.connection
    for number in range(5000):
        seq = machine.rcv_nxt + 2 + number * (size + 1)
        machine.on_segment(
            Segment(seq & 0xFFFFFFFF, machine.snd_nxt & 0xFFFFFFFF, ACK, 1000, (bytes(size),), size), pair.now
        )
    assert machine.memory <= 200_000
    assert client.state is conn.state


def test_datagrams_are_charged_and_dropped_when_memory_is_short(pair: Pair) -> None:
    there, here = pair.b.datagram(), pair.a.datagram()
    there.bind(("", 53), pair.now)
    for _ in range(3):
        here.try_sendto(bytes(100), (pair.host_b, 53), pair.now)
    pair.run(0.1)
    assert pair.b.memory.used == 3 * 228
    assert there.try_recvfrom(100, pair.now)
    assert pair.b.memory.used == 2 * 228
    pair.b.memory.used += pair.b.memory.limit
    here.try_sendto(b"x", (pair.host_b, 53), pair.now)
    pair.run(0.1)
    assert pair.b.counters["udp.queue_full"] == 1
    pair.b.memory.used -= pair.b.memory.limit
    there.close(pair.now)
    assert pair.b.memory.used == 0


def test_windows_that_close_for_good_hold_little_and_are_asked_ever_less_often() -> None:
    """Peers that take enough to let the send buffers grow, and then nothing: what waits for each is no more than its
    buffer, and the intervals between probes double up to two minutes (RFC 9293 section 3.8.6.1)."""
    pair = small(16_000_000, receive_buffer=20_000, receive_buffer_max=20_000, send_buffer_max=30_000)
    server = pair.listen(backlog=300)
    clients = [pair.connect() for _ in range(200)]
    conns = [pair.accept(server) for _ in clients]
    for number in range(20):
        for client, conn in zip(clients, conns, strict=True):
            client.try_send(bytes(65536), pair.now)
            if number < 10:
                conn.try_recv(1 << 20, pair.now)
        pair.run(0.1)
        assert pair.a.memory.used <= 200 * 32_000
    pair.run(1800)
    before = sum(flow.connection.info().segments_out for flow in pair.a.tcp.flows)
    held = pair.a.memory.used
    pair.run(3600)
    assert len(pair.a.tcp.flows) == 200
    probes = sum(flow.connection.info().segments_out for flow in pair.a.tcp.flows) - before
    assert 200 * 29 <= probes <= 200 * 31
    assert pair.a.memory.used == held <= 200 * 32_000
    for client, conn in zip(clients[:3], conns, strict=False):
        conn.try_recv(1 << 20, pair.now)
        pair.run(1)
        assert client.writable


def test_without_memory_for_its_text_a_segment_still_acknowledges() -> None:
    lone = Lone()
    conn = lone.establish()
    assert conn.try_send(b"question", lone.now) == 8
    asked = lone.iss + 9 & 0xFFFF_FFFF
    lone.sent()
    lone.segment(ACK, 1001, lone.iss + 1 & 0xFFFF_FFFF, bytes(GUARANTEED // 4), window=65_535)
    for number in range(1, 4):
        lone.segment(ACK, 1001 + number * GUARANTEED // 4, lone.iss + 1 & 0xFFFF_FFFF, bytes(GUARANTEED // 4))
    lone.stack.memory.used += lone.stack.memory.limit
    lone.sent()
    lone.segment(ACK | FIN, 1001 + GUARANTEED, asked, b"answer")
    assert lone.stack.counters["tcp.memory"] == 1
    assert conn.unsent == 0
    assert lone.sent() == []
    lone.stack.memory.used -= lone.stack.memory.limit
    lone.segment(ACK | FIN, 1001 + GUARANTEED, asked, b"answer")
    assert conn.try_recv(1 << 20, lone.now) == bytes(GUARANTEED) + b"answer"
    assert conn.try_recv(1, lone.now) == b""
