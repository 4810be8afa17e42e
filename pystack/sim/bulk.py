"""Bulk transfers between simulated hosts: what congestion control, buffers and paths are measured with."""

from pystack.sim.simulation import Simulation
from pystack.stack.options import CONGESTION
from pystack.stack.stack import Stack
from pystack.stack.stream import StreamEndpoint
from pystack.units import SECOND, Ns

__all__ = ["BulkFlow"]

_PIECE = memoryview(bytes(1 << 16))


class BulkFlow:
    """A connection whose user always has more to send, and whose peer reads whatever comes.

    `turn` plays both users; call it after each step of the simulation.
    """

    def __init__(
        self, sim: Simulation, sender: Stack, receiver: Stack, address: str, port: int, congestion: str = "cubic"
    ) -> None:
        """Connect from `sender` to `receiver`, which is found at `address`. Takes as long as the path does."""
        self._sim = sim
        listener = receiver.stream()
        listener.bind(("", port), sim.now)
        listener.listen(1, sim.now)
        self.near = sender.stream()
        self.near.setsockopt(*CONGESTION, congestion.encode())
        self.near.connect((address, port), sim.now)
        accepting = listener.submit(listener.try_accept, None, sim.now)
        sim.wait(self.near.submit(self.near.try_connected, None, sim.now))
        self.far: StreamEndpoint = sim.wait(accepting)
        listener.close(sim.now)
        self.started: Ns = sim.now
        self.received = 0
        """Octets that the receiving user has read."""

    def turn(self) -> None:
        """Send what fits, read what is there."""
        now = self._sim.now
        while self.near.try_send(_PIECE, now):
            pass
        while data := self.far.try_recv(1 << 20, now):
            self.received += len(data)

    def goodput(self, since: Ns | None = None, received: int = 0) -> float:
        """Octets per second read since `since`, when it had been `received`; by default since it was connected."""
        start = self.started if since is None else since
        return (self.received - received) * SECOND / (self._sim.now - start)
