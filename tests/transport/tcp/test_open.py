"""Opening a connection: RFC 9293 sections 3.5 and 3.10.7.1 to 3.10.7.3, options of the SYN."""

import errno
import logging

import pytest

from pystack.errors import PeerReset, StateError
from pystack.transport.tcp import State
from pystack.units import MS, SECOND
from tests.transport.tcp.script import Script


def test_active_open(wire: Script) -> None:
    wire.make()
    wire.tcp.connect(wire.now)
    wire.expect("S 0:1 win 65000")
    wire.inject("S.", mss=1000)
    wire.expect(". 1:1 ack 1")
    assert wire.tcp.state is State.ESTABLISHED


def test_passive_open(wire: Script) -> None:
    wire.make()
    wire.tcp.listen()
    wire.expect_nothing()
    wire.inject("S", mss=1000)
    wire.expect("S. 0:1 ack 1 win 65000")
    wire.inject(".")
    wire.expect_nothing()
    assert wire.tcp.state is State.ESTABLISHED


def test_simultaneous_open(wire: Script) -> None:
    """RFC 9293 figure 7."""
    wire.syn_sent()
    wire.inject("S", mss=1000)
    wire.expect("S. 0:1 ack 1")
    assert wire.tcp.state is State.SYN_RECEIVED
    wire.inject("S.", seq=0, ack=1, mss=1000)
    assert wire.tcp.state is State.ESTABLISHED
    wire.expect_nothing()
    wire.send(1000)
    wire.expect("1:1001 ack 1")


def test_simultaneous_open_takes_the_windows_scale_from_the_syn_and_not_its_window(wire: Script) -> None:
    wire.syn_sent()
    wire.inject("S", mss=1000, wscale=7, win=1000)
    wire.expect("S. 0:1 ack 1")
    wire.inject("S.", seq=0, ack=1, mss=1000, wscale=7, win=1000)
    assert wire.tcp.info().snd_wnd == 1000
    wire.inject(".", win=1000)
    assert wire.tcp.info().snd_wnd == 128_000


def test_simultaneous_open_ends_with_an_ack_too(wire: Script) -> None:
    wire.syn_sent()
    wire.inject("S", mss=1000)
    wire.expect("S. 0:1 ack 1")
    wire.inject(".", seq=1, ack=1)
    assert wire.tcp.state is State.ESTABLISHED


def test_a_listener_can_turn_active(wire: Script) -> None:
    """RFC 9293 section 3.10.1: OPEN in LISTEN."""
    wire.make()
    wire.tcp.listen()
    wire.tcp.connect(wire.now)
    wire.expect("S 0:1")


def test_a_used_connection_cannot_be_opened_again(wire: Script) -> None:
    wire.syn_sent()
    with pytest.raises(StateError, match="SYN-SENT"):
        wire.tcp.connect(wire.now)
    wire.inject("R.")
    with pytest.raises(StateError):
        wire.tcp.connect(wire.now)
    with pytest.raises(StateError):
        wire.tcp.listen()


def test_a_refused_connect(wire: Script) -> None:
    wire.syn_sent()
    wire.inject("R.", ack=1)
    assert wire.tcp.state is State.CLOSED
    assert isinstance(wire.tcp.error, ConnectionRefusedError)
    assert wire.tcp.error.errno == errno.ECONNREFUSED
    with pytest.raises(ConnectionRefusedError):
        wire.send(b"x")


@pytest.mark.parametrize(("flags", "ack"), [("R.", 0), ("R.", 2), ("R", None)])
def test_a_reset_that_does_not_acknowledge_the_syn_is_ignored(wire: Script, flags: str, ack: int | None) -> None:
    wire.syn_sent()
    wire.inject(flags, ack=ack)
    assert wire.tcp.state is State.SYN_SENT
    wire.expect_nothing()


@pytest.mark.parametrize("ack", [0, 2, 1000])
def test_an_ack_of_what_was_never_sent_is_reset_in_syn_sent(wire: Script, ack: int) -> None:
    """RFC 9293 section 3.5.2, old duplicate SYN-ACK."""
    wire.syn_sent()
    wire.inject("S.", seq=0, ack=ack)
    wire.expect(f"R {ack}")
    assert wire.tcp.state is State.SYN_SENT


def test_a_good_ack_without_syn_is_ignored_in_syn_sent(wire: Script) -> None:
    wire.syn_sent()
    wire.inject(".", ack=1)
    wire.expect_nothing()
    assert wire.tcp.state is State.SYN_SENT


def test_half_open_discovery(wire: Script) -> None:
    """RFC 9293 figure 9: the peer crashed and opens again; our ACK makes it reset us."""
    wire.established()
    wire.inject("S", seq=400)
    wire.expect(". 1:1 ack 1")
    wire.inject("R", seq=1)
    assert wire.tcp.state is State.CLOSED
    assert isinstance(wire.tcp.error, PeerReset)


