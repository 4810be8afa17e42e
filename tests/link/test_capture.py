"""Watching a link: what the sink is told, what the inner link is given, and files that Wireshark reads."""

import os
import shutil
import struct
import subprocess
from collections.abc import Sequence
from io import BytesIO
from ipaddress import IPv4Interface
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.link.base import Checksum, Claims, Frame, GSOType, Link, Medium, Offload
from pystack.link.capture import CaptureLink, Direction, PcapngSink
from pystack.link.faults import Fate, FaultLink, Faults
from pystack.link.memory import MemoryLink
from pystack.units import SECOND, Ns
from pystack.wire.pcapng import EnhancedPacket, InterfaceDescription, LinkType, SectionHeader, read_blocks

INBOUND, OUTBOUND = Direction.INBOUND, Direction.OUTBOUND


class Log:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.frames: list[tuple[Direction, bytes, Ns]] = []

    def __call__(self, direction: Direction, frame: bytes, now: Ns) -> None:
        self.frames.append((direction, frame, now))

    @property
    def octets(self) -> list[bytes]:
        return [frame for _, frame, _ in self.frames]


def plain(*contents: bytes) -> list[Frame]:
    return [Frame((content,)) for content in contents]


def super_segment(payload: bytes, gso_size: int) -> Frame:
    """IPv4 and TCP headers as a stack leaves them to the link, then `payload`."""
    length = 20 + len(payload)
    pseudo = sum((0xC000, 0x0201, 0xC000, 0x0202, 6, length))
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, 9, 0x4000, 64, 6, 0, b"\xc0\0\2\1", b"\xc0\0\2\2")
    tcp = struct.pack("!HHIIHHHH", 1, 2, 1000, 4, 5 << 12 | 0x18, 500, (pseudo & 0xFFFF) + (pseudo >> 16), 0)
    return Frame((ip + tcp, payload), Offload(Checksum.PARTIAL, 20, 16, GSOType.TCPV4, gso_size, 40))


def payloads(frames: Sequence[Frame]) -> list[bytes]:
    return [frame.to_bytes()[40:] for frame in frames]


def ip_pair(capacity: int = 1024) -> tuple[MemoryLink, MemoryLink]:
    return MemoryLink.pair(medium=Medium.IP, capacity=capacity, tx_checksum=True, rx_checksum=True, tso=65_535)


def test_it_is_a_link_and_shows_the_inner_one() -> None:
    near, _ = ip_pair()
    link = CaptureLink(near, Log())
    assert isinstance(link, Link)
    assert isinstance(link, Claims)
    assert link.capabilities is near.capabilities
    assert link.fileno() is None


def test_an_address_that_the_inner_link_shares_with_the_kernel_is_passed_on() -> None:
    class Shared(MemoryLink):
        address = IPv4Interface("192.0.2.2/24")

    near, _ = ip_pair()
    assert CaptureLink(near, Log()).address is None
    shared = Shared(near.capabilities)
    assert CaptureLink(FaultLink(shared, seed=1), Log()).address == Shared.address


def test_both_directions_are_told_in_order_with_their_times() -> None:
    near, far = MemoryLink.pair()
    log = Log()
    link = CaptureLink(near, log)
    woken: list[bool] = []
    link.set_waker(lambda: woken.append(True))
    batch = plain(b"one", b"two")
    assert link.send(batch, 5) == 2
    assert far.receive(64, 5) == batch
    answer = plain(b"three")
    far.send(answer, 6)
    assert woken
    assert link.next_arrival() == 0
    assert link.receive(64, 7) == answer
    assert log.frames == [(OUTBOUND, b"one", 5), (OUTBOUND, b"two", 5), (INBOUND, b"three", 7)]


def test_only_what_the_inner_link_took_was_sent() -> None:
    near, far = MemoryLink.pair(capacity=2)
    log = Log()
    link = CaptureLink(near, log)
    batch = plain(b"one", b"two", b"three")
    assert link.send(batch, 0) == 2
    assert link.send(batch[2:], 0) == 0
    assert log.octets == [b"one", b"two"]
    far.receive(64, 0)
    assert link.send([], 0) == 0
    assert link.send(batch[2:], 0) == 1
    assert log.octets == [b"one", b"two", b"three"]


def test_the_wire_frames_of_a_super_segment_are_sent_and_told() -> None:
    near, far = ip_pair()
    log = Log()
    assert CaptureLink(near, log).send([super_segment(b"aabbc", 2)], 0) == 1
    frames = far.receive(64, 0)
    assert payloads(frames) == [b"aa", b"bb", b"c"]
    assert all(frame.offload is None for frame in frames)
    assert log.octets == [frame.to_bytes() for frame in frames]


def test_an_inbound_super_segment_passes_whole_and_is_told_cut() -> None:
    near, far = ip_pair()
    log = Log()
    whole = super_segment(b"aabbc", 2)
    far.send([whole], 0)
    (received,) = CaptureLink(near, log).receive(64, 0)
    assert received is whole
    assert [octets[40:] for octets in log.octets] == [b"aa", b"bb", b"c"]


def test_marks_that_do_not_fit_hide_nothing() -> None:
    near, far = ip_pair()
    log = Log()
    link = CaptureLink(near, log)
    broken = Frame((b"broken",), Offload(Checksum.PARTIAL, 4, 16))
    link.send([broken], 0)
    (received,) = far.receive(64, 0)
    assert received is broken
    far.send([broken], 0)
    (received,) = link.receive(64, 0)
    assert received is broken
    assert log.octets == [b"broken", b"broken"]


