import json
import subprocess
from pathlib import Path

import pytest

from pystack.errors import DecodeError
from pystack.wire import (
    Direction,
    EnhancedPacket,
    EthernetHeader,
    InterfaceDescription,
    IPv4Header,
    LinkType,
    OpaqueBlock,
    PcapngOption,
    SectionHeader,
    TCPHeader,
    build,
    read_blocks,
)

SECTION = bytes.fromhex("0a0d0d0a 1c000000 4d3c2b1a 0100 0000 ffffffffffffffff 1c000000")
INTERFACE = bytes.fromhex(
    "01000000 28000000 0100 0000 00000000"
    "0200 0400 74617030"  # if_name tap0
    "0900 0100 09000000"  # if_tsresol 9
    "0000 0000 28000000"
)
PACKET = bytes.fromhex(
    "06000000 34000000 00000000 98badc17 10325476 05000000 05000000"
    "68656c6c 6f000000"
    "0200 0400 02000000"  # epb_flags: outbound
    "0000 0000 34000000"
)
FILE = SECTION + INTERFACE + PACKET
BLOCKS = [
    SectionHeader(),
    InterfaceDescription.nanoseconds(LinkType.ETHERNET, "tap0"),
    EnhancedPacket.captured(b"hello", 0x17DCBA98_76543210, Direction.OUTBOUND),
]


def test_blocks_to_literal_octets() -> None:
    assert [bytes(block) for block in BLOCKS] == [SECTION, INTERFACE, PACKET]


def test_literal_octets_to_blocks() -> None:
    section, interface, packet = read_blocks(FILE)
    assert [section, interface, packet] == BLOCKS
    assert isinstance(interface, InterfaceDescription)
    assert (interface.name, interface.ticks_per_second) == ("tap0", 10**9)
    assert isinstance(packet, EnhancedPacket)
    assert (packet.direction, packet.original_length) == (Direction.OUTBOUND, 5)
    assert repr(section) == "<SectionHeader pcapng 1.0, little endian>"
    assert repr(interface) == "<InterfaceDescription tap0, link type 1, 1000000000 ticks per second>"
    assert repr(packet) == "<EnhancedPacket outbound, interface 0, tick 1719454321731711504, 5 octets>"


def test_big_endian_sections_and_unknown_blocks() -> None:
    octets = bytes.fromhex(
        "0a0d0d0a 0000001c 1a2b3c4d 0001 0002 0000000000000020 0000001c"
        "00000001 00000014 0065 0000 00040000 00000014"
        "00000bad 00000010 deadbeef 00000010"
        "00000006 00000030 00000000 00000001 00000002 00000004 00000063 01020304"
        "0002 0004 00000001 0000 0000 00000030"
    )
    blocks = list(read_blocks(octets))
    assert b"".join(map(bytes, blocks)) == octets
    section, interface, unknown, packet = blocks
    assert section == SectionHeader(">", 1, 2, 32)
    assert interface == InterfaceDescription(LinkType.RAW, 0x40000, byte_order=">")
    assert unknown == OpaqueBlock(0xBAD, b"\xde\xad\xbe\xef", ">")
    assert isinstance(packet, EnhancedPacket)
    assert (packet.timestamp, packet.original_length, packet.direction) == (1 << 32 | 2, 99, Direction.INBOUND)
    assert repr(unknown) == "<OpaqueBlock block type 2989, 4 octets>"
    assert repr(section) == "<SectionHeader pcapng 1.2, big endian>"


def test_a_second_section_may_turn_the_byte_order_round() -> None:
    octets = FILE + bytes(SectionHeader(">")) + bytes(InterfaceDescription(byte_order=">"))
    assert b"".join(map(bytes, read_blocks(octets))) == octets


@pytest.mark.parametrize(("resolution", "ticks"), [(None, 10**6), (b"\x03", 1000), (b"\x8a", 1024), (b"", 10**6)])
def test_resolution(resolution: bytes | None, ticks: int) -> None:
    options = () if resolution is None else (PcapngOption(9, resolution),)
    assert InterfaceDescription(options=options).ticks_per_second == ticks


