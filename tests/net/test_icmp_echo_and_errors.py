"""ICMP both ways: echo, the errors we send, the errors we are told (RFC 792, RFC 1122 section 3.2.2, RFC 5927)."""

import errno
from random import Random
from typing import Any

import pytest

from pystack.link.base import Frame, Medium
from pystack.link.memory import MemoryLink
from pystack.net.config import NetConfig
from pystack.net.packet import IPPacket
from pystack.net.ratelimit import TokenBucket
from pystack.units import MS, SECOND
from pystack.wire.icmpv4 import ICMPv4Message, ICMPv4Type, UnreachableCode
from pystack.wire.ipv4 import IPv4Flags, IPv4Header
from pystack.wire.mac import BROADCAST
from pystack.wire.packet import build
from tests.net.harness import OURS, PEER, Bench, Node, SharingLink, octets, udp_header

ALL = str(BROADCAST)
ROUTER = "203.0.113.1"


def icmp(message: ICMPv4Message, src: str = PEER, dst: str = OURS, **header: Any) -> bytes:
    return build(IPv4Header(src, dst, **header), message)


def our_packet(protocol: int = 17, transport: bytes = udp_header(0), **header: object) -> bytes:
    """A packet that we might have sent, as a router quotes it."""
    fields: dict[str, object] = {"src": OURS, "dst": "203.0.113.9", "protocol": protocol, **header}
    return build(IPv4Header(**fields), transport)  # type: ignore[arg-type]


# --- echo


def test_an_echo_request_is_answered_with_its_data(any_bench: Bench) -> None:
    any_bench.inject(icmp(ICMPv4Message.echo_request(7, 9, b"some data"), dscp=2))
    ((header, reply),) = any_bench.sent_icmp()
    assert (str(header.src), str(header.dst), header.ttl, header.dscp) == (OURS, PEER, 64, 2)
    assert reply == ICMPv4Message.echo_reply(7, 9, b"some data")


@pytest.mark.parametrize("dst", ["192.0.2.255", "255.255.255.255", "224.0.0.1"])
def test_an_echo_request_to_everybody_is_not_answered(bench: Bench, dst: str) -> None:
    bench.introduce()
    bench.inject(icmp(ICMPv4Message.echo_request(7, 9), dst=dst), dst_mac=ALL)  # RFC 1122, 3.2.2.6
    assert bench.sent() == []
    assert bench.counters["icmp.echo_broadcast"] == 1


def test_an_echo_reply_that_does_not_fit_the_path_is_cut(bench: Bench) -> None:
    bench.introduce()
    bench.network.lower_path_mtu(octets(PEER), 600, 0)
    bench.inject(icmp(ICMPv4Message.echo_request(7, 9, bytes(1000))))  # RFC 1122, 3.2.2.6
    ((header, reply),) = bench.sent_icmp()
    assert header.total_length == 600
    assert reply == ICMPv4Message.echo_reply(7, 9, bytes(572))


def test_an_echo_request_with_a_wrong_checksum_is_dropped(bench: Bench) -> None:
    packet = bytearray(icmp(ICMPv4Message.echo_request(7, 9, b"data")))
    packet[-1] ^= 1
    bench.inject(bytes(packet))
    assert bench.sent() == []
    assert bench.counters["icmp.checksum"] == 1


def test_echo_replies_are_limited() -> None:
    bench = Bench(Medium.IP, NetConfig(echo_reply_rate=10, echo_reply_burst=5))
    for sequence in range(100):
        bench.inject(icmp(ICMPv4Message.echo_request(1, sequence)))
    first = len(bench.sent())
    assert 3 <= first <= 10
    assert bench.counters["icmp.rate_limited"] == 100 - first
    bench.now = 10 * SECOND
    bench.inject(icmp(ICMPv4Message.echo_request(1, 100)))
    assert len(bench.sent()) == 1


def test_ping_asks_and_the_reply_is_told(any_bench: Bench) -> None:
    any_bench.network.ping(any_bench.network.path(octets(PEER)), 7, 9, b"data", 0)
    any_bench.network.flush(0)
    ((header, request),) = any_bench.sent_icmp()
    assert request == ICMPv4Message.echo_request(7, 9, b"data")
    assert str(header.dst) == PEER
    any_bench.inject(icmp(ICMPv4Message.echo_reply(7, 9, b"data")))
    assert any_bench.node.echo_replies == [(octets(PEER), 7, 9, b"data", 0)]


