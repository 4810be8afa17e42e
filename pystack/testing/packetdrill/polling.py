"""poll()."""

from collections.abc import Callable, Sequence

from attrs import frozen

from pystack.stack.datagram import DatagramEndpoint
from pystack.stack.endpoint import Endpoint
from pystack.stack.operation import Operation
from pystack.stack.stream import StreamEndpoint
from pystack.testing.packetdrill.constants import CONSTANTS
from pystack.testing.packetdrill.descriptors import Answer, Descriptor, Difference
from pystack.testing.packetdrill.script import Call, Expression, Group
from pystack.testing.packetdrill.sockopts import SocketOptions
from pystack.testing.packetdrill.values import Misused, Unsupported, number
from pystack.units import MS, Ns

__all__ = ["Polling", "readiness", "until_one_moves"]

_IN, _OUT, _ERR = CONSTANTS["POLLIN"], CONSTANTS["POLLOUT"], CONSTANTS["POLLERR"]
_HUP, _RDHUP, _NVAL = CONSTANTS["POLLHUP"], CONSTANTS["POLLRDHUP"], CONSTANTS["POLLNVAL"]


@frozen
class _Watched:
    fd: int
    endpoint: Endpoint | None
    """None: no such descriptor."""
    events: int
    expected: int

    @property
    def ready(self) -> int:
        if self.endpoint is None:
            return _NVAL if self.fd >= 0 else 0
        return readiness(self.endpoint) & (self.events | _ERR | _HUP)

    def compare(self, ready: int) -> list[Difference]:
        return [Difference(f"revents of {self.fd}", self.expected, ready)] if ready != self.expected else []


class Polling(SocketOptions):
    def call_poll(self, call: Call, now: Ns) -> Answer | Operation[Answer]:
        entries, _, timeout = call.arguments
        if not isinstance(entries, list):
            raise Misused("poll() takes [{fd=3, events=POLLIN, revents=POLLIN}]")
        watched = [self._watched(entry) for entry in entries]
        wait = number(timeout) * MS
        if wait == 0:
            return _look(watched) or _nothing(watched)
        return _poll(watched, None if wait < 0 else now + wait, now)

    def _watched(self, entry: Expression) -> _Watched:
        if not isinstance(entry, Group):
            raise Misused(f"{entry!r} is not {{fd=3, events=POLLIN, revents=POLLIN}}")
        fd = number(entry.get("fd") or 0)
        events, expected = (number(entry.get(name) or 0) for name in ("events", "revents"))
        descriptor = self.table.get(fd)
        if fd >= 0 and descriptor is not None and not isinstance(descriptor, Descriptor):
            raise Unsupported(f"poll() of descriptor {fd}, which is not a socket")
        return _Watched(fd, descriptor.endpoint if isinstance(descriptor, Descriptor) else None, events, expected)


def _look(watched: list[_Watched]) -> Answer | None:
    ready = [each.ready for each in watched]
    if not any(ready):
        return None
    differences = [
        difference for each, events in zip(watched, ready, strict=True) for difference in each.compare(events)
    ]
    return Answer(sum(map(bool, ready)), tuple(differences))


def _nothing(watched: list[_Watched]) -> Answer:
    return Answer(0, tuple(difference for each in watched for difference in each.compare(0)))


def _poll(watched: list[_Watched], deadline: Ns | None, now: Ns) -> Operation[Answer]:
    def attempt(when: Ns) -> Answer | None:
        return _look(watched) or (_nothing(watched) if deadline is not None and when >= deadline else None)

    endpoints = [each.endpoint for each in watched if each.endpoint is not None]
    return until_one_moves(endpoints, attempt, None if deadline is None else deadline - now, now)


def until_one_moves(
    endpoints: Sequence[Endpoint], attempt: Callable[[Ns], Answer | None], timeout: Ns | None, now: Ns
) -> Operation[Answer]:
    """One operation for all: whichever endpoint moves, `attempt` looks at every one of them."""
    if not endpoints:
        raise Unsupported("waiting for no socket at all")
    first, *others = endpoints
    operation = first.submit(attempt, timeout, now)
    for other in others:
        other.submit(_nudge(operation), None, now)
    return operation


def _nudge(operation: Operation[Answer]) -> Callable[[Ns], bool | None]:
    return lambda now: operation.advance(now) or None


def readiness(endpoint: Endpoint) -> int:
    """As Linux says it."""
    waiting = endpoint.waiting if isinstance(endpoint, DatagramEndpoint) else endpoint.readable
    events = (_IN if waiting else 0) | (_OUT if endpoint.writable else 0) | (_ERR if endpoint.failed else 0)
    if isinstance(endpoint, StreamEndpoint):
        if endpoint.fresh:
            return _OUT | _HUP
        if endpoint.reading_ended:
            events |= _RDHUP
            if endpoint.writing_ended:
                events |= _HUP
    return events
