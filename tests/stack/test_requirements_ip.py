"""RFC 9293 Appendix B, rows about TCP and the layers below: addresses, IP options, TTL, ICMP, checksums, the MSS."""

import socket
from functools import partial
from ipaddress import ip_address
from typing import Any

import pytest

from pystack import wire
from pystack.link.base import Medium
from pystack.link.memory import MemoryLink
from pystack.net.config import NetConfig
from pystack.stack.config import StackConfig
from pystack.stack.stream import StreamEndpoint
from pystack.transport.tcp.config import TCPConfig
from pystack.transport.tcp.state import State
from tests.stack.conftest import raises_errno
from tests.stack.lone import ACK, ARP, FIN, PSH, RST, SYN, Lone


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def lone(request: pytest.FixtureRequest) -> Lone:
    return Lone(version=request.param)


def mss_of(segment: wire.TCPHeader) -> int | None:
    return next((option.mss for option in segment.options if isinstance(option, wire.MaximumSegmentSize)), None)


# Checksums


def test_every_segment_has_its_checksum(lone: Lone) -> None:
    """MUST-2. `Lone.sent` verifies each: SYN-ACK, data of odd and even lengths, ACK, FIN, RST."""
    conn = lone.establish()
    seen = []
    for size in (1, 2, 3, 1459, 1460, 4001):
        conn.try_send(bytes(range(256)) * 16, lone.now) if size == 4001 else conn.try_send(b"z" * size, lone.now)
        seen += lone.sent()
        lone.segment(ACK, 1001, lone.iss + 1 + conn.info().octets_acked + conn.unsent & 0xFFFF_FFFF)
        seen += lone.sent()
    conn.close(lone.now)
    lone.segment(ACK, 1001, 1, src_port=5001)
    seen += lone.sent()
    flags = {segment.tcp.flags & ~PSH for segment in seen}
    assert flags == {ACK, FIN | ACK, RST}
    assert len({len(segment.payload) % 2 for segment in seen}) == 2


@pytest.mark.parametrize("where", [20, 24, 33, 36, -1])
@pytest.mark.parametrize("flags", [SYN, ACK, RST, FIN | ACK])
def test_a_segment_with_a_wrong_checksum_is_nobodys(lone: Lone, flags: wire.TCPFlags, where: int) -> None:
    """MUST-3: in every state nothing comes of it but a count."""
    conn = lone.establish()
    offset = 0 if lone.version == 4 else 20
    packet = bytearray(wire.build(lone.ip(), wire.TCPHeader(5000, 80, 1001, lone.iss + 1, flags), b"data"))
    packet[where if where < 0 else where + offset] ^= 0x10
    lone.packet(bytes(packet))
    assert lone.sent() == []
    assert conn.state is State.ESTABLISHED
    assert conn.try_recv(10, lone.now) is None
    assert lone.stack.counters["tcp.checksum"] == 1


# Options and MSS


@pytest.mark.parametrize("area", ["0200", "0201", "fd00", "fd01", "02ff05b4", "fdff0000", "0101fd08", "08"])
def test_an_illegal_option_length_is_survived(lone: Lone, area: str) -> None:
    """MUST-7: the segment is dropped and counted, whatever the state; what is sound goes on."""
    octets = bytes.fromhex(area).ljust(4, b"\1") if area != "08" else b"\1\1\1\x08"
    conn = lone.establish()
    server = lone.listen(port=81)
    for flags, port in ((ACK, 80), (SYN, 81), (RST, 80)):
        header = wire.TCPHeader(5000, port, 1001, lone.iss + 1, flags).to_bytes()
        broken = header[:12] + bytes((6 << 4,)) + header[13:] + octets + b"data"
        total = wire.internet_checksum(wire.PseudoHeader(lone.peer, lone.host, 6).to_bytes(len(broken)) + broken)
        broken = broken[:16] + total.to_bytes(2, "big") + broken[18:]
        lone.packet(wire.build(lone.ip(None, None, **{"protocol" if lone.version == 4 else "next_header": 6}), broken))
    assert lone.stack.counters["tcp.option_length"] == 3
    assert lone.sent() == []
    assert conn.state is State.ESTABLISHED
    assert server.try_accept(lone.now) is None
    lone.segment(ACK, 1001, lone.iss + 1, b"sound")
    assert conn.try_recv(10, lone.now) == b"sound"


