"""Retransmissions that were for nothing: F-RTO (RFC 5682), Eifel (RFC 3522, 4015), DSACK (RFC 2883, 3708)."""

import pytest

from pystack.units import MS
from tests.transport.tcp.script import Script
from tests.transport.tcp.selective import RTT, flying, full, sent


def timed_out(wire: Script, *, sack: bool, timestamps: bool = False, more: int = 200_000) -> int:
    """Ten segments of 1000 are in flight, and the first left again. Returns the first transmission's timestamp."""
    mss = 1012 if timestamps else 1000
    wire.established(
        mss=mss,
        sack=sack,
        timestamps=timestamps,
        rtt=RTT,
        send_buffer=1 << 20,
        congestion="newreno",
        loss_probe=False,
        initial_window=10,
    )
    echo = wire.echo
    wire.send(10_000 + more)
    assert sent(wire) == full(1, 10_001)
    wire.wait()
    assert sent(wire) == full(1, 1001)
    assert wire.tcp.congestion.cwnd == 1000
    return echo


@pytest.mark.parametrize("sack", [True, False])
def test_a_late_flight_is_not_resent(wire: Script, sack: bool) -> None:
    """RFC 5682 step 2 and 3: two new segments instead of what is taken for lost, then originals are acknowledged."""
    timed_out(wire, sack=sack)
    wire.inject(ack=1001)
    assert sent(wire) == full(10_001, 12_001)
    wire.inject(ack=2001)
    info = wire.tcp.info()
    assert (info.lost, info.ssthresh, info.in_recovery, info.phase) == (0, None, False, "Open")
    assert not [each for each in sent(wire) if each[0] < 12_001]
    assert info.in_flight == info.cwnd == 11_000  # as before, and slow start goes on


@pytest.mark.parametrize("sack", [True, False])
def test_a_duplicate_after_the_new_segments_means_that_the_timeout_was_right(wire: Script, sack: bool) -> None:
    """Step 3 (a)."""
    timed_out(wire, sack=sack)
    wire.inject(ack=1001)
    assert sent(wire) == full(10_001, 12_001)
    wire.inject(ack=1001, sack=[(10_001, 11_001)] if sack else [])
    assert sent(wire)[0] == (1001, 2001)
    assert wire.tcp.congestion.cwnd <= 3000
    assert wire.tcp.congestion.ssthresh == 5000


def test_a_duplicate_at_once_means_so_without_sack(wire: Script) -> None:
    """Section 2.1 step 2 (a)."""
    timed_out(wire, sack=False)
    wire.inject(ack=1)
    wire.inject(ack=1001)
    assert sent(wire)[0] == (1001, 2001)


def test_blocks_before_the_acknowledgement_do_not_end_the_wait(wire: Script) -> None:
    """Section 3.1 step 2."""
    timed_out(wire, sack=True)
    wire.inject(ack=1, sack=[(5001, 6001)])
    wire.inject(ack=1001, sack=[(5001, 6001)])
    assert sent(wire)[0] == (10_001, 11_001)
    wire.inject(ack=1001, sack=[(5001, 7001)])  # sent before the timeout, and delivered
    assert wire.tcp.info().ssthresh is None


@pytest.mark.parametrize("sack", [True, False])
def test_an_acknowledgement_of_half_of_what_was_resent_proves_nothing(wire: Script, sack: bool) -> None:
    """Section 2.1 step 2 (a): a peer that acknowledges by halves could make any timeout look spurious."""
    timed_out(wire, sack=sack)
    wire.inject(ack=501)
    assert sent(wire)[0][0] in (501, 1001)
    wire.inject(ack=502)
    assert wire.tcp.congestion.ssthresh == 5000
    assert not wire.tcp.info().in_recovery
    assert wire.tcp.congestion.cwnd <= 3000


@pytest.mark.parametrize("sack", [True, False])
def test_a_timeout_that_comes_again_starts_it_again(wire: Script, sack: bool) -> None:
    """Section 2.1: from step 1."""
    timed_out(wire, sack=sack)
    wire.wait()
    assert sent(wire) == full(1, 1001)
    wire.inject(ack=1001)
    assert sent(wire) == full(10_001, 12_001)


