"""Source routes: given by an application, recorded on the way, turned round (RFC 791; RFC 1122, section 3.2.1.8)."""

from errno import EACCES, EINVAL, ENETUNREACH

import pytest

from pystack.link.base import Medium
from pystack.net.config import NetConfig
from pystack.net.sourceroute import SourceRoute
from pystack.wire.checksum import internet_checksum
from pystack.wire.icmpv4 import ICMPv4Message, ICMPv4Type
from pystack.wire.ipv4 import IPv4Header
from pystack.wire.ipv4_options import IPv4Option
from pystack.wire.packet import build
from tests.net.harness import OURS, PEER, Bench, octets, udp_header

LOOSE, STRICT = IPv4Option.LOOSE_SOURCE_ROUTE, IPv4Option.STRICT_SOURCE_ROUTE
FAR = "198.51.100.9"


def option(*hops: str, kind: int = LOOSE, pointer: int = 4) -> IPv4Option:
    return IPv4Option(kind, bytes([pointer]) + b"".join(map(octets, hops)))


def recorded(*hops: str, kind: int = LOOSE) -> IPv4Option:
    return option(*hops, kind=kind, pointer=4 + 4 * len(hops))


def route(*hops: str, strict: bool = False) -> SourceRoute:
    return SourceRoute(tuple(map(octets, hops)), strict)


@pytest.fixture
def open_bench() -> Bench:
    """Accepts source routes, on a link without neighbours."""
    return Bench(Medium.IP, NetConfig(accept_source_routes=True))


# What applications give


@pytest.mark.parametrize("kind", [LOOSE, STRICT])
@pytest.mark.parametrize("around", [(b"", b""), (b"\1", b""), (b"", b"\0"), (b"\1\1", b"\0\0")])
def test_a_route_is_read_from_options(kind: int, around: tuple[bytes, bytes]) -> None:
    area = around[0] + option("192.0.2.11", "192.0.2.12", kind=kind).to_bytes() + around[1]
    assert SourceRoute.parse(area) == route("192.0.2.11", "192.0.2.12", strict=kind == STRICT)


@pytest.mark.parametrize("area", [b"", b"\0", b"\1\1\1\0"])
def test_no_option_is_no_route(area: bytes) -> None:
    assert SourceRoute.parse(area) is None


@pytest.mark.parametrize(
    "area",
    [
        option().to_bytes(),
        recorded("192.0.2.11").to_bytes(),
        option(*["192.0.2.11"] * 9).to_bytes()[:-1],
        bytes((LOOSE, 2)),
        bytes((LOOSE, 5, 4, 1, 2)),
        option("192.0.2.11").to_bytes() * 2,
        IPv4Option(IPv4Option.RECORD_ROUTE, bytes([4, 0, 0, 0, 0])).to_bytes(),
        b"\x83",
    ],
)
def test_other_options_cannot_be_sent(area: bytes) -> None:
    with pytest.raises(ValueError, match=r"IP options|source route"):
        SourceRoute.parse(area)


def test_as_many_hops_as_a_header_holds() -> None:
    nine = SourceRoute.parse(option(*["192.0.2.11"] * 9).to_bytes())
    assert nine is not None
    assert len(nine.options(octets(FAR))) == nine.octets == 40


# What is sent


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("dont_fragment", [False, True])
def test_a_datagram_sets_out_for_the_first_hop(any_bench: Bench, strict: bool, dont_fragment: bool) -> None:
    any_bench.introduce("192.0.2.11")
    network = any_bench.network
    path = network.path(octets(FAR), route=route("192.0.2.11", "192.0.2.12", strict=strict))
    assert (path.dst, path.next_hop, path.header_octets) == (octets(FAR), octets("192.0.2.11"), 32)
    for size in (7, 100):
        network.send(path, 17, udp_header(size), (bytes(size),), size, 0, dont_fragment=dont_fragment)
    network.flush(0)
    for packet, size in zip(any_bench.sent_packets(), (7, 100), strict=True):
        header = IPv4Header.from_bytes(packet)
        assert (str(header.dst), header.total_length, len(packet)) == ("192.0.2.11", 40 + size, 40 + size)
        assert option("192.0.2.12", FAR, kind=STRICT if strict else LOOSE) in header.options
        assert internet_checksum(packet[:32]) == 0


@pytest.mark.parametrize(
    ("hops", "dst", "number"),
    [
        (("224.0.0.1",), FAR, EINVAL),
        (("192.0.2.11", "255.255.255.255"), FAR, EINVAL),
        (("0.0.0.0",), FAR, EINVAL),
        (("127.0.0.1",), FAR, EINVAL),
        ((OURS,), FAR, EINVAL),
        (("192.0.2.11",), OURS, EINVAL),
        (("192.0.2.11",), "224.0.0.1", EINVAL),
        (("192.0.2.255",), FAR, EACCES),
    ],
)
def test_only_hosts_can_be_visited(bench: Bench, hops: tuple[str, ...], dst: str, number: int) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what is matched
        bench.network.path(octets(dst), broadcast=True, route=route(*hops))
    assert caught.value.errno == number


def test_a_strict_route_begins_at_a_neighbour(bench: Bench) -> None:
    with pytest.raises(OSError, match="strict") as caught:
        bench.network.path(octets(FAR), route=route("203.0.113.1", strict=True))
    assert caught.value.errno == ENETUNREACH
    assert bench.network.path(octets(FAR), route=route("203.0.113.1")).next_hop == octets(PEER)


def test_a_route_outlives_a_change_of_routes(bench: Bench) -> None:
    path = bench.network.path(octets(FAR), route=route("192.0.2.11"))
    bench.network.add_route("203.0.113.0/24", PEER)
    renewed = bench.network.refresh(path)
    assert renewed is not path
    assert (renewed.route, renewed.next_hop) == (path.route, path.next_hop)


