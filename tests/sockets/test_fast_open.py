"""TCP Fast Open as programs ask for it: with sockets that wait, that wait so long, and that do not wait at all."""

import errno
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from pystack.link.base import Medium
from pystack.link.memory import MemoryLink
from pystack.sockets.host import Host
from pystack.sockets.socket import Socket
from pystack.stack.config import StackConfig
from pystack.transport.tcp.fastopen import FastOpenMode
from tests.sockets.still import PATIENCE, in_thread
from tests.stack.conftest import raises_errno

MSG_FASTOPEN: Final = getattr(socket, "MSG_FASTOPEN", 0x20000000)
MSG_DONTWAIT: Final = getattr(socket, "MSG_DONTWAIT", 0x40)
TCP_FASTOPEN: Final = getattr(socket, "TCP_FASTOPEN", 23)
TCP_FASTOPEN_CONNECT: Final = getattr(socket, "TCP_FASTOPEN_CONNECT", 30)
TCP_FASTOPEN_NO_COOKIE: Final = getattr(socket, "TCP_FASTOPEN_NO_COOKIE", 34)
REQUEST: Final = b"a request that may arrive twice"
CONFIG = StackConfig(fast_open=FastOpenMode.CLIENT | FastOpenMode.SERVER)


class Two:
    """A client and a server on one cable, and a listener with TCP_FASTOPEN."""

    def __init__(self) -> None:
        near, far = MemoryLink.pair(medium=Medium.IP)
        self.near = Host(near, address="192.0.2.1/24", config=CONFIG)
        self.far = Host(far, address="192.0.2.2/24", config=CONFIG)
        self.closing = ExitStack()
        for host in (self.near, self.far):
            self.closing.callback(host.close, 0)
        self.listener = self._kept(self.far.create_server(("192.0.2.2", 0)), PATIENCE)
        self.listener.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 4)
        self.address = self.listener.getsockname()

    def client(self, timeout: float | None = PATIENCE) -> Socket:
        return self._kept(self.near.socket(), timeout)

    def accept(self) -> Socket:
        return self._kept(self.listener.accept()[0], PATIENCE)

    def _kept(self, sock: Socket, timeout: float | None) -> Socket:
        sock.settimeout(timeout)
        return self.closing.enter_context(sock)

    def learn(self) -> None:
        """The client gets a cookie."""
        with self.client() as client:
            client.sendto(b"x", MSG_FASTOPEN, self.address)
            with self.accept() as accepted:
                assert accepted.recv(1) == b"x"
                assert not accepted.info().syn_data


@pytest.fixture
def two() -> Iterator[Two]:
    hosts = Two()
    with hosts.closing:
        yield hosts


