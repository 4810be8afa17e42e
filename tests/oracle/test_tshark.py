"""Wireshark reads what we build: nothing malformed, no wrong checksum, and the addresses and options it should find."""

import subprocess
from pathlib import Path

import pytest

from pystack.wire import (
    BROADCAST,
    SACK,
    ARPPacket,
    Direction,
    EnhancedPacket,
    EthernetHeader,
    FastOpen,
    ICMPv4Message,
    ICMPv6Message,
    InterfaceDescription,
    IPv4Header,
    IPv4Option,
    IPv6Header,
    LinkType,
    MaximumSegmentSize,
    NoOperation,
    SACKPermitted,
    SectionHeader,
    TCPFlags,
    TCPHeader,
    Timestamps,
    UDPHeader,
    UnreachableCode,
    UserTimeout,
    VLANTag,
    WindowScale,
    build,
)

ETHERNET = EthernetHeader("02:00:00:00:00:0b", "02:00:00:00:00:0a")
IPV4 = IPv4Header("192.0.2.1", "192.0.2.2")
IPV6 = IPv6Header("2001:db8::1", "2001:db8::2")
SYN = TCPHeader(
    50000,
    80,
    0xFFFFFFFF,
    0,
    TCPFlags.SYN,
    options=(MaximumSegmentSize(1460), SACKPermitted(), Timestamps(1), NoOperation(), WindowScale(8)),
)
SACKED = TCPHeader(80, 50000, 5, 1, options=(NoOperation(), NoOperation(), SACK(((101, 201), (301, 401)))))
RARE = TCPHeader(50001, 80, 9, 0, TCPFlags.SYN, options=(FastOpen(bytes(range(8))), UserTimeout(30)))
QUOTED = build(IPV4, UDPHeader(1000, 9), b"knock")
FRAMES = [
    build(EthernetHeader(BROADCAST, "02:00:00:00:00:0a"), ARPPacket.request("02:00:00:00:00:0a", IPV4.src, IPV4.dst)),
    build(ETHERNET, IPV4, SYN),
    build(ETHERNET, IPv4Header("192.0.2.2", "192.0.2.1"), SACKED),
    build(ETHERNET, IPV4, RARE),
    build(ETHERNET, IPV4, UDPHeader(1000, 9), b"odd"),
    build(ETHERNET, VLANTag(5), IPV6, SYN),
    build(ETHERNET, IPV6, UDPHeader(1000, 9), b"odd"),
    build(ETHERNET, IPv4Header(IPV4.src, IPV4.dst, options=(IPv4Option(148, b"\0\0"),)), UDPHeader(1000, 9), b"x"),
    *[build(ETHERNET, IPV4, ICMPv4Message.unreachable(code, QUOTED)) for code in UnreachableCode],
    build(ETHERNET, IPV4, ICMPv4Message.echo_request(1, 2, b"ping")),
    build(ETHERNET, IPV4, ICMPv4Message.time_exceeded(0, QUOTED)),
    build(ETHERNET, IPV4, ICMPv4Message.parameter_problem(8, QUOTED)),
    build(ETHERNET, IPV4, ICMPv4Message.redirect(1, "192.0.2.3", QUOTED)),
    build(ETHERNET, IPV6, ICMPv6Message.echo_request(1, 2, b"ping")),
    build(ETHERNET, IPV6, ICMPv6Message.packet_too_big(1280, build(IPV6, UDPHeader(1000, 9), b"knock"))),
]
CHECKED = [f"{protocol}.check_checksum:TRUE" for protocol in ("ip", "tcp", "udp")]


def capture(folder: Path, frames: list[bytes]) -> Path:
    blocks = [SectionHeader(), InterfaceDescription.nanoseconds(LinkType.ETHERNET, "tap0")]
    packets = [EnhancedPacket.captured(frame, at, Direction.OUTBOUND) for at, frame in enumerate(frames)]
    file = folder / "capture.pcapng"
    file.write_bytes(b"".join(map(bytes, (*blocks, *packets))))
    return file


def tshark(file: Path, *arguments: str) -> list[str]:
    options = [argument for preference in CHECKED for argument in ("-o", preference)]
    command = ["tshark", "-n", "-r", str(file), *options, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()


@pytest.mark.requires("tshark")
def test_nothing_is_malformed_and_no_checksum_wrong(tmp_path: Path) -> None:
    file = capture(tmp_path, FRAMES)
    assert len(tshark(file)) == len(FRAMES)
    wrong = [f"{protocol}.checksum.status == 0" for protocol in ("ip", "tcp", "udp", "icmp", "icmpv6")]
    assert tshark(file, "-Y", " || ".join(("_ws.malformed", "_ws.expert.severity == error", *wrong))) == []
    damaged = FRAMES[1][:-1] + b"\x09"
    assert len(tshark(capture(tmp_path, [damaged]), "-Y", "tcp.checksum.status == 0")) == 1


@pytest.mark.requires("tshark")
@pytest.mark.parametrize(
    ("frame", "fields"),
    [
        (1, {"tcp.seq_raw": "4294967295", "tcp.options.mss_val": "1460", "tcp.options.wscale.shift": "8"}),
        (2, {"tcp.options.sack_le": "101,301", "tcp.options.sack_re": "201,401", "tcp.flags": "0x0010"}),
        (3, {"tcp.options.tfo.cookie": "0001020304050607", "tcp.options.user_to_val": "30"}),
        (5, {"vlan.id": "5", "ipv6.src": "2001:db8::1", "ipv6.plen": "40"}),
        (7, {"ip.opt.ra": "0", "ip.len": "33"}),
        (-5, {"icmp.type": "11", "icmp.code": "0"}),
        (-3, {"icmp.type": "5", "icmp.redir_gw": "192.0.2.3"}),
        (-1, {"icmpv6.type": "2", "icmpv6.mtu": "1280"}),
    ],
)
def test_fields_are_where_wireshark_looks_for_them(tmp_path: Path, frame: int, fields: dict[str, str]) -> None:
    file = capture(tmp_path, [FRAMES[frame]])
    wanted = [argument for name in fields for argument in ("-e", name)]
    assert tshark(file, "-T", "fields", "-o", "tcp.relative_sequence_numbers:FALSE", *wanted) == [
        "\t".join(fields.values())
    ]
