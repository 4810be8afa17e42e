"""IP_OPTIONS, and what a source route changes for connections and datagrams (RFC 9293, section 3.9.2.1)."""

import socket

import pytest

from pystack import wire
from pystack.net.config import NetConfig
from pystack.stack.config import StackConfig
from pystack.stack.endpoint import Endpoint
from pystack.transport.tcp.state import State
from tests.stack.conftest import raises_errno
from tests.stack.lone import ACK, RST, SYN, Lone

IP_OPTIONS = (socket.IPPROTO_IP, getattr(socket, "IP_OPTIONS", 4))
OPEN = StackConfig(net=NetConfig(accept_source_routes=True))


def option(*hops: str, pointer: int = 4) -> wire.IPv4Option:
    addresses = b"".join(wire.IPv4Header(hop, hop).src.packed for hop in hops)
    return wire.IPv4Option(wire.IPv4Option.LOOSE_SOURCE_ROUTE, bytes([pointer]) + addresses)


def recorded(*hops: str) -> tuple[wire.IPv4Option, ...]:
    return (option(*hops, pointer=4 + 4 * len(hops)),)


def set_route(endpoint: Endpoint, *hops: str) -> bytes:
    octets = b"\1" + option(*hops).to_bytes() if hops else b""
    endpoint.setsockopt(*IP_OPTIONS, octets)
    return octets


def ways(lone: Lone) -> list[tuple[str, tuple[str, ...]]]:
    """Of each packet sent: where it goes first, and the stops after that."""
    seen = []
    for packet in lone.frames():
        header = wire.IPv4Header.from_bytes(packet)
        routes = [each for each in header.options if each.type == wire.IPv4Option.LOOSE_SOURCE_ROUTE]
        stops = [routes[0].data[at : at + 4] for at in range(1, len(routes[0].data), 4)] if routes else []
        seen.append((str(header.dst), tuple(socket.inet_ntoa(stop) for stop in stops)))
    return seen


@pytest.mark.parametrize("kind", ["stream", "datagram"])
def test_what_was_set_is_returned(kind: str) -> None:
    stack = Lone().stack
    endpoint: Endpoint = stack.stream() if kind == "stream" else stack.datagram()
    assert endpoint.getsockopt(*IP_OPTIONS, 40) == b""
    octets = set_route(endpoint, "192.0.2.11", "192.0.2.12")
    assert endpoint.getsockopt(*IP_OPTIONS, 40) == endpoint.getsockopt(*IP_OPTIONS) == octets
    assert endpoint.getsockopt(*IP_OPTIONS, 5) == octets[:5]
    for unfit in (1, b"\x83", b"\x07\x07\x04\0\0\0\0"):
        with raises_errno("EINVAL"):
            endpoint.setsockopt(*IP_OPTIONS, unfit)
    assert endpoint.getsockopt(*IP_OPTIONS, 40) == octets
    set_route(endpoint)
    assert endpoint.getsockopt(*IP_OPTIONS, 40) == b""


def test_segments_leave_room_for_the_route() -> None:
    """RFC 6691: what is announced does not know of it, what is sent is shorter (MUST-16)."""
    lone = Lone()
    client = lone.stack.stream()
    client.bind(("", 80), lone.now)
    set_route(client, "192.0.2.11", "192.0.2.12")
    client.connect((lone.peer, 5000), lone.now)
    (syn,) = lone.frames()
    ip = wire.IPv4Header.from_bytes(syn)
    tcp = wire.TCPHeader.from_bytes(syn[ip.size :])
    assert wire.MaximumSegmentSize(1460) in tcp.options
    lone.segment(SYN | ACK, 1000, tcp.seq + 1, options=(wire.MaximumSegmentSize(1460),))
    client.try_send(bytes(8000), lone.now)
    assert max(map(len, lone.frames())) == 1500


@pytest.mark.parametrize("passive", [False, True])
def test_a_connection_can_take_another_way_later(passive: bool) -> None:
    lone = Lone()
    if passive:
        conn = lone.establish()
        seq = lone.iss
    else:
        conn = lone.connect()
        seq = lone.establish_actively(conn)
    set_route(conn, "192.0.2.11")
    conn.try_send(bytes(20_000), lone.now)
    packets = lone.frames()
    assert {len(packet) for packet in packets} == {1500}
    assert {str(wire.IPv4Header.from_bytes(packet).dst) for packet in packets} == {"192.0.2.11"}
    set_route(conn)
    lone.segment(ACK, 1001, seq + 1 + 1448, window=0xFFFF)
    assert set(ways(lone)) == {(lone.peer, ())}


def test_a_way_that_cannot_be_gone_changes_nothing() -> None:
    lone = Lone()
    conn = lone.establish()
    with raises_errno("EINVAL"):
        set_route(conn, "224.0.0.1")
    assert conn.getsockopt(*IP_OPTIONS, 40) == b""
    conn.try_send(b"data", lone.now)
    assert ways(lone) == [(lone.peer, ())]


