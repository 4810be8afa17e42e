"""One direction of one TCP connection: parse, ACK, build. No state machine, no timers, no congestion control.

The receiver checks each segment as a stack must (addresses, both checksums, sequence number) and acknowledges every
second one; the sender builds each segment with both checksums and stays inside the peer's window.
"""

import struct

from attrs import define, field, frozen

__all__ = ["ACK", "HEADERS", "PSH", "RST", "SYN", "Receiver", "Sender", "Tuple", "build", "parse", "syn"]

HEADERS = struct.Struct("!12sH BBHHHBBHII HHIIHHHH")
"""Ethernet, IPv4 and TCP without options: 54 octets."""
TCP_OFFSET = 34
IPV4_TYPE, TCP_PROTOCOL = 0x0800, 6
SYN, RST, PSH, ACK = 2, 4, 8, 16
HEADERS_OF_IP_AND_TCP = 40
WINDOW_SHIFT = 5
WINDOW = 0x8000
"""With its shift 1 MiB: no more than a TAP's queue of 1,000 frames holds."""

FOLDS = tuple((shift, (1 << shift) - 1) for shift in (6144, 3072, 1536))


def remainder(data: bytes) -> int:
    """The ones'-complement sum of `data` as its remainder by 65,535: 0 stands for 0xFFFF too."""
    total = int.from_bytes(data, "big")
    if len(data) & 1:
        total <<= 8
    for shift, mask in FOLDS:
        total = (total >> shift) + (total & mask)
    return total % 65535


def complement(total: int) -> int:
    return 0xFFFF - total % 65535


@frozen
class Tuple:
    """Both ends of the connection, ours first; addresses as integers."""

    macs: bytes
    """The 12 octets that our frames start with: destination, source."""
    src: int
    dst: int
    src_port: int
    dst_port: int

    ip_sum: int = field(init=False)
    """The part of the header checksum, and of the pseudo-header's, that never changes."""

    @ip_sum.default
    def _sum_addresses(self) -> int:
        return (self.src >> 16) + (self.src & 0xFFFF) + (self.dst >> 16) + (self.dst & 0xFFFF)


def build(flow: Tuple, seq: int, ack: int, flags: int, options: bytes = b"", payload: bytes = b"") -> bytes:
    """One frame, checksums and all."""
    ip_sum = flow.ip_sum
    segment = len(options) + 20 + len(payload)
    offset_and_flags = (20 + len(options)) << 10 | flags
    header_sum = complement(ip_sum + 0x4500 + 20 + segment + 0x4000 + 0x4006)
    tcp_sum = (ip_sum + TCP_PROTOCOL + segment + flow.src_port + flow.dst_port + offset_and_flags + WINDOW) + (
        (seq >> 16) + (seq & 0xFFFF) + (ack >> 16) + (ack & 0xFFFF)
    )
    tail = options + payload if options else payload
    head = HEADERS.pack(
        flow.macs,
        IPV4_TYPE,
        0x45,
        0,
        20 + segment,
        0,
        0x4000,
        64,
        TCP_PROTOCOL,
        header_sum,
        flow.src,
        flow.dst,
        flow.src_port,
        flow.dst_port,
        seq,
        ack,
        offset_and_flags,
        WINDOW,
        complement(tcp_sum + remainder(tail)) if tail else complement(tcp_sum),
        0,
    )
    return b"".join((head, tail)) if tail else head


def parse(flow: Tuple, frame: bytes) -> tuple[int, int, int, int, bytes] | None:
    """Sequence and acknowledgment number, flags, window and payload of a sound segment of `flow`."""
    if len(frame) < HEADERS.size:
        return None
    (
        _, ethertype, version, _, total_length, _, fragment, _, protocol, _, src, dst,
        src_port, dst_port, seq, ack, offset_and_flags, window, _, _,
    ) = HEADERS.unpack_from(frame)  # fmt: skip
    if (
        ethertype != IPV4_TYPE
        or version != 0x45
        or fragment & 0x3FFF
        or protocol != TCP_PROTOCOL
        or (src, dst, src_port, dst_port) != (flow.dst, flow.src, flow.dst_port, flow.src_port)
    ):
        return None
    end = 14 + total_length
    tcp_sum = flow.ip_sum + TCP_PROTOCOL + total_length - 20
    if remainder(frame[14:TCP_OFFSET]) or (remainder(frame[TCP_OFFSET:end]) + tcp_sum) % 65535:
        return None
    payload = frame[TCP_OFFSET + (offset_and_flags >> 12 << 2) : end]
    return seq, ack, offset_and_flags & 0x3F, window, payload


def syn(flow: Tuple, mtu: int) -> bytes:
    """Sequence number 0; MSS and window scale, no timestamps."""
    return build(flow, 0, 0, SYN, struct.pack("!BBHBBBB", 2, 4, mtu - HEADERS_OF_IP_AND_TCP, 1, 3, 3, WINDOW_SHIFT))


@define
class Receiver:
    """Takes the peer's octets in order; what comes out of order is answered with an ACK and forgotten."""

    flow: Tuple
    snd_nxt: int
    rcv_nxt: int
    received: int = 0
    owed: int = 0

    def take(self, frame: bytes) -> bytes | None:
        """The ACK that `frame` calls for: every second time, and at the end of each of the peer's writes."""
        segment = parse(self.flow, frame)
        if segment is None:
            return None
        seq, _, flags, _, payload = segment
        if not payload:
            return None
        if seq == self.rcv_nxt:
            self.rcv_nxt = (seq + len(payload)) & 0xFFFFFFFF
            self.received += len(payload)
            self.owed += 1
            if self.owed < 2 and not flags & PSH:
                return None
        self.owed = 0
        return build(self.flow, self.snd_nxt, self.rcv_nxt, ACK)


@define
class Sender:
    """Cuts `left` octets into segments, as far as the peer's window goes."""

    flow: Tuple
    snd_nxt: int
    rcv_nxt: int
    left: int
    mtu: int
    window_shift: int
    snd_una: int = field(init=False)
    snd_wnd: int = 0xFFFF
    payload: bytes = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.snd_una = self.snd_nxt
        self.payload = bytes(self.mtu - HEADERS_OF_IP_AND_TCP)

    @property
    def done(self) -> bool:
        return not self.left and self.snd_una == self.snd_nxt

    def next(self) -> bytes | None:
        """The next segment. None: nothing is left, or the window is full."""
        payload = self.payload[: self.left]
        seq = self.snd_nxt
        if not payload or ((seq - self.snd_una) & 0xFFFFFFFF) + len(payload) > self.snd_wnd:
            return None
        self.snd_nxt = (seq + len(payload)) & 0xFFFFFFFF
        self.left -= len(payload)
        return build(self.flow, seq, self.rcv_nxt, ACK if self.left else ACK | PSH, b"", payload)

    def take(self, frame: bytes) -> None:
        """An ACK, checked as the receiver checks."""
        segment = parse(self.flow, frame)
        if segment is None:
            return
        _, ack, _, window, _ = segment
        if (ack - self.snd_una) & 0xFFFFFFFF <= (self.snd_nxt - self.snd_una) & 0xFFFFFFFF:
            self.snd_una = ack
            self.snd_wnd = window << self.window_shift
