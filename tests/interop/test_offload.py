"""Offload end to end: streams between our sockets and the kernel's over each link that has it, with it and without, and
through the wrappers, which see a wire in any case."""

import hashlib
import random
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from attrs import frozen

import pystack
from pystack.link.base import Frame, Link
from pystack.link.capture import Direction
from pystack.link.wrapper import LinkWrapper
from pystack.units import Ns
from tests.conftest import Cable, NetworkNamespace
from tests.interop.helpers import KERNEL, OURS, PREFIX, wrong_frames

pytestmark = pytest.mark.interop

PATIENCE = 60.0
MEGABYTE = 1_000_000
KINDS = ("tap", "tun", "packet")

Wrapping = Callable[[Link], Link]


class Watch(LinkWrapper):
    """Remembers the largest frame each way, and changes none."""

    def __init__(self, inner: Link) -> None:
        super().__init__(inner)
        self.sent: list[Frame] = []
        self.received: list[Frame] = []

    def send(self, frames: list[Frame], now: Ns) -> int:
        taken = self.inner.send(frames, now)
        self._note(self.sent, frames[:taken])
        return taken

    def receive(self, budget: int, now: Ns) -> list[Frame]:
        frames = list(self.inner.receive(budget, now))
        self._note(self.received, frames)
        return frames

    @staticmethod
    def _note(largest: list[Frame], frames: list[Frame]) -> None:
        largest[:] = [max([*largest, *frames], key=len)] if frames else largest


@frozen
class Place:
    """A host of ours, and the kernel that is its neighbour."""

    host: pystack.Host
    link: Link
    neighbour: NetworkNamespace

    def kernel_server(self) -> socket.socket:
        with self.neighbour:
            sock = socket.socket()
        sock.bind((KERNEL, 0))
        sock.listen()
        sock.settimeout(PATIENCE)
        return sock


@pytest.fixture
def place(cable: Cable) -> Iterator[Callable[..., Place]]:
    """Makes a host on a link of a kind, wrapped or not, with the kernel at the other end."""
    hosts: list[pystack.Host] = []

    def make(kind: str, *, offload: bool = True, wrap: Wrapping = lambda link: link) -> Place:
        neighbour = cable.far if kind == "packet" else cable.near
        link: Link
        if kind == "packet":
            neighbour.ip(f"addr add {KERNEL}/{PREFIX} dev far")
            link = pystack.PacketLink("near", offload=offload)
        else:
            device = pystack.TapLink if kind == "tap" else pystack.TunLink
            link = device("link0", host_address=f"{KERNEL}/{PREFIX}", offload=offload)
        wrapped = wrap(link)
        host = pystack.Host(wrapped, address=f"{OURS}/{PREFIX}")
        hosts.append(host)
        return Place(host, wrapped, neighbour)

    yield make
    for host in hosts:
        host.close()


def exchange(place: Place, octets: int, seed: int) -> None:
    """That many octets each way at once, in one connection; SHA-256 must agree at both ends."""
    outward, inward = (random.Random(f"{seed} {way}").randbytes(octets) for way in ("out", "in"))
    with place.kernel_server() as listener, ThreadPoolExecutor(4) as pool:
        ours = place.host.create_connection(listener.getsockname()[:2], timeout=PATIENCE)
        theirs, _ = listener.accept()
        theirs.settimeout(PATIENCE)
        with ours, theirs:
            sent = [pool.submit(send, ours, outward), pool.submit(send, theirs, inward)]
            arrived = [pool.submit(receive, theirs), pool.submit(receive, ours)]
            digests = [hashlib.sha256(each).hexdigest() for each in (outward, inward)]
            assert [each.result() for each in arrived] == digests
            for each in sent:
                each.result()


def send(stream: pystack.Socket | socket.socket, data: bytes) -> None:
    stream.sendall(data)
    stream.shutdown(socket.SHUT_WR)


def receive(stream: pystack.Socket | socket.socket) -> str:
    digest = hashlib.sha256()
    buffer = bytearray(1 << 20)
    while octets := stream.recv_into(buffer):
        digest.update(memoryview(buffer)[:octets])
    return digest.hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_super_segments_cross_both_ways(place: Callable[..., Place], kind: str) -> None:
    at = place(kind, wrap=Watch)
    exchange(at, 30 * MEGABYTE, seed=1)
    assert isinstance(at.link, Watch)
    for largest in (*at.link.sent, *at.link.received):
        assert len(largest) > 30_000
        assert largest.offload is not None
        assert largest.offload.gso_size
    assert at.link.inner.lost == 0


@pytest.mark.parametrize("kind", KINDS)
def test_switched_off_our_frames_are_a_wires(place: Callable[..., Place], kind: str) -> None:
    at = place(kind, wrap=Watch, offload=False)
    exchange(at, 5 * MEGABYTE, seed=2)
    assert isinstance(at.link, Watch)
    (largest,) = at.link.sent
    assert len(largest) <= 1514
    assert largest.offload is None


@pytest.mark.requires("tshark")
@pytest.mark.parametrize("offload", [True, False], ids=["offload", "wire"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_capture_shows_a_sound_wire(place: Callable[..., Place], kind: str, offload: bool, tmp_path: Path) -> None:
    """Lengths, checksums, and no frame larger than the MTU."""
    capture = tmp_path / "capture.pcapng"
    sizes = {Direction.INBOUND: 0, Direction.OUTBOUND: 0}
    with open(capture, "wb") as file:

        def watched(link: Link) -> Link:
            offset = time.time_ns() - time.monotonic_ns()
            sink = pystack.PcapngSink(file, link.capabilities.medium, unix_offset=offset)

            def note(direction: Direction, frame: bytes, now: Ns) -> None:
                sizes[direction] = max(sizes[direction], len(frame))
                sink(direction, frame, now)

            return pystack.CaptureLink(link, note)

        at = place(kind, wrap=watched, offload=offload)
        exchange(at, MEGABYTE, seed=3)
        at.host.close()
    if kind != "packet" or offload:  # without marks nobody can tell how the neighbour's super-segments are to be cut
        assert max(sizes.values()) <= 1514
    assert wrong_frames(capture) == []


@pytest.mark.parametrize("offload", [True, False], ids=["offload", "wire"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_frame_in_a_hundred_is_lost(place: Callable[..., Place], kind: str, offload: bool) -> None:
    """Each wire frame meets its own fate, also those of a super-segment."""
    loss = pystack.Faults(loss=0.01)
    at = place(kind, offload=offload, wrap=lambda link: pystack.FaultLink(link, seed=4, outbound=loss, inbound=loss))
    exchange(at, 2 * MEGABYTE, seed=4)
    assert isinstance(at.link, pystack.FaultLink)
    for line in (at.link.inbound, at.link.outbound):
        assert line.counters["lost"] > 0
        if kind != "packet" or offload:
            assert line.counters["frames"] > 2 * MEGABYTE / 1500
