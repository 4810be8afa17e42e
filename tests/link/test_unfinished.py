"""Telling a checksum that was left to hardware from one that is wrong."""

import pytest

from pystack import wire
from pystack.link.base import Checksum, Frame, Medium, Offload
from pystack.link.normalise import normalise
from pystack.link.unfinished import holds_pseudo_sum, unfinished

V4 = wire.IPv4Header("192.0.2.1", "192.0.2.2")
V4_OPTIONS = wire.IPv4Header("192.0.2.1", "192.0.2.2", options=(wire.IPv4Option(7, bytes(5)),))
V6 = wire.IPv6Header("2001:db8::1", "2001:db8::2")
TCP, UDP = wire.TCPHeader(1, 2), wire.UDPHeader(1, 2)


def left_unfinished(packet: bytes, at: int) -> bytes:
    """An IPv4 packet as the kernel leaves it: the folded pseudo-header sum in the checksum field."""
    start = 4 * (packet[0] & 0xF)
    pseudo = wire.pseudo_sum(packet[12:16], packet[16:20], packet[9])
    return packet[:at] + wire.ones_sum(b"", pseudo + len(packet) - start).to_bytes(2, "big") + packet[at + 2 :]


@pytest.mark.parametrize(
    ("layers", "start", "field"),
    [
        ((V4, TCP), 20, 16),
        ((V4, UDP), 20, 6),
        ((V4_OPTIONS, UDP), 28, 6),
        ((V6, TCP), 40, 16),
        ((V6, UDP), 40, 6),
    ],
)
@pytest.mark.parametrize("link_header", [0, 14, 18])
def test_where_the_checksum_is(layers: tuple[wire.Header, ...], start: int, field: int, link_header: int) -> None:
    frame = bytes(link_header) + wire.build(*layers, b"data")
    assert unfinished(frame, link_header) == Offload(Checksum.PARTIAL, link_header + start, field)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45",
        wire.build(V4, wire.ICMPv4Message.echo_request(1, 1)),
        wire.build(V4, TCP)[:37],
        wire.build(V6, wire.ICMPv6Message(128)),
        wire.build(V6, UDP)[:6],
    ],
)
def test_where_there_is_none(packet: bytes) -> None:
    assert unfinished(packet) is None


@pytest.mark.parametrize("payload", [b"", b"x", bytes(1000), b"\xff" * 65_000])
@pytest.mark.parametrize(("header", "at"), [(TCP, 36), (UDP, 26)])
def test_unfinished_or_complete(header: wire.TCPHeader | wire.UDPHeader, at: int, payload: bytes) -> None:
    complete = wire.build(V4, header, payload)
    partial = left_unfinished(complete, at)
    marks = unfinished(complete)
    assert marks is not None
    assert not holds_pseudo_sum(complete, marks)
    assert holds_pseudo_sum(partial, marks)
    (finished,) = normalise(Frame((partial,), marks), Medium.IP)
    assert finished.to_bytes() == complete


def test_no_udp_checksum_is_not_an_unfinished_one() -> None:
    complete = wire.build(V4, UDP, b"data")
    none = complete[:26] + b"\0\0" + complete[28:]
    marks = unfinished(none)
    assert marks is not None
    assert not holds_pseudo_sum(none, marks)
