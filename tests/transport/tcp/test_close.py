"""Closing: RFC 9293 sections 3.6 and 3.10.4, half close, simultaneous close, data that nobody will read."""

import pytest

from pystack.errors import StateError
from pystack.transport.tcp import State
from pystack.units import MS, SECOND
from tests.transport.tcp.script import Script


def test_normal_close(wire: Script) -> None:
    """RFC 9293 figure 12, side A."""
    wire.established()
    wire.close()
    wire.expect("F. 1:2 ack 1")
    assert wire.tcp.state is State.FIN_WAIT_1
    wire.inject(".")
    assert wire.tcp.state is State.FIN_WAIT_2
    wire.inject("F.")
    wire.expect(". 2:2 ack 2")
    assert wire.tcp.state is State.TIME_WAIT
    wire.advance(60 * SECOND - 1)
    assert wire.tcp.state is State.TIME_WAIT
    wire.advance(1)
    assert wire.tcp.state is State.CLOSED
    assert wire.tcp.error is None


def test_the_peer_closes_first(wire: Script) -> None:
    """Figure 12, side B."""
    wire.established()
    wire.inject("F.")
    wire.expect(". 1:1 ack 2")
    assert wire.tcp.state is State.CLOSE_WAIT
    assert wire.tcp.eof
    wire.send(100)
    wire.expect("1:101 ack 2")
    wire.close()
    wire.expect("F. 101:102 ack 2")
    assert wire.tcp.state is State.LAST_ACK
    wire.inject(".")
    assert wire.tcp.state is State.CLOSED
    assert wire.tcp.error is None
    assert wire.tcp.next_deadline() is None


def test_simultaneous_close(wire: Script) -> None:
    """Figure 13."""
    wire.established()
    wire.close()
    wire.expect("F. 1:2")
    wire.inject("F.", ack=1)
    wire.expect(". 2:2 ack 2")
    assert wire.tcp.state is State.CLOSING
    wire.inject(".")
    assert wire.tcp.state is State.TIME_WAIT


def test_fin_and_the_ack_of_ours_in_one_segment(wire: Script) -> None:
    wire.established()
    wire.close()
    wire.expect("F. 1:2")
    wire.inject("F.")
    wire.expect(". 2:2 ack 2")
    assert wire.tcp.state is State.TIME_WAIT


def test_fin_leaves_behind_the_data_and_with_its_last_segment(wire: Script) -> None:
    wire.established()
    wire.send(10)
    wire.send(1500)
    wire.expect("1:11", "11:1011")  # Nagle holds the rest
    wire.close()
    wire.expect("FP. 1011:1512")


def test_half_close_goes_on_receiving(wire: Script) -> None:
    wire.established()
    wire.shutdown()
    wire.expect("F. 1:2")
    wire.inject(".")
    assert wire.tcp.state is State.FIN_WAIT_2
    wire.inject(data=b"a" * 1000)
    wire.inject(data=b"b" * 1000)
    wire.expect(". 2:2 ack 2001")
    wire.advance(3600 * SECOND)  # the user is there: FIN-WAIT-2 may last
    assert wire.tcp.state is State.FIN_WAIT_2
    wire.inject("F.", data=b"c")
    assert wire.recv() == b"a" * 1000 + b"b" * 1000 + b"c"
    assert wire.tcp.eof
    assert wire.tcp.state is State.TIME_WAIT


def test_sending_after_shutdown_is_a_broken_pipe(wire: Script) -> None:
    wire.established()
    wire.shutdown()
    with pytest.raises(BrokenPipeError):
        wire.send(b"x")
    assert wire.tcp.send_space == 0
    assert wire.tcp.writable  # a blocked sender must wake to hear of it


def test_fin_waits_for_missing_data(wire: Script) -> None:
    wire.established()
    wire.inject("F.", seq=1001, data=1000)
    wire.expect(". 1:1 ack 1")
    assert wire.tcp.state is State.ESTABLISHED
    assert not wire.tcp.eof
    wire.inject(data=1000)
    wire.expect(". 1:1 ack 2002")
    assert wire.tcp.state is State.CLOSE_WAIT
    assert wire.tcp.readable == 2000


def test_a_bare_fin_that_comes_early_is_answered_at_once(wire: Script) -> None:
    wire.established()
    wire.inject("F.", seq=1001)
    wire.expect(". 1:1 ack 1")
    wire.inject(data=1000)
    wire.expect(". 1:1 ack 1002")
    assert wire.tcp.state is State.CLOSE_WAIT


def test_a_fin_in_front_of_data_that_is_there_is_a_lie(wire: Script) -> None:
    wire.established()
    wire.inject(seq=11, data=b"x" * 100)
    wire.inject("F.", seq=51)
    wire.inject(data=b"y" * 10)
    assert wire.tcp.state is State.ESTABLISHED
    assert wire.recv() == b"y" * 10 + b"x" * 100


def test_data_behind_a_fin_is_never_delivered(wire: Script) -> None:
    wire.established()
    wire.inject("F.", data=b"end")
    wire.wait()
    wire.expect(". 1:1 ack 5")
    wire.inject(data=b"more")
    wire.expect()
    assert wire.recv() == b"end"


