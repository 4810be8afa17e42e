"""IPv6 datagrams in and out (RFC 8200), and which rule stops the others."""

import errno
from contextlib import nullcontext

import pytest

from pystack.errors import DecodeError
from pystack.link.base import Checksum, Frame, GSOType, LinkCapabilities, Medium, Offload
from pystack.link.memory import MemoryLink
from pystack.link.normalise import normalise
from pystack.net.ipv6 import accept_ipv6
from pystack.wire.icmpv6 import ICMPv6Type
from pystack.wire.ipv6 import IPv6Header
from pystack.wire.packet import build
from pystack.wire.protocol import IPProtocol
from pystack.wire.tcp import TCPFlags, TCPHeader
from tests.net.harness import OURS, OURS6, PEER, PEER6, Bench, Bench6, Node, SharingLink, octets, udp_header

MAPPED = "::ffff:192.0.2.9"
ALL_NODES = "ff02::1"


@pytest.fixture
def bench() -> Bench6:
    return Bench6()


def received(bench: Bench6) -> list[bytes]:
    return [b"".join(packet.payload) for packet in bench.node.packets]


# --- in


def test_a_datagram_for_us_is_delivered_as_it_is(bench: Bench6) -> None:
    bench.inject(bench.udp_packet(b"hello", hop_limit=7, traffic_class=0x11, flow_label=0x12345))
    (packet,) = bench.node.packets
    assert (packet.src, packet.dst, packet.protocol) == (octets(PEER6), octets(OURS6), 17)
    assert (packet.ttl, packet.tos, packet.length, packet.gso_size) == (7, 0x11, 13, 0)
    assert (packet.checksum, packet.broadcast) == (Checksum.COMPLETE, False)
    assert packet.interface is bench.interface
    assert received(bench) == [udp_header(5) + b"hello"]


def test_marks_of_the_link_reach_the_transport(bench: Bench6) -> None:
    packet = bench.udp_packet()
    bench.inject(packet, offload=Offload(Checksum.VERIFIED, gso_type=GSOType.TCPV6, gso_size=1000))
    assert (bench.node.packets[0].checksum, bench.node.packets[0].gso_size) == (Checksum.VERIFIED, 1000)


@pytest.mark.parametrize("scattered", [False, True], ids=["one-buffer", "scattered"])
def test_padding_of_the_link_is_trimmed_and_payload_not_copied(bench: Bench6, scattered: bool) -> None:
    packet = bench.udp_packet(b"ab")
    buffers = (packet[:-1], packet[-1:] + b"pad", b"more") if scattered else (packet + bytes(16),)
    bench.inject(*buffers)
    assert received(bench) == [udp_header(2) + b"ab"]
    first = bench.node.packets[0].payload[0]
    assert isinstance(first, memoryview)
    assert first.obj is buffers[0]
    assert bench.node.packets[0].datagram(1000) == packet


@pytest.mark.parametrize("scattered", [False, True], ids=["one-buffer", "scattered"])
def test_a_truncated_datagram_is_dropped(bench: Bench6, scattered: bool) -> None:
    packet = bench.udp_packet(b"abcdef")[:-1]
    bench.inject(*((packet[:-2], packet[-2:]) if scattered else (packet,)))
    assert received(bench) == []
    assert bench.counters["ipv6.truncated"] == 1


@pytest.mark.parametrize("packet", [b"\x60", b"\x60" + bytes(38)])
def test_less_than_a_header_is_counted(bench: Bench6, packet: bytes) -> None:
    bench.inject(packet)
    assert bench.counters["ipv6.short"] == 1


@pytest.mark.parametrize("hop_limit", [0, 1])
def test_a_low_hop_limit_is_no_reason_to_drop(bench: Bench6, hop_limit: int) -> None:
    bench.inject(bench.udp_packet(hop_limit=hop_limit))
    assert len(bench.node.packets) == 1


