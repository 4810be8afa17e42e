"""dpkt reads what we build and builds what we read, field by field."""

import io
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from pystack.testing import strategies as wire_strategies
from pystack.wire import (
    ARPPacket,
    Direction,
    EndOfOptions,
    EnhancedPacket,
    EthernetHeader,
    ICMPv4Message,
    InterfaceDescription,
    IPv4Header,
    IPv6Header,
    LinkType,
    SectionHeader,
    TCPHeader,
    UDPHeader,
    build,
    dissect,
    pack_ipv4_options,
    pack_options,
    read_blocks,
)


@given(header=wire_strategies.ethernet_headers.filter(lambda header: header.ethertype > 0x0600))
def test_ethernet(dpkt: Any, header: EthernetHeader) -> None:
    header = evolve(header, ethertype=0x88B5)  # of no meaning to dpkt: it would look for the payload
    seen = dpkt.ethernet.Ethernet(bytes(header))
    assert (seen.dst, seen.src, seen.type) == (header.dst.octets, header.src.octets, header.ethertype)
    theirs = dpkt.ethernet.Ethernet(dst=header.dst.octets, src=header.src.octets, type=header.ethertype)
    assert EthernetHeader.from_bytes(bytes(theirs)) == header


@given(packet=wire_strategies.arp_packets)
def test_arp(dpkt: Any, packet: ARPPacket) -> None:
    fields = {
        "op": packet.operation,
        "sha": packet.sender_mac.octets,
        "spa": packet.sender_ip.packed,
        "tha": packet.target_mac.octets,
        "tpa": packet.target_ip.packed,
    }
    seen = dpkt.arp.ARP(bytes(packet))
    assert {name: getattr(seen, name) for name in fields} == fields
    assert ARPPacket.from_bytes(bytes(dpkt.arp.ARP(**fields))) == packet


@given(header=wire_strategies.ipv4_headers())
def test_ipv4(dpkt: Any, header: IPv4Header) -> None:
    header = evolve(header, protocol=253, checksum=header.checksum or 1)  # dpkt fills a checksum of 0 in
    fields = {
        "v": 4,
        "hl": header.size // 4,
        "tos": header.dscp << 2 | header.ecn,
        "len": header.total_length,
        "id": header.identification,
        "rf": header.flags >> 2,
        "df": header.flags >> 1 & 1,
        "mf": header.flags & 1,
        "offset": header.fragment_offset,
        "ttl": header.ttl,
        "p": header.protocol,
        "sum": header.checksum,
        "src": header.src.packed,
        "dst": header.dst.packed,
    }
    seen = dpkt.ip.IP(bytes(header))
    assert {name: getattr(seen, name) for name in fields} == fields
    assert seen.opts == pack_ipv4_options(header.options)
    theirs = dpkt.ip.IP(**fields, opts=pack_ipv4_options(header.options))
    assert IPv4Header.from_bytes(bytes(theirs)) == header


@given(header=wire_strategies.ipv4_headers())
def test_ipv4_checksum(dpkt: Any, header: IPv4Header) -> None:
    sealed = header.sealed(0)
    assert dpkt.dpkt.in_cksum(bytes(sealed)) == 0
    assert dpkt.dpkt.in_cksum(bytes(evolve(sealed, checksum=0))) == sealed.checksum


@given(header=wire_strategies.ipv6_headers)
def test_ipv6(dpkt: Any, header: IPv6Header) -> None:
    header = evolve(header, next_header=253)
    fields = {
        "fc": header.traffic_class,
        "flow": header.flow_label,
        "plen": header.payload_length,
        "nxt": header.next_header,
        "hlim": header.hop_limit,
        "src": header.src.packed,
        "dst": header.dst.packed,
    }
    seen = dpkt.ip6.IP6(bytes(header))
    assert {name: getattr(seen, name) for name in fields} == fields
    assert IPv6Header.from_bytes(bytes(dpkt.ip6.IP6(v=6, extension_hdrs={}, **fields))) == header


@given(header=wire_strategies.udp_headers)
def test_udp(dpkt: Any, header: UDPHeader) -> None:
    fields = {"sport": header.src_port, "dport": header.dst_port, "ulen": header.length, "sum": header.checksum}
    seen = dpkt.udp.UDP(bytes(header))
    assert {name: getattr(seen, name) for name in fields} == fields
    assert UDPHeader.from_bytes(bytes(dpkt.udp.UDP(**fields))) == header


