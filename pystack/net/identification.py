"""The identification field of datagrams that may be fragmented (RFC 6864)."""

from collections.abc import Callable
from hashlib import blake2s

__all__ = ["Identifications"]

BUCKETS = 2048


class Identifications:
    """One counter per source, destination and protocol, hashed into a fixed table, each behind a secret offset.

    RFC 6864 section 4.3 wants ids that do not repeat within a datagram's lifetime for the same three values; a counter
    uses all 65,536 before the first comes again, and flows that share a bucket only make the steps larger. The offset
    is secret, so that one destination's ids tell nothing of another's (RFC 7739 section 5.3, for IPv6's same field).
    Atomic datagrams (DF set, not fragmented) carry 0: section 4.1 allows any value.
    """

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._key = entropy(32)
        self._counters = [0] * BUCKETS

    def next(self, src: bytes, dst: bytes, protocol: int) -> int:
        digest = blake2s(b"%s%s%c" % (src, dst, protocol), key=self._key, digest_size=4).digest()
        bucket = int.from_bytes(digest[:2], "big") % BUCKETS
        self._counters[bucket] += 1
        return (int.from_bytes(digest[2:], "big") + self._counters[bucket]) & 0xFFFF
