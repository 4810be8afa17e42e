"""One contract, two kinds of sockets: each test runs on the kernel's, which are right by definition, and on ours."""

import errno
import http.client
import io
import os
import pickle
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from pystack.link.base import Medium
from pystack.link.memory import MemoryLink
from pystack.sockets.host import Host
from tests.sockets.still import PATIENCE, in_thread

STREAM, DGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM


class Net:
    """Two sides that reach each other, and sockets on them that end with the test."""

    def __init__(
        self,
        closing: ExitStack,
        client: Any,
        server: Any,
        client_address: str,
        server_address: str,
        family: socket.AddressFamily,
        server_ipv4: str,
    ) -> None:
        self._closing = closing
        self.family = family
        self._client = client
        self._server = server
        self.client_address = client_address
        self.server_address = server_address
        self.server_ipv4 = server_ipv4

    def _kept(self, sock: Any) -> Any:
        sock.settimeout(PATIENCE)
        return self._closing.enter_context(sock)

    def client(self, type: int = STREAM, family: int | None = None) -> Any:
        return self._kept(self._client.socket(family or self.family, type))

    def server(self, type: int = STREAM, family: int | None = None) -> Any:
        return self._kept(self._server.socket(family or self.family, type))

    def listener(self, host: str | None = None, port: int = 0, **options: Any) -> Any:
        address = self.server_address if host is None else host, port
        return self._kept(self._server.create_server(address, **{"family": self.family, "backlog": 8, **options}))

    def connect(self, port: int, host: str | None = None, **options: Any) -> Any:
        return self._kept(self._client.create_connection((host or self.server_address, port), PATIENCE, **options))

    def pair(self) -> tuple[Any, Any]:
        """A connection: the client's end and the server's."""
        with self.listener() as listener:
            near = self.connect(listener.getsockname()[1])
            far, _ = listener.accept()
            return near, self._kept(far)

    def receiver(self) -> tuple[Any, Any]:
        """A bound UDP socket of the server and its address."""
        sock = self.server(DGRAM)
        sock.bind((self.server_address, 0))
        return sock, sock.getsockname()

    def closed_port(self) -> Any:
        with self.server() as sock:
            sock.bind((self.server_address, 0))
            return sock.getsockname()


NOTSENT_LOWAT = (socket.IPPROTO_TCP, getattr(socket, "TCP_NOTSENT_LOWAT", 25))
LINUX_ALONE = pytest.mark.skipif(sys.platform != "linux", reason="the option is Linux's")
FAMILIES = [socket.AF_INET, socket.AF_INET6]


@pytest.fixture(params=FAMILIES, ids=lambda family: family.name)
def family(request: pytest.FixtureRequest) -> socket.AddressFamily:
    return socket.AddressFamily(request.param)


@pytest.fixture(params=["kernel", "pystack"])
def net(request: pytest.FixtureRequest, family: socket.AddressFamily) -> Iterator[Net]:
    with ExitStack() as closing:
        if request.param == "kernel":
            loopback = "127.0.0.1" if family == socket.AF_INET else "::1"
            skip_without(family, loopback)
            yield Net(closing, socket, socket, loopback, loopback, family, "127.0.0.1")
        elif family == socket.AF_INET:
            left, right = MemoryLink.pair()
            client = closing.enter_context(Host(left, address="192.0.2.1/24"))
            server = closing.enter_context(Host(right, address="192.0.2.2/24"))
            yield Net(closing, client, server, "192.0.2.1", "192.0.2.2", family, "192.0.2.2")
        else:
            left, right = MemoryLink.pair(medium=Medium.IP)
            client = closing.enter_context(Host(left, address=("2001:db8::1/64", "192.0.2.1/24")))
            server = closing.enter_context(Host(right, address=("2001:db8::2/64", "192.0.2.2/24")))
            yield Net(closing, client, server, "2001:db8::1", "2001:db8::2", family, "192.0.2.2")


def skip_without(family: socket.AddressFamily, loopback: str) -> None:
    with socket.socket(family) as probe:
        try:
            probe.bind((loopback, 0))
        except OSError:
            pytest.skip(f"this machine has no {loopback}")


def received(sock: Any, size: int) -> bytes:
    """Exactly `size` octets, or fewer at the end of the stream."""
    data = bytearray()
    while len(data) < size and (chunk := sock.recv(size - len(data))):
        data += chunk
    return bytes(data)


def errno_of(call: Callable[..., object], *args: object) -> int | None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 (the errno is the test)
        call(*args)
    return caught.value.errno


# --- connections


def test_both_ends_know_both_names(net: Net) -> None:
    near, far = net.pair()
    assert near.getsockname() == far.getpeername()
    assert near.getpeername() == far.getsockname()
    assert near.getpeername()[0] == net.server_address
    assert near.getsockname()[0] == net.client_address


