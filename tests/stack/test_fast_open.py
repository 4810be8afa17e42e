"""Fast Open of one host: cookies given and taken, queues that fill, and what is remembered of servers."""

import socket
from errno import EINVAL

import pytest
from attrs import evolve

from pystack import wire
from pystack.stack.config import StackConfig
from pystack.stack.stream import StreamEndpoint
from pystack.transport.tcp.cookiecache import CookieCache
from pystack.transport.tcp.fastopen import FastOpenMode
from pystack.transport.tcp.fastopencookie import FastOpenCookies, Judgement
from pystack.transport.tcp.segment import Segment
from pystack.units import SECOND
from tests.stack.conftest import raises_errno
from tests.stack.lone import ACK, SYN, Lone

TCP = socket.IPPROTO_TCP
FASTOPEN = getattr(socket, "TCP_FASTOPEN", 23)
FASTOPEN_CONNECT = getattr(socket, "TCP_FASTOPEN_CONNECT", 30)
SERVER = StackConfig(fast_open=FastOpenMode.SERVER)
CLIENT = StackConfig(fast_open=FastOpenMode.CLIENT)
PAIR = bytes(8)


def server(config: StackConfig = SERVER, *, version: int = 4, pending: int = 4) -> tuple[Lone, StreamEndpoint]:
    lone = Lone(config, version=version)
    listener = lone.stack.stream()
    listener.setsockopt(TCP, FASTOPEN, pending)
    listener.bind(("", 80), lone.now)
    listener.listen(16, lone.now)
    return lone, listener


def syn(lone: Lone, cookie: bytes | None, data: bytes = b"", port: int = 5000) -> wire.TCPHeader:
    """The SYN-ACK that answers a SYN with this cookie."""
    options = (wire.MaximumSegmentSize(1000),) + (() if cookie is None else (wire.FastOpen(cookie),))
    lone.segment(SYN, data=data, window=65535, options=options, src_port=port)
    (answer,) = lone.sent()
    assert answer.tcp.flags == SYN | ACK
    return answer.tcp


def cookie_of(header: wire.TCPHeader) -> bytes | None:
    return next((each.cookie for each in header.options if isinstance(each, wire.FastOpen)), None)


@pytest.mark.parametrize("version", [4, 6])
def test_a_cookie_that_was_asked_for_opens_at_once(version: int) -> None:
    lone, listener = server(version=version)
    cookie = cookie_of(syn(lone, b"", port=4000))
    assert cookie
    answer = syn(lone, cookie, b"hello")
    assert answer.ack == 1000 + 1 + 5
    assert cookie_of(answer) is None
    child = listener.try_accept(lone.now)
    assert child is not None
    assert child.try_recv(100, lone.now) == b"hello"
    assert child.getpeername() == (lone.peer, 5000)
    assert child.info().syn_data


def test_the_key_before_is_good_and_replaced() -> None:
    lone, _ = server(evolve(SERVER, fast_open_key_period=100 * SECOND))
    first = cookie_of(syn(lone, b"", port=4000))
    assert first
    lone.run(100)
    lone.frames()
    answer = syn(lone, first, b"hello")
    second = cookie_of(answer)
    assert (answer.ack, second != first) == (1006, True)
    assert second
    lone.run(100)
    lone.frames()
    assert syn(lone, first, b"hello", port=5001).ack == 1001
    assert syn(lone, second, b"hello", port=5002).ack == 1006


def test_a_cookie_serves_only_the_client_that_it_was_made_for() -> None:
    cookies = FastOpenCookies(b"k" * 32, 100)
    cookie = cookies.make(b"\1" * 4, b"\2" * 4, 50)
    assert cookies.judge(cookie, b"\1" * 4, b"\2" * 4, 99) is Judgement.VALID
    assert cookies.judge(cookie, b"\1" * 4, b"\2" * 4, 199) is Judgement.AGEING
    assert cookies.judge(cookie, b"\1" * 4, b"\2" * 4, 200) is Judgement.INVALID
    assert cookies.judge(cookie, b"\3" * 4, b"\2" * 4, 50) is Judgement.INVALID
    assert cookies.judge(cookie[:4], b"\1" * 4, b"\2" * 4, 50) is Judgement.INVALID


def test_under_a_flood_there_is_no_fast_open() -> None:
    """SYN cookies remember nothing: the SYN-ACK acknowledges no data, and the handshake still works."""
    lone, listener = server(evolve(SERVER, half_open_limit=0))
    cookie = lone.stack.fast_open.cookies.make(socket.inet_aton(lone.peer), socket.inet_aton(lone.host), lone.now)
    answer = syn(lone, cookie, b"hello")
    assert answer.ack == 1001
    assert listener.try_accept(lone.now) is None
    lone.segment(ACK, 1001, answer.seq + 1 & 0xFFFF_FFFF, b"hello", window=1000)
    child = listener.try_accept(lone.now)
    assert child is not None
    assert child.try_recv(100, lone.now) == b"hello"


def test_short_memory_makes_handshakes_ordinary() -> None:
    lone, _ = server()
    cookie = cookie_of(syn(lone, b"", port=4000))
    lone.stack.memory.used += lone.stack.memory.limit * 7 // 8
    assert syn(lone, cookie, b"hello").ack == 1001
    assert lone.stack.counters["tcp.fast_open_queue_full"] == 1


