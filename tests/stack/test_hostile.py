"""A hostile neighbour: a host with listeners and open connections swallows mutated frames by the hundred thousand,
keeps its tables and its memory under their caps, and its connections go on moving data."""

import gc
import os
import re
import struct
import sys
from collections import deque
from random import Random

import pytest
from attrs import define

from pystack.link.base import Frame, Medium
from pystack.link.memory import MemoryLink
from pystack.sim.simulation import Simulation
from pystack.units import Ns
from pystack.wire.checksum import ones_sum_buffers
from pystack.wire.pseudo import pseudo_sum
from tests.stack.conftest import make_pair
from tests.stack.siege import Besieged, Ground

pytestmark = pytest.mark.untraced

FRAMES = int(os.environ.get("PYSTACK_HOSTILE_FRAMES", "1000000"))
HEADER = struct.Struct("!HHIIHH")
"""The TCP header up to the window."""
ERRORS = {
    4: ((3, 0), (3, 1), (3, 2), (3, 3), (3, 4), (4, 0), (5, 1), (11, 0), (12, 0)),
    6: ((1, 0), (1, 4), (2, 0), (3, 0), (4, 0), (4, 1), (137, 0)),
}
"""Type and code of the ICMP errors of each IP version, a redirect among them."""
FLAGS = (0x10, 0x10, 0x10, 0x12, 0x12, 0x11, 0x18, 0x02, 0x04, 0x14, 0x30, 0x00, 0xFF)
SACK = b"\x01"
OPTIONS = (
    *(b"", b""),
    b"\x02\x04\x05\xb4\x04\x02\x01\x01",
    b"\x02\x04\x00\x01\x03\x03\x0e\x00",
    b"\x08\x0a" + bytes(8) + b"\x01\x01",
    SACK + b"\x01\x05\x0a",
    b"\x05\x02\xff\x00",
)
ICMP = {4: 1, 6: 58}


def recorded_frames(seed: int, medium: Medium, version: int) -> list[bytes]:
    """Everything that two hosts say in a whole life: ARP, echo, UDP, TCP from handshake to TIME-WAIT and reset."""
    pair = make_pair(seed, medium, version=version)
    frames: list[bytes] = []
    forward = pair.link_a.send

    def send(some: list[Frame], now: Ns) -> int:
        frames.extend(frame.to_bytes() for frame in some)
        return forward(some, now)

    pair.link_a.send = send  # type: ignore[method-assign, assignment]
    pair.sim.wait(pair.a.ping(pair.host_b, pair.now))
    sender = pair.a.datagram()
    sender.try_sendto(b"to nobody", (pair.host_b, 9), pair.now)
    sender.try_sendto(b"to somebody", (pair.host_b, 53), pair.now)
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


