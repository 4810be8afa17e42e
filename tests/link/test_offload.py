"""Offload against the kernel, frame by frame: super-segments and unfinished checksums, both ways, and without them."""

import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from attrs import define, frozen

from pystack import wire
from pystack.link import packet, tap
from pystack.link.base import Checksum, Frame, GSOType, Link, Medium, Offload
from pystack.link.packet import PacketLink
from pystack.link.tap import TapLink, TunLink
from pystack.wire import TCPFlags
from pystack.wire.pseudo import PseudoHeader
from tests.conftest import Cable, NetworkNamespace
from tests.link.by_hand import Caller, descriptors, ip_of, next_frame, own_mac, sent, tcp_packet, udp_packet

pytestmark = pytest.mark.interop

KERNEL, OURS, HOST = "192.0.2.1", "192.0.2.2", "192.0.2.1/24"
OUR_PORT = 4000
UDP_SEGMENT = 103
KINDS = ("tap", "tun", "packet")


@define
class Ends:
    """A link, and a neighbour whose kernel knows our address already."""

    link: TapLink | TunLink | PacketLink
    neighbour: NetworkNamespace
    neighbour_mac: wire.MACAddress | None

    def socket(self, kind: socket.SocketKind) -> socket.socket:
        with self.neighbour:
            sock = socket.socket(socket.AF_INET, kind)
        sock.bind((KERNEL, 0))
        sock.settimeout(10)
        return sock

    def framed(self, packet: bytes) -> bytes:
        if self.neighbour_mac is None:
            return packet
        mac = self.link.capabilities.mac
        assert mac is not None
        return wire.build(wire.EthernetHeader(self.neighbour_mac, mac, 0x0800), packet)

    @property
    def ip_at(self) -> int:
        return 14 if self.link.capabilities.medium is Medium.ETHERNET else 0


def mac_of(namespace: NetworkNamespace, name: str) -> wire.MACAddress:
    words = namespace.ip(f"link show {name}").split()
    return wire.MACAddress(words[words.index("link/ether") + 1])


@pytest.fixture
def join(cable: Cable) -> Iterator[Callable[..., Ends]]:
    """Makes a link of a kind between the test and a kernel."""
    links: list[Link] = []

    def make(kind: str, *, offload: bool = True) -> Ends:
        if kind == "tun":
            link: TapLink | TunLink | PacketLink = TunLink("link0", host_address=HOST, offload=offload)
            links.append(link)
            return Ends(link, cable.near, None)
        if kind == "tap":
            link, neighbour, name = TapLink("link0", host_address=HOST, offload=offload), cable.near, "link0"
        else:
            link, neighbour, name = PacketLink("near", offload=offload), cable.far, "far"
            neighbour.ip(f"addr add {HOST} dev far")
        links.append(link)
        neighbour.ip(f"neigh add {OURS} lladdr {link.capabilities.mac} dev {name}")
        return Ends(link, neighbour, mac_of(neighbour, name))

    yield make
    for link in links:
        link.close()


@frozen
class Call:
    """A connection that our hands have opened to the kernel's `socket`."""

    caller: Caller
    socket: socket.socket


@contextmanager
def called(ends: Ends) -> Iterator[Call]:
    with ends.socket(socket.SOCK_STREAM) as listener:
        listener.listen()
        port = listener.getsockname()[1]
        caller = Caller(ends.link, OURS, KERNEL, OUR_PORT, port, ends.neighbour_mac)
        caller.connect()
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)
            yield Call(caller, connection)
            caller.send(TCPFlags.RST)


def received(call: Call, octets: int) -> tuple[bytes, list[Frame]]:
    """That much of what the kernel sends, and the frames it came in."""
    data, frames = b"", []
    while len(data) < octets:
        frame, header, payload = call.caller.receive()
        assert header.seq == call.caller.ack
        call.caller.ack += len(payload)
        data += payload
        frames.append(frame)
        call.caller.send(TCPFlags.ACK)
    return data, frames


def unfinished(packet: bytes, protocol: int, field: int) -> bytes:
    """An IPv4 packet whose transport checksum is as the sender of an offload leaves it."""
    header = wire.IPv4Header.from_bytes(packet)
    total = PseudoHeader(header.src, header.dst, protocol).sum(len(packet) - 20) % 0xFFFF
    return packet[: 20 + field] + total.to_bytes(2, "big") + packet[22 + field :]


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_link_says_it_can(join: Callable[..., Ends], kind: str) -> None:
    capabilities = join(kind).link.capabilities
    assert (capabilities.tx_checksum, capabilities.rx_checksum, capabilities.tso) == (True, True, 65_535)


