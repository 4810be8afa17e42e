"""When an ACK is sent: RFC 9293 section 3.8.6.3, RFC 5681 section 4.2."""

import pytest

from pystack.units import MS
from tests.transport.tcp.script import Script


def test_every_second_full_segment_is_acknowledged_at_once(wire: Script) -> None:
    """RFC 9293 SHLD-19."""
    wire.established()
    for number in range(1, 9):
        wire.inject(data=1000)
        wire.expect(*([f". 1:1 ack {1 + number * 1000}"] if number % 2 == 0 else []))


def test_a_single_segment_is_acknowledged_after_40_ms(wire: Script) -> None:
    """RFC 9293 MUST-40: less than half a second."""
    wire.established()
    wire.inject(data=1000)
    assert wire.wait() == 40 * MS
    wire.expect(". 1:1 ack 1001")


def test_the_first_acks_are_quick_as_in_linux(wire: Script) -> None:
    wire.established(quick_acks=16)
    for number in range(1, 17):
        wire.inject(data=1000)
        wire.expect(f". ack {1 + 1000 * number}")
    wire.inject(data=1000)
    wire.expect_nothing()


def test_whoever_answers_may_wait_for_the_answer(wire: Script) -> None:
    """Once data leaves with an ACK the exchange is interactive: no more quick ACKs."""
    wire.established(quick_acks=16)
    wire.hold = True
    wire.inject(data=10)
    wire.send(10)
    wire.hold = False
    wire.expect("1:11 ack 11")
    wire.inject(data=10)
    wire.expect_nothing()
    wire.send(10)
    wire.expect("11:21 ack 21")
    wire.inject()
    wire.expect_silence(1000 * MS)


def test_small_segments_add_up(wire: Script) -> None:
    wire.established()
    wire.inject(data=1000)
    wire.advance(40 * MS)
    wire.sent.clear()
    for _ in range(19):
        wire.inject(data=100)
    wire.expect_nothing()
    wire.inject(data=100)
    wire.expect(". ack 3001")


def test_segments_that_come_together_are_acknowledged_together(wire: Script) -> None:
    """RFC 9293 MUST-58, MUST-59."""
    wire.established()
    wire.hold = True
    for _ in range(10):
        wire.inject(data=1000)
    wire.hold = False
    wire.expect(". 1:1 ack 10001")


def recovered(wire: Script) -> None:
    """A segment was lost, and came again: 2000 octets are there."""
    wire.established(quick_acks=16, receive_buffer=1 << 20, wscale=4)
    wire.inject(seq=1001, data=1000)
    wire.expect(". 1:1 ack 1")
    wire.inject(data=1000)
    wire.expect(". 1:1 ack 2001")
    wire.peer_seq = 2001


def arrive_together(wire: Script, count: int) -> None:
    wire.advance(1 * MS)
    wire.hold = True
    for _ in range(count):
        wire.inject(data=1000)
    wire.hold = False
    wire.drain()


def test_after_a_loss_two_acks_share_what_comes_together(wire: Script) -> None:
    """A peer in recovery has little in flight, and if its only ACK were lost it would have to wait for its timer."""
    recovered(wire)
    arrive_together(wire, 10)
    wire.expect(". 1:1 ack 4001", ". 1:1 ack 12001")


def test_after_a_loss_the_first_of_two_acks_covers_a_third_of_what_came_before(wire: Script) -> None:
    """A sender lets room pass that is less than a third of its window, and waits for more."""
    recovered(wire)
    arrive_together(wire, 12)
    wire.expect(". 1:1 ack 4001", ". 1:1 ack 14001")
    arrive_together(wire, 12)
    wire.expect(". 1:1 ack 18001", ". 1:1 ack 26001")
    arrive_together(wire, 5)
    wire.expect(". 1:1 ack 30001", ". 1:1 ack 31001")
    arrive_together(wire, 1)
    wire.expect(". 1:1 ack 32001")


def test_after_many_pairs_one_ack_is_enough(wire: Script) -> None:
    recovered(wire)
    for _ in range(64):
        arrive_together(wire, 2)
        arrive_together(wire, 2)
    wire.sent.clear()
    arrive_together(wire, 12)
    wire.expect(". 1:1 ack 270001")


