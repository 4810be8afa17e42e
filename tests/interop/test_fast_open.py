"""TCP Fast Open (RFC 7413) against the kernel over TAP, or with IPv6 over TUN, each as client and as server: what both
ends say of it, and the frames."""

import random
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from attrs import define, field, frozen

import pystack
from pystack import StackConfig, wire
from pystack.transport.tcp.fastopen import FastOpenMode
from pystack.units import Ns
from pystack.wire.pcapng import Direction
from tests.interop.helpers import ADDRESSES, answers, eventually, run

pytestmark = pytest.mark.interop

PATIENCE = 20
"""Seconds."""
CONFIG = StackConfig(fast_open=FastOpenMode.CLIENT | FastOpenMode.SERVER)
REQUEST, ANSWER = b"a request that may arrive twice", b"an answer"

SYN, ACK = wire.TCPFlags.SYN, wire.TCPFlags.ACK
TCP_FASTOPEN_CONNECT = 30
_TCPI_OPTIONS = struct.Struct("5xB")
_TCPI_OPT_SYN_DATA = 32


def has_syn_data(sock: Any) -> bool:
    """TCPI_OPT_SYN_DATA: the SYN-ACK acknowledged data that was in the SYN. The kernel's sockets and ours alike."""
    (bits,) = _TCPI_OPTIONS.unpack_from(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104))
    return bool(bits & _TCPI_OPT_SYN_DATA)


@frozen
class Seen:
    """One segment on the cable."""

    ours: bool
    tcp: wire.TCPHeader
    payload: bytes


@frozen
class Opening:
    """What the frames of one connection say."""

    in_syn: bytes
    acknowledged: int
    """Octets of data that the SYN-ACK acknowledged."""
    sent: int
    """Octets of data in all segments of the client together, what was sent twice counted twice."""


@define
class Net:
    """The kernel and a host of ours on one cable. `recorded`: what was on it so far."""

    kernel: str
    ours: str
    family: socket.AddressFamily
    link_type: wire.LinkType
    closing: ExitStack
    host: pystack.Host = field(init=False)
    recorded: list[Seen] = field(init=False, factory=list)

    def record(self, direction: Direction, frame: bytes, now: Ns) -> None:
        layers = wire.dissect(frame, self.link_type, verify=True)
        tcp = next((layer for layer in layers if isinstance(layer, wire.TCPHeader)), None)
        if tcp is not None:
            last = layers[-1]
            self.recorded.append(Seen(direction is Direction.OUTBOUND, tcp, last if isinstance(last, bytes) else b""))

    def opening(self, client: Any) -> Opening:
        """Of `client`'s connection, which is over."""
        port = client.getsockname()[1]
        mine = [seen for seen in self.recorded if seen.tcp.src_port == port]
        (syn,) = (seen for seen in mine if seen.tcp.flags & SYN)
        (syn_ack,) = (seen for seen in self.recorded if seen.tcp.dst_port == port and seen.tcp.flags & SYN)
        assert syn_ack.tcp.flags & ACK
        acknowledged = syn_ack.tcp.ack - syn.tcp.seq - 1 & 0xFFFF_FFFF
        return Opening(syn.payload, acknowledged, sum(len(seen.payload) for seen in mine))

    def kept(self, sock: Any) -> Any:
        if isinstance(sock, socket.socket):  # a timeout of Python's would make the kernel's sendto a non-blocking one
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", PATIENCE, 0))
        else:
            sock.settimeout(PATIENCE)
        return self.closing.enter_context(sock)

    def client(self, *, ours: bool) -> Any:
        return self.kept((self.host if ours else socket).socket(self.family))

    def listener(self, *, ours: bool, pending: int = 16) -> tuple[Any, tuple[str, int]]:
        """A listener with TCP_FASTOPEN, and where it listens."""
        address = self.ours if ours else self.kernel
        server = self.kept((self.host if ours else socket).create_server((address, 0), family=self.family))
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, pending)
        return server, (address, server.getsockname()[1])


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def net(request: pytest.FixtureRequest, offload: bool) -> Iterator[Net]:
    run("sysctl", "-q", "net.ipv4.tcp_fastopen=3")
    run("sysctl", "-q", "net.ipv4.tcp_fastopen_blackhole_timeout_sec=0")
    kernel, ours, prefix = ADDRESSES[request.param]
    with ExitStack() as closing:
        if request.param == 4:
            net = Net(kernel, ours, socket.AF_INET, wire.LinkType.ETHERNET, closing)
        else:
            net = Net(kernel, ours, socket.AF_INET6, wire.LinkType.RAW, closing)
        make_link = pystack.TapLink if request.param == 4 else pystack.TunLink
        link = make_link("pystack0", host_address=f"{kernel}/{prefix}", offload=offload)
        net.host = closing.enter_context(
            pystack.Host(pystack.CaptureLink(link, net.record), address=f"{ours}/{prefix}", config=CONFIG)
        )
        eventually(lambda: answers(net.host, kernel), "the kernel knows its new address")
        yield net


def everything(sock: Any) -> bytes:
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def talk(net: Net, client: Any, server: Any, address: tuple[str, int], request: bytes) -> tuple[bool, bool]:
    """Send all of `request` with MSG_FASTOPEN, answer it, and end. What the two ends say of data in the SYN."""
    taken = client.sendto(request, socket.MSG_FASTOPEN, address)
    accepted = net.kept(server.accept()[0])
    if taken < len(request):
        client.sendall(request[taken:])
    client.shutdown(socket.SHUT_WR)
    assert everything(accepted) == request
    said = has_syn_data(client), has_syn_data(accepted)
    accepted.sendall(ANSWER)
    accepted.close()
    assert everything(client) == ANSWER
    return said