@pytest.mark.parametrize(
    ("next_header", "reason"),
    [
        (IPProtocol.IPV6_FRAG, "ipv6.fragment"),
        (IPProtocol.HOPOPT, "ipv6.extension"),
        (IPProtocol.IPV6_OPTS, "ipv6.extension"),
        (IPProtocol.IPV6_ROUTE, "ipv6.extension"),
        (IPProtocol.IPV6_NONXT, "ipv6.no_next_header"),
    ],
)
def test_extension_headers_are_counted_and_dropped(bench: Bench6, next_header: int, reason: str) -> None:
    bench.inject(bench.udp_packet(next_header=next_header))
    assert received(bench) == bench.sent() == []
    assert bench.counters[reason] == 1


def test_a_type_0_routing_header_makes_us_no_stepping_stone(bench: Bench6) -> None:
    route = bytes((17, 2, 0, 1)) + bytes(4) + octets("2001:db8::99")  # RFC 5095
    bench.inject(build(IPv6Header(PEER6, OURS6, IPProtocol.IPV6_ROUTE), route + udp_header(0)))
    assert received(bench) == bench.sent() == []


@pytest.mark.parametrize("dst", ["2001:db8::9", "fe80::1", "ff02::2", "ff02::1:ff00:1", "ff05::1"])
def test_datagrams_for_others_are_dropped(bench: Bench6, dst: str) -> None:
    bench.inject(bench.udp_packet(dst=dst))
    assert received(bench) == bench.sent() == []
    assert bench.counters["ipv6.not_ours"] == 1


def test_all_nodes_are_we(bench: Bench6) -> None:
    bench.inject(bench.udp_packet(dst=ALL_NODES))
    assert bench.node.packets[0].broadcast


def test_an_interface_without_an_ipv6_address_takes_nothing() -> None:
    bench = Bench(Medium.IP)
    for dst in (OURS6, ALL_NODES):
        bench.inject(Bench6.udp_packet(dst=dst))
    assert bench.counters["ipv6.not_ours"] == 2


def test_an_address_of_another_interface_is_not_ours_here(bench: Bench6) -> None:
    bench.network.add_interface(MemoryLink.pair(medium=Medium.IP)[0], "2001:db8:1::1/64")
    bench.inject(bench.udp_packet(dst="2001:db8:1::1"))
    assert bench.counters["ipv6.not_ours"] == 1


@pytest.mark.parametrize("dst", ["::1", "::", MAPPED, "ff00::1", "ff01::1"])
def test_destinations_that_no_link_carries_are_martians(bench: Bench6, dst: str) -> None:
    bench.inject(bench.udp_packet(dst=dst))
    assert received(bench) == []
    assert bench.counters["ipv6.martian"] == 1


@pytest.mark.parametrize("src", ["::", "::1", MAPPED, "::192.0.2.9", "ff02::1", "ff0e::5"])
def test_martian_sources_are_dropped(bench: Bench6, src: str) -> None:
    bench.inject(bench.udp_packet(src=src))
    assert received(bench) == []
    assert bench.counters["ipv6.martian"] == 1


def test_a_translated_address_is_a_host_like_any_other(bench: Bench6) -> None:
    bench.inject(bench.udp_packet(src="64:ff9b::192.0.2.9"))  # RFC 6052
    assert len(bench.node.packets) == 1


@pytest.mark.parametrize("src", [OURS6, "2001:db8:1::1"])
def test_our_own_addresses_as_sources_are_spoofed(bench: Bench6, src: str) -> None:
    bench.network.add_interface(MemoryLink.pair(medium=Medium.IP)[0], "2001:db8:1::1/64")
    bench.inject(bench.udp_packet(src=src))
    assert received(bench) == []
    assert bench.counters["ipv6.spoofed"] == 1


def test_ethernet_does_not_carry_it_yet() -> None:
    bench = Bench()
    with pytest.raises(OSError, match="neighbour discovery") as caught:
        bench.network.add_address(bench.interface, f"{OURS6}/64")
    assert caught.value.errno == errno.EAFNOSUPPORT
    with pytest.raises(OSError, match="neighbour discovery"):
        bench.network.add_interface(MemoryLink.pair()[0], f"{OURS6}/64")
    assert len(bench.network.interfaces) == 2