@pytest.mark.parametrize("mtu", [1280, 1500, 9000, 65_535])
@pytest.mark.parametrize("version", [4, 6])
def test_the_mss_announced_follows_from_the_links_mtu(version: int, mtu: int) -> None:
    """MUST-67, SHLD-6, SHLD-5: what one packet of the interface holds without any options, in SYN and SYN-ACK."""
    lone = Lone(version=version, mtu=mtu)
    lone.listen()
    lone.segment(SYN)
    lone.stack.stream().connect((lone.peer, 1), lone.now)
    answers = lone.sent()
    assert [bool(answer.tcp.flags & ACK) for answer in answers] == [True, False]
    assert {mss_of(answer.tcp) for answer in answers} == {mtu - (40 if version == 4 else 60)}


@pytest.mark.parametrize(("announced", "used"), [(None, {4: 536, 6: 1220}), (700, {4: 700, 6: 700})])
def test_the_default_send_mss_of_each_ip_version(lone: Lone, announced: int | None, used: dict[int, int]) -> None:
    """MUST-15, MUST-16."""
    conn = lone.establish(options=() if announced is None else (wire.MaximumSegmentSize(announced),))
    conn.try_send(bytes(3 * used[lone.version]), lone.now)
    assert [len(segment.payload) for segment in lone.sent()] == 3 * [used[lone.version]]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("stamped", [False, True], ids=["bare", "timestamps"])
@pytest.mark.parametrize(("announced", "used"), [(None, {4: 536, 6: 1220}), (700, {4: 536, 6: 536})])
def test_the_default_send_mss_comes_back_with_a_syn_cookie(
    version: int, stamped: bool, announced: int | None, used: dict[int, int]
) -> None:
    """MUST-15, where the listener remembers no SYN: the cookie says that there was no MSS option."""
    lone = Lone(StackConfig(half_open_limit=0), version=version)
    offered = () if announced is None else (wire.MaximumSegmentSize(announced),)
    conn = lone.establish(options=(*offered, wire.Timestamps(1, 0)) if stamped else offered)
    assert lone.stack.counters["tcp.cookies_redeemed"] == 1
    overhead = 12 if stamped else 0
    conn.try_send(bytes(3 * (used[version] - overhead)), lone.now)
    assert [len(segment.payload) for segment in lone.sent()] == 3 * [used[version] - overhead]


def test_no_packet_exceeds_what_the_path_takes(lone: Lone) -> None:
    """MUST-16: options are taken off, not put on top; a path that narrows is followed."""
    conn = lone.establish(options=(wire.MaximumSegmentSize(9000), wire.Timestamps(1, 0)))
    conn.try_send(bytes(14_000), lone.now)
    sizes = [len(wire.build(each.ip, each.tcp, each.payload)) for each in lone.sent()]
    assert set(sizes[:-1]) == {1500}
    assert sizes[-1] < 1500
    lone.icmp(3, 4, lone.iss + 1, rest=1300) if lone.version == 4 else lone.icmp(2, 0, lone.iss + 1, rest=1300)
    assert max(len(wire.build(each.ip, each.tcp, each.payload)) for each in lone.sent()) == 1300


# Addresses


def two_links() -> Lone:
    """The host has 192.0.2.1 on one cable, 198.51.100.1 and .7 on another."""
    lone = Lone()
    near, _ = MemoryLink.pair(medium=Medium.IP)
    other = lone.stack.add_interface(near, "198.51.100.1/24")
    lone.stack.network.add_address(other, "198.51.100.7/24")
    lone.stack.network.add_address(lone.interface, "192.0.2.7/24")
    return lone


@pytest.mark.parametrize(("remote", "chosen"), [("192.0.2.2", "192.0.2.1"), ("198.51.100.2", "198.51.100.1")])
def test_ip_chooses_the_address_of_an_unbound_socket(remote: str, chosen: str) -> None:
    """MUST-44: before the SYN leaves, and it stays."""
    client = two_links().connect(remote)
    assert client.getsockname() == (chosen, 80)


