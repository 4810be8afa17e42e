"""What one connection has to do with TCP Fast Open (RFC 7413): which option and how much data its SYN carries, and what
became of them."""

from enum import IntFlag

from attrs import define

from pystack.transport.tcp.cookiecache import CookieCache
from pystack.units import Ns

__all__ = ["COOKIE_REQUEST", "ActiveFastOpen", "FastOpenMode", "PassiveFastOpen", "is_valid_option"]

COOKIE_REQUEST = b""
"""The option without a cookie asks for one."""


class FastOpenMode(IntFlag):
    """What a stack may do of it, with the bits of Linux's `net.ipv4.tcp_fastopen`. Sockets must ask for it as well."""

    OFF = 0
    CLIENT = 0x1
    SERVER = 0x2
    CLIENT_WITHOUT_COOKIE = 0x4
    """Data leaves with a SYN whether a cookie is known or not, and without one (RFC 7413 section 7.3)."""
    SERVER_WITHOUT_COOKIE = 0x200
    """Data is taken from any SYN: only where nobody can send from a false address."""


def is_valid_option(cookie: bytes) -> bool:
    """Whether the length is one that RFC 7413 section 4.1.1 gives: empty, or 4 to 16 octets and even."""
    return not cookie or (4 <= len(cookie) <= 16 and not len(cookie) % 2)


@define(eq=False)
class ActiveFastOpen:
    """The client's side (section 4.2)."""

    cache: CookieCache
    pair: bytes
    """Both addresses, ours first."""
    port: int
    """The server's."""
    option: bytes | None
    """What the first SYN carries: a cookie, `COOKIE_REQUEST`, or None: no option."""
    mss: int
    """How large a SYN the server takes, its TCP options included; 0: no data leaves with it."""
    waits: bool = False
    """The SYN waits for the first data."""
    sent: int = 0
    """Octets that left with it."""
    acknowledged: bool = False
    """The SYN-ACK says that some of them have arrived."""
    _silent: bool = False

    def on_silence(self, now: Ns) -> None:
        """A timeout, or an ICMP error, instead of a SYN-ACK: a negative response, until there is one after all."""
        if not self._silent and self._asks:
            self._silent = True
            self.cache.fail(self.pair, self.port, now)

    def on_syn_ack(self, cookie: bytes | None, mss: int, octets: int, now: Ns) -> None:
        """`cookie`: the option's; `mss`: what the server announces; `octets`: how many of what was sent it has."""
        self.acknowledged = octets > 0
        if cookie:
            self.cache.learn(self.pair, cookie, mss, now)
        else:
            self.cache.update_mss(self.pair, mss)
        if cookie or self.acknowledged:
            self.cache.succeed(self.pair, self.port)
        else:
            self.on_silence(now)

    @property
    def _asks(self) -> bool:
        """Whether the SYN carried something that the SYN-ACK must show an effect of."""
        return self.sent > 0 or self.option == COOKIE_REQUEST


@define(eq=False)
class PassiveFastOpen:
    """The server's side: what was decided about one SYN (section 4.2.2)."""

    option: bytes | None
    """The cookie that the SYN-ACK carries; None: no option."""
    accepted: bool
    """FastOpened: its data counts, and ours may follow, before the handshake is done. False: its data is not taken at
    all, and the client sends it again."""