@pytest.mark.parametrize("sack", [True, False])
def test_a_timeout_during_fast_recovery_does_not_start_it_at_its_second_coming_either(wire: Script, sack: bool) -> None:
    """Section 2.1 step 1: what fast recovery has resent may be what is acknowledged."""
    wire.established(sack=sack, rtt=RTT, send_buffer=1 << 20, congestion="newreno")
    wire.send(100_000)
    assert sent(wire) == full(1, 10_001)
    wire.advance(RTT)
    if sack:
        wire.inject(ack=1, sack=[(3001, 6001)])
    else:
        for _ in range(3):
            wire.inject(ack=1)
    assert (1, 1001) in sent(wire)
    for _ in range(2):
        wire.wait()
        assert sent(wire)[0] == (1, 1001)
    wire.inject(ack=1001)
    assert sent(wire)[0] == (1001, 2001)


@pytest.mark.parametrize("sack", [True, False])
def test_without_new_data_what_is_lost_goes_at_once(wire: Script, sack: bool) -> None:
    """Step 2 (b), the recommended action."""
    timed_out(wire, sack=sack, more=0)
    wire.inject(ack=1001)
    assert sent(wire) == full(1001, 3001)


@pytest.mark.parametrize("sack", [True, False])
def test_a_window_with_no_room_for_new_data_is_no_trap(wire: Script, sack: bool) -> None:
    """There is some room, but silly window avoidance does not use it."""
    timed_out(wire, sack=sack)
    wire.inject(ack=1001, win=9500)
    assert sent(wire)[0] == (1001, 2001)


def test_an_ack_of_everything_is_the_end(wire: Script) -> None:
    """Step 2 (a)."""
    timed_out(wire, sack=False)
    wire.inject(ack=10_001)
    assert wire.tcp.info().lost == 0
    assert wire.tcp.info().ssthresh == 5000
    assert sent(wire) == full(10_001, 12_001)


@pytest.mark.parametrize("ack", [2001, 10_001])
def test_with_sack_an_ack_of_what_was_not_resent_means_that_the_timeout_was_wrong(wire: Script, ack: int) -> None:
    """The peer would have reported it before."""
    timed_out(wire, sack=True)
    wire.inject(ack=ack)
    info = wire.tcp.info()
    assert (info.ssthresh, info.lost, info.phase, info.cwnd) == (None, 0, "Open", 9_999 + ack)
    assert not [each for each in sent(wire) if each[0] < 10_001]


def test_with_sack_a_report_of_what_was_not_resent_does_too(wire: Script) -> None:
    timed_out(wire, sack=True)
    wire.inject(ack=1, sack=[(1001, 2001)])
    assert (wire.tcp.info().ssthresh, wire.tcp.info().lost, wire.tcp.info().phase) == (None, 0, "Open")


def test_forward_recovery_can_be_switched_off(wire: Script) -> None:
    wire.established(sack=True, rtt=RTT, send_buffer=1 << 20, loss_probe=False, frto=False)
    wire.send(200_000)
    sent(wire)
    wire.wait()
    assert sent(wire) == full(1, 1001)
    wire.inject(ack=1001)
    assert sent(wire)[0] == (1001, 2001)


@pytest.mark.parametrize("sack", [True, False])
def test_an_echo_from_before_the_timeout_takes_it_back(wire: Script, sack: bool) -> None:
    """RFC 3522: the first acceptable ACK echoes the original."""
    echo = timed_out(wire, sack=sack, timestamps=True)
    wire.inject(ack=2001, ts=(900, echo))
    info = wire.tcp.info()
    assert (info.ssthresh, info.lost, info.phase) == (None, 0, "Open")
    assert not [each for each in sent(wire) if each[0] < 10_001]


@pytest.mark.parametrize("sack", [True, False])
def test_an_echo_of_the_retransmission_takes_nothing_back(wire: Script, sack: bool) -> None:
    timed_out(wire, sack=sack, timestamps=True)
    wire.inject(ack=1001)
    assert wire.tcp.info().ssthresh == 5000


def test_the_timer_is_more_patient_afterwards(wire: Script) -> None:
    """RFC 4015 step 11: from the first measurement of data that was new then."""
    echo = timed_out(wire, sack=True, timestamps=True)
    wire.inject(ack=2001, ts=(900, echo))
    assert sent(wire) == full(10_001, 14_001)
    assert wire.tcp.info().rto == 600 * MS  # nothing was measured yet
    echo = wire.echo
    wire.advance(250 * MS)
    wire.inject(ack=14_001, ts=(1500, echo))
    assert (wire.tcp.info().srtt, wire.tcp.info().rto) == (250 * MS, 750 * MS)