def test_what_accept_returns_has_its_listeners_route() -> None:
    """MUST-52, for an open that waits: the SYN's own route is overridden."""
    lone = Lone(OPEN)
    server = lone.stack.stream()
    octets = set_route(server, "192.0.2.11")
    server.bind(("", 80), lone.now)
    server.listen(1, lone.now)
    lone.segment(SYN, ip=lone.ip(options=recorded("192.0.2.12")))
    (frame,) = lone.frames()
    header = wire.IPv4Header.from_bytes(frame)
    assert str(header.dst) == "192.0.2.11"
    iss = wire.TCPHeader.from_bytes(frame[header.size :]).seq
    lone.segment(ACK, 1001, iss + 1, ip=lone.ip(options=recorded("192.0.2.12")))
    conn = server.try_accept(lone.now)
    assert conn is not None
    assert conn.getsockopt(*IP_OPTIONS, 40) == octets
    conn.try_send(b"data", lone.now)
    assert ways(lone) == [("192.0.2.11", (lone.peer,))]


def test_only_a_segment_in_the_window_changes_the_way() -> None:
    """Else a blind guess could lead a connection over anybody's host."""
    lone = Lone(OPEN)
    conn = lone.establish()
    for seq in (900, 1001 + (1 << 20)):
        lone.segment(ACK, seq, lone.iss + 1, b"data", ip=lone.ip(options=recorded("192.0.2.11")))
    conn.try_send(b"data", lone.now)
    assert {way for way, _ in ways(lone)} == {lone.peer}
    lone.segment(ACK, 1001, lone.iss + 5, ip=lone.ip(options=recorded("192.0.2.11")))
    conn.try_send(b"data", lone.now)
    lone.segment(ACK, 1001, lone.iss + 9)
    conn.try_send(b"data", lone.now)
    assert ways(lone) == [("192.0.2.11", (lone.peer,))] * 2


def test_an_active_connection_does_not_follow() -> None:
    """MUST-53 is about passive ones: who opens has chosen the way."""
    lone = Lone(OPEN)
    client = lone.connect()
    (syn,) = lone.sent()
    lone.segment(SYN | ACK, 1000, syn.tcp.seq + 1, ip=lone.ip(options=recorded("192.0.2.11")))
    assert client.state is State.ESTABLISHED
    assert ways(lone) == [(lone.peer, ())]


def test_a_refusal_goes_back_by_the_route() -> None:
    lone = Lone(OPEN)
    lone.segment(SYN, ip=lone.ip(options=recorded("192.0.2.11")))
    (frame,) = lone.frames()
    header = wire.IPv4Header.from_bytes(frame)
    assert str(header.dst) == "192.0.2.11"
    assert wire.TCPHeader.from_bytes(frame[header.size :]).flags & RST


def test_a_cookie_goes_back_by_the_route() -> None:
    lone = Lone(StackConfig(net=NetConfig(accept_source_routes=True), half_open_limit=0))
    server = lone.listen()
    ip = lone.ip(options=recorded("192.0.2.11"))
    lone.segment(SYN, ip=ip)
    (frame,) = lone.frames()
    iss = wire.TCPHeader.from_bytes(frame[wire.IPv4Header.from_bytes(frame).size :]).seq
    lone.segment(ACK, 1001, iss + 1, ip=ip)
    conn = server.try_accept(lone.now)
    assert conn is not None
    conn.try_send(b"data", lone.now)
    assert ways(lone) == [("192.0.2.11", (lone.peer,))]


def test_the_route_of_a_datagram() -> None:
    lone = Lone()
    udp = lone.stack.datagram()
    set_route(udp, "192.0.2.11", "192.0.2.12")
    udp.try_sendto(b"to", (lone.peer, 1), lone.now)
    with raises_errno("EMSGSIZE"):
        udp.try_sendto(bytes(1461), (lone.peer, 1), lone.now)
    udp.try_sendto(bytes(1460), (lone.peer, 1), lone.now)
    udp.connect((lone.peer, 1), lone.now)
    udp.try_sendto(b"connected", None, lone.now)
    assert ways(lone) == [("192.0.2.11", ("192.0.2.12", lone.peer))] * 3
    set_route(udp, "192.0.2.12")
    udp.try_sendto(b"another way", None, lone.now)
    set_route(udp)
    udp.try_sendto(b"straight", None, lone.now)
    assert ways(lone) == [("192.0.2.12", (lone.peer,)), (lone.peer, ())]
    with raises_errno("EINVAL"):
        set_route(udp, "127.0.0.1")
    udp.try_sendto(b"still straight", None, lone.now)
    assert ways(lone) == [(lone.peer, ())]


def test_a_datagrams_checksum_counts_with_the_final_destination() -> None:
    lone = Lone()
    udp = lone.stack.datagram()
    set_route(udp, "192.0.2.11")
    udp.try_sendto(b"data", (lone.peer, 1), lone.now)
    (packet,) = lone.frames()
    datagram = packet[wire.IPv4Header.from_bytes(packet).size :]
    pseudo = wire.PseudoHeader(lone.host, lone.peer, 17).to_bytes(len(datagram))
    assert wire.internet_checksum(pseudo + datagram) == 0