def test_a_ping_above_the_mtu_is_refused(bench: Bench) -> None:
    with pytest.raises(OSError, match="path MTU") as caught:
        bench.network.ping(bench.network.path(octets(PEER)), 1, 1, bytes(1473), 0)
    assert caught.value.errno == errno.EMSGSIZE


def test_we_can_ping_ourselves() -> None:
    node = Node()
    node.network.ping(node.network.path(octets("127.0.0.1")), 7, 9, b"data", 0)
    node.turn(0)
    assert node.echo_replies == [(octets("127.0.0.1"), 7, 9, b"data", 0)]


# --- errors that we send


def test_an_unknown_protocol_is_unreachable(any_bench: Bench) -> None:
    packet = any_bench.udp_packet(protocol=132)
    any_bench.inject(packet)
    ((header, message),) = any_bench.sent_icmp()
    assert (message.type, message.code) == (ICMPv4Type.UNREACHABLE, UnreachableCode.PROTOCOL)
    assert (message.quoted, message.checksum_valid) == (packet, True)
    assert (str(header.src), str(header.dst), header.flags) == (OURS, PEER, 0)


def test_an_error_quotes_as_much_as_576_octets_hold(any_bench: Bench) -> None:
    packet = any_bench.udp_packet(bytes(range(256)) * 5)
    any_bench.inject(packet)
    any_bench.network.send_port_unreachable(any_bench.node.packets[0], 0)
    any_bench.network.flush(0)
    ((header, message),) = any_bench.sent_icmp()  # RFC 1812, 4.3.2.3
    assert header.total_length == 576
    assert message.quoted == packet[:548]


@pytest.mark.parametrize("dst", ["192.0.2.255", "255.255.255.255", "224.0.0.1"])
def test_no_error_about_what_everybody_received(bench: Bench, dst: str) -> None:
    bench.introduce()
    bench.inject(bench.udp_packet(dst=dst), dst_mac=ALL)
    bench.network.send_port_unreachable(bench.node.packets[0], 0)
    bench.inject(bench.udp_packet(dst=dst, protocol=132), dst_mac=ALL)
    assert bench.sent() == []
    assert bench.counters["icmp.error_suppressed"] == 2


def test_no_error_about_an_icmp_error(any_bench: Bench) -> None:
    any_bench.inject(any_bench.udp_packet())
    (template,) = any_bench.node.packets
    for message, answered in ((ICMPv4Message.unreachable(3, our_packet()), 0), (ICMPv4Message.echo_request(1, 1), 1)):
        payload = message.to_bytes()
        about = IPPacket(
            template.src,
            template.dst,
            1,
            64,
            0,
            template.header,
            (payload,),
            len(payload),
            template.checksum,
            0,
            any_bench.interface,
            False,
        )
        any_bench.network.send_port_unreachable(about, 0)
        any_bench.network.flush(0)
        assert len(any_bench.sent()) == answered


def test_errors_are_limited_to_an_unpredictable_budget() -> None:
    budgets = set()
    for seed in range(8):
        bucket = TokenBucket(1000, 50, Random(seed))
        budgets.add(sum(bucket.take(0) for _ in range(200)))
    assert len(budgets) > 3
    assert all(35 <= budget <= 75 for budget in budgets)


def test_the_budget_of_errors_refills_with_time() -> None:
    bucket = TokenBucket(1000, 50, Random(1))
    while bucket.take(0):
        pass
    got = sum(bucket.take(millisecond * MS) for millisecond in range(1, 2001))
    assert 1850 <= got <= 2000


def test_a_rate_limited_error_is_counted() -> None:
    bench = Bench(Medium.IP, NetConfig(icmp_error_rate=1, icmp_error_burst=2))
    for _ in range(10):
        bench.inject(bench.udp_packet(protocol=132))
    assert len(bench.sent()) + bench.counters["icmp.rate_limited"] == 10
    assert bench.counters["icmp.rate_limited"] >= 5


