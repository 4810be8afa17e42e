"""A segment as the connection sees it: no ports, no checksum, the options it acts on as plain fields."""

import struct
from typing import Self

from attrs import define
from typing_extensions import Buffer

from pystack.errors import DecodeError
from pystack.transport.tcp.fastopen import is_valid_option
from pystack.wire.tcp import (
    SACK,
    TCP,
    FastOpen,
    MaximumSegmentSize,
    NoOperation,
    SACKPermitted,
    TCPFlags,
    TCPOption,
    Timestamps,
    WindowScale,
    pack_options,
    parse_options,
    unpack_tcp,
)

__all__ = ["ACK", "CWR", "ECE", "FIN", "PSH", "RST", "SYN", "URG", "Segment", "reset_for"]

FIN = int(TCPFlags.FIN)
SYN = int(TCPFlags.SYN)
RST = int(TCPFlags.RST)
PSH = int(TCPFlags.PSH)
ACK = int(TCPFlags.ACK)
URG = int(TCPFlags.URG)
ECE = int(TCPFlags.ECE)
CWR = int(TCPFlags.CWR)

_ONLY_TIMESTAMPS = b"\x01\x01\x08\x0a"
"""NOP, NOP, kind 8, length 10: what nearly every segment of a connection carries (RFC 7323 appendix A)."""
_STAMPED = struct.Struct("!HHIIHHHHIII")
_STAMPED_OFFSET = _STAMPED.size << 10
_STAMPS = struct.Struct("!II")
_TWO_NOPS = 0x0101
_STAMPS_PREFIX = int.from_bytes(_ONLY_TIMESTAMPS, "big")
_USUAL = struct.Struct("!HHIIII")
"""What nearly every SYN brings, in Linux's order: MSS; SACK permitted; timestamps; NOP, window scale."""
_USUAL_MSS, _USUAL_MIDDLE, _USUAL_END = 0x0204, 0x0402080A, 0x01030300