@pytest.mark.parametrize("local", ["192.0.2.1", "192.0.2.7"])
def test_the_user_may_choose_the_local_address(local: str) -> None:
    """MUST-43, MUST-45: in both kinds of OPEN; every segment then comes from it."""
    lone = two_links()
    client = lone.connect(local=local)
    (syn,) = lone.sent()
    lone.segment(SYN | ACK, 1000, syn.tcp.seq + 1, ip=lone.ip(dst=local))
    client.try_send(b"data", lone.now)
    client.close(lone.now)
    assert {str(each.ip.src) for each in [syn, *lone.sent()]} == {local}
    other = "192.0.2.7" if local == "192.0.2.1" else "192.0.2.1"
    server = lone.listen(local, 81)
    for dst in (other, local):
        lone.segment(SYN, dst_port=81, ip=lone.ip(dst=dst))
        (answer,) = lone.sent()
        assert bool(answer.tcp.flags & RST) is (dst == other)
        assert str(answer.ip.src) == dst
    lone.segment(ACK, 1001, answer.tcp.seq + 1, dst_port=81, ip=lone.ip(dst=local))
    conn = server.try_accept(lone.now)
    assert conn is not None
    assert conn.getsockname() == (local, 81)


def test_a_listener_on_any_address_answers_from_the_one_that_was_asked() -> None:
    """MUST-45, section 3.9.1.1: the connection is bound to it."""
    lone = two_links()
    server = lone.listen()
    lone.segment(SYN, ip=lone.ip(dst="192.0.2.7"))
    (answer,) = lone.sent()
    assert str(answer.ip.src) == "192.0.2.7"
    lone.segment(ACK, 1001, answer.tcp.seq + 1, ip=lone.ip(dst="192.0.2.7"))
    conn = server.try_accept(lone.now)
    assert conn is not None
    assert conn.getsockname() == ("192.0.2.7", 80)
    conn.try_send(b"data", lone.now)
    assert str(lone.sent()[0].ip.src) == "192.0.2.7"


@pytest.mark.parametrize(
    ("version", "remote"),
    [
        (4, "255.255.255.255"),
        (4, "192.0.2.255"),
        (4, "224.0.0.1"),
        (4, "239.1.2.3"),
        (4, "240.0.0.1"),
        (6, "ff02::1"),
        (6, "ff0e::1234"),
    ],
)
def test_nothing_connects_to_many(version: int, remote: str) -> None:
    """MUST-46: an OPEN to an address that is not one host's fails at once, and nothing is sent."""
    lone = Lone(version=version)
    client = lone.stack.stream()
    with raises_errno("ENETUNREACH", "EACCES", "EINVAL"):
        client.connect((remote, 80), lone.now)
    assert client.state is State.CLOSED
    assert lone.frames() == []


@pytest.mark.parametrize("flags", [SYN, ACK, FIN, SYN | ACK, PSH | ACK])
@pytest.mark.parametrize(
    ("version", "dst"),
    [(4, "255.255.255.255"), (4, "192.0.2.255"), (4, "224.0.0.1"), (4, "224.0.0.251"), (6, "ff02::1"), (6, "ff02::5")],
)
def test_segments_to_many_are_silently_dropped(version: int, dst: str, flags: wire.TCPFlags) -> None:
    """MUST-57, for all segments as section 3.9.2.3 says: no answer, no state."""
    lone = Lone(version=version)
    server = lone.listen()
    for port in (80, 81):
        lone.segment(flags, 1000, 5, dst_port=port, ip=lone.ip(dst=dst))
    assert lone.frames() == []
    assert lone.stack.tcp.flows == []
    assert server.try_accept(lone.now) is None


def test_a_syn_in_a_broadcast_frame_is_silently_dropped() -> None:
    """MUST-57, at the link's level."""
    lone = Lone(medium=Medium.ETHERNET)
    lone.listen()
    syn = wire.build(lone.ip(), wire.TCPHeader(5000, 80, 1000, 0, SYN), b"")
    for dst in ("ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"):
        lone.frame(wire.EthernetHeader(dst, str(lone.macs[1]), wire.EtherType.IPV4).to_bytes() + syn)
    assert lone.frames() == []
    assert lone.stack.tcp.flows == []