def test_accept_gives_a_blocking_socket_and_its_peers_name(net: Net) -> None:
    listener = net.listener()
    near = net.connect(listener.getsockname()[1])
    far, peer = listener.accept()
    with far:
        assert peer == near.getsockname()
        assert far.gettimeout() is None


def test_what_is_sent_arrives(net: Net) -> None:
    near, far = net.pair()
    assert near.send(b"to and ") > 0
    near.sendall(b"fro")
    assert received(far, 10) == b"to and fro"
    far.sendall(memoryview(b"again"))
    assert received(near, 5) == b"again"


def test_megabytes_both_ways_at_once(net: Net) -> None:
    near, far = net.pair()
    there, back = os.urandom(2_000_000), os.urandom(2_000_000)
    sending = [in_thread(near.sendall, there), in_thread(far.sendall, bytearray(back))]
    reading = in_thread(received, far, len(there))
    assert received(near, len(back)) == back
    assert reading.result(PATIENCE) == there
    for each in sending:
        each.result(PATIENCE)


def test_sendall_takes_any_shape_of_octets(net: Net) -> None:
    near, far = net.pair()
    numbers = memoryview(struct.pack("4I", 1, 2, 3, 4)).cast("I")
    near.sendall(numbers)
    assert received(far, 16) == numbers.tobytes()
    for nothing in (b"", bytearray(), memoryview(b"")):
        near.sendall(nothing)
        assert near.send(nothing) == 0
    with pytest.raises(TypeError):
        near.sendall("text")


def test_recv_into_fills_no_more_than_asked(net: Net) -> None:
    near, far = net.pair()
    near.sendall(b"abcdef")
    buffer = bytearray(b"......")
    assert far.recv_into(buffer, 2) == 2
    assert far.recv_into(memoryview(buffer)[3:]) == 3
    assert buffer == b"ab.cde"
    assert far.recvfrom_into(buffer) == (1, None)
    assert far.recv_into(bytearray()) == 0
    assert far.recv(0) == b""
    numbers = memoryview(bytearray(16)).cast("I")
    near.sendall(bytes(range(16)))
    assert far.recv_into(numbers, 0, socket.MSG_WAITALL) == 16
    assert numbers.tobytes() == bytes(range(16))


def test_sizes_that_make_no_sense_are_value_errors(net: Net) -> None:
    near, _ = net.pair()
    calls: tuple[Callable[[], object], ...] = (
        lambda: near.recv(-1),
        lambda: near.recvfrom(-1),
        lambda: near.recv_into(bytearray(1), -1),
        lambda: near.recv_into(bytearray(1), 2),
    )
    for call in calls:
        with pytest.raises(ValueError, match="buffer"):
            call()


def test_recvfrom_on_a_stream_names_nobody(net: Net) -> None:
    near, far = net.pair()
    near.sendall(b"abc")
    data, sender = far.recvfrom(3)
    assert sender is None
    assert b"abc".startswith(data)


def test_peek_leaves_what_it_shows(net: Net) -> None:
    near, far = net.pair()
    near.sendall(b"abc")
    assert far.recv(1, socket.MSG_PEEK) == b"a"
    buffer = bytearray(1)
    assert far.recv_into(buffer, 1, socket.MSG_PEEK) == 1
    assert received(far, 3) == b"abc"


def test_waitall_waits_for_all_or_the_end(net: Net) -> None:
    near, far = net.pair()
    far.settimeout(None)  # with a timeout the kernel does not wait for all
    whole = in_thread(far.recv, 6, socket.MSG_WAITALL)
    near.sendall(b"abc")
    near.sendall(b"def")
    assert whole.result(PATIENCE) == b"abcdef"
    near.sendall(b"gh")
    near.shutdown(socket.SHUT_WR)
    assert far.recv(6, socket.MSG_WAITALL) == b"gh"
    assert far.recv(6, socket.MSG_WAITALL) == b""


def test_a_half_closed_connection_still_carries_the_other_way(net: Net) -> None:
    near, far = net.pair()
    near.sendall(b"last words")
    near.shutdown(socket.SHUT_WR)
    assert received(far, 100) == b"last words"
    far.sendall(b"heard")
    assert received(near, 5) == b"heard"
    with pytest.raises(BrokenPipeError):
        near.send(b"more")
    far.close()
    assert near.recv(1) == b""


def test_shut_for_reading_ends_the_stream(net: Net) -> None:
    near, _ = net.pair()
    near.shutdown(socket.SHUT_RD)
    assert near.recv(1) == b""
    assert errno_of(near.shutdown, 99) == errno.EINVAL


