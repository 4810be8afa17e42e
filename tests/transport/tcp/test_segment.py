"""Segments to octets and back."""

from contextlib import suppress

import pytest
from attrs import asdict
from hypothesis import given
from hypothesis import strategies as st

from pystack.errors import DecodeError
from pystack.transport.tcp import Segment, reset_for
from pystack.transport.tcp.segment import ACK, FIN, RST, SYN, URG
from pystack.wire.tcp import pack_options

u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFF_FFFF)


def test_the_usual_segment_octet_by_octet() -> None:
    segment = Segment(0x01020304, 0x05060708, ACK, 0x1122, (b"hi",), 2, ts_val=0xA0A1A2A3, ts_ecr=0xB0B1B2B3)
    header = segment.header_bytes(0x1F90, 0x0050)
    assert header.hex() == "1f900050010203040506070880101122000000000101080aa0a1a2a3b0b1b2b3"


def test_the_usual_syn_octet_by_octet() -> None:
    segment = Segment(
        1, 0, SYN, 0x1122, ts_val=0xA0A1A2A3, ts_ecr=0xB0B1B2B3, mss=1460, window_scale=8, sack_permitted=True
    )
    header = segment.header_bytes(0x1F90, 0x0050)
    assert header[:20].hex() == "1f9000500000000100000000a002112200000000"
    assert header[20:].hex() == "020405b4" + "0402" + "080aa0a1a2a3b0b1b2b3" + "01" + "030308"
    assert asdict(Segment.from_bytes((header,))) == asdict(segment)


def test_no_options() -> None:
    assert Segment(1, 2, RST | ACK, 3).header_bytes(4, 5).hex() == "0004000500000001000000025014000300000000"


def test_payload_is_not_copied() -> None:
    packet = bytearray(Segment(1, 2, ACK, 3).header_bytes(4, 5) + b"payload")
    segment = Segment.from_bytes((packet, b"more"))
    assert [bytes(part) for part in segment.payload] == [b"payload", b"more"]
    assert segment.length == 11
    packet[20] = ord("P")
    assert bytes(segment.payload[0]) == b"Payload"


@given(
    st.builds(
        Segment,
        u32,
        u32,
        st.integers(0, 0xFFF).map(lambda flags: flags | SYN),
        u16,
        ts_val=st.none() | u32,
        urgent=u16,
        mss=st.none() | u16,
        window_scale=st.none() | st.integers(0, 255),
        sack_permitted=st.booleans(),
    ),
    st.binary(max_size=100),
    u32,
)
def test_there_and_back(segment: Segment, payload: bytes, echo: int) -> None:
    if segment.ts_val is not None:
        segment.ts_ecr = echo
    again = Segment.from_bytes((segment.header_bytes(1, 2) + payload,))
    assert b"".join(again.payload) == payload
    assert again.length == len(payload)
    again.payload, again.length = (), 0
    assert asdict(again) == asdict(segment)


@given(u32, u32, st.integers(0, 0xFFF).map(lambda flags: flags & ~SYN), u16, u16, st.none() | u32)
def test_there_and_back_without_syn(
    seq: int, ack: int, flags: int, window: int, urgent: int, ts_val: int | None
) -> None:
    segment = Segment(seq, ack, flags, window, urgent=urgent, ts_val=ts_val)
    assert asdict(Segment.from_bytes((segment.header_bytes(1, 2),))) == asdict(segment)


@pytest.mark.parametrize(("count", "ts_val"), [(1, None), (4, None), (1, 4), (3, 4)])
def test_sack_blocks_there_and_back(count: int, ts_val: int | None) -> None:
    """Written as the options would be one by one."""
    blocks = tuple((number * 20, 2**32 - 10 - number) for number in range(count))
    segment = Segment(1, 2, ACK, 3, ts_val=ts_val, sack=blocks)
    header = segment.header_bytes(1, 2)
    assert header[20:] == pack_options(segment._options())
    assert header[12] >> 4 == len(header) // 4
    assert Segment.from_bytes((header,)).sack == blocks


@given(st.lists(st.binary(max_size=70), max_size=3))
def test_any_octets_decode_or_raise_decode_error(buffers: list[bytes]) -> None:
    with suppress(DecodeError):
        segment = Segment.from_bytes(tuple(buffers))
        assert segment.length == sum(memoryview(piece).nbytes for piece in segment.payload)


def test_no_octets_at_all() -> None:
    with pytest.raises(DecodeError, match=r"tcp\.short"):
        Segment.from_bytes(())


@pytest.mark.parametrize(
    ("segment", "answer"),
    [
        (Segment(100, 7, ACK, 0), (7, 0, RST)),
        (Segment(100, 0, SYN, 0), (0, 101, RST | ACK)),
        (Segment(100, 0, FIN, 0, (b"abc",), 3), (0, 104, RST | ACK)),
        (Segment(2**32 - 1, 0, SYN, 0), (0, 0, RST | ACK)),
    ],
)
def test_the_reset_that_answers_a_stray_segment(segment: Segment, answer: tuple[int, int, int]) -> None:
    """RFC 9293 section 3.10.7.1."""
    reset = reset_for(segment)
    assert reset is not None
    assert (reset.seq, reset.ack, reset.flags) == answer


def test_a_reset_is_never_answered() -> None:
    assert reset_for(Segment(1, 2, RST, 0)) is None
    assert reset_for(Segment(1, 2, RST | ACK, 0)) is None


def test_it_prints_as_tcpdump_would() -> None:
    segment = Segment(1000, 7, ACK | URG, 512, (b"abc",), 3, ts_val=5, ts_ecr=6, urgent=2)
    assert (
        repr(segment)
        == "<Flags [.U], seq 1000:1003, ack 7, win 512, urg 2, options [nop,nop,TS val 5 ecr 6], length 3>"
    )
    assert repr(Segment(5, 0, SYN, 9, mss=1460)) == "<Flags [S], seq 5, win 9, options [mss 1460], length 0>"
