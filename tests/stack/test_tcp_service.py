"""What becomes of segments that belong to no living connection, of ICMP errors, and of connections without a user."""

import errno
import gc
import socket
import weakref
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from pystack import wire
from pystack.link.base import Checksum, Frame, LinkCapabilities, Medium, Offload
from pystack.link.memory import MemoryLink
from pystack.sim.simulation import Simulation
from pystack.stack.config import StackConfig
from pystack.stack.stack import Stack
from pystack.stack.stream import StreamEndpoint
from pystack.transport.tcp.config import TCPConfig
from pystack.transport.tcp.state import State
from pystack.units import MS
from tests.stack.conftest import Pair, make_pair, raises_errno

HOST, PEER = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
HOST6, PEER6 = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")


class Crafted:
    """A stack whose only neighbour is the test: packets in and out are written and read by hand."""

    def __init__(self, config: StackConfig | None = None, version: int = 4) -> None:
        self.sim = Simulation(1)
        self.version = version
        self.ip_octets = 20 if version == 4 else 40
        self.mss = 1500 - self.ip_octets - 20
        self.peer = PEER if version == 4 else PEER6
        near, self.far = MemoryLink.pair(medium=Medium.IP)
        self.stack = self.sim.stack(config)
        self.stack.add_interface(near, "192.0.2.1/24" if version == 4 else "2001:db8::1/64")

    def packet(self, *layers: wire.Header | bytes) -> bytes:
        """A packet from the peer."""
        if self.version == 4:
            return wire.build(wire.IPv4Header(src=PEER, dst=HOST, protocol=6), *layers)
        return wire.build(wire.IPv6Header(src=PEER6, dst=HOST6, next_header=6), *layers)

    def inject(self, packet: bytes, offload: Offload | None = None) -> None:
        self.far.send([Frame((packet,), offload)], self.sim.now)
        self.sim.step(self.sim.now)

    def tcp(self, **fields: Any) -> None:
        header = wire.TCPHeader(**{"src_port": 5000, "dst_port": 80, "seq": 1000, "ack": 0, "window": 65535, **fields})
        self.inject(self.packet(header, b""))

    def sent(self) -> list[tuple[wire.TCPHeader, bytes]]:
        """TCP segments that the stack has sent since the last call."""
        segments = []
        for frame in self.far.receive(100, self.sim.now):
            data = frame.to_bytes()
            assert data[9 if self.version == 4 else 6] == 6
            header = wire.TCPHeader.from_bytes(data[self.ip_octets :])
            segments.append((header, data[self.ip_octets + header.size :]))
        return segments

    def listen(self) -> StreamEndpoint:
        server = self.stack.stream()
        server.bind(("", 80), self.sim.now)
        server.listen(8, self.sim.now)
        return server

    def establish(self) -> StreamEndpoint:
        """A connection accepted from port 5000 of the peer, whose next octet is 1001."""
        server = self.listen()
        self.tcp(flags=wire.TCPFlags.SYN, options=(wire.MaximumSegmentSize(self.mss),))
        ((answer, _),) = self.sent()
        self.iss = answer.seq
        self.tcp(flags=wire.TCPFlags.ACK, seq=1001, ack=self.iss + 1)
        conn = server.try_accept(self.sim.now)
        assert conn is not None
        server.close(self.sim.now)
        return conn

    def quote(self, seq: int) -> bytes:
        """The first octets of a segment of ours, as an ICMP error would quote it."""
        segment = wire.TCPHeader(80, 5000, seq, 0, wire.TCPFlags.ACK, 1000).to_bytes()
        if self.version == 4:
            return wire.IPv4Header(src=HOST, dst=PEER, protocol=6, total_length=1500).to_bytes() + segment
        return wire.IPv6Header(src=HOST6, dst=PEER6, next_header=6, payload_length=1460).to_bytes() + segment

    def told(self, error: str, quote: bytes) -> None:
        """An ICMP error about a packet of the stack's, each version's own "host" or "port" unreachable."""
        if self.version == 4:
            self.inject(self.packet(wire.ICMPv4Message.unreachable({"host": 1, "port": 3}[error], quote)))
        else:
            self.inject(self.packet(wire.ICMPv6Message.unreachable({"host": 3, "port": 4}[error], quote)))

    def told_too_big(self, mtu: int, quote: bytes) -> None:
        if self.version == 4:
            self.inject(self.packet(wire.ICMPv4Message.unreachable(4, quote, mtu)))
        else:
            self.inject(self.packet(wire.ICMPv6Message.packet_too_big(mtu, quote)))


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def host(version: int) -> Crafted:
    return Crafted(version=version)


def test_a_segment_for_nobody_is_reset_with_its_own_ack(host: Crafted) -> None:
    host.tcp(flags=wire.TCPFlags.ACK, ack=777)
    ((reset, _),) = host.sent()
    assert (reset.flags, reset.seq) == (wire.TCPFlags.RST, 777)


