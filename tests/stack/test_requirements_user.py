"""RFC 9293 Appendix B, rows about TCP and its user: OPEN, reports, timeouts, keep-alives, urgent data."""

import errno
import socket
import struct
from functools import partial

import pytest

from pystack import wire
from pystack.link.base import Frame, Medium
from pystack.stack.config import StackConfig
from pystack.stack.stream import StreamEndpoint
from pystack.transport.tcp.state import State
from pystack.units import SECOND
from tests.stack.conftest import Pair, make_pair, raises_errno
from tests.stack.lone import ACK, FIN, RST, SYN, URG, Lone

USER_TIMEOUT = (socket.IPPROTO_TCP, getattr(socket, "TCP_USER_TIMEOUT", 18))
KEEPALIVE = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)
KEEPIDLE, KEEPINTVL, KEEPCNT = (
    (socket.IPPROTO_TCP, getattr(socket, name, number))
    for name, number in (("TCP_KEEPIDLE", 4), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 6))
)


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def lone(request: pytest.FixtureRequest) -> Lone:
    return Lone(version=request.param)


# OPEN


def test_a_passive_open_that_fails_disturbs_nobody(lone: Lone) -> None:
    """MUST-41: the listener that was there, its half-open and its finished connections stay as they are."""
    server = lone.listen()
    lone.segment(SYN)
    lone.segment(SYN, src_port=5001)
    half_open, finished = lone.sent()
    lone.segment(ACK, 1001, finished.tcp.seq + 1, src_port=5001)
    for address in ("", lone.host):
        other = lone.stack.stream()
        with raises_errno("EADDRINUSE"):
            other.bind((address, 80), lone.now)
            other.listen(1, lone.now)
        other.close(lone.now)
    assert lone.sent() == []
    assert server.try_accept(lone.now) is not None
    lone.segment(ACK, 1001, half_open.tcp.seq + 1)
    assert server.try_accept(lone.now) is not None


def test_of_two_sockets_bound_to_one_port_the_first_to_listen_has_it(lone: Lone) -> None:
    """MUST-41: both may be bound, with SO_REUSEADDR; the second passive open fails, and takes nothing away."""
    first, second = lone.stack.stream(), lone.stack.stream()
    for each in (first, second):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.bind(("", 80), lone.now)
    first.listen(1, lone.now)
    with raises_errno("EADDRINUSE"):
        second.listen(1, lone.now)
    second.close(lone.now)
    lone.segment(SYN)
    (answer,) = lone.sent()
    lone.segment(ACK, 1001, answer.tcp.seq + 1)
    assert first.try_accept(lone.now) is not None


def test_a_passive_open_beside_others_of_the_same_port_disturbs_nobody(lone: Lone) -> None:
    """MUST-41: an established connection of that port goes on."""
    conn = lone.establish()
    server = lone.stack.stream()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("", 80), lone.now)
    server.listen(1, lone.now)
    lone.segment(ACK, 1001, lone.iss + 1, b"still there")
    assert conn.try_recv(99, lone.now) == b"still there"
    server.close(lone.now)
    assert conn.state is State.ESTABLISHED


@pytest.mark.parametrize("state", [State.SYN_SENT, State.SYN_RECEIVED], ids=str)
def test_listening_on_the_port_of_a_connection_that_is_being_opened(lone: Lone, state: State) -> None:
    """MUST-42."""
    client = lone.stack.stream()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.bind(("", 80), lone.now)
    client.connect((lone.peer, 5000), lone.now)
    (syn,) = lone.sent()
    if state is State.SYN_RECEIVED:
        lone.segment(SYN)
        lone.sent()
    assert client.state is state
    server = lone.stack.stream()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("", 80), lone.now)
    server.listen(1, lone.now)
    lone.segment(SYN, src_port=5001)
    (answer,) = lone.sent()
    lone.segment(ACK, 1001, answer.tcp.seq + 1, src_port=5001)
    assert server.try_accept(lone.now) is not None
    lone.segment(SYN | ACK, 1000, syn.tcp.seq + 1)
    assert client.try_connected(lone.now)


