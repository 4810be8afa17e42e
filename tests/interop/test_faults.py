"""A bad cable between the kernel and us: seeded loss, duplication, reordering and corruption on a TAP."""

import random
import socket
import threading
import time
from pathlib import Path

import pytest

import pystack
from pystack.link.capture import Direction
from pystack.units import Ns
from tests.interop.helpers import KERNEL, OURS, PREFIX, wrong_frames

pytestmark = [pytest.mark.interop, pytest.mark.requires("tshark")]

MEGABYTE = 1_000_000
PATIENCE = 90.0
"""Seconds without progress after which a transfer has failed."""

BAD = pystack.Faults(loss=0.05, duplicate=0.05, reorder=0.05, corrupt=0.01)


class One:
    """Lets one direction of a capture through, to a sink that two captures share."""

    def __init__(self, direction: Direction, sink: pystack.PcapngSink) -> None:
        self.direction = direction
        self.sink = sink

    def __call__(self, direction: Direction, frame: bytes, now: Ns) -> None:
        if direction is self.direction:
            self.sink(direction, frame, now)


def exchange(sock: socket.socket | pystack.Socket, outgoing: bytes) -> bytes:
    """Send `outgoing` and a FIN while receiving until the peer's FIN."""
    sock.settimeout(PATIENCE)

    def send() -> None:
        sock.sendall(outgoing)
        sock.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    received = b"".join(iter(lambda: sock.recv(65536), b""))
    sender.join()
    return received


@pytest.mark.parametrize("seed", range(10))
def test_a_megabyte_each_way_survives(seed: int, offload: bool, tmp_path: Path) -> None:
    """What each side sends, before the faults touch it, must be sound; all octets must arrive; both ends must end."""
    ours, theirs = (random.Random(f"{seed} {end}").randbytes(MEGABYTE) for end in "ab")
    capture = tmp_path / "sent.pcapng"
    answers: list[bytes] = []
    tap = pystack.TapLink("pystack0", host_address=f"{KERNEL}/{PREFIX}", offload=offload)
    with open(capture, "wb") as file, socket.create_server((KERNEL, 0)) as listener:
        sink = pystack.PcapngSink(file, tap.capabilities.medium, unix_offset=time.time_ns() - time.monotonic_ns())
        inner = pystack.CaptureLink(tap, One(Direction.INBOUND, sink))
        faulty = pystack.FaultLink(inner, seed=seed, outbound=BAD, inbound=BAD)
        outer = pystack.CaptureLink(faulty, One(Direction.OUTBOUND, sink))

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                answers.append(exchange(connection, theirs))

        server = threading.Thread(target=serve)
        server.start()
        with pystack.Host(outer, address=f"{OURS}/{PREFIX}") as host:
            with host.create_connection(listener.getsockname(), timeout=PATIENCE) as sock:
                assert exchange(sock, ours) == theirs
            server.join()
            assert answers == [ours]
    assert wrong_frames(capture) == []