def test_shutdown_wakes_a_blocked_recv(net: Net) -> None:
    near, _ = net.pair()
    reading = in_thread(near.recv, 1)
    near.shutdown(socket.SHUT_RD)
    assert reading.result(PATIENCE) == b""


def test_a_reset_is_an_error_not_an_end(net: Net) -> None:
    near, far = net.pair()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    with pytest.raises(ConnectionResetError) as caught:
        near.recv(1)
    assert caught.value.errno == errno.ECONNRESET
    with pytest.raises(BrokenPipeError):
        near.sendall(b"x")


def test_nobody_listening_is_connection_refused(net: Net) -> None:
    address = net.closed_port()
    with pytest.raises(ConnectionRefusedError) as caught:
        net.connect(address[1])
    assert caught.value.errno == errno.ECONNREFUSED
    assert net.client().connect_ex(address) == errno.ECONNREFUSED


def test_connect_ex_is_zero_when_it_goes_well(net: Net) -> None:
    listener = net.listener()
    sock = net.client()
    sock.settimeout(None)
    assert sock.connect_ex(listener.getsockname()) == 0
    assert sock.connect_ex(listener.getsockname()) == errno.EISCONN


def test_create_connection_from_a_chosen_port(net: Net) -> None:
    listener = net.listener()
    with net.connect(listener.getsockname()[1], source_address=(net.client_address, 0)) as sock:
        assert sock.gettimeout() == PATIENCE
        assert sock.getsockname()[0] == net.client_address


# --- waiting


def test_a_timeout_says_timed_out(net: Net) -> None:
    near, _ = net.pair()
    near.settimeout(0.01)
    with pytest.raises(TimeoutError, match=r"^timed out$"):
        near.recv(1)
    listener = net.listener()
    listener.settimeout(0.01)
    with pytest.raises(TimeoutError, match=r"^timed out$"):
        listener.accept()


def test_sendall_times_out_when_nobody_reads(net: Net) -> None:
    near, _ = net.pair()
    near.settimeout(0.2)
    with pytest.raises(TimeoutError):
        near.sendall(bytes(64_000_000))


def test_without_blocking_nothing_waits(net: Net) -> None:
    near, _ = net.pair()
    near.setblocking(False)
    assert not near.getblocking()
    calls: tuple[Callable[[], object], ...] = (
        lambda: near.recv(1),
        lambda: near.recv_into(bytearray(1)),
        lambda: near.recvfrom(1),
    )
    for call in calls:
        with pytest.raises(BlockingIOError) as caught:
            call()
        assert caught.value.errno == errno.EAGAIN
    listener = net.listener()
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()
    with pytest.raises(BlockingIOError):  # noqa: PT012
        while True:
            near.send(bytes(1_000_000))


@pytest.mark.skipif(not hasattr(socket, "MSG_DONTWAIT"), reason="needs MSG_DONTWAIT")
def test_dontwait_is_for_one_call(net: Net) -> None:
    near, far = net.pair()
    near.settimeout(None)
    with pytest.raises(BlockingIOError):
        near.recv(1, socket.MSG_DONTWAIT)
    far.sendall(b"x")
    assert near.recv(1) == b"x"


def test_connecting_without_blocking_is_in_progress(net: Net) -> None:
    listener = net.listener()
    sock = net.client()
    sock.setblocking(False)
    assert sock.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)
    far, _ = listener.accept()
    far.close()
    sock.settimeout(PATIENCE)
    assert sock.recv(1) == b""


def test_timeouts_are_seconds_none_or_nothing(net: Net) -> None:
    sock = net.client()
    sock.settimeout(2)
    assert sock.gettimeout() == sock.timeout == 2.0
    sock.setblocking(False)
    assert sock.gettimeout() == 0.0
    sock.setblocking(True)
    assert sock.gettimeout() is None
    with pytest.raises(ValueError, match="out of range"):
        sock.settimeout(-1)
    with pytest.raises(ValueError, match="NaN"):
        sock.settimeout(float("nan"))
    with pytest.raises(OverflowError):
        sock.settimeout(float("inf"))
    with pytest.raises((TypeError, ValueError)):
        sock.settimeout("soon")


# --- what does not work


def test_an_unconnected_stream_is_not_connected(net: Net) -> None:
    sock = net.client()
    assert errno_of(sock.getpeername) == errno.ENOTCONN
    assert errno_of(sock.recv, 1) == errno.ENOTCONN
    assert errno_of(sock.shutdown, socket.SHUT_WR) == errno.ENOTCONN
    assert errno_of(sock.accept) == errno.EINVAL


