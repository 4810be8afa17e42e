"""Each construct of the language, parsed."""

import pytest

from pystack.testing.packetdrill import ScriptError, parse_script
from pystack.testing.packetdrill.packets import format_packet
from pystack.testing.packetdrill.script import (
    Action,
    Application,
    BitOr,
    Call,
    Direction,
    Event,
    Expression,
    Group,
    ICMPPacket,
    IPFields,
    Packet,
    Quoted,
    Symbol,
    TCPPacket,
    Time,
    TimeKind,
    UDPPacket,
)
from pystack.units import MS, SECOND
from pystack.wire.tcp import TCPFlags
from pystack.wire.tcp_options import (
    SACK,
    EndOfOptions,
    FastOpen,
    MaximumSegmentSize,
    NoOperation,
    SACKPermitted,
    Timestamps,
    UnknownOption,
    WindowScale,
)
from tests.testing.packetdrill.drill import Drill


def event(source: str) -> Event:
    (only,) = parse_script(source, "a.pkt").events
    return only


def action(source: str) -> Action:
    return event(f"+0 {source}").action


def packet(source: str) -> Packet:
    parsed = action(source)
    assert isinstance(parsed, Packet)
    return parsed


def tcp(source: str) -> TCPPacket:
    body = packet(source).body
    assert isinstance(body, TCPPacket)
    return body


def argument(source: str) -> Expression:
    call = action(f"f({source}) = 0")
    assert isinstance(call, Call)
    (only,) = call.arguments
    return only


@pytest.mark.parametrize(
    ("source", "time"),
    [
        ("0", Time(TimeKind.ABSOLUTE)),
        ("1.5", Time(TimeKind.ABSOLUTE, 1500 * MS, 1500 * MS)),
        ("+.1", Time(TimeKind.RELATIVE, 100 * MS, 100 * MS)),
        ("+ 0.1", Time(TimeKind.RELATIVE, 100 * MS, 100 * MS)),
        ("+0.000001", Time(TimeKind.RELATIVE, 1000, 1000)),
        ("0.1~0.2", Time(TimeKind.ABSOLUTE, 100 * MS, 200 * MS)),
        ("+0.1~+0.2", Time(TimeKind.RELATIVE, 100 * MS, 200 * MS)),
        ("+0.1 ~ 0.2", Time(TimeKind.RELATIVE, 100 * MS, 200 * MS)),
        ("*", Time(TimeKind.ANY)),
        ("+0...0.5", Time(TimeKind.RELATIVE, until=500 * MS)),
        ("1...2", Time(TimeKind.ABSOLUTE, SECOND, SECOND, 2 * SECOND)),
    ],
)
def test_times(source: str, time: Time) -> None:
    assert event(f"{source} close(3) = 0").time == time


def test_a_range_must_not_end_before_it_starts() -> None:
    with pytest.raises(ScriptError, match="ends before it starts"):
        event("+0.2~+0.1 > . 1:1(0) ack 1")


def test_commands_and_code_may_stand_without_a_time() -> None:
    script = parse_script("`sysctl -q a=1`\n%{ x = 1 }%", "a.pkt")
    assert [each.time for each in script.events] == [Time(TimeKind.RELATIVE)] * 2


@pytest.mark.parametrize(
    ("source", "flags"),
    [
        ("S", TCPFlags.SYN),
        ("S.", TCPFlags.SYN | TCPFlags.ACK),
        ("FP.", TCPFlags.FIN | TCPFlags.PSH | TCPFlags.ACK),
        ("R.", TCPFlags.RST | TCPFlags.ACK),
        ("PU.", TCPFlags.PSH | TCPFlags.URG | TCPFlags.ACK),
        ("SEW", TCPFlags.SYN | TCPFlags.ECE | TCPFlags.CWR),
        ("SEWA", TCPFlags.SYN | TCPFlags.ECE | TCPFlags.CWR | TCPFlags.AE),
        ("-", TCPFlags(0)),
    ],
)
def test_flags(source: str, flags: TCPFlags) -> None:
    ack = " ack 1" if "." in source else ""
    assert tcp(f"> {source} 1:1(0){ack}").flags == flags


def test_everything_a_segment_can_say() -> None:
    assert tcp("< P. 1:101(100) ack 7 win 257 urg 3 <mss 1000>") == TCPPacket(
        TCPFlags.PSH | TCPFlags.ACK, 1, 100, 7, 257, 3, (MaximumSegmentSize(1000),)
    )


def test_what_a_segment_leaves_out_is_not_compared() -> None:
    assert tcp("> . 1:1(0) ack 1") == TCPPacket(TCPFlags.ACK, 1, 0, 1, None, None, ())
    assert tcp("> . 1:1(0) ack 1 <...>").options is None


def test_directions() -> None:
    assert packet("> . 1:1(0) ack 1").direction is Direction.OUTBOUND
    assert packet("< . 1:1(0) ack 1 win 1").direction is Direction.INBOUND


