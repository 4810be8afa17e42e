"""What a client remembers of servers for TCP Fast Open: their cookies, and which of them had better be left alone for
a while (RFC 7413 section 4.1.3)."""

from collections import OrderedDict
from typing import Final

from attrs import define, field, frozen

from pystack.units import SECOND, Ns

__all__ = ["CookieCache", "KnownServer"]

_PAUSE_MAX: Ns = 3600 * SECOND
_DOUBLINGS_MAX: Final = 10


@frozen
class KnownServer:
    """`mss`: what it announced."""

    cookie: bytes
    mss: int
    learned: Ns


@define
class _Failure:
    until: Ns
    count: int


@define(eq=False)
class CookieCache:
    """At most one cookie for each pair of addresses, the most recent one; refusals by port too, since a server offers
    Fast Open by port. Both tables hold `limit` entries: what was not used for longest goes first."""

    limit: int
    lifetime: Ns
    """A cookie that is older is forgotten."""
    pause: Ns
    """How long a server is left alone after its first refusal; doubled with each further one in a row, to an hour."""
    _servers: OrderedDict[bytes, KnownServer] = field(init=False, factory=OrderedDict)
    _failures: OrderedDict[bytes, _Failure] = field(init=False, factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._servers)

    def find(self, pair: bytes, now: Ns) -> KnownServer | None:
        """`pair`: both addresses, the client's first."""
        known = self._servers.get(pair)
        if known is None:
            return None
        if now - known.learned >= self.lifetime:
            del self._servers[pair]
            return None
        self._servers.move_to_end(pair)
        return known

    def is_paused(self, pair: bytes, port: int, now: Ns) -> bool:
        """Whether a SYN to this port should be an ordinary one."""
        failure = self._failures.get(_path(pair, port))
        return failure is not None and now < failure.until

    def learn(self, pair: bytes, cookie: bytes, mss: int, now: Ns) -> None:
        self._servers[pair] = KnownServer(cookie, mss, now)
        self._servers.move_to_end(pair)
        if len(self._servers) > self.limit:
            self._servers.popitem(last=False)

    def update_mss(self, pair: bytes, mss: int) -> None:
        """The server announces another one."""
        known = self._servers.get(pair)
        if known is not None and known.mss != mss:
            self._servers[pair] = KnownServer(known.cookie, mss, known.learned)

    def fail(self, pair: bytes, port: int, now: Ns) -> None:
        """A negative response (section 4.1.3.1)."""
        path = _path(pair, port)
        failure = self._failures.get(path)
        count = 1 if failure is None else min(failure.count + 1, _DOUBLINGS_MAX)
        self._failures[path] = _Failure(now + min(self.pause << count - 1, _PAUSE_MAX), count)
        self._failures.move_to_end(path)
        if len(self._failures) > self.limit:
            self._failures.popitem(last=False)

    def succeed(self, pair: bytes, port: int) -> None:
        """It works: earlier refusals are forgotten."""
        self._failures.pop(_path(pair, port), None)


def _path(pair: bytes, port: int) -> bytes:
    return pair + port.to_bytes(2, "big")