def test_a_connected_stream_neither_listens_nor_binds(net: Net) -> None:
    near, _ = net.pair()
    assert errno_of(near.listen, 1) == errno.EINVAL
    assert errno_of(near.bind, (net.client_address, 0)) == errno.EINVAL


def test_a_port_has_one_listener(net: Net) -> None:
    listener = net.listener()
    assert errno_of(net.server().bind, listener.getsockname()) == errno.EADDRINUSE


def test_bind_takes_an_address_of_the_host(net: Net) -> None:
    foreign = "198.51.100.1" if net.family == socket.AF_INET else "2001:db8:1::1"
    assert errno_of(net.server().bind, (foreign, 0)) == errno.EADDRNOTAVAIL


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_out_of_range_is_an_overflow(net: Net, port: int) -> None:
    for call in (net.client().connect, net.client().bind, net.client().connect_ex):
        with pytest.raises(OverflowError, match="0-65535"):
            call((net.client_address, port))
    with pytest.raises(OverflowError, match="0-65535"):
        net.client(DGRAM).sendto(b"", (net.client_address, port))


@pytest.mark.parametrize("address", ["192.0.2.1", ("192.0.2.1",), ("192.0.2.1", "80"), None, ["192.0.2.1", 80]])
def test_an_address_is_a_host_and_a_port(net: Net, address: object) -> None:
    with pytest.raises(TypeError):
        net.client().connect(address)


def test_an_unknown_name_is_a_gaierror(net: Net) -> None:
    with pytest.raises(socket.gaierror):
        net.client().connect(("no-such-host.invalid", 80))
    with pytest.raises(socket.gaierror):
        net.client().connect_ex(("no-such-host.invalid", 80))


def test_a_closed_socket_is_a_bad_descriptor(net: Net) -> None:
    near, _ = net.pair()
    near.close()
    near.close()
    for call in (
        lambda: near.recv(1),
        lambda: near.sendall(b"x"),
        lambda: near.send(b"x"),
        near.accept,
        near.getsockname,
        near.getpeername,
        lambda: near.shutdown(socket.SHUT_WR),
        lambda: near.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1),
        lambda: near.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE),
        lambda: near.connect((net.server_address, 1)),
        lambda: near.bind((net.client_address, 0)),
        lambda: near.listen(1),
    ):
        assert errno_of(call) == errno.EBADF
    with near:
        pass


def test_a_closed_listener_refuses(net: Net) -> None:
    listener = net.listener()
    address = listener.getsockname()
    listener.close()
    assert net.client().connect_ex(address) == errno.ECONNREFUSED


# --- options, names


@LINUX_ALONE
def test_little_that_waits_to_be_sent_holds_nothing_up(net: Net) -> None:
    near, far = net.pair()
    near.setsockopt(*NOTSENT_LOWAT, 1000)
    assert near.getsockopt(*NOTSENT_LOWAT) == 1000
    content = os.urandom(1 << 20)
    sending = in_thread(near.sendall, content)
    assert received(far, len(content)) == content
    sending.result(PATIENCE)


@LINUX_ALONE
def test_the_mark_of_what_waits_to_be_sent_takes_any_number(net: Net) -> None:
    sock = net.client()
    assert sock.getsockopt(*NOTSENT_LOWAT) == 0
    for value in (1, 2**31 - 1, -1, -7, 0):
        sock.setsockopt(*NOTSENT_LOWAT, value)
        assert sock.getsockopt(*NOTSENT_LOWAT) == value
    assert errno_of(net.client(DGRAM).setsockopt, *NOTSENT_LOWAT, 1) == errno.ENOPROTOOPT


def test_options_are_read_as_they_were_set(net: Net) -> None:
    sock = net.client()
    for level, name in (
        (socket.IPPROTO_TCP, socket.TCP_NODELAY),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        (socket.SOL_SOCKET, socket.SO_REUSEADDR),
    ):
        assert sock.getsockopt(level, name) == 0
        sock.setsockopt(level, name, 1)
        assert sock.getsockopt(level, name) == 1
        assert struct.unpack("i", sock.getsockopt(level, name, 4)) == (1,)
        sock.setsockopt(level, name, struct.pack("i", 0))
        assert sock.getsockopt(level, name) == 0
    linger = struct.pack("ii", 1, 7)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == linger
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == STREAM
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    assert errno_of(sock.setsockopt, socket.SOL_SOCKET, 9999, 1) == errno.ENOPROTOOPT
    assert errno_of(sock.getsockopt, socket.SOL_SOCKET, 9999) == errno.ENOPROTOOPT


