"""Finishing partial checksums and cutting super-segments, judged by plain loops over 16-bit words."""

import struct
from contextlib import suppress

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from pystack.errors import DecodeError
from pystack.link.base import Checksum, Frame, GSOType, Medium, Offload
from pystack.link.normalise import ip_start, normalise

ETHERNET = bytes.fromhex("020000000002 020000000001")
V4 = ETHERNET + b"\x08\x00"
V6 = ETHERNET + b"\x86\xdd"
TAGGED_V4 = ETHERNET + b"\x81\x00\x00\x2a\x08\x00"
STACKED_V6 = ETHERNET + b"\x88\xa8\x00\x01\x81\x00\x00\x2a\x86\xdd"

SRC4, DST4 = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))
SRC6, DST6 = bytes.fromhex("20010db8" + "0" * 23 + "1"), bytes.fromhex("20010db8" + "0" * 23 + "2")
TIMESTAMPS = bytes.fromhex("0101080a 00000001 00000002")

FIN, PSH, ACK, URG, ECE, CWR = 0x01, 0x08, 0x10, 0x20, 0x40, 0x80


def word_sum(data: bytes) -> int:
    """RFC 1071 as its text says it: 16-bit words, end-around carry."""
    total = 0
    for high, low in zip(data[::2], (data + b"\0")[1::2], strict=False):
        total += high << 8 | low
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo(src: bytes, dst: bytes, protocol: int, length: int) -> bytes:
    if len(src) == 4:
        return src + dst + struct.pack("!BBH", 0, protocol, length)
    return src + dst + struct.pack("!II", length, protocol)


def ipv4(
    length: int, *, protocol: int = 6, fragment: int = 0x4000, options: bytes = b"", identification: int = 7
) -> bytes:
    words = 5 + len(options) // 4
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x40 | words, 0, words * 4 + length, identification, fragment, 64, protocol, 0, SRC4, DST4
    )
    checksum = 0xFFFF ^ word_sum(header + options)
    return header[:10] + checksum.to_bytes(2, "big") + header[12:] + options


def ipv6(length: int, *, next_header: int = 6, extensions: bytes = b"") -> bytes:
    return (
        struct.pack("!IHBB16s16s", 6 << 28 | 0x12345, len(extensions) + length, next_header, 64, SRC6, DST6)
        + extensions
    )


def tcp(
    addresses: tuple[bytes, bytes],
    payload: int,
    *,
    flags: int = ACK,
    seq: int = 1000,
    urgent: int = 0,
    options: bytes = b"",
) -> bytes:
    """A header whose checksum field holds the folded pseudo-header sum, as for a super-segment."""
    octets = 20 + len(options)
    partial = word_sum(pseudo(*addresses, 6, octets + payload))
    return struct.pack("!HHIIHHHH", 80, 4000, seq, 5, octets << 10 | flags, 500, partial, urgent) + options


def super_segment(
    link: bytes = V4,
    payload: bytes = b"",
    *,
    gso_size: int,
    flags: int = ACK,
    seq: int = 1000,
    urgent: int = 0,
    options: bytes = TIMESTAMPS,
    ip_options: bytes = b"",
    identification: int = 7,
) -> Frame:
    six = link.endswith(b"\x86\xdd") or link == b"6"
    link = link if len(link) > 1 else b""
    addresses = (SRC6, DST6) if six else (SRC4, DST4)
    transport = tcp(addresses, len(payload), flags=flags, seq=seq, urgent=urgent, options=options)
    length = len(transport) + len(payload)
    network = ipv6(length) if six else ipv4(length, options=ip_options, identification=identification)
    headers = link + network + transport
    start = len(link) + len(network)
    offload = Offload(Checksum.PARTIAL, start, 16, GSOType.TCPV6 if six else GSOType.TCPV4, gso_size, len(headers))
    return Frame((headers, payload), offload)


