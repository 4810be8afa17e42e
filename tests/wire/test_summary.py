import pytest

from pystack.wire import (
    BROADCAST,
    SACK,
    ARPPacket,
    EthernetHeader,
    EtherType,
    ICMPv4Message,
    IPProtocol,
    IPv4Flags,
    IPv4Header,
    IPv6Header,
    LinkType,
    Origins,
    TCPFlags,
    TCPHeader,
    UDPHeader,
    VLANTag,
    build,
    describe,
)

ETHERNET = EthernetHeader("02:00:00:00:00:0b", "02:00:00:00:00:0a")
THERE = IPv4Header("192.0.2.1", "192.0.2.2")
BACK = IPv4Header("192.0.2.2", "192.0.2.1")


def tell(*layers: IPv4Header | IPv6Header | TCPHeader | UDPHeader | ICMPv4Message | bytes) -> str:
    return describe(build(*layers), LinkType.RAW, verify=True)


def test_numbers_are_absolute_without_origins() -> None:
    segment = TCPHeader(1000, 80, 4_000_000_000, 7, TCPFlags.PSH | TCPFlags.ACK, 502)
    assert tell(THERE, segment, b"hello") == (
        "IP 192.0.2.1.1000 > 192.0.2.2.80: Flags [P.], seq 4000000000:4000000005, ack 7, win 502, length 5"
    )


def test_sequence_ranges_wrap_around() -> None:
    assert ", seq 4294967294:3, ack 1," in tell(THERE, TCPHeader(1000, 80, 0xFFFFFFFE, 1), b"hello")


def test_origins_make_numbers_relative_sack_blocks_too() -> None:
    origins: Origins = {}
    segments = [
        (THERE, TCPHeader(1000, 80, 0xFFFFFFFF, 0, TCPFlags.SYN, 1)),
        (BACK, TCPHeader(80, 1000, 500, 0, TCPFlags.SYN | TCPFlags.ACK, 1)),
        (THERE, TCPHeader(1000, 80, 0, 501, TCPFlags.ACK, 1, options=(SACK(((601, 701),)),))),
        (BACK, TCPHeader(80, 1000, 501, 9, TCPFlags.FIN | TCPFlags.ACK, 1)),
        (BACK, TCPHeader(81, 1000, 501, 9, TCPFlags.RST, 1)),
    ]
    told = [describe(build(*segment), LinkType.RAW, origins=origins).partition(" Flags ")[2] for segment in segments]
    assert told == [
        "[S], seq 4294967295, win 1, length 0",
        "[S.], seq 500, ack 0, win 1, length 0",
        "[.], ack 1, win 1, options [sack 1 {101:201},eol], length 0",
        "[F.], seq 1, ack 10, win 1, length 0",
        "[R], seq 501, win 1, length 0",  # a flow whose start was not seen
    ]


def test_urgent_pointer() -> None:
    assert ", win 65535, urg 5, length 0" in tell(THERE, TCPHeader(1, 2, flags=TCPFlags.URG, urgent=5))


def test_vlan_tags_come_first() -> None:
    assert describe(build(ETHERNET, VLANTag(5, priority=3), ARPPacket.request(ETHERNET.src, 1, 2))) == (
        "vlan 5, p 3, ARP, Request who-has 0.0.0.2 tell 0.0.0.1, length 28"
    )
    assert describe(build(ETHERNET, VLANTag(5, 0x88CC), b"lldp")) == "vlan 5, p 0, ethertype 0x88cc, length 4"


def test_what_is_not_ip_shows_its_ethernet_header() -> None:
    assert describe(build(EthernetHeader(BROADCAST, "02:00:00:00:00:0a", 0x88CC), b"lldp")) == (
        "02:00:00:00:00:0a > ff:ff:ff:ff:ff:ff, ethertype 0x88cc, length 4"
    )


def test_fragments() -> None:
    first = IPv4Header(THERE.src, THERE.dst, IPProtocol.UDP, identification=7, flags=IPv4Flags.MF)
    last = IPv4Header(THERE.src, THERE.dst, IPProtocol.UDP, identification=7, flags=0, fragment_offset=185)
    assert tell(first, bytes(16)) == "IP 192.0.2.1 > 192.0.2.2: UDP fragment 7@0+, length 16"
    assert tell(last, bytes(5)) == "IP 192.0.2.1 > 192.0.2.2: UDP fragment 7@1480, length 5"


def test_protocols_and_tunnels() -> None:
    assert tell(IPv4Header(THERE.src, THERE.dst, 99), b"x") == "IP 192.0.2.1 > 192.0.2.2: ip-proto-99, length 1"
    assert tell(IPv6Header("::1", "::2", IPProtocol.IPV6_FRAG), b"x") == "IP6 ::1 > ::2: IPv6-Frag, length 1"
    assert tell(THERE, IPv6Header("::1", "::2"), UDPHeader(1, 2), b"x") == (
        "IP 192.0.2.1 > 192.0.2.2: IP6 ::1.1 > ::2.2: UDP, length 1"
    )


@pytest.mark.parametrize(
    ("quoted", "text"),
    [
        (build(THERE, TCPHeader(5, 6))[:28], "quoting 192.0.2.1.5 > 192.0.2.2.6: TCP"),
        (build(THERE, ICMPv4Message.echo_request(1, 1))[:28], "quoting 192.0.2.1 > 192.0.2.2: ICMP"),
        (build(THERE, TCPHeader(5, 6))[:24], "quoting 192.0.2.1 > 192.0.2.2: TCP"),
        (build(IPv6Header("::1", "::2"), UDPHeader(5, 6)), "quoting ::1.5 > ::2.6: UDP"),
        (build(THERE, TCPHeader(5, 6))[:19], ""),
        (b"", ""),
    ],
)
def test_icmp_errors_say_what_they_are_about(quoted: bytes, text: str) -> None:
    told = tell(BACK, ICMPv4Message.unreachable(1, quoted))
    assert told == ", ".join(
        filter(None, (f"IP 192.0.2.2 > 192.0.2.1: ICMP host unreachable, length {8 + len(quoted)}", text))
    )


FRAME = build(ETHERNET, THERE, TCPHeader(1, 2, 3, 4), b"payload")
ADDRESSES = "02:00:00:00:00:0a > 02:00:00:00:00:0b, ethertype"


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (b"", "[ethernet.short: 0 of 14 octets]"),
        (FRAME[:30], f"{ADDRESSES} IPv4, length 0 [ipv4.short: 16 of 20 octets]"),
        (FRAME[:44], "IP 192.0.2.1 > 192.0.2.2: TCP [ipv4.truncated: 30 of 47 octets]"),
        (build(ETHERNET, THERE, b"\0" * 9), "IP 192.0.2.1 > 192.0.2.2: TCP [tcp.short: 9 of 20 octets]"),
        (
            FRAME[:-1] + b"D",
            "IP 192.0.2.1.1 > 192.0.2.2.2: Flags [.], seq 3, ack 4, win 65535 [tcp.checksum: 0x6e90]",
        ),
        (
            build(EthernetHeader(BROADCAST, ETHERNET.src, EtherType.VLAN), b"\0"),
            "02:00:00:00:00:0a > ff:ff:ff:ff:ff:ff, ethertype 802.1Q, length 0 [vlan.short: 1 of 4 octets]",
        ),
    ],
)
def test_damage_is_named_behind_what_could_be_read(frame: bytes, text: str) -> None:
    assert describe(frame, verify=True) == text


def test_wrong_checksums_pass_unless_asked_for() -> None:
    assert describe(FRAME[:-1] + b"D").endswith("length 7")