def test_a_syn_for_nobody_is_reset_and_acknowledged(host: Crafted) -> None:
    host.tcp(flags=wire.TCPFlags.SYN)
    ((reset, _),) = host.sent()
    assert (reset.flags, reset.seq, reset.ack) == (wire.TCPFlags.RST | wire.TCPFlags.ACK, 0, 1001)


def test_a_reset_for_nobody_is_not_answered(host: Crafted) -> None:
    host.tcp(flags=wire.TCPFlags.RST)
    assert host.sent() == []


def test_a_listener_answers_nothing_but_a_syn(host: Crafted) -> None:
    host.listen()
    host.tcp(flags=wire.TCPFlags.FIN)
    host.tcp(flags=wire.TCPFlags.RST)
    assert host.sent() == []
    host.tcp(flags=wire.TCPFlags.ACK, ack=5)
    ((reset, _),) = host.sent()
    assert reset.flags == wire.TCPFlags.RST


def test_a_bad_checksum_is_dropped_and_counted_unless_the_link_vouches(host: Crafted) -> None:
    good = host.packet(wire.TCPHeader(1, 2, 3, 0, wire.TCPFlags.SYN, 0), b"")
    at = host.ip_octets + 16
    bad = good[:at] + bytes((good[at] ^ 1,)) + good[at + 1 :]
    host.inject(bad)
    assert host.sent() == []
    assert host.stack.counters["tcp.checksum"] == 1
    for vouched in (Checksum.VERIFIED, Checksum.PARTIAL):
        host.inject(bad, Offload(vouched))
        assert len(host.sent()) == 1


def test_garbage_is_counted_by_its_reason(host: Crafted) -> None:
    host.inject(host.packet(b"short"))
    assert host.stack.counters["tcp.short"] == 1


def test_an_error_about_a_segment_in_flight_lowers_the_path_mtu_and_what_was_sent_is_cut_anew(host: Crafted) -> None:
    conn = host.establish()
    conn.try_send(bytes(4000), host.sim.now)
    assert [len(data) for _, data in host.sent()] == [host.mss, host.mss, 4000 - 2 * host.mss]
    host.told_too_big(1300, host.quote(host.iss + 1))
    assert len(host.sent()[0][1]) == host.mss - 200
    assert conn.info().snd_mss == host.mss - 200


@pytest.mark.parametrize("offset", [-1, 1_000_000])
def test_an_error_that_quotes_nothing_in_flight_is_not_believed(host: Crafted, offset: int) -> None:
    conn = host.establish()
    conn.try_send(bytes(4000), host.sim.now)
    host.sent()
    host.told_too_big(1300, host.quote(host.iss + 1 + offset))
    assert conn.info().snd_mss == host.mss
    assert host.stack.counters["tcp.error_out_of_window"] == 1


def test_a_hard_error_does_not_end_an_established_connection(host: Crafted) -> None:
    conn = host.establish()
    conn.try_send(b"x", host.sim.now)
    host.told("port", host.quote(host.iss + 1))
    assert conn.state is State.ESTABLISHED


def test_another_connection_s_path_mtu_is_respected(host: Crafted) -> None:
    conn = host.establish()
    host.stack.network.lower_path_mtu(host.peer.packed, 1300, host.sim.now)
    conn.try_send(bytes(3 * (host.mss - 200)), host.sim.now)
    assert [len(data) for _, data in host.sent()] == [host.mss - 200] * 3


def test_a_hard_error_ends_an_opening_connection_and_names_the_reporter(host: Crafted) -> None:
    client = host.stack.stream()
    client.bind(("", 80), host.sim.now)
    client.connect((str(host.peer), 5000), host.sim.now)
    ((syn, _),) = host.sent()
    host.told("port", host.quote(syn.seq))
    with pytest.raises(ConnectionRefusedError, match=f"{host.peer} reports it"):
        client.try_connected(host.sim.now)


def test_a_soft_error_names_the_errno_when_connecting_times_out(version: int) -> None:
    host = Crafted(StackConfig(tcp=TCPConfig(syn_retries=2)), version)
    client = host.stack.stream()
    client.bind(("", 80), host.sim.now)
    client.connect((str(host.peer), 5000), host.sim.now)
    ((syn, _),) = host.sent()
    host.told("host", host.quote(syn.seq))
    assert client.try_connected(host.sim.now) is None
    with raises_errno("EHOSTUNREACH"):
        host.sim.wait(client.submit(client.try_connected, None, host.sim.now))


