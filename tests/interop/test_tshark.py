"""tshark as the judge: it must find what is wrong, or its silence about our captures says nothing."""

import struct
from pathlib import Path

import pytest

import pystack
from pystack import wire
from pystack.link.capture import Direction
from tests.interop.helpers import KERNEL, OURS, wrong_frames

pytestmark = [pytest.mark.interop, pytest.mark.requires("tshark")]

ETHERNET = wire.EthernetHeader(dst="02:00:00:00:00:01", src="02:00:00:00:00:02", ethertype=wire.EtherType.IPV4)
IP = wire.IPv4Header(src=OURS, dst=KERNEL)
CHECKSUM = 50
"""Where TCP's is in a frame."""
SOUND = {
    "tcp": wire.build(ETHERNET, IP, wire.TCPHeader(1, 2), b"hello"),
    "udp": wire.build(ETHERNET, IP, wire.UDPHeader(1, 53), b"hello"),
    "icmp": wire.build(ETHERNET, IP, wire.ICMPv4Message.echo_request(1, 2, b"hello")),
}


def flipped(name: str, place: int) -> bytes:
    """The sound frame of that name with a bit of the octet at `place` changed."""
    frame = bytearray(SOUND[name])
    frame[place] ^= 0x40
    return bytes(frame)


def with_minus_zero(ip: wire.IPv4Header) -> bytes:
    """A segment whose checksum is 0, but 0xFFFF is written there."""
    (checksum,) = struct.unpack_from("!H", wire.build(ETHERNET, ip, wire.TCPHeader(1, 2), bytes(2)), CHECKSUM)
    frame = bytearray(wire.build(ETHERNET, ip, wire.TCPHeader(1, 2), checksum.to_bytes(2, "big")))
    assert frame[CHECKSUM : CHECKSUM + 2] == bytes(2)
    frame[CHECKSUM : CHECKSUM + 2] = b"\xff\xff"
    return bytes(frame)


WRONG = {
    "tcp checksum of minus zero": with_minus_zero(IP),
    "tcp payload": flipped("tcp", -1),
    "udp payload": flipped("udp", -1),
    "icmp payload": flipped("icmp", -1),
    "ip checksum": flipped("tcp", 24),
    "tcp data offset": flipped("tcp", 46),
    "tcp header cut": SOUND["tcp"][:40],
}


def capture(folder: Path, *frames: bytes) -> Path:
    path = folder / "capture.pcapng"
    with open(path, "wb") as file:
        sink = pystack.PcapngSink(file)
        for now, frame in enumerate(frames):
            sink(Direction.OUTBOUND, frame, now)
    return path


def test_sound_frames_pass(tmp_path: Path) -> None:
    assert wrong_frames(capture(tmp_path, *SOUND.values())) == []


def test_the_kernels_minus_zero_passes(tmp_path: Path) -> None:
    assert wrong_frames(capture(tmp_path, with_minus_zero(wire.IPv4Header(src=KERNEL, dst=OURS)))) == []


@pytest.mark.parametrize("frame", WRONG.values(), ids=WRONG)
def test_a_wrong_frame_among_sound_ones_is_found(frame: bytes, tmp_path: Path) -> None:
    assert len(wrong_frames(capture(tmp_path, SOUND["udp"], frame, SOUND["icmp"]))) == 1