@pytest.mark.parametrize(
    ("source", "option"),
    [
        ("mss 1460", MaximumSegmentSize(1460)),
        ("nop", NoOperation()),
        ("eol", EndOfOptions()),
        ("wscale 7", WindowScale(7)),
        ("sackOK", SACKPermitted()),
        ("sack 1:2", SACK(((1, 2),))),
        ("sack 1:2 3:4 5:6", SACK(((1, 2), (3, 4), (5, 6)))),
        ("TS val 100 ecr 200", Timestamps(100, 200)),
        ("FO", FastOpen()),
        ("FO a1b2c3d4", FastOpen(bytes.fromhex("a1b2c3d4"))),
        ("FO 1234567812345678", FastOpen(bytes.fromhex("1234567812345678"))),
        ("FOEXP a1b2", UnknownOption(254, bytes.fromhex("f989a1b2"))),
        ("md5 000102030405060708090a0b0c0d0e0f", UnknownOption(19, bytes(range(16)))),
    ],
)
def test_tcp_options(source: str, option: object) -> None:
    assert tcp(f"> S 0:0(0) <nop,{source},nop>").options == (NoOperation(), option, NoOperation())


@pytest.mark.parametrize(
    ("source", "fields"),
    [
        ("ect0", IPFields(ecn=(2,))),
        ("ect1", IPFields(ecn=(1,))),
        ("ect01", IPFields(ecn=(2, 1))),
        ("ce", IPFields(ecn=(3,))),
        ("noecn", IPFields(ecn=(0,))),
        ("tos 0x12", IPFields(dscp=4, ecn=(2,))),
        ("ce,ttl 3", IPFields(ecn=(3,), ttl=3)),
        ("flowlabel 0x1f", IPFields(flow_label=31)),
    ],
)
def test_ip_fields(source: str, fields: IPFields) -> None:
    assert packet(f"> [{source}] . 1:1(0) ack 1").ip == fields


def test_udp() -> None:
    assert packet("< udp (1000)").body == UDPPacket(1000)


@pytest.mark.parametrize(
    ("source", "body"),
    [
        ("icmp unreachable frag_needed mtu 1400 [1:1461(1460)]", ICMPPacket(4, 3, 4, 1400, Quoted(1, 1460))),
        ("icmp unreachable host_unreachable [0:0(0)]", ICMPPacket(4, 3, 1, None, Quoted(0, 0))),
        ("icmp unreachable port_unreachable [udp (100)]", ICMPPacket(4, 3, 3, None, Quoted(None, 100))),
        ("icmp source_quench [1:2(1)]", ICMPPacket(4, 4, 0, None, Quoted(1, 1))),
        ("icmp 3 13 [1:2(1)]", ICMPPacket(4, 3, 13, None, Quoted(1, 1))),
        ("icmpv6 packet_too_big mtu 1280 [1:2(1)]", ICMPPacket(6, 2, 0, 1280, Quoted(1, 1))),
        ("icmpv6 unreachable noroute", ICMPPacket(6, 1, 0)),
    ],
)
def test_icmp(source: str, body: ICMPPacket) -> None:
    assert packet(f"< {source}").body == body


@pytest.mark.parametrize(
    "source",
    [
        "> S 0:0(0) <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 8>",
        "> . 1:1(0) ack 1 win 9 <nop,nop,sack 3:4 5:6>",
        "< P. 1:101(100) ack 7 win 257 urg 3 <...>",
        "< - 1:2(1) win 1",
        "> [ce,ttl 3] . 1:1(0) ack 1",
        "> S 0:0(0) <FO aabb>",
        "< udp (7)",
        "< icmp unreachable frag_needed mtu 1400 [1:1461(1460)]",
        "< icmpv6 unreachable port_unreachable [udp (7)]",
        "> icmpv6 echo_reply",
    ],
)
def test_packets_are_printed_as_they_are_written(source: str) -> None:
    assert format_packet(packet(source)).replace("PU", "UP") == source.replace("PU", "UP")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("> . 1:1(0)", "needs ack"),
        ("> S 0:0(0) ack 1", "needs the flag"),
        ("< S 0:0(0)", "needs win"),
        ("> P. 1:101(99) ack 1", "are not 99 octets"),
        ("> X 1:1(0)", "expected flags"),
        ("> . ack 1", "expected sequence numbers"),
        ("> S 0:0(0) <nope>", "nope: the TCP options are"),
        ("> [purple] . 1:1(0) ack 1", "purple is not an ECN mark"),
        ("> icmp nothing", "nothing is not a type"),
    ],
)
def test_packets_that_are_wrong(source: str, problem: str) -> None:
    with pytest.raises(ScriptError, match=problem):
        packet(source)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("7", 7),
        ("-1", -1),
        ("0x1f", 31),
        ("010", 8),
        ("1.5", 1.5),
        ("1000000000UL", 10**9),
        ("...", ...),
        ('"a\\n"', "a\n"),
        ("[1]", [1]),
        ("[1, [2]]", [1, [2]]),
        ("[]", []),
        ("AF_INET", Symbol("AF_INET")),
        ("O_RDWR|O_NONBLOCK", BitOr((Symbol("O_RDWR"), Symbol("O_NONBLOCK")))),
        ("htons(80)", Application("htons", (80,))),
        ("&addr", Symbol("addr")),
        ("{..., 1000}", Group((), (..., 1000))),
        ("{fd=3, events=POLLIN}", Group((("fd", 3), ("events", Symbol("POLLIN"))))),
        ("{msg_name(...)=..., msg_iov(1)=[{..., 5}]}", Group((("msg_name", ...), ("msg_iov", [Group((), (..., 5))])))),
    ],
)
def test_values(source: str, value: Expression) -> None:
    assert argument(source) == value


