"""Which datagrams are ours, and which rule stops the others (RFC 791, RFC 1122 section 3.2.1)."""

from typing import Any

import pytest

from pystack.link.base import Checksum, GSOType, Medium, Offload
from pystack.link.memory import MemoryLink
from pystack.wire.ethernet import EthernetHeader, EtherType, VLANTag
from pystack.wire.ipv4 import IPv4Flags, pack_ipv4
from pystack.wire.ipv4_options import IPv4Option
from pystack.wire.mac import BROADCAST
from tests.net.harness import OUR_MAC, OURS, PEER, PEER_MAC, Bench, octets, udp_header

ALL = str(BROADCAST)


def received(bench: Bench) -> list[bytes]:
    return [b"".join(packet.payload) for packet in bench.node.packets]


def test_a_datagram_for_us_is_delivered_as_it_is(any_bench: Bench) -> None:
    any_bench.inject(any_bench.udp_packet(b"hello", ttl=7, dscp=4, ecn=1))
    (packet,) = any_bench.node.packets
    assert (packet.src, packet.dst, packet.protocol) == (octets(PEER), octets(OURS), 17)
    assert (packet.ttl, packet.tos, packet.length, packet.gso_size) == (7, 0x11, 13, 0)
    assert (packet.checksum, packet.broadcast) == (Checksum.COMPLETE, False)
    assert packet.interface is any_bench.interface
    assert received(any_bench) == [udp_header(5) + b"hello"]


def test_the_payload_of_a_single_buffer_is_not_copied(any_bench: Bench) -> None:
    packet = any_bench.udp_packet()
    frame = packet if any_bench.medium is Medium.IP else EthernetHeader(OUR_MAC, PEER_MAC).to_bytes() + packet
    any_bench.inject_frame(frame)
    (payload,) = any_bench.node.packets[0].payload
    assert isinstance(payload, memoryview)
    assert payload.obj is frame


def test_scattered_payload_stays_scattered(any_bench: Bench) -> None:
    packet = any_bench.udp_packet(b"abcdef")
    if any_bench.medium is Medium.ETHERNET:
        packet = EthernetHeader(OUR_MAC, PEER_MAC).to_bytes() + packet
    any_bench.inject_frame(packet[:-6], packet[-6:-2], packet[-2:])
    (delivered,) = any_bench.node.packets
    assert [bytes(piece) for piece in delivered.payload] == [udp_header(6), b"abcd", b"ef"]
    assert delivered.length == 14


@pytest.mark.parametrize("scattered", [False, True], ids=["one-buffer", "scattered"])
def test_padding_of_the_link_is_trimmed(any_bench: Bench, scattered: bool) -> None:
    packet = any_bench.udp_packet(b"ab")
    if any_bench.medium is Medium.ETHERNET:
        packet = EthernetHeader(OUR_MAC, PEER_MAC).to_bytes() + packet
    buffers = (packet[:-1], packet[-1:] + b"pad", b"more") if scattered else (packet + bytes(16),)
    any_bench.inject_frame(*buffers)
    assert received(any_bench) == [udp_header(2) + b"ab"]


@pytest.mark.parametrize("scattered", [False, True], ids=["one-buffer", "scattered"])
def test_a_truncated_datagram_is_dropped(bench: Bench, scattered: bool) -> None:
    frame = EthernetHeader(OUR_MAC, PEER_MAC).to_bytes() + bench.udp_packet(b"abcdef")[:-1]
    bench.inject_frame(*((frame[:-2], frame[-2:]) if scattered else (frame,)))
    assert received(bench) == []
    assert bench.counters["ipv4.truncated"] == 1


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"", "ipv4.short"),
        (b"\x45" + bytes(18), "ipv4.short"),
        (b"\x55" + bytes(39), "ipv4.version"),
        (b"\x44" + bytes(39), "ipv4.header_length"),
        (b"\x4f" + bytes(39), "ipv4.short"),
        (b"\x45\0\0\x13" + bytes(36), "ipv4.total_length"),
    ],
)
def test_malformed_headers_are_counted_by_what_is_wrong(any_bench: Bench, packet: bytes, reason: str) -> None:
    any_bench.inject(packet)
    assert any_bench.counters[reason] == 1
    assert received(any_bench) == []


