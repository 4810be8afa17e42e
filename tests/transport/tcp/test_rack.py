"""RACK and what follows from it: RFC 8985 section 6, RFC 6937, RFC 3042, RFC 2018 sections 5 and 8."""

import pytest

from pystack.transport.tcp.rack import ReorderingWindow
from pystack.transport.tcp.rtt import RttEstimator
from pystack.units import MS, SECOND
from tests.transport.tcp.script import Script
from tests.transport.tcp.selective import RTT, flying, full, sent


def test_three_segments_beyond_a_gap_resend_it_at_once(wire: Script) -> None:
    """RFC 8985 section 6.2 step 4: as the duplicate threshold would, while no reordering was seen."""
    flying(wire)
    for end in (2001, 3001):
        wire.inject(ack=1, sack=[(1001, end)])
    assert sent(wire) == full(10_001, 12_001)  # RFC 3042: what has left the network is replaced
    wire.inject(ack=1, sack=[(1001, 4001)])
    assert sent(wire) == full(1, 1001)
    info = wire.tcp.info()
    assert (info.phase, info.in_recovery, info.ssthresh, info.sacked) == ("Recovery", True, 5000, 3000)


def test_one_segment_beyond_a_gap_waits_a_quarter_of_the_round_trip(wire: Script) -> None:
    """Step 5: the reordering timer."""
    flying(wire, 2, more=0)
    wire.inject(ack=1, sack=[(1001, 2001)])
    assert wire.wait() == RTT // 4
    assert sent(wire) == full(1, 1001)


