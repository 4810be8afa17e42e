"""AF_PACKET on one end of a veth, the kernel at the other."""

import errno
import os
import socket
import struct

import pytest

from pystack import wire
from pystack.errors import LinkDown
from pystack.link.base import Checksum, Claims, Frame, Link, Medium
from pystack.link.packet import PacketLink
from pystack.link.pool import FramePool
from pystack.wire import TCPFlags
from tests.conftest import Cable, NetworkNamespace
from tests.link.by_hand import (
    CAP_NET_ADMIN,
    Caller,
    answer_arp,
    as_nobody,
    descriptors,
    frames_until,
    ip_of,
    marks_of,
    next_frame,
    own_mac,
    sent,
    udp_packet,
    without_capability,
)

pytestmark = pytest.mark.interop

KERNEL, OURS = "192.0.2.1", "192.0.2.2"

OFFLOAD = pytest.mark.parametrize("offload", [True, False])
"""With the header that carries marks, and without it, where the kernel tells less."""


@pytest.fixture(autouse=True)
def far_kernel(cable: Cable) -> None:
    cable.far.ip(f"addr add {KERNEL}/24 dev far")


def far_socket(cable: Cable, kind: socket.SocketKind = socket.SOCK_DGRAM) -> socket.socket:
    with cable.far:
        sock = socket.socket(socket.AF_INET, kind)
    sock.bind((KERNEL, 0))
    sock.settimeout(10)
    return sock


def mac_of(namespace: NetworkNamespace, name: str) -> str:
    with namespace, socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((name, 0))
        octets: bytes = sock.getsockname()[4]
        return octets.hex(":")


def is_ip(octets: bytes) -> bool:
    return octets[12:14] == b"\x08\x00"


def promiscuity(namespace: NetworkNamespace) -> str:
    words = namespace.ip("-d link show near").split()
    return words[words.index("promiscuity") + 1]


def test_it_is_a_station_of_its_own(cable: Cable) -> None:
    cable.near.ip("link set near mtu 1400")
    link, given = PacketLink("near"), PacketLink("near", "02:00:00:00:00:99")
    assert isinstance(link, Link)
    assert not isinstance(link, Claims)
    assert link.capabilities.medium is Medium.ETHERNET
    assert link.capabilities.mtu == 1400
    assert own_mac(link).is_local
    assert str(link.capabilities.mac) != mac_of(cable.near, "near")
    assert str(given.capabilities.mac) == "02:00:00:00:00:99"
    link.close()
    given.close()


def test_the_neighbours_kernel_meets_us(cable: Cable) -> None:
    link = PacketLink("near")
    with far_socket(cable) as sock:
        sock.sendto(b"hello", (OURS, 7))
        asker = answer_arp(link, OURS)
        frame = next_frame(link, is_ip)
        assert ip_of(link, frame)[-1] == b"hello"
        assert f"{OURS} dev far lladdr {link.capabilities.mac}" in cable.far.ip("neigh show")
        answer = udp_packet(OURS, 7, KERNEL, sock.getsockname()[1], b"welcome")
        sent(link, wire.build(wire.EthernetHeader(asker, own_mac(link), 0x0800), answer))
        assert sock.recvfrom(100) == (b"welcome", (OURS, 7))
    link.close()


@OFFLOAD
def test_an_unfinished_checksum_is_marked(cable: Cable, offload: bool) -> None:
    link = PacketLink("near", offload=offload)
    with far_socket(cable) as sock:
        sock.sendto(b"hello", (OURS, 7))
        answer_arp(link, OURS)
        frame = next_frame(link, is_ip)
    marks = marks_of(frame)
    assert marks.checksum is Checksum.PARTIAL
    assert (marks.csum_start, marks.csum_offset) == (34, 6)
    link.close()


@OFFLOAD
@pytest.mark.requires("ethtool")
def test_a_finished_checksum_is_not_marked(cable: Cable, offload: bool) -> None:
    cable.far.run("ethtool", "-K", "far", "tx", "off")
    link = PacketLink("near", offload=offload)
    with far_socket(cable) as sock:
        sock.sendto(b"hello", (OURS, 7))
        answer_arp(link, OURS)
        frame = next_frame(link, is_ip)
    assert frame.offload is None
    assert ip_of(link, frame)[-1] == b"hello"
    link.close()