@pytest.mark.parametrize(
    ("version", "src"),
    [
        (4, "0.0.0.0"),
        (4, "255.255.255.255"),
        (4, "192.0.2.255"),
        (4, "192.0.2.1"),
        (4, "127.0.0.1"),
        (4, "224.0.0.1"),
        (4, "240.0.0.1"),
        (6, "::"),
        (6, "::1"),
        (6, "ff02::1"),
        (6, "2001:db8::1"),
    ],
)
def test_a_syn_from_an_impossible_address_is_ignored(version: int, src: str) -> None:
    """MUST-63."""
    lone = Lone(version=version)
    lone.listen()
    for port in (80, 81):
        lone.segment(SYN, dst_port=port, ip=lone.ip(src=src))
    assert lone.frames() == []
    assert lone.stack.tcp.flows == []


# TTL and Diffserv

TTL = {4: (socket.IPPROTO_IP, socket.IP_TTL), 6: (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)}
TOS = {4: (socket.IPPROTO_IP, socket.IP_TOS), 6: (socket.IPPROTO_IPV6, getattr(socket, "IPV6_TCLASS", 67))}


def test_the_ttl_can_be_set(lone: Lone) -> None:
    """MUST-49: for a connection from its SYN on, and later."""
    client = lone.stack.stream()
    client.bind(("", 80), lone.now)
    client.setsockopt(*TTL[lone.version], 7)
    client.connect((lone.peer, 5000), lone.now)
    (syn,) = lone.sent()
    assert syn.ttl == 7
    lone.segment(SYN | ACK, 1000, syn.tcp.seq + 1)
    client.setsockopt(*TTL[lone.version], 9)
    client.try_send(b"data", lone.now)
    assert [each.ttl for each in lone.sent()] == [7, 9]
    assert client.getsockopt(*TTL[lone.version]) == 9


def test_the_ttl_is_64_unless_it_is_set(lone: Lone) -> None:
    conn = lone.establish()
    conn.try_send(b"data", lone.now)
    assert lone.sent()[0].ttl == 64


def test_the_diffserv_field_is_the_users(lone: Lone) -> None:
    """MUST-48, SHLD-22: as given, in each segment; what accept returns has its listener's."""
    server = lone.stack.stream()
    server.setsockopt(*TOS[lone.version], 0xB8)
    server.bind(("", 80), lone.now)
    server.listen(1, lone.now)
    lone.segment(SYN)
    (answer,) = lone.sent()
    lone.segment(ACK, 1001, answer.tcp.seq + 1, b"question")
    conn = server.try_accept(lone.now)
    assert conn is not None
    conn.try_send(b"data", lone.now)
    conn.close(lone.now)
    assert {each.tos for each in [answer, *lone.sent()]} == {0xB8}


def test_the_diffserv_field_can_change(lone: Lone) -> None:
    """SHLD-21."""
    conn = lone.establish()
    for tos in (0x28, 0x10, 0):
        conn.setsockopt(*TOS[lone.version], tos)
        conn.try_send(b"data", lone.now)
        lone.segment(ACK, 1001, lone.iss + 1 + conn.info().octets_acked + conn.unsent)
        assert {each.tos for each in lone.sent()} == {tos}
        assert conn.getsockopt(*TOS[lone.version]) == tos


def test_nothing_but_the_user_changes_the_diffserv_field(lone: Lone) -> None:
    """SHLD-23: data, retransmissions, ACKs, FIN and RST alike carry the default."""
    conn = lone.establish()
    conn.try_send(b"data", lone.now)
    lone.run(3)
    marked: dict[str, Any] = {"dscp": 46} if lone.version == 4 else {"traffic_class": 46 << 2}
    lone.segment(ACK, 1001, lone.iss + 5, b"x", ip=lone.ip(**marked))
    assert conn.try_recv(9, lone.now) == b"x"
    conn.close(lone.now)
    lone.segment(ACK, 1002, lone.iss + 5, b"nobody reads this", ip=lone.ip(**marked))
    sent = lone.sent()
    assert [sum(bool(each.tcp.flags & flag) for each in sent) for flag in (FIN, RST)] == [1, 1]
    assert sum(each.payload == b"data" for each in sent) > 2
    assert {each.tos for each in sent} == {0}


