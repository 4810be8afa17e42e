"""SYN cookies: a listener whose half-open queue is full answers SYNs without remembering them (RFC 4987 section 3.6).

What a half-open connection would hold goes into the numbers of the SYN-ACK, which the peer's ACK brings back: the
initial sequence number carries a counter of 64 seconds (5 bits), an index of the peer's MSS (3 bits) and a keyed hash
of both and of the pair (24 bits); the low bits of the timestamp, where the peer uses any, carry its window scale and
whether it permits SACK.
"""

from hashlib import blake2s

from attrs import frozen

from pystack.transport.tcp.segment import ACK, ECE, SYN, Segment
from pystack.units import SECOND, Ns

__all__ = ["COOKIE_LIFETIME", "SYNCookies"]

_MSS = (48, 216, 536, 1024, 1220, 1440, 1460, 8960)
"""What a cookie can say of the peer's MSS: the largest that is not above it."""
_PERIOD: Ns = 64 * SECOND
_LIFETIME = 2
"""Periods in which a cookie is good, its own included."""
COOKIE_LIFETIME: Ns = _LIFETIME * _PERIOD
"""No cookie is good for longer."""
_NO_SCALE = 15
_STAMP_BITS = 5  # 4 of window scale, 1 of SACK permitted
_STAMP_MASK = (1 << _STAMP_BITS) - 1


@frozen
class SYNCookies:
    """Makes and checks cookies. `secret`: 16 to 32 octets, fresh for each start of the stack."""

    secret: bytes

    def answer(self, key: bytes, syn: Segment, syn_ack: Segment, now: Ns, default_mss: int = 536) -> None:
        """Turn `syn_ack`, as it would answer `syn`, into one that carries the cookie. `key` names the pair;
        `default_mss`: what the peer takes when it does not say."""
        announced = default_mss if syn.mss is None else syn.mss
        index = max((i for i, mss in enumerate(_MSS) if mss <= announced), default=0)
        syn_ack.seq = self._cookie(key, syn.seq, now // _PERIOD, index)
        syn_ack.flags &= ~ECE  # there is no room to remember it
        if syn_ack.ts_val is None:  # nowhere to keep what was agreed on
            syn_ack.window_scale = None
            syn_ack.sack_permitted = False
            return
        scale = _NO_SCALE if syn_ack.window_scale is None else min(syn.window_scale or 0, 14)
        syn_ack.ts_val = syn_ack.ts_val & ~_STAMP_MASK | scale << 1 | syn_ack.sack_permitted

    def recover(self, key: bytes, ack: Segment, now: Ns) -> Segment | None:
        """The SYN that `ack` completes the handshake of, as far as its cookie tells; None: it carries none of ours."""
        if not ack.flags & ACK:
            return None
        cookie = ack.ack - 1 & 0xFFFF_FFFF
        irs = ack.seq - 1 & 0xFFFF_FFFF
        period = now // _PERIOD
        period -= period - (cookie >> 27) & 31
        index = cookie >> 24 & 7
        if period <= now // _PERIOD - _LIFETIME or cookie != self._cookie(key, irs, period, index):
            return None
        syn = Segment(irs, 0, SYN, ack.window, mss=_MSS[index])
        if ack.ts_val is not None:
            syn.ts_val = ack.ts_val
            scale = ack.ts_ecr >> 1 & 15
            syn.window_scale = None if scale == _NO_SCALE else scale
            syn.sack_permitted = bool(ack.ts_ecr & 1)
        return syn

    def _cookie(self, key: bytes, irs: int, period: int, index: int) -> int:
        message = key + irs.to_bytes(4, "big") + period.to_bytes(8, "big", signed=True) + bytes((index,))
        mac = int.from_bytes(blake2s(message, digest_size=3, key=self.secret, person=b"syncook").digest(), "big")
        return (period & 31) << 27 | index << 24 | mac
