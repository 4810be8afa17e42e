"""What a UDP socket does, seen through its endpoint."""

import errno
import socket

import pytest

from pystack.stack.datagram import DatagramEndpoint
from pystack.units import SECOND
from tests.stack.conftest import LOOPBACK, Pair


def receive(pair: Pair, endpoint: DatagramEndpoint, size: int = 65536) -> tuple[bytes, tuple[str, int]]:
    return pair.sim.wait(endpoint.submit(lambda now: endpoint.try_recvfrom(size, now), SECOND, pair.now))


def server(pair: Pair, port: int = 53) -> DatagramEndpoint:
    endpoint = pair.b.datagram()
    endpoint.bind(("", port), pair.now)
    return endpoint


def test_a_datagram_and_its_answer(pair: Pair) -> None:
    there, here = server(pair), pair.a.datagram()
    assert here.try_sendto(b"question", (pair.host_b, 53), pair.now) == 8
    data, sender = receive(pair, there)
    assert (data, sender[0]) == (b"question", pair.host_a)
    there.try_sendto(b"answer", sender, pair.now)
    assert receive(pair, here) == (b"answer", (pair.host_b, 53))
    assert here.getsockname()[1] == sender[1]


def test_boundaries_are_kept_and_empty_datagrams_exist(pair: Pair) -> None:
    there, here = server(pair), pair.a.datagram()
    for data in (b"one", b"", b"three"):
        here.try_sendto(data, (pair.host_b, 53), pair.now)
    assert [receive(pair, there)[0] for _ in range(3)] == [b"one", b"", b"three"]


def test_what_does_not_fit_the_reader_s_buffer_is_cut_off(pair: Pair) -> None:
    there, here = server(pair), pair.a.datagram()
    here.try_sendto(b"0123456789", (pair.host_b, 53), pair.now)
    pair.run(0.1)
    peeked = there.try_recvfrom(4, pair.now, socket.MSG_PEEK)
    assert peeked is not None
    assert peeked[0] == b"0123"
    assert receive(pair, there, 4)[0] == b"0123"
    assert there.try_recvfrom(10, pair.now) is None


def test_a_connected_socket_hears_only_its_peer(pair: Pair) -> None:
    here, peer, stranger = pair.a.datagram(), server(pair), server(pair, 54)
    here.connect((pair.host_b, 53), pair.now)
    stranger.try_sendto(b"stranger", here.getsockname(), pair.now)
    peer.try_sendto(b"peer", here.getsockname(), pair.now)
    assert receive(pair, here) == (b"peer", (pair.host_b, 53))
    assert here.getpeername() == (pair.host_b, 53)
    assert here.try_sendto(b"back", None, pair.now) == 4
    assert receive(pair, peer)[0] == b"back"


def test_a_closed_port_is_refused_to_a_connected_socket(pair: Pair) -> None:
    here = pair.a.datagram()
    here.connect((pair.host_b, 99), pair.now)
    here.try_sendto(b"anybody?", None, pair.now)
    with pytest.raises(ConnectionRefusedError):
        receive(pair, here)
    assert here.try_recvfrom(10, pair.now) is None  # told once
    assert pair.b.counters["udp.no_socket"] == 1


def test_the_receive_queue_is_bounded(pair: Pair) -> None:
    there, here = server(pair), pair.a.datagram()
    there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1150)  # and as much for what comes with it
    for _ in range(16):
        here.try_sendto(bytes(100), (pair.host_b, 53), pair.now)
    pair.run(0.1)
    assert pair.b.counters["udp.queue_full"] == 6
    assert sum(there.try_recvfrom(200, pair.now) is not None for _ in range(16)) == 10


def test_a_datagram_above_the_mtu_is_refused(pair: Pair) -> None:
    here = pair.a.datagram()
    room = 1500 - pair.ip_octets - 8
    here.try_sendto(bytes(room), (pair.host_b, 53), pair.now)
    with pytest.raises(OSError, match=f"{room + 1} octets; this path takes {room}") as caught:
        here.try_sendto(bytes(room + 1), (pair.host_b, 53), pair.now)
    assert caught.value.errno == errno.EMSGSIZE


def test_broadcast_needs_permission(pair: Pair) -> None:
    if pair.version == 6:
        return  # which has none
    there, here = server(pair), pair.a.datagram()
    with pytest.raises(PermissionError, match="SO_BROADCAST"):
        here.try_sendto(b"all", ("192.0.2.255", 53), pair.now)
    here.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    here.try_sendto(b"all", ("192.0.2.255", 53), pair.now)
    assert receive(pair, there)[0] == b"all"


def test_sending_nowhere_says_what_to_do(pair: Pair) -> None:
    with pytest.raises(OSError, match="connect first") as caught:
        pair.a.datagram().try_sendto(b"x", None, pair.now)
    assert caught.value.errno == errno.EDESTADDRREQ


def test_loopback(pair: Pair) -> None:
    there, here = server(pair), pair.b.datagram()
    here.try_sendto(b"self", (LOOPBACK[pair.version], 53), pair.now)
    assert receive(pair, there)[0] == b"self"


def test_close_frees_the_port(pair: Pair) -> None:
    server(pair).close(pair.now)
    server(pair)
    with pytest.raises(OSError, match="taken"):
        server(pair)