def test_two_hosts_that_connect_to_each_other_at_once() -> None:
    """MUST-10: one connection, and both users get it."""
    pair = make_pair(1, Medium.IP)
    ends = [pair.a.stream(), pair.b.stream()]
    for end, port in zip(ends, (5000, 80), strict=True):
        end.bind(("", port), 0)
    ends[0].connect((pair.host_b, 80), 0)
    ends[1].connect((pair.host_a, 5000), 0)
    for end in ends:
        assert pair.sim.wait(end.submit(end.try_connected, 5 * SECOND, pair.now))
    pair.send_all(ends[0], b"there")
    assert pair.recv(ends[1]) == b"there"
    assert len(pair.a.tcp.flows) == len(pair.b.tcp.flows) == 1


@pytest.mark.parametrize("flags", [RST, SYN | ACK])
def test_a_listener_outlives_what_comes_to_nothing_in_syn_received(lone: Lone, flags: wire.TCPFlags) -> None:
    """MUST-11: back to LISTEN, and nobody is told."""
    server = lone.listen()
    lone.segment(SYN)
    (answer,) = lone.sent()
    lone.segment(flags, 1001, answer.tcp.seq + 1)
    assert lone.stack.tcp.flows == []
    assert server.try_accept(lone.now) is None
    lone.segment(SYN, 9000)
    (answer,) = lone.sent()
    lone.segment(ACK, 9001, answer.tcp.seq + 1)
    assert server.try_accept(lone.now) is not None


# Acknowledgements


def test_segments_that_wait_together_are_all_processed_before_one_ack(lone: Lone) -> None:
    """MUST-58, MUST-59."""
    conn = lone.establish()
    for number in range(20):
        header = wire.TCPHeader(5000, 80, 1001 + 1000 * number, lone.iss + 1, ACK)
        lone.far.send([Frame((wire.build(lone.ip(), header, bytes(1000)),))], lone.now)
    lone.sim.step(lone.now)
    (ack,) = lone.sent()
    assert ack.tcp.ack == 21_001
    assert conn.info().unread == 20_000


# CLOSE


def test_the_user_knows_an_end_from_an_abort(pair: Pair) -> None:
    """MUST-12: of calls that wait, and of those that come later."""
    server = pair.listen()
    for abort in (False, True):
        client = pair.connect()
        conn = pair.accept(server)
        waiting = conn.submit(partial(conn.try_recv, 10), None, pair.now)
        if abort:
            client.abort(pair.now)
        else:
            client.close(pair.now)
        pair.run(0.1)
        assert waiting.done
        for attempt in (waiting.result, partial(conn.try_recv, 10, pair.now)):
            if abort:
                with pytest.raises(ConnectionResetError):
                    attempt()
            else:
                assert attempt() == b""
        conn.close(pair.now)


def test_what_reopens_time_wait_starts_beyond_the_old_numbers(lone: Lone) -> None:
    """MAY-2 (1): larger than the largest sequence number of the previous connection, however much that has sent."""
    server = lone.listen()
    lone.segment(SYN, options=(wire.MaximumSegmentSize(1460),))
    (answer,) = lone.sent()
    first = answer.tcp.seq
    lone.segment(ACK, 1001, first + 1 & 0xFFFF_FFFF)
    conn = server.try_accept(lone.now)
    assert conn is not None
    for _ in range(100):
        conn.try_send(bytes(10_000), lone.now)
        while segments := lone.sent():
            last = segments[-1].tcp.seq + len(segments[-1].payload)
            lone.segment(ACK, 1001, last & 0xFFFF_FFFF)
    conn.close(lone.now)
    sent = last - first & 0xFFFF_FFFF
    assert sent == 1_000_001
    lone.segment(FIN | ACK, 1001, last + 1 & 0xFFFF_FFFF)
    lone.sent()
    lone.segment(SYN, 5_000_000)
    (again,) = lone.sent()
    assert again.tcp.flags == SYN | ACK
    assert (again.tcp.seq - first & 0xFFFF_FFFF) > sent + 1