def everything(sock: Socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


@pytest.mark.parametrize("timeout", [None, PATIENCE], ids=["for ever", "so long"])
@pytest.mark.parametrize("known", [False, True], ids=["no cookie", "cookie"])
def test_sendto_that_waits_is_connected_afterwards(two: Two, known: bool, timeout: float | None) -> None:
    if known:
        two.learn()
    client = two.client(timeout)
    assert client.sendto(REQUEST, MSG_FASTOPEN, two.address) == len(REQUEST)
    assert client.getpeername() == two.address
    assert client.info().syn_data is known
    client.shutdown(socket.SHUT_WR)
    accepted = two.accept()
    assert everything(accepted) == REQUEST
    assert accepted.info().syn_data is known


def test_sendto_that_does_not_wait_sends_with_a_cookie(two: Two) -> None:
    two.learn()
    client = two.client(0)
    assert client.sendto(REQUEST, MSG_FASTOPEN, two.address) == len(REQUEST)
    client.shutdown(socket.SHUT_WR)
    accepted = two.accept()
    assert everything(accepted) == REQUEST
    assert accepted.info().syn_data


@pytest.mark.parametrize("flags", [0, MSG_DONTWAIT], ids=["non-blocking", "MSG_DONTWAIT"])
def test_sendto_that_does_not_wait_takes_nothing_without_a_cookie(two: Two, flags: int) -> None:
    client = two.client(PATIENCE if flags else 0)
    with pytest.raises(BlockingIOError) as caught:
        client.sendto(REQUEST, MSG_FASTOPEN | flags, two.address)
    assert caught.value.errno == errno.EINPROGRESS
    accepted = two.accept()
    client.settimeout(PATIENCE)
    client.sendall(REQUEST)
    client.shutdown(socket.SHUT_WR)
    assert everything(accepted) == REQUEST
    assert not accepted.info().syn_data


def test_what_the_buffer_does_not_take_is_sent_afterwards(two: Two) -> None:
    two.learn()
    request = random.Random(7413).randbytes(3_000_000)
    client = two.client()
    taken = client.sendto(request, MSG_FASTOPEN, two.address)
    assert 0 < taken < len(request)
    received = in_thread(lambda: everything(two.accept()))
    client.sendall(request[taken:])
    client.shutdown(socket.SHUT_WR)
    assert received.result(PATIENCE) == request
    assert client.info().syn_data


def test_connect_waits_for_data_where_a_cookie_is_known(two: Two) -> None:
    two.learn()
    client = two.client()
    client.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
    client.connect(two.address)
    sent = client.info().segments_out
    client.sendall(REQUEST)
    accepted = two.accept()
    assert accepted.recv(1000) == REQUEST
    assert (sent, accepted.info().syn_data) == (0, True)
    accepted.sendall(b"answer")
    assert client.recv(1000) == b"answer"


@pytest.mark.parametrize("timeout", [PATIENCE, 0], ids=["so long", "non-blocking"])
def test_connect_goes_at_once_where_none_is_known(two: Two, timeout: float) -> None:
    client = two.client(timeout)
    client.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
    if timeout:
        client.connect(two.address)
    else:
        assert client.connect_ex(two.address) in (0, errno.EINPROGRESS)  # the other host may be quick
    accepted = two.accept()
    client.settimeout(PATIENCE)
    client.sendall(REQUEST)
    assert accepted.recv(1000) == REQUEST
    assert not accepted.info().syn_data


def test_a_reader_waits_while_connect_waits_for_data(two: Two) -> None:
    two.learn()
    client = two.client()
    client.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
    client.connect(two.address)
    answer = in_thread(client.recv, 1000)
    client.sendall(REQUEST)
    accepted = two.accept()
    accepted.sendall(b"answer")
    assert answer.result(PATIENCE) == b"answer"
    other = two.client(0.01)
    other.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
    other.connect(two.address)
    with pytest.raises(TimeoutError):
        other.recv(1000)


def test_a_listener_is_fast_for_as_long_as_it_says(two: Two) -> None:
    assert two.listener.getsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN) == 4
    two.learn()
    for pending, fast in ((4, True), (0, False)):
        two.listener.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, pending)
        client = two.client()
        client.sendto(REQUEST, MSG_FASTOPEN, two.address)
        accepted = two.accept()
        assert accepted.recv(1000) == REQUEST
        assert accepted.info().syn_data is fast


@pytest.mark.parametrize("known", [False, True], ids=["no cookie", "cookie"])
def test_a_closed_port_refuses(two: Two, known: bool) -> None:
    if known:
        two.learn()
    two.listener.close()
    client = two.client()
    with pytest.raises(ConnectionRefusedError):
        client.sendto(REQUEST, MSG_FASTOPEN, two.address)
    with raises_errno("EPIPE"):
        client.send(REQUEST)


def test_sendto_is_late_when_nobody_answers() -> None:
    near, _ = MemoryLink.pair(medium=Medium.IP)
    with Host(near, address="192.0.2.1/24", config=CONFIG) as host:
        for option in ((), (TCP_FASTOPEN_NO_COOKIE,)):
            client = host.socket()
            client.settimeout(0.01)
            for name in option:
                client.setsockopt(socket.IPPROTO_TCP, name, 1)
            with pytest.raises(TimeoutError):
                client.sendto(REQUEST, MSG_FASTOPEN, ("192.0.2.2", 80))
            client.close()
        host.close(0)


def test_a_close_elsewhere_wakes_sendto() -> None:
    near, _ = MemoryLink.pair(medium=Medium.IP)
    with Host(near, address="192.0.2.1/24", config=CONFIG) as host:
        client = host.socket()
        waiting = in_thread(client.sendto, REQUEST, MSG_FASTOPEN, ("192.0.2.2", 80))
        client.close()
        with raises_errno("EBADF"):
            waiting.result(PATIENCE)
        host.close(0)


def test_a_socket_opens_once(two: Two) -> None:
    client = two.client()
    client.sendto(REQUEST, MSG_FASTOPEN, two.address)
    for sock in (client, two.listener):
        with raises_errno("EISCONN"):
            sock.sendto(REQUEST, MSG_FASTOPEN, two.address)
    assert two.accept().recv(1000) == REQUEST


def test_the_stack_must_allow_it() -> None:
    with Host(MemoryLink.pair(medium=Medium.IP)[0], address="192.0.2.1/24") as host:
        client = host.socket()
        for attempt in (
            lambda: client.sendto(REQUEST, MSG_FASTOPEN, ("192.0.2.2", 80)),
            lambda: client.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1),
        ):
            with raises_errno("EOPNOTSUPP", "ENOTSUP"):
                attempt()