def test_what_arrives_within_the_window_is_not_resent(wire: Script) -> None:
    flying(wire, 2, more=0)
    wire.inject(ack=1, sack=[(1001, 2001)])
    wire.advance(RTT // 4 - 1)
    wire.inject(ack=2001)
    wire.expect_silence(SECOND)
    assert wire.tcp.next_deadline() is None
    assert wire.tcp.info().reordering_seen == 1


def test_only_what_was_sent_before_something_delivered_is_lost(wire: Script) -> None:
    flying(wire, 10, more=0)
    wire.inject(ack=1, sack=[(3001, 6001)])
    assert sent(wire) == full(1, 1001)  # PRR lets the others wait
    assert (wire.tcp.info().lost, wire.tcp.info().in_flight) == (2000, 5000)
    wire.inject(ack=1, sack=[(3001, 8001)])
    assert sent(wire) == full(1001, 3001)


def test_once_reordering_was_seen_three_duplicates_are_not_enough(wire: Script) -> None:
    """Step 3 and 4: from then on only time tells."""
    flying(wire)
    wire.inject(ack=1, sack=[(1001, 2001)])
    wire.inject(ack=2001)
    sent(wire)
    assert wire.tcp.info().reordering_seen == 1
    wire.inject(ack=2001, sack=[(3001, 8001)])
    assert (2001, 3001) not in sent(wire)
    wire.advance(RTT // 4)
    assert (2001, 3001) in sent(wire)


def test_retransmissions_that_are_delivered_late_are_no_reordering(wire: Script) -> None:
    flying(wire)
    wire.inject(ack=1, sack=[(1001, 5001)])
    wire.advance(RTT)
    wire.inject(ack=5001)
    assert wire.tcp.info().reordering_seen == 0


def test_a_retransmission_that_is_lost_is_found_without_the_timer(wire: Script) -> None:
    """RFC 8985 section 3.4: by what was sent after it."""
    flying(wire)
    wire.inject(ack=1, sack=[(1001, 9001)])
    first = sent(wire)
    assert first[0] == (1, 1001)
    wire.advance(RTT)
    wire.inject(ack=1, sack=[(1001, first[-1][1])])
    assert sent(wire)[0] == (1, 1001)


def test_the_loss_of_a_retransmission_reduces_the_window_again(wire: Script) -> None:
    """RFC 5681 section 4.3: two indications of congestion."""
    flying(wire)
    wire.inject(ack=1, sack=[(1001, 9001)])
    last = sent(wire)[-1][1]
    assert wire.tcp.congestion.ssthresh == 5000
    wire.advance(RTT)
    wire.inject(ack=1, sack=[(1001, last)])
    assert wire.tcp.congestion.ssthresh < 5000
    again = wire.tcp.congestion.ssthresh
    wire.inject(ack=1, sack=[(1001, last)])
    assert wire.tcp.congestion.ssthresh == again


def test_an_answer_too_early_for_the_retransmission_proves_nothing(wire: Script) -> None:
    """Step 2: the original arrived, so the retransmission says nothing of what was sent before it."""
    flying(wire)
    wire.inject(ack=1, sack=[(1001, 4001)])
    assert sent(wire)[0] == (1, 1001)
    wire.advance(1 * MS)
    wire.inject(ack=5001)  # one millisecond after it left
    assert not [each for each in sent(wire) if each[0] < 10_001]
    assert wire.tcp.info().lost == 0


def test_all_holes_are_resent_and_nothing_else(wire: Script) -> None:
    flying(wire, 20, more=0, initial_window=20)
    holes = [1, 4001, 9001, 9001 + 1000]
    got = [(1001, 4001), (5001, 9001), (11_001, 19_001)]
    for start, end in got:
        wire.inject(ack=1, sack=[(start, end)])
    for _ in range(10):
        wire.advance(RTT)
        wire.inject(ack=1, sack=[(11_001, 20_001), *got[:2]])
    resent = sent(wire)
    assert set(resent) >= {(hole, hole + 1000) for hole in holes}
    assert {start for start, _ in resent} == set(holes)


def test_recovery_ends_with_what_was_sent_before_it(wire: Script) -> None:
    flying(wire)
    wire.inject(ack=1, sack=[(1001, 8001)])
    left = sent(wire)
    wire.advance(RTT)
    wire.inject(ack=9001, sack=[(10_001, 10_001)])
    assert wire.tcp.info().in_recovery
    wire.inject(ack=10_001)
    assert not wire.tcp.info().in_recovery
    assert wire.tcp.congestion.cwnd == wire.tcp.congestion.ssthresh == 5000
    assert left[0] == (1, 1001)


def test_the_rate_is_reduced_in_proportion(wire: Script) -> None:
    """RFC 6937: about one segment leaves for two that arrive, until the flight is ssthresh."""
    flying(wire, 20, initial_window=20)
    wire.inject(ack=1, sack=[(1001, 4001)])
    out = len(sent(wire))
    for end in range(5001, 20_002, 1000):
        wire.inject(ack=1, sack=[(1001, end)])
        now_out = len(sent(wire))
        assert now_out <= 1
        out += now_out
        assert abs(out - (end - 1001) / 1000 / 2) <= 1
    assert wire.tcp.info().in_flight == wire.tcp.congestion.ssthresh == 10_000


def test_heavy_loss_is_recovered_by_conservation_and_slow_start(wire: Script) -> None:
    """RFC 9937: when less than ssthresh is in flight, what arrives is replaced; on an ACK that moves SND.UNA and tells
    of no further loss by a segment more."""
    flying(wire, 20, more=0, initial_window=20)
    wire.inject(ack=1, sack=[(19_001, 20_001)])
    assert sent(wire) == []
    wire.advance(RTT // 4)
    assert sent(wire) == full(1, 1001)
    wire.advance(RTT)
    wire.inject(ack=1001, sack=[(19_001, 20_001)])
    assert sent(wire) == full(1001, 3001)
    wire.advance(RTT)
    wire.inject(ack=2001, sack=[(19_001, 20_001)])
    wire.inject(ack=3001, sack=[(19_001, 20_001)])
    assert sent(wire) == full(3001, 7001)


def test_a_hole_in_a_super_segment_is_resent_at_segment_size(wire: Script) -> None:
    wire.established(sack=True, rtt=RTT, send_buffer=1 << 20, congestion="newreno")
    wire.tso = 65_000
    wire.send(10_000)
    assert sent(wire) == [(1, 10_001)]
    wire.advance(RTT)
    wire.inject(ack=1, sack=[(3001, 6001), (7501, 10_001)])
    resent = sent(wire)
    wire.advance(RTT)
    wire.inject(ack=6001, sack=[(7501, 10_001)])
    assert [*resent, *sent(wire)] == [*full(1, 3001), (6001, 7001), (7001, 7501)]


def test_a_block_within_one_segment_counts_exactly(wire: Script) -> None:
    flying(wire, 10, more=0)
    wire.inject(ack=1, sack=[(1501, 1601)])
    assert wire.tcp.info().sacked == 100
    assert wire.tcp.info().in_flight == 9900


@pytest.mark.parametrize(
    "block",
    [(5001, 4001), (20_001, 21_001), (9001, 30_001), (1001, 1001), (2**31, 2**31 + 9)],
    ids=["backwards", "unsent", "half unsent", "empty", "far"],
)
def test_senseless_blocks_are_ignored(wire: Script, block: tuple[int, int]) -> None:
    flying(wire, 10, more=0)
    wire.inject(ack=1, sack=[block])
    info = wire.tcp.info()
    assert (info.sacked, info.in_flight, info.dsacks) == (0, 10_000, 0)


def test_more_runs_than_allowed_are_not_believed(wire: Script) -> None:
    flying(wire, 10, more=0, scoreboard_ranges=3)
    for start in range(1, 5000, 10):
        wire.inject(ack=1, sack=[(start + 5, start + 6)])
    assert wire.tcp.info().sacked == 3
    wire.inject(ack=5001)
    wire.inject(ack=5001, sack=[(6001, 7001)])
    assert wire.tcp.info().sacked == 1000


def test_the_peer_may_renege(wire: Script) -> None:
    """RFC 2018 section 8: what it reported and does not have any more is resent after the timeout."""
    flying(wire, 5, more=0)
    wire.inject(ack=1, sack=[(1001, 5001)])
    assert sent(wire) == full(1, 1001)
    wire.advance(RTT)
    wire.inject(ack=1001)  # and nothing of what it had reported
    assert wire.tcp.snd_una - wire.place.iss == 1001
    resent: list[tuple[int, int]] = []
    for _ in range(10):
        if wire.tcp.unacknowledged:
            if not wire.sent:
                wire.wait()
            resent += sent(wire)
            wire.inject(ack=resent[-1][1])
    assert resent == full(1001, 5001)
    assert wire.tcp.info().unacked == 0


def test_after_a_timeout_what_the_peer_holds_is_not_resent(wire: Script) -> None:
    """RFC 6675 section 5.1: as long as the first unacknowledged octet is not one that it reported."""
    flying(wire, 5, more=0)
    wire.inject(ack=1, sack=[(2001, 5001)])
    assert sent(wire) == full(1, 2001)
    while wire.tcp.info().phase != "Loss":
        wire.wait()
        assert all(start < 2001 for start, _ in sent(wire))
    wire.inject(ack=1001, sack=[(2001, 5001)])
    assert sent(wire) == full(1001, 2001)


def test_a_timeout_marks_only_what_is_old_enough(wire: Script) -> None:
    """RFC 8985 section 6.3."""
    wire.established(sack=True, rtt=RTT, send_buffer=1 << 20, congestion="newreno", loss_probe=False, nodelay=True)
    wire.send(1000)
    wire.advance(290 * MS)
    wire.send(1000)
    sent(wire)
    wire.wait()
    assert sent(wire) == full(1, 1001)
    info = wire.tcp.info()
    assert (info.phase, info.lost, info.in_flight) == ("Loss", 0, 2000)


def test_blocks_of_an_old_acknowledgement_count_too(wire: Script) -> None:
    flying(wire)
    wire.inject(ack=3001)
    wire.inject(ack=2001, sack=[(5001, 6001)])
    assert wire.tcp.info().sacked == 1000


def test_the_round_trip_is_measured_by_blocks_too(wire: Script) -> None:
    flying(wire, 5, more=0)
    before = wire.tcp.info().srtt
    wire.advance(100 * MS)
    wire.inject(ack=1, sack=[(1001, 2001)])
    assert before is not None
    assert wire.tcp.info().srtt == before + 100 * MS // 8


def test_without_sack_recovery_is_newreno(wire: Script) -> None:
    wire.established(sack=True, rtt=RTT, send_buffer=1 << 20, congestion="newreno")
    wire.established(rtt=RTT, send_buffer=1 << 20, congestion="newreno")
    wire.send(50_000)
    sent(wire)
    wire.advance(RTT)
    for _ in range(3):
        wire.inject(ack=1)
    assert sent(wire)[-1] == (1, 1001)
    assert wire.tcp.info().in_recovery
    assert wire.tcp.info().phase == "Open"


def window(*, seen: int = 0) -> ReorderingWindow:
    rack = ReorderingWindow()
    rack.seen = seen
    return rack


def test_the_window_is_a_quarter_of_the_least_round_trip() -> None:
    assert window().update(80, 100, recovering=False, sacked_segments=2) == 20


def test_there_is_none_in_recovery_before_reordering_was_seen() -> None:
    assert window().update(80, 100, recovering=True, sacked_segments=0) == 0
    assert window().update(80, 100, recovering=False, sacked_segments=3) == 0
    assert window(seen=1).update(80, 100, recovering=True, sacked_segments=3) == 20


def test_a_recovery_that_ends_with_the_dsack_does_not_count_among_the_sixteen() -> None:
    """Section 6.2, step 4, the pseudocode: "else if"."""
    rack = window(seen=1)
    rack.on_dsack(0, 1000)
    rack.on_recovered()
    for _ in range(15):
        assert rack.update(80, 100, recovering=False, sacked_segments=0) == 40
        rack.on_recovered()
    assert rack.update(80, 100, recovering=False, sacked_segments=0) == 40
    rack.on_recovered()
    assert rack.update(80, 100, recovering=False, sacked_segments=0) == 20


def test_each_round_trip_with_a_dsack_widens_it_up_to_the_smoothed_round_trip() -> None:
    rack = window(seen=1)
    rack.on_dsack(0, 1000)
    rack.on_dsack(500, 2000)  # the same round trip
    assert rack.update(80, 100, recovering=False, sacked_segments=0) == 40
    rack.on_dsack(1000, 3000)
    assert rack.update(80, 100, recovering=False, sacked_segments=0) == 60
    for una in range(3000, 100_000, 1000):
        rack.on_dsack(una, una + 1000)
    assert rack.update(80, 100, recovering=False, sacked_segments=0) == 100


def test_sixteen_recoveries_without_a_dsack_narrow_it_again() -> None:
    rack = window(seen=1)
    rack.on_dsack(0, 1000)
    rack.update(80, 100, recovering=False, sacked_segments=0)
    for _ in range(15):
        rack.on_recovered()
    assert rack.update(80, 100, recovering=False, sacked_segments=0) == 40
    rack.on_recovered()
    assert rack.update(80, 100, recovering=False, sacked_segments=0) == 20


def test_the_least_round_trip_is_forgotten_after_a_while() -> None:
    """RFC 8985 section 6.2 step 1: the path may become longer."""
    rtt = RttEstimator(1 * SECOND, 200 * MS, 120 * SECOND)
    rtt.sample(10 * MS, 0)
    for second in range(1, 301):
        rtt.sample(50 * MS, second * SECOND)
    assert rtt.minimum == 10 * MS
    for second in range(301, 700):
        rtt.sample(50 * MS, second * SECOND)
    assert rtt.minimum == 50 * MS


def test_what_arrives_together_is_answered_one_by_one(wire: Script) -> None:
    """An acknowledgement in order, and one that tells of a loss, in one turn: new data leaves for the first before the
    second reduces the window, and the window is reduced from what was in flight then."""
    flying(wire)
    wire.hold = True
    wire.inject(ack=4001)
    wire.inject(ack=4001, sack=[(5001, 8001)])
    wire.hold = False
    assert sent(wire) == [*full(10_001, 18_001), (4001, 5001), (18_001, 19_001)]
    assert wire.tcp.info().ssthresh == 7000


def test_duplicates_without_new_blocks_let_nothing_out(wire: Script) -> None:
    """With SACK only new blocks say that something has arrived (RFC 5681 section 3.2, step 1; RFC 6675 section 2)."""
    flying(wire)
    for _ in range(5):
        wire.inject(ack=1)
    assert sent(wire) == []
    wire.inject(ack=1, sack=[(1001, 2001)])
    assert sent(wire) == full(10_001, 11_001)
    for _ in range(5):
        wire.inject(ack=1, sack=[(1001, 2001)])
    assert sent(wire) == []
    assert wire.tcp.info().phase == "Open"


def test_what_a_timeout_takes_for_lost_is_judged_by_the_last_round_trip(wire: Script) -> None:
    """By RACK.rtt, that of the segment delivered last, where nothing was amiss too (RFC 8985 sections 6.2 and 6.3)."""
    wire.established(sack=True, rtt=10 * MS, loss_probe=False)
    wire.send(1000)
    wire.sent.clear()
    wire.advance(190 * MS)
    wire.inject(ack=1001)
    wire.send(1000)
    wire.advance(100 * MS)
    wire.send(1000)
    wire.sent.clear()
    assert wire.wait() < 190 * MS
    assert sent(wire) == full(1001, 2001)
    assert wire.tcp.info().lost == 0


def test_marks_count_what_has_just_arrived_among_what_was_in_flight(wire: Script) -> None:
    """RFC 6937 section 3: RecoverFS; 3 of 10 segments arrive, so 3 * 5 / 10 may leave, in whole segments."""
    wire.make(ecn=True, sack=True, congestion="newreno", send_buffer=1 << 20, quick_acks=0)
    wire.tcp.connect(wire.now)
    wire.expect("SEW 0:1")
    wire.now += RTT
    wire.inject("S.E", mss=1000, sack_permitted=True)
    wire.send(100_000)
    assert sent(wire) == full(1, 10_001)
    wire.advance(RTT)
    wire.inject(".E", ack=3001)
    assert sent(wire) == full(10_001, 12_001)