# --- out


def test_a_datagram_is_written_octet_by_octet(bench: Bench6) -> None:
    bench.node.send_udp(PEER6, b"hello", tos=0x20, ttl=3)
    bench.network.flush(0)
    (packet,) = bench.sent()
    assert packet[:8] == bytes.fromhex("62000000 000d 11 03")
    assert packet[8:40] == octets(OURS6) + octets(PEER6)
    assert packet[40:] == udp_header(5) + b"hello"


def test_defaults_are_hop_limit_64_and_no_flow_label(bench: Bench6) -> None:
    bench.node.send_udp(PEER6, dont_fragment=False)
    bench.network.flush(0)
    header = IPv6Header.from_bytes(bench.sent()[0])
    assert (header.hop_limit, header.flow_label, header.traffic_class) == (64, 0, 0)


def test_what_exceeds_the_mtu_is_refused(bench: Bench6) -> None:
    bench.node.send_udp(PEER6, bytes(1452))
    with pytest.raises(OSError, match="1501 octets") as caught:
        bench.node.send_udp(PEER6, bytes(1453))
    assert caught.value.errno == errno.EMSGSIZE


def test_a_super_segment_is_marked_so_that_it_is_cut() -> None:
    bench = Bench6(tx_checksum=True, tso=65535)
    path = bench.network.path(octets(PEER6))
    header = TCPHeader(1, 2, 1000, 0, TCPFlags.ACK).to_bytes()
    bench.network.send(path, 6, header, (bytes(3000),), 3000, 0, csum_offset=16, gso_size=1000)
    bench.network.flush(0)
    (frame,) = bench.frames()
    assert frame.offload == Offload(Checksum.PARTIAL, 40, 16, GSOType.TCPV6, 1000, 60)
    cut = [each.to_bytes() for each in normalise(frame, Medium.IP)]
    assert [IPv6Header.from_bytes(each).payload_length for each in cut] == [1020] * 3
    assert [TCPHeader.from_bytes(each[40:]).seq for each in cut] == [1000, 2000, 3000]


def test_a_partial_checksum_alone_is_no_super_segment() -> None:
    bench = Bench6(tx_checksum=True)
    bench.node.send_udp(PEER6, csum_offset=6)
    bench.network.flush(0)
    assert bench.frames()[0].offload == Offload(Checksum.PARTIAL, 40, 6)


# --- ways


def refused(node: Node, dst: str, src: str | None = None) -> int | None:
    with pytest.raises(OSError, match=r".+") as caught:
        node.network.path(octets(dst), octets(src) if src else None)
    return caught.value.errno


def test_neighbours_and_the_gateway() -> None:
    bench = Bench6(gateway=PEER6)
    near, far = (bench.network.path(octets(dst)) for dst in ("2001:db8::7", "2001:db8:f::7"))
    assert (near.next_hop, near.mtu, near.src) == (octets("2001:db8::7"), 1500, octets(OURS6))
    assert (far.next_hop, far.interface) == (octets(PEER6), bench.interface)
    assert repr(far) == "<Path 2001:db8::1 > 2001:db8:f::7 via 2001:db8::2 on ip0>"


def test_without_a_route_a_network_is_unreachable(bench: Bench6) -> None:
    assert refused(bench.node, "2001:db8:f::7") == errno.ENETUNREACH
    bench.network.add_route("2001:db8:f::/48", PEER6)
    assert bench.network.path(octets("2001:db8:f::7")).next_hop == octets(PEER6)
    bench.network.add_route("::/0", None, bench.interface)
    assert bench.network.path(octets("2a00::1")).next_hop == octets("2a00::1")