WE_OPEN = pytest.mark.parametrize("ours", [False, True], ids=["kernel-opens", "we-open"])


@WE_OPEN
def test_the_second_syn_brings_the_request(net: Net, ours: bool) -> None:
    server, address = net.listener(ours=not ours)
    first, second = net.client(ours=ours), net.client(ours=ours)
    assert talk(net, first, server, address, REQUEST) == (False, False)
    assert net.opening(first) == Opening(b"", 0, len(REQUEST))
    assert talk(net, second, server, address, REQUEST) == (True, True)
    assert net.opening(second) == Opening(REQUEST, len(REQUEST), len(REQUEST))


@WE_OPEN
def test_a_long_request_goes_on_behind_the_syn(net: Net, ours: bool) -> None:
    request = random.Random(7413).randbytes(30_000)
    server, address = net.listener(ours=not ours)
    first, second = net.client(ours=ours), net.client(ours=ours)
    talk(net, first, server, address, REQUEST)
    assert talk(net, second, server, address, request) == (True, True)
    opening = net.opening(second)
    assert 1000 < len(opening.in_syn) < 1500
    assert request.startswith(opening.in_syn)
    assert opening.acknowledged == len(opening.in_syn)
    assert opening.sent == len(request)


@WE_OPEN
def test_the_server_answers_before_the_handshake_is_done(net: Net, ours: bool) -> None:
    """The application has the request while its connection is in SYN-RECEIVED or just beyond, and the answer is
    complete for a client that only reads."""
    server, address = net.listener(ours=not ours)
    talk(net, net.client(ours=ours), server, address, REQUEST)
    client = net.client(ours=ours)
    assert client.sendto(REQUEST, socket.MSG_FASTOPEN, address) == len(REQUEST)
    with net.kept(server.accept()[0]) as accepted:
        assert accepted.recv(1000) == REQUEST
        accepted.sendall(ANSWER)
    assert everything(client) == ANSWER
    assert net.opening(client) == Opening(REQUEST, len(REQUEST), len(REQUEST))


@pytest.mark.parametrize("end", ["shutdown", "close"])
def test_the_end_of_a_request_is_not_lost_when_the_client_does_not_wait(net: Net, end: str) -> None:
    server, address = net.listener(ours=False)
    talk(net, net.client(ours=True), server, address, REQUEST)
    client = net.client(ours=True)
    client.setblocking(False)
    assert client.sendto(REQUEST, socket.MSG_FASTOPEN, address) == len(REQUEST)
    if end == "close":
        client.close()
    else:
        client.shutdown(socket.SHUT_WR)
    assert everything(net.kept(server.accept()[0])) == REQUEST


@WE_OPEN
def test_a_connect_that_waits_for_data(net: Net, ours: bool) -> None:
    server, address = net.listener(ours=not ours)
    for known in (False, True):
        client = net.client(ours=ours)
        client.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
        client.connect(address)
        client.sendall(REQUEST)
        accepted = net.kept(server.accept()[0])
        assert accepted.recv(1000) == REQUEST
        assert has_syn_data(accepted) is known
        accepted.sendall(ANSWER)
        accepted.shutdown(socket.SHUT_WR)
        assert everything(client) == ANSWER
        client.shutdown(socket.SHUT_WR)
        assert everything(accepted) == b""
        expected = Opening(REQUEST, len(REQUEST), len(REQUEST)) if known else Opening(b"", 0, len(REQUEST))
        assert net.opening(client) == expected


def forget_kernel(net: Net) -> None:
    """The kernel's cookies are no good from now on."""
    run("sysctl", "-q", "net.ipv4.tcp_fastopen_key=00000007-00000004-00000001-00000003")


def forget_ours(net: Net) -> None:
    service = net.host._stack.fast_open
    service.cookies = type(service.cookies)(bytes(32), CONFIG.fast_open_key_period)


@pytest.mark.parametrize(
    ("ours", "forget"), [(False, forget_ours), (True, forget_kernel)], ids=["kernel-opens", "we-open"]
)
def test_a_server_with_a_new_key_gives_a_new_cookie(net: Net, ours: bool, forget: Callable[[Net], None]) -> None:
    """The SYN's data is not taken and goes again; the connection after that is fast."""
    server, address = net.listener(ours=not ours)
    talk(net, net.client(ours=ours), server, address, REQUEST)
    forget(net)
    stale, fresh = net.client(ours=ours), net.client(ours=ours)
    assert talk(net, stale, server, address, REQUEST) == (False, False)
    assert net.opening(stale) == Opening(REQUEST, 0, 2 * len(REQUEST))
    assert talk(net, fresh, server, address, REQUEST) == (True, True)
    assert net.opening(fresh) == Opening(REQUEST, len(REQUEST), len(REQUEST))


@WE_OPEN
def test_a_server_that_does_not_want_it_gets_an_ordinary_handshake(net: Net, ours: bool) -> None:
    server, address = net.listener(ours=not ours, pending=0)
    for _ in range(2):
        client = net.client(ours=ours)
        assert talk(net, client, server, address, REQUEST) == (False, False)
        assert net.opening(client) == Opening(b"", 0, len(REQUEST))