def test_a_late_original_takes_fast_retransmit_back(wire: Script) -> None:
    """With timestamps the ACK that fills the hole tells which transmission did."""
    wire.established(mss=1012, sack=True, timestamps=True, rtt=RTT, send_buffer=1 << 20, congestion="newreno")
    echo = wire.echo
    wire.send(200_000)
    sent(wire)
    wire.advance(RTT)
    wire.inject(ack=1, sack=[(1001, 4001)], ts=(800, echo))
    assert sent(wire)[0] == (1, 1001)
    assert wire.tcp.info().ssthresh == 5000
    wire.advance(20 * MS)
    wire.inject(ack=4001, ts=(820, echo))
    info = wire.tcp.info()
    assert (info.phase, info.ssthresh) == ("Open", None)
    assert info.cwnd >= 10_000
    assert info.reordering_seen > 0


def test_without_sack_too(wire: Script) -> None:
    wire.established(mss=1012, timestamps=True, rtt=RTT, send_buffer=1 << 20, congestion="newreno")
    echo = wire.echo
    wire.send(200_000)
    sent(wire)
    wire.advance(RTT)
    for _ in range(3):
        wire.inject(ack=1, ts=(800, echo))
    assert wire.tcp.info().in_recovery
    wire.advance(20 * MS)
    wire.inject(ack=4001, ts=(820, echo))
    assert not wire.tcp.info().in_recovery
    assert wire.tcp.info().ssthresh is None
    assert wire.tcp.info().cwnd >= 10_000


def test_a_dsack_for_all_that_was_resent_takes_the_reduction_back(wire: Script) -> None:
    flying(wire)
    wire.inject(ack=1, sack=[(1001, 4001)])
    assert sent(wire)[0] == (1, 1001)
    wire.inject(ack=5001)
    wire.advance(RTT)
    wire.inject(ack=5001, sack=[(1, 1001)])
    info = wire.tcp.info()
    assert (info.phase, info.ssthresh, info.cwnd, info.dsacks) == ("Open", None, 10_000, 1)


def test_a_dsack_for_some_of_it_does_not(wire: Script) -> None:
    flying(wire)
    wire.inject(ack=1, sack=[(2001, 6001)])
    wire.inject(ack=1, sack=[(2001, 9001)])
    assert set(sent(wire)) >= {(1, 1001), (1001, 2001)}
    wire.inject(ack=9001)
    wire.inject(ack=9001, sack=[(1, 1001)])
    assert wire.tcp.info().ssthresh == 5000
    wire.inject(ack=9001, sack=[(1001, 2001)])
    assert wire.tcp.info().ssthresh is None


def test_a_dsack_widens_the_reordering_window(wire: Script) -> None:
    """RFC 8985 section 6.2 step 4."""
    flying(wire)
    wire.inject(ack=1, sack=[(1001, 4001)])
    wire.advance(RTT)
    wire.inject(ack=10_001, sack=[(1, 1001)])
    wire.advance(RTT)
    wire.inject(ack=10_001, sack=[(11_001, 12_001)])
    assert wire.tcp.info().reordering_window == 2 * RTT // 4


def test_marks_forbid_to_take_a_reduction_back(wire: Script) -> None:
    """RFC 4015 (9): not when the ACK carries ECE."""
    wire.make(sack=True, ecn=True, congestion="newreno", send_buffer=1 << 20)
    wire.tcp.connect(wire.now)
    wire.expect("SEW 0:1")
    wire.now += RTT
    wire.inject("S.E", mss=1000, sack_permitted=True)
    wire.send(200_000)
    sent(wire)
    wire.advance(RTT)
    wire.inject(ack=1, sack=[(1001, 4001)])
    assert sent(wire)[0] == (1, 1001)
    wire.inject(".E", ack=4001, sack=[(1, 1001)])
    assert wire.tcp.info().ssthresh == 5000


def test_duplicates_of_old_data_take_nothing_back(wire: Script) -> None:
    """The block must lie in what was resent since the reduction."""
    flying(wire)
    wire.inject(ack=5001)
    sent(wire)
    wire.inject(ack=5001, sack=[(6001, 9001)])
    assert (5001, 6001) in sent(wire)
    wire.inject(ack=9001)
    before = wire.tcp.info().ssthresh
    wire.inject(ack=9001, sack=[(1001, 2001)])
    assert wire.tcp.info().ssthresh == before