def test_timestamps_reopen_time_wait_at_once(lone: Lone) -> None:
    """MAY-2, SHLD-4: RFC 6191 lets a SYN in whose timestamp is later, though its number is not."""
    server = lone.listen()
    lone.segment(SYN, options=(wire.Timestamps(100, 0),))
    (answer,) = lone.sent()
    stamps = (wire.Timestamps(101, 0),)
    lone.segment(ACK, 1001, answer.tcp.seq + 1, options=stamps)
    conn = server.try_accept(lone.now)
    assert conn is not None
    conn.close(lone.now)
    lone.segment(FIN | ACK, 1001, answer.tcp.seq + 2, options=stamps)
    lone.sent()
    for stamp, reopens in ((99, False), (102, True)):
        lone.segment(SYN, 500, options=(wire.Timestamps(stamp, 0),))
        assert [each.tcp.flags for each in lone.sent()] == ([SYN | ACK] if reopens else [])


# Timeouts and reports


@pytest.mark.parametrize("seconds", [5, 7200])
def test_the_user_sets_when_data_is_given_up(lone: Lone, seconds: int) -> None:
    """MUST-21: R2 per connection, shorter or longer than the default."""
    conn = lone.establish()
    conn.setsockopt(*USER_TIMEOUT, seconds * 1000)
    assert conn.getsockopt(*USER_TIMEOUT) == seconds * 1000
    begin = lone.now
    conn.try_send(b"lost", lone.now)
    with raises_errno("ETIMEDOUT"):
        lone.sim.wait(conn.submit(partial(conn.try_recv, 1), None, lone.now), timeout=4 * 3600 * SECOND)
    assert seconds <= (lone.now - begin) / SECOND <= seconds + 125


def test_one_connection_s_timeout_is_not_anothers(lone: Lone) -> None:
    """MUST-20 (c): without a setting it is about a quarter of an hour (SHLD-11)."""
    conn = lone.establish()
    conn.try_send(b"lost", lone.now)
    begin = lone.now
    with raises_errno("ETIMEDOUT"):
        lone.sim.wait(conn.submit(partial(conn.try_recv, 1), None, lone.now))
    assert 900 <= (lone.now - begin) / SECOND <= 1000


def test_the_user_learns_of_excessive_retransmission(lone: Lone) -> None:
    """SHLD-9, MUST-47: between R1 and R2, a call that waits for it included; SHLD-20: nobody hears of it unasked."""
    conn = lone.establish()
    reading = conn.submit(partial(conn.try_recv, 1), None, lone.now)
    trouble = conn.submit(lambda now: conn.info().retransmits if conn.info().retransmits >= 3 else None, None, lone.now)
    conn.try_send(b"lost", lone.now)
    assert lone.sim.wait(trouble) == 3
    assert conn.state is State.ESTABLISHED
    assert not reading.done
    assert conn.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    lone.segment(ACK, 1001, lone.iss + 5, b"x")
    assert reading.result() == b"x"
    assert conn.info().retransmits == 0


def soft_error(conn: StreamEndpoint) -> int | None:
    value = getattr(conn.info(), "soft_error", None)
    assert value is None or isinstance(value, int)
    return value


def test_the_user_learns_of_a_soft_error_at_once(lone: Lone) -> None:
    """MUST-47, SHLD-25: `info` shows the last one, and a call that waits for it is answered when it arrives."""
    conn = lone.establish()
    waiting = conn.submit(lambda now: soft_error(conn), 5 * SECOND, lone.now)
    conn.try_send(b"data", lone.now)
    lone.icmp(3 if lone.version == 4 else 1, 0, lone.iss + 1)
    assert waiting.done
    assert waiting.result() == errno.ENETUNREACH
    lone.segment(ACK, 1001, lone.iss + 5)
    assert soft_error(conn) is None


def test_who_asks_for_no_reports_gets_none(lone: Lone) -> None:
    """SHLD-20: a soft error neither wakes nor fails a call; only who asks hears of it, once."""
    conn = lone.establish()
    reading = conn.submit(partial(conn.try_recv, 10), None, lone.now)
    conn.try_send(b"data", lone.now)
    lone.icmp(3 if lone.version == 4 else 1, 0, lone.iss + 1)
    assert not reading.done
    assert conn.writable
    assert not conn.readable
    assert conn.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ENETUNREACH
    assert conn.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


