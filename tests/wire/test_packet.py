import pytest

from pystack.errors import DecodeError
from pystack.wire import (
    BROADCAST,
    ARPPacket,
    EthernetHeader,
    EtherType,
    ICMPv4Message,
    ICMPv6Message,
    IPProtocol,
    IPv4Flags,
    IPv4Header,
    IPv4Option,
    IPv6Header,
    LinkType,
    MaximumSegmentSize,
    TCPFlags,
    TCPHeader,
    UDPHeader,
    VLANTag,
    build,
    dissect,
)

ETHERNET = EthernetHeader("02:00:00:00:00:0b", "02:00:00:00:00:0a")
IPV4 = IPv4Header("192.0.2.1", "192.0.2.2")
IPV6 = IPv6Header("2001:db8::1", "2001:db8::2")


def test_one_expression_builds_what_the_kernel_sent() -> None:
    frame = build(
        ETHERNET,
        IPv4Header("192.0.2.1", "192.0.2.2", identification=0x02A3),
        UDPHeader(60443, 9),
        b"knock",
    )
    assert frame == bytes.fromhex(
        "02000000000b 02000000000a 0800 45000021 02a34000 4011b425 c0000201 c0000202 ec1b 0009 000d 49d9 6b6e6f636b"
    )


def test_dissect_gives_the_sealed_headers_and_the_payload() -> None:
    frame = build(ETHERNET, IPV4, TCPHeader(1, 2, 3, 4, options=(MaximumSegmentSize(1460),)), b"payload")
    ethernet, ip, tcp, payload = dissect(frame, verify=True)
    assert ethernet == ETHERNET
    assert ip == IPV4.sealed(31)
    assert isinstance(tcp, TCPHeader)
    assert (tcp.src_port, tcp.options) == (1, (MaximumSegmentSize(1460),))
    assert payload == b"payload"


@pytest.mark.parametrize(
    ("layers", "link_type", "ethertype", "protocol"),
    [
        ((ETHERNET, IPV4, TCPHeader(1, 2), b"x"), LinkType.ETHERNET, 0x0800, 6),
        ((ETHERNET, IPV4, UDPHeader(1, 2), b""), LinkType.ETHERNET, 0x0800, 17),
        ((ETHERNET, IPV4, ICMPv4Message.echo_request(1, 2, b"abc"), b""), LinkType.ETHERNET, 0x0800, 1),
        ((ETHERNET, IPV6, TCPHeader(1, 2), b"x"), LinkType.ETHERNET, 0x86DD, 6),
        ((ETHERNET, IPV6, UDPHeader(1, 2), b"xyz"), LinkType.ETHERNET, 0x86DD, 17),
        ((ETHERNET, IPV6, ICMPv6Message.echo_request(1, 2, b"abc"), b""), LinkType.ETHERNET, 0x86DD, 58),
        ((ETHERNET, VLANTag(5), IPV4, TCPHeader(1, 2), b"x"), LinkType.ETHERNET, 0x8100, 6),
        ((IPV4, TCPHeader(1, 2), b"x"), LinkType.RAW, None, 6),
        ((IPV6, UDPHeader(1, 2), b"x"), LinkType.RAW, None, 17),
        ((IPV4, IPV6, IPV4, UDPHeader(1, 2), b"x"), LinkType.RAW, None, 41),
    ],
)
def test_numbers_of_what_follows_are_filled_in(
    layers: tuple[EthernetHeader, ...], link_type: LinkType, ethertype: int | None, protocol: int
) -> None:
    frame = build(*layers)
    seen = dissect(frame, link_type, verify=True)
    assert [type(layer) for layer in seen] == [type(layer) for layer in layers]
    assert b"".join(map(bytes, seen)) == frame
    assert build(*seen) == frame
    if isinstance(seen[0], EthernetHeader):
        assert seen[0].ethertype == ethertype
    ip = next(layer for layer in seen if isinstance(layer, (IPv4Header, IPv6Header)))
    assert (ip.protocol if isinstance(ip, IPv4Header) else ip.next_header) == protocol


def test_what_this_library_does_not_know_keeps_its_number() -> None:
    frame = build(EthernetHeader(BROADCAST, BROADCAST, 0x88CC), b"lldp")
    assert dissect(frame) == (EthernetHeader(BROADCAST, BROADCAST, 0x88CC), b"lldp")
    packet = build(IPv4Header("192.0.2.1", "192.0.2.2", IPProtocol.SCTP), b"chunk")
    assert dissect(packet, LinkType.RAW) == (IPv4Header("192.0.2.1", "192.0.2.2", 132).sealed(5), b"chunk")


def test_arp_on_ethernet() -> None:
    question = ARPPacket.request("02:00:00:00:00:0a", "192.0.2.1", "192.0.2.2")
    frame = build(EthernetHeader(BROADCAST, "02:00:00:00:00:0a"), question)
    assert frame[12:14] == b"\x08\x06"
    assert dissect(frame + bytes(18)) == (EthernetHeader(BROADCAST, "02:00:00:00:00:0a", EtherType.ARP), question, b"")


def test_icmp_takes_a_payload_into_its_data() -> None:
    assert dissect(build(IPV4, ICMPv4Message.echo_request(1, 2), b"data"), LinkType.RAW, verify=True)[1] == (
        ICMPv4Message.echo_request(1, 2, b"data")
    )
    message = dissect(build(IPV6, ICMPv6Message.echo_request(1, 2), b"data"), LinkType.RAW, verify=True)[1]
    assert isinstance(message, ICMPv6Message)
    assert message.data == b"data"


def test_the_padding_of_a_short_frame_is_no_payload() -> None:
    frame = build(ETHERNET, IPV4, UDPHeader(1, 2), b"x")
    assert dissect(frame + bytes(60 - len(frame)), verify=True)[-1] == b"x"


