"""Big transfers between our sockets and the kernel's, as super-segments and as frames of a wire."""

import hashlib
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import frozen

import pystack
from tests.interop.helpers import KERNEL, OURS, PREFIX, Stream, receive

pytestmark = pytest.mark.interop

PATIENCE = 60.0
PIECE = random.Random(5).randbytes(999_983)
"""A prime number of octets: pieces and segments never fall together."""


@frozen
class Ends:
    """Both ends of one connection."""

    ours: pystack.Socket
    theirs: socket.socket


@pytest.fixture(params=[True, False], ids=["offload", "wire"])
def host(request: pytest.FixtureRequest) -> Iterator[pystack.Host]:
    link = pystack.TapLink("pystack0", host_address=f"{KERNEL}/{PREFIX}", offload=request.param)
    with pystack.Host(link, address=f"{OURS}/{PREFIX}") as host:
        yield host


@pytest.fixture(params=["client", "server"])
def ends(request: pytest.FixtureRequest, host: pystack.Host) -> Iterator[Ends]:
    """Our side is the client, or the server."""
    if request.param == "server":
        with host.create_server((OURS, 0)) as server:
            theirs = socket.create_connection(server.getsockname(), timeout=PATIENCE)
            ours, _ = server.accept()
    else:
        with socket.create_server((KERNEL, 0)) as listener:
            ours = host.create_connection(listener.getsockname(), timeout=PATIENCE)
            theirs, _ = listener.accept()
    ours.settimeout(PATIENCE)
    theirs.settimeout(PATIENCE)
    with ours, theirs:
        yield Ends(ours, theirs)


def send(stream: Stream, pieces: int) -> str:
    """The SHA-256 of what was sent."""
    digest = hashlib.sha256()
    for _ in range(pieces):
        stream.sendall(PIECE)
        digest.update(PIECE)
    stream.shutdown(socket.SHUT_WR)
    return digest.hexdigest()


@pytest.mark.parametrize("way", ["in", "out", "both"])
def test_every_octet_arrives(ends: Ends, way: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        out = pool.submit(send, ends.ours, 20 if way != "in" else 0)
        into = pool.submit(send, ends.theirs, 20 if way != "out" else 0)
        arrived_there, arrived_here = pool.submit(receive, ends.theirs), pool.submit(receive, ends.ours)
        assert arrived_there.result(PATIENCE) == out.result(PATIENCE)
        assert arrived_here.result(PATIENCE) == into.result(PATIENCE)
