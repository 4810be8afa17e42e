"""A hostile neighbour: a host with listeners and open connections swallows mutated frames by the hundred thousand,
keeps its tables and its memory under their caps, and its connections go on moving data."""

import os
import tracemalloc
from random import Random

import pytest

from pystack.link.base import Frame, Medium
from pystack.link.memory import MemoryLink
from pystack.sim.simulation import Simulation
from pystack.stack.stream import StreamEndpoint
from pystack.units import MS, Ns
from pystack.wire.checksum import ones_sum_buffers
from pystack.wire.pseudo import pseudo_sum
from tests.stack.conftest import Pair, make_pair

FRAMES = int(os.environ.get("PYSTACK_HOSTILE_FRAMES", "100000"))
IP = 14
"""Where the IP header begins."""


def recorded_frames(seed: int) -> list[bytes]:
    """Everything that a host says in a whole life: ARP, echo, UDP, TCP from handshake to TIME-WAIT and reset."""
    pair = make_pair(seed, Medium.ETHERNET)
    frames: list[bytes] = []
    forward = pair.link_a.send

    def send(some: list[Frame], now: Ns) -> int:
        frames.extend(frame.to_bytes() for frame in some)
        return forward(some, now)

    pair.link_a.send = send  # type: ignore[method-assign, assignment]
    pair.sim.wait(pair.a.ping("192.0.2.2", pair.now))
    sender = pair.a.datagram()
    sender.try_sendto(b"to nobody", ("192.0.2.2", 9), pair.now)
    sender.try_sendto(b"to somebody", ("192.0.2.2", 53), pair.now)
    server = pair.listen()
    for ending in ("close", "abort"):
        client = pair.connect()
        conn = pair.accept(server)
        pair.send_all(client, bytes(5000))
        pair.recv(conn)
        pair.send_all(conn, bytes(5000))
        pair.recv(client)
        getattr(client, ending)(pair.now)
        pair.run(0.5)
        conn.close(pair.now)
        pair.run(0.5)
    return frames


def mutate(frame: bytes, rng: Random) -> bytes:
    """One to four small lies; then, mostly, checksums that cover them up."""
    octets = bytearray(frame)
    for _ in range(rng.randint(1, 4)):
        match rng.randrange(6):
            case 0:
                octets[rng.randrange(len(octets))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 1:
                octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)
            case 2:
                at = rng.randrange(IP, min(len(octets), IP + 60))
                octets[at : at + 2] = rng.randbytes(2)
            case 3:
                del octets[rng.randrange(IP + 1, len(octets) + 1) :]
            case 4:
                octets += rng.randbytes(rng.randrange(60))
            case 5:
                octets[IP + 12 + 3] = rng.randrange(3, 255)  # another sender
        if len(octets) < IP + 20:
            break
    if rng.random() < 0.8:
        cover_up(octets)
    return bytes(octets)


def cover_up(octets: bytearray) -> None:
    """Right lengths and checksums, as far as the header lengths allow."""
    size = (octets[IP] & 15) * 4 if len(octets) >= IP + 20 else 0
    if octets[12:14] != b"\x08\x00" or size < 20 or len(octets) < IP + size + 8:
        return
    octets[IP + 2 : IP + 4] = (len(octets) - IP).to_bytes(2, "big")
    octets[IP + 10 : IP + 12] = bytes(2)
    octets[IP + 10 : IP + 12] = (0xFFFF - ones_sum_buffers((octets[IP : IP + size],))).to_bytes(2, "big")
    protocol, body = octets[IP + 9], IP + size
    field = {1: 2, 6: 16, 17: 6}.get(protocol)
    if field is None or len(octets) < body + field + 2:
        return
    octets[body + field : body + field + 2] = bytes(2)
    covered = pseudo_sum(bytes(octets[IP + 12 : IP + 16]), bytes(octets[IP + 16 : IP + 20]), protocol)
    initial = 0 if protocol == 1 else covered + len(octets) - body
    checksum = 0xFFFF - ones_sum_buffers((octets[body:],), initial)
    octets[body + field : body + field + 2] = checksum.to_bytes(2, "big")


def exchange(pair: Pair, client: StreamEndpoint, conn: StreamEndpoint, data: bytes) -> None:
    pair.send_all(client, data)
    got = b""
    while len(got) < len(data):
        got += pair.recv(conn)
    assert got == data


@pytest.mark.parametrize("seed", [1, 2])
def test_mutated_frames_raise_nothing_and_fill_nothing(seed: int) -> None:
    rng = Random(seed)
    templates = recorded_frames(seed)
    pair = make_pair(seed + 100, Medium.ETHERNET)
    server = pair.listen()
    client = pair.connect()
    conn = pair.accept(server)
    pair.b.datagram().bind(("", 53), pair.now)
    exchange(pair, client, conn, b"before")
    tracemalloc.start()
    for number in range(FRAMES // 2):
        pair.link_a.send([Frame((mutate(rng.choice(templates), rng),))], pair.now)
        if number % 32 == 31:
            pair.b.poll(pair.now)
            pair.link_a.receive(1024, pair.now)  # its answers
            pair.sim.now += rng.choice((0, 1 * MS, 20 * MS))
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert memory < 20_000_000
    assert len(pair.b.tcp.flows) <= pair.b.config.half_open_limit + server_backlog(server) + 2
    assert len(pair.b.counters) < 100
    exchange(pair, client, conn, bytes(range(256)) * 100)
    exchange(pair, conn, client, bytes(range(256)) * 100)
    server.close(pair.now)
    client.close(pair.now)
    conn.close(pair.now)
    pair.sim.run()
    assert pair.b.tcp.flows == []


def server_backlog(server: StreamEndpoint) -> int:
    assert server._listening is not None
    return server._listening.queues.backlog


def test_random_octets_raise_nothing() -> None:
    sim = Simulation(3)
    rng = Random(3)
    for medium in Medium:
        near, far = MemoryLink.pair(medium=medium)
        stack = sim.stack()
        stack.add_interface(near, "192.0.2.1/24")
        for _ in range(FRAMES // 10):
            far.send([Frame((rng.randbytes(rng.randrange(1, 200)),))], sim.now)
            stack.poll(sim.now)
            far.receive(100, sim.now)
        assert sum(stack.counters.values()) >= FRAMES // 10
