"""Filter programs, run by the kernel on a pair of datagram sockets."""

import errno
import socket
import struct
from collections.abc import Iterator

import pytest

from pystack import wire
from pystack.link.bpf import DROP_ALL, MOST_PORTS, accept_icmp_types, accept_ports, accept_station, attach
from tests.link.by_hand import tcp_packet, udp_packet

pytestmark = pytest.mark.interop

HERE = "127.0.0.1"


class Gate:
    """A socket with a filter, and one that sends to it."""

    def __init__(self) -> None:
        self.outside, self.inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.inside.setblocking(False)

    def passes(self, packet: bytes) -> bool:
        self.outside.send(packet)
        try:
            return self.inside.recv(1 << 16) == packet
        except BlockingIOError:
            return False


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    with gate.outside, gate.inside:
        yield gate


def with_options(packet: bytes) -> bytes:
    """The same packet with 40 octets of IP options; lengths and checksums are not a filter's business."""
    return bytes([0x4F]) + packet[1:20] + bytes(40) + packet[20:]


def test_drop_all(gate: Gate) -> None:
    assert gate.passes(b"before")
    attach(gate.inside, DROP_ALL)
    assert not gate.passes(b"after")


@pytest.mark.parametrize(
    ("dst", "passes"),
    [
        ("02:00:00:00:00:07", True),
        ("ff:ff:ff:ff:ff:ff", True),
        ("01:00:5e:00:00:01", True),
        ("02:00:00:00:00:08", False),
        ("02:00:00:01:00:07", False),
        ("04:00:00:00:00:07", False),
    ],
)
def test_station(gate: Gate, dst: str, passes: bool) -> None:
    attach(gate.inside, accept_station(wire.MACAddress("02:00:00:00:00:07")))
    assert gate.passes(wire.MACAddress(dst).octets + bytes(54)) is passes


def test_ports(gate: Gate) -> None:
    attach(gate.inside, accept_ports({80, 65535, 1}))
    for port, passes in ((80, True), (65535, True), (1, True), (0, False), (2, False), (81, False)):
        for packet in (
            udp_packet(HERE, 9, HERE, port, b"data"),
            tcp_packet(HERE, HERE, wire.TCPHeader(9, port)),
        ):
            assert gate.passes(packet) is passes
            assert gate.passes(with_options(packet)) is passes
    assert not gate.passes(udp_packet(HERE, 80, HERE, 9, b"the source does not count"))
    assert not gate.passes(udp_packet(HERE, 9, HERE, 80, b"")[:23])


def test_ports_replaced(gate: Gate) -> None:
    packet = udp_packet(HERE, 9, HERE, 80, b"data")
    for ports in ({80}, set(), {80, 81}, {81}):
        attach(gate.inside, accept_ports(ports))
        assert gate.passes(packet) is (80 in ports)


def test_as_many_ports_as_are_told_apart(gate: Gate) -> None:
    ports = range(2, 2 + 2 * MOST_PORTS, 2)
    attach(gate.inside, accept_ports(ports))
    packets = {port: struct.pack("!B19xHH", 0x45, 9, port) for port in range(2 * MOST_PORTS + 4)}
    assert [port for port, packet in packets.items() if gate.passes(packet)] == list(ports)


def test_beyond_that_a_range(gate: Gate) -> None:
    attach(gate.inside, accept_ports(range(100, 100 + 2 * (MOST_PORTS + 1), 2)))
    for port, passes in ((99, False), (100, True), (101, True), (2100, True), (2101, False)):
        assert gate.passes(udp_packet(HERE, 9, HERE, port, b"")) is passes


def test_icmp_types(gate: Gate) -> None:
    attach(gate.inside, accept_icmp_types((0, 3)))
    for kind, passes in ((0, True), (3, True), (8, False), (11, False)):
        packet = wire.build(wire.IPv4Header(HERE, HERE), wire.ICMPv4Message(kind))
        assert gate.passes(packet) is passes
        assert gate.passes(with_options(packet)) is passes


def test_where_the_kernel_lets_only_root() -> None:
    class Refusing(socket.socket):
        def setsockopt(self, *arguments: object) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

    with Refusing() as sock, pytest.raises(PermissionError, match="wants root or CAP_BPF"):
        attach(sock, DROP_ALL)
