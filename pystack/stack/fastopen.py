"""TCP Fast Open of one host (RFC 7413): which connections may use it, with which cookies."""

from collections import Counter

from attrs import define

from pystack.net.packet import IPPacket
from pystack.net.path import Path
from pystack.stack.flow import DEFAULT_MSS, ListeningPort
from pystack.stack.memory import MemoryBudget
from pystack.transport.tcp.cookiecache import CookieCache
from pystack.transport.tcp.fastopen import COOKIE_REQUEST, ActiveFastOpen, FastOpenMode, PassiveFastOpen
from pystack.transport.tcp.fastopencookie import FastOpenCookies, Judgement
from pystack.transport.tcp.segment import Segment
from pystack.units import Ns

__all__ = ["FastOpenService"]

_SYN_MAX = {4: 1460, 16: 1440}
"""A SYN that is larger may confuse what is on the way (section 4.1.3), by the length of an address."""


@define(eq=False)
class FastOpenService:
    mode: FastOpenMode
    cookies: FastOpenCookies
    cache: CookieCache
    memory: MemoryBudget
    counters: Counter[str]

    def active(self, path: Path, port: int, now: Ns, *, cookieless: bool = False) -> ActiveFastOpen | None:
        """What a SYN to `port` carries; None: it is an ordinary one. `cookieless`: data leaves without a cookie."""
        pair = path.src + path.dst
        if self.cache.is_paused(pair, port, now):
            return None
        known = self.cache.find(pair, now)
        largest = _SYN_MAX[len(path.dst)]
        mss = min(known.mss if known is not None else DEFAULT_MSS[len(path.dst)], largest)
        if cookieless or self.mode & FastOpenMode.CLIENT_WITHOUT_COOKIE:
            return ActiveFastOpen(self.cache, pair, port, None, mss)
        if known is None:
            return ActiveFastOpen(self.cache, pair, port, COOKIE_REQUEST, 0)
        return ActiveFastOpen(self.cache, pair, port, known.cookie, mss)

    def passive(
        self, listening: ListeningPort, syn: Segment, packet: IPPacket, now: Ns, *, cookieless: bool = False
    ) -> PassiveFastOpen | None:
        """Steps 1 to 4 of section 4.2.2. None: the SYN has nothing to do with it, or the listener has not."""
        pending = listening.queues.fast_opens
        if not pending.limit or not self.mode & FastOpenMode.SERVER:
            return None
        free = bool(syn.length) and (cookieless or bool(self.mode & FastOpenMode.SERVER_WITHOUT_COOKIE))
        if syn.fast_open is None and not free:
            return None
        if not pending.has_room(now) or self.memory.drops_out_of_order:
            self.counters["tcp.fast_open_queue_full"] += 1
            return PassiveFastOpen(None, accepted=False)
        if free:
            return PassiveFastOpen(None, accepted=True)
        judgement = self.cookies.judge(syn.fast_open or COOKIE_REQUEST, packet.src, packet.dst, now)
        if judgement is Judgement.VALID:
            return PassiveFastOpen(None, accepted=True)
        if syn.fast_open and judgement is Judgement.INVALID:
            self.counters["tcp.fast_open_bad_cookie"] += 1
        fresh = self.cookies.make(packet.src, packet.dst, now)
        return PassiveFastOpen(fresh, accepted=judgement is Judgement.AGEING)
