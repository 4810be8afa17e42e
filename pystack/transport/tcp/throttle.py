"""A limit on what strangers can make a connection send."""

from pystack.units import Ns

__all__ = ["Throttle"]


class Throttle:
    """At most `count` permits in each `interval` (RFC 5961 section 7). One per connection, so that no third party can
    count what others are sent."""

    __slots__ = ("_count", "_interval", "_left", "_until")

    def __init__(self, count: int, interval: Ns) -> None:
        self._count = count
        self._interval = interval
        self._left = count
        self._until: Ns = 0

    def allow(self, now: Ns) -> bool:
        if now >= self._until:
            self._until = now + self._interval
            self._left = self._count
        if not self._left:
            return False
        self._left -= 1
        return True