def test_mixed_struct_as_strace_prints_it() -> None:
    parsed = argument('{sa_family = AF_INET6, sin6_port = htons(80), inet_pton(AF_INET6, "::1", &sin6_addr)}')
    assert isinstance(parsed, Group)
    assert parsed.get("sin_port", "sin6_port") == Application("htons", (80,))
    assert parsed.items == (Application("inet_pton", (Symbol("AF_INET6"), "::1", Symbol("sin6_addr"))),)


def test_results() -> None:
    call = action("connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)")
    assert call == Call("connect", (3, ..., ...), -1, "EINPROGRESS")
    assert action("fcntl(3, F_GETFL) = 0x2") == Call("fcntl", (3, Symbol("F_GETFL")), 2)
    assert action("read(3, ..., 5) = ?") == Call("read", (3, ..., 5), ...)


def test_a_call_may_span_lines() -> None:
    assert action("sendto(3, ..., 5,\n 0,\n ..., ...)\n = 5") == Call("sendto", (3, ..., 5, 0, ..., ...), 5)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("close(3) = 0", "expected a time"),
        ("+0", "expected <, >, a socket call"),
        ("+0 close(3", 'expected ","'),
        ("+0 close(3)", 'expected "="'),
        ("+0 close(3) = 0 close(4) = 0", "expected a time"),
        ("+0 close({a=1 b}) = 0", 'expected ","'),
    ],
)
def test_lines_that_are_wrong(source: str, problem: str) -> None:
    with pytest.raises(ScriptError, match=f"a.pkt:1: {problem}"):
        parse_script(source, "a.pkt")


@pytest.mark.parametrize(
    ("packet", "construct"),
    [
        ("> ipv4 1.2.3.4 > 5.6.7.8: . 1:1(0) ack 1", "ipv4: packets inside packets"),
        ("< gre: ipv4 1.2.3.4 > 5.6.7.8: . 1:1(0) ack 1 win 9", "gre: packets inside packets"),
        ("< sctp: INIT[flgs=0]", "packets of sctp"),
        ("< S 0:0(0) win 9 <mss 1460,mp_capable v1 nokey>", "the TCP option mp_capable"),
        ("< S 0:0(0) win 9 <exp-tarr 10>", "the TCP option exp-tarr"),
        ("< icmp echo_request id 7", "id in an ICMP message"),
    ],
)
def test_packets_of_the_language_that_are_not_there(drill: Drill, packet: str, construct: str) -> None:
    assert construct in drill.lacks(f"+0 {packet}")


@pytest.mark.parametrize("marks", ["[ce]", "[ECN ce]", "(ce)", "[ECN ce, ttl 9]", "(ttl 9, flowlabel 7, ect0)"])
def test_marks_of_the_ip_header(drill: Drill, marks: str) -> None:
    drill.passes(f"+0 < {marks} P. 1:11(10) ack 1 win 9\n+0 > . 1:1(0) ack 11")


def test_a_counter_among_the_flags(drill: Drill) -> None:
    drill.passes("+0 < P.5 1:11(10) ack 1 win 9\n+0 > . 1:1(0) ack 11")


def test_small_forms(drill: Drill) -> None:
    drill.passes('+0 setsockopt(4, SOL_TCP, TCP_CONGESTION, "cu" "bic", 5) = 0')
    drill.passes("+0 setsockopt(4, SOL_SOCKET, SO_MARK, [~0], 4) = 0\n+0 write(4, ..., (10)) = 10")
    drill.passes("# a remark\n#\n+0 write(4, ..., 1) = 1")
    drill.passes("--define=LENGTH=10\n+0 write(4, ..., LENGTH) = LENGTH")


def test_the_names_of_the_ip_versions_may_have_hyphens(drill: Drill) -> None:
    assert drill.passes("--ip_version=ipv4-mapped-ipv6\n+0 write(4, ..., 1) = 1").ip_version == "ipv4_mapped_ipv6"