class Segment:
    """A wire frame taken apart and held against every rule that any segment must keep."""

    def __init__(self, frame: Frame, medium: Medium, options: int = 12) -> None:
        assert frame.offload is None
        data = frame.to_bytes()
        at = ip_start(data, medium)
        assert at is not None
        self.link = data[:at]
        packet = data[at:]
        if packet[0] >> 4 == 4:
            octets = (packet[0] & 15) * 4
            assert word_sum(packet[:octets]) == 0xFFFF
            assert int.from_bytes(packet[2:4], "big") == len(packet)
            self.identification = int.from_bytes(packet[4:6], "big")
            addresses = packet[12:16], packet[16:20]
        else:
            octets = 40
            assert int.from_bytes(packet[4:6], "big") == len(packet) - 40
            addresses = packet[8:24], packet[24:40]
        self.network = packet[:octets]
        segment = packet[octets:]
        assert word_sum(pseudo(*addresses, 6, len(segment)) + segment) == 0xFFFF
        _, _, self.seq, _, word, _, _, self.urgent = struct.unpack_from("!HHIIHHHH", segment)
        self.flags = word & 0xFFF
        assert word >> 12 == 5 + options // 4
        self.payload = segment[20 + options :]


def test_a_plain_frame_is_itself() -> None:
    frame = Frame((b"anything",))
    assert normalise(frame, Medium.ETHERNET) == (frame,)


def test_a_verified_mark_is_taken_off() -> None:
    (frame,) = normalise(Frame((b"head", b"tail"), Offload(Checksum.VERIFIED)), Medium.ETHERNET)
    assert frame.offload is None
    assert frame.buffers == (b"head", b"tail")


@pytest.mark.parametrize("payload", [b"", b"odd", b"even"])
@pytest.mark.parametrize("pieces", [1, 3])
def test_a_partial_checksum_is_finished_over_all_buffers(payload: bytes, pieces: int) -> None:
    headers = V4 + ipv4(20 + len(payload) * pieces) + tcp((SRC4, DST4), len(payload) * pieces)
    frame = Frame((headers, *[payload] * pieces), Offload(Checksum.PARTIAL, 34, 16))
    (finished,) = normalise(frame, Medium.ETHERNET)
    assert Segment(finished, Medium.ETHERNET, options=0).payload == payload * pieces
    assert frame.buffers[0] == headers  # not modified: it is still its owner's
    if payload:
        assert finished.buffers[1] is payload  # and not copied


def test_a_frame_in_one_buffer_is_finished_too() -> None:
    packet = ipv6(23) + tcp((SRC6, DST6), 3) + b"abc"
    (finished,) = normalise(Frame((packet,), Offload(Checksum.PARTIAL, 40, 16)), Medium.IP)
    assert Segment(finished, Medium.IP, options=0).payload == b"abc"


def test_a_udp_checksum_of_zero_is_sent_as_all_ones() -> None:
    partial = word_sum(pseudo(SRC4, DST4, 17, 10))
    header = struct.pack("!HHHH", 1, 2, 10, partial)
    filler = (0xFFFF ^ word_sum(header)).to_bytes(2, "big")
    (frame,) = normalise(Frame((header, filler), Offload(Checksum.PARTIAL, 0, 6)), Medium.IP)
    assert frame.to_bytes() == header[:6] + b"\xff\xff" + filler


def test_a_tcp_checksum_of_zero_stays_zero() -> None:
    header = tcp((SRC4, DST4), 2)
    filler = (0xFFFF ^ word_sum(header)).to_bytes(2, "big")
    (frame,) = normalise(Frame((header, filler), Offload(Checksum.PARTIAL, 0, 16)), Medium.IP)
    assert frame.to_bytes()[16:18] == b"\0\0"