def test_options_say_what_they_are_and_when() -> None:
    lone, listener = server(pending=1 << 30)
    assert listener.getsockopt(TCP, FASTOPEN) == lone.stack.config.max_backlog
    with raises_errno("EINVAL"):
        listener.setsockopt(TCP, FASTOPEN, -1)
    with raises_errno("EOPNOTSUPP", "ENOTSUP"):
        lone.stack.stream().setsockopt(TCP, FASTOPEN_CONNECT, 1)
    client = Lone(CLIENT).stack.stream()
    client.setsockopt(TCP, FASTOPEN_CONNECT, 1)
    assert client.getsockopt(TCP, FASTOPEN_CONNECT) == 1
    with pytest.raises(OSError, match="0 to 1") as caught:
        client.setsockopt(TCP, FASTOPEN_CONNECT, 2)
    assert caught.value.errno == EINVAL


def deferred() -> tuple[Lone, StreamEndpoint]:
    """A client that has met the server, and a connect that waits for data."""
    lone = Lone(CLIENT)
    pair = socket.inet_aton(lone.host) + socket.inet_aton(lone.peer)
    lone.stack.fast_open.cache.learn(pair, b"cookie12", 1460, lone.now)
    client = lone.stack.stream()
    client.setsockopt(TCP, FASTOPEN_CONNECT, 1)
    client.connect((lone.peer, 80), lone.now)
    return lone, client


def test_a_deferred_connect_can_be_closed_without_a_trace() -> None:
    lone, client = deferred()
    assert client.try_connected(lone.now)
    assert client.writable
    assert not client.readable
    with raises_errno("EISCONN"):
        client.connect((lone.peer, 80), lone.now)
    client.close(lone.now)
    lone.run(1)
    assert not lone.sent()
    assert not lone.stack.tcp.flows


def test_a_syn_whose_data_the_path_does_not_take_goes_again_alone() -> None:
    """The path may be narrower than the MSS that the server announced when it was met (RFC 7413 section 4.1.3)."""
    lone, client = deferred()
    data = bytes(range(250)) * 5
    assert client.try_send(data, lone.now) == len(data)
    lone.sim.step(lone.now)
    (first,) = lone.sent()
    assert (first.tcp.flags, first.payload) == (SYN, data)
    ports = first.tcp.src_port, 80
    lone.icmp(
        wire.ICMPv4Type.UNREACHABLE, wire.UnreachableCode.FRAGMENTATION_NEEDED, first.tcp.seq, rest=1000, ports=ports
    )
    (again,) = lone.sent()
    assert (again.tcp.flags, again.tcp.seq, again.payload) == (SYN, first.tcp.seq, b"")
    lone.segment(SYN | ACK, 5, first.tcp.seq + 1 & 0xFFFF_FFFF, src_port=80, dst_port=ports[0], window=65535)
    segments = lone.sent()
    assert b"".join(segment.payload for segment in segments) == data
    assert all(20 + 20 + len(segment.payload) <= 1000 for segment in segments)


def test_the_cache_is_bounded_and_ages() -> None:
    cache = CookieCache(limit=2, lifetime=100, pause=10)
    for n in range(3):
        cache.learn(bytes((n,)) * 8, b"cookie", 1000, n)
    assert len(cache) == 2
    assert cache.find(bytes(8), 3) is None
    assert cache.find(b"\2" * 8, 101) is not None
    assert cache.find(b"\2" * 8, 102) is None


def test_pauses_double_and_end_with_success() -> None:
    cache = CookieCache(limit=2, lifetime=100, pause=10)
    cache.fail(PAIR, 80, 0)
    assert cache.is_paused(PAIR, 80, 9)
    assert not cache.is_paused(PAIR, 81, 9)
    assert not cache.is_paused(PAIR, 80, 10)
    cache.fail(PAIR, 80, 10)
    assert cache.is_paused(PAIR, 80, 29)
    cache.succeed(PAIR, 80)
    cache.fail(PAIR, 80, 30)
    assert not cache.is_paused(PAIR, 80, 40)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 15, 16, 17, 18])
def test_only_cookies_of_legal_length_are_seen(length: int) -> None:
    cookie = bytes(range(length))
    for flags in (SYN, ACK):
        octets = wire.TCPHeader(1, 2, 0, 0, flags, 0, 0, 0, (wire.FastOpen(cookie),)).to_bytes()
        seen = Segment.from_bytes((octets,)).fast_open
        legal = flags == SYN and length in (0, 4, 16)
        assert seen == (cookie if legal else None)


def test_a_syn_in_the_window_does_not_end_what_was_accepted() -> None:
    """A blind guesser gets as far as that (RFC 5961 section 4): the user has the connection already."""
    lone, listener = server()
    cookie = cookie_of(syn(lone, b"", port=4000))
    syn(lone, cookie, b"hello")
    child = listener.try_accept(lone.now)
    assert child is not None
    assert child.try_recv(100, lone.now) == b"hello"
    lone.segment(SYN, 1100, window=1000)
    (challenge,) = lone.sent()
    assert (challenge.tcp.flags, challenge.tcp.ack) == (ACK, 1006)
    assert child.try_recv(100, lone.now) is None
    lone.segment(ACK, 1006, challenge.tcp.seq, b"goes on", window=1000)
    assert child.try_recv(100, lone.now) == b"goes on"