# IP options


@pytest.mark.parametrize(
    "option",
    [
        wire.IPv4Option(wire.IPv4Option.RECORD_ROUTE, bytes([4]) + bytes(12)),
        wire.IPv4Option(wire.IPv4Option.TIMESTAMP, bytes([5, 0]) + bytes(8)),
        wire.IPv4Option(wire.IPv4Option.ROUTER_ALERT, bytes(2)),
        wire.IPv4Option(130, bytes(9)),
        wire.IPv4Option(25, bytes(6)),
        wire.IPv4Option(94, b"what?"),
    ],
    ids=str,
)
def test_ip_options_that_mean_nothing_to_tcp_are_ignored(option: wire.IPv4Option) -> None:
    """MUST-50: a whole connection goes on under them; our segments carry none (MAY-10, MAY-11 are declined)."""
    lone = Lone()
    ip = lone.ip(options=(option,))
    conn = lone.establish(ip=ip)
    lone.segment(ACK, 1001, lone.iss + 1, b"data", ip=ip)
    assert conn.try_recv(10, lone.now) == b"data"
    conn.try_send(b"answer", lone.now)
    lone.segment(FIN | ACK, 1005, lone.iss + 7, ip=ip)
    assert conn.try_recv(10, lone.now) == b""
    sent = lone.sent()
    assert sent
    assert all(isinstance(each.ip, wire.IPv4Header) and not each.ip.options for each in sent)


def route_to(*hops: str, kind: int = wire.IPv4Option.LOOSE_SOURCE_ROUTE, pointer: int = 4) -> wire.IPv4Option:
    return wire.IPv4Option(kind, bytes([pointer]) + b"".join(ip_address(hop).packed for hop in hops))


def completed(*hops: str) -> wire.IPv4Option:
    """A route as its destination sees it: each hop has recorded itself, the pointer is behind them all."""
    return route_to(*hops, pointer=4 + 4 * len(hops))


def routed_host() -> Lone:
    return Lone(StackConfig(net=NetConfig(accept_source_routes=True)))


def set_route(endpoint: StreamEndpoint, *hops: str) -> None:
    endpoint.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\1" + route_to(*hops).to_bytes())


def test_the_user_may_give_a_source_route() -> None:
    """MUST-51: from the SYN on; the checksum counts with the final destination."""
    lone = Lone()
    client = lone.stack.stream()
    client.bind(("", 80), lone.now)
    set_route(client, "192.0.2.11", "192.0.2.12")
    client.connect((lone.peer, 5000), lone.now)
    packets = lone.frames()
    assert len(packets) == 1
    header = wire.IPv4Header.from_bytes(packets[0])
    assert str(header.dst) == "192.0.2.11"
    assert route_to("192.0.2.12", lone.peer) in header.options
    segment = packets[0][header.size :]
    pseudo = wire.PseudoHeader(lone.host, lone.peer, 6).to_bytes(len(segment))
    assert wire.internet_checksum(pseudo + segment) == 0
    assert client.state is State.SYN_SENT


def test_the_return_route_is_kept() -> None:
    """MUST-53: the hops of the SYN, backwards, on every segment of the connection."""
    lone = routed_host()
    lone.listen()
    lone.segment(SYN, ip=lone.ip(options=(completed("192.0.2.11", "192.0.2.12"),)))
    (frame,) = lone.frames()
    header = wire.IPv4Header.from_bytes(frame)
    assert str(header.dst) == "192.0.2.12"
    assert route_to("192.0.2.11", lone.peer) in header.options


