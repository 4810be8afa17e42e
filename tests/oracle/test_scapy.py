"""scapy reads what we build and builds what we read, field by field."""

from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from pystack.testing import strategies as wire_strategies
from pystack.wire import (
    SACK,
    ARPPacket,
    EndOfOptions,
    EthernetHeader,
    FastOpen,
    ICMPv4Message,
    ICMPv6Message,
    IPv4Header,
    IPv4Option,
    IPv6Header,
    LinkType,
    MaximumSegmentSize,
    NoOperation,
    SACKPermitted,
    TCPHeader,
    TCPOption,
    Timestamps,
    UDPHeader,
    UnknownOption,
    UserTimeout,
    VLANTag,
    WindowScale,
    build,
    dissect,
)

u16, u32 = wire_strategies.u16, wire_strategies.u32


@given(header=wire_strategies.ethernet_headers)
def test_ethernet(scapy: SimpleNamespace, header: EthernetHeader) -> None:
    fields = {"dst": str(header.dst), "src": str(header.src), "type": header.ethertype}
    assert bytes(scapy.Ether(**fields)) == bytes(header)
    # scapy takes what is no Ethernet II for 802.3, whose length field stands in the same place
    seen = scapy.Ether(bytes(header)) if header.ethertype > 1500 else scapy.Dot3(bytes(header))
    assert (seen.dst, seen.src) == (fields["dst"], fields["src"])
    assert getattr(seen, "type", None) == header.ethertype or seen.len == header.ethertype


@given(tag=wire_strategies.vlan_tags)
def test_vlan_tag(scapy: SimpleNamespace, tag: VLANTag) -> None:
    fields = {"vlan": tag.vlan, "prio": tag.priority, "dei": int(tag.drop_eligible), "type": tag.ethertype}
    seen = scapy.Dot1Q(bytes(tag))
    assert {name: int(getattr(seen, name)) for name in fields} == fields
    assert bytes(scapy.Dot1Q(**fields)) == bytes(tag)


@given(packet=wire_strategies.arp_packets)
def test_arp(scapy: SimpleNamespace, packet: ARPPacket) -> None:
    fields = {
        "op": packet.operation,
        "hwsrc": str(packet.sender_mac),
        "psrc": str(packet.sender_ip),
        "hwdst": str(packet.target_mac),
        "pdst": str(packet.target_ip),
    }
    seen = scapy.ARP(bytes(packet))
    assert {name: getattr(seen, name) for name in fields} == fields
    assert (seen.hwtype, seen.ptype, seen.hwlen, seen.plen) == (1, 0x0800, 6, 4)
    assert ARPPacket.from_bytes(bytes(scapy.ARP(**fields))) == packet


@given(header=wire_strategies.ipv4_headers())
def test_ipv4(scapy: SimpleNamespace, header: IPv4Header) -> None:
    header = evolve(header, options=(), total_length=max(header.total_length, 20))
    fields = {
        "version": 4,
        "ihl": 5,
        "tos": header.dscp << 2 | header.ecn,
        "len": header.total_length,
        "id": header.identification,
        "flags": int(header.flags),
        "frag": header.fragment_offset,
        "ttl": header.ttl,
        "proto": header.protocol,
        "chksum": header.checksum,
        "src": str(header.src),
        "dst": str(header.dst),
    }
    seen = scapy.IP(bytes(header))
    assert {name: seen.getfieldval(name) for name in fields} == fields
    assert IPv4Header.from_bytes(bytes(scapy.IP(**fields))) == header


@given(header=wire_strategies.ipv4_headers(), payload=st.binary(max_size=32))
def test_ipv4_checksum_and_length(scapy: SimpleNamespace, header: IPv4Header, payload: bytes) -> None:
    sealed = header.sealed(len(payload))
    seen = scapy.IP(bytes(sealed) + payload)
    assert scapy.checksum(bytes(sealed)) == 0
    assert (seen.ihl * 4, seen.len) == (sealed.size, sealed.size + len(payload))


def test_ipv4_options(scapy: SimpleNamespace) -> None:
    theirs = scapy.IP(
        src="192.0.2.1",
        dst="192.0.2.2",
        flags=2,
        proto=6,
        options=[
            scapy.IPOption_NOP(),
            scapy.IPOption_RR(pointer=8, routers=["192.0.2.3", "0.0.0.0"]),
            scapy.IPOption_Router_Alert(),
        ],
    )
    ours = IPv4Header(
        "192.0.2.1",
        "192.0.2.2",
        identification=1,
        options=(
            IPv4Option(IPv4Option.NOP),
            IPv4Option(IPv4Option.RECORD_ROUTE, b"\x08\xc0\0\2\3\0\0\0\0"),
            IPv4Option(IPv4Option.ROUTER_ALERT, b"\0\0"),
        ),
    ).sealed(0)
    assert bytes(theirs) == bytes(ours)
    seen = scapy.IP(bytes(ours)).options
    assert [option.option for option in seen[:3]] == [1, 7, 20]
    assert seen[1].routers == ["192.0.2.3", "0.0.0.0"]