@pytest.mark.parametrize("kind", KINDS)
def test_switched_off(join: Callable[..., Ends], kind: str) -> None:
    capabilities = join(kind, offload=False).link.capabilities
    assert (capabilities.tx_checksum, capabilities.tso) == (False, 0)
    assert capabilities.rx_checksum == (kind == "packet")


@pytest.mark.parametrize("kind", KINDS)
def test_the_kernels_super_segments_arrive_whole(join: Callable[..., Ends], kind: str) -> None:
    ends = join(kind)
    data = os.urandom(5000)  # within its first window: our hands have announced no MSS, so 536 each
    with called(ends) as call:
        call.socket.sendall(data)
        arrived, frames = received(call, len(data))
    assert arrived == data
    largest = max(frames, key=len)
    assert len(largest) > 1514
    assert largest.offload is not None
    assert largest.offload.checksum is Checksum.PARTIAL
    assert (largest.offload.csum_start, largest.offload.csum_offset) == (ends.ip_at + 20, 16)
    assert (largest.offload.gso_type, largest.offload.gso_size) == (GSOType.TCPV4, 536)


@pytest.mark.parametrize("kind", ["tap", "tun"])
def test_switched_off_the_kernel_cuts_and_finishes(join: Callable[..., Ends], kind: str) -> None:
    data = os.urandom(5000)
    with called(join(kind, offload=False)) as call:
        call.socket.sendall(data)
        arrived, frames = received(call, len(data))
    assert arrived == data
    assert {frame.offload for frame in frames} == {None}
    assert max(map(len, frames)) <= 14 + 40 + 536


@pytest.mark.parametrize("kind", [*KINDS, "limited"])
def test_the_kernel_takes_our_super_segments(join: Callable[..., Ends], cable: Cable, kind: str) -> None:
    """The largest that IP can say, in several buffers; also where the device takes less at once."""
    if kind == "limited":
        kind = "packet"
        cable.near.ip("link set near gso_max_size 16384 gso_max_segs 4")
    ends = join(kind)
    size = 65_535 - 40
    data = os.urandom(size)
    with called(ends) as call:
        call.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        header = wire.TCPHeader(
            OUR_PORT, call.caller.dst_port, seq=call.caller.seq, ack=call.caller.ack, flags=TCPFlags.ACK
        )
        whole = unfinished(tcp_packet(OURS, KERNEL, header, data), 6, 16)
        octets = ends.framed(whole)
        at = ends.ip_at + 40
        marks = Offload(Checksum.PARTIAL, ends.ip_at + 20, 16, GSOType.TCPV4, 1400, at)
        buffers = (octets[:at], memoryview(octets)[at : at + 10_000], octets[at + 10_000 :])
        assert ends.link.send([Frame(buffers, marks)], 0) == 1
        first = call.socket.recv(size, socket.MSG_WAITALL)
        call.caller.seq += size
    assert first == data
    assert ends.link.lost == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_kernel_finishes_our_checksums(join: Callable[..., Ends], kind: str) -> None:
    ends = join(kind)
    with ends.socket(socket.SOCK_DGRAM) as sock:
        datagram = unfinished(udp_packet(OURS, 9, KERNEL, sock.getsockname()[1], b"hello"), 17, 6)
        marks = Offload(Checksum.PARTIAL, ends.ip_at + 20, 6)
        assert ends.link.send([Frame((ends.framed(datagram),), marks)], 0) == 1
        assert sock.recv(100) == b"hello"
        wrong = datagram[:26] + b"\xde\xad" + datagram[28:]
        sent(ends.link, ends.framed(wrong))  # said to be complete
        complete = udp_packet(OURS, 9, KERNEL, sock.getsockname()[1], b"complete")
        sent(ends.link, ends.framed(complete))
        assert sock.recv(100) == b"complete"


@pytest.mark.parametrize("kind", KINDS)
def test_marks_that_the_kernel_refuses_cost_their_frame(join: Callable[..., Ends], kind: str) -> None:
    ends = join(kind)
    with ends.socket(socket.SOCK_DGRAM) as sock:
        octets = ends.framed(udp_packet(OURS, 9, KERNEL, sock.getsockname()[1], b"hello"))
        beyond = Frame((octets,), Offload(Checksum.PARTIAL, 60_000, 16))
        assert ends.link.send([beyond, Frame((octets,))], 0) == 2
        assert ends.link.lost == 1
        assert sock.recv(100) == b"hello"


