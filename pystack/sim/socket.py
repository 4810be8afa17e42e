"""A TCP socket in virtual time, whose blocking calls are operations."""

from collections.abc import Callable
from socket import SHUT_WR
from typing import TypeVar

from typing_extensions import Buffer

from pystack.sim.simulation import Simulation
from pystack.stack.endpoint import Address
from pystack.stack.operation import Operation
from pystack.stack.stack import Stack
from pystack.stack.stream import StreamEndpoint
from pystack.units import Ns

__all__ = ["SimSocket"]

T = TypeVar("T")


class SimSocket:
    """A `StreamEndpoint` with the calls of `socket.socket`. Those that may have to wait return an `Operation`, for a
    user on a `Stage` to yield or for `Simulation.wait`; it fails with `TimeoutError` after `timeout` ns. The others act
    at once. `endpoint` has everything else."""

    def __init__(self, sim: Simulation, endpoint: StreamEndpoint) -> None:
        self._sim = sim
        self.endpoint = endpoint

    @classmethod
    def listening(cls, sim: Simulation, host: Stack, port: int, backlog: int = 128) -> "SimSocket":
        """A socket of `host` that listens on `port` of all its addresses."""
        sock = cls(sim, host.stream())
        sock.endpoint.bind(("", port), sim.now)
        sock.endpoint.listen(backlog, sim.now)
        return sock

    def submit(self, attempt: Callable[[Ns], T | None], timeout: Ns | None = None) -> Operation[T]:
        """Any call that may have to wait: see `Endpoint.submit`."""
        return self.endpoint.submit(attempt, timeout, self._sim.now)

    def connect(self, address: Address, timeout: Ns | None = None) -> Operation[bool]:
        self.endpoint.connect(address, self._sim.now)
        return self.submit(self.endpoint.try_connected, timeout)

    def accept(self, timeout: Ns | None = None) -> Operation["SimSocket"]:
        def attempt(now: Ns) -> SimSocket | None:
            child = self.endpoint.try_accept(now)
            return None if child is None else SimSocket(self._sim, child)

        return self.submit(attempt, timeout)

    def recv(self, size: int, flags: int = 0, timeout: Ns | None = None) -> Operation[bytes]:
        return self.submit(lambda now: self.endpoint.try_recv(size, now, flags), timeout)

    def sendall(self, data: Buffer, flags: int = 0, timeout: Ns | None = None) -> Operation[int]:
        """Done when the send buffer has taken all of `data`; how many octets that were."""
        view = memoryview(data).cast("B")
        sent = 0

        def attempt(now: Ns) -> int | None:
            nonlocal sent
            while sent < view.nbytes:
                taken = self.endpoint.try_send(view[sent:], now, flags)
                if not taken:
                    return None
                sent += taken
            return sent

        return self.submit(attempt, timeout)

    def acknowledged(self, timeout: Ns | None = None) -> Operation[bool]:
        """Done when the peer has everything that was sent, FIN included: what SO_LINGER waits for."""
        return self.submit(lambda _: not self.endpoint.unsent or None, timeout)

    def shutdown(self, how: int = SHUT_WR) -> None:
        self.endpoint.shutdown(how, self._sim.now)

    def close(self) -> None:
        self.endpoint.close(self._sim.now)

    def abort(self) -> None:
        self.endpoint.abort(self._sim.now)