def test_options_of_ipv4_are_counted() -> None:
    frame = build(IPv4Header("192.0.2.1", "192.0.2.2", options=(IPv4Option(148, b"\0\0"),)), UDPHeader(1, 2), b"x")
    ip, _, payload = dissect(frame, LinkType.RAW, verify=True)
    assert isinstance(ip, IPv4Header)
    assert (ip.total_length, payload) == (33, b"x")


@pytest.mark.parametrize(("flags", "offset"), [(IPv4Flags.MF, 0), (0, 185), (IPv4Flags.MF, 185)])
def test_the_content_of_a_fragment_is_payload(flags: int, offset: int) -> None:
    fragment = IPv4Header("192.0.2.1", "192.0.2.2", IPProtocol.UDP, flags=flags, fragment_offset=offset)
    assert dissect(build(fragment, b"\0" * 8), LinkType.RAW, verify=True) == (fragment.sealed(8), bytes(8))


def test_tcp_needs_an_ip_header_before_it() -> None:
    with pytest.raises(ValueError, match="TCPHeader needs an IP header before it, for its checksum"):
        build(TCPHeader(1, 2), b"x")
    with pytest.raises(ValueError, match="ICMPv6Message needs an IP header"):
        build(ETHERNET, ICMPv6Message(1))


def test_a_payload_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="an IPv4 packet has at most 65535 octets, not 65536"):
        build(IPV4, bytes(65516))
    with pytest.raises(ValueError, match="UDP payload has 65536 octets"):
        build(IPV4, UDPHeader(1, 2), bytes(65536))


def test_buffers_of_any_kind() -> None:
    frame = build(ETHERNET, IPV4, TCPHeader(1, 2), bytearray(b"pay"), memoryview(b"load"))
    assert dissect(memoryview(frame), verify=True)[-1] == b"payload"


DAMAGED = build(ETHERNET, IPV4, TCPHeader(1, 2, 3, 4), b"payload")
UDP = build(ETHERNET, IPV4, UDPHeader(1, 2), b"payload")
ICMP = build(ETHERNET, IPV4, ICMPv4Message.echo_request(1, 2, b"payload"))
ICMP6 = build(ETHERNET, IPV6, ICMPv6Message.echo_request(1, 2, b"payload"))


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (DAMAGED[:-1] + b"D", "tcp.checksum"),
        (DAMAGED[:22] + b"\x01" + DAMAGED[23:], "ipv4.checksum"),
        (UDP[:-1] + b"D", "udp.checksum"),
        (ICMP[:-1] + b"D", "icmp.checksum"),
        (ICMP6[:-1] + b"D", "icmp.checksum"),
        (ICMP6[:25] + b"\xee" + ICMP6[26:], "icmp.checksum"),
    ],
)
def test_verify_finds_wrong_checksums(frame: bytes, reason: str) -> None:
    assert len(dissect(frame)) == 4
    with pytest.raises(DecodeError) as error:
        dissect(frame, verify=True)
    assert error.value.reason == reason


def test_udp_without_checksum() -> None:
    unsummed = UDPHeader(1, 2, 15)
    over_ipv4 = build(IPv4Header("192.0.2.1", "192.0.2.2", IPProtocol.UDP), bytes(unsummed), b"payload")
    assert dissect(over_ipv4, LinkType.RAW, verify=True)[1:] == (unsummed, b"payload")
    over_ipv6 = build(IPv6Header("::1", "::2", IPProtocol.UDP), bytes(unsummed), b"payload")
    with pytest.raises(DecodeError, match=r"udp\.checksum"):
        dissect(over_ipv6, LinkType.RAW, verify=True)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "ethernet.short"),
        (DAMAGED[:33], "ipv4.short"),
        (DAMAGED[:40], "ipv4.truncated"),
        (DAMAGED[:-1], "ipv4.truncated"),
        (ICMP6[:-1], "ipv6.truncated"),
        (build(ETHERNET, IPv4Header("192.0.2.1", "192.0.2.2"), b"\0"), "tcp.short"),
        (build(ETHERNET, IPv4Header("192.0.2.1", "192.0.2.2", 17), b"\0\0\0\0\0\x09\0\0"), "udp.truncated"),
        (build(EthernetHeader(BROADCAST, BROADCAST, EtherType.VLAN), b"\0"), "vlan.short"),
        (build(EthernetHeader(BROADCAST, BROADCAST, EtherType.ARP), b"\0"), "arp.short"),
    ],
)
def test_what_is_no_frame_is_named(frame: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as error:
        dissect(frame)
    assert error.value.reason == reason


@pytest.mark.parametrize("packet", [b"", b"\x50", b"\xff" * 40])
def test_a_raw_packet_is_version_4_or_6(packet: bytes) -> None:
    with pytest.raises(DecodeError, match=r"ip\.version"):
        dissect(packet, LinkType.RAW)


def test_nesting_is_bounded() -> None:
    tags = build(EthernetHeader(BROADCAST, BROADCAST, EtherType.VLAN), VLANTag(1, EtherType.VLAN).to_bytes() * 16000)
    layers = dissect(tags)
    assert len(layers) == 17
    assert b"".join(map(bytes, layers)) == tags
    tunnels = build(*[IPV4] * 3000, b"")
    assert len(dissect(tunnels, LinkType.RAW)) == 17


def test_flags_survive() -> None:
    frame = build(ETHERNET, IPV4, TCPHeader(1, 2, flags=TCPFlags.SYN | TCPFlags.ECE | TCPFlags.CWR))
    tcp = dissect(frame, verify=True)[2]
    assert isinstance(tcp, TCPHeader)
    assert tcp.flags == TCPFlags.SYN | TCPFlags.ECE | TCPFlags.CWR
