"""TCP Fast Open where SYNs and SYN-ACKs get lost: every octet arrives once, and in order."""

from contextlib import suppress

import pytest

from pystack.link.faults import Faults
from pystack.sim import SimSocket, Simulation, Stage, User
from pystack.stack.config import StackConfig
from pystack.stack.options import FASTOPEN
from pystack.stack.stack import Stack
from pystack.transport.tcp.fastopen import FastOpenMode
from pystack.units import MS, SECOND

ADDRESSES = {4: ("192.0.2.1", "192.0.2.2", 24), 6: ("2001:db8::1", "2001:db8::2", 64)}
CONFIG = StackConfig(fast_open=FastOpenMode.CLIENT | FastOpenMode.SERVER, fast_open_pause=1 * SECOND)
CONNECTIONS = 20


def serve(stage: Stage, listener: SimSocket, received: list[bytes]) -> User:
    """Until the listener is closed: answer each connection, when it has said all, with what it said."""
    with suppress(OSError):
        while True:
            conn = yield listener.accept()
            stage.enter(answer(conn, received))


def answer(conn: SimSocket, received: list[bytes]) -> User:
    data = b""
    while piece := (yield conn.recv(65536)):
        data += piece
    received.append(data)
    yield conn.sendall(data)
    conn.close()


def ask(sim: Simulation, client: Stack, server: str, data: bytes) -> User:
    sock = SimSocket(sim, client.stream())
    taken = yield sock.submit(sock.endpoint.opening_send(data, (server, 7), waits=True))
    assert taken == len(data)
    sock.shutdown()
    echo = b""
    while len(echo) < len(data):
        piece = yield sock.recv(65536)
        assert piece
        echo += piece
    assert echo == data
    sock.close()


def play(seed: int, version: int) -> int:
    """Connections one after the other while handshakes get lost; how many of them the server opened fast."""
    sim = Simulation(seed)
    near, there, length = ADDRESSES[version]
    client, server = sim.stack(CONFIG), sim.stack(CONFIG)
    faults = Faults(loss=0.2, delay=5 * MS)
    sim.join(client, f"{near}/{length}", server, f"{there}/{length}", there=faults, back=faults)
    listener = SimSocket(sim, server.stream())
    listener.endpoint.setsockopt(*FASTOPEN, 16)
    listener.endpoint.bind(("", 7), sim.now)
    listener.endpoint.listen(16, sim.now)
    sent = [sim.random(f"data {n}").randbytes(100 + 150 * n) for n in range(CONNECTIONS)]
    received: list[bytes] = []

    def one_after_the_other() -> User:
        for data in sent:
            yield from ask(sim, client, there, data)
        listener.close()

    stage = Stage(sim)
    stage.enter(serve(stage, listener, received))
    stage.enter(one_after_the_other())
    stage.play()
    assert received == sent
    return server.counters["tcp.fast_open_accepted"]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("seed", range(20))
def test_loss_in_handshakes_neither_loses_nor_repeats_an_octet(seed: int, version: int) -> None:
    play(seed, version)


@pytest.mark.parametrize("version", [4, 6])
def test_it_is_used_in_spite_of_losses(version: int) -> None:
    """Not with every seed: each unanswered SYN makes the client leave the server alone for longer."""
    assert sum(play(seed, version) for seed in range(5)) > 2 * CONNECTIONS
