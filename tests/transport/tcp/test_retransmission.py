"""The retransmission timer: RFC 6298, RFC 9293 section 3.8.1 to 3.8.3, Karn."""

import errno

import pytest

from pystack.transport.tcp import State
from pystack.transport.tcp.rtt import RttEstimator
from pystack.units import MS, SECOND, Ns
from tests.transport.tcp.script import Script


def estimator() -> RttEstimator:
    return RttEstimator(1 * SECOND, 200 * MS, 120 * SECOND)


def test_the_rto_before_any_measurement_is_a_second() -> None:
    assert estimator().rto == 1 * SECOND


def test_the_first_measurement() -> None:
    """RFC 6298 (2.2)."""
    rtt = estimator()
    rtt.sample(500 * MS)
    assert (rtt.srtt, rtt.rttvar, rtt.rto) == (500 * MS, 250 * MS, 1500 * MS)


def test_later_measurements() -> None:
    """RFC 6298 (2.3): the variance sees the old SRTT."""
    rtt = estimator()
    rtt.sample(800 * MS)
    rtt.sample(400 * MS)
    assert (rtt.srtt, rtt.rttvar) == (750 * MS, 400 * MS)
    assert rtt.rto == 2350 * MS
    assert rtt.minimum == 400 * MS


def test_the_floor_is_on_the_variance_as_in_linux() -> None:
    rtt = estimator()
    for _ in range(100):
        rtt.sample(Ns(102_600_000))
    assert rtt.rto - 302_600_000 <= 1


def test_backing_off_lasts_until_the_next_measurement() -> None:
    rtt = estimator()
    rtt.sample(100 * MS)
    for _ in range(20):
        rtt.back_off()
    assert rtt.rto == 120 * SECOND
    rtt.sample(100 * MS)
    assert rtt.rto < 1 * SECOND


def test_restart_counts_only_before_a_measurement() -> None:
    rtt = estimator()
    rtt.restart(3 * SECOND)
    assert rtt.rto == 3 * SECOND
    rtt.sample(100 * MS)
    rtt.restart(3 * SECOND)
    assert rtt.rto == 300 * MS


def test_lost_data_is_sent_again_with_doubling_intervals(wire: Script) -> None:
    wire.established(rtt=100 * MS, app_sends=1000)
    wire.expect("1:1001")
    for interval in (300, 600, 1200, 2400):
        assert wire.wait() == interval * MS
        wire.expect("1:1001")


def test_the_timer_starts_again_with_each_acknowledgement_of_new_data(wire: Script) -> None:
    """RFC 6298 (5.3)."""
    wire.established(rtt=100 * MS, app_sends=2000)
    wire.expect("1:1001", "1001:2001")
    wire.advance(100 * MS)
    wire.inject(ack=1001)
    assert wire.wait() == 300 * MS
    wire.expect("1001:2001")


def test_no_timer_when_all_is_acknowledged(wire: Script) -> None:
    wire.established(app_sends=2000)
    wire.inject()
    assert wire.tcp.next_deadline() is None


def test_after_a_timeout_everything_in_flight_goes_again_in_slow_start(wire: Script) -> None:
    """RFC 5681 section 3.1: the loss window is one segment, ssthresh half of what was in flight."""
    wire.established(app_sends=4000, congestion="newreno")
    wire.expect("1:1001", "1001:2001", "2001:3001", "3001:4001")
    wire.wait()
    wire.expect("1:1001")
    assert (wire.tcp.congestion.cwnd, wire.tcp.congestion.ssthresh) == (1000, 2000)
    wire.inject(ack=1001)
    wire.expect("1001:2001", "2001:3001")
    wire.inject(ack=4001)
    wire.expect_silence(10 * SECOND)


def test_ssthresh_stays_when_the_same_segment_is_lost_again(wire: Script) -> None:
    wire.established(app_sends=8000, congestion="newreno")
    wire.sent.clear()
    wire.wait()
    assert wire.tcp.congestion.ssthresh == 4000
    wire.sent.clear()
    wire.wait()
    assert wire.tcp.congestion.ssthresh == 4000


def test_karn_a_segment_sent_twice_is_not_measured(wire: Script) -> None:
    """RFC 9293 MUST-18."""
    wire.established(rtt=100 * MS, app_sends=1000)
    srtt = wire.tcp.info().srtt
    wire.expect("1:1001")
    wire.wait()
    wire.expect("1:1001")
    wire.inject()
    assert wire.tcp.info().srtt == srtt
    assert wire.tcp.info().rto == 600 * MS  # backed off until something is measured
    wire.send(1000)
    wire.advance(100 * MS)
    wire.inject()
    assert wire.tcp.info().rto < 350 * MS