def test_a_lost_fin_is_sent_again_until_acknowledged(wire: Script) -> None:
    wire.established()
    wire.shutdown()
    wire.expect("F. 1:2")
    assert wire.wait() == 200 * MS
    wire.expect("F. 1:2")
    assert wire.wait() == 400 * MS
    wire.expect("F. 1:2")
    wire.inject(".")
    assert wire.tcp.state is State.FIN_WAIT_2
    assert wire.tcp.next_deadline() is None


def test_the_peers_lost_ack_of_fin(wire: Script) -> None:
    """The peer repeats its FIN: it is acknowledged again."""
    wire.established()
    wire.inject("F.")
    wire.expect(". 1:1 ack 2")
    wire.inject("F.", seq=1)
    wire.expect(". 1:1 ack 2")
    assert wire.tcp.state is State.CLOSE_WAIT


def test_close_with_unread_data_resets(wire: Script) -> None:
    """RFC 9293 section 3.6.1 and RFC 2525 section 2.17: the peer must not believe that its data was read."""
    wire.established()
    wire.inject(data=100)
    wire.sent.clear()
    wire.close()
    wire.expect("R. 1 ack 101")
    assert wire.tcp.state is State.CLOSED


@pytest.mark.parametrize("acked", [False, True])
def test_data_that_comes_after_close_resets(wire: Script, acked: bool) -> None:
    wire.established()
    wire.close()
    wire.expect("F. 1:2")
    ack = 2 if acked else 1
    wire.inject(data=100, ack=ack)
    wire.expect(f"R {ack}")  # where the peer surely takes it (RFC 5961)
    assert wire.tcp.state is State.CLOSED


def test_fin_after_close_is_no_data(wire: Script) -> None:
    wire.established()
    wire.close()
    wire.inject(".")
    wire.inject("F.")
    assert wire.tcp.state is State.TIME_WAIT


def test_fin_wait_2_ends_after_a_minute_when_the_user_is_gone(wire: Script) -> None:
    wire.established()
    wire.close()
    wire.expect("F. 1:2")
    wire.inject(".")
    wire.advance(60 * SECOND - 1)
    assert wire.tcp.state is State.FIN_WAIT_2
    wire.advance(1)
    assert wire.tcp.state is State.CLOSED
    assert wire.tcp.error is None
    wire.expect_nothing()


def test_fin_wait_2_ends_when_the_user_leaves_later(wire: Script) -> None:
    wire.established()
    wire.shutdown()
    wire.inject(".")
    wire.advance(3600 * SECOND)
    wire.close()
    wire.advance(60 * SECOND)
    assert wire.tcp.state is State.CLOSED


def test_time_wait_acknowledges_a_repeated_fin_and_starts_again(wire: Script) -> None:
    wire.reach(State.TIME_WAIT)
    wire.advance(40 * SECOND)
    wire.inject("F.", seq=1)
    wire.expect(". 2:2 ack 2")
    wire.advance(60 * SECOND - 1)
    assert wire.tcp.state is State.TIME_WAIT
    wire.advance(1)
    assert wire.tcp.state is State.CLOSED


def test_a_reset_does_not_assassinate_time_wait(wire: Script) -> None:
    """RFC 1337."""
    wire.reach(State.TIME_WAIT)
    wire.inject("R")
    wire.inject("R.")
    wire.expect_nothing()
    assert wire.tcp.state is State.TIME_WAIT


def test_the_record_exists_only_in_time_wait(wire: Script) -> None:
    wire.established()
    with pytest.raises(StateError):
        wire.tcp.time_wait_record()
    wire.reach(State.TIME_WAIT)
    assert wire.tcp.time_wait_record().deadline == wire.now + 60 * SECOND


def test_what_was_read_before_close_does_not_count(wire: Script) -> None:
    wire.established()
    wire.inject(data=100)
    wire.recv()
    wire.sent.clear()
    wire.close()
    wire.expect("F. 1:2 ack 101")


def test_unacknowledged_counts_data_and_fin(wire: Script) -> None:
    wire.established()
    assert wire.tcp.unacknowledged == 0
    wire.send(10)
    wire.send(1500)
    assert (wire.tcp.unacknowledged, wire.tcp.unsent) == (1510, 500)
    wire.shutdown()
    assert (wire.tcp.unacknowledged, wire.tcp.unsent) == (1511, 0)
    wire.inject(".", ack=1011)
    assert wire.tcp.unacknowledged == 501
    wire.inject(".", ack=1512)
    assert wire.tcp.unacknowledged == 0


def test_close_in_syn_received_follows_a_repeated_syn_ack_at_once(wire: Script) -> None:
    """Simultaneous open: our SYN goes again, now with an ACK, and the FIN does not wait for another event."""
    wire.syn_sent()
    wire.hold = True
    wire.inject("S", mss=1000)
    wire.close()
    wire.hold = False
    wire.drain()
    wire.expect("S. 0:1 ack 1", "F. 1:2 ack 1")
    assert wire.tcp.state is State.FIN_WAIT_1


def test_a_lost_early_fin_is_not_repeated_as_another_syn_ack(wire: Script) -> None:
    """It waits for the ACK of our SYN."""
    wire.syn_received()
    wire.close()
    wire.expect("F. 1:2 ack 1")
    wire.advance(SECOND)
    wire.expect("S. 0:1 ack 1")
    assert wire.tcp.take_output(wire.now, 10) == []
    wire.inject(".", ack=1)
    wire.expect("F. 1:2 ack 1")