@given(header=wire_strategies.ipv6_headers)
def test_ipv6(scapy: SimpleNamespace, header: IPv6Header) -> None:
    fields = {
        "version": 6,
        "tc": header.traffic_class,
        "fl": header.flow_label,
        "plen": header.payload_length,
        "nh": header.next_header,
        "hlim": header.hop_limit,
        "src": str(header.src),
        "dst": str(header.dst),
    }
    theirs = bytes(scapy.IPv6(**fields))
    assert IPv6Header.from_bytes(theirs) == header
    seen = scapy.IPv6(bytes(header))
    assert {name: seen.getfieldval(name) for name in fields if name not in ("src", "dst")} == {
        name: value for name, value in fields.items() if name not in ("src", "dst")
    }
    assert scapy.IPv6(src=seen.src, dst=seen.dst, plen=0).build()[8:40] == bytes(header)[8:]


@given(header=wire_strategies.udp_headers)
def test_udp(scapy: SimpleNamespace, header: UDPHeader) -> None:
    fields = {"sport": header.src_port, "dport": header.dst_port, "len": header.length, "chksum": header.checksum}
    seen = scapy.UDP(bytes(header))
    assert {name: getattr(seen, name) for name in fields} == fields
    assert UDPHeader.from_bytes(bytes(scapy.UDP(**fields))) == header


@given(header=wire_strategies.tcp_headers)
def test_tcp(scapy: SimpleNamespace, header: TCPHeader) -> None:
    header = evolve(header, options=())
    fields = {
        "sport": header.src_port,
        "dport": header.dst_port,
        "seq": header.seq,
        "ack": header.ack,
        "dataofs": 5,
        "reserved": header.flags >> 9,
        "flags": header.flags & 0x1FF,
        "window": header.window,
        "chksum": header.checksum,
        "urgptr": header.urgent,
    }
    seen = scapy.TCP(bytes(header))
    assert {name: int(getattr(seen, name)) for name in fields} == fields
    assert TCPHeader.from_bytes(bytes(scapy.TCP(**fields))) == header


def in_scapys_words(option: TCPOption) -> tuple[Any, Any]:
    match option:
        case EndOfOptions():
            return "EOL", None
        case NoOperation():
            return "NOP", None
        case MaximumSegmentSize():
            return "MSS", option.mss
        case WindowScale():
            return "WScale", option.shift
        case SACKPermitted():
            return "SAckOK", b""
        case SACK():
            return "SAck", tuple(edge for block in option.blocks for edge in block)
        case Timestamps():
            return "Timestamp", (option.value, option.echo)
        case UserTimeout():
            return "UTO", option.minutes << 15 | option.timeout
        case FastOpen():
            return "TFO", (int.from_bytes(option.cookie[:4], "big"), int.from_bytes(option.cookie[4:], "big"))
        case UnknownOption():
            return option.kind, option.data
    raise AssertionError(option)


known_options: st.SearchStrategy[TCPOption] = st.one_of(
    st.just(NoOperation()),
    st.builds(MaximumSegmentSize, u16),
    st.builds(WindowScale, wire_strategies.u8),
    st.just(SACKPermitted()),
    st.builds(SACK, st.lists(st.tuples(u32, u32), min_size=1, max_size=4)),
    st.builds(Timestamps, u32, u32),
    st.builds(UserTimeout, st.integers(0, 0x7FFF), st.booleans()),
    st.builds(FastOpen, st.binary(min_size=8, max_size=8)),
    st.builds(UnknownOption, st.integers(200, 252), st.binary(min_size=1, max_size=8)),
)


