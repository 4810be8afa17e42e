"""The bare loop with virtio-net headers: super-segments cross the TAP uncut, their checksums unmade."""

import os
import struct
from collections.abc import Sequence

from attrs import define, field
from typing_extensions import Buffer, override

from reference.bare import ACK, HEADERS, IPV4_TYPE, PSH, TCP_OFFSET, TCP_PROTOCOL, WINDOW, Receiver, Sender, Tuple
from reference.bulk import Bare

__all__ = ["OffloadBare"]

VIRTIO_NET = struct.Struct("=BBHHHH")
PLAIN = bytes(VIRTIO_NET.size)
NEEDS_CHECKSUM, TCPV4 = 1, 1
LARGEST = 65_535 - 40
"""Octets of payload that one IP packet takes."""


@define
class OffloadSender(Sender):
    """As the sender of plain segments, 44 of them at a time."""

    @override
    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.payload = bytes(LARGEST // len(self.payload) * len(self.payload))

    def next_super(self) -> Sequence[Buffer] | None:
        """All headers, and the payload. None: nothing is left, or the window is full."""
        flow, seq, mss = self.flow, self.snd_nxt, self.mtu - 40
        size = min(self.left, len(self.payload), self.snd_wnd - ((seq - self.snd_una) & 0xFFFFFFFF))
        if (size < mss and size < self.left) or not size:
            return None
        self.snd_nxt = (seq + size) & 0xFFFFFFFF
        self.left -= size
        segment = 20 + size
        tcp_sum = (flow.ip_sum + TCP_PROTOCOL + segment) % 65535  # left unfinished, not inverted
        header_sum = 0xFFFF - (flow.ip_sum + 0x4500 + 20 + segment + 0x4000 + 0x4006) % 65535
        marks = VIRTIO_NET.pack(NEEDS_CHECKSUM, TCPV4, HEADERS.size, mss, TCP_OFFSET, 16)
        headers = HEADERS.pack(
            *(flow.macs, IPV4_TYPE, 0x45, 0, 20 + segment, 0, 0x4000, 64, TCP_PROTOCOL, header_sum),
            *(flow.src, flow.dst, flow.src_port, flow.dst_port, seq, self.rcv_nxt),
            *(5 << 12 | ACK | PSH, WINDOW, tcp_sum, 0),
        )
        payload = self.payload if size == len(self.payload) else memoryview(self.payload)[:size]
        return marks, headers, payload


@define
class OffloadBare(Bare):
    """On a TAP opened with `offload`."""

    buffer: bytearray = field(factory=lambda: bytearray(70_000), init=False)

    @override
    def get(self) -> bytes:
        """A view into the buffer, good until the next call."""
        size = os.readv(self.descriptor, [self.buffer])
        return memoryview(self.buffer)[VIRTIO_NET.size : size]  # type: ignore[return-value]

    @override
    def put(self, frame: bytes) -> None:
        os.writev(self.descriptor, (PLAIN, frame))

    @override
    def receiver(self, flow: Tuple, snd_nxt: int, rcv_nxt: int) -> Receiver:
        return Receiver(flow, snd_nxt, rcv_nxt, every=1, verify=False)

    @override
    def sender(self, flow: Tuple, snd_nxt: int, rcv_nxt: int, total: int, shift: int) -> OffloadSender:
        return OffloadSender(flow, snd_nxt, rcv_nxt, total, self.mtu, shift, verify=False)

    @override
    def send_next(self, sender: Sender) -> bool:
        assert isinstance(sender, OffloadSender)
        buffers = sender.next_super()
        if buffers is None:
            return False
        os.writev(self.descriptor, buffers)
        return True
