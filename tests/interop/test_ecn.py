"""Explicit congestion notification (RFC 3168) with the kernel, both ways: who agrees to it, and what marks do to a
transfer, by what both ends say and by the frames."""

import hashlib
import json
import random
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from attrs import define, field, frozen

import pystack
from pystack import StackConfig, TCPConfig, wire
from pystack.link.capture import Direction
from pystack.stack.linuxinfo import OPTIONS
from pystack.transport.tcp.ecn import CE, ECT0, NOT_ECT, ECNMode
from pystack.units import MS, Ns
from pystack.wire.seq import before, wrap
from tests.interop.drill.info import tcpi_names
from tests.interop.helpers import ADDRESSES, answers, eventually, receive, run
from tests.sim.router import ALL_IS_WELL, Router, Weather

pytestmark = pytest.mark.interop

PATIENCE = 20
"""Seconds."""
DELAY = pystack.Faults(delay=5 * MS)
MARKS = Weather(marks=0.02)
INFINITE = 0x7FFF_FFFF
FIRST, SECOND = random.Random(3168).randbytes(1_500_000), bytes(500_000)
"""What is sent while the path is congested, which is more than a send buffer takes, and after that, some windows."""
SENT = hashlib.sha256(FIRST + SECOND).hexdigest()

SYN, FIN, ECE, CWR = (wire.TCPFlags[name] for name in ("SYN", "FIN", "ECE", "CWR"))


@frozen
class Seen:
    """One segment on the cable."""

    direction: Direction
    tcp: wire.TCPHeader
    octets: int
    ecn: int

    @classmethod
    def in_frame(cls, direction: Direction, frame: bytes, link_type: wire.LinkType) -> "Seen | None":
        match wire.dissect(frame, link_type, verify=True):
            case [*_, wire.IPv4Header(ecn=ecn), wire.TCPHeader() as tcp, bytes(payload)]:
                return cls(direction, tcp, len(payload), ecn)
            case [*_, wire.IPv6Header(traffic_class=octet), wire.TCPHeader() as tcp, bytes(payload)]:
                return cls(direction, tcp, len(payload), octet & 3)
        return None

    @property
    def end(self) -> int:
        """The sequence number behind it."""
        return wrap(self.tcp.seq + self.octets + bool(self.tcp.flags & FIN))


@define
class Record:
    """A sink that keeps all frames."""

    frames: list[tuple[Direction, bytes]] = field(factory=list)

    def __call__(self, direction: Direction, frame: bytes, now: Ns) -> None:
        self.frames.append((direction, frame))


@define
class Net:
    """The kernel and a host of ours, with a router between them."""

    kernel: str
    ours: str
    family: socket.AddressFamily
    link_type: wire.LinkType
    host: pystack.Host
    router: Router
    records: dict[bool, Record]
    """As the kernel sees it, and as we do (`True`)."""
    closing: ExitStack

    def connect(self, *, we_open: bool) -> tuple[pystack.Socket, socket.socket]:
        """Our end and the kernel's."""
        place, address = (socket, self.kernel) if we_open else (self.host, self.ours)
        other: Any = self.host if we_open else socket
        server = self.closing.enter_context(place.create_server((address, 0), family=self.family))
        server.settimeout(PATIENCE)
        client = other.create_connection((address, server.getsockname()[1]), timeout=PATIENCE)
        accepted, _ = server.accept()
        accepted.settimeout(PATIENCE)
        ends = (client, accepted) if we_open else (accepted, client)
        for end in ends:
            self.closing.enter_context(end)
        return ends

    def seen(self, *, by_us: bool) -> list[Seen]:
        """Everything of TCP, in the order in which it came to one end or left it."""
        frames = self.records[by_us].frames
        return [seen for each in frames if (seen := Seen.in_frame(*each, self.link_type)) is not None]


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def version(request: pytest.FixtureRequest) -> int:
    given: int = request.param
    return given


def net(closing: ExitStack, version: int, tcp: TCPConfig, faults: pystack.Faults, *, offload: bool) -> Net:
    kernel, ours, prefix = ADDRESSES[version]
    make_link = pystack.TapLink if version == 4 else pystack.TunLink
    link_type = wire.LinkType.ETHERNET if version == 4 else wire.LinkType.RAW
    records = {by_us: Record() for by_us in (False, True)}
    link = make_link("pystack0", host_address=f"{kernel}/{prefix}", offload=offload)
    slow = pystack.FaultLink(pystack.CaptureLink(link, records[False]), seed=1, outbound=faults, inbound=faults)
    router = Router(slow, ALL_IS_WELL, random.Random("marks"), victim=kernel)
    host = closing.enter_context(
        pystack.Host(
            pystack.CaptureLink(router, records[True]), address=f"{ours}/{prefix}", config=StackConfig(tcp=tcp)
        )
    )
    eventually(lambda: answers(host, kernel), "the kernel knows its new address")
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    return Net(kernel, ours, family, link_type, host, router, records, closing)


