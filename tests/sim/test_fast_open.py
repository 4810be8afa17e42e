"""TCP Fast Open where SYNs and SYN-ACKs get lost: every octet arrives once, and in order."""

import socket

import pytest

from pystack.link.base import Medium
from pystack.link.faults import FaultLink, Faults
from pystack.link.memory import MemoryLink
from pystack.sim.simulation import Simulation
from pystack.stack.config import StackConfig
from pystack.stack.stack import Stack
from pystack.stack.stream import StreamEndpoint
from pystack.transport.tcp.fastopen import FastOpenMode
from pystack.units import MS, SECOND

ADDRESSES = {4: ("192.0.2.1", "192.0.2.2", 24), 6: ("2001:db8::1", "2001:db8::2", 64)}
CONFIG = StackConfig(fast_open=FastOpenMode.CLIENT | FastOpenMode.SERVER, fast_open_pause=1 * SECOND)
FASTOPEN = getattr(socket, "TCP_FASTOPEN", 23)
CONNECTIONS = 20


class _Service:
    """Answers each connection, when it has all, with what it got; remembers it."""

    def __init__(self, stack: Stack, now: int) -> None:
        self.listener = stack.stream()
        self.listener.setsockopt(socket.IPPROTO_TCP, FASTOPEN, 16)
        self.listener.bind(("", 7), now)
        self.listener.listen(16, now)
        self.received: list[bytes] = []
        self._open: dict[StreamEndpoint, bytes] = {}

    def advance(self, now: int) -> None:
        while (child := self.listener.try_accept(now)) is not None:
            self._open[child] = b""
        for child in list(self._open):
            while (piece := child.try_recv(65536, now)) is not None:
                if piece:
                    self._open[child] += piece
                    continue
                data = self._open.pop(child)
                self.received.append(data)
                assert child.try_send(data, now) == len(data)
                child.close(now)
                break


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("seed", range(20))
def test_loss_in_handshakes_neither_loses_nor_repeats_an_octet(seed: int, version: int) -> None:
    sim = Simulation(seed)
    ends = MemoryLink.pair(medium=Medium.IP)
    near, there, length = ADDRESSES[version]
    client, server = sim.stack(CONFIG), sim.stack(CONFIG)
    faults = Faults(loss=0.2, delay=5 * MS)
    client.add_interface(FaultLink(ends[0], seed=seed, outbound=faults, inbound=faults), f"{near}/{length}")
    server.add_interface(ends[1], f"{there}/{length}")
    service = _Service(server, sim.now)
    sent = [sim.random(f"data {n}").randbytes(100 + 150 * n) for n in range(CONNECTIONS)]
    for data in sent:
        end = client.stream()
        opening = end.submit(end.opening_send(data, (there, 7), waits=True), None, sim.now)
        sim.run_until(lambda opening=opening: service.advance(sim.now) or opening.done)  # type: ignore[misc]
        assert opening.result() == len(data)
        end.shutdown(socket.SHUT_WR, sim.now)
        answer = b""
        while len(answer) < len(data):
            reading = end.submit(lambda now, end=end: end.try_recv(65536, now), None, sim.now)  # type: ignore[misc]
            sim.run_until(lambda reading=reading: service.advance(sim.now) or reading.done)  # type: ignore[misc]
            piece = reading.result()
            assert piece
            answer += piece
        assert answer == data
        end.close(sim.now)
    assert service.received == sent
    assert server.counters["tcp.fast_open_accepted"] > 0