@pytest.mark.parametrize(
    ("level", "name", "value"),
    [
        (socket.SOL_SOCKET, socket.SO_LINGER, 1),
        (socket.SOL_SOCKET, socket.SO_LINGER, bytes(7)),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, b"\1"),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, b""),
    ],
)
def test_an_option_has_its_octets(net: Net, level: int, name: int, value: int | bytes) -> None:
    sock = net.client()
    before = sock.getsockopt(level, name, 8)
    assert errno_of(sock.setsockopt, level, name, value) == errno.EINVAL
    assert sock.getsockopt(level, name, 8) == before


@pytest.mark.skipif(sys.platform != "linux", reason="these are Linux's ways back")
@pytest.mark.parametrize(
    ("level", "name", "chosen", "unset"),
    [(socket.IPPROTO_IP, socket.IP_TTL, 9, -1), (socket.IPPROTO_TCP, socket.TCP_MAXSEG, 700, 0)],
)
def test_options_go_back_to_the_default(net: Net, level: int, name: int, chosen: int, unset: int) -> None:
    sock = net.client(family=socket.AF_INET)
    default = sock.getsockopt(level, name)
    sock.setsockopt(level, name, chosen)
    assert sock.getsockopt(level, name) == chosen
    sock.setsockopt(level, name, unset)
    assert sock.getsockopt(level, name) == default


def test_so_error_tells_of_a_failed_connect_once(net: Net) -> None:
    sock = net.client()
    sock.setblocking(False)
    code = sock.connect_ex(net.closed_port())
    if code == errno.EINPROGRESS:
        sock.settimeout(PATIENCE)
        assert errno_of(sock.recv, 1) == errno.ECONNREFUSED
    else:
        assert code == errno.ECONNREFUSED
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_what_a_socket_is(net: Net) -> None:
    stream, datagram = net.client(), net.client(DGRAM)
    assert (stream.family, stream.type, stream.proto) == (net.family, STREAM, 0)
    assert (datagram.family, datagram.type, datagram.proto) == (net.family, DGRAM, 0)
    assert isinstance(stream.family, socket.AddressFamily)
    assert isinstance(stream.type, socket.SocketKind)


def test_repr_names_both_ends_and_the_closed(net: Net) -> None:
    near, _ = net.pair()
    assert str(near.getsockname()) in repr(near)
    assert f"raddr={near.getpeername()}" in repr(near)
    near.close()
    assert "[closed]" in repr(near)


def test_a_socket_is_not_pickled(net: Net) -> None:
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(net.client())


# --- files


def test_lines_through_a_file(net: Net) -> None:
    near, far = net.pair()
    with near.makefile("rw", encoding="utf-8", newline="\n") as file:
        file.write("grüße\n")
        file.flush()
        assert received(far, 8) == "grüße\n".encode()
        far.sendall("ä\nö\n".encode())
        assert file.readline() == "ä\n"
        assert file.readline() == "ö\n"


def test_the_kinds_of_files(net: Net) -> None:
    near, far = net.pair()
    far.sendall(b"x" * 100)
    with near.makefile("rb") as buffered:
        assert isinstance(buffered, io.BufferedReader)
        assert buffered.read(100) == b"x" * 100
    with near.makefile("wb") as buffered:
        assert isinstance(buffered, io.BufferedWriter)
    with near.makefile("rwb", buffering=0) as raw:
        assert isinstance(raw, socket.SocketIO)
        assert raw.write(b"raw") == 3
        assert raw.mode == "rwb"
    assert received(far, 3) == b"raw"
    with pytest.raises(ValueError, match="binary"):
        near.makefile("r", buffering=0)
    with pytest.raises(ValueError, match="mode"):
        near.makefile("x")


def test_a_socket_stays_open_until_its_files_are_closed(net: Net) -> None:
    near, far = net.pair()
    first, second = near.makefile("rb"), near.makefile("rb")
    near.close()
    far.sendall(b"still")
    assert first.read(5) == b"still"
    first.close()
    far.sendall(b"here")
    assert second.read(4) == b"here"
    second.close()
    assert far.recv(1) == b""
    assert errno_of(near.getsockname) == errno.EBADF


def test_a_file_that_timed_out_reads_no_more(net: Net) -> None:
    near, _ = net.pair()
    near.settimeout(0.01)
    with near.makefile("rb") as file:
        with pytest.raises(TimeoutError):
            file.read(1)
        with pytest.raises(OSError, match="timed out object"):
            file.read(1)


def test_a_file_without_blocking_has_nothing_yet(net: Net) -> None:
    near, _ = net.pair()
    near.setblocking(False)
    with near.makefile("rb", buffering=0) as raw:
        assert raw.read(1) is None


