import copy
import pickle

import pytest

from pystack.errors import DecodeError
from pystack.wire import (
    EndOfOptions,
    MaximumSegmentSize,
    NoOperation,
    PseudoHeader,
    SACKPermitted,
    TCPFlags,
    TCPHeader,
    Timestamps,
    WindowScale,
    internet_checksum,
    unpack_tcp,
)

PSEUDO = PseudoHeader("192.0.2.1", "192.0.2.2", 6)
SYN = bytes.fromhex("c52c1f90 d5b3d41e 00000000 a002faf0 befa0000 020405b4 0402080a 00697b15 00000000 0103030a")
SYN_OPTIONS = (MaximumSegmentSize(1460), SACKPermitted(), Timestamps(6912789), NoOperation(), WindowScale(10))
PUSH = bytes.fromhex("c52c1f90 d5b3d41f 6a09644f 8018003f 81ec0000 0101080a 00697b15 0b6248e5") + b"hello"


def test_captured_syn() -> None:
    header = TCPHeader.from_bytes(SYN)
    assert header == TCPHeader(
        src_port=50476,
        dst_port=8080,
        seq=3585332254,
        ack=0,
        flags=TCPFlags.SYN,
        window=64240,
        checksum=0xBEFA,
        urgent=0,
        options=SYN_OPTIONS,
    )
    assert bytes(header) == SYN
    assert header.size == 40
    assert repr(header) == (
        "<TCPHeader 50476 > 8080: Flags [S], seq 3585332254, win 64240, "
        "options [mss 1460,sackOK,TS val 6912789 ecr 0,nop,wscale 10]>"
    )


def test_sealed_as_the_kernel_sealed_it() -> None:
    syn = TCPHeader(50476, 8080, 3585332254, 0, TCPFlags.SYN, 64240, options=SYN_OPTIONS)
    assert syn.sealed(PSEUDO) == TCPHeader.from_bytes(SYN)
    push = TCPHeader.from_bytes(PUSH)
    assert TCPHeader.from_bytes(bytes(push)).sealed(PSEUDO, b"hello") == push


def test_every_field_has_its_place() -> None:
    header = TCPHeader(0x0102, 0x0304, 0x05060708, 0x090A0B0C, TCPFlags(0xFFF), 0x0D0E, 0x0F10, 0x1112)
    octets = bytes.fromhex("0102030405060708090a0b0c5fff0d0e0f101112")
    assert bytes(header) == octets
    assert TCPHeader.from_bytes(octets) == header
    assert unpack_tcp(octets) == (0x0102, 0x0304, 0x05060708, 0x090A0B0C, 20, 0xFFF, 0x0D0E, 0x0F10, 0x1112)
    assert "Flags [FSRP.UEWe+0xe00]" in repr(header)
    assert "urg 4370" in repr(header)


@pytest.mark.parametrize("seal_over", [bytes(0), b"\x01", bytes(range(256)) * 5])
def test_a_sealed_segment_sums_to_nothing(seal_over: bytes) -> None:
    header = TCPHeader(1, 2, 0xFFFFFFFF, 0xFFFFFFFF, window=0xFFFF, options=SYN_OPTIONS).sealed(PSEUDO, seal_over)
    segment = bytes(header) + seal_over
    assert internet_checksum(segment, PSEUDO.sum(len(segment))) == 0


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (TCPFlags.SYN, "S"),
        (TCPFlags.SYN | TCPFlags.ACK, "S."),
        (TCPFlags.PSH | TCPFlags.ACK, "P."),
        (TCPFlags.FIN | TCPFlags.ACK, "F."),
        (TCPFlags.RST, "R"),
        (TCPFlags.ACK, "."),
        (TCPFlags.ACK | TCPFlags.URG, ".U"),
        (TCPFlags.SYN | TCPFlags.ECE | TCPFlags.CWR | TCPFlags.AE, "SEWe"),
        (TCPFlags(0), "none"),
        (TCPFlags(0x800), "+0x800"),
    ],
)
def test_flags_are_written_as_tcpdump_does(flags: TCPFlags, text: str) -> None:
    assert f"Flags [{text}]" in repr(TCPHeader(1, 2, flags=flags))


def test_flags_are_taken_as_numbers_too() -> None:
    header = TCPHeader(1, 2, flags=0x12)
    assert header.flags is TCPHeader(3, 4, flags=TCPFlags.SYN | TCPFlags.ACK).flags
    assert isinstance(header.flags, TCPFlags)


def test_headers_are_values() -> None:
    header = TCPHeader.from_bytes(SYN)
    assert hash(header) == hash(TCPHeader.from_bytes(SYN))
    assert pickle.loads(pickle.dumps(header)) == header
    assert copy.deepcopy(header) == header
    assert TCPHeader(1, 2, options=list(SYN_OPTIONS)).options == SYN_OPTIONS  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        header.seq = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "tcp.short"),
        (SYN[:19], "tcp.short"),
        (SYN[:12] + b"\x40" + SYN[13:], "tcp.data_offset"),
        (SYN[:12] + b"\x00" + SYN[13:], "tcp.data_offset"),
        (SYN[:39], "tcp.short"),
        (SYN[:12] + b"\xb0" + SYN[13:], "tcp.short"),
        (SYN[:21] + b"\0" + SYN[22:], "tcp.option_length"),
    ],
)
def test_what_is_no_header_is_named(octets: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as error:
        TCPHeader.from_bytes(octets)
    assert error.value.reason == reason


def test_options_are_padded_with_end_of_options() -> None:
    header = TCPHeader(1, 2, options=(WindowScale(7),))
    assert bytes(header)[20:] == b"\3\3\7\0"
    assert TCPHeader.from_bytes(bytes(header)).options == (WindowScale(7), EndOfOptions())
    assert header.size == 24


def test_options_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"TCPHeader\.options take 44 octets of at most 40"):
        TCPHeader(1, 2, options=(NoOperation(),) * 41).to_bytes()
    with pytest.raises(ValueError, match=r"TCPHeader\.options take 44 octets of at most 40"):
        TCPHeader(1, 2, options=(NoOperation(),) * 41).sealed(PSEUDO)
