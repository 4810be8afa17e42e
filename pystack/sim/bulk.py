"""Bulk transfers through a bottleneck: what congestion control is measured with."""

from collections.abc import Callable

from pystack.link.faults import Faults
from pystack.sim.simulation import Simulation
from pystack.stack.config import StackConfig
from pystack.stack.options import CONGESTION
from pystack.stack.stack import Stack
from pystack.transport.tcp.config import TCPConfig
from pystack.units import SECOND, Ns

__all__ = ["Bottleneck", "BulkFlow"]

_SENDER, _RECEIVER, _PREFIX = "192.0.2.1", "192.0.2.2", 24
_FIRST_PORT = 5001
_PIECE = memoryview(bytes(1 << 16))
_ROOMY = StackConfig(tcp=TCPConfig(receive_buffer=4 << 20))
"""The receiver's: so that the congestion window is what limits."""


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
        self.far = sim.wait(accepting)
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


class Bottleneck:
    """A sender and a receiver, a queue before a narrow line between them, and as many flows as one likes."""

    def __init__(self, seed: int, *, rate: int, rtt: Ns, queue: int, loss: float = 0.0, mtu: int = 1500) -> None:
        """`rate`: octets of IP packets per second. `rtt`: with the queue empty. `queue`: packets that may wait."""
        self.rate = rate
        self.sim = sim = Simulation(seed)
        self.sender, self.receiver = sim.stack(), sim.stack(_ROOMY)
        self.link = sim.join(
            self.sender,
            f"{_SENDER}/{_PREFIX}",
            self.receiver,
            f"{_RECEIVER}/{_PREFIX}",
            there=Faults(loss=loss, rate=rate, queue=queue, delay=rtt // 2),
            back=Faults(delay=rtt // 2),
            mtu=mtu,
        )
        self.flows: list[BulkFlow] = []

    def start(self, congestion: str) -> BulkFlow:
        """One flow more, from now on."""
        port = _FIRST_PORT + len(self.flows)
        flow = BulkFlow(self.sim, self.sender, self.receiver, _RECEIVER, port, congestion)
        self.flows.append(flow)
        return flow

    def run(self, duration: Ns, watch: Callable[[], None] = lambda: None) -> None:
        """Let all flows flow; `watch` looks on at each step."""
        end = self.sim.now + duration
        while self.sim.now < end:
            for flow in self.flows:
                flow.turn()
            watch()
            self.sim.step(end)

    def shares(self, duration: Ns) -> list[float]:
        """Each flow's part of the rate in the next `duration`."""
        since, before = self.sim.now, [flow.received for flow in self.flows]
        self.run(duration)
        return [flow.goodput(since, had) / self.rate for flow, had in zip(self.flows, before, strict=True)]