def test_sendfile_sends_from_offset_to_count(net: Net, tmp_path: Path) -> None:
    near, far = net.pair()
    path = tmp_path / "file"
    path.write_bytes(content := os.urandom(200_000))
    with path.open("rb") as file:
        reading = in_thread(received, far, 100_000)
        assert near.sendfile(file, 50_000, 100_000) == 100_000
        assert file.tell() == 150_000
        assert reading.result(PATIENCE) == content[50_000:150_000]
        file.seek(0)
        reading = in_thread(received, far, 200_000)
        assert near.sendfile(file) == 200_000
        assert reading.result(PATIENCE) == content
        with pytest.raises(ValueError, match="positive"):
            near.sendfile(file, count=0)
        near.setblocking(False)
        with pytest.raises(ValueError, match="non-blocking"):
            near.sendfile(file)
    with path.open("r", encoding="latin-1") as file, pytest.raises(ValueError, match="binary"):
        near.sendfile(file)
    with pytest.raises(ValueError, match="SOCK_STREAM"), path.open("rb") as file:
        net.client(DGRAM).sendfile(file)


def test_http_client_works_unchanged(net: Net) -> None:
    listener = net.listener()

    def serve() -> None:
        far, _ = listener.accept()
        with far, far.makefile("rb") as requests:
            for _ in range(2):
                while requests.readline().strip():
                    pass
                far.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")

    serving = in_thread(serve)
    connection = http.client.HTTPConnection(net.server_address)
    connection.sock = net.connect(listener.getsockname()[1])
    for _ in range(2):
        connection.request("GET", "/")
        with connection.getresponse() as response:
            assert response.read() == b"hello"
    connection.close()
    serving.result(PATIENCE)


# --- datagrams


def test_datagrams_there_and_back(net: Net) -> None:
    receiver, address = net.receiver()
    sender = net.client(DGRAM)
    assert sender.sendto(b"question", address) == 8
    data, peer = receiver.recvfrom(100)
    assert data == b"question"
    assert receiver.sendto(b"answer", 0, peer) == 6
    buffer = bytearray(6)
    assert sender.recvfrom_into(buffer) == (6, address)
    assert buffer == b"answer"
    assert sender.sendto(b"", address) == 0
    assert receiver.recvfrom(100)[0] == b""


def test_a_datagram_is_cut_to_the_buffer(net: Net) -> None:
    receiver, address = net.receiver()
    sender = net.client(DGRAM)
    sender.sendto(b"abcdef", address)
    sender.sendto(b"ghi", address)
    assert receiver.recv(2, socket.MSG_PEEK) == b"ab"
    assert receiver.recv(3) == b"abc"
    buffer = bytearray(3)
    assert receiver.recv_into(buffer) == 3
    assert buffer == b"ghi"


def test_a_connected_datagram_socket_has_one_peer(net: Net) -> None:
    receiver, address = net.receiver()
    sender = net.client(DGRAM)
    assert errno_of(sender.send, b"x") == errno.EDESTADDRREQ
    assert errno_of(sender.getpeername) == errno.ENOTCONN
    sender.connect(address)
    assert sender.getpeername() == address
    sender.send(b"one")
    sender.sendall(b"two")
    first, peer = receiver.recvfrom(10)
    assert (first, peer) == (b"one", sender.getsockname())
    stranger = net.server(DGRAM)
    stranger.sendto(b"noise", peer)
    receiver.sendto(b"signal", peer)
    assert sender.recv(10) == b"signal"


def test_a_datagram_socket_is_shut_for_either_direction(net: Net) -> None:
    receiver, address = net.receiver()
    sender = net.client(DGRAM)
    assert errno_of(sender.shutdown, socket.SHUT_RD) == errno.ENOTCONN
    sender.connect(address)
    assert errno_of(sender.shutdown, 99) == errno.EINVAL
    sender.shutdown(socket.SHUT_RD)
    sender.settimeout(None)  # with a timeout the kernel's says EAGAIN
    assert sender.recv(10) == b""
    sender.send(b"still")
    assert receiver.recv(10) == b"still"
    sender.shutdown(socket.SHUT_WR)
    assert errno_of(sender.send, b"x") == errno.EPIPE


def test_a_datagram_socket_is_bound_once(net: Net) -> None:
    receiver, address = net.receiver()
    assert errno_of(receiver.bind, (net.server_address, 0)) == errno.EINVAL
    assert receiver.getsockname() == address


def test_shutdown_wakes_who_waits_for_a_datagram(net: Net) -> None:
    _, address = net.receiver()
    sock = net.client(DGRAM)
    sock.connect(address)
    sock.settimeout(None)
    reading = in_thread(sock.recv, 1)
    sock.shutdown(socket.SHUT_RD)
    assert reading.result(PATIENCE) == b""


