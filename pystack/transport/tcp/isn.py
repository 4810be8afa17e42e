"""Initial sequence numbers and timestamp offsets that no third party can guess (RFC 9293 section 3.4.1, RFC 7323
section 5.4)."""

from hashlib import blake2s

from pystack.units import US, Ns

__all__ = ["ISNGenerator"]


class ISNGenerator:
    """ISN = M + F(local address, local port, remote address, remote port, secret key); F is keyed BLAKE2s."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        """`key`: 16 to 32 octets of entropy, fresh for each start of the stack."""
        if not 16 <= len(key) <= 32:
            raise ValueError(f"the key must have 16 to 32 octets, not {len(key)}")
        self._key = key

    def isn(self, local: bytes, local_port: int, remote: bytes, remote_port: int, now: Ns) -> int:
        """32 bits. M ticks every 4 microseconds, so that a later incarnation of the same pair starts higher."""
        ports = local_port.to_bytes(2, "big") + remote_port.to_bytes(2, "big")
        return (now // (4 * US) + self._hash(local + remote + ports, b"isn")) & 0xFFFF_FFFF

    def timestamp_offset(self, local: bytes, remote: bytes) -> int:
        """32 bits, the same for all connections between two addresses: their timestamps grow across connections, as
        RFC 6191 and PAWS in TIME-WAIT want it, and tell nobody the uptime."""
        return self._hash(local + remote, b"stamp")

    def _hash(self, data: bytes, purpose: bytes) -> int:
        return int.from_bytes(blake2s(data, digest_size=4, key=self._key, person=purpose).digest(), "big")
