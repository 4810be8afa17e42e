"""The bare loop at work: over a TAP against a kernel socket, and between two deques."""

import os
import select
import time
from collections import deque
from ipaddress import IPv4Address

from _work import DOWNLOAD, UPLOAD, request
from attrs import define, field

from reference.bare import ACK, HEADERS, PSH, RST, SYN, Receiver, Sender, Tuple, build, parse, syn

__all__ = ["Bare", "memory"]

BURST = 32
"""Segments built between two looks for ACKs."""
LARGEST = 2048
"""Octets that the longest frame fits in."""
PATIENCE = 5000
"""Milliseconds without a frame after which a run has failed: a lost segment is not sent again."""


@define
class Bare:
    """A client on a TAP's descriptor, talking to the kernel's socket at `remote`."""

    descriptor: int
    mtu: int
    local: str
    remote: tuple[str, int]
    macs: bytes
    """The 12 octets our frames start with: the TAP's address, then ours."""
    port: int = 20000
    poller: select.poll = field(factory=select.poll, init=False)

    def __attrs_post_init__(self) -> None:
        self.poller.register(self.descriptor, select.POLLIN)

    def read(self) -> bytes:
        """The next frame. Raises `TimeoutError`."""
        if not self.poller.poll(PATIENCE):
            raise TimeoutError("the bare loop lost a frame")
        return os.read(self.descriptor, LARGEST)

    def open(self, work: bytes) -> tuple[Tuple, int, int, int]:
        """Connect and send the request. Gives the flow, both next sequence numbers and the peer's window shift."""
        self.port += 1
        host, port = self.remote
        flow = Tuple(self.macs, int(IPv4Address(self.local)), int(IPv4Address(host)), self.port, port)
        os.write(self.descriptor, syn(flow, self.mtu))
        while True:
            frame = self.read()
            segment = parse(flow, frame)
            if segment and segment[2] == SYN | ACK:
                break
        rcv_nxt = (segment[0] + 1) & 0xFFFFFFFF
        os.write(self.descriptor, build(flow, 1, rcv_nxt, ACK | PSH, b"", work))
        options = frame[HEADERS.size :]
        shift = options[options.index(b"\x03\x03") + 2]
        return flow, 1 + len(work), rcv_nxt, shift

    def reset(self, end: Receiver | Sender) -> None:
        os.write(self.descriptor, build(end.flow, end.snd_nxt, end.rcv_nxt, RST | ACK))

    def download(self, total: int) -> float:
        """MB/s of receiving `total` octets."""
        descriptor = self.descriptor
        begun = time.perf_counter()
        flow, snd_nxt, rcv_nxt, _ = self.open(request(DOWNLOAD, total))
        receiver = Receiver(flow, snd_nxt, rcv_nxt)
        take = receiver.take
        while receiver.received < total:
            acknowledgment = take(os.read(descriptor, LARGEST))
            if acknowledgment:
                os.write(descriptor, acknowledgment)
        elapsed = time.perf_counter() - begun
        self.reset(receiver)
        return total / elapsed / 1e6

    def upload(self, total: int) -> float:
        """MB/s of sending `total` octets, until the peer has acknowledged them all."""
        descriptor = self.descriptor
        begun = time.perf_counter()
        flow, snd_nxt, rcv_nxt, shift = self.open(request(UPLOAD, total))
        sender = Sender(flow, snd_nxt, rcv_nxt, total, self.mtu, shift)
        poll = self.poller.poll
        while not sender.done:
            segment = None
            for _ in range(BURST):
                segment = sender.next()
                if segment is None:
                    break
                os.write(descriptor, segment)
            if segment is None:
                sender.take(self.read())
            while poll(0):
                sender.take(os.read(descriptor, LARGEST))
        elapsed = time.perf_counter() - begun
        self.reset(sender)
        return total / elapsed / 1e6


def memory(total: int, mtu: int) -> float:
    """MB/s from a sender to a receiver through two deques, in one thread."""
    there, back = Tuple(bytes(12), 1, 2, 3, 4), Tuple(bytes(12), 2, 1, 4, 3)
    sender = Sender(there, 1, 1, total, mtu, 4, snd_wnd=BURST * mtu)
    receiver = Receiver(back, 1, 1)
    forth: deque[bytes] = deque()
    returned: deque[bytes] = deque()
    begun = time.perf_counter()
    while not sender.done:
        while segment := sender.next():
            forth.append(segment)
        while forth:
            acknowledgment = receiver.take(forth.popleft())
            if acknowledgment:
                returned.append(acknowledgment)
        while returned:
            sender.take(returned.popleft())
    return total / (time.perf_counter() - begun) / 1e6