@pytest.mark.parametrize(
    ("kind", "offload"), [("tap", True), ("tun", True), ("packet", True), ("tap", False), ("tun", False)]
)
def test_datagrams_that_the_kernel_sends_as_one_arrive_one_by_one(
    join: Callable[..., Ends], kind: str, offload: bool
) -> None:
    ends = join(kind, offload=offload)
    with ends.socket(socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
        sock.sendto(bytes(range(250)) * 10, (OURS, 9))
        arrived = [ip_of(ends.link, next_frame(ends.link, lambda octets: len(octets) > 400))[-1] for _ in range(3)]
    assert arrived == [bytes(range(250)) * 4, bytes(range(250)) * 4, bytes(range(250)) * 2]


def test_a_tag_that_is_put_back_moves_the_checksums_place(cable: Cable) -> None:
    link = PacketLink("near")
    with cable.far:
        neighbour = PacketLink("far")
    macs = own_mac(link).octets + own_mac(neighbour).octets
    tagged = macs + struct.pack("!HH", 0x8100, 7) + b"\x08\x00"
    datagram = unfinished(udp_packet(KERNEL, 1, OURS, 2, b"tagged"), 17, 6)
    assert neighbour.send([Frame((tagged + datagram,), Offload(Checksum.PARTIAL, 38, 6))], 0) == 1
    frame = next_frame(link)
    assert frame.to_bytes() == tagged + datagram
    assert frame.offload == Offload(Checksum.PARTIAL, 38, 6)
    assert ip_of(link, frame)[-1] == b"tagged"
    link.close()
    neighbour.close()


@pytest.mark.parametrize("kind", [TapLink, TunLink])
def test_a_driver_that_knows_no_headers(
    netns: NetworkNamespace, monkeypatch: pytest.MonkeyPatch, kind: type[TapLink | TunLink]
) -> None:
    monkeypatch.setattr(tap, "_IFF_VNET_HDR", 1 << 15)
    before = descriptors()
    link = kind(host_address=HOST)
    assert (link.capabilities.tx_checksum, link.capabilities.rx_checksum, link.capabilities.tso) == (False, False, 0)
    link.close()
    assert descriptors() == before


def test_a_driver_that_will_not_leave_anything_undone(netns: NetworkNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes what we leave undone all the same."""
    monkeypatch.setattr(tap, "_OFFLOAD", 1 << 30)
    link = TapLink("link0", host_address=HOST)
    assert (link.capabilities.tx_checksum, link.capabilities.rx_checksum, link.capabilities.tso) == (
        True,
        False,
        65_535,
    )
    netns.ip(f"neigh add {OURS} lladdr {link.capabilities.mac} dev link0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"hello", (OURS, 9))
    frame = next_frame(link)
    assert frame.offload is None
    assert ip_of(link, frame)[-1] == b"hello"
    link.close()


def test_a_kernel_without_headers_on_packet_sockets(cable: Cable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet, "_PACKET_VNET_HDR", 0x7FFF)
    link = PacketLink("near")
    assert (link.capabilities.tx_checksum, link.capabilities.rx_checksum, link.capabilities.tso) == (False, True, 0)
    link.close()


def test_a_persistent_device_does_not_keep_our_offload(netns: NetworkNamespace) -> None:
    netns.ip("tuntap add dev old0 mode tun")
    netns.ip("link set old0 addrgenmode none")
    TunLink("old0", host_address=HOST).close()
    link = TunLink("old0", host_address=HOST, offload=False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"hello", (OURS, 9))
    frame = next_frame(link)
    assert frame.offload is None
    assert ip_of(link, frame)[-1] == b"hello"
    link.close()


@pytest.mark.requires("ethtool")
def test_nothing_is_left_switched_on(netns: NetworkNamespace) -> None:
    netns.ip("tuntap add dev old0 mode tap")

    def switched_on() -> set[str]:
        lines = netns.run("ethtool", "-k", "old0").splitlines()
        return {name for name, _, state in (line.strip().partition(": ") for line in lines) if state.startswith("on")}

    before = switched_on()
    link = TapLink("old0")
    assert "tcp-segmentation-offload" in switched_on() - before
    link.close()
    assert switched_on() == before


def test_headers_of_another_size_from_an_earlier_owner(netns: NetworkNamespace) -> None:
    netns.ip("tuntap add dev old0 mode tun")
    netns.ip("link set old0 addrgenmode none")
    fd = tap._open_device("TUN")
    tap._attach(fd, "TUN", tap._IFF_TUN | tap._IFF_VNET_HDR, "old0")
    tap._ioctl(fd, tap._iow(tap._SET_HEADER_SIZE), struct.pack("=i", 12))
    os.close(fd)
    link = TunLink("old0", host_address=HOST)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"hello", (OURS, 9))
    assert ip_of(link, next_frame(link))[-1] == b"hello"
    link.close()
