"""What the path reports: ICMP errors (RFC 9293 section 3.9.2.2, RFC 5927), smaller path MTUs (RFC 1191), dead links."""

import errno

import pytest

from pystack.errors import LinkDown
from pystack.transport.tcp import State
from pystack.units import SECOND
from pystack.wire.seq import wrap
from tests.transport.tcp.script import Script


def test_a_hard_error_ends_a_connect(wire: Script) -> None:
    wire.syn_sent()
    wire.tcp.on_path_error(errno.ECONNREFUSED, True, wire.now)
    assert wire.tcp.state is State.CLOSED
    assert isinstance(wire.tcp.error, ConnectionRefusedError)


def test_a_soft_error_names_the_errno_of_the_timeout(wire: Script) -> None:
    """And never ends the attempt, nor lets it succeed."""
    wire.syn_sent()
    wire.tcp.on_path_error(errno.EHOSTUNREACH, False, wire.now)
    assert wire.tcp.state is State.SYN_SENT
    assert wire.tcp.error is None
    wire.advance(600 * SECOND)
    assert wire.tcp.state is State.CLOSED
    assert wire.tcp.error is not None
    assert wire.tcp.error.errno == errno.EHOSTUNREACH


def test_no_error_ends_an_open_connection(wire: Script) -> None:
    """RFC 5927 section 5.2."""
    wire.established(app_sends=100)
    wire.tcp.on_path_error(errno.ECONNREFUSED, True, wire.now)
    wire.tcp.on_path_error(errno.ENETUNREACH, False, wire.now)
    assert wire.tcp.state is State.ESTABLISHED
    wire.advance(3600 * SECOND)
    assert wire.tcp.error is not None
    assert wire.tcp.error.errno == errno.ENETUNREACH


def test_progress_forgets_the_error(wire: Script) -> None:
    wire.established(app_sends=100)
    wire.tcp.on_path_error(errno.ENETUNREACH, False, wire.now)
    wire.inject()
    wire.send(100)
    wire.advance(3600 * SECOND)
    assert isinstance(wire.tcp.error, TimeoutError)


@pytest.mark.parametrize(("seq", "outstanding"), [(0, False), (1, True), (1000, True), (2000, True), (2001, False)])
def test_what_an_error_may_quote(wire: Script, seq: int, outstanding: bool) -> None:
    wire.established(app_sends=2000)
    assert wire.tcp.is_outstanding(wrap(wire.place.iss + seq)) is outstanding
    assert not wire.tcp.is_outstanding(wrap(wire.place.iss + seq + 2**31))


def test_a_smaller_path_mtu_cuts_what_is_in_flight_anew(wire: Script) -> None:
    wire.established(app_sends=2000)
    wire.expect("1:1001", "1001:2001")
    wire.tcp.on_path_mtu(600, wire.now)
    wire.expect("1:601", "601:1201", "1201:1801", "1801:2001")
    assert wire.tcp.congestion.cwnd == 6000  # ten segments still: RFC 5681 section 3.1
    assert wire.tcp.info().ssthresh is None  # no congestion
    wire.inject(ack=2001)
    wire.send(1200)
    wire.expect("2001:2601", "2601:3201")


def test_a_smaller_path_mtu_later_leaves_the_window_as_it_is(wire: Script) -> None:
    """RFC 1191 section 6.4: what the path has carried it goes on to carry."""
    wire.established(app_sends=20_000, send_buffer=1 << 20, congestion="newreno")
    wire.sent.clear()
    for _ in range(3):
        wire.inject(ack=1)
    wire.inject(ack=10_001)
    wire.inject(ack=15_001)
    before = wire.tcp.congestion.cwnd
    wire.tcp.on_path_mtu(600, wire.now)
    assert wire.tcp.congestion.cwnd == before


def test_the_restart_window_has_as_many_segments_of_the_new_size(wire: Script) -> None:
    """RFC 6928 section 2: ten; RFC 5681 section 4.1: no more than the initial window."""
    wire.established(mss=1460, app_sends=14_600, send_buffer=1 << 20)
    wire.inject()
    wire.tcp.on_path_mtu(600, wire.now)
    for _ in range(3):
        wire.send(12_000)
        wire.inject()
    wire.advance(5 * SECOND)
    wire.sent.clear()
    wire.send(12_000)
    assert len(wire.sent) == 10


def test_small_segments_need_not_go_again_for_a_smaller_path_mtu(wire: Script) -> None:
    wire.established(nodelay=True)
    wire.send(300)
    wire.send(300)
    wire.sent.clear()
    wire.tcp.on_path_mtu(600, wire.now)
    wire.expect_nothing()


def test_a_path_mtu_counts_with_the_options(wire: Script) -> None:
    wire.established(timestamps=True)
    wire.tcp.on_path_mtu(600, wire.now)
    assert wire.tcp.info().snd_mss == 588


def test_a_larger_path_mtu_is_used_for_what_follows(wire: Script) -> None:
    wire.established(mss=1000, peer_mss=1400)
    wire.tcp.on_path_mtu(600, wire.now)
    wire.tcp.on_path_mtu(1200, wire.now)
    wire.send(2400)
    wire.expect("1:1201", "1201:2401")


def test_a_path_mtu_learnt_during_the_handshake(wire: Script) -> None:
    wire.syn_sent()
    wire.tcp.on_path_mtu(600, wire.now)
    wire.inject("S.", mss=1000)
    wire.sent.clear()
    wire.send(1200)
    wire.expect("1:601", "601:1201")


def test_a_path_mtu_learnt_before_our_syn_is_acknowledged(wire: Script) -> None:
    wire.syn_received(peer_mss=1000)
    wire.tcp.on_path_mtu(600, wire.now)
    wire.inject()
    wire.sent.clear()
    wire.send(1200)
    wire.expect("1:601", "601:1201")


def test_a_link_that_is_gone_ends_the_connection_silently(wire: Script) -> None:
    wire.established(app_sends=100)
    wire.sent.clear()
    error = LinkDown()
    wire.tcp.fail(error, wire.now)
    assert wire.tcp.state is State.CLOSED
    assert wire.tcp.error is error
    wire.expect_silence(3600 * SECOND)
    wire.tcp.fail(LinkDown(), wire.now)
    assert wire.tcp.error is error


def test_after_a_pause_the_window_holds_a_segment_of_the_path_as_it_is_now(wire: Script) -> None:
    """The initial window was one segment of a smaller path."""
    wire.established(mss=500, peer_mss=1000, initial_window=1)
    wire.tcp.on_path_mtu(1000, wire.now)
    wire.advance(60 * SECOND)
    wire.send(2000)
    wire.expect("1:1001")


def test_what_a_larger_path_mtu_makes_room_for_leaves_at_once(wire: Script) -> None:
    """After a timeout the window is one segment, which is now a larger one."""
    wire.established(frto=False)
    wire.tcp.on_path_mtu(500, wire.now)
    wire.send(1000)
    wire.expect("1:501", "501:1001")
    wire.wait()
    wire.expect("1:501")
    wire.tcp.on_path_mtu(1000, wire.now)
    wire.expect("501:1001")