def test_single_segments_are_delayed_again_some_time_after_a_loss(wire: Script) -> None:
    recovered(wire)
    for _ in range(80):
        wire.inject(data=100)
    wire.sent.clear()
    wire.inject(data=100)
    wire.expect_nothing()


def test_a_full_segment_after_two_round_trips_may_be_a_probe_and_is_acknowledged_at_once(wire: Script) -> None:
    """RFC 8985 section 7.3: its sender waits for the answer."""
    wire.established(quick_acks=2)
    for _ in range(10):
        arrive_together(wire, 2)
    wire.sent.clear()
    arrive_together(wire, 1)
    wire.expect(". 1:1 ack 21001")
    wire.inject(data=100)
    wire.expect_nothing()


def test_full_segments_that_come_slowly_share_acks_as_any_others(wire: Script) -> None:
    """A slow path, not probes."""
    wire.established(quick_acks=1)
    for _ in range(10):
        wire.inject(data=1000)
        wire.advance(10 * MS)
    assert len(wire.sent) <= 6


def test_after_a_loss_an_odd_segment_is_acknowledged_at_once(wire: Script) -> None:
    wire.established(quick_acks=2)
    wire.inject(data=1000)
    wire.expect(". 1:1 ack 1001")
    wire.inject(seq=2001, data=1000)
    wire.expect(". 1:1 ack 1001")
    wire.inject(seq=1001, data=1000)
    wire.expect(". 1:1 ack 3001")
    wire.inject(seq=3001, data=1000)
    wire.expect(". 1:1 ack 4001")


def test_an_ack_rides_on_data(wire: Script) -> None:
    wire.established()
    wire.inject(data=10)
    wire.send(10)
    wire.expect("1:11 ack 11")
    wire.inject()
    wire.expect_silence(1000 * MS)


def test_every_segment_out_of_order_is_answered_at_once(wire: Script) -> None:
    """RFC 5681 section 4.2: the sender counts these duplicates."""
    wire.established()
    wire.hold = True
    for start in (2001, 3001, 5001):
        wire.inject(seq=start, data=1000)
    wire.hold = False
    wire.expect(*[". 1:1 ack 1"] * 3)


@pytest.mark.parametrize(("length", "end"), [(1, 1002), (2, 1003)])
def test_old_text_with_a_new_fin_behind_it_is_answered_once(wire: Script, length: int, end: int) -> None:
    wire.established()
    wire.inject(data=1000)
    wire.advance(40 * MS)
    wire.sent.clear()
    wire.inject("F.", seq=1000, data=length)
    wire.expect(f". 1:1 ack {end}")


def test_duplicates_keep_their_window(wire: Script) -> None:
    """Or they would not count as duplicates."""
    wire.established(wscale=0)
    wire.inject(data=1000)
    wire.inject(data=1000)
    for start in (3001, 4001, 5001):
        wire.inject(seq=start, data=1000)
    assert len({segment.window for _, segment in wire.sent}) == 1
    assert len(wire.sent) == 4


def test_what_fills_a_gap_is_acknowledged_at_once(wire: Script) -> None:
    wire.established()
    wire.inject(seq=1001, data=1000)
    wire.inject(seq=3001, data=1000)
    wire.sent.clear()
    wire.inject(seq=1, data=1000)
    wire.expect(". 1:1 ack 2001")
    wire.inject(seq=2001, data=500)
    wire.expect(". 1:1 ack 2501")
    wire.inject(seq=2501, data=500)
    wire.expect(". 1:1 ack 4001")


def test_pure_acks_are_never_acknowledged(wire: Script) -> None:
    wire.established()
    wire.send(100)
    wire.sent.clear()
    for _ in range(10):
        wire.inject()
    wire.expect_silence(1000 * MS)


def test_a_flood_of_answers_is_bounded_while_nothing_can_leave(wire: Script) -> None:
    wire.established()
    wire.hold = True
    for _ in range(1000):
        wire.inject(seq=3001, data=1)
    wire.hold = False
    wire.drain()
    assert len(wire.sent) <= 128