# Keep-alives


def test_keep_alives_are_off_until_the_user_wants_them(lone: Lone) -> None:
    """MUST-24, MUST-25: per connection, on and off again."""
    conn = lone.establish()
    assert conn.getsockopt(*KEEPALIVE) == 0
    lone.run(100_000)
    assert lone.sent() == []
    conn.setsockopt(*KEEPALIVE, 1)
    lone.run(1)
    (probe,) = lone.sent()
    assert (probe.tcp.seq, probe.payload) == (lone.iss, b"")
    lone.segment(ACK, 1001, lone.iss + 1)
    conn.setsockopt(*KEEPALIVE, 0)
    lone.run(100_000)
    assert lone.sent() == []


def test_the_interval_of_keep_alives_is_the_users(lone: Lone) -> None:
    """MUST-27, MUST-28: two hours unless it is set."""
    conn = lone.establish()
    assert conn.getsockopt(*KEEPIDLE) == 7200
    conn.setsockopt(*KEEPALIVE, 1)
    lone.run(7199)
    assert lone.sent() == []
    lone.run(2)
    assert len(lone.sent()) == 1
    lone.segment(ACK, 1001, lone.iss + 1)
    conn.setsockopt(*KEEPIDLE, struct.pack("i", 30))
    lone.run(29)
    assert lone.sent() == []
    lone.run(2)
    assert len(lone.sent()) == 1


@pytest.mark.parametrize("lost", range(1, 9))
def test_unanswered_keep_alives_are_no_death(lone: Lone, lost: int) -> None:
    """MUST-29: one answer to any of the nine is enough."""
    conn = lone.establish()
    for key, value in ((KEEPIDLE, 10), (KEEPINTVL, 5), (KEEPCNT, 9), (KEEPALIVE, 1)):
        conn.setsockopt(*key, value)
    lone.run(10 + 5 * lost - 1)
    assert len(lone.sent()) == lost
    lone.segment(ACK, 1001, lone.iss + 1)
    lone.run(9)
    assert conn.state is State.ESTABLISHED
    assert lone.sent() == []


# Urgent data


def test_the_user_sends_urgent_data(lone: Lone) -> None:
    """MUST-30, MUST-62: MSG_OOB; the pointer names the octet behind."""
    conn = lone.establish()
    assert conn.try_send(b"abc", lone.now, socket.MSG_OOB) == 3
    (segment,) = lone.sent()
    assert segment.tcp.flags & URG
    assert segment.tcp.urgent == 3
    assert segment.payload == b"abc"


def urgent(conn: StreamEndpoint) -> int | None:
    return conn.urgent


def test_the_user_learns_of_urgent_data_at_once(lone: Lone) -> None:
    """MUST-32, MUST-33: a call that waits for it is answered though nothing can be read yet; then how much there is."""
    conn = lone.establish()
    waiting = conn.submit(lambda now: urgent(conn), None, lone.now)
    assert not waiting.done
    lone.segment(ACK | URG, 1001, lone.iss + 1, urgent=5)
    assert waiting.done
    assert waiting.result() == 5
    lone.segment(ACK, 1001, lone.iss + 1, b"hello, world")
    assert conn.try_recv(2, lone.now) == b"he"
    assert urgent(conn) == 3
    further = conn.submit(lambda now: urgent(conn) if urgent(conn) == 13 else None, None, lone.now)
    lone.segment(ACK | URG, 1013, lone.iss + 1, b"!!!", urgent=3)
    assert further.done
    assert conn.try_recv(99, lone.now) == b"llo, world!!"  # up to the last urgent octet
    assert conn.at_mark
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    assert conn.try_recv(99, lone.now) == b"!"
    assert urgent(conn) is None


def test_settings_reach_every_connection() -> None:
    """MUST-27: the stack's own default too."""
    assert StackConfig().tcp.keepalive_idle >= 7200 * SECOND
    assert not StackConfig().tcp.keepalive