def test_a_sender_without_a_way_back_gets_neither_error_nor_reply() -> None:
    ours, peer = MemoryLink.pair(medium=Medium.IP)
    lone = Node()
    lone.network.add_interface(ours, "192.0.2.1/24")
    peer.send([Frame((Bench.udp_packet(src="203.0.113.5", protocol=132),))], 0)
    peer.send([Frame((icmp(ICMPv4Message.echo_request(1, 1), src="203.0.113.5"),))], 0)
    lone.turn(0)
    assert lone.counters["icmp.unanswerable"] == 2


def test_the_kernels_address_stays_silent() -> None:
    node = Node()
    link = SharingLink("192.0.2.1/24")
    node.network.add_interface(link)
    for packet in (Bench.udp_packet(), Bench.udp_packet(protocol=132), icmp(ICMPv4Message.echo_request(1, 1))):
        link.send([Frame((packet,))], 0)
    node.turn(0)
    node.network.send_port_unreachable(node.packets[0], 0)
    assert node.network.next_deadline() is None
    assert node.counters["icmp.error_suppressed"] == 2
    assert node.counters["icmp.echo_shared"] == 1


# --- errors that we are told


@pytest.mark.parametrize(
    ("code", "number", "hard"),
    [
        (UnreachableCode.NETWORK, errno.ENETUNREACH, False),
        (UnreachableCode.HOST, errno.EHOSTUNREACH, False),
        (UnreachableCode.PROTOCOL, errno.ENOPROTOOPT, True),
        (UnreachableCode.PORT, errno.ECONNREFUSED, True),
        (UnreachableCode.SOURCE_ROUTE_FAILED, errno.EOPNOTSUPP, False),
        (UnreachableCode.NETWORK_UNKNOWN, errno.ENETUNREACH, True),
        (UnreachableCode.HOST_UNKNOWN, errno.EHOSTDOWN, True),
        (UnreachableCode.NETWORK_PROHIBITED, errno.ENETUNREACH, True),
        (UnreachableCode.HOST_PROHIBITED, errno.EHOSTUNREACH, True),
        (UnreachableCode.COMMUNICATION_PROHIBITED, errno.EHOSTUNREACH, True),
        (99, errno.EHOSTUNREACH, False),
    ],
)
def test_unreachable_codes_are_told_as_linux_tells_them(bench: Bench, code: int, number: int, hard: bool) -> None:
    bench.inject(icmp(ICMPv4Message.unreachable(code, our_packet()), src=ROUTER))
    (error,) = bench.node.errors
    assert (error.errno, error.hard, error.mtu) == (number, hard, None)
    assert (error.src, error.dst, error.protocol) == (octets(OURS), octets("203.0.113.9"), 17)
    assert (error.quote, error.reporter) == (udp_header(0), octets(ROUTER))
    assert (error.icmp_type, error.icmp_code) == (ICMPv4Type.UNREACHABLE, code)


def test_notices_and_packets_read_well(bench: Bench) -> None:
    bench.inject(icmp(ICMPv4Message.unreachable(3, our_packet()), src=ROUTER))
    bench.inject(bench.udp_packet())
    assert repr(bench.node.errors[0]) == "<PathError ECONNREFUSED (hard) 192.0.2.1 > 203.0.113.9 17>"
    assert repr(bench.node.packets[0]) == "<IPPacket 192.0.2.2 > 192.0.2.1 protocol 17, 15 octets, on eth0>"


def test_time_exceeded_is_soft_and_a_parameter_problem_hard(any_bench: Bench) -> None:
    any_bench.inject(icmp(ICMPv4Message.time_exceeded(0, our_packet())))
    any_bench.inject(icmp(ICMPv4Message.parameter_problem(9, our_packet(6))))
    assert [(error.errno, error.hard, error.protocol) for error in any_bench.node.errors] == [
        (errno.EHOSTUNREACH, False, 17),
        (errno.EPROTO, True, 6),
    ]