@pytest.mark.parametrize(
    ("link", "medium"),
    [
        pytest.param(V4, Medium.ETHERNET, id="v4"),
        pytest.param(V6, Medium.ETHERNET, id="v6"),
        pytest.param(TAGGED_V4, Medium.ETHERNET, id="tagged v4"),
        pytest.param(STACKED_V6, Medium.ETHERNET, id="stacked v6"),
        pytest.param(b"4", Medium.IP, id="ip v4"),
        pytest.param(b"6", Medium.IP, id="ip v6"),
    ],
)
def test_a_super_segment_is_cut_into_segments_that_stand_alone(link: bytes, medium: Medium) -> None:
    payload = bytes(range(250)) * 4
    whole = super_segment(link, payload, gso_size=300, seq=2**32 - 500, flags=ACK | PSH | FIN | CWR | ECE)
    parts = [Segment(frame, medium) for frame in normalise(whole, medium)]
    assert [part.payload for part in parts] == [payload[at : at + 300] for at in range(0, 1000, 300)]
    assert [part.seq for part in parts] == [2**32 - 500, 2**32 - 200, 100, 400]
    assert [part.flags for part in parts] == [ACK | CWR | ECE, ACK | ECE, ACK | ECE, ACK | ECE | PSH | FIN]
    assert {part.link for part in parts} == {link if len(link) > 1 else b""}


def test_identifications_go_on_from_the_first_and_wrap() -> None:
    parts = normalise(super_segment(V4, b"x" * 5, gso_size=2, identification=0xFFFF), Medium.ETHERNET)
    assert [Segment(part, Medium.ETHERNET).identification for part in parts] == [0xFFFF, 0, 1]


def test_ip_options_and_extension_headers_are_repeated() -> None:
    options = b"\x94\x04\x00\x00"  # router alert, RFC 2113
    for part in normalise(super_segment(V4, b"x" * 5, gso_size=2, ip_options=options), Medium.ETHERNET):
        assert Segment(part, Medium.ETHERNET).network[20:] == options
    hop_by_hop = bytes.fromhex("3c00 010400000000 0600 010400000000")  # and destination options, then TCP
    transport = tcp((SRC6, DST6), 5)
    headers = ipv6(25, next_header=0, extensions=hop_by_hop) + transport
    offload = Offload(Checksum.PARTIAL, 56, 16, GSOType.TCPV6, 2, len(headers))
    parts = normalise(Frame((headers, b"abcde"), offload), Medium.IP)
    assert [part.to_bytes()[40:56] for part in parts] == [hop_by_hop] * 3
    assert [part.to_bytes()[76:] for part in parts] == [b"ab", b"cd", b"e"]
    for part in parts:
        segment = part.to_bytes()[56:]
        assert int.from_bytes(part.to_bytes()[4:6], "big") == 16 + len(segment)
        assert word_sum(pseudo(SRC6, DST6, 6, len(segment)) + segment) == 0xFFFF


def test_the_urgent_pointer_keeps_pointing_at_the_same_octet() -> None:
    parts = normalise(super_segment(V4, b"x" * 6, gso_size=2, urgent=4, flags=ACK | URG), Medium.ETHERNET)
    cut = [Segment(part, Medium.ETHERNET) for part in parts]
    assert [(part.urgent, bool(part.flags & URG)) for part in cut] == [(4, True), (2, True), (0, False)]


@pytest.mark.parametrize("payload", [b"", b"x", b"x" * 10])
def test_what_fits_one_segment_stays_one(payload: bytes) -> None:
    whole = super_segment(V4, payload, gso_size=10, flags=ACK | PSH | FIN | CWR)
    (part,) = normalise(whole, Medium.ETHERNET)
    segment = Segment(part, Medium.ETHERNET)
    assert segment.payload == payload
    assert segment.flags == ACK | PSH | FIN | CWR


def test_a_verified_super_segment_gets_a_checksum_for_each_segment() -> None:
    whole = super_segment(V4, b"x" * 5, gso_size=2)
    assert whole.offload is not None
    whole.offload = evolve(whole.offload, checksum=Checksum.VERIFIED, csum_start=0, csum_offset=0)
    assert [Segment(part, Medium.ETHERNET).payload for part in normalise(whole, Medium.ETHERNET)] == [
        b"xx",
        b"xx",
        b"x",
    ]