def make_lingering(pair: Pair) -> tuple[StreamEndpoint, int]:
    """A listener on `b`, and the client port of a connection whose TIME-WAIT `b` keeps."""
    server = pair.listen()
    client = pair.connect()
    port = client.getsockname()[1]
    conn = pair.accept(server)
    conn.close(pair.now)
    pair.run(0.01)
    client.close(pair.now)
    pair.run(0.01)
    assert pair.b.tcp.flows == []
    assert len(pair.b.tcp.connections.lingering) == 1
    return server, port


def test_time_wait_is_a_record_that_a_new_syn_may_replace(pair: Pair) -> None:
    server, port = make_lingering(pair)
    pair.run(1.5)
    again = pair.a.stream()
    again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    again.bind(("", port), pair.now)
    again.connect((pair.host_b, 80), pair.now)
    assert pair.sim.wait(again.submit(again.try_connected, 500 * MS, pair.now))
    pair.send_all(again, b"fresh")
    assert pair.recv(pair.accept(server)) == b"fresh"
    assert pair.b.tcp.connections.lingering == {}


def test_a_connection_that_has_ended_leaves_nothing_to_the_collector(pair: Pair) -> None:
    server = pair.listen()
    gc.collect()
    gc.disable()
    try:
        client, conn = pair.connect(), pair.accept(server)
        living = [weakref.ref(each) for each in (client, conn, *pair.a.tcp.flows, *pair.b.tcp.flows)]
        conn.close(pair.now)
        pair.run(0.01)
        client.close(pair.now)
        pair.run(0.01)
        (lingering,) = map(weakref.ref, pair.b.tcp.connections.lingering.values())
        del client, conn
        assert [each() for each in living] == [None] * 4
        pair.sim.run()
        assert lingering() is None
    finally:
        gc.enable()


def test_time_wait_records_are_capped_oldest_first() -> None:
    pair = make_pair(1, Medium.IP, StackConfig(time_wait_limit=3))
    server = pair.listen()
    for _ in range(5):
        client = pair.connect()
        pair.accept(server).close(pair.now)
        pair.run(0.01)
        client.close(pair.now)
        pair.run(0.01)
    assert len(pair.b.tcp.connections.lingering) == 3
    assert pair.b.counters["tcp.time_wait_evicted"] == 2
    pair.sim.run()
    assert pair.b.tcp.connections.lingering == {}
    assert pair.b.next_deadline() is None


def test_time_wait_that_began_before_its_user_left_ends_with_that_of_others(pair: Pair) -> None:
    server = pair.listen()
    early, late = pair.connect(), pair.connect()
    first, second = pair.accept(server), pair.accept(server)
    first.shutdown(socket.SHUT_WR, pair.now)
    pair.run(0.01)
    early.close(pair.now)
    pair.run(20)  # `first` is in TIME-WAIT, and its user still there
    second.close(pair.now)
    pair.run(0.01)
    late.close(pair.now)
    pair.run(0.01)
    first.close(pair.now)
    assert len(pair.b.tcp.connections.lingering) == 2
    pair.run(50)
    assert len(pair.b.tcp.connections.lingering) == 2
    pair.run(10)
    assert not pair.b.tcp.connections.lingering
    assert pair.b.next_deadline() is None


def test_the_connection_limit_holds_on_both_sides() -> None:
    pair = make_pair(1, Medium.IP, StackConfig(connection_limit=2))
    pair.listen()
    for _ in range(2):
        pair.connect()
    with pytest.raises(OSError, match="connection_limit") as caught:
        pair.a.stream().connect((pair.host_b, 80), pair.now)
    assert caught.value.errno == errno.ENOBUFS


def test_an_orphan_whose_peer_keeps_the_window_closed_is_dropped_after_a_minute(pair: Pair) -> None:
    client, conn = pair.established()
    while client.try_send(bytes(1 << 16), pair.now):
        pair.run(0.05)
    client.close(pair.now)
    pair.run(200)
    assert pair.a.tcp.flows == []
    with pytest.raises(ConnectionResetError):
        pair.recv_all(conn)


def test_a_link_that_shares_its_host_is_silent_about_strangers() -> None:
    near, far = MemoryLink.pair(medium=Medium.IP)
    near._capabilities = LinkCapabilities(Medium.IP, 1500, shares_host=True)
    sim = Simulation(1)
    stack: Stack = sim.stack()
    stack.add_interface(near, "192.0.2.1/24")
    for header in (
        wire.TCPHeader(1, 2, 3, 0, wire.TCPFlags.SYN, 0),
        wire.UDPHeader(1, 2),
        wire.ICMPv4Message.echo_request(1, 1),
    ):
        protocol = {wire.TCPHeader: 6, wire.UDPHeader: 17, wire.ICMPv4Message: 1}[type(header)]
        packet = wire.build(wire.IPv4Header(src=PEER, dst=HOST, protocol=protocol), header, b"")
        far.send([Frame((packet,))], sim.now)
        sim.step(sim.now)
    assert far.receive(10, sim.now) == []


