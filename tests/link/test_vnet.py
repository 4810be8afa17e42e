"""The virtio-net header: what its octets say, and that nothing they say does harm."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from pystack.errors import DecodeError
from pystack.link.base import Checksum, Frame, GSOType, LinkCapabilities, Medium, Offload
from pystack.link.vnet import HEADER_OCTETS, VnetLink, decode, encode, with_header

NEEDS_CSUM, DATA_VALID = 1, 2
ECN = 0x80


def header(flags: int = 0, gso_type: int = 0, length: int = 0, size: int = 0, start: int = 0, offset: int = 0) -> bytes:
    return struct.pack("=BBHHHH", flags, gso_type, length, size, start, offset)


def offloads() -> st.SearchStrategy[Offload]:
    u16 = st.integers(0, 0xFFFF)
    partial = st.builds(Offload, st.just(Checksum.PARTIAL), u16, u16)
    cut = st.sampled_from([GSOType.TCPV4, GSOType.TCPV6, GSOType.UDP])
    return partial | st.builds(Offload, st.just(Checksum.PARTIAL), u16, u16, cut, st.integers(1, 0xFFFF), u16)


@pytest.mark.parametrize(
    ("octets", "offload"),
    [
        (header(), None),
        (header(NEEDS_CSUM, start=34, offset=16), Offload(Checksum.PARTIAL, 34, 16)),
        (header(DATA_VALID), Offload(Checksum.VERIFIED)),
        (header(DATA_VALID, start=9, offset=9), Offload(Checksum.VERIFIED)),
        (
            header(NEEDS_CSUM, 1, 66, 1448, 34, 16),
            Offload(Checksum.PARTIAL, 34, 16, GSOType.TCPV4, 1448, 66),
        ),
        (
            header(NEEDS_CSUM, 4 | ECN, 86, 1428, 54, 16),
            Offload(Checksum.PARTIAL, 54, 16, GSOType.TCPV6, 1428, 86),
        ),
        (header(NEEDS_CSUM, 5, 42, 1200, 34, 6), Offload(Checksum.PARTIAL, 34, 6, GSOType.UDP, 1200, 42)),
        (header(DATA_VALID, 1, 66, 1448), Offload(Checksum.VERIFIED, 0, 0, GSOType.TCPV4, 1448, 66)),
    ],
)
def test_what_a_header_says(octets: bytes, offload: Offload | None) -> None:
    assert decode(octets)[0] == offload


@pytest.mark.parametrize("gso_type", [2, 3, 6, 0x7F, ECN | 3])
def test_a_kind_of_super_segment_that_we_do_not_know(gso_type: int) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(header(NEEDS_CSUM, gso_type, 66, 1448, 34, 16))
    assert caught.value.reason == "offload.gso_type"


def test_a_super_segment_that_cannot_be_cut() -> None:
    with pytest.raises(DecodeError) as caught:
        decode(header(NEEDS_CSUM, 1, 66, 0, 34, 16))
    assert caught.value.reason == "offload.gso_size"


@given(offloads())
def test_what_is_sent_says_the_same_when_it_arrives(offload: Offload) -> None:
    assert decode(encode(offload)) == (offload, offload.csum_start + offload.csum_offset + 2)


@given(st.binary(min_size=HEADER_OCTETS, max_size=HEADER_OCTETS))
def test_any_header_is_understood_or_refused(octets: bytes) -> None:
    with suppress(DecodeError):
        decode(octets)


def test_the_header_stands_in_front_of_the_buffers() -> None:
    assert b"".join(with_header(Frame((b"head", b"tail")))) == header() + b"headtail"
    marked = Frame((b"head", b"tail"), Offload(Checksum.PARTIAL, 2, 0))
    assert b"".join(with_header(marked)) == header(NEEDS_CSUM, start=2) + b"headtail"
    scattered = Frame((b"x",) * 2000)
    assert len(with_header(scattered)) < 1024  # what the kernel takes at most
    assert b"".join(with_header(scattered)) == header() + b"x" * 2000


class Pipe(VnetLink):
    """A link that reads what the test writes to `far`."""

    def __init__(self) -> None:
        super().__init__("pipe", LinkCapabilities(Medium.ETHERNET, 1500), headers=True)
        self.far, self._near = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._near.setblocking(False)

    @override
    def fileno(self) -> int:
        return self._near.fileno()

    @override
    def _read_frame(self) -> Frame:
        return self._behind_header(os.readv(self.fileno(), (self._header, self._pool.buffer)))

    @override
    def _write(self, frame: Frame) -> None:
        os.writev(self.fileno(), with_header(frame))

    @override
    def _is_gone(self, error: OSError) -> bool:
        return False

    @override
    def _release(self) -> None:
        self.far.close()
        self._near.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.mark.parametrize("octets", [60, 1514, 20_000, 65_549])
def test_a_frame_arrives_whole_with_its_marks(pipe: Pipe, octets: int) -> None:
    data = os.urandom(octets)
    pipe.far.send(header(NEEDS_CSUM, 1, 66, 1448, 34, 16) + data)
    pipe.far.send(header(DATA_VALID) + data)
    first, second = pipe.receive(64, 0)
    assert first.to_bytes() == second.to_bytes() == data
    assert first.offload == Offload(Checksum.PARTIAL, 34, 16, GSOType.TCPV4, 1448, 66)
    assert second.offload == Offload(Checksum.VERIFIED)
    assert pipe.lost == 0


def test_frames_that_are_kept_are_not_overwritten(pipe: Pipe) -> None:
    frames: list[Frame] = []
    for number in range(10):
        pipe.far.send(header() + bytes([number]) * 40_000)
        frames += pipe.receive(64, 0)
    assert [frame.to_bytes() for frame in frames] == [bytes([number]) * 40_000 for number in range(10)]


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"short",
        header()[:-1],
        header(0, 3, 66, 1448) + bytes(100),
        header(NEEDS_CSUM, 1, 66, 0, 34, 16) + bytes(100),
        header(NEEDS_CSUM, start=34, offset=16) + bytes(51),
        header(NEEDS_CSUM, start=0xFFFF, offset=0xFFFF) + bytes(100),
        header(NEEDS_CSUM, 5, 42, 1200, 34, 6) + bytes(100),  # says UDP, carries nothing
    ],
)
def test_odd_headers_cost_their_frame_and_no_other(pipe: Pipe, octets: bytes) -> None:
    pipe.far.send(header() + b"before")
    pipe.far.send(octets)
    pipe.far.send(header() + b"after")
    assert [frame.to_bytes() for frame in pipe.receive(64, 0)] == [b"before", b"after"]
    assert pipe.lost == 1


@given(st.lists(st.builds(bytes.__add__, st.binary(max_size=12), st.binary(max_size=200)), max_size=5))
def test_nothing_raises(arriving: list[bytes]) -> None:
    pipe = Pipe()
    try:
        for octets in arriving:
            pipe.far.send(octets)
        assert len(pipe.receive(10_000, 0)) + pipe.lost >= len(arriving)
    finally:
        pipe.close()


def udp_super_datagram(payload: bytes) -> bytes:
    ethernet = bytes(12) + b"\x08\x00"
    udp = struct.pack("!HHHH", 1, 2, 8 + len(payload), 0) + payload
    return ethernet + struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(udp), 7, 0, 64, 17, 0, 1, 2) + udp


def test_datagrams_sent_as_one_arrive_one_by_one_within_the_budget(pipe: Pipe) -> None:
    marks = header(NEEDS_CSUM, 5, 42, 100, 34, 6)
    pipe.far.send(marks + udp_super_datagram(bytes(range(250))))
    pipe.far.send(header() + b"behind")
    assert pipe.next_arrival() is None
    first = pipe.receive(2, 0)
    assert pipe.next_arrival() == 0  # the descriptor does not tell of the third
    rest = pipe.receive(64, 0)
    assert pipe.next_arrival() is None
    payloads = [frame.to_bytes()[42:] for frame in (*first, *rest[:-1])]
    assert payloads == [bytes(range(100)), bytes(range(100, 200)), bytes(range(200, 250))]
    assert all(frame.offload is None for frame in first)
    assert rest[-1].to_bytes() == b"behind"