def test_only_a_measurement_takes_the_back_off_back(wire: Script) -> None:
    """RFC 6298 section 5, after (5.7): one of data that was sent once."""
    wire.established(rtt=100 * MS, app_sends=2000)
    wire.expect("1:1001", "1001:2001")
    for _ in range(6):
        wire.wait()
        wire.expect("1:1001")
    assert wire.tcp.info().rto == 300 * MS * 2**6
    wire.inject(ack=1001)
    wire.expect("1001:2001")
    assert wire.tcp.info().rto == 300 * MS * 2**6  # what was resent got through: that says nothing
    wire.send(1000)
    wire.expect("2001:3001")
    wire.inject(ack=3001)  # the first of the two was resent: which of them brought forth the answer?
    assert wire.tcp.info().rto == 300 * MS * 2**6
    assert wire.tcp.info().backoffs == 6
    wire.send(1000)
    wire.expect("3001:4001")
    wire.advance(100 * MS)
    wire.inject(ack=4001)
    assert wire.tcp.info().rto == 300 * MS
    assert wire.tcp.info().backoffs == 0


def test_with_timestamps_the_echo_tells_which_one_was_answered(wire: Script) -> None:
    """RFC 7323 section 4: the retransmission was answered after 50 ms."""
    wire.established(timestamps=True, rtt=100 * MS, app_sends=900)
    wire.sent.clear()
    wire.wait()
    echo = wire.sent[-1][1].ts_val
    assert echo is not None
    wire.advance(50 * MS)
    wire.inject(ts=(700, echo))
    assert wire.tcp.info().rto < 400 * MS
    assert wire.tcp.info().srtt == 100 * MS + (50 - 100) * MS // 8


def test_the_echo_of_an_earlier_transmission_measures_nothing(wire: Script) -> None:
    """All ACKs were lost; the answer to the last repetition echoes the first one, a minute ago."""
    wire.established(timestamps=True, rtt=100 * MS, app_sends=900)
    echo = wire.take().ts_val
    assert echo is not None
    for _ in range(7):
        wire.wait()
        wire.sent.clear()
    wire.advance(100 * MS)
    wire.inject(ts=(90_000, echo))
    assert wire.tcp.info().srtt == 100 * MS


def test_data_is_given_up_after_15_retransmissions(wire: Script) -> None:
    """R2. RFC 9293 MUST-20 and MUST-21: at least 100 seconds; Linux's 15 make 924.6."""
    wire.established(app_sends=1000)
    begin = wire.now
    wire.sent.clear()
    for count in range(15):
        wire.wait()
        wire.sent.clear()
        assert wire.tcp.info().retransmits == count + 1
    while wire.tcp.state is not State.CLOSED:
        wire.advance(SECOND // 10)
    wire.expect_nothing()
    assert isinstance(wire.tcp.error, TimeoutError)
    assert wire.tcp.error.errno == errno.ETIMEDOUT
    assert (wire.now - begin) // SECOND == 924


def test_r1_tells_that_the_path_may_be_dead(wire: Script) -> None:
    """RFC 9293 MUST-20 (a); R1 is 3, SHLD-10."""
    wire.established(app_sends=1000)
    for _ in range(2):
        wire.sent.clear()
        wire.wait()
    assert not wire.tcp.path_suspect
    wire.sent.clear()
    wire.wait()
    assert wire.tcp.path_suspect
    wire.inject()
    assert not wire.tcp.path_suspect


def test_progress_starts_the_count_again(wire: Script) -> None:
    wire.established(app_sends=2000)
    for _ in range(10):
        wire.sent.clear()
        wire.wait()
    wire.inject(ack=1001)
    assert wire.tcp.info().retransmits == 0
    assert wire.tcp.error is None


def test_a_segment_that_never_left_is_not_counted_as_lost(wire: Script) -> None:
    """The link has no room: the timer must not use up R2, nor back off."""
    wire.established(app_sends=1000)
    wire.sent.clear()
    wire.hold = True
    wire.advance(600 * SECOND)
    assert wire.tcp.state is State.ESTABLISHED
    assert wire.tcp.info().retransmits == 1
    wire.hold = False
    wire.advance(0)
    wire.expect("1:1001")


def test_an_acknowledgement_that_comes_late_stops_the_resending(wire: Script) -> None:
    wire.established(app_sends=4000)
    wire.sent.clear()
    wire.wait()
    wire.expect("1:1001")
    wire.inject(ack=3001)
    wire.expect("3001:4001")
    assert wire.tcp.snd_una <= wire.tcp.snd_nxt


@pytest.mark.parametrize("lost", [0, 1, 9])
def test_retransmissions_carry_the_latest_ack_and_window(wire: Script, lost: int) -> None:
    wire.established(app_sends=1000)
    wire.sent.clear()
    wire.inject(data=lost, ack=1)
    wire.wait()
    while len(wire.sent) > 1:
        wire.sent.popleft()
    assert wire.relative_ack(wire.sent[-1][1]) == 1 + lost


def test_small_segments_are_joined_when_they_go_again(wire: Script) -> None:
    wire.established(nodelay=True)
    for size in (300, 300, 300):
        wire.send(size)
    wire.expect("1:301", "301:601", "601:901")
    wire.send(300)
    wire.expect("901:1201")
    wire.wait()
    wire.expect("1:1001")
    wire.inject(ack=1001)
    wire.expect("1001:1201")