@define(eq=False, repr=False)
class Segment:
    """One segment, either direction. `seq`, `ack`, `window`, `urgent` are the header's fields: 32 and 16 bits, the
    window not scaled. `length` counts the octets of `payload`, whose buffers are never modified."""

    seq: int
    ack: int
    flags: int
    window: int
    payload: tuple[Buffer, ...] = ()
    length: int = 0
    ts_val: int | None = None
    ts_ecr: int = 0
    gso_size: int = 0
    """Payload octets of each segment this one stands for, but for the last; 0: it is one segment."""
    urgent: int = 0
    mss: int | None = None
    window_scale: int | None = None
    sack_permitted: bool = False
    sack: tuple[tuple[int, int], ...] = ()
    ecn: int = 0
    """The ECN field of the IP header around it (RFC 3168 section 5)."""
    fast_open: bytes | None = None
    """The cookie of a SYN, empty in order to ask for one; None: no option (RFC 7413 section 4.1.1)."""

    @classmethod
    def from_bytes(cls, buffers: tuple[Buffer, ...], gso_size: int = 0) -> Self:
        """Decode the payload of an IP packet; the header lies in the first buffer. Raises `DecodeError` only.
        The checksum is not looked at."""
        if not buffers:
            raise DecodeError("tcp.short", "no octets at all")
        view = memoryview(buffers[0])
        _, _, seq, ack, offset, flags, window, _, urgent = unpack_tcp(view)
        length = view.nbytes - offset
        payload: tuple[Buffer, ...] = (view[offset:],) if length else ()
        if len(buffers) > 1:
            payload += buffers[1:]
            length += sum([memoryview(buffer).nbytes for buffer in buffers[1:]])
        if offset == 32 and view[20:24] == _ONLY_TIMESTAMPS:
            ts_val, ts_ecr = _STAMPS.unpack_from(view, 24)
            return cls(seq, ack, flags, window, payload, length, ts_val, ts_ecr, gso_size, urgent)
        if offset == 40 and flags & SYN:
            first, mss, middle, ts_val, ts_ecr, last = _USUAL.unpack_from(view, 20)
            if first == _USUAL_MSS and middle == _USUAL_MIDDLE and last & ~0xFF == _USUAL_END:
                scale = last & 0xFF
                return cls(seq, ack, flags, window, payload, length, ts_val, ts_ecr, gso_size, urgent, mss, scale, True)
        segment = cls(seq, ack, flags, window, payload, length, None, 0, gso_size, urgent)
        if offset > 20:
            segment._read(parse_options(view[20:offset]))
        return segment

    def _read(self, options: tuple[TCPOption, ...]) -> None:
        for option in options:
            match option:
                case MaximumSegmentSize():
                    self.mss = option.mss
                case WindowScale():
                    self.window_scale = option.shift
                case Timestamps():
                    self.ts_val, self.ts_ecr = option.value, option.echo
                case SACKPermitted():
                    self.sack_permitted = True
                case SACK():
                    self.sack = option.blocks
                case FastOpen(cookie) if self.flags & SYN and is_valid_option(cookie):
                    self.fast_open = cookie

    @property
    def sack_octets(self) -> int:
        """What the SACK option takes of a full segment, padding counted."""
        return 4 + 8 * len(self.sack) if self.sack else 0

    @property
    def options_octets(self) -> int:
        """What the options of a SYN take, padding counted."""
        return len(self._pack_options())

    def header_bytes(self, src_port: int, dst_port: int, pseudo: int = 0) -> bytes:
        """The TCP header with its options. MSS, window scale and SACK-permitted are for SYNs only.

        The checksum field holds the folded sum of the pseudo-header, which is `pseudo` without its length, not
        inverted: what a link that computes checksums expects. Without `pseudo` it is 0."""
        if self.flags & SYN or self.sack:
            options = self._pack_options()
            octets = TCP.size + len(options)
            folded = pseudo and ((pseudo + octets + self.length) % 0xFFFF or 0xFFFF)
            word = octets << 10 | self.flags
            return TCP.pack(src_port, dst_port, self.seq, self.ack, word, self.window, folded, self.urgent) + options
        if self.ts_val is not None:
            return _STAMPED.pack(
                src_port,
                dst_port,
                self.seq,
                self.ack,
                _STAMPED_OFFSET | self.flags,
                self.window,
                pseudo and ((pseudo + _STAMPED.size + self.length) % 0xFFFF or 0xFFFF),
                self.urgent,
                _STAMPS_PREFIX,
                self.ts_val,
                self.ts_ecr,
            )
        folded = pseudo and ((pseudo + TCP.size + self.length) % 0xFFFF or 0xFFFF)
        word = TCP.size << 10 | self.flags
        return TCP.pack(src_port, dst_port, self.seq, self.ack, word, self.window, folded, self.urgent)

    def _pack_options(self) -> bytes:
        if self.sack and not self.flags & SYN:
            return self._pack_sack()
        mss, stamp, scale = self.mss, self.ts_val, self.window_scale
        usual = self.sack_permitted and not self.sack and self.fast_open is None
        if not usual or mss is None or stamp is None or scale is None:
            return pack_options(self._options())
        return _USUAL.pack(_USUAL_MSS, mss, _USUAL_MIDDLE, stamp, self.ts_ecr, _USUAL_END | scale)

    def _pack_sack(self) -> bytes:
        """What `_options` lists of a segment that is no SYN and has blocks."""
        edges = [edge for block in self.sack for edge in block]
        sack = struct.pack(f"!HBB{len(edges)}I", _TWO_NOPS, SACK.KIND, 2 + 4 * len(edges), *edges)
        if self.ts_val is None:
            return sack
        return _ONLY_TIMESTAMPS + _STAMPS.pack(self.ts_val, self.ts_ecr) + sack

    def _options(self) -> list[TCPOption]:
        """In Linux's order, each aligned by NOPs in front, but for the last one."""
        options: list[TCPOption] = []
        if self.mss is not None:
            options.append(MaximumSegmentSize(self.mss))
        if self.ts_val is not None:
            options += [SACKPermitted()] if self.sack_permitted else [NoOperation(), NoOperation()]
            options.append(Timestamps(self.ts_val, self.ts_ecr))
        elif self.sack_permitted:
            options += [NoOperation(), NoOperation(), SACKPermitted()]
        if self.window_scale is not None:
            options += [NoOperation(), WindowScale(self.window_scale)]
        if self.sack:
            options += [NoOperation(), NoOperation(), SACK(self.sack)]
        if self.fast_open is not None:
            options.append(FastOpen(self.fast_open))
            options += [NoOperation()] * (-(2 + len(self.fast_open)) % 4)
        return options

    def __repr__(self) -> str:
        text = f"Flags [{TCPFlags(self.flags)}], seq {self.seq}"
        if self.length:
            text += f":{self.seq + self.length & 0xFFFF_FFFF}"
        if self.flags & ACK:
            text += f", ack {self.ack}"
        text += f", win {self.window}"
        if self.flags & URG:
            text += f", urg {self.urgent}"
        if options := self._options():
            text += f", options [{','.join(map(str, options))}]"
        return f"<{text}, length {self.length}>"


def reset_for(segment: Segment) -> Segment | None:
    """The RST that answers a segment which belongs to no connection, such that its sender finds it acceptable; None for
    a RST (RFC 9293 section 3.10.7.1)."""
    if segment.flags & RST:
        return None
    if segment.flags & ACK:
        return Segment(segment.ack, 0, RST, 0)
    octets = segment.length + bool(segment.flags & SYN) + bool(segment.flags & FIN)
    return Segment(0, segment.seq + octets & 0xFFFF_FFFF, RST | ACK, 0)