@given(options=st.lists(known_options, max_size=8).filter(lambda options: sum(len(bytes(o)) for o in options) <= 40))
def test_tcp_options(scapy: SimpleNamespace, options: list[TCPOption]) -> None:
    ours = bytes(TCPHeader(1, 2, options=tuple(options)))
    words = [in_scapys_words(option) for option in options]
    seen = scapy.TCP(ours).options
    assert seen[: len(words)] == words
    assert [name for name, _ in seen[len(words) :]] in ([], ["EOL"])
    theirs = bytes(scapy.TCP(sport=1, dport=2, flags=0x10, window=65535, chksum=0, options=words))
    assert theirs == ours
    assert TCPHeader.from_bytes(theirs).options[: len(options)] == tuple(options)


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (ICMPv4Message.echo_request(1, 2, b"data"), {"type": 8, "code": 0, "id": 1, "seq": 2}),
        (ICMPv4Message.echo_reply(0xFFFF, 0xFFFE, b""), {"type": 0, "code": 0, "id": 0xFFFF, "seq": 0xFFFE}),
        *[
            (ICMPv4Message.unreachable(code, b"q" * 28, 1400 if code == 4 else 0), {"type": 3, "code": code})
            for code in range(16)
        ],
        (ICMPv4Message.unreachable(4, b"q" * 28, 576), {"type": 3, "code": 4, "nexthopmtu": 576}),
        (ICMPv4Message.redirect(1, "192.0.2.3", b"q" * 28), {"type": 5, "code": 1, "gw": "192.0.2.3"}),
        (ICMPv4Message.time_exceeded(1, b"q" * 28), {"type": 11, "code": 1}),
        (ICMPv4Message.parameter_problem(20, b"q" * 28), {"type": 12, "code": 0, "ptr": 20}),
    ],
)
def test_icmpv4(scapy: SimpleNamespace, message: ICMPv4Message, fields: dict[str, Any]) -> None:
    seen = scapy.ICMP(bytes(message))
    assert {name: getattr(seen, name) for name in fields} == fields
    assert seen.chksum == message.checksum
    theirs = bytes(scapy.ICMP(**({"nexthopmtu": message.rest} if message.code == 4 else {}) | fields) / message.data)
    assert ICMPv4Message.from_bytes(theirs) == message


@pytest.mark.parametrize(
    ("message", "kind", "fields"),
    [
        (ICMPv6Message.echo_request(1, 2, b"data"), "ICMPv6EchoRequest", {"id": 1, "seq": 2, "data": b"data"}),
        (ICMPv6Message.echo_reply(3, 4, b"data"), "ICMPv6EchoReply", {"id": 3, "seq": 4, "data": b"data"}),
        *[(ICMPv6Message.unreachable(code, b""), "ICMPv6DestUnreach", {"code": code}) for code in range(7)],
        (ICMPv6Message.packet_too_big(1280, b""), "ICMPv6PacketTooBig", {"mtu": 1280}),
        (ICMPv6Message.time_exceeded(1, b""), "ICMPv6TimeExceeded", {"code": 1}),
        (ICMPv6Message.parameter_problem(40, b"", code=2), "ICMPv6ParamProblem", {"code": 2, "ptr": 40}),
    ],
)
def test_icmpv6(scapy: SimpleNamespace, message: ICMPv6Message, kind: str, fields: dict[str, Any]) -> None:
    packet = build(IPv6Header("2001:db8::1", "2001:db8::2"), message)
    layer = getattr(scapy, kind)
    seen = scapy.IPv6(packet)[layer]
    assert {name: getattr(seen, name) for name in fields} == fields
    theirs = bytes(scapy.IPv6(src="2001:db8::1", dst="2001:db8::2") / layer(**fields))
    assert theirs == packet


@given(packet=wire_strategies.packets())
def test_scapy_computes_the_checksums_that_we_seal(scapy: SimpleNamespace, packet: bytes) -> None:
    ip, upper, payload = dissect(packet, LinkType.RAW, verify=True)
    if isinstance(upper, TCPHeader):
        upper = evolve(upper, options=())
    if isinstance(ip, IPv4Header):
        ip = evolve(ip, options=())
    packet = build(ip, upper, payload)
    seen = scapy.IP(packet) if packet[0] >> 4 == 4 else scapy.IPv6(packet)
    for layer, computed in ((scapy.IP, ("chksum", "len")), (scapy.TCP, ("chksum",)), (scapy.UDP, ("chksum", "len"))):
        if type(seen) is layer or type(seen.payload) is layer:
            for name in computed:
                delattr(seen[layer], name)
    assert bytes(seen) == packet


def test_a_whole_frame_of_theirs(scapy: SimpleNamespace) -> None:
    theirs = bytes(
        scapy.Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")
        / scapy.Dot1Q(vlan=5, prio=3)
        / scapy.IP(src="192.0.2.1", dst="192.0.2.2", id=7, flags="DF")
        / scapy.TCP(sport=1, dport=2, seq=3, ack=4, flags="PA", window=65535)
        / b"payload"
    )
    ours = build(
        EthernetHeader("02:00:00:00:00:0b", "02:00:00:00:00:0a"),
        VLANTag(5, priority=3),
        IPv4Header("192.0.2.1", "192.0.2.2", identification=7),
        TCPHeader(1, 2, 3, 4, flags=0x18),
        b"payload",
    )
    assert theirs == ours
    assert build(*dissect(theirs, verify=True)) == theirs