def test_ipv6_takes_no_notice() -> None:
    bench = Bench(Medium.IP)
    bench.network.add_address(bench.interface, "2001:db8::1/64")
    assert bench.network.path(octets("2001:db8::2"), route=route("192.0.2.11")).route is None


# What arrives


@pytest.mark.parametrize(
    ("came", "back"),
    [
        (recorded("192.0.2.11"), route("192.0.2.11")),
        (recorded("192.0.2.11", "192.0.2.12"), route("192.0.2.12", "192.0.2.11")),
        (recorded("192.0.2.11", "192.0.2.12", kind=STRICT), route("192.0.2.12", "192.0.2.11", strict=True)),
        (recorded(PEER, "192.0.2.11", "192.0.2.12"), route("192.0.2.12", "192.0.2.11")),
        (recorded(PEER), None),
        (recorded(), None),
        (IPv4Option(IPv4Option.ROUTER_ALERT, bytes(2)), None),
    ],
    ids=str,
)
def test_the_way_back_is_the_way_reversed(open_bench: Bench, came: IPv4Option, back: SourceRoute | None) -> None:
    """Correctly formed also in case (B) of RFC 1122, where the sender has recorded itself."""
    open_bench.inject(open_bench.udp_packet(options=(came,)))
    (packet,) = open_bench.node.packets
    assert packet.route == back


UNFIT = [
    option("192.0.2.11"),
    option("192.0.2.11", "192.0.2.12", pointer=8),
    option("192.0.2.11", pointer=12),
    option("192.0.2.11", pointer=0),
    IPv4Option(LOOSE, b""),
    IPv4Option(LOOSE, b"\x08\1\2\3"),
]


@pytest.mark.parametrize("unfit", UNFIT, ids=str)
def test_what_would_have_to_go_on_is_dropped(open_bench: Bench, unfit: IPv4Option) -> None:
    """Nothing is forwarded."""
    open_bench.inject(open_bench.udp_packet(options=(unfit,)))
    assert open_bench.node.packets == []
    assert open_bench.counters["ipv4.source_route"] == 1
    assert open_bench.sent() == []


def test_two_routes_are_none(open_bench: Bench) -> None:
    open_bench.inject(open_bench.udp_packet(options=(recorded("192.0.2.11"), recorded("192.0.2.12"))))
    assert open_bench.counters["ipv4.source_route"] == 1


@pytest.mark.parametrize("came", [recorded("192.0.2.11"), recorded(PEER), recorded(), *UNFIT], ids=str)
def test_none_is_taken_unless_allowed(any_bench: Bench, came: IPv4Option) -> None:
    any_bench.inject(any_bench.udp_packet(options=(came,)))
    assert any_bench.node.packets == []
    assert any_bench.counters["ipv4.source_route"] == 1


def test_an_echo_reply_goes_back_by_the_route(open_bench: Bench) -> None:
    """RFC 1122, section 3.2.2.6."""
    header = IPv4Header(PEER, OURS, 1, options=(recorded("192.0.2.11", "192.0.2.12"),))
    open_bench.inject(build(header, ICMPv4Message.echo_request(1, 2, b"data")))
    (packet,) = open_bench.sent()
    answer = IPv4Header.from_bytes(packet)
    assert str(answer.dst) == "192.0.2.12"
    assert option("192.0.2.11", PEER) in answer.options
    assert ICMPv4Message.from_bytes(packet[answer.size :]).type == ICMPv4Type.ECHO_REPLY


def test_a_way_back_over_many_is_not_gone(open_bench: Bench) -> None:
    header = IPv4Header(PEER, OURS, 1, options=(recorded("192.0.2.255"),))
    open_bench.inject(build(header, ICMPv4Message.echo_request(1, 2, b"data")))
    assert open_bench.sent() == []
    assert open_bench.counters["icmp.unanswerable"] == 1


# What is said of what was sent


@pytest.mark.parametrize("travelled", [0, 1, 2])
def test_an_error_from_the_way_is_about_the_final_destination(bench: Bench, travelled: int) -> None:
    stops = ["192.0.2.11", "192.0.2.12", FAR]
    quoted = option(*(stops[:travelled] + stops[travelled + 1 :]), pointer=4 + 4 * travelled)
    ours = IPv4Header(OURS, stops[travelled], 17, options=(quoted,))
    quote = build(ours, udp_header(4) + b"data")
    bench.inject(build(IPv4Header("192.0.2.11", OURS, 1), ICMPv4Message(3, 5, 0, quote)))
    (error,) = bench.node.errors
    assert (error.dst, error.quote[:4]) == (octets(FAR), b"\0\1\0\2")


@pytest.mark.parametrize("data", [b"", b"\x04", b"\x00", b"\x04\1\2\3"])
def test_a_quote_with_half_a_route_is_survived(bench: Bench, data: bytes) -> None:
    ours = IPv4Header(OURS, PEER, 17, options=(IPv4Option(LOOSE, data),))
    bench.inject(build(IPv4Header(PEER, OURS, 1), ICMPv4Message(3, 1, 0, build(ours, udp_header(4) + b"data"))))
    assert [error.dst for error in bench.node.errors] in ([], [octets(PEER)])


def test_a_first_hop_that_does_not_answer_is_told_of_the_final_destination(bench: Bench) -> None:
    path = bench.network.path(octets(FAR), route=route("192.0.2.11"))
    bench.network.send(path, 17, udp_header(0), (), 0, 0)
    bench.pass_time(10_000_000_000)
    (error,) = bench.node.errors
    assert error.dst == octets(FAR)