def test_direction_is_unknown_where_nothing_sound_is_said() -> None:
    assert EnhancedPacket.captured(b"", 0).direction is Direction.UNKNOWN
    assert EnhancedPacket.captured(b"", 0).options == ()
    assert EnhancedPacket(0, 0, b"", 0, (PcapngOption(2, b"\x03\0\0\0"),)).direction is Direction.UNKNOWN
    assert EnhancedPacket(0, 0, b"", 0, (PcapngOption(2, b"\x01"),)).direction is Direction.UNKNOWN


def test_what_came_before_the_damage_is_still_read() -> None:
    blocks = read_blocks(FILE[:-3])
    assert [next(blocks), next(blocks)] == BLOCKS[:2]
    with pytest.raises(DecodeError, match=r"pcapng\.short: block of 52 octets, 49 left"):
        next(blocks)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (SECTION[:11], "pcapng.short"),
        (INTERFACE, "pcapng.section"),
        (SECTION[:8] + bytes(4) + SECTION[12:], "pcapng.magic"),
        (SECTION[:4] + b"\x0b\0\0\0" + SECTION[8:], "pcapng.length"),
        (SECTION[:4] + b"\x1d\0\0\0" + SECTION[8:] + bytes(4), "pcapng.length"),
        (SECTION[:-4] + b"\x20\0\0\0", "pcapng.length"),
        (bytes.fromhex("0a0d0d0a 10000000 4d3c2b1a 10000000"), "pcapng.section"),
        (SECTION + bytes.fromhex("01000000 10000000 01000000 10000000"), "pcapng.interface"),
        (SECTION + bytes.fromhex("06000000 10000000 01000000 10000000"), "pcapng.packet"),
        (SECTION + INTERFACE[:10] + b"\1" + INTERFACE[11:], "pcapng.padding"),
        (FILE[:-17] + b"\1" + FILE[-16:], "pcapng.padding"),
        (FILE.replace(b"\5\0\0\0\5\0\0\0hello", b"\x05\1\0\0\5\0\0\0hello"), "pcapng.length"),
        (SECTION + INTERFACE[:-8] + b"\0\0\4\0" + INTERFACE[-4:], "pcapng.length"),
        (SECTION + bytes.fromhex("01000000 1c000000 01000000 00000000 00000000 00000000 1c000000"), "pcapng.options"),
    ],
)
def test_what_is_no_block_is_named(octets: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as error:
        list(read_blocks(octets))
    assert error.value.reason == reason


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="not a multiple of 4"):
        OpaqueBlock(1, b"\0").to_bytes()
    with pytest.raises(ValueError, match="block type 4294967296"):
        OpaqueBlock(1 << 32, b"").to_bytes()
    with pytest.raises(ValueError, match="code 65536"):
        PcapngOption(65536).to_bytes()


@pytest.mark.requires("tshark")
def test_tshark_reads_what_we_write(tmp_path: Path) -> None:
    frame = build(
        EthernetHeader("02:00:00:00:00:01", "02:00:00:00:00:02"),
        IPv4Header("192.0.2.1", "192.0.2.2"),
        TCPHeader(1, 2),
        b"hi",
    )
    capture = tmp_path / "capture.pcapng"
    capture.write_bytes(
        b"".join(
            map(bytes, (*BLOCKS[:2], EnhancedPacket.captured(frame, 1_700_000_000_123_456_789, Direction.INBOUND)))
        )
    )
    fields = [
        "frame.interface_name",
        "frame.time_epoch",
        "frame.packet_flags_direction",
        "ip.checksum.status",
        "tcp.checksum.status",
        "tcp.payload",
    ]
    output = subprocess.run(
        ["tshark", "-r", str(capture), "-T", "json", "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]
        + [argument for field in fields for argument in ("-e", field)],
        check=True,
        capture_output=True,
    ).stdout
    (packet,) = json.loads(output)
    assert [packet["_source"]["layers"][field] for field in fields] == [
        ["tap0"],
        ["1700000000.123456789"],
        ["0x00000001"],
        ["1"],
        ["1"],
        ["6869"],
    ]
