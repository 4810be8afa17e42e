"""What is acceptable: RFC 9293 section 3.10.7.4 step one, RFC 5961, RFC 7323 section 5."""

import errno

import pytest

from pystack.errors import PeerReset
from pystack.transport.tcp import State
from pystack.units import MS, SECOND
from tests.transport.tcp.script import Script

DAY = 86400 * SECOND


def window(wire: Script) -> int:
    return wire.tcp.rcv_wnd


# Table 6


def test_old_data_is_answered_and_dropped(wire: Script) -> None:
    wire.established()
    wire.inject(data=b"abc")
    wire.sent.clear()
    wire.inject(seq=1, data=b"xyz")
    wire.expect(". 1:1 ack 4")
    assert wire.recv() == b"abc"


def test_data_beyond_the_window_is_answered_and_dropped(wire: Script) -> None:
    wire.established()
    wire.inject(seq=1 + window(wire), data=b"x")
    wire.expect(". 1:1 ack 1")
    assert wire.tcp.readable == 0


def test_only_the_new_part_of_a_segment_is_taken(wire: Script) -> None:
    wire.established()
    wire.inject(data=b"abc")
    wire.inject(seq=2, data=b"XXdef")
    assert wire.recv() == b"abcdef"


def test_only_the_part_inside_the_window_is_taken(wire: Script) -> None:
    wire.established(receive_buffer=2048, receive_buffer_max=2048)
    size = window(wire)
    wire.inject(data=b"x" * (size + 100))
    assert wire.tcp.readable == size
    wire.expect(f". ack {size + 1} win 0")


def test_an_empty_segment_at_the_right_edge_is_heard(wire: Script) -> None:
    """A peer that has filled the window, and lost a segment of it, acknowledges from there."""
    wire.established()
    wire.send(100)
    wire.take()
    wire.inject(seq=1 + window(wire), ack=101)
    assert wire.tcp.unacknowledged == 0


def test_at_a_closed_window_acks_are_still_taken(wire: Script) -> None:
    """RFC 9293: "special allowance should be made to accept valid ACKs, URGs, and RSTs"."""
    wire.established(receive_buffer=2048, receive_buffer_max=2048)
    size = window(wire)
    wire.inject(data=size)
    wire.send(100)
    wire.sent.clear()
    wire.inject(seq=1 + size, data=b"x")
    wire.expect(f". ack {size + 1} win 0")
    assert wire.tcp.readable == size
    assert wire.tcp.unacknowledged == 0


def test_at_a_closed_window_a_reset_is_taken(wire: Script) -> None:
    wire.established(receive_buffer=2048, receive_buffer_max=2048)
    wire.inject(data=window(wire))
    wire.inject("R")
    assert wire.tcp.state is State.CLOSED


def test_segments_without_ack_are_dropped(wire: Script) -> None:
    wire.established()
    wire.inject("P", seq=1, data=b"x")
    wire.expect_nothing()
    assert wire.tcp.readable == 0


