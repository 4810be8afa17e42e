"""TCP_INFO as octets, and the send MSS beside IP options."""

import socket
import struct

import pytest

from pystack import wire
from pystack.units import SECOND
from tests.stack.lone import ACK, Lone

INFO = (socket.IPPROTO_TCP, getattr(socket, "TCP_INFO", 11))


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def lone(request: pytest.FixtureRequest) -> Lone:
    return Lone(version=request.param)


def test_tcp_info_has_linux_s_layout(lone: Lone) -> None:
    conn = lone.establish()
    conn.try_send(bytes(1000), lone.now)
    lone.segment(ACK, 1001, lone.iss + 1001, bytes(300))
    raw = conn.getsockopt(*INFO, 400)
    assert isinstance(raw, bytes)
    assert len(raw) == 240
    assert raw[0] == 1  # ESTABLISHED
    (snd_mss,) = struct.unpack_from("=I", raw, 16)
    assert snd_mss == conn.info().snd_mss
    assert struct.unpack_from("=I", raw, 60) == (1500,)  # pmtu
    segs_out, segs_in, unsent, _, data_in, data_out = struct.unpack_from("=6I", raw, 136)
    assert (segs_in, unsent, data_in, data_out) == (3, 0, 1, 1)
    assert segs_out == conn.info().segments_out
    assert struct.unpack_from("=QQ", raw, 200) == (1000, 0)  # octets sent, of them again
    assert conn.getsockopt(*INFO, 7) == raw[:7]


def test_tcp_info_of_what_was_sent_since_the_last_poll(lone: Lone) -> None:
    conn = lone.establish()
    conn.try_send(b"later", lone.now + SECOND)
    raw = conn.getsockopt(*INFO, 240)
    assert isinstance(raw, bytes)
    assert struct.unpack_from("=I", raw, 44) == (0,)  # last data sent, ms ago


def test_ages_in_tcp_info_grow_while_nothing_happens(lone: Lone) -> None:
    conn = lone.establish()
    lone.run(5)
    raw = conn.getsockopt(*INFO, 240)
    assert isinstance(raw, bytes)
    assert struct.unpack_from("=I", raw, 56) == (5000,)  # last ACK received, ms ago


def test_tcp_info_without_a_connection_is_the_state(lone: Lone) -> None:
    fresh, server = lone.stack.stream(), lone.listen()
    for sock, state in ((fresh, 7), (server, 10)):
        raw = sock.getsockopt(*INFO, 240)
        assert isinstance(raw, bytes)
        assert raw[0] == state
        assert not any(raw[1:104])


def test_resent_octets_are_counted_again(lone: Lone) -> None:
    conn = lone.establish()
    conn.try_send(bytes(500), lone.now)
    lone.run(1.2)
    info = conn.info()
    assert info.octets_retransmitted == 500 * (info.data_segments_out - 1) > 0
    assert info.octets_sent == 500 + info.octets_retransmitted


def test_ip_options_come_off_what_the_peer_takes() -> None:
    """MUST-16, RFC 6691: the peer's MSS does not count them, though its path may take more than it."""
    lone = Lone()
    client = lone.stack.stream()
    client.bind(("", 80), lone.now)
    client.setsockopt(socket.IPPROTO_IP, 4, bytes([1, 131, 7, 4, *map(int, lone.peer.split("."))]))
    client.connect((lone.peer, 5000), lone.now)
    (syn,) = lone.sent()
    assert wire.MaximumSegmentSize(1460) in syn.tcp.options
    lone.segment(wire.TCPFlags.SYN | ACK, 1000, syn.tcp.seq + 1, options=(wire.MaximumSegmentSize(600),))
    assert client.info().snd_mss == 600 - 8
