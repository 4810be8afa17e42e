"""IPv6 against the kernel over TUN: TCP and UDP both ways, echo, ICMPv6 errors, super-segments."""

import errno
import hashlib
import os
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import pystack
from pystack.stack.stack import Stack
from pystack.stack.stream import StreamEndpoint
from pystack.units import SECOND, Ns
from tests.interop.helpers import run

pytestmark = pytest.mark.interop

KERNEL, OURS = "2001:db8::1", "2001:db8::2"
SIZE = 5_000_000


class Driven:
    """A stack on a TUN device whose other end is the kernel's, polled by the test."""

    def __init__(self, offload: bool) -> None:
        self.link = pystack.TunLink("pystack0", host_address=f"{KERNEL}/64", offload=offload)
        self.stack = Stack(rng=random.Random(1), entropy=os.urandom)
        self.stack.add_interface(self.link, f"{OURS}/64")

    def until(self, done: Callable[[], bool], seconds: float = 30) -> None:
        end = time.monotonic_ns() + round(seconds * SECOND)
        while not done():
            now = time.monotonic_ns()
            assert now < end, dict(self.stack.counters)
            if self.stack.poll(now):
                continue
            due = self.stack.next_deadline()
            wait = 0.05 if due is None else min(max(due - time.monotonic_ns(), 0) / SECOND, 0.05)
            select.select([self.link.fileno()], [], [], wait)

    def ping(self) -> Ns | None:
        operation = self.stack.ping(KERNEL, time.monotonic_ns(), timeout=SECOND // 10)
        self.until(lambda: operation.done)
        try:
            return operation.result()
        except TimeoutError:
            return None

    def accept(self, listener: StreamEndpoint) -> StreamEndpoint:
        operation = listener.submit(listener.try_accept, None, time.monotonic_ns())
        self.until(lambda: operation.done)
        return operation.result()

    def listen(self) -> tuple[StreamEndpoint, int]:
        server = self.stack.stream()
        server.bind(("", 0), time.monotonic_ns())
        server.listen(4, time.monotonic_ns())
        return server, server.getsockname()[1]

    def recv_all(self, conn: StreamEndpoint) -> bytes:
        received = bytearray()

        def ended() -> bool:
            while (piece := conn.try_recv(1 << 20, time.monotonic_ns())) is not None:
                if not piece:
                    return True
                received.extend(piece)
            return False

        self.until(ended)
        return bytes(received)

    def send_all(self, conn: StreamEndpoint, data: bytes) -> None:
        left = memoryview(data)

        def sent() -> bool:
            nonlocal left
            while left:
                taken = conn.try_send(left, time.monotonic_ns())
                if not taken:
                    return False
                left = left[taken:]
            return True

        self.until(sent)
        conn.shutdown(socket.SHUT_WR, time.monotonic_ns())


@pytest.fixture
def driven(offload: bool) -> Iterator[Driven]:
    driven = Driven(offload)
    while driven.ping() is None:  # the kernel takes a moment until it knows its new address
        pass
    yield driven
    driven.stack.drop(time.monotonic_ns())
    driven.link.close()


@pytest.fixture
def background() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Runs the kernel's side of a test in a thread that has ended when the test has."""
    threads: list[threading.Thread] = []

    def start(work: Callable[[], object]) -> None:
        threads.append(threading.Thread(target=work, daemon=True))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def kernel_socket(kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(socket.AF_INET6, kind)
    sock.settimeout(20)
    return sock


@pytest.mark.parametrize("ours_opens", [False, True], ids=["kernel-opens", "we-open"])
def test_megabytes_both_ways(
    driven: Driven, background: Callable[[Callable[[], object]], None], ours_opens: bool
) -> None:
    data = random.Random(6).randbytes(SIZE)
    digest: list[str] = []

    def exchange(sock: socket.socket) -> None:
        """Reads everything, then sends the same back."""
        with sock:
            received = b"".join(iter(lambda: sock.recv(1 << 20), b""))
            digest.append(hashlib.sha256(received).hexdigest())
            sock.sendall(received)

    if ours_opens:
        server = kernel_socket(socket.SOCK_STREAM)
        server.bind((KERNEL, 0))
        server.listen()
        background(lambda: exchange(server.accept()[0]))
        conn = driven.stack.stream()
        conn.connect((KERNEL, server.getsockname()[1]), time.monotonic_ns())
        driven.until(lambda: conn.try_connected(time.monotonic_ns()) is True)
        server.close()
    else:
        listener, port = driven.listen()
        client = kernel_socket(socket.SOCK_STREAM)

        def connect() -> None:
            client.connect((OURS, port))
            exchange(client)

        background(connect)
        conn = driven.accept(listener)
    assert conn.getpeername()[0] == KERNEL
    driven.send_all(conn, data)
    assert driven.recv_all(conn) == data
    assert digest == [hashlib.sha256(data).hexdigest()]
    assert not any(name.endswith("checksum") for name in driven.stack.counters)


def test_datagrams_both_ways_and_refusals(driven: Driven) -> None:
    there = kernel_socket(socket.SOCK_DGRAM)
    here = driven.stack.datagram()
    with there:
        there.bind((KERNEL, 0))
        here.try_sendto(b"to the kernel", (KERNEL, there.getsockname()[1]), time.monotonic_ns())
        data, sender = there.recvfrom(100)
        assert (data, sender[0]) == (b"to the kernel", OURS)
        there.sendto(b"and back", sender)
        driven.until(lambda: here.readable)
        assert here.try_recvfrom(100, time.monotonic_ns()) == (b"and back", (KERNEL, there.getsockname()[1]))
        there.connect((OURS, 9))
        there.send(b"nobody there")
        driven.until(lambda: driven.stack.counters["udp.no_socket"] == 1)
        with pytest.raises(ConnectionRefusedError):
            there.recv(1)
        port = there.getsockname()[1]
    refused = driven.stack.datagram()
    refused.connect((KERNEL, port), time.monotonic_ns())
    refused.try_sendto(b"anybody?", None, time.monotonic_ns())
    driven.until(lambda: refused.readable)
    with pytest.raises(ConnectionRefusedError, match=f"{KERNEL} reports it"):
        refused.try_recvfrom(1, time.monotonic_ns())


def test_closed_ports_refuse_connections(driven: Driven, background: Callable[[Callable[[], object]], None]) -> None:
    refusals: list[int] = []
    client = kernel_socket(socket.SOCK_STREAM)
    background(lambda: refusals.append(client.connect_ex((OURS, 9))))
    driven.until(lambda: bool(refusals))
    client.close()
    assert refusals == [errno.ECONNREFUSED]
    ours = driven.stack.stream()
    ours.connect((KERNEL, 9), time.monotonic_ns())
    with pytest.raises(ConnectionRefusedError):
        driven.until(lambda: ours.try_connected(time.monotonic_ns()) is not None)


@pytest.mark.requires("ping")
def test_echo_both_ways(driven: Driven, background: Callable[[Callable[[], object]], None]) -> None:
    assert driven.ping()
    output: list[str] = []
    background(lambda: output.append(run("ping", "-6", "-n", "-c", "3", "-i", "0.02", "-s", "1400", OURS).stdout))
    driven.until(lambda: bool(output))
    assert "3 received" in output[0]


def test_the_kernel_knows_no_such_protocol(driven: Driven) -> None:
    """And neither do we: its answer is a parameter problem, as ours is."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, 200) as raw:
        raw.sendto(b"what is this?", (OURS, 0))
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as icmp:
            icmp.settimeout(20)
            driven.until(lambda: driven.stack.counters["ipv6.unknown_protocol"] == 1)
            while (message := icmp.recv(2000))[0] != 4:
                pass
    assert message[1] == 1
    assert int.from_bytes(message[4:8], "big") == 6