def test_both_versions_live_on_one_interface(bench: Bench6) -> None:
    bench.network.add_address(bench.interface, f"{OURS}/24")
    assert bench.network.path(octets(PEER)).src == octets(OURS)
    assert bench.network.path(octets(PEER6)).src == octets(OURS6)
    bench.inject(Bench.udp_packet(b"four"))
    bench.inject(bench.udp_packet(b"six"))
    assert received(bench) == [udp_header(4) + b"four", udp_header(3) + b"six"]
    assert refused(bench.node, PEER6, OURS) == errno.EAFNOSUPPORT
    assert refused(bench.node, "203.0.113.1") == errno.ENETUNREACH


def test_versions_do_not_mix_in_one_route(bench: Bench6) -> None:
    with pytest.raises(ValueError, match="different IP versions"):
        bench.network.add_route("2001:db8:f::/48", PEER)
    with pytest.raises(ValueError, match="different IP versions"):
        bench.network.add_interface(MemoryLink.pair(medium=Medium.IP)[0], "2001:db8:1::1/64", PEER)


@pytest.mark.parametrize(("dst", "src"), [("::1", "::1"), ("::", "::1"), (OURS6, OURS6)])
def test_own_and_loopback_addresses_stay_inside(bench: Bench6, dst: str, src: str) -> None:
    path = bench.network.path(octets(dst))
    assert (path.interface, path.src) == (bench.network.loopback, octets(src))
    bench.node.send_udp(dst)
    bench.node.turn(0)
    assert [packet.src for packet in bench.node.packets] == [octets(src)]
    assert bench.sent() == []


def test_loopback_needs_no_interface() -> None:
    node = Node()
    node.send_udp("::1")
    node.turn(0)
    assert len(node.packets) == 1
    assert node.network.is_local(octets("::1"))
    assert not node.network.is_local(octets(OURS6))


def test_a_bound_source_must_be_ours_and_not_loopback(bench: Bench6) -> None:
    assert refused(bench.node, PEER6, "2001:db8::77") == errno.EADDRNOTAVAIL
    assert refused(bench.node, PEER6, "::1") == errno.EINVAL
    assert bench.network.path(octets(PEER6), octets("::")).src == octets(OURS6)


@pytest.mark.parametrize("dst", [MAPPED, "::2", "ff00::1", "ff01::1"])
def test_nobodys_addresses_are_invalid(bench: Bench6, dst: str) -> None:
    assert refused(bench.node, dst) == errno.EINVAL


def test_groups_need_no_permission_and_leave_by_the_first_interface(bench: Bench6) -> None:
    path = bench.network.path(octets("ff02::fb"))
    assert (path.interface, path.src, path.broadcast) == (bench.interface, octets(OURS6), False)


@pytest.mark.parametrize(
    ("dst", "src"),
    [
        ("fe80::9", "fe80::1"),  # RFC 6724, rule 2: the smallest scope that reaches
        ("ff02::fb", "fe80::1"),
        ("fec0::9", "fec0::1"),
        ("2a00::1", OURS6),  # rule 8 finds no difference: the first
        ("2001:db8:0:2::9", "2001:db8:0:2::1"),  # rule 8
        ("2001:db8:0:3::9", "2001:db8:0:2::1"),
        ("fd00:1::9", "fd00:1::1"),
    ],
)
def test_the_source_suits_the_destination(bench: Bench6, dst: str, src: str) -> None:
    bench.network.add_route("::/0", None, bench.interface)
    for address in ("fe80::1/64", "fec0::1/64", "2001:db8:0:2::1/64", "fd00:1::1/64"):
        bench.network.add_address(bench.interface, address)
    assert bench.network.path(octets(dst)).src == octets(src)


def test_bits_behind_the_prefix_do_not_count(bench: Bench6) -> None:
    bench.network.add_address(bench.interface, "2001:db8::ff00/64")
    assert bench.network.path(octets("2001:db8::ff01")).src == octets(OURS6)  # RFC 6724, 2.2: equal, so the first