@define
class Attacker:
    """Sees what the host says and answers it, quotes it in ICMP errors, cuts it in fragments, and lies."""

    rng: Random
    templates: list[bytes]
    ip: int
    """Where the IP header begins."""
    version: int
    protected: int
    """A port: connections from there are attacked only by who does not see their numbers."""
    heard: deque[bytes]

    @property
    def transport(self) -> int:
        return self.ip + (20 if self.version == 4 else 40)

    def next(self) -> bytes:
        rng, chance = self.rng, self.rng.random()
        heard = rng.choice(self.heard) if self.heard else b""
        octets = bytearray(rng.choice(self.templates))
        if len(heard) >= self.transport + 20 and chance < 0.6:
            if chance < 0.15:
                octets = self.quote(heard)
            elif heard[self.ip + (9 if self.version == 4 else 6)] == 6:
                octets = self.answer(heard) or octets
        if chance > 0.97 and self.version == 4:
            octets[self.ip + 6 : self.ip + 8] = rng.randrange(1 << 16).to_bytes(2, "big")  # a fragment
        if rng.random() < 0.6:
            self.mutate(octets)
        if rng.random() < 0.9:
            self.cover_up(octets)
        return bytes(octets)

    def reversed(self, heard: bytes) -> bytearray:
        """Its link and IP header, the other way round."""
        octets = bytearray(heard[: self.transport])
        if self.ip:
            octets[0:6], octets[6:12] = heard[6:12], heard[0:6]
        size, at = (4, self.ip + 12) if self.version == 4 else (16, self.ip + 8)
        octets[at : at + size], octets[at + size : at + 2 * size] = (
            heard[at + size : at + 2 * size],
            heard[at : at + size],
        )
        return octets

    def answer(self, heard: bytes) -> bytearray | None:
        """What a peer might say to this segment."""
        source, port, seq, ack, word, window = HEADER.unpack_from(heard, self.transport)
        if port == self.protected:
            return None
        rng = self.rng
        end = seq + len(heard) - self.transport - (word >> 12) * 4 + (word & 1) + (word >> 1 & 1)
        flags = rng.choice(FLAGS)
        options = rng.choice(OPTIONS)
        if options[:1] == SACK:
            left = end + rng.randrange(5000)
            options += struct.pack("!II", left & 0xFFFFFFFF, left + rng.randrange(3000) & 0xFFFFFFFF)
        near = rng.choice((0, 0, 0, 0, 1, -1, rng.randrange(-3000, 3000)))
        octets = self.reversed(heard)
        octets += HEADER.pack(
            port,
            source,
            ack + near & 0xFFFFFFFF,
            end & 0xFFFFFFFF,
            (20 + len(options)) << 10 | flags,
            rng.choice((0, 1, window, 65535)),
        )
        octets += bytes(2) + rng.randbytes(2) + options + bytes(rng.choice((0, 0, 1, 500)))
        return octets

    def quote(self, heard: bytes) -> bytearray:
        """An ICMP error about it, from its destination."""
        octets = self.reversed(heard)
        kinds = ERRORS[self.version]
        octets[self.ip + (9 if self.version == 4 else 6)] = ICMP[self.version]
        octets += bytes((*self.rng.choice(kinds), 0, 0)) + self.rng.choice(
            (bytes(4), b"\0\0\x02\x30", b"\0\0\x05\0", self.rng.randbytes(4))
        )
        return octets + heard[self.ip : self.ip + 100]

    def mutate(self, octets: bytearray) -> None:
        """One to four small lies."""
        rng, ip = self.rng, self.ip
        for _ in range(rng.randint(1, 4)):
            match rng.randrange(6):
                case 0:
                    octets[rng.randrange(len(octets))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
                case 1:
                    octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)
                case 2:
                    at = rng.randrange(ip, min(len(octets), ip + 80))
                    octets[at : at + 2] = rng.randbytes(2)
                case 3:
                    del octets[rng.randrange(ip + 1, len(octets) + 1) :]
                case 4:
                    octets += rng.randbytes(rng.randrange(60))
                case 5:
                    octets[ip + (15 if self.version == 4 else 23)] = rng.randrange(3, 255)  # another sender
            if len(octets) < ip + 24:
                return

    def cover_up(self, octets: bytearray) -> None:
        """Right lengths and checksums, as far as the header lengths allow."""
        ip = self.ip
        if len(octets) < ip + 48 or octets[ip] >> 4 != self.version:
            return
        if self.version == 4:
            body = ip + (octets[ip] & 15) * 4
            if body < ip + 20 or len(octets) < body + 20:
                return
            octets[ip + 2 : ip + 4] = (len(octets) - ip).to_bytes(2, "big")
            octets[ip + 10 : ip + 12] = bytes(2)
            octets[ip + 10 : ip + 12] = (0xFFFF - ones_sum_buffers((octets[ip:body],))).to_bytes(2, "big")
            protocol, addresses = octets[ip + 9], bytes(octets[ip + 12 : ip + 20])
        else:
            body = ip + 40
            octets[ip + 4 : ip + 6] = (len(octets) - body).to_bytes(2, "big")
            protocol, addresses = octets[ip + 6], bytes(octets[ip + 8 : ip + 40])
        at = {1: 2, 6: 16, 17: 6, 58: 2}.get(protocol)
        if at is None or len(octets) < body + at + 2:
            return
        octets[body + at : body + at + 2] = bytes(2)
        half = len(addresses) // 2
        covered = pseudo_sum(addresses[:half], addresses[half:], protocol) + len(octets) - body
        checksum = 0xFFFF - ones_sum_buffers((octets[body:],), 0 if protocol == 1 else covered)
        octets[body + at : body + at + 2] = checksum.to_bytes(2, "big")


GROUNDS = [
    Ground(medium, version, seed)
    for medium, version in ((Medium.ETHERNET, 4), (Medium.IP, 4), (Medium.IP, 6))
    for seed in (1, 2)
]


def attack(ground: Ground, frames: int) -> tuple[int, int]:
    """Memory blocks in use when half of the frames, and when all of them, have arrived."""
    besieged = Besieged.make(ground)
    templates = recorded_frames(ground.seed, ground.medium, ground.version)
    ip = 14 if ground.medium is Medium.ETHERNET else 0
    attacker = Attacker(
        Random(f"{ground}"), templates, ip, ground.version, besieged.client.getsockname()[1], besieged.heard
    )
    blocks = [0, 0]
    for half in range(2):
        for _ in range(frames // 64):
            besieged.take([attacker.next() for _ in range(32)])
        gc.collect()
        blocks[half] = sys.getallocatedblocks()
        if not half:
            names = set(besieged.host.counters)
    assert all(re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)+", name) for name in names)
    assert len(set(besieged.host.counters) - names) <= 10
    besieged.relieve()
    return blocks[0], blocks[1]


@pytest.mark.parametrize("ground", GROUNDS, ids=lambda each: f"{each.medium.value}-ipv{each.version}-{each.seed}")
def test_hostile_frames_raise_nothing_and_fill_nothing(ground: Ground) -> None:
    half, whole = attack(ground, FRAMES // len(GROUNDS))
    assert whole < half + 60_000


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