def test_a_closed_port_refuses_datagrams(net: Net) -> None:
    receiver, address = net.receiver()
    receiver.close()
    sender = net.client(DGRAM)
    sender.connect(address)
    sender.send(b"anyone?")
    with pytest.raises(ConnectionRefusedError):
        sender.recv(1)


def test_datagrams_too_long_for_anything(net: Net) -> None:
    _, address = net.receiver()
    assert errno_of(net.client(DGRAM).sendto, bytes(70_000), address) == errno.EMSGSIZE


def test_datagrams_wait_as_streams_do(net: Net) -> None:
    receiver, _ = net.receiver()
    receiver.settimeout(0.01)
    with pytest.raises(TimeoutError, match=r"^timed out$"):
        receiver.recvfrom(1)
    receiver.setblocking(False)
    calls: tuple[Callable[[], object], ...] = (
        lambda: receiver.recv(1),
        lambda: receiver.recv_into(bytearray(1)),
        lambda: receiver.recvfrom_into(bytearray(1)),
    )
    for call in calls:
        with pytest.raises(BlockingIOError):
            call()


def test_streams_only(net: Net) -> None:
    sock = net.client(DGRAM)
    sock.settimeout(None)
    assert errno_of(sock.listen, 1) == errno.EOPNOTSUPP
    assert errno_of(sock.accept) == errno.EOPNOTSUPP


def test_a_stream_goes_where_it_is_connected(net: Net) -> None:
    near, far = net.pair()
    assert near.sendto(b"abc", far.getsockname()) == 3
    assert received(far, 3) == b"abc"


def test_sendto_needs_an_address(net: Net) -> None:
    with pytest.raises(TypeError):
        net.client(DGRAM).sendto(b"x")
    with pytest.raises(TypeError):
        net.client(DGRAM).sendto(b"x", 0, ("192.0.2.2", 1), 0)


# --- threads


def test_many_threads_read_one_socket(net: Net) -> None:
    near, far = net.pair()
    total = 400_000
    readers = [in_thread(drain, far) for _ in range(4)]
    near.sendall(bytes(total))
    near.shutdown(socket.SHUT_WR)
    assert sum(reader.result(PATIENCE) for reader in readers) == total


def drain(sock: Any) -> int:
    octets = 0
    while count := len(sock.recv(10_000)):
        octets += count
    return octets


def test_many_connections_in_many_threads(net: Net) -> None:
    listener = net.listener()

    def serve() -> None:
        far, _ = listener.accept()
        with far:
            far.settimeout(PATIENCE)
            while data := far.recv(65536):
                far.sendall(data)

    def talk(number: int) -> None:
        message = bytes([number]) * 50_000
        with net.connect(listener.getsockname()[1]) as near:
            sending = in_thread(near.sendall, message)
            assert received(near, len(message)) == message
            sending.result(PATIENCE)

    serving = [in_thread(serve) for _ in range(8)]
    talking = [in_thread(talk, number) for number in range(8)]
    for each in (*talking, *serving):
        each.result(PATIENCE)
    assert threading.active_count() < 100


# --- what only AF_INET6 has

six = pytest.mark.parametrize("family", [socket.AF_INET6], indirect=True, ids=["AF_INET6"])
V6ONLY = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


@six
@pytest.mark.parametrize("more", [(), (0,), (7, 0)])
def test_an_address_may_have_four_parts(net: Net, more: tuple[int, ...]) -> None:
    listener = net.listener()
    near = net.client()
    near.connect((net.server_address, listener.getsockname()[1], *more))
    assert near.getpeername() == listener.getsockname() == (net.server_address, near.getpeername()[1], 0, 0)
    far, peer = listener.accept()
    with far:
        assert far.family == socket.AF_INET6
        assert peer == far.getpeername() == near.getsockname()
        assert len(peer) == 4


@six
@pytest.mark.parametrize(
    ("address", "kind"),
    [
        (("::1",), TypeError),
        (("::1", 80, 0, 0, 0), TypeError),
        (("::1", 80, "0"), TypeError),
        (["::1", 80], TypeError),
        ("::1", TypeError),
        (("::1", 65536), OverflowError),
        (("::1", 80, -1), OverflowError),
        (("::1", 80, 1 << 20), OverflowError),
        (("127.0.0.1", 80), socket.gaierror),
        ((IPv4Address("127.0.0.1"), 80), (TypeError, socket.gaierror)),
    ],
)
def test_what_is_no_address_of_ipv6(net: Net, address: Any, kind: type[Exception]) -> None:
    for call in (net.client().connect, net.client().bind):
        with pytest.raises(kind):
            call(address)


