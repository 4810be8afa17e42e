"""Echo requests of this host that wait for their reply (RFC 792)."""

from errno import ENOBUFS
from random import Random

from attrs import define, field

from pystack.errors import os_error
from pystack.net.errors import PathError
from pystack.net.network import Network
from pystack.stack.failure import failure_of
from pystack.stack.operation import Operation
from pystack.stack.timers import Alarm, Timers
from pystack.units import Ns

__all__ = ["EchoService"]

_Key = tuple[bytes, int, int]


@define(eq=False)
class _Request:
    data: bytes
    sent_at: Ns
    alarm: Alarm
    operation: Operation[Ns]
    answered_at: Ns | None = None


@define(eq=False)
class EchoService:
    network: Network
    timers: Timers
    rng: Random
    limit: int
    _waiting: dict[_Key, _Request] = field(init=False, factory=dict)

    def ping(self, address: bytes, now: Ns, *, size: int, timeout: Ns | None, sequence: int) -> Operation[Ns]:
        """Send one echo request with `size` octets of data. The operation's result is the round trip in ns."""
        if len(self._waiting) >= self.limit:
            self._waiting = {key: each for key, each in self._waiting.items() if not each.operation.done}  # cancelled
        if len(self._waiting) >= self.limit:
            raise os_error(ENOBUFS, f"{self.limit} echo requests wait for their reply already")
        path = self.network.path(address)
        key = (path.dst, self.rng.randrange(0x10000), sequence & 0xFFFF)
        while key in self._waiting:
            key = (path.dst, self.rng.randrange(0x10000), sequence & 0xFFFF)
        data = self.rng.randbytes(size)
        operation: Operation[Ns] = Operation(lambda _: self._round_trip(request), _deadline(now, timeout))
        request = _Request(data, now, self.timers.alarm(lambda when: self._finish(key, when)), operation)
        self._waiting[key] = request
        request.alarm.set(operation.deadline)
        self.network.ping(path, key[1], key[2], data, now)
        self.network.flush(now)
        return operation

    def on_reply(self, src: bytes, identifier: int, sequence: int, data: bytes, now: Ns) -> None:
        request = self._waiting.get((src, identifier, sequence))
        if request is not None and request.data == data:
            request.answered_at = now
            self._finish((src, identifier, sequence), now)

    def on_path_error(self, error: PathError, now: Ns) -> None:
        """An ICMP error about a request of ours, or an unreachable neighbour: it fails the ping."""
        key = (error.dst, int.from_bytes(error.quote[4:6], "big"), int.from_bytes(error.quote[6:8], "big"))
        request = self._waiting.get(key)
        if request is not None and error.mtu is None:
            request.operation.fail(failure_of(error))
            self._finish(key, now)

    def fail_all(self, failure: OSError, now: Ns) -> None:
        for key, request in list(self._waiting.items()):
            request.operation.fail(failure)
            self._finish(key, now)

    def _finish(self, key: _Key, now: Ns) -> None:
        request = self._waiting.pop(key, None)
        if request is not None:
            request.alarm.cancel()
            request.operation.advance(now)

    @staticmethod
    def _round_trip(request: _Request) -> Ns | None:
        return None if request.answered_at is None else request.answered_at - request.sent_at


def _deadline(now: Ns, timeout: Ns | None) -> Ns | None:
    return None if timeout is None else now + timeout
