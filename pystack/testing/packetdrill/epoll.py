"""epoll_create(), epoll_ctl() and epoll_wait()."""

from errno import EBADF, EEXIST, ENOENT

from attrs import define, field

from pystack.errors import StateError, os_error
from pystack.stack.endpoint import Endpoint
from pystack.stack.operation import Operation
from pystack.stack.stream import StreamEndpoint
from pystack.testing.packetdrill.constants import CONSTANTS
from pystack.testing.packetdrill.descriptors import Answer, Difference
from pystack.testing.packetdrill.polling import Polling, readiness, until_one_moves
from pystack.testing.packetdrill.script import Call, Expression, Group
from pystack.testing.packetdrill.values import Misused, Unsupported, number
from pystack.units import MS, Ns

__all__ = ["Epolling"]

_IN, _ALWAYS = CONSTANTS["EPOLLIN"], CONSTANTS["EPOLLERR"] | CONSTANTS["EPOLLHUP"]
_EDGE, _ONCE = CONSTANTS["EPOLLET"], CONSTANTS["EPOLLONESHOT"]
_DATA_FIELDS = ("fd", "ptr", "u32", "u64")


@define(eq=False)
class _Interest:
    """One descriptor that an epoll watches."""

    endpoint: Endpoint
    events: int
    data: int
    _told: int = field(default=0, init=False)
    """With EPOLLET: what was ready when somebody last looked."""
    _arrived: int = field(default=0, init=False)
    """And how much had arrived until then: more of it is another edge."""

    def look(self) -> int:
        """What there is to tell; nothing of it has been told yet."""
        ready = readiness(self.endpoint) & (self.events | _ALWAYS)
        if not self.events & _EDGE:
            return ready
        fresh = ready & ~self._told
        if ready & _IN and _arrived(self.endpoint) != self._arrived:
            fresh |= _IN
        self._told &= ready
        return ready if fresh else 0

    def tell(self, ready: int) -> None:
        self._told, self._arrived = ready, _arrived(self.endpoint)
        if self.events & _ONCE:
            self.events = 0


def _arrived(endpoint: Endpoint) -> int:
    """Octets that have come so far; for what counts none, what is there always is news."""
    if isinstance(endpoint, StreamEndpoint):
        try:
            return endpoint.info().octets_received
        except (OSError, StateError):
            return 0
    return 0


@define(eq=False)
class _Epoll:
    interests: dict[int, _Interest] = field(factory=dict)


class Epolling(Polling):
    def call_epoll_create(self, call: Call, now: Ns) -> Answer:
        (_,) = call.arguments
        return self.assign(call, _Epoll())

    call_epoll_create1 = call_epoll_create

    def call_epoll_ctl(self, call: Call, now: Ns) -> Answer:
        epfd, operation, fd, *event = call.arguments
        interests = self._epoll(epfd).interests
        endpoint = self.get(fd).endpoint
        key = number(fd)
        code = number(operation)
        if code == CONSTANTS["EPOLL_CTL_DEL"]:
            if interests.pop(key, None) is None:
                raise os_error(ENOENT)
            return Answer()
        known = key in interests
        if code == CONSTANTS["EPOLL_CTL_ADD"] and known:
            raise os_error(EEXIST)
        if code == CONSTANTS["EPOLL_CTL_MOD"] and not known:
            raise os_error(ENOENT)
        interests[key] = _Interest(endpoint, *_event(event[0]))
        return Answer()

    def call_epoll_wait(self, call: Call, now: Ns) -> Answer | Operation[Answer]:
        epfd, expected, most, timeout, *_ = call.arguments
        epoll = self._epoll(epfd)
        limit, wait = number(most), number(timeout) * MS

        def look() -> Answer | None:
            open_ones = {fd: each for fd, each in epoll.interests.items() if not each.endpoint.closed}
            epoll.interests = open_ones
            found = [(each, ready) for each in open_ones.values() if (ready := each.look())][:limit]
            for each, ready in found:
                each.tell(ready)
            told = [(ready, each.data) for each, ready in found]
            return Answer(len(told), _compared(expected, told)) if told else None

        if wait == 0:
            return look() or Answer(0)
        deadline = None if wait < 0 else now + wait
        return until_one_moves(
            [each.endpoint for each in epoll.interests.values()],
            lambda when: look() or (Answer(0) if deadline is not None and when >= deadline else None),
            None if wait < 0 else wait,
            now,
        )

    def _epoll(self, fd: Expression) -> _Epoll:
        found = self.entry(fd)
        if not isinstance(found, _Epoll):
            raise os_error(EBADF, f"descriptor {number(fd)} is not of epoll_create()")
        return found


def _event(event: Expression) -> tuple[int, int]:
    """`events` and `data` of a `struct epoll_event`."""
    if not isinstance(event, Group):
        raise Misused(f"{event!r} is not {{events=EPOLLIN, fd=4}}")
    events = event.get("events")
    if events is None or events is ...:
        raise Unsupported("a struct epoll_event without events")
    data = event.get(*_DATA_FIELDS)
    return number(events), 0 if data is None or data is ... else number(data)


def _compared(expected: Expression, told: list[tuple[int, int]]) -> tuple[Difference, ...]:
    if expected is ... or expected == [...]:
        return ()
    wanted = [_event(each) for each in (expected if isinstance(expected, list) else [expected])]
    return () if wanted == told else (Difference("the events, each with its data,", wanted, told),)
