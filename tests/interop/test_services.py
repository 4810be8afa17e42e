"""The stack as a server and neighbour of the kernel: HTTP, echo, UDP, closed ports."""

import errno
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import pystack
from tests.interop import helpers
from tests.interop.helpers import KERNEL, OURS, PREFIX, curl, free_port, link_options, wrong_frames

pytestmark = [pytest.mark.interop, pytest.mark.requires("curl", "ping", "tshark")]

PATIENCE = 20.0
"""Seconds after which a wait is a failure."""
AT_ONCE = 0.9
"""Seconds: less than the first retransmission would take, so the answer was heard and not inferred."""


@pytest.fixture(params=["tap", "tap-wire", "tun", pytest.param("tun-wire", marks=pytest.mark.deep)])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[pystack.Host]:
    """A host with the kernel at the other end of a cable, offload on and off; tshark judges what has crossed it."""
    kind, _, wire = request.param.partition("-")
    device = pystack.TunLink if kind == "tun" else pystack.TapLink
    capture = tmp_path / "capture.pcapng"
    link = device("pystack0", host_address=f"{KERNEL}/{PREFIX}", offload=not wire)
    with open(capture, "wb") as file:
        offset = time.time_ns() - time.monotonic_ns()
        sink = pystack.PcapngSink(file, link.capabilities.medium, unix_offset=offset)
        with pystack.Host(pystack.CaptureLink(link, sink), address=f"{OURS}/{PREFIX}") as host:
            yield host
    assert wrong_frames(capture) == []


def kernel_socket(kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind)
    sock.settimeout(PATIENCE)
    return sock


def test_kernels_ping_is_answered_once_each(host: pystack.Host) -> None:
    answers = helpers.ping(OURS, count=10)
    assert "10 received, 0% packet loss" in answers
    assert "DUP" not in answers


def test_kernels_big_ping_comes_back_whole(host: pystack.Host) -> None:
    done = helpers.run("ping", "-n", "-c", "3", "-i", "0.02", "-s", "1400", "-W", "1", OURS)
    assert "3 received, 0% packet loss" in done.stdout
    assert "wrong data byte" not in done.stdout


def test_our_ping_is_answered_by_the_kernel(host: pystack.Host) -> None:
    assert 0 < host.ping(KERNEL, timeout=PATIENCE) < PATIENCE


def test_ping_of_nobody_times_out(host: pystack.Host) -> None:
    with pytest.raises(TimeoutError):
        host.ping("192.0.2.77", timeout=0.3)


def test_udp_from_us_to_the_kernel_and_back(host: pystack.Host) -> None:
    with kernel_socket(socket.SOCK_DGRAM) as theirs, host.socket(type=socket.SOCK_DGRAM) as ours:
        theirs.bind((KERNEL, 0))
        ours.settimeout(PATIENCE)
        for payload in (b"", b"x", bytes(1472), "Grüße".encode()):
            ours.sendto(payload, theirs.getsockname())
            data, sender = theirs.recvfrom(2000)
            assert data == payload
            assert sender == (OURS, ours.getsockname()[1])
            theirs.sendto(payload[::-1], sender)
            assert ours.recvfrom(2000) == (payload[::-1], theirs.getsockname())


def test_udp_server_of_ours_answers_the_kernel(host: pystack.Host) -> None:
    with kernel_socket(socket.SOCK_DGRAM) as theirs, host.socket(type=socket.SOCK_DGRAM) as ours:
        ours.bind(("", 0))
        ours.settimeout(PATIENCE)
        theirs.connect((OURS, ours.getsockname()[1]))
        theirs.send(b"question")
        data, asker = ours.recvfrom(100)
        ours.sendto(data.upper(), asker)
        assert theirs.recv(100) == b"QUESTION"
        assert asker == theirs.getsockname()


def test_our_tcp_client_meets_a_closed_port_of_the_kernel(host: pystack.Host) -> None:
    begun = time.monotonic()
    with pytest.raises(ConnectionRefusedError):
        host.create_connection((KERNEL, free_port()), timeout=PATIENCE)
    assert time.monotonic() - begun < AT_ONCE


def test_the_kernels_tcp_client_meets_a_closed_port_of_ours(host: pystack.Host) -> None:
    begun = time.monotonic()
    with kernel_socket(socket.SOCK_STREAM) as theirs, pytest.raises(ConnectionRefusedError):
        theirs.connect((OURS, 9))
    assert time.monotonic() - begun < AT_ONCE


def test_our_udp_client_meets_a_closed_port_of_the_kernel(host: pystack.Host) -> None:
    with host.socket(type=socket.SOCK_DGRAM) as ours:
        ours.settimeout(PATIENCE)
        ours.connect((KERNEL, free_port(socket.SOCK_DGRAM)))
        ours.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            ours.recv(100)


def test_the_kernels_udp_client_meets_a_closed_port_of_ours(host: pystack.Host) -> None:
    with kernel_socket(socket.SOCK_DGRAM) as theirs:
        theirs.connect((OURS, 9))
        theirs.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            theirs.recv(100)


def test_a_datagram_above_the_mtu_is_emsgsize(host: pystack.Host) -> None:
    with host.socket(type=socket.SOCK_DGRAM) as ours:
        with pytest.raises(OSError, match="Message too long") as caught:
            ours.sendto(bytes(1473), (KERNEL, 9))
        assert caught.value.errno == errno.EMSGSIZE
        assert ours.sendto(bytes(1472), (KERNEL, 9)) == 1472


def send_whole(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def test_many_clients_of_the_kernel_at_once(host: pystack.Host) -> None:
    """Each connection gets its own octets back, by half close on both sides."""

    def echo(connection: pystack.Socket) -> None:
        with connection:
            connection.settimeout(PATIENCE)
            while data := connection.recv(65536):
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

    def ask(content: bytes) -> bytes:
        with kernel_socket(socket.SOCK_STREAM) as theirs:
            theirs.connect((OURS, 7))
            sender = threading.Thread(target=send_whole, args=(theirs, content))
            sender.start()
            got = b"".join(iter(lambda: theirs.recv(65536), b""))
            sender.join()
            return got

    contents = [number.to_bytes(4, "big") * 50_000 for number in range(16)]
    with ThreadPoolExecutor(32) as pool, host.create_server(("", 7), backlog=32) as server:
        answers = [pool.submit(ask, content) for content in contents]
        served = [pool.submit(echo, server.accept()[0]) for _ in contents]
        assert [answer.result(PATIENCE) for answer in answers] == contents
        for future in served:
            future.result(PATIENCE)


def test_kernels_curl_fetches_100_mb_from_http_server(offload: bool, big_file: Path, tmp_path: Path) -> None:
    capture = tmp_path / "capture.pcapng"
    program = helpers.ROOT / "examples" / "http_server.py"
    options = (*link_options("tap", offload), "--pcap", capture, "--port", "8000", big_file.parent)
    with helpers.python(program, *options) as server:
        assert server.stderr is not None
        address = re.search(r"http://[\d.]+:\d+/", server.stderr.readline())
        assert address, "the server says where it listens"
        got = tmp_path / "got"
        curl("-o", got, f"{address[0]}{big_file.name}")
        assert helpers.sha256(got) == helpers.sha256(big_file)
        assert helpers.stop(server, signal.SIGINT) in (0, 130)
    assert wrong_frames(capture) == []