@given(header=wire_strategies.tcp_headers)
def test_tcp(dpkt: Any, header: TCPHeader) -> None:
    header = evolve(header, flags=header.flags & 0xFF)  # dpkt knows eight flags
    options = pack_options(header.options)
    fields = {
        "sport": header.src_port,
        "dport": header.dst_port,
        "seq": header.seq,
        "ack": header.ack,
        "off": header.size // 4,
        "flags": int(header.flags),
        "win": header.window,
        "sum": header.checksum,
        "urp": header.urgent,
    }
    seen = dpkt.tcp.TCP(bytes(header))
    assert {name: getattr(seen, name) for name in fields} == fields
    assert seen.opts == options
    assert TCPHeader.from_bytes(bytes(dpkt.tcp.TCP(**fields)) + options) == header


@given(options=wire_strategies.tcp_option_areas)
def test_tcp_options(dpkt: Any, options: Any) -> None:
    area = pack_options(options)
    before_end = [option for option in options if not isinstance(option, EndOfOptions)]
    seen = dpkt.tcp.parse_opts(area)[: len(before_end)]
    assert [(kind, bytes(data)) for kind, data in seen] == [
        (octets[0], octets[2:]) for octets in map(bytes, before_end)
    ]


@given(identifier=wire_strategies.u16, sequence=wire_strategies.u16, data=st.binary(max_size=32))
def test_icmp_echo(dpkt: Any, identifier: int, sequence: int, data: bytes) -> None:
    message = ICMPv4Message.echo_request(identifier, sequence, data)
    seen = dpkt.icmp.ICMP(bytes(message))
    assert (seen.type, seen.code, seen.sum) == (8, 0, message.checksum)
    assert (seen.data.id, seen.data.seq, seen.data.data) == (identifier, sequence, data)
    theirs = dpkt.icmp.ICMP(type=8, data=dpkt.icmp.ICMP.Echo(id=identifier, seq=sequence, data=data))
    if message.checksum:
        assert ICMPv4Message.from_bytes(bytes(theirs)) == message


@given(packet=wire_strategies.packets())
def test_dpkt_computes_the_checksums_that_we_seal(dpkt: Any, packet: bytes) -> None:
    ip, upper, payload = dissect(packet, LinkType.RAW, verify=True)
    if not (isinstance(ip, IPv4Header) and isinstance(upper, (TCPHeader, UDPHeader))) or not payload:
        return
    if isinstance(upper, TCPHeader):
        upper = evolve(upper, flags=upper.flags & 0xFF)
    packet = build(ip, upper, payload)
    seen = dpkt.ip.IP(packet)
    seen.sum = seen.data.sum = 0
    assert bytes(seen) == packet


def test_dpkt_reads_our_captures(dpkt: Any) -> None:
    frame = build(EthernetHeader("02:00:00:00:00:0b", "02:00:00:00:00:0a", 0x88B5), b"hello")
    capture = b"".join(
        map(
            bytes,
            (
                SectionHeader(),
                InterfaceDescription.nanoseconds(LinkType.ETHERNET, "tap0"),
                EnhancedPacket.captured(frame, 1_500_000_000_250_000_000, Direction.INBOUND),
            ),
        )
    )
    reader = dpkt.pcapng.Reader(io.BytesIO(capture))
    assert reader.datalink() == 1
    assert [octets for _, octets in reader] == [frame]
    assert [time for time, _ in dpkt.pcapng.Reader(io.BytesIO(capture))] == pytest.approx([1_500_000_000.25], abs=1e-6)


def test_we_read_their_captures(dpkt: Any) -> None:
    file = io.BytesIO()
    writer = dpkt.pcapng.Writer(file)
    writer.writepkt(b"frame one", ts=1_500_000_000.25)
    writer.writepkt(b"frame two!!", ts=1_500_000_001.5)
    section, interface, *packets = read_blocks(file.getvalue())
    assert isinstance(section, SectionHeader)
    assert isinstance(interface, InterfaceDescription)
    assert interface.link_type == LinkType.ETHERNET
    assert [
        (packet.data, packet.timestamp / interface.ticks_per_second)
        for packet in packets
        if isinstance(packet, EnhancedPacket)
    ] == [(b"frame one", 1_500_000_000.25), (b"frame two!!", 1_500_000_001.5)]