@OFFLOAD
def test_super_segments_arrive_whole(cable: Cable, offload: bool) -> None:
    data = bytes(range(250)) * 40  # within the kernel's first window
    link = PacketLink("near", offload=offload)
    with far_socket(cable, socket.SOCK_STREAM) as listener:
        listener.listen()
        mac = wire.MACAddress(mac_of(cable.far, "far"))
        cable.far.ip(f"neigh add {OURS} lladdr {link.capabilities.mac} dev far")
        caller = Caller(link, OURS, KERNEL, 4000, listener.getsockname()[1], mac)
        caller.connect()
        conn, peer = listener.accept()
        with conn:
            assert peer == (OURS, 4000)
            conn.sendall(data)
            received, sizes = b"", []
            while len(received) < len(data):
                frame, header, payload = caller.receive()
                assert marks_of(frame).checksum is Checksum.PARTIAL
                assert header.seq == caller.ack
                caller.ack += len(payload)
                received += payload
                sizes.append(len(frame))
                caller.send(TCPFlags.ACK)
            caller.send(TCPFlags.RST)
    assert received == data
    assert max(sizes) > 1514
    link.close()


def test_only_our_frames_and_those_to_all_arrive(cable: Cable) -> None:
    cable.near.ip("addr add 192.0.2.3/24 dev near")
    link = PacketLink("near")
    with far_socket(cable) as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as neighbour:
        neighbour.bind(("192.0.2.3", 0))
        neighbour.settimeout(10)
        sock.sendto(b"to the kernel", neighbour.getsockname())
        assert neighbour.recv(100) == b"to the kernel"
        neighbour.sendto(b"from the kernel", sock.getsockname())
        assert sock.recv(100) == b"from the kernel"
        sock.sendto(b"to us", (OURS, 7))
        answer_arp(link, OURS)
        frames = frames_until(link, lambda frames: bool(frames) and is_ip(frames[-1].to_bytes()))
    for frame in frames:
        assert frame.to_bytes()[:6] in (own_mac(link).octets, wire.BROADCAST.octets)
        assert frame.to_bytes()[6:12].hex(":") == mac_of(cable.far, "far")
    assert ip_of(link, frames[-1])[-1] == b"to us"
    link.close()


def test_our_own_frames_do_not_come_back(cable: Cable) -> None:
    link = PacketLink("near")
    other = PacketLink("near")
    mac = own_mac(link)
    sent(link, wire.build(wire.EthernetHeader(wire.BROADCAST, mac), wire.ARPPacket.request(mac, OURS, KERNEL)))
    answer = next_frame(link)
    assert wire.ARPPacket.from_bytes(answer.to_bytes()[14:]).operation == wire.ARPOperation.REPLY
    assert link.receive(64, 0) == []
    assert other.receive(64, 0) == []
    link.close()
    other.close()


@OFFLOAD
@pytest.mark.parametrize("ethertype", [0x8100, 0x88A8])
def test_the_tag_that_the_kernel_takes_out_is_put_back(cable: Cable, ethertype: int, offload: bool) -> None:
    link = PacketLink("near", offload=offload)
    with cable.far:
        neighbour = PacketLink("far")
    tag = struct.pack("!HH", ethertype, 0x6007)
    octets = own_mac(neighbour).octets + tag + b"\x08\x00" + udp_packet(KERNEL, 1, OURS, 2, b"tagged")
    sent(neighbour, own_mac(link).octets + octets)
    assert next_frame(link).to_bytes() == own_mac(link).octets + octets
    link.close()
    neighbour.close()


def test_promiscuous_only_while_open(cable: Cable) -> None:
    before = descriptors()
    link = PacketLink("near")
    assert promiscuity(cable.near) == "1"
    link.close()
    link.close()
    assert promiscuity(cable.near) == "0"
    assert link.fileno() == -1
    assert descriptors() == before
    with pytest.raises(LinkDown, match="closed"):
        link.receive(64, 0)


