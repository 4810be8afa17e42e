"""ICMPv6 both ways: echo, the errors we send, the errors we are told (RFC 4443, RFC 8201, RFC 5927)."""

import errno

import pytest

from pystack.net.config import NetConfig
from pystack.net.packet import IPPacket
from pystack.units import SECOND
from pystack.wire.icmpv6 import ICMPv6Message, ICMPv6Type, ICMPv6UnreachableCode
from pystack.wire.ipv6 import IPv6Header
from pystack.wire.packet import build
from pystack.wire.protocol import IPProtocol
from tests.net.harness import OURS, OURS6, PEER, PEER6, Bench, Bench6, Node, octets, udp_header

FAR = "2001:db8:f::9"
ROUTER = "2001:db8:f::1"


@pytest.fixture
def bench() -> Bench6:
    return Bench6(gateway=PEER6)


def icmp(message: ICMPv6Message, src: str = PEER6, dst: str = OURS6, **header: int) -> bytes:
    return build(IPv6Header(src, dst, **header), message)


def our_packet(next_header: int = 17, transport: bytes = udp_header(0), **header: object) -> bytes:
    """A packet that we might have sent, as a router quotes it."""
    fields: dict[str, object] = {"src": OURS6, "dst": FAR, "next_header": next_header, **header}
    return build(IPv6Header(**fields), transport)  # type: ignore[arg-type]


# --- echo


def test_an_echo_request_is_answered_with_its_data(bench: Bench6) -> None:
    bench.inject(icmp(ICMPv6Message.echo_request(7, 9, b"some data"), traffic_class=0x0B))
    (answer,) = bench.sent()
    header = IPv6Header.from_bytes(answer)
    assert (str(header.src), str(header.dst), header.hop_limit) == (OURS6, PEER6, 64)
    assert header.traffic_class == 0x08  # the ECN field is not the request's
    assert answer[40:] == build(header, ICMPv6Message.echo_reply(7, 9, b"some data"))[40:]


def test_an_echo_request_to_all_nodes_is_answered_by_one(bench: Bench6) -> None:
    bench.inject(icmp(ICMPv6Message.echo_request(7, 9), dst="ff02::1"))  # RFC 4443, 4.2
    ((header, reply),) = bench.sent_icmp()
    assert (str(header.src), str(header.dst), reply.type) == (OURS6, PEER6, ICMPv6Type.ECHO_REPLY)


def test_an_echo_request_too_big_to_answer_is_not_answered_with_less() -> None:
    bench = Bench6()
    bench.network.lower_path_mtu(octets(PEER6), 1280, 0)
    for octets_ in (1280 - 48, 1280 - 47):
        bench.inject(icmp(ICMPv6Message.echo_request(7, 9, bytes(octets_))))
    ((_, reply),) = bench.sent_icmp()
    assert len(reply.data) == 1232
    assert bench.counters["icmp.echo_too_big"] == 1


def test_a_wrong_checksum_is_dropped_and_so_is_one_without_the_addresses(bench: Bench6) -> None:
    packet = icmp(ICMPv6Message.echo_request(7, 9, b"data"))
    bench.inject(packet[:-1] + bytes((packet[-1] ^ 1,)))
    bench.inject(packet[:8] + octets("2001:db8::3") + packet[24:])
    assert bench.sent() == []
    assert bench.counters["icmp.checksum"] == 2


def test_ping_asks_and_the_reply_is_told(bench: Bench6) -> None:
    bench.network.ping(bench.network.path(octets(PEER6)), 7, 9, b"data", 0)
    bench.network.flush(0)
    (request,) = bench.sent()
    assert request == icmp(ICMPv6Message.echo_request(7, 9, b"data"), OURS6, PEER6, hop_limit=64)
    bench.inject(icmp(ICMPv6Message.echo_reply(7, 9, b"data")))
    assert bench.node.echo_replies == [(octets(PEER6), 7, 9, b"data", 0)]


def test_we_can_ping_ourselves() -> None:
    node = Node()
    node.network.ping(node.network.path(octets("::1")), 7, 9, b"data", 0)
    node.turn(0)
    assert node.echo_replies == [(octets("::1"), 7, 9, b"data", 0)]


# --- errors that we send


def test_an_error_quotes_as_much_as_1280_octets_hold(bench: Bench6) -> None:
    packet = bench.udp_packet(bytes(range(256)) * 5)
    bench.inject(packet)
    bench.network.send_port_unreachable(bench.node.packets[0], 0)
    bench.network.flush(0)
    (answer,) = bench.sent()
    assert len(answer) == 1280
    message = ICMPv6Message.unreachable(ICMPv6UnreachableCode.PORT, packet[:1232])
    assert answer == icmp(message, OURS6, PEER6, hop_limit=64)


def test_no_error_about_what_a_group_received(bench: Bench6) -> None:
    bench.inject(bench.udp_packet(dst="ff02::1"))
    bench.network.send_port_unreachable(bench.node.packets[0], 0)
    bench.inject(bench.udp_packet(dst="ff02::1", next_header=200))  # RFC 4443, 2.4 (e.3)
    bench.network.flush(0)
    assert bench.sent() == []
    assert bench.counters["icmp.error_suppressed"] == 2