@pytest.mark.parametrize("payload", [b"", b"odd", bytes(range(250))])
@pytest.mark.parametrize("link", [V4, V6, TAGGED_V4, STACKED_V6])
def test_a_udp_super_segment_becomes_datagrams(link: bytes, payload: bytes) -> None:
    six = link.endswith(b"\x86\xdd")
    addresses = (SRC6, DST6) if six else (SRC4, DST4)
    length = 8 + len(payload)
    udp = struct.pack("!HHHH", 53, 4000, length, word_sum(pseudo(*addresses, 17, length)))
    headers = link + (ipv6(length, next_header=17) if six else ipv4(length, protocol=17)) + udp
    offload = Offload(Checksum.PARTIAL, len(headers) - 8, 6, GSOType.UDP, 100, len(headers))
    parts = [part.to_bytes() for part in normalise(Frame((headers, payload), offload), Medium.ETHERNET)]
    assert [part[len(headers) :] for part in parts] == [payload[at : at + 100] for at in range(0, length - 8 or 1, 100)]
    for number, part in enumerate(parts):
        network, datagram = part[len(link) : len(headers) - 8], part[len(headers) - 8 :]
        assert part.startswith(link)
        assert datagram[:6] == struct.pack("!HHH", 53, 4000, len(datagram))
        assert word_sum(pseudo(*addresses, 17, len(datagram)) + datagram) == 0xFFFF
        if six:
            assert int.from_bytes(network[4:6], "big") == len(datagram)
        else:
            assert word_sum(network) == 0xFFFF
            assert struct.unpack_from("!HH", network, 2) == (20 + len(datagram), 7 + number)


@given(
    payload=st.binary(max_size=600),
    gso_size=st.integers(1, 700),
    seq=st.integers(0, 2**32 - 1),
    link=st.sampled_from([V4, V6, TAGGED_V4]),
    flags=st.integers(0, 0xFFF),
)
def test_cutting_loses_and_repeats_nothing(payload: bytes, gso_size: int, seq: int, link: bytes, flags: int) -> None:
    whole = super_segment(link, payload, gso_size=gso_size, seq=seq, flags=flags)
    parts = [Segment(frame, Medium.ETHERNET) for frame in normalise(whole, Medium.ETHERNET)]
    assert b"".join(part.payload for part in parts) == payload
    assert all(len(part.payload) == gso_size for part in parts[:-1])
    assert [part.seq for part in parts] == [(seq + at) % 2**32 for at in range(0, len(payload) or 1, gso_size)]