def test_a_later_source_route_overrides_an_earlier_one() -> None:
    """SHLD-24."""
    lone = routed_host()
    lone.listen()
    lone.segment(SYN, ip=lone.ip(options=(completed("192.0.2.11"),)))
    (frame,) = lone.frames()
    iss = int.from_bytes(frame[wire.IPv4Header.from_bytes(frame).size + 4 :][:4], "big")
    lone.segment(ACK, 1001, iss + 1, b"data", ip=lone.ip(options=(completed("192.0.2.12"),)))
    lone.run(1)
    header = wire.IPv4Header.from_bytes(lone.frames()[-1])
    assert str(header.dst) == "192.0.2.12"
    assert route_to(lone.peer) in header.options


def test_the_users_source_route_overrides_what_arrives() -> None:
    """MUST-52."""
    lone = routed_host()
    client = lone.stack.stream()
    client.bind(("", 80), lone.now)
    set_route(client, "192.0.2.11")
    client.connect((lone.peer, 5000), lone.now)
    (syn,) = lone.frames()
    iss = int.from_bytes(syn[wire.IPv4Header.from_bytes(syn).size + 4 :][:4], "big")
    lone.segment(SYN | ACK, 1000, iss + 1, ip=lone.ip(options=(completed("192.0.2.12"),)))
    header = wire.IPv4Header.from_bytes(lone.frames()[-1])
    assert str(header.dst) == "192.0.2.11"
    assert route_to(lone.peer) in header.options


@pytest.mark.parametrize("kind", [wire.IPv4Option.LOOSE_SOURCE_ROUTE, wire.IPv4Option.STRICT_SOURCE_ROUTE])
def test_source_routes_of_others_are_dropped_unless_allowed(kind: int) -> None:
    """RFC 7126, sections 4.3 and 4.4."""
    lone = Lone()
    lone.listen()
    lone.segment(SYN, ip=lone.ip(options=(route_to("192.0.2.11", kind=kind, pointer=8),)))
    assert lone.frames() == []
    assert lone.stack.counters["ipv4.source_route"] == 1


# ICMP

SOFT = {
    4: [(3, 0), (3, 1), (3, 5), (3, 11), (3, 12), (11, 0), (11, 1)],
    6: [(1, 0), (1, 3), (3, 0), (3, 1)],
}
PROBLEM = {4: [(12, 0), (12, 1), (12, 2)], 6: [(4, 0), (4, 1), (4, 2)]}
HARD = {4: [(3, 2), (3, 3)], 6: [(1, 4)]}


def variants(errors: dict[int, list[tuple[int, int]]]) -> list[tuple[int, int, int]]:
    return [(version, kind, code) for version, pairs in errors.items() for kind, code in pairs]


def in_state(lone: Lone, state: State) -> tuple[StreamEndpoint | None, int]:
    """A connection in `state` with something outstanding, and the sequence number of that."""
    if state is State.SYN_SENT:
        client = lone.connect()
        return client, lone.sent()[0].tcp.seq
    if state is State.SYN_RECEIVED:
        lone.listen()
        lone.segment(SYN)
        return None, lone.sent()[0].tcp.seq
    conn = lone.establish()
    conn.try_send(b"data", lone.now)
    lone.sent()
    return conn, lone.iss + 1


OPEN_STATES = [State.SYN_SENT, State.SYN_RECEIVED, State.ESTABLISHED]


def check_not_aborted(version: int, kind: int, code: int, state: State) -> None:
    lone = Lone(version=version)
    _, seq = in_state(lone, state)
    lone.icmp(kind, code, seq)
    (flow,) = lone.stack.tcp.flows
    assert flow.connection.state is state
    assert flow.connection.error is None
    assert flow.connection.soft_error is not None
    lone.run(3)
    assert lone.sent(), "it goes on trying"


@pytest.mark.parametrize("state", OPEN_STATES, ids=str)
@pytest.mark.parametrize(("version", "kind", "code"), variants(SOFT))
def test_unreachable_and_time_exceeded_abort_nothing(version: int, kind: int, code: int, state: State) -> None:
    """MUST-56, MUST-54: kept with the connection that it is about."""
    check_not_aborted(version, kind, code, state)


@pytest.mark.parametrize("state", OPEN_STATES, ids=str)
@pytest.mark.parametrize(("version", "kind", "code"), variants(PROBLEM))
def test_a_parameter_problem_aborts_nothing(version: int, kind: int, code: int, state: State) -> None:
    """MUST-56: it is a soft error for TCP, whatever it is for others."""
    check_not_aborted(version, kind, code, state)