def test_an_interface_that_is_down_is_a_pulled_cable(cable: Cable) -> None:
    link = PacketLink("near")
    mac = own_mac(link)
    question = wire.build(wire.EthernetHeader(wire.BROADCAST, mac), wire.ARPPacket.request(mac, OURS, KERNEL))
    cable.near.ip("link set near down")
    assert link.receive(64, 0) == []
    sent(link, question, question)
    assert link.lost == 2
    assert link.receive(64, 0) == []
    cable.near.ip("link set near up")
    sent(link, question)
    assert next_frame(link).to_bytes()[:6] == mac.octets
    assert link.lost == 2
    link.close()


@pytest.mark.parametrize("use", ["send", "receive"])
@pytest.mark.parametrize("move", [False, True], ids=["deleted", "moved"])
def test_an_interface_that_goes_away_is_link_down_once(cable: Cable, use: str, move: bool) -> None:
    link = PacketLink("near")
    frame = Frame((bytes(60),))
    cable.near.ip(f"link set near netns /proc/{os.getpid()}/fd/{cable.far.descriptor}" if move else "link del near")
    with pytest.raises(LinkDown, match="near is gone") as caught:
        link.send([frame], 0) if use == "send" else link.receive(64, 0)
    assert caught.value.errno == errno.ENETDOWN
    assert link.send([frame, frame], 0) == 2
    assert link.receive(64, 0) == []
    link.close()


def test_a_frame_too_large_is_lost_alone(cable: Cable) -> None:
    link = PacketLink("near")
    sent(link, bytes(5000), bytes(60))
    assert link.lost == 1
    link.close()


@OFFLOAD
def test_a_frame_cut_short_is_lost_alone(cable: Cable, monkeypatch: pytest.MonkeyPatch, offload: bool) -> None:
    link = PacketLink("near", offload=offload)
    monkeypatch.setattr(link, "_pool", FramePool(100))
    with cable.far:
        neighbour = PacketLink("far")
    head = own_mac(link).octets + own_mac(neighbour).octets + b"\x88\xb5"
    sent(neighbour, head + bytes(200), head + bytes(50))
    assert next_frame(link).to_bytes() == head + bytes(50)
    assert link.lost == 1
    link.close()
    neighbour.close()


def test_what_no_header_can_describe_is_lost_alone(cable: Cable, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tunnel's super-frame: the kernel gives an error in its place."""
    link = PacketLink("near")
    with cable.far:
        neighbour = PacketLink("far")
    frame = own_mac(link).octets + own_mac(neighbour).octets + b"\x88\xb5" + bytes(50)
    sent(neighbour, frame)
    real = link._socket

    class Refusing:
        """The socket, once it has refused."""

        def recvmsg_into(self, *arguments: object) -> object:
            monkeypatch.setattr(link, "_socket", real)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(link, "_socket", Refusing())
    assert [each.to_bytes() for each in link.receive(64, 0)] == [frame]
    assert link.lost == 1
    link.close()
    neighbour.close()


def refused(name: str) -> OSError:
    """The error of a construction that must fail, and leave nothing open."""
    before = descriptors()
    with pytest.raises(OSError, match=r".+") as caught:
        PacketLink(name)
    assert descriptors() == before
    return caught.value


@pytest.mark.parametrize(
    ("name", "code", "hint"),
    [
        ("nowhere0", errno.ENODEV, "there is no interface nowhere0"),
        ("lo", errno.EOPNOTSUPP, "lo is not an Ethernet"),
        ("near", errno.ENETDOWN, "ip link set near up"),
    ],
)
def test_an_interface_that_will_not_do(cable: Cable, name: str, code: int, hint: str) -> None:
    cable.near.ip("link set near down")
    error = refused(name)
    assert error.errno == code
    assert hint in str(error)


@pytest.mark.usefixtures("cable")
def test_without_root() -> None:
    with as_nobody():
        error = refused("near")
    assert isinstance(error, PermissionError)
    assert "PacketLink needs root or CAP_NET_RAW" in str(error)


def test_cap_net_raw_is_enough(cable: Cable) -> None:
    with without_capability(CAP_NET_ADMIN):
        link = PacketLink("near")
    with far_socket(cable) as sock:
        sock.sendto(b"hello", (OURS, 7))
        answer_arp(link, OURS)
        assert ip_of(link, next_frame(link, is_ip))[-1] == b"hello"
    link.close()
