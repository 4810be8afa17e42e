"""When things happen: relative and absolute times, ranges, any time, blocking calls, the tolerance."""

from typing import Any

import pytest

from pystack.units import MS, SECOND
from tests.testing.packetdrill.drill import Drill

WRITE = "+.1  write(4, ..., 100) = 100\n+0   > P. 1:101(100) ack 1\n"
RESENT = "> P. 1:101(100) ack 1\n"
"""300 ms after the first: the retransmission timeout."""


def test_relative_time_counts_from_the_event_before(drill: Drill) -> None:
    drill.passes(WRITE + "+.3 " + RESENT + "+.6 " + RESENT)


def test_absolute_time_counts_from_the_start(drill: Drill) -> None:
    drill.passes(WRITE + "0.5 " + RESENT + "1.1 " + RESENT)


def test_relative_time_counts_from_when_a_packet_really_came(drill: Drill) -> None:
    drill.passes(WRITE + "+.297 " + RESENT + "+.6 " + RESENT)


def test_any_time(drill: Drill) -> None:
    drill.passes(WRITE + "* " + RESENT + "* " + RESENT + "* " + RESENT)


def test_relative_range(drill: Drill) -> None:
    drill.passes(WRITE + "+.2~+.4 " + RESENT)
    assert "too late" in drill.fails(WRITE + "+.2~+.25 " + RESENT)
    assert "too early" in drill.fails(WRITE + "+.4~+.5 " + RESENT, tolerance_percent=0)


def test_absolute_range(drill: Drill) -> None:
    drill.passes(WRITE + "0.4~0.6 " + RESENT)
    assert "expected at 0.600000 to 0.700000 s" in drill.fails(WRITE + "0.6~0.7 " + RESENT, tolerance_percent=0)


def test_a_packet_may_be_four_milliseconds_off(drill: Drill) -> None:
    exact: dict[str, Any] = {"tolerance_percent": 0}
    drill.passes(WRITE + "+.296 " + RESENT, **exact)
    drill.passes(WRITE + "+.304 " + RESENT, **exact)
    assert "0.005000 s too late" in drill.fails(WRITE + "+.295 " + RESENT, **exact)
    assert "0.005000 s too early" in drill.fails(WRITE + "+.305 " + RESENT, **exact)


def test_or_an_eighth_of_the_gap(drill: Drill) -> None:
    drill.passes(WRITE + "+.342 " + RESENT)
    drill.passes(WRITE + "+.267 " + RESENT)
    assert "0.044000 s too early" in drill.fails(WRITE + "+.344 " + RESENT)
    assert "0.034000 s too late" in drill.fails(WRITE + "+.266 " + RESENT)


def test_the_script_sets_the_tolerance(drill: Drill) -> None:
    early = WRITE + "+.255 " + RESENT
    assert "tolerance 0.031875 s" in drill.fails(early)
    drill.passes("--tolerance_usecs=50000\n" + early)


def test_an_event_that_comes_too_late_to_start(drill: Drill) -> None:
    assert "the event came 0.100000 s too late" in drill.fails("0 write(4, ..., 1) = 1")


def test_a_call_that_blocks_returns_at_its_time(drill: Drill) -> None:
    drill.passes("+0...0.2 read(4, ..., 10) = 5\n+.2 < P. 1:6(5) ack 1 win 100\n+0 > . 1:1(0) ack 6")
    text = drill.fails("+0...0.2 read(4, ..., 10) = 5\n+.1 < P. 1:6(5) ack 1 win 100\n+0 > . 1:1(0) ack 6")
    assert "the call's return came 0.100000 s too early" in text
    assert "expected at 0.300000 s" in text
    assert "it came at  0.200000 s" in text


def test_absolute_end_of_a_blocking_call(drill: Drill) -> None:
    drill.passes("0.2...0.5 read(4, ..., 10) = 5\n0.5 < P. 1:6(5) ack 1 win 100\n+0 > . 1:1(0) ack 6")


def test_the_next_call_waits_for_the_one_that_blocks(drill: Drill) -> None:
    drill.passes(
        "+0...0.2 read(4, ..., 10) = 5\n+.2 < P. 1:6(5) ack 1 win 100\n+0 > . 1:1(0) ack 6\n+.1 write(4, ..., 1) = 1"
    )


def test_a_blocking_call_that_never_returns(drill: Drill) -> None:
    text = drill.fails("+0...0.2 read(4, ..., 10) = 5\n+.1 < . 1:1(0) ack 1 win 100")
    assert "a.pkt:10: the call does not return" in text
    assert "expected at 0.300000 s" in text


def test_a_call_without_an_end_must_not_block(drill: Drill) -> None:
    assert "give it an end time" in drill.fails("+0 read(4, ..., 10) = 5")


def test_what_went_out_before_the_blocking_call_returned_is_still_expected(drill: Drill) -> None:
    drill.passes(
        "+0...0.3 read(4, ..., 10) = 5\n+.1 < . 101:201(100) ack 1 win 100\n+0 > . 1:1(0) ack 1\n"
        "+.2 < P. 1:6(5) ack 1 win 100\n+0 > . 1:1(0) ack 6"
    )


def test_time_is_virtual(drill: Drill) -> None:
    report = drill.passes("+86400 write(4, ..., 1) = 1\n+0 > P. 1:2(1) ack 1")
    assert report.duration == 86400 * SECOND + 100 * MS


@pytest.mark.parametrize("start", ["0.1", "+0"])
def test_packets_arrive_exactly_when_they_should(drill: Drill, start: str) -> None:
    drill.passes(f"{start} < P. 1:6(5) ack 1 win 9\n+0 > . 1:1(0) ack 6", tolerance=0, tolerance_percent=0)


def test_inbound_packets_that_follow_each_other_keep_the_scripts_time(drill: Drill) -> None:
    """The first comes 3 ms late, behind a packet that did; the second is counted from where the first should be."""
    drill.passes(
        WRITE + "+.297 " + RESENT + "0.497 < . 1:1(0) ack 101 win 9\n+.1 < P. 1:11(10) ack 101 win 9\n"
        "0.597 > . 101:101(0) ack 11",
        tolerance_percent=0,
    )
