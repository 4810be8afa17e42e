"""The cookies of TCP Fast Open that a server gives out, made and checked without memory (RFC 7413 section 4.1.2)."""

from enum import Enum
from hashlib import blake2s
from hmac import compare_digest

from attrs import frozen

from pystack.units import Ns

__all__ = ["FastOpenCookies", "Judgement"]

_OCTETS = 8


class Judgement(Enum):
    VALID = "made with the key in force"
    AGEING = "made with the key before: good, and to be replaced"
    INVALID = "not ours, not this client's, or too old"


@frozen
class FastOpenCookies:
    """A cookie is a MAC over the client's and our own address and the number of the period in which it was made: as
    good as a new key for each period. It is accepted in that period and the next."""

    secret: bytes
    """16 to 32 octets, fresh for each start of the stack."""
    period: Ns

    def make(self, client: bytes, server: bytes, now: Ns) -> bytes:
        """The cookie of the moment, for raw addresses."""
        return self._cookie(client, server, now // self.period)

    def judge(self, cookie: bytes, client: bytes, server: bytes, now: Ns) -> Judgement:
        period = now // self.period
        if compare_digest(cookie, self._cookie(client, server, period)):
            return Judgement.VALID
        if compare_digest(cookie, self._cookie(client, server, period - 1)):
            return Judgement.AGEING
        return Judgement.INVALID

    def _cookie(self, client: bytes, server: bytes, period: int) -> bytes:
        message = client + server + period.to_bytes(8, "big", signed=True)
        return blake2s(message, digest_size=_OCTETS, key=self.secret, person=b"fastopen").digest()
