"""The bare loop with virtio-net headers: super-segments of up to 64 KB, their checksums left to the kernel.

Over a TAP, or over AF_PACKET on one end of a veth; the kernel's socket is at the other end. Parse, ACK, build: no
state machine, and nothing that is lost is sent again.
"""

import os
import select
import struct
import time
from collections.abc import Sequence
from ipaddress import IPv4Address

from _work import BUFFER_SIZE, DOWNLOAD, UPLOAD, request
from attrs import define, field

from reference.bare import (
    ACK,
    HEADERS,
    HEADERS_OF_IP_AND_TCP,
    IPV4_TYPE,
    PSH,
    RST,
    SYN,
    TCP_OFFSET,
    TCP_PROTOCOL,
    WINDOW,
    Tuple,
    complement,
    remainder,
)

__all__ = ["VnetBare"]

VNET = struct.Struct("=BBHHHH")
PLAIN = bytes(VNET.size)
NEEDS_CSUM, TCPV4 = 1, 1
CHECKSUM_OFFSET = 16
START = VNET.size
IP_AT = START + 14
TCP_AT = START + TCP_OFFSET
LARGEST = START + 14 + 65_535
PARTIAL_ACK = VNET.pack(NEEDS_CSUM, 0, 0, 0, TCP_OFFSET, CHECKSUM_OFFSET)

WINDOW_SHIFT = 8
"""The window is then 8 MiB; a TAP's queue holds it many times in frames of this size."""
PATIENCE = 5000
"""Milliseconds without a frame after which a run has failed."""