@given(
    st.lists(st.integers(0, 9).map(lambda size: bytes(range(size))), max_size=12),
    st.integers(1, 7),
    st.lists(st.integers(0, 5), max_size=10),
)
def test_a_partly_taken_super_segment_goes_on_where_it_stopped(
    contents: list[bytes], capacity: int, reads: list[int]
) -> None:
    """A stack that keeps offering what was not taken sends every segment once and in order."""
    near, far = ip_pair(capacity)
    log = Log()
    link = CaptureLink(near, log)
    left = [super_segment(content, 2) for content in contents]
    got: list[bytes] = []
    for read in [*reads, *[capacity] * 60]:
        del left[: link.send(left, 0)]
        got += [frame.to_bytes() for frame in far.receive(read, 0)]
    assert not left
    assert got == log.octets
    assert [octets[40:] for octets in got] == [
        content[at : at + 2] for content in contents for at in range(0, len(content) or 1, 2)
    ]


def test_a_caller_that_gives_up_a_partly_taken_super_segment_goes_on_with_another() -> None:
    near, far = ip_pair(capacity=1)
    link = CaptureLink(near, Log())
    assert link.send([super_segment(b"aabbcc", 2)], 0) == 0
    assert payloads(far.receive(64, 0)) == [b"aa"]
    assert link.send([super_segment(b"dd", 2)], 0) == 1
    assert payloads(far.receive(64, 0)) == [b"dd"]


def test_in_front_of_the_faults_it_shows_what_was_sent() -> None:
    near, far = MemoryLink.pair()
    log = Log()
    link = CaptureLink(FaultLink(near, seed=0, outbound=Faults(fates=[Fate.LOSE])), log)
    link.send(plain(b"lost", b"found"), 0)
    assert log.octets == [b"lost", b"found"]
    assert len(far.receive(64, 0)) == 1


def test_closing_closes_the_inner_link() -> None:
    near, far = MemoryLink.pair(capacity=1)
    CaptureLink(near, Log()).close()
    assert far.send(plain(b"a", b"b"), 0) == 2


@pytest.mark.parametrize(
    ("medium", "link_type"), [(Medium.ETHERNET, LinkType.ETHERNET), (Medium.IP, LinkType.RAW)], ids=["ethernet", "ip"]
)
def test_a_pcapng_file_holds_frames_times_and_directions(medium: Medium, link_type: LinkType) -> None:
    file = BytesIO()
    sink = PcapngSink(file, medium, 1_700_000_000 * SECOND, name="eth0")
    sink(OUTBOUND, b"frame", 5)
    sink(INBOUND, b"", 7)
    section, interface, *packets = read_blocks(file.getvalue())
    assert isinstance(section, SectionHeader)
    assert isinstance(interface, InterfaceDescription)
    assert interface.link_type == link_type
    assert interface.name == "eth0"
    assert interface.ticks_per_second == SECOND
    assert [
        (packet.direction, packet.timestamp, packet.data) for packet in packets if isinstance(packet, EnhancedPacket)
    ] == [(OUTBOUND, 1_700_000_000 * SECOND + 5, b"frame"), (INBOUND, 1_700_000_000 * SECOND + 7, b"")]


def test_each_block_is_on_disk_at_once(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcapng"
    with path.open("wb") as file:
        sink = PcapngSink(file)
        assert len(list(read_blocks(path.read_bytes()))) == 2
        sink(OUTBOUND, b"frame", 5)
        assert len(list(read_blocks(path.read_bytes()))) == 3


class FullDisk(BytesIO):
    def write(self, data: object, /) -> int:
        if self.tell():
            raise OSError(28, "No space left on device")
        return super().write(data)  # type: ignore[arg-type]


def test_a_full_disk_ends_the_capture_and_not_the_traffic(caplog: pytest.LogCaptureFixture) -> None:
    sink = PcapngSink(FullDisk())
    near, far = MemoryLink.pair()
    link = CaptureLink(near, sink)
    assert link.send(plain(b"one", b"two"), 0) == 2
    assert len(far.receive(64, 0)) == 2
    assert isinstance(sink.error, OSError)
    assert caplog.text.count("No space left") == 1


def test_a_closed_file_ends_the_capture_too() -> None:
    file = BytesIO()
    sink = PcapngSink(file)
    file.close()
    sink(OUTBOUND, b"frame", 0)
    assert isinstance(sink.error, ValueError)


@pytest.mark.interop
def test_tshark_reads_the_file(tmp_path: Path) -> None:
    tshark = shutil.which("tshark")
    if tshark is None:
        if os.environ.get("PYSTACK_REQUIRE_ALL") == "1":
            pytest.fail("tshark is not installed")
        pytest.skip("tshark is not installed")
    path = tmp_path / "capture.pcapng"
    near, far = ip_pair()
    with path.open("wb") as file:
        link = CaptureLink(near, PcapngSink(file, Medium.IP, 1_700_000_000 * SECOND))
        link.send([super_segment(b"aabbc", 2)], 250)
        far.send([super_segment(b"dd", 2)], 0)
        link.receive(64, SECOND)
    checks = [option for layer in ("ip", "tcp") for option in ("-o", f"{layer}.check_checksum:TRUE")]
    fields = "frame.time_epoch ip.id ip.checksum.status tcp.checksum.status tcp.seq_raw tcp.flags.push frame.p2p_dir"
    columns = [part for name in fields.split() for part in ("-e", name)]
    command = [tshark, "-n", "-r", str(path), *checks, "-T", "fields", "-E", "separator=/s", *columns]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert [line.split() for line in told.splitlines()] == [
        ["1700000000.000000250", "0x0009", "1", "1", "1000", "0", "0"],
        ["1700000000.000000250", "0x000a", "1", "1", "1002", "0", "0"],
        ["1700000000.000000250", "0x000b", "1", "1", "1004", "1", "0"],
        ["1700000001.000000000", "0x0009", "1", "1", "1000", "1", "1"],
    ]