@pytest.mark.parametrize(
    ("message", "answered"),
    [
        (ICMPv6Message.unreachable(4, our_packet()), False),
        (ICMPv6Message(100, 0), False),
        (ICMPv6Message(ICMPv6Type.REDIRECT, 0), False),
        (ICMPv6Message.echo_request(1, 1), True),
    ],
    ids=["error", "unknown-error", "redirect", "echo"],
)
def test_no_error_about_an_icmp_error_or_a_redirect(bench: Bench6, message: ICMPv6Message, answered: bool) -> None:
    bench.inject(bench.udp_packet())
    (template,) = bench.node.packets
    payload = message.to_bytes()
    about = IPPacket(
        template.src,
        template.dst,
        IPProtocol.ICMPV6,
        64,
        0,
        template.header,
        (payload,),
        len(payload),
        template.checksum,
        0,
        bench.interface,
        False,
    )
    bench.network.send_port_unreachable(about, 0)
    bench.network.flush(0)
    assert len(bench.sent()) == answered


def test_errors_of_both_versions_share_a_random_budget() -> None:
    bench = Bench6(NetConfig(icmp_error_rate=10, icmp_error_burst=10))
    bench.network.add_address(bench.interface, f"{OURS}/24")
    for _ in range(50):
        bench.inject(bench.udp_packet(next_header=200))
        bench.inject(Bench.udp_packet(protocol=200))
    sent = len(bench.sent())
    assert 6 <= sent <= 18
    assert bench.counters["icmp.rate_limited"] == 100 - sent
    bench.now = 10 * SECOND
    bench.inject(bench.udp_packet(next_header=200))
    assert len(bench.sent()) == 1


def test_echo_replies_are_limited() -> None:
    bench = Bench6(NetConfig(echo_reply_rate=10, echo_reply_burst=5))
    for sequence in range(100):
        bench.inject(icmp(ICMPv6Message.echo_request(1, sequence)))
    sent = len(bench.sent())
    assert 3 <= sent <= 10
    assert bench.counters["icmp.rate_limited"] == 100 - sent


def test_whom_no_route_leads_to_is_not_answered() -> None:
    bench = Bench6()
    bench.inject(icmp(ICMPv6Message.echo_request(7, 9), src=FAR))
    bench.inject(bench.udp_packet(src=FAR, next_header=200))
    assert bench.sent() == []
    assert bench.counters["icmp.unanswerable"] == 2


# --- errors that we are told


@pytest.mark.parametrize(
    ("message", "number", "hard"),
    [
        (ICMPv6Message.unreachable(ICMPv6UnreachableCode.NO_ROUTE, our_packet()), errno.ENETUNREACH, False),
        (ICMPv6Message.unreachable(ICMPv6UnreachableCode.PROHIBITED, our_packet()), errno.EACCES, True),
        (ICMPv6Message.unreachable(ICMPv6UnreachableCode.BEYOND_SCOPE, our_packet()), errno.EHOSTUNREACH, False),
        (ICMPv6Message.unreachable(ICMPv6UnreachableCode.ADDRESS, our_packet()), errno.EHOSTUNREACH, False),
        (ICMPv6Message.unreachable(ICMPv6UnreachableCode.PORT, our_packet()), errno.ECONNREFUSED, True),
        (ICMPv6Message.unreachable(ICMPv6UnreachableCode.POLICY, our_packet()), errno.EACCES, True),
        (ICMPv6Message.unreachable(ICMPv6UnreachableCode.REJECT_ROUTE, our_packet()), errno.EACCES, True),
        (ICMPv6Message.unreachable(99, our_packet()), errno.EPROTO, True),
        (ICMPv6Message.time_exceeded(0, our_packet()), errno.EHOSTUNREACH, False),
        (ICMPv6Message.parameter_problem(6, our_packet(), 1), errno.EPROTO, True),
        (ICMPv6Message(100, 3, 0, our_packet()), errno.EPROTO, False),
    ],
)
def test_errors_are_told_as_linux_tells_them(bench: Bench6, message: ICMPv6Message, number: int, hard: bool) -> None:
    bench.inject(icmp(message, src=ROUTER))
    (error,) = bench.node.errors
    assert (error.errno, error.hard, error.mtu) == (number, hard, None)
    assert (error.src, error.dst, error.protocol) == (octets(OURS6), octets(FAR), 17)
    assert (error.quote, error.reporter) == (udp_header(0), octets(ROUTER))
    assert (error.icmp_type, error.icmp_code) == (message.type, message.code)


def test_an_error_about_our_ping_reaches_the_pinger(bench: Bench6) -> None:
    request = ICMPv6Message.echo_request(7, 9, b"data").to_bytes()
    bench.inject(icmp(ICMPv6Message.unreachable(3, our_packet(58, request))))
    (error,) = bench.node.echo_errors
    assert error.quote == request
    assert bench.node.errors == []