def test_stopping_a_host_ends_in_order_what_can_be_ended(pair: Pair) -> None:
    client, conn = pair.established()
    pair.send_all(client, bytes(100_000))
    waiting = client.submit(lambda now: client.try_recv(1, now), None, pair.now)
    pair.a.close(pair.now)
    with raises_errno("EBADF"):
        waiting.result()
    assert pair.a.unfinished
    assert len(pair.recv_all(conn)) == 100_000
    assert not pair.a.unfinished
    pair.a.drop(pair.now)
    assert pair.a.tcp.flows == []


def test_dropping_a_host_resets_what_is_not_finished(pair: Pair) -> None:
    client, conn = pair.established()
    pair.listen(81)
    pair.b.close(pair.now)
    pair.b.drop(pair.now)
    pair.a.drop(pair.now)
    pair.sim.run()
    for stack in (pair.a, pair.b):
        assert stack.tcp.flows == []
        assert stack.next_deadline() is None
    assert client.state is State.CLOSED
    assert conn.closed


def flooded(version: int) -> tuple[Crafted, StreamEndpoint]:
    """A host whose listener's half-open queue is full."""
    host = Crafted(StackConfig(half_open_limit=4), version)
    server = host.listen()
    for port in range(4):
        host.tcp(src_port=100 + port, flags=wire.TCPFlags.SYN)
    assert len(host.sent()) == 4
    return host, server


def test_a_full_half_open_queue_answers_with_cookies_and_remembers_nothing(version: int) -> None:
    host, server = flooded(version)
    options = (wire.MaximumSegmentSize(1460), wire.SACKPermitted(), wire.Timestamps(5, 0), wire.WindowScale(7))
    host.tcp(flags=wire.TCPFlags.SYN, options=options)
    ((answer, _),) = host.sent()
    assert answer.flags == wire.TCPFlags.SYN | wire.TCPFlags.ACK
    assert len(host.stack.tcp.flows) == 4
    (stamps,) = [option for option in answer.options if isinstance(option, wire.Timestamps)]
    header = wire.TCPHeader(
        5000, 80, 1001, answer.seq + 1, wire.TCPFlags.ACK, 500, options=(wire.Timestamps(6, stamps.value),)
    )
    host.inject(host.packet(header, b"hello"))
    conn = server.try_accept(host.sim.now)
    assert conn is not None
    assert conn.try_recv(10, host.sim.now) == b"hello"
    assert conn.getpeername() == (str(host.peer), 5000)
    info = conn.info()
    assert (info.snd_scale, info.timestamps, info.snd_wnd) == (7, True, 500 << 7)
    assert conn.try_send(b"world", host.sim.now) == 5
    assert b"".join(data for _, data in host.sent()) == b"world"


def test_an_ack_without_a_cookie_is_reset_even_in_a_flood(version: int) -> None:
    host, server = flooded(version)
    host.tcp(flags=wire.TCPFlags.SYN)
    ((answer, _),) = host.sent()
    host.tcp(flags=wire.TCPFlags.ACK, seq=1001, ack=answer.seq + 2)
    ((reset, _),) = host.sent()
    assert reset.flags == wire.TCPFlags.RST
    assert server.try_accept(host.sim.now) is None


def test_cookies_are_looked_for_only_after_a_flood(version: int) -> None:
    host, server = flooded(version)
    host.tcp(flags=wire.TCPFlags.SYN)
    ((answer, _),) = host.sent()
    host.sim.step(300 * 1000 * MS)
    while host.sim.step(300 * 1000 * MS):
        pass
    host.sent()
    host.tcp(flags=wire.TCPFlags.ACK, seq=1001, ack=answer.seq + 1)
    assert host.sent()[0][0].flags == wire.TCPFlags.RST
    assert server.try_accept(host.sim.now) is None


def test_without_cookies_a_full_queue_is_silent() -> None:
    host = Crafted(StackConfig(half_open_limit=1, syn_cookies=False))
    host.listen()
    for port in (100, 101):
        host.tcp(src_port=port, flags=wire.TCPFlags.SYN)
    assert len(host.sent()) == 1


def test_time_wait_is_kept_when_the_syn_that_could_end_it_is_refused(pair: Pair) -> None:
    server, port = make_lingering(pair)
    pair.run(1.5)
    while pair.b.counters["tcp.accept_queue_full"] == 0:
        filler = pair.a.stream()
        filler.connect((pair.host_b, 80), pair.now)
        pair.run(0.1)
    again = pair.a.stream()
    again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    again.bind(("", port), pair.now)
    again.connect((pair.host_b, 80), pair.now)
    pair.run(0.1)
    assert len(pair.b.tcp.connections.lingering) == 1
    server.close(pair.now)
