"""What a TCP socket does, seen through its endpoint: two hosts on a cable in virtual time."""

import socket
import struct
from ipaddress import ip_address

import pytest

from pystack.errors import LinkDown, PeerReset
from pystack.stack.flow import Settings
from pystack.stack.stream import StreamEndpoint
from pystack.transport.tcp.state import State
from pystack.units import MS, SECOND
from tests.stack.conftest import LOOPBACK, Pair, raises_errno
from tests.stack.lone import ACK, Lone


def test_a_connection_carries_data_both_ways(pair: Pair) -> None:
    client, conn = pair.established()
    pair.send_all(client, b"question")
    assert pair.recv(conn) == b"question"
    pair.send_all(conn, b"answer")
    assert pair.recv(client) == b"answer"
    assert client.getpeername() == (pair.host_b, 80) == conn.getsockname()
    assert conn.getpeername() == client.getsockname()
    assert client.getsockname()[0] == pair.host_a


def test_a_megabyte_arrives_whole_in_both_directions_at_once(pair: Pair) -> None:
    client, conn = pair.established()
    upward, downward = bytes(range(256)) * 4096, bytes(range(255, -1, -1)) * 4096
    left = {client: memoryview(upward), conn: memoryview(downward)}
    got: dict[StreamEndpoint, bytearray] = {client: bytearray(), conn: bytearray()}

    def done() -> bool:
        for end in (client, conn):
            while left[end].nbytes and (taken := end.try_send(left[end], pair.now)):
                left[end] = left[end][taken:]
            while data := end.try_recv(1 << 16, pair.now):
                got[end] += data
        return len(got[client]) == len(downward) and len(got[conn]) == len(upward)

    pair.sim.run_until(done)
    assert got[conn] == upward
    assert got[client] == downward


def test_what_is_free_is_taken_but_who_found_nothing_waits_for_a_third() -> None:
    lone = Lone()
    conn = lone.establish()
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 15_000)
    piece = bytes(1000)
    taken = sum(iter(lambda: conn.try_send(piece, lone.now) or 0, 0))
    assert 0.9 * 30_000 < taken <= 30_000
    for acknowledged in (3000, 6000, 9000):
        assert not conn.writable
        assert conn.try_send(piece, lone.now) is None
        lone.segment(ACK, 1001, lone.iss + 1 + acknowledged & 0xFFFF_FFFF, window=65_535)
    lone.segment(ACK, 1001, lone.iss + 1 + 12_000 & 0xFFFF_FFFF, window=65_535)
    assert conn.writable
    again = sum(iter(lambda: conn.try_send(piece, lone.now) or 0, 0))
    assert 0.9 * 30_000 < taken + again - 12_000 <= 30_000


def test_close_is_an_end_of_stream_and_both_sides_come_to_rest(pair: Pair) -> None:
    client, conn = pair.established()
    pair.send_all(client, b"last words")
    client.close(pair.now)
    assert pair.recv_all(conn) == b"last words"
    conn.close(pair.now)
    pair.sim.run()
    assert pair.a.next_deadline() is None
    assert pair.b.next_deadline() is None
    assert pair.a.tcp.flows == pair.b.tcp.flows == []
    assert pair.now >= 60 * SECOND  # TIME-WAIT


def test_half_close_leaves_the_other_direction_open(pair: Pair) -> None:
    client, conn = pair.established()
    client.shutdown(socket.SHUT_WR, pair.now)
    assert pair.recv_all(conn) == b""
    pair.send_all(conn, b"still talking")
    assert pair.recv(client) == b"still talking"
    with pytest.raises(BrokenPipeError):
        client.try_send(b"x", pair.now)


def test_a_closed_port_refuses_at_once(pair: Pair) -> None:
    client = pair.a.stream()
    client.connect((pair.host_b, 81), pair.now)
    with pytest.raises(ConnectionRefusedError):
        pair.sim.wait(client.submit(client.try_connected, 10 * SECOND, pair.now))
    assert pair.now < 1 * MS
    assert pair.b.counters["tcp.no_socket"] == 1


def test_an_absent_neighbour_is_host_unreachable(pair: Pair) -> None:
    if pair.link_a.capabilities.mac is None:
        return  # nobody to ask on a medium without neighbours
    client = pair.a.stream()
    client.connect(("192.0.2.77", 80), pair.now)
    with pytest.raises(OSError, match="No route to host: nobody answers ARP"):
        pair.sim.wait(client.submit(client.try_connected, None, pair.now))


def test_no_route_is_network_unreachable(pair: Pair) -> None:
    with raises_errno("ENETUNREACH"):
        pair.a.stream().connect(("198.51.100.1", 80), pair.now)


def test_connecting_to_silence_times_out_at_the_operation_s_deadline(pair: Pair) -> None:
    pair.link_b.close()
    client = pair.a.stream()
    client.connect((pair.host_b, 80), pair.now)
    with pytest.raises(TimeoutError, match="timed out"):
        pair.sim.wait(client.submit(client.try_connected, 100 * MS, pair.now))
    assert pair.now == 100 * MS


