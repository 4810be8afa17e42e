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

    def get(self) -> bytes:
        return os.read(self.descriptor, 2048)

    def put(self, frame: bytes) -> None:
        os.write(self.descriptor, frame)

    def wait(self) -> bytes:
        """The next frame. Raises `TimeoutError`."""
        if not self.poller.poll(PATIENCE):
            raise TimeoutError("the bare loop lost a frame")
        return self.get()

    def receiver(self, flow: Tuple, snd_nxt: int, rcv_nxt: int) -> Receiver:
        return Receiver(flow, snd_nxt, rcv_nxt)

    def sender(self, flow: Tuple, snd_nxt: int, rcv_nxt: int, total: int, shift: int) -> Sender:
        return Sender(flow, snd_nxt, rcv_nxt, total, self.mtu, shift)

    def send_next(self, sender: Sender) -> bool:
        """Send one more segment, if there is one."""
        segment = sender.next()
        if segment is None:
            return False
        self.put(segment)
        return True

    def open(self, work: bytes) -> tuple[Tuple, int, int, int]:
        """Connect and send the request. Gives the flow, both next sequence numbers and the peer's window shift."""
        self.port += 1
        host, port = self.remote
        flow = Tuple(self.macs, int(IPv4Address(self.local)), int(IPv4Address(host)), self.port, port)
        self.put(syn(flow, self.mtu))
        while True:
            frame = self.wait()
            segment = parse(flow, frame, verify=False)
            if segment and segment[2] == SYN | ACK:
                break
        rcv_nxt = (segment[0] + 1) & 0xFFFFFFFF
        self.put(build(flow, 1, rcv_nxt, ACK | PSH, b"", work))
        options = bytes(frame[HEADERS.size :])
        shift = options[options.index(b"\x03\x03") + 2]
        return flow, 1 + len(work), rcv_nxt, shift

    def reset(self, end: Receiver | Sender) -> None:
        self.put(build(end.flow, end.snd_nxt, end.rcv_nxt, RST | ACK))

    def download(self, total: int) -> float:
        """MB/s of receiving `total` octets."""
        begun = time.perf_counter()
        flow, snd_nxt, rcv_nxt, _ = self.open(request(DOWNLOAD, total))
        receiver = self.receiver(flow, snd_nxt, rcv_nxt)
        get, take, put = self.get, receiver.take, self.put
        while receiver.received < total:
            acknowledgment = take(get())
            if acknowledgment:
                put(acknowledgment)
        elapsed = time.perf_counter() - begun
        self.reset(receiver)
        return total / elapsed / 1e6

    def upload(self, total: int) -> float:
        """MB/s of sending `total` octets, until the peer has acknowledged them all."""
        begun = time.perf_counter()
        flow, snd_nxt, rcv_nxt, shift = self.open(request(UPLOAD, total))
        sender = self.sender(flow, snd_nxt, rcv_nxt, total, shift)
        poll, get, take, send_next = self.poller.poll, self.get, sender.take, self.send_next
        while not sender.done:
            for _ in range(BURST):
                if not send_next(sender):
                    take(self.wait())
                    break
            while poll(0):
                take(get())
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