def test_the_syn_of_a_crashed_peer_is_answered_even_without_timestamps(wire: Script) -> None:
    wire.make(timestamps=True)
    wire.tcp.connect(wire.now)
    wire.take()
    wire.inject("S.", mss=1000)
    wire.take()
    wire.timestamps = False
    wire.inject("S", seq=9000, mss=1000)
    wire.expect(". 1:1 ack 1")


def test_a_repeated_syn_is_answered_again(wire: Script) -> None:
    wire.syn_received()
    wire.inject("S", seq=0, mss=1000)
    wire.expect("S. 0:1 ack 1")
    assert wire.tcp.state is State.SYN_RECEIVED


def test_a_bad_ack_in_syn_received_is_reset(wire: Script) -> None:
    wire.syn_received()
    wire.inject(".", ack=7)
    wire.expect("R 7")
    assert wire.tcp.state is State.SYN_RECEIVED


def test_syn_retransmissions_double_and_end_after_four_minutes(wire: Script) -> None:
    """RFC 9293 MUST-23: R2 for a SYN is at least three minutes; RFC 6298: 1 s at first, doubling to 120 s."""
    wire.syn_sent()
    assert [wire.wait() // SECOND for _ in range(7) if not wire.sent.clear()] == [1, 2, 4, 8, 16, 32, 64]
    wire.expect("S 0:1")
    wire.expect_silence(119 * SECOND)
    wire.advance(1 * SECOND)
    assert wire.tcp.state is State.CLOSED
    assert isinstance(wire.tcp.error, TimeoutError)
    assert wire.tcp.error.errno == errno.ETIMEDOUT


def test_syn_retries_can_be_set(wire: Script) -> None:
    wire.syn_sent(syn_retries=1)
    assert wire.wait() == 1 * SECOND
    wire.expect("S 0:1")
    wire.advance(2 * SECOND)
    assert isinstance(wire.tcp.error, TimeoutError)


def test_syn_ack_is_retransmitted(wire: Script) -> None:
    wire.syn_received()
    assert wire.wait() == 1 * SECOND
    wire.expect("S. 0:1 ack 1")
    assert wire.wait() == 2 * SECOND


def test_data_sent_before_the_connection_is_open_waits(wire: Script) -> None:
    wire.syn_sent()
    assert wire.send(2000) == 2000
    wire.expect_nothing()
    wire.inject("S.", mss=1000)
    wire.expect("1:1001 ack 1", "1001:2001")


def test_close_in_syn_received_waits_for_the_handshake(wire: Script) -> None:
    wire.syn_received()
    wire.send(10)
    wire.close()
    wire.expect_nothing()
    assert wire.tcp.state is State.SYN_RECEIVED
    wire.inject(".")
    wire.expect("FP. 1:12")
    assert wire.tcp.state is State.FIN_WAIT_1


def test_close_in_syn_received_without_data(wire: Script) -> None:
    wire.syn_received()
    wire.close()
    assert wire.tcp.state is State.FIN_WAIT_1
    wire.expect("F. 1:2")
    assert wire.wait() == 1 * SECOND
    wire.expect("S. 0:1")  # the SYN-ACK is the first thing that is missing
    wire.inject(".", ack=1)
    wire.expect("F. 1:2")
    wire.inject(".")
    assert wire.tcp.state is State.FIN_WAIT_2


def test_syn_and_fin_acknowledged_at_once(wire: Script) -> None:
    wire.syn_received()
    wire.close()
    wire.expect("F. 1:2")
    wire.inject(".", ack=2)
    assert wire.tcp.state is State.FIN_WAIT_2


def test_text_and_fin_with_the_syn_are_kept(wire: Script) -> None:
    """RFC 9293 section 3.10.7.2: "any other control or text should be queued for processing later"."""
    wire.make()
    wire.tcp.listen()
    wire.inject("SF", data=b"hello", mss=1000)
    wire.expect("S. 0:1 ack 6")
    assert wire.tcp.state is State.SYN_RECEIVED
    wire.inject(".", seq=7)
    assert wire.tcp.state is State.CLOSE_WAIT
    wire.wait()
    wire.expect(". 1:1 ack 7")
    assert wire.recv() == b"hello"
    assert wire.tcp.eof


def test_text_with_the_syn_ack(wire: Script) -> None:
    wire.syn_sent()
    wire.inject("S.", data=b"hello", mss=1000)
    wire.expect(". 1:1 ack 6")
    assert wire.recv() == b"hello"


def test_send_and_shutdown_before_connect_are_refused(wire: Script) -> None:
    wire.make()
    with pytest.raises(OSError, match="not connected") as caught:
        wire.send(b"x")
    assert caught.value.errno == errno.ENOTCONN
    with pytest.raises(OSError, match="not connected"):
        wire.shutdown()


# Options of the SYN


def test_options_offered(wire: Script) -> None:
    """In Linux's order; the shift of 15 MiB is 8."""
    wire.make(mss=1460, timestamps=True)
    wire.now = 5 * MS
    wire.tcp.connect(wire.now)
    syn = wire.take()
    assert (syn.mss, syn.window_scale, syn.ts_val, syn.ts_ecr, syn.sack_permitted) == (1460, 8, 82, 0, False)
    assert syn.window == 64240
    assert syn.header_bytes(1, 2)[20:].hex() == "020405b4" + "0101080a0000005200000000" + "01030308"


def test_options_switched_off(wire: Script) -> None:
    wire.make(timestamps=False, window_scaling=False)
    wire.tcp.connect(wire.now)
    syn = wire.take()
    assert (syn.mss, syn.window_scale, syn.ts_val) == (1000, None, None)


def test_a_passive_side_answers_only_what_was_offered(wire: Script) -> None:
    wire.make(timestamps=True)
    wire.tcp.listen()
    wire.timestamps = False
    wire.inject("S", mss=1000)
    syn_ack = wire.take()
    assert (syn_ack.window_scale, syn_ack.ts_val) == (None, None)
    wire.inject(".")
    assert not wire.tcp.info().timestamps
    assert wire.tcp.info().snd_mss == 1000


def test_a_passive_side_accepts_both(wire: Script) -> None:
    wire.make(timestamps=True)
    wire.tcp.listen()
    wire.inject("S", mss=1000, wscale=3, ts=(400, 0))
    syn_ack = wire.take()
    assert (syn_ack.window_scale, syn_ack.ts_ecr) == (8, 400)
    wire.inject(".", win=1000)
    info = wire.tcp.info()
    assert (info.snd_scale, info.rcv_scale, info.snd_wnd, info.snd_mss) == (3, 8, 8000, 988)


def test_a_shift_above_14_is_logged(wire: Script, caplog: pytest.LogCaptureFixture) -> None:
    """RFC 7323 section 2.3."""
    with caplog.at_level(logging.INFO, "pystack.tcp"):
        wire.make()
        wire.tcp.listen()
        wire.inject("S", mss=1000, wscale=14)
        assert not caplog.messages
        wire.make()
        wire.tcp.listen()
        wire.inject("S", mss=1000, wscale=15)
    assert len(caplog.messages) == 1


def test_a_shift_above_14_counts_as_14(wire: Script) -> None:
    """RFC 7323 section 2.3."""
    wire.make()
    wire.tcp.connect(wire.now)
    wire.take()
    wire.inject("S.", mss=1000, wscale=15)
    assert wire.tcp.info().snd_scale == 14


@pytest.mark.parametrize(
    ("offered", "used"), [(None, 536), (0, 536), (1, 48), (47, 48), (48, 48), (500, 500), (9000, 1000)]
)
def test_the_send_mss(wire: Script, offered: int | None, used: int) -> None:
    """RFC 9293 section 3.7.1, MUST-15 and 16; below 48 counts as 48, and 0 as none."""
    wire.make()
    wire.tcp.connect(wire.now)
    wire.take()
    wire.inject("S.", mss=offered)
    wire.take()
    assert wire.tcp.info().snd_mss == used
    wire.send(3000)
    assert wire.take().length == used


def test_the_send_mss_makes_room_for_options(wire: Script) -> None:
    wire.established(timestamps=True)
    wire.send(3000)
    wire.expect("1:989", "989:1977", "1977:2965", "2965:3001")


def test_max_segment_limits_both_directions(wire: Script) -> None:
    wire.make(max_segment=600)
    wire.tcp.connect(wire.now)
    assert wire.take().mss == 600
    wire.inject("S.", mss=1000)
    assert wire.tcp.info().snd_mss == 600


def test_the_initial_window_is_one_segment_after_two_lost_syns(wire: Script) -> None:
    """RFC 6928 section 2."""
    wire.syn_sent()
    wire.advance(3 * SECOND)
    wire.expect("S 0:1", "S 0:1")
    wire.inject("S.", mss=1000)
    wire.send(5000)
    wire.expect(". 1:1 ack 1", "1:1001")


def test_the_rto_is_three_seconds_after_a_lost_syn(wire: Script) -> None:
    """RFC 6298 (5.7), without timestamps."""
    wire.syn_sent()
    wire.advance(1 * SECOND)
    wire.expect("S 0:1")
    wire.inject("S.", mss=1000)
    wire.send(100)
    wire.expect(". 1:1 ack 1", "1:101")
    assert wire.wait() == 3 * SECOND


def test_a_syn_that_goes_again_waits_for_room_behind_an_answer(wire: Script) -> None:
    wire.syn_sent()
    wire.hold = True
    wire.advance(SECOND)
    wire.inject(".", ack=5)
    first, second = (wire.tcp.take_output(wire.now, 1) for _ in range(2))
    assert [segment.flags for segment in (*first, *second)] == [4, 2]
    assert len(first) == 1