@pytest.mark.parametrize("literal", ["127.0.0.1", "::1"])
def test_a_literal_of_the_other_family_is_a_gaierror(net: Net, literal: str) -> None:
    if (":" in literal) is (net.family == socket.AF_INET6):
        with net.client() as sock:
            sock.bind((literal, 0))
        return
    with pytest.raises(socket.gaierror) as caught:
        net.client().bind((literal, 0))
    assert caught.value.errno == getattr(socket, "EAI_ADDRFAMILY", socket.EAI_FAMILY)


@six
def test_ipv6_only_is_set_before_binding(net: Net) -> None:
    with net.server() as sock:
        for value in (1, 0, 1):
            sock.setsockopt(*V6ONLY, value)
            assert sock.getsockopt(*V6ONLY) == value
        sock.bind(("::", 0))
        assert errno_of(sock.setsockopt, *V6ONLY, 0) == errno.EINVAL
        assert sock.getsockopt(*V6ONLY) == 1
    assert errno_of(net.server(family=socket.AF_INET).setsockopt, *V6ONLY, 1) == errno.ENOPROTOOPT


@six
@pytest.mark.parametrize("host", ["", "::"])
def test_one_listener_for_both_versions(net: Net, host: str) -> None:
    listener = net.listener(host, dualstack_ipv6=True)
    name = listener.getsockname()
    assert name == ("::", name[1], 0, 0)
    assert listener.getsockopt(*V6ONLY) == 0
    near = net.connect(name[1], net.server_ipv4)
    far, peer = listener.accept()
    with far:
        assert near.family == socket.AF_INET
        assert peer == far.getpeername() == (f"::ffff:{near.getsockname()[0]}", near.getsockname()[1], 0, 0)
        assert far.getsockname() == (f"::ffff:{net.server_ipv4}", name[1], 0, 0)
        far.sendall(b"four")
        assert received(near, 4) == b"four"
    net.connect(name[1])
    far, peer = listener.accept()
    with far:
        assert peer[0] == net.client_address


@six
def test_a_listener_for_ipv6_alone_leaves_the_port_to_ipv4(net: Net) -> None:
    listener = net.listener("")
    port = listener.getsockname()[1]
    assert listener.getsockopt(*V6ONLY) == 1
    with pytest.raises(ConnectionRefusedError):
        net.connect(port, net.server_ipv4)
    other = net.listener("", port, family=socket.AF_INET)
    near = net.connect(port, net.server_ipv4)
    other.accept()[0].close()
    assert near.getpeername() == (net.server_ipv4, port)


@six
def test_ipv6_sockets_connect_to_mapped_addresses(net: Net) -> None:
    mapped = f"::ffff:{net.server_ipv4}"
    listener = net.listener(net.server_ipv4, family=socket.AF_INET)
    port = listener.getsockname()[1]
    near = net.connect(port, mapped)
    far, peer = listener.accept()
    with far:
        assert near.family == socket.AF_INET6
        assert near.getpeername() == (mapped, port, 0, 0)
        assert near.getsockname()[:2] == (f"::ffff:{peer[0]}", peer[1])
    sock = net.client()
    sock.setsockopt(*V6ONLY, 1)
    with pytest.raises(OSError):  # noqa: PT011 (ours is EAFNOSUPPORT: docs/deviations.md)
        sock.connect((mapped, port))


@six
def test_a_socket_of_both_versions_hears_datagrams_of_both(net: Net) -> None:
    sock = net.server(DGRAM)
    sock.bind(("", 0))
    port = sock.getsockname()[1]
    for family, host in ((socket.AF_INET, net.server_ipv4), (socket.AF_INET6, net.server_address)):
        sender = net.client(DGRAM, family)
        sender.sendto(b"question", (host, port))
        data, name = sock.recvfrom(100)
        assert (data, len(name)) == (b"question", 4)
        assert name[0].startswith("::ffff:") is (family == socket.AF_INET)
        sock.sendto(b"answer", name)
        answer, source = sender.recvfrom(100)
        assert (answer, source[:2]) == (b"answer", (host, port))


@pytest.mark.parametrize("unspecified", [False, True])
def test_any_address_is_a_host_itself(net: Net, unspecified: bool) -> None:
    host = "" if not unspecified else "::" if net.family == socket.AF_INET6 else "0.0.0.0"
    listener = net.listener("")
    near = net.server()
    near.connect((host, listener.getsockname()[1]))
    assert near.getpeername()[0] == ("::1" if net.family == socket.AF_INET6 else "127.0.0.1")


@pytest.mark.parametrize("family", [socket.AF_INET], indirect=True, ids=["AF_INET"])
def test_both_versions_are_for_ipv6_sockets(net: Net) -> None:
    with pytest.raises(ValueError, match="dualstack_ipv6 requires AF_INET6"):
        net.listener(dualstack_ipv6=True)
