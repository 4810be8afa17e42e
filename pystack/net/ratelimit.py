"""A token bucket that nobody can count."""

from random import Random

from attrs import define, field

from pystack.units import SECOND, Ns

__all__ = ["TokenBucket"]


@define(eq=False)
class TokenBucket:
    """`rate` messages a second with bursts of `burst`, on average.

    Each message costs a random amount around one token. With a fixed price a third party could spend the budget by
    packets of its own, count the answers, and learn from one that is missing what we sent to somebody else (the side
    channel that found resolvers' source ports and TCP connections by their global ICMP and challenge-ACK limits).
    """

    rate: int
    burst: int
    rng: Random
    _credit: int | None = field(init=False, default=None)
    """In tokens times a second of nanoseconds, so that it stays an integer; None: never used, hence full."""
    _counted: Ns = field(init=False, default=0)

    def take(self, now: Ns) -> bool:
        """Whether one more message may go."""
        full = self.burst * SECOND
        credit = full if self._credit is None else min(full, self._credit + (now - self._counted) * self.rate)
        self._counted = now
        price = self.rng.randrange(SECOND // 4, 2 * SECOND - SECOND // 4)
        allowed = credit >= price
        self._credit = credit - price if allowed else credit
        return allowed