def test_a_narrow_source_is_better_than_none(bench: Bench6) -> None:
    node = Node()
    interface = node.network.add_interface(MemoryLink.pair(medium=Medium.IP)[0], "fe80::1/64")
    node.network.add_route("::/0", None, interface)
    assert node.network.path(octets("2a00::1")).src == octets("fe80::1")


# --- configuration


@pytest.mark.parametrize(
    "address", ["2001:db8::/64", "ff02::5/64", "::/0", f"{MAPPED}/128", "::2/128", "2001:db8::1/129", "2001:db8::g"]
)
def test_an_interface_needs_the_address_of_a_host(bench: Bench6, address: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        bench.network.add_address(bench.interface, address)


def test_a_link_between_routers_has_two_hosts(bench: Bench6) -> None:
    bench.network.add_address(bench.interface, "2001:db8:1::/127")  # RFC 6164
    bench.inject(bench.udp_packet(src="2001:db8:1::1", dst="2001:db8:1::"))
    assert len(bench.node.packets) == 1


def test_an_address_is_given_once_and_loopback_to_no_wire(bench: Bench6) -> None:
    for address, number in ((f"{OURS6}/64", errno.EADDRINUSE), ("::1/128", errno.EADDRNOTAVAIL)):
        with pytest.raises(OSError, match=r".+") as caught:
            bench.network.add_address(bench.interface, address)
        assert caught.value.errno == number


def test_a_link_must_carry_1280_octets() -> None:
    node = Node()
    with pytest.raises(OSError, match="1279 octets, IPv6 needs 1280"):
        node.network.add_interface(MemoryLink.pair(1279, Medium.IP)[0], f"{OURS6}/64")
    node.network.add_interface(MemoryLink.pair(1280, Medium.IP)[0], f"{OURS6}/64")


def test_repr_reads_as_addresses(bench: Bench6) -> None:
    assert repr(bench.interface) == "<Interface ip0 2001:db8::1/64>"


# --- links that share their address with the kernel


def test_a_shared_link_leads_to_the_kernel() -> None:
    node = Node()
    interface = node.network.add_interface(SharingLink(f"{OURS6}/64"))
    for dst in (OURS6, "::1", "2a00::1"):
        path = node.network.path(octets(dst))
        assert (path.interface, path.src) == (interface, octets(OURS6))
    assert node.network.path(octets("127.0.0.1")).interface is node.network.loopback


@pytest.mark.parametrize("src", [OURS6, "::1", PEER6])
def test_a_shared_link_accepts_its_own_address_as_source_and_is_silent(src: str) -> None:
    node = Node()
    node.network.add_interface(link := SharingLink(f"{OURS6}/64"))
    for next_header in (17, 200):
        link.send([Frame((Bench6.udp_packet(src=src, next_header=next_header),))], 0)
    node.turn(0)
    assert [packet.src for packet in node.packets] == [octets(src)]
    assert node.counters["icmp.error_suppressed"] == 1
    assert isinstance(link.capabilities, LinkCapabilities)
    assert node.network.next_deadline() is None


def test_unknown_next_headers_are_a_parameter_problem(bench: Bench6) -> None:
    packet = bench.udp_packet(next_header=IPProtocol.SCTP)
    bench.inject(packet)
    ((header, message),) = bench.sent_icmp()
    assert (message.type, message.code, message.pointer) == (ICMPv6Type.PARAMETER_PROBLEM, 1, 6)
    assert message.quoted == packet
    assert (str(header.src), str(header.dst), header.hop_limit) == (OURS6, PEER6, 64)
    assert bench.counters["ipv6.unknown_protocol"] == 1


def test_a_unicast_datagram_in_a_multicast_frame_is_dropped(bench: Bench6) -> None:
    """Asked directly: no link that carries IPv6 has such frames yet."""
    for dst, accepted in ((OURS6, False), (ALL_NODES, True)):
        packet = bench.udp_packet(dst=dst)
        with nullcontext() if accepted else pytest.raises(DecodeError, match="link_broadcast"):
            assert accept_ipv6(Frame((packet,)), memoryview(packet), bench.interface, True).broadcast