@pytest.mark.parametrize("octet", range(20))
def test_any_wrong_octet_in_the_header_is_noticed(any_bench: Bench, octet: int) -> None:
    packet = bytearray(any_bench.udp_packet())
    packet[octet] ^= 0x01
    any_bench.inject(bytes(packet))
    assert received(any_bench) == []


def test_the_header_checksum_is_verified_though_the_transports_is(bench: Bench) -> None:
    packet = bytearray(bench.udp_packet())
    packet[8] ^= 1
    bench.inject(bytes(packet), offload=Offload(Checksum.VERIFIED))
    assert bench.counters["ipv4.checksum"] == 1


def test_a_frame_that_never_left_the_machine_needs_no_header_checksum(bench: Bench) -> None:
    packet = bytearray(bench.udp_packet())
    packet[10:12] = b"\0\0"
    bench.inject(bytes(packet), offload=Offload(Checksum.PARTIAL))
    assert bench.node.packets[0].checksum is Checksum.PARTIAL


def test_marks_of_the_link_reach_the_transport(bench: Bench) -> None:
    offload = Offload(Checksum.VERIFIED, gso_type=GSOType.TCPV4, gso_size=1448)
    bench.inject(bench.udp_packet(bytes(4000), protocol=6), offload=offload)
    (packet,) = bench.node.packets
    assert (packet.checksum, packet.gso_size, packet.length) == (Checksum.VERIFIED, 1448, 4008)


@pytest.mark.parametrize("ttl", [0, 1])
def test_a_low_ttl_is_no_reason_to_drop(bench: Bench, ttl: int) -> None:
    bench.inject(bench.udp_packet(ttl=ttl))  # RFC 1122, 3.2.1.7
    assert len(bench.node.packets) == 1


@pytest.mark.parametrize(
    "fields",
    [{"flags": IPv4Flags.MF}, {"flags": 0, "fragment_offset": 185}, {"flags": IPv4Flags.MF, "fragment_offset": 1}],
    ids=["first", "last", "middle"],
)
def test_fragments_are_counted_and_dropped(bench: Bench, fields: dict[str, Any]) -> None:
    bench.inject(bench.udp_packet(**fields))
    assert received(bench) == []
    assert bench.counters["ipv4.fragment"] == 1
    assert bench.sent() == []


def test_options_are_tolerated(any_bench: Bench) -> None:
    options = (IPv4Option(IPv4Option.ROUTER_ALERT, b"\0\0"), IPv4Option(IPv4Option.RECORD_ROUTE, b"\x04" + bytes(4)))
    any_bench.inject(any_bench.udp_packet(b"hello", options=options))
    assert received(any_bench) == [udp_header(5) + b"hello"]


@pytest.mark.parametrize("kind", [IPv4Option.LOOSE_SOURCE_ROUTE, IPv4Option.STRICT_SOURCE_ROUTE])
def test_source_routes_are_dropped(bench: Bench, kind: int) -> None:
    bench.inject(bench.udp_packet(options=(IPv4Option(kind, b"\x04" + octets(OURS)),)))
    assert received(bench) == []
    assert bench.counters["ipv4.source_route"] == 1


def test_malformed_options_are_dropped(bench: Bench) -> None:
    options = bytes((IPv4Option.RECORD_ROUTE, 9, 4, 0))  # 9 octets, of which 4 are there
    bench.inject(pack_ipv4(octets(PEER), octets(OURS), 17, 32, 0, 0, 64, 0, options) + udp_header(0))
    assert received(bench) == []
    assert bench.counters["ipv4.option_length"] == 1


def test_datagrams_for_others_are_dropped(any_bench: Bench) -> None:
    any_bench.inject(any_bench.udp_packet(dst="192.0.2.9"))
    assert received(any_bench) == []
    assert any_bench.counters["ipv4.not_ours"] == 1
    assert any_bench.sent() == []


def test_an_address_of_another_interface_is_not_ours_here(bench: Bench) -> None:
    bench.network.add_interface(MemoryLink.pair()[0], "198.51.100.1/24")
    bench.inject(bench.udp_packet(dst="198.51.100.1"))  # strong host model: RFC 1122, 3.3.4.2
    assert received(bench) == []
    assert bench.counters["ipv4.not_ours"] == 1


@pytest.mark.parametrize("dst", ["192.0.2.255", "255.255.255.255", "224.0.0.1"])
def test_broadcasts_and_all_hosts_are_ours(any_bench: Bench, dst: str) -> None:
    any_bench.inject(any_bench.udp_packet(dst=dst), dst_mac=ALL)
    (packet,) = any_bench.node.packets
    assert packet.broadcast


