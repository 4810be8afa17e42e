"""Which congestion control a connection has, and a user's own."""

import socket
from collections.abc import Iterator
from random import Random
from typing import cast

import pytest
from typing_extensions import override

from pystack.stack.config import StackConfig
from pystack.stack.stream import StreamEndpoint
from pystack.transport.tcp import CONGESTION_CONTROLS, CongestionControl, TCPConfig, register
from pystack.transport.tcp.congestion import Cubic, HyStart, NewReno
from pystack.transport.tcp.congestion.base import INFINITE
from pystack.units import Ns
from tests.stack.conftest import Pair, raises_errno

# As `socket` has it on Linux; other platforms do not know the option.
CONGESTION = getattr(socket, "TCP_CONGESTION", 13)


class CarefulReno(NewReno):
    """What a user may write: NewReno that leaves slow start by HyStart++."""

    def __init__(self, smss: int, initial_window: int) -> None:
        super().__init__(smss, initial_window)
        self.hystart = HyStart(initial_window)

    @override
    def on_ack(self, acked: int, rtt: Ns | None, now: Ns) -> None:
        if self.ssthresh < INFINITE:
            super().on_ack(acked, rtt, now)
            return
        self.cwnd += self.hystart.grow(acked, self.cwnd, rtt)
        if self.hystart.finished:
            self.ssthresh = self.cwnd


@pytest.fixture
def careful() -> Iterator[str]:
    register("careful", CarefulReno)
    yield "careful"
    del CONGESTION_CONTROLS["careful"]


def control(endpoint: StreamEndpoint) -> CongestionControl:
    assert endpoint.flow is not None
    return endpoint.flow.connection.congestion


def chosen(endpoint: StreamEndpoint) -> bytes:
    value = endpoint.getsockopt(socket.IPPROTO_TCP, CONGESTION, 16)
    return cast(bytes, value).rstrip(b"\0")


def choose(endpoint: StreamEndpoint, name: bytes) -> None:
    endpoint.setsockopt(socket.IPPROTO_TCP, CONGESTION, name)


def stack_with(pair: Pair, congestion: str) -> None:
    """What `pair.a` connects with from now on."""
    pair.a.config = StackConfig(tcp=TCPConfig(congestion=congestion))


def test_a_socket_chooses_before_it_connects(pair: Pair) -> None:
    pair.listen()
    for name, kind in ((b"cubic", Cubic), (b"newreno", NewReno), (b"reno\0", NewReno)):
        client = pair.a.stream()
        choose(client, name)
        client.connect((pair.host_b, 80), pair.now)
        pair.sim.wait(client.submit(client.try_connected, None, pair.now))
        assert type(control(client)) is kind
        assert chosen(client) == name.rstrip(b"\0")
        assert client.info().congestion == name.rstrip(b"\0").decode()


def test_a_listener_chooses_for_the_connections_that_it_accepts(pair: Pair) -> None:
    server = pair.b.stream()
    choose(server, b"newreno")
    server.bind(("", 80), pair.now)
    server.listen(1, pair.now)
    pair.connect()
    conn = pair.accept(server)
    assert type(control(conn)) is NewReno
    assert chosen(conn) == b"newreno"


def test_a_connection_changes_and_keeps_its_window(pair: Pair) -> None:
    client, conn = pair.established()
    choose(client, b"newreno")
    data = Random(1).randbytes(60_000)
    pair.send_all(client, data[:30_000])
    before = control(client)
    choose(client, b"cubic")
    after = control(client)
    assert type(after) is Cubic
    assert (after.cwnd, after.ssthresh) == (before.cwnd, before.ssthresh)
    pair.send_all(client, data[30_000:])
    client.close(pair.now)
    assert pair.recv_all(conn) == data


@pytest.mark.parametrize(
    ("value", "name"), [(b"nonesuch", "ENOENT"), (b"", "EINVAL"), (b"\0", "EINVAL"), (5, "EINVAL")]
)
def test_a_wrong_name_is_refused(pair: Pair, value: bytes | int, name: str) -> None:
    client = pair.a.stream()
    before = chosen(client)
    with raises_errno(name):
        client.setsockopt(socket.IPPROTO_TCP, CONGESTION, value)
    assert chosen(client) == before


def test_the_name_comes_as_octets(pair: Pair) -> None:
    client = pair.a.stream()
    choose(client, b"newreno")
    assert client.getsockopt(socket.IPPROTO_TCP, CONGESTION) == b"newreno".ljust(16, b"\0")
    assert client.getsockopt(socket.IPPROTO_TCP, CONGESTION, 3) == b"new"


def test_a_closed_socket_has_none(pair: Pair) -> None:
    client = pair.a.stream()
    client.close(pair.now)
    with raises_errno("EBADF"):
        choose(client, b"cubic")
    with raises_errno("EBADF"):
        client.getsockopt(socket.IPPROTO_TCP, CONGESTION, 16)


def test_a_stack_chooses_for_all(pair: Pair) -> None:
    stack_with(pair, "newreno")
    client, _ = pair.established()
    assert type(control(client)) is NewReno


def test_a_name_that_nobody_registered_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'nonesuch': there are .*cubic.*newreno"):
        TCPConfig(congestion="nonesuch")


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match="already registered"):
        register("cubic", NewReno)


def test_a_user_s_own_carries_data(pair: Pair, careful: str) -> None:
    stack_with(pair, careful)
    client, conn = pair.established()
    assert type(control(client)) is CarefulReno
    data = Random(2).randbytes(100_000)
    pair.send_all(client, data)
    client.close(pair.now)
    assert pair.recv_all(conn) == data


def test_a_user_s_own_is_a_socket_option_too(pair: Pair, careful: str) -> None:
    client, _ = pair.established()
    choose(client, careful.encode())
    assert type(control(client)) is CarefulReno