def test_eight_quoted_octets_are_enough_and_seven_are_not(bench: Bench) -> None:
    quoted = our_packet(6, bytes(20))
    bench.inject(icmp(ICMPv4Message.unreachable(1, quoted[:28])))
    bench.inject(icmp(ICMPv4Message.unreachable(1, quoted[:27])))
    assert [len(error.quote) for error in bench.node.errors] == [8]
    assert bench.counters["icmp.quote_short"] == 1


def test_an_error_about_our_ping_reaches_the_pinger(bench: Bench) -> None:
    request = ICMPv4Message.echo_request(7, 9, b"data").to_bytes()
    bench.inject(icmp(ICMPv4Message.unreachable(1, our_packet(1, request))))
    (error,) = bench.node.echo_errors
    assert error.quote == request
    assert bench.node.errors == []


def test_an_error_about_anything_but_our_flows_is_counted(bench: Bench) -> None:
    for quoted in (our_packet(132), our_packet(1, ICMPv4Message.echo_reply(7, 9).to_bytes())):
        bench.inject(icmp(ICMPv4Message.unreachable(1, quoted)))
    assert bench.counters["icmp.quote_unknown"] == 2
    assert bench.node.errors == bench.node.echo_errors == []


@pytest.mark.parametrize("src", ["192.0.2.9", "127.0.0.1", "198.51.100.1"])
def test_a_quote_that_is_not_from_the_address_told_is_refused(bench: Bench, src: str) -> None:
    bench.inject(icmp(ICMPv4Message.unreachable(3, our_packet(src=src))))
    assert bench.node.errors == []
    assert bench.counters["icmp.quote_foreign"] == 1


def test_a_quoted_later_fragment_tells_nothing(bench: Bench) -> None:
    bench.inject(icmp(ICMPv4Message.unreachable(3, our_packet(flags=0, fragment_offset=3))))
    assert bench.counters["icmp.quote_short"] == 1


@pytest.mark.parametrize("quoted", [b"", b"\x45" + bytes(10), b"\x60" + bytes(60)])
def test_a_quote_that_is_no_packet_is_counted(bench: Bench, quoted: bytes) -> None:
    bench.inject(icmp(ICMPv4Message.unreachable(3, quoted)))
    assert bench.counters["icmp.quote_invalid"] == 1


def test_an_error_sent_to_everybody_is_ignored(bench: Bench) -> None:
    bench.inject(icmp(ICMPv4Message.unreachable(3, our_packet(src="192.0.2.255")), dst="192.0.2.255"), dst_mac=ALL)
    assert bench.counters["icmp.error_broadcast"] == 1


def test_redirects_are_not_obeyed(bench: Bench) -> None:
    bench.inject(icmp(ICMPv4Message.redirect(1, "192.0.2.66", our_packet())))
    assert bench.counters["icmp.redirect"] == 1
    assert bench.network.path(octets("203.0.113.9")).next_hop == octets(PEER)


@pytest.mark.parametrize("kind", [4, 13, 15, 17, 200])
def test_other_types_are_counted_and_silent(bench: Bench, kind: int) -> None:
    bench.inject(icmp(ICMPv4Message(kind, 0, 0, our_packet()).sealed()))  # source quench among them: RFC 6633
    assert bench.sent() == []
    assert bench.counters["icmp.ignored"] == 1


def test_a_message_shorter_than_its_header_is_counted(bench: Bench) -> None:
    bench.inject(build(IPv4Header(PEER, OURS, 1), bytes(7)))
    assert bench.counters["icmp.short"] == 1


def test_an_error_between_own_addresses_comes_back() -> None:
    node = Node()
    node.send_udp("127.0.0.1")
    node.turn(0)
    node.network.send_port_unreachable(node.packets[0], 0)
    node.turn(0)
    assert [(error.errno, error.quote) for error in node.errors] == [(errno.ECONNREFUSED, udp_header(7) + b"payload")]


def test_errors_carry_ids_of_their_own_since_routers_may_cut_them(any_bench: Bench) -> None:
    for _ in range(2):
        any_bench.inject(any_bench.udp_packet(protocol=132))
    headers = [header for header, _ in any_bench.sent_icmp()]
    assert all(not header.flags & IPv4Flags.DF for header in headers)
    assert headers[0].identification != headers[1].identification