def test_an_error_about_anything_but_our_flows_is_counted(bench: Bench6) -> None:
    reply = ICMPv6Message.echo_reply(7, 9).to_bytes()
    for quoted in (our_packet(132), our_packet(58, reply), our_packet(IPProtocol.IPV6_FRAG)):
        bench.inject(icmp(ICMPv6Message.unreachable(1, quoted)))
    assert bench.counters["icmp.quote_unknown"] == 3
    assert bench.node.errors == bench.node.echo_errors == []


@pytest.mark.parametrize("src", ["2001:db8::9", "::1", FAR])
def test_a_quote_that_is_not_from_the_address_told_is_refused(bench: Bench6, src: str) -> None:
    bench.inject(icmp(ICMPv6Message.unreachable(4, our_packet(src=src))))
    assert bench.node.errors == []
    assert bench.counters["icmp.quote_foreign"] == 1


@pytest.mark.parametrize(
    ("quoted", "reason"),
    [
        (b"", "icmp.quote_invalid"),
        (b"\x60" + bytes(38), "icmp.quote_invalid"),
        (b"\x45" + bytes(60), "icmp.quote_invalid"),
        (our_packet()[:47], "icmp.quote_short"),
    ],
)
def test_a_quote_that_is_too_little_is_counted(bench: Bench6, quoted: bytes, reason: str) -> None:
    bench.inject(icmp(ICMPv6Message.unreachable(4, quoted)))
    assert bench.node.errors == []
    assert bench.counters[reason] == 1


def test_eight_quoted_octets_are_enough(bench: Bench6) -> None:
    bench.inject(icmp(ICMPv6Message.unreachable(4, our_packet(6, bytes(20))[:48])))
    assert [len(error.quote) for error in bench.node.errors] == [8]


def test_an_error_sent_to_a_group_is_ignored(bench: Bench6) -> None:
    bench.inject(icmp(ICMPv6Message.unreachable(4, our_packet()), dst="ff02::1"))
    assert bench.counters["icmp.error_broadcast"] == 1


@pytest.mark.parametrize(("kind", "reason"), [(133, "ignored"), (135, "ignored"), (137, "redirect"), (200, "ignored")])
def test_other_messages_are_counted_and_silent(bench: Bench6, kind: int, reason: str) -> None:
    bench.inject(icmp(ICMPv6Message(kind, 0, 0, our_packet())))  # RFC 4443, 2.4 (b)
    assert bench.sent() == []
    assert bench.counters[f"icmp.{reason}"] == 1


def test_each_version_ignores_the_others_messages(bench: Bench6) -> None:
    bench.network.add_address(bench.interface, f"{OURS}/24")
    bench.inject(build(IPv6Header(PEER6, OURS6, IPProtocol.ICMP), bytes(8)))
    ((_, message),) = bench.sent_icmp()
    assert message.type == ICMPv6Type.PARAMETER_PROBLEM
    bench.inject(Bench.udp_packet(protocol=IPProtocol.ICMPV6))
    (answer,) = bench.sent()
    assert (answer[0], answer[9], answer[20:22]) == (0x45, 1, b"\x03\x02")
    assert answer[16:20] == octets(PEER)


# --- path MTU


def too_big(bench: Bench6, mtu: int, size: int = 1500) -> None:
    """A router's answer to a packet of `size` octets from us."""
    quoted = our_packet(transport=udp_header(size - 48) + bytes(size - 48))[:1232]
    bench.inject(icmp(ICMPv6Message.packet_too_big(mtu, quoted), src=ROUTER))


def test_a_packet_too_big_is_told_and_believed_only_when_the_flow_says_so(bench: Bench6) -> None:
    too_big(bench, 1400)
    (error,) = bench.node.errors
    assert (error.errno, error.hard, error.mtu) == (errno.EMSGSIZE, False, 1400)
    path = bench.network.path(octets(FAR))
    assert path.mtu == 1500
    assert bench.network.lower_path_mtu(error.dst, 1400, 0)
    assert path.mtu == 1400
    with pytest.raises(OSError, match="1401 octets"):
        bench.node.send_udp(FAR, bytes(1401 - 48))


@pytest.mark.parametrize(
    ("mtu", "reason"), [(0, "floor"), (576, "floor"), (1279, "floor"), (1500, "absurd"), (1 << 31, "absurd")]
)
def test_claims_below_1280_or_that_would_have_fitted_are_ignored(bench: Bench6, mtu: int, reason: str) -> None:
    too_big(bench, mtu)  # RFC 8201, section 4
    assert bench.node.errors == []
    assert bench.counters[f"icmp.mtu_{reason}"] == 1
    assert not bench.network.lower_path_mtu(octets(FAR), mtu, 0)


def test_1280_is_the_floor(bench: Bench6) -> None:
    too_big(bench, 1280)
    assert [error.mtu for error in bench.node.errors] == [1280]
    assert bench.network.lower_path_mtu(octets(FAR), 1280, 0)


def test_it_is_forgotten_after_ten_minutes(bench: Bench6) -> None:
    bench.network.lower_path_mtu(octets(FAR), 1280, 0)
    bench.node.send_udp(FAR, bytes(1452), now=600 * SECOND)
    assert bench.network.path(octets(FAR)).mtu == 1500
