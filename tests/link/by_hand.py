"""Peers played by hand: packets built and read with `pystack.wire`, one by one."""

import ctypes
import os
import select
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest
from attrs import define

from pystack import wire
from pystack.link.base import Frame, Link, Medium, Offload
from pystack.link.normalise import ip_start, normalise
from pystack.wire import TCPFlags

__all__ = [
    "CAP_NET_ADMIN",
    "Caller",
    "answer_arp",
    "as_nobody",
    "descriptors",
    "frames_until",
    "ip_of",
    "layer_of",
    "marks_of",
    "next_frame",
    "own_mac",
    "packet_of",
    "packets_of",
    "sent",
    "tcp_packet",
    "udp_packet",
    "without_capability",
]

L = TypeVar("L", bound=wire.Layer)

PATIENCE = 10.0
NOBODY = 65534
CAP_NET_ADMIN = 12


def frames_until(link: Link, enough: Callable[[list[Frame]], bool]) -> list[Frame]:
    """What arrives until `enough` says so. Fails when it does not for long."""
    poller = select.poll()
    descriptor = link.fileno()
    assert descriptor is not None
    poller.register(descriptor, select.POLLIN)
    end = time.monotonic() + PATIENCE
    frames: list[Frame] = []
    while not enough(frames):
        if link.next_arrival() is None and not poller.poll(max(0.0, end - time.monotonic()) * 1000):
            pytest.fail(f"waited {PATIENCE} s; so far {[frame.to_bytes()[:80].hex() for frame in frames]}")
        frames += link.receive(1, 0)
    return frames


def next_frame(link: Link, wanted: Callable[[bytes], bool] = lambda octets: True) -> Frame:
    """The next frame whose octets are `wanted`; others are passed over."""
    return frames_until(link, lambda frames: bool(frames) and wanted(frames[-1].to_bytes()))[-1]


def sent(link: Link, *octets: bytes) -> None:
    """Send each as a frame of one buffer; all must be taken."""
    assert link.send([Frame((each,)) for each in octets], 0) == len(octets)


def packets_of(link: Link, frame: Frame) -> list[bytes]:
    """The IP packets that `frame` becomes on a wire: checksums finished, super-segments cut."""
    medium = link.capabilities.medium
    pieces = [plain.to_bytes() for plain in normalise(frame, medium)]
    return [octets[ip_start(octets, medium) :] for octets in pieces]


def packet_of(link: Link, frame: Frame) -> bytes:
    """The only one of them."""
    (packet,) = packets_of(link, frame)
    return packet


def ip_of(link: Link, frame: Frame) -> tuple[wire.Layer, ...]:
    """The layers of the IP packet in `frame`, all checksums verified; of a super-segment's payload all of it."""
    first, *rest = (wire.dissect(packet, wire.LinkType.RAW, verify=True) for packet in packets_of(link, frame))
    return (*first[:-1], b"".join([bytes(layers[-1]) for layers in (first, *rest)])) if rest else first


def layer_of(link: Link, frame: Frame, kind: type[L]) -> L:
    """The layer of that kind among them."""
    (layer,) = (layer for layer in ip_of(link, frame) if isinstance(layer, kind))
    return layer


def marks_of(frame: Frame) -> Offload:
    """The offload marks, which must be there."""
    assert frame.offload is not None
    return frame.offload


def own_mac(link: Link) -> wire.MACAddress:
    """The address of a link that is Ethernet."""
    assert link.capabilities.mac is not None
    return link.capabilities.mac


def udp_packet(src: str, src_port: int, dst: str, dst_port: int, payload: bytes) -> bytes:
    return wire.build(wire.IPv4Header(src, dst), wire.UDPHeader(src_port, dst_port), payload)


def tcp_packet(src: str, dst: str, header: wire.TCPHeader, payload: bytes = b"") -> bytes:
    return wire.build(wire.IPv4Header(src, dst), header, payload)


def answer_arp(link: Link, address: str) -> wire.MACAddress:
    """Wait for the question who has `address`, and answer it. Gives who asked."""
    mac = own_mac(link)

    def asks(octets: bytes) -> bool:
        return octets[12:14] == b"\x08\x06" and wire.ARPPacket.from_bytes(octets[14:]).target_ip.exploded == address

    question = wire.ARPPacket.from_bytes(next_frame(link, asks).to_bytes()[14:])
    answer = wire.ARPPacket.reply(mac, address, question.sender_mac, question.sender_ip)
    sent(link, wire.build(wire.EthernetHeader(question.sender_mac, mac), answer))
    return question.sender_mac


@define
class Caller:
    """The calling end of one TCP connection, played by hand over `link`."""

    link: Link
    src: str
    dst: str
    src_port: int
    dst_port: int
    dst_mac: wire.MACAddress | None = None
    seq: int = 1000
    ack: int = 0

    def connect(self) -> None:
        """SYN, the listener's SYN-ACK, ACK."""
        self.send(TCPFlags.SYN)
        _, header, _ = self.receive()
        assert header.flags == TCPFlags.SYN | TCPFlags.ACK
        assert header.ack == self.seq + 1
        self.seq, self.ack = header.ack, header.seq + 1
        self.send(TCPFlags.ACK)

    def send(self, flags: TCPFlags, payload: bytes = b"") -> None:
        header = wire.TCPHeader(self.src_port, self.dst_port, seq=self.seq, ack=self.ack, flags=flags)
        packet = tcp_packet(self.src, self.dst, header, payload)
        if self.link.capabilities.medium is Medium.ETHERNET:
            assert self.dst_mac
            packet = wire.build(wire.EthernetHeader(self.dst_mac, own_mac(self.link), 0x0800), packet)
        sent(self.link, packet)

    def receive(self) -> tuple[Frame, wire.TCPHeader, bytes]:
        """The next segment for us: its frame, header and payload."""
        while True:
            frame = next_frame(self.link, self._is_ours)
            _, header, *payload = ip_of(self.link, frame)
            if isinstance(header, wire.TCPHeader):
                return frame, header, bytes(payload[0]) if payload else b""

    def _is_ours(self, octets: bytes) -> bool:
        start = ip_start(octets, self.link.capabilities.medium)
        return start is not None and octets[start + 9] == wire.IPProtocol.TCP


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's capabilities for a while."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def without_capability(number: int) -> Iterator[None]:
    """Root, but for one of its capabilities (capabilities(7))."""
    libc = ctypes.CDLL(None)
    this_process = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3
    before = ctypes.create_string_buffer(24)  # effective, permitted, inheritable; the same for capabilities from 32 on
    assert libc.capget(this_process, before) == 0
    (effective,) = struct.unpack_from("=I", before)
    assert libc.capset(this_process, struct.pack("=I", effective & ~(1 << number)) + before.raw[4:]) == 0
    try:
        yield
    finally:
        assert libc.capset(this_process, before) == 0


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))