@define
class VnetBare:
    """A client on a descriptor that carries virtio-net headers, talking to the kernel's socket at `remote`."""

    descriptor: int
    mtu: int
    local: str
    remote: tuple[str, int]
    macs: bytes
    """The 12 octets our frames start with: the kernel's address, then ours."""
    port: int = 20000
    poller: select.poll = field(factory=select.poll, init=False)

    def __attrs_post_init__(self) -> None:
        self.poller.register(self.descriptor, select.POLLIN)

    def read(self) -> bytes:
        if not self.poller.poll(PATIENCE):
            raise TimeoutError("the bare loop lost a frame")
        return os.read(self.descriptor, LARGEST)

    def write(self, pieces: Sequence[bytes | memoryview]) -> None:
        os.writev(self.descriptor, pieces)

    def open(self, work: bytes) -> tuple[Tuple, int, int, int, int]:
        """Connect and send the request. Gives the flow, both next sequence numbers, what is left of the peer's first
        window, and its shift."""
        self.port += 1
        host, port = self.remote
        flow = Tuple(self.macs, int(IPv4Address(self.local)), int(IPv4Address(host)), self.port, port)
        options = struct.pack("!BBHBBBB", 2, 4, self.mtu - HEADERS_OF_IP_AND_TCP, 1, 3, 3, WINDOW_SHIFT)
        self.write((PARTIAL_ACK, build(flow, 0, 0, SYN, len(options), 5 + len(options) // 4), options))
        while True:
            frame = self.read()
            segment = parse(flow, frame)
            if segment and segment[2] == SYN | ACK:
                break
        rcv_nxt = (segment[0] + 1) & 0xFFFFFFFF
        self.write((PARTIAL_ACK, build(flow, 1, rcv_nxt, ACK | PSH, len(work)), work))
        syn_options = frame[START + HEADERS.size :]
        shift = syn_options[syn_options.index(b"\x03\x03") + 2]
        return flow, 1 + len(work), rcv_nxt, segment[3] - len(work), shift

    def reset(self, flow: Tuple, snd_nxt: int, rcv_nxt: int) -> None:
        self.write((PARTIAL_ACK, build(flow, snd_nxt, rcv_nxt, RST | ACK, 0)))

    def download(self, total: int) -> float:
        """MB/s of receiving `total` octets, which nobody looks at; each super-segment is acknowledged at once."""
        descriptor, writev, read = self.descriptor, os.writev, os.read
        begun = time.perf_counter()
        flow, snd_nxt, rcv_nxt, _, _ = self.open(request(DOWNLOAD, total))
        received = 0
        while received < total:
            segment = parse(flow, read(descriptor, LARGEST))
            if segment is None or not (length := segment[4]):
                continue
            if segment[0] == rcv_nxt:
                rcv_nxt = (rcv_nxt + length) & 0xFFFFFFFF
                received += length
            writev(descriptor, (PARTIAL_ACK, build(flow, snd_nxt, rcv_nxt, ACK, 0)))
        elapsed = time.perf_counter() - begun
        self.reset(flow, snd_nxt, rcv_nxt)
        return total / elapsed / 1e6

    def upload(self, total: int) -> float:
        """MB/s of sending `total` octets, until the peer has acknowledged them all."""
        descriptor, writev, poll = self.descriptor, os.writev, self.poller.poll
        mss = self.mtu - HEADERS_OF_IP_AND_TCP
        largest = (65_535 - HEADERS_OF_IP_AND_TCP) // mss * mss
        data = memoryview(bytes(BUFFER_SIZE))  # as much memory as the measured program sends from
        at = 0
        marks = VNET.pack(NEEDS_CSUM, TCPV4, HEADERS.size, mss, TCP_OFFSET, CHECKSUM_OFFSET)
        begun = time.perf_counter()
        flow, snd_nxt, rcv_nxt, snd_wnd, shift = self.open(request(UPLOAD, total))
        snd_una, left = snd_nxt, total
        while left or snd_una != snd_nxt:
            room = snd_wnd - ((snd_nxt - snd_una) & 0xFFFFFFFF)
            size = min(left, largest, room - room % mss if room < left else room)
            if size > 0:
                flags = ACK if left > size else ACK | PSH
                writev(descriptor, (marks, build(flow, snd_nxt, rcv_nxt, flags, size), data[at : at + size]))
                at = (at + size) % (BUFFER_SIZE - largest)
                snd_nxt = (snd_nxt + size) & 0xFFFFFFFF
                left -= size
                if not poll(0):
                    continue
            segment = parse(flow, self.read())
            if segment is not None and (segment[1] - snd_una) & 0xFFFFFFFF <= (snd_nxt - snd_una) & 0xFFFFFFFF:
                snd_una = segment[1]
                snd_wnd = segment[3] << shift
        elapsed = time.perf_counter() - begun
        self.reset(flow, snd_nxt, rcv_nxt)
        return total / elapsed / 1e6


def build(flow: Tuple, seq: int, ack: int, flags: int, size: int, words: int = 5) -> bytes:
    """The headers of a segment of `words` 32-bit words of TCP header and `size` octets behind the first five; the TCP
    checksum is left partial."""
    segment = 20 + size
    pseudo = flow.ip_sum + TCP_PROTOCOL + segment
    return HEADERS.pack(
        flow.macs,
        IPV4_TYPE,
        0x45,
        0,
        20 + segment,
        0,
        0x4000,
        64,
        TCP_PROTOCOL,
        complement(flow.ip_sum + 0x4500 + 20 + segment + 0x4000 + 0x4006),
        flow.src,
        flow.dst,
        flow.src_port,
        flow.dst_port,
        seq,
        ack,
        words << 12 | flags,
        WINDOW,
        pseudo % 65535,
        0,
    )


def parse(flow: Tuple, data: bytes) -> tuple[int, int, int, int, int] | None:
    """Sequence and acknowledgment number, flags, window and octets of payload of a segment of `flow`."""
    if len(data) < START + HEADERS.size:
        return None
    (
        _, ethertype, version, _, total_length, _, fragment, _, protocol, _, src, dst,
        src_port, dst_port, seq, ack, offset_and_flags, window, _, _,
    ) = HEADERS.unpack_from(data, START)  # fmt: skip
    if (
        not data[0] & NEEDS_CSUM
        or ethertype != IPV4_TYPE
        or version != 0x45
        or fragment & 0x3FFF
        or protocol != TCP_PROTOCOL
        or (src, dst, src_port, dst_port) != (flow.dst, flow.src, flow.dst_port, flow.src_port)
        or len(data) < IP_AT + total_length
        or remainder(data[IP_AT:TCP_AT])
    ):
        return None
    return seq, ack, offset_and_flags & 0x3F, window, total_length - 20 - (offset_and_flags >> 12 << 2)