def test_a_reset_is_an_error_for_every_call_that_follows(pair: Pair) -> None:
    client, conn = pair.established()
    pending = client.submit(lambda now: client.try_recv(10, now), None, pair.now)
    conn.abort(pair.now)
    with pytest.raises(PeerReset):
        pair.sim.wait(pending)
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            client.try_recv(10, pair.now)
    with pytest.raises(BrokenPipeError):
        client.try_send(b"x", pair.now)


def test_data_that_came_before_the_reset_is_read_before_the_error(pair: Pair) -> None:
    client, conn = pair.established()
    pair.send_all(conn, b"before")
    pair.run(0.1)
    conn.abort(pair.now)
    pair.run(0.1)
    assert client.try_recv(100, pair.now) == b"before"
    with pytest.raises(ConnectionResetError):
        client.try_recv(100, pair.now)


def test_a_stream_that_has_ended_stays_so_whatever_follows(pair: Pair) -> None:
    """The peer's FIN was the end; a reset behind it ends only what we would send."""
    client, conn = pair.established()
    pair.send_all(conn, b"all there is")
    conn.shutdown(socket.SHUT_WR, pair.now)
    pair.run(0.1)
    conn.abort(pair.now)
    pair.run(0.1)
    assert client.state is State.CLOSED
    assert client.try_recv(100, pair.now) == b"all there is"
    for _ in range(2):
        assert client.try_recv(100, pair.now) == b""
    with pytest.raises(BrokenPipeError):
        client.try_send(b"x", pair.now)


def test_closing_with_unread_data_resets_the_peer(pair: Pair) -> None:
    client, conn = pair.established()
    pair.send_all(client, b"nobody reads this")
    pair.run(0.1)
    conn.close(pair.now)
    with pytest.raises(ConnectionResetError):
        pair.recv(client)


def test_linger_zero_resets(pair: Pair) -> None:
    client, conn = pair.established()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close(pair.now)
    with pytest.raises(ConnectionResetError):
        pair.recv(conn)
    assert pair.a.tcp.flows == []


def test_shutting_down_reading_ends_a_pending_receive(pair: Pair) -> None:
    client, _ = pair.established()
    pending = client.submit(lambda now: client.try_recv(10, now), None, pair.now)
    client.shutdown(socket.SHUT_RD, pair.now)
    assert pending.result() == b""


def test_close_fails_what_is_pending_with_ebadf(pair: Pair) -> None:
    client, _ = pair.established()
    pending = client.submit(lambda now: client.try_recv(10, now), None, pair.now)
    client.close(pair.now)
    with raises_errno("EBADF"):
        pending.result()
    with raises_errno("EBADF"):
        client.try_recv(10, pair.now)


def test_the_backlog_bounds_what_waits_and_the_next_syn_gets_no_answer(pair: Pair) -> None:
    pair.listen(backlog=2)
    clients = [pair.connect() for _ in range(3)]  # one more than the backlog, as in Linux
    late = pair.a.stream()
    late.connect((pair.host_b, 80), pair.now)
    pair.run(0.5)
    assert late.state is State.SYN_SENT
    assert pair.b.counters["tcp.accept_queue_full"] >= 1
    assert all(client.state is State.ESTABLISHED for client in clients)


def test_a_late_connection_gets_in_when_one_is_accepted(pair: Pair) -> None:
    server = pair.listen(backlog=0)
    pair.connect()
    late = pair.a.stream()
    late.connect((pair.host_b, 80), pair.now)
    pair.run(0.5)
    pair.accept(server)
    assert pair.sim.wait(late.submit(late.try_connected, 10 * SECOND, pair.now))


def test_closing_a_listener_resets_what_nobody_accepted(pair: Pair) -> None:
    server = pair.listen()
    client = pair.connect()
    server.close(pair.now)
    with pytest.raises(ConnectionResetError):
        pair.recv(client)
    pair.sim.run()
    assert pair.b.tcp.flows == []


def test_half_open_connections_are_capped_and_end(pair: Pair) -> None:
    limit = pair.b.config.half_open_limit
    pair.listen(backlog=4096)
    pair.sim.wait(pair.a.ping(pair.host_b, pair.now))  # so that no SYN waits for ARP
    a, path = pair.a, pair.a.network.path(ip_address(pair.host_b).packed)
    for port in range(limit + 50):
        flow = a.tcp.open(path, 1024 + port, 80, Settings(a.config.tcp), pair.now)
        a.tcp.connections.remove(flow)  # a client that sends SYN and forgets it, and whose RST is lost
        pair.b.poll(pair.now)
    assert len(pair.b.tcp.flows) <= limit
    assert pair.b.counters["tcp.half_open_full"] > 0
    pair.sim.run()
    assert pair.b.tcp.flows == []