def has(option: str, end: Any) -> bool:
    return bool(tcpi_names(end)["tcpi_options"] & OPTIONS[option])


@pytest.mark.parametrize("we_open", [True, False], ids=["we-open", "kernel-opens"])
@pytest.mark.parametrize(
    ("kernels", "mode", "opener"),
    [
        (1, ECNMode.ON, "either"),
        (1, ECNMode.PASSIVE, "kernel"),
        (1, ECNMode.OFF, "neither"),
        (2, ECNMode.ON, "we"),
        (2, ECNMode.PASSIVE, "neither"),
        (0, ECNMode.ON, "neither"),
    ],
)
def test_it_is_used_when_one_asks_and_the_other_agrees(
    version: int, kernels: int, mode: ECNMode, opener: str, we_open: bool, closing: ExitStack
) -> None:
    """Between `mode` and `kernels`, the number of the same mode in Linux: who must open for it."""
    run("sysctl", "-q", f"net.ipv4.tcp_ecn={kernels}")
    agreed = opener in ("either", "we" if we_open else "kernel")
    place = net(closing, version, TCPConfig(ecn=mode), pystack.Faults(), offload=True)
    ours, theirs = place.connect(we_open=we_open)
    ours.sendall(b"question")
    assert theirs.recv(100) == b"question"
    theirs.sendall(b"answer")
    assert ours.recv(100) == b"answer"
    assert (has("ECN", theirs), has("ECN_SEEN", theirs), has("ECN", ours)) == (agreed, agreed, agreed)
    assert {each.ecn for each in place.seen(by_us=True) if each.octets} == {ECT0 if agreed else NOT_ECT}


@pytest.mark.parametrize("way", ["out", "in"])
def test_marks_slow_a_transfer_down_and_nothing_is_lost(
    version: int, way: str, offload: bool, closing: ExitStack
) -> None:
    for setting in ("tcp_ecn=1", "tcp_congestion_control=reno", "tcp_early_retrans=0"):
        run("sysctl", "-q", f"net.ipv4.{setting}")
    config = TCPConfig(
        ecn=ECNMode.ON, loss_probe=False
    )  # nor does the kernel: on a busy machine it would be for nothing
    place = net(closing, version, config, DELAY, offload=offload)
    ours, theirs = place.connect(we_open=way == "out")
    sender: Any
    sender, receiver = (ours, theirs) if way == "out" else (theirs, ours)
    with ThreadPoolExecutor(1) as pool:
        arrived = pool.submit(receive, receiver)
        place.router.weather = MARKS
        sender.sendall(FIRST)
        place.router.weather = ALL_IS_WELL
        sender.sendall(SECOND)
        eventually(lambda: not tcpi_names(sender)["tcpi_unacked"], "all is acknowledged")
        told = tcpi_names(sender)
        sender.shutdown(socket.SHUT_WR)
        assert arrived.result(PATIENCE) == SENT
    marked = place.router.counters["marked"]
    assert told["tcpi_total_retrans"] == told["tcpi_bytes_retrans"] == 0
    assert told["tcpi_delivered_ce"] >= marked > 0
    assert told["tcpi_snd_ssthresh"] < INFINITE
    assert came_marked_to_the_kernel() == (marked if way == "out" else 0)
    seen = [each for each in place.seen(by_us=way == "in") if not each.tcp.flags & SYN]
    judge(seen, Direction.OUTBOUND if way == "out" else Direction.INBOUND)


def came_marked_to_the_kernel() -> int:
    """Packets, of both versions of IP."""
    counters = json.loads(run("nstat", "-asj").stdout)["kernel"]
    return sum(int(counters.get(name, 0)) for name in ("IpExtInCEPkts", "Ip6InCEPkts"))


def judge(seen: Sequence[Seen], way: Direction) -> None:
    """What the receiver of data saw and sent, by RFC 3168: marks are echoed until the sender says that it has reduced
    its window (section 6.1.3), which it does once per round trip (6.1.2); only data may be marked (6.1.4 to 6.1.6)."""
    echo, echoed = False, False
    echoes: dict[int, bool] = {}
    """By the number up to which data has come."""
    reduced_at: int | None = None
    for each in seen:
        assert (each.ecn == NOT_ECT) == (not each.octets)
        if each.direction is way:
            if each.tcp.flags & CWR:
                assert each.octets
                assert echoed
                reduced_at, echo, echoed = each.tcp.seq, False, False
            echo = echo or each.ecn == CE
            echoes[each.end] = echo
        else:
            told = bool(each.tcp.flags & ECE)
            assert told == echoes[each.tcp.ack]
            if told and (reduced_at is None or before(reduced_at, each.tcp.ack)):
                echoed = True
    assert reduced_at is not None
    assert not echo