def test_empty_unacceptable_segments_are_answered_within_limits(wire: Script) -> None:
    """Two confused peers must not answer each other forever."""
    wire.established()
    for _ in range(100):
        wire.inject(seq=500_000)
    assert len(wire.sent) == 1
    wire.sent.clear()
    wire.advance(SECOND // 2)
    wire.inject(seq=500_000)
    assert len(wire.sent) == 1


# RFC 5961


def test_reset_at_rcv_nxt(wire: Script) -> None:
    wire.established()
    wire.inject("R")
    assert wire.tcp.state is State.CLOSED
    assert isinstance(wire.tcp.error, PeerReset)
    assert wire.tcp.error.errno == errno.ECONNRESET
    wire.expect_nothing()
    with pytest.raises(ConnectionResetError):
        wire.send(b"x")


@pytest.mark.parametrize("offset", [1, 100, 10_000])
def test_reset_in_the_window_is_challenged(wire: Script, offset: int) -> None:
    wire.established()
    wire.inject("R", seq=1 + offset)
    wire.expect(". 1:1 ack 1")
    assert wire.tcp.state is State.ESTABLISHED


@pytest.mark.parametrize("offset", [-1, -100, 1_000_000])
def test_reset_outside_the_window_is_silently_dropped(wire: Script, offset: int) -> None:
    wire.established()
    wire.inject("R", seq=1 + offset)
    wire.expect_nothing()
    assert wire.tcp.state is State.ESTABLISHED


def test_reset_at_the_right_edge_is_outside(wire: Script) -> None:
    wire.established()
    wire.inject("R", seq=1 + window(wire))
    wire.expect_nothing()


def test_a_reset_before_the_window_is_dropped_even_with_text_that_reaches_into_it(wire: Script) -> None:
    """RFC 5961 section 3.2: its sequence number decides."""
    wire.established()
    wire.inject(data=100)
    wire.advance(SECOND)
    wire.sent.clear()
    wire.inject("R", seq=51, data=100)
    wire.expect_nothing()
    assert wire.tcp.state is State.ESTABLISHED


@pytest.mark.parametrize("offset", [-1000, -1, 0, 1, 1000, 1_000_000])
@pytest.mark.parametrize("flags", ["S", "S."])
def test_syn_is_challenged_wherever_it_is(wire: Script, offset: int, flags: str) -> None:
    wire.established()
    wire.inject(flags, seq=1 + offset)
    wire.expect(". 1:1 ack 1")
    assert wire.tcp.state is State.ESTABLISHED


@pytest.mark.parametrize(("ack", "fine"), [(101, True), (102, False), (1, True), (0, True), (-1, False)])
def test_range_of_acceptable_acks(wire: Script, ack: int, fine: bool) -> None:
    """RFC 5961 section 5.2: SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT, and nothing that we have never sent; what else
    a segment has is dropped with it."""
    wire.established()
    wire.send(100)
    wire.take()
    wire.inject(ack=ack, data=b"x", seq=1)
    assert wire.tcp.readable == fine
    if not fine:
        wire.expect(". 101:101 ack 1")


def test_acks_older_than_the_largest_window_are_refused(wire: Script) -> None:
    """The same, after more has been sent than any window held."""
    wire.established(win=2000)
    for _ in range(5):
        wire.send(1000)
        wire.take()
        wire.inject(win=2000)
    wire.inject(ack=5001 - 2000, data=b"x", seq=1, win=2000)
    assert wire.tcp.readable == 1
    wire.inject(ack=5001 - 2001, data=b"y", seq=2, win=2000)
    assert wire.tcp.readable == 1


def test_challenge_acks_are_limited(wire: Script) -> None:
    wire.established(challenge_acks=3)
    for _ in range(20):
        wire.inject("S", seq=77)
    wire.expect(*[". 1:1 ack 1"] * 3)
    wire.advance(5 * SECOND)
    wire.inject("S", seq=77)
    wire.expect(". 1:1 ack 1")


def test_what_arrived_before_a_reset_can_be_read_then_the_error_stays(wire: Script) -> None:
    """As in Linux; never a clean end of stream."""
    wire.established()
    wire.inject(data=b"abc")
    wire.inject(seq=10, data=b"beyond a gap")
    wire.inject("R")
    assert wire.recv(2) == b"ab"
    assert wire.recv() == b"c"
    assert wire.recv() == b""
    assert not wire.tcp.eof
    assert isinstance(wire.tcp.error, PeerReset)


def test_a_reset_during_simultaneous_open_is_a_refusal(wire: Script) -> None:
    wire.syn_sent()
    wire.inject("S", mss=1000)
    wire.take()
    wire.inject("R")
    assert isinstance(wire.tcp.error, ConnectionRefusedError)


# RFC 7323


def stamped(wire: Script, **config: object) -> None:
    wire.established(timestamps=True, **config)  # type: ignore[arg-type]


def test_every_segment_echoes_the_last_timestamp_in_order(wire: Script) -> None:
    stamped(wire)
    wire.inject(data=1000, ts=(1000, 77))
    wire.inject(data=1000, ts=(1010, 77))  # not yet acknowledged: the earlier one is echoed
    ack = wire.take()
    assert (ack.ts_val, ack.ts_ecr) == (77, 1000)


def test_out_of_order_segments_do_not_move_ts_recent(wire: Script) -> None:
    """RFC 7323 section 4.3, case (B)."""
    stamped(wire)
    wire.inject(data=988, ts=(1000, 77))
    wire.advance(40 * MS)
    wire.sent.clear()
    wire.inject(seq=5000, data=10, ts=(1050, 77))
    assert wire.take().ts_ecr == 1000


def test_an_old_timestamp_is_refused(wire: Script) -> None:
    """PAWS, RFC 7323 section 5."""
    stamped(wire)
    wire.inject(data=b"new", ts=(1000, 77))
    wire.advance(100 * MS)
    wire.sent.clear()
    wire.inject(seq=4, data=b"old", ts=(999, 77))
    wire.expect(". ack 4")
    assert wire.tcp.readable == 3


def test_timestamps_wrap(wire: Script) -> None:
    wire.make(timestamps=True)
    wire.tcp.connect(wire.now)
    wire.take()
    wire.inject("S.", mss=1000, ts=(2**32 - 1, 77))
    wire.inject(data=b"x", ts=(3, 77))
    assert wire.tcp.readable == 1
    wire.advance(100 * MS)
    assert wire.sent[-1][1].ts_ecr == 3


def test_after_24_idle_days_any_timestamp_is_new(wire: Script) -> None:
    """RFC 7323 section 5.5."""
    stamped(wire)
    wire.inject(data=b"a", ts=(2**31, 77))
    wire.advance(24 * DAY)
    wire.inject(data=b"b", ts=(5, 77))
    assert wire.tcp.readable == 1
    wire.peer_seq -= 1
    wire.advance(1)
    wire.inject(data=b"b", ts=(5, 77))
    assert wire.tcp.readable == 2


def test_segments_without_the_agreed_timestamps_are_dropped(wire: Script) -> None:
    """RFC 7323 section 3.2."""
    stamped(wire)
    wire.timestamps = False
    wire.inject(data=b"x")
    wire.expect_nothing()
    assert wire.tcp.readable == 0


def test_resets_need_no_timestamp(wire: Script) -> None:
    stamped(wire)
    wire.timestamps = False
    wire.inject("R")
    assert wire.tcp.state is State.CLOSED


def test_a_reset_with_an_old_timestamp_counts(wire: Script) -> None:
    stamped(wire)
    wire.inject(data=b"a", ts=(1000, 77))
    wire.inject("R", ts=(5, 77))
    assert wire.tcp.state is State.CLOSED