@pytest.mark.parametrize(("version", "kind", "code"), variants(SOFT))
def test_the_user_learns_of_unreachable(version: int, kind: int, code: int) -> None:
    """SHLD-25, MUST-54: the errno with which a connect, or an established connection, times out."""
    for established in (False, True):
        lone = Lone(StackConfig(tcp=TCPConfig(syn_retries=2, retries2=4)), version=version)
        conn, seq = in_state(lone, State.ESTABLISHED if established else State.SYN_SENT)
        assert conn is not None
        lone.icmp(kind, code, seq)
        with raises_errno("ENETUNREACH", "EHOSTUNREACH", "EOPNOTSUPP", "ENOTSUP"):
            lone.sim.wait(conn.submit(partial(conn.try_recv, 1) if established else conn.try_connected, None, lone.now))


@pytest.mark.parametrize(("version", "kind", "code"), variants(HARD))
def test_hard_errors_abort_only_what_is_not_open_yet(version: int, kind: int, code: int) -> None:
    """SHLD-26, as far as it is followed: RFC 5927, section 5.2."""
    for state in OPEN_STATES:
        lone = Lone(version=version)
        conn, seq = in_state(lone, state)
        lone.icmp(kind, code, seq)
        if state is State.ESTABLISHED:
            assert conn is not None
            assert conn.state is State.ESTABLISHED
        else:
            assert lone.stack.tcp.flows == []
        if state is State.SYN_SENT:
            assert conn is not None
            with raises_errno("ECONNREFUSED", "ENOPROTOOPT"):
                conn.try_connected(lone.now)


@pytest.mark.parametrize("state", OPEN_STATES, ids=str)
def test_source_quench_is_silently_discarded(state: State) -> None:
    """MUST-55, RFC 6633."""
    lone = Lone()
    _, seq = in_state(lone, state)
    (flow,) = lone.stack.tcp.flows
    window = flow.connection.congestion.cwnd
    lone.icmp(4, 0, seq)
    assert flow.connection.state is state
    assert flow.connection.soft_error is None
    assert flow.connection.congestion.cwnd == window
    assert lone.frames() == []


def test_an_error_reaches_the_connection_that_made_it_and_no_other(lone: Lone) -> None:
    """MUST-54."""
    first = lone.connect()
    (one,) = lone.sent()
    second = lone.stack.stream()
    second.connect((lone.peer, 5001), lone.now)
    lone.sent()
    lone.icmp(*HARD[lone.version][-1], one.tcp.seq)
    with raises_errno("ECONNREFUSED"):
        first.try_connected(lone.now)
    assert second.try_connected(lone.now) is None


# Excessive retransmission


@pytest.mark.parametrize("opening", [True, False])
def test_at_r1_the_next_hop_is_asked_whether_it_lives(opening: bool) -> None:
    """MUST-20 (b), MUST-22: negative advice to IP, which probes the neighbour though it was confirmed a moment ago."""
    lone = Lone(medium=Medium.ETHERNET)
    conn = lone.establish()
    conn.try_send(b"data", lone.now)
    lone.segment(ACK, 1001, lone.iss + 5)
    lone.frames()
    if opening:
        lone.stack.stream().connect((lone.peer, 5001), lone.now)
    else:
        conn.try_send(b"lost", lone.now)
    lone.run(8 if opening else 2)
    questions = [frame for frame in lone.frames() if frame[12:14] == ARP]
    assert questions
    assert wire.ARPPacket.from_bytes(questions[0][14:]).target_ip == wire.IPv4Header(lone.peer, lone.peer).src


def test_retransmissions_have_the_same_identification() -> None:
    """MAY-4: of datagrams that may not be fragmented it is always 0 (RFC 6864, section 4.1)."""
    lone = Lone()
    conn = lone.establish()
    conn.try_send(b"data", lone.now)
    lone.run(3)
    sent = lone.sent()
    assert len(sent) > 2
    assert {each.ip.identification for each in sent if isinstance(each.ip, wire.IPv4Header)} == {0}