@pytest.mark.parametrize("dst", ["198.51.100.255", "224.0.0.9", "192.0.2.0"])
def test_groups_we_do_not_belong_to_are_not_ours(bench: Bench, dst: str) -> None:
    bench.inject(bench.udp_packet(dst=dst), dst_mac=ALL)
    assert received(bench) == []


def test_a_point_to_point_network_has_no_broadcast() -> None:
    bench = Bench(Medium.IP)
    bench.network.add_address(bench.interface, "203.0.113.0/31")  # RFC 3021: both addresses are hosts
    bench.inject(bench.udp_packet(dst="203.0.113.1"))
    assert bench.counters["ipv4.not_ours"] == 1
    bench.inject(bench.udp_packet(src="203.0.113.1", dst="203.0.113.0"))
    assert len(bench.node.packets) == 1


def test_a_unicast_datagram_in_a_broadcast_frame_is_dropped(bench: Bench) -> None:
    bench.inject(bench.udp_packet(), dst_mac=ALL)  # RFC 1122, 3.3.6
    assert received(bench) == []
    assert bench.counters["ipv4.link_broadcast"] == 1


@pytest.mark.parametrize(
    "src", ["127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"]
)
def test_martian_sources_are_dropped(any_bench: Bench, src: str) -> None:
    any_bench.inject(any_bench.udp_packet(src=src))
    assert received(any_bench) == []
    assert any_bench.counters["ipv4.martian"] == 1


@pytest.mark.parametrize("src", [OURS, "192.0.2.255", "198.51.100.1"])
def test_sources_that_nobody_else_can_have_are_dropped(any_bench: Bench, src: str) -> None:
    any_bench.network.add_interface(MemoryLink.pair()[0], "198.51.100.1/24")
    any_bench.inject(any_bench.udp_packet(src=src))
    assert received(any_bench) == []
    assert any_bench.counters["ipv4.spoofed"] == 1


def test_loopback_destinations_never_come_from_outside(any_bench: Bench) -> None:
    any_bench.inject(any_bench.udp_packet(dst="127.0.0.1"))
    assert received(any_bench) == []
    assert any_bench.counters["ipv4.martian"] == 1


def test_frames_for_other_stations_are_ignored(bench: Bench) -> None:
    bench.inject(bench.udp_packet(), dst_mac="02:00:00:00:00:77")
    assert received(bench) == []
    assert bench.counters["ethernet.not_ours"] == 1


@pytest.mark.parametrize(("vlan", "delivered"), [(0, 1), (1, 0), (4095, 0)])
def test_only_priority_tags_are_accepted(bench: Bench, vlan: int, delivered: int) -> None:
    tag = VLANTag(vlan, EtherType.IPV4, priority=5)
    ethernet = EthernetHeader(OUR_MAC, PEER_MAC, EtherType.VLAN)
    bench.inject_frame(ethernet.to_bytes() + tag.to_bytes() + bench.udp_packet())
    assert len(bench.node.packets) == delivered
    assert bench.counters["ethernet.vlan"] == 1 - delivered


@pytest.mark.parametrize("ethertype", [0x0026, EtherType.IPV6, 0x88CC])
def test_what_is_neither_ip_nor_arp_is_counted(bench: Bench, ethertype: int) -> None:
    bench.inject_frame(EthernetHeader(OUR_MAC, PEER_MAC, ethertype).to_bytes() + bytes(46))
    assert bench.counters["ethernet.unknown_type"] == 1


@pytest.mark.parametrize("frame", [b"", b"\0", bytes(13)])
def test_a_frame_shorter_than_its_header_is_counted(bench: Bench, frame: bytes) -> None:
    bench.inject_frame(frame)
    assert bench.counters["ethernet.short"] == 1


def test_what_quotes_a_datagram_gets_its_first_octets(bench: Bench) -> None:
    packet = bench.udp_packet(b"abcdef")
    frame = EthernetHeader(OUR_MAC, PEER_MAC).to_bytes() + packet
    bench.inject_frame(frame[:-4], frame[-4:] + b"padding")
    (delivered,) = bench.node.packets
    assert delivered.datagram(1000) == packet
    assert delivered.datagram(30) == packet[:30]