@pytest.mark.parametrize(
    ("frame", "medium"),
    [
        (Frame((b"x" * 10,), Offload(Checksum.PARTIAL, 8, 1)), Medium.IP),
        (Frame((b"x" * 10,), Offload(Checksum.PARTIAL, -4, 6)), Medium.IP),
        (Frame((b"x" * 10,), Offload(Checksum.PARTIAL, 6, -4)), Medium.IP),
        (Frame((b"x", b"y" * 10), Offload(Checksum.PARTIAL, 2, 2)), Medium.IP),
        (Frame((), Offload(Checksum.PARTIAL)), Medium.IP),
        (Frame((ETHERNET + b"\x08\x06" + bytes(40),), Offload(gso_type=GSOType.TCPV4, gso_size=1)), Medium.ETHERNET),
        (Frame((ETHERNET + b"\x81\x00",), Offload(gso_type=GSOType.TCPV4, gso_size=1)), Medium.ETHERNET),
        (Frame((ipv4(20) + bytes(20),), Offload(gso_type=GSOType.TCPV4, gso_size=1)), Medium.IP),
        (Frame((ipv4(8, protocol=17) + bytes(8),), Offload(gso_type=GSOType.TCPV4, gso_size=1)), Medium.IP),
        (
            Frame((ipv4(20, fragment=0x2000) + tcp((SRC4, DST4), 0),), Offload(gso_type=GSOType.TCPV4, gso_size=1)),
            Medium.IP,
        ),
        (Frame((ipv4(20) + tcp((SRC4, DST4), 0),), Offload(gso_type=GSOType.TCPV6, gso_size=1)), Medium.IP),
        (Frame((ipv4(20) + tcp((SRC4, DST4), 0),), Offload(gso_type=GSOType.TCPV4, gso_size=0)), Medium.IP),
        (Frame((ipv4(20) + tcp((SRC4, DST4), 0),), Offload(gso_type=GSOType.TCPV4, gso_size=65_496)), Medium.IP),
        (Frame((ipv4(20) + tcp((SRC4, DST4), 0),), Offload(Checksum.PARTIAL, 24, 16, GSOType.TCPV4, 1)), Medium.IP),
        (Frame((ipv4(20) + tcp((SRC4, DST4), 0),), Offload(Checksum.PARTIAL, 20, 6, GSOType.TCPV4, 1)), Medium.IP),
        (Frame((ipv4(20) + tcp((SRC4, DST4), 0),), Offload(gso_type=GSOType.UDP, gso_size=1)), Medium.IP),
        (Frame((ipv4(8, protocol=17) + bytes(7),), Offload(gso_type=GSOType.UDP, gso_size=1)), Medium.IP),
        (Frame((ipv4(8, protocol=17) + b"\0\x08" * 4,), Offload(gso_type=GSOType.UDP, gso_size=0)), Medium.IP),
        (Frame((ipv6(8, next_header=17) + bytes(8),), Offload(gso_type=GSOType.TCPV6, gso_size=1)), Medium.IP),
        (
            Frame((ipv6(8, next_header=0, extensions=b"\x06\xff"),), Offload(gso_type=GSOType.TCPV6, gso_size=1)),
            Medium.IP,
        ),
    ],
)
def test_marks_that_do_not_fit_are_refused(frame: Frame, medium: Medium) -> None:
    with pytest.raises(DecodeError):
        normalise(frame, medium)


offloads = st.builds(
    Offload,
    checksum=st.sampled_from(Checksum),
    csum_start=st.integers(-2, 80) | st.integers(),
    csum_offset=st.sampled_from([16, 6]) | st.integers(),
    gso_type=st.sampled_from(GSOType),
    gso_size=st.integers(-1, 70_000),
    header_length=st.integers(0, 0xFFFF),
)
damaged = st.builds(
    lambda frame, at, octet: frame[:at] + bytes([octet]) + frame[at + 1 :],
    st.sampled_from(
        [super_segment(link, b"abcdef", gso_size=2).to_bytes() for link in (V4, V6, STACKED_V6, b"4", b"6")]
    ),
    st.integers(0, 80),
    st.integers(0, 255),
)


@given(st.lists(st.binary(max_size=100) | damaged, max_size=3), offloads, st.sampled_from(Medium))
@example([ipv4(20) + tcp((SRC4, DST4), 0)], Offload(gso_type=GSOType.TCPV4, gso_size=65_495), Medium.IP)
def test_hostile_marks_and_octets_raise_decode_error_only(
    buffers: list[bytes], offload: Offload, medium: Medium
) -> None:
    with suppress(DecodeError):
        parts = normalise(Frame(tuple(buffers), offload), medium)
        assert parts
        assert all(part.offload is None for part in parts)


@pytest.mark.parametrize(
    ("data", "medium", "start"),
    [
        (V4, Medium.ETHERNET, 14),
        (V6, Medium.ETHERNET, 14),
        (TAGGED_V4, Medium.ETHERNET, 18),
        (STACKED_V6, Medium.ETHERNET, 22),
        (ETHERNET + b"\x08\x06", Medium.ETHERNET, None),
        (ETHERNET + b"\x81\x00\x00", Medium.ETHERNET, None),
        (b"", Medium.ETHERNET, None),
        (b"", Medium.IP, 0),
    ],
)
def test_where_ip_starts(data: bytes, medium: Medium, start: int | None) -> None:
    assert ip_start(data, medium) == start