def test_connecting_twice_is_refused_locally(pair: Pair) -> None:
    client, _ = pair.established()
    with raises_errno("EISCONN"):
        client.connect((pair.host_b, 80), pair.now)


def test_calls_on_a_fresh_socket_say_that_it_is_not_connected(pair: Pair) -> None:
    fresh = pair.a.stream()
    for call in (
        lambda: fresh.try_recv(1, pair.now),
        lambda: fresh.shutdown(socket.SHUT_WR, pair.now),
        fresh.getpeername,
    ):
        with raises_errno("ENOTCONN"):
            call()
    with raises_errno("EPIPE"):
        fresh.try_send(b"x", pair.now)


def test_binding_says_what_is_taken_and_what_is_not_ours(pair: Pair) -> None:
    pair.listen(80)
    with raises_errno("EADDRINUSE"):
        pair.b.stream().bind(("", 80), pair.now)
    with raises_errno("EADDRNOTAVAIL"):
        pair.b.stream().bind((pair.host_a, 81), pair.now)
    with pytest.raises(OverflowError, match="0-65535"):
        pair.b.stream().bind(("", 65536), pair.now)


def test_a_host_talks_to_itself(pair: Pair) -> None:
    for name in (LOOPBACK[pair.version], pair.host_b):
        server = pair.listen(8080)
        client = pair.b.stream()
        client.connect((name, 8080), pair.now)
        conn = pair.accept(server)
        pair.send_all(client, b"self")
        assert pair.recv(conn) == b"self"
        for each in (client, conn, server):
            each.close(pair.now)
        pair.sim.run()


def test_when_the_link_dies_every_socket_on_it_fails(pair: Pair) -> None:
    server, waiting = pair.listen(81), None
    client, conn = pair.established()
    waiting = server.submit(server.try_accept, None, pair.now)
    pending = conn.submit(lambda now: conn.try_recv(10, now), None, pair.now)
    pair.link_b.close()
    pair.b.poll(pair.now)
    for operation in (pending, waiting):
        assert operation.done
        with pytest.raises(LinkDown):
            operation.result()
    with raises_errno("ENETDOWN"):
        conn.try_recv(10, pair.now)
    client.abort(pair.now)
    pair.sim.run()


def test_options_are_read_back_and_take_effect(pair: Pair) -> None:
    client, _ = pair.established()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, struct.pack("i", 7))
    assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7
    assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 4) == struct.pack("i", 7)
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == struct.pack("ii", 1, 5)
    with raises_errno("ENOPROTOOPT"):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)


def test_keepalive_finds_a_dead_peer(pair: Pair) -> None:
    client, _ = pair.established()
    for name, value in ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3)):
        client.setsockopt(socket.IPPROTO_TCP, name, value)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    pair.link_b.close()
    with raises_errno("ETIMEDOUT", "EHOSTUNREACH"):
        pair.recv(client)
    assert 20 * SECOND < pair.now < 40 * SECOND


def test_ports_are_not_given_out_again_at_once(pair: Pair) -> None:
    server = pair.listen()
    ports = []
    for _ in range(20):
        client = pair.connect()
        conn = pair.accept(server)
        ports.append(client.getsockname()[1])
        conn.close(pair.now)
        pair.run(0.01)
        client.close(pair.now)
        pair.run(0.01)
    assert len(set(ports)) == 20


def test_acknowledged_data_spares_the_neighbour_s_probes(pair: Pair) -> None:
    if pair.link_a.capabilities.mac is None:
        return  # no neighbours on this medium
    client, conn = pair.established()
    sent: list[bytes] = []
    pair.run(60)  # long enough for the neighbour to count as unconfirmed
    forward = pair.link_a.send
    pair.link_a.send = lambda frames, now: (  # type: ignore[method-assign]
        sent.extend(frame.to_bytes() for frame in frames) or forward(frames, now)
    )
    for _ in range(10):
        pair.send_all(client, b"x")
        assert pair.recv(conn) == b"x"
        pair.run(2)
    assert [frame for frame in sent if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\1"] == []  # no question


def test_the_number_of_syns_is_the_user_s(pair: Pair) -> None:
    client = pair.a.stream()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 2)
    assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT) == 2
    pair.sim.wait(pair.a.ping(pair.host_b, pair.now))
    pair.link_b.close()
    client.connect((pair.host_b, 80), pair.now)
    with raises_errno("ETIMEDOUT", "EHOSTUNREACH"):
        pair.sim.wait(client.submit(client.try_connected, None, pair.now))
    assert pair.now == 7 * SECOND or pair.link_a.capabilities.mac is not None


def test_how_long_fin_wait_2_lasts_is_the_user_s(pair: Pair) -> None:
    client, _conn = pair.established()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_LINGER2, 5)
    client.close(pair.now)
    pair.run(4.5)
    assert [flow.connection.state for flow in pair.a.tcp.flows] == [State.FIN_WAIT_2]
    pair.run(1)
    assert pair.a.tcp.flows == []
