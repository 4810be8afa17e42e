"""CUBIC (RFC 9438) by itself: acknowledged octets, losses, round trips and times go in, a window comes out."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from pystack.transport.tcp.congestion import Cubic
from pystack.transport.tcp.congestion.base import INFINITE
from pystack.transport.tcp.congestion.cubic import _cube_root
from pystack.units import MS, SECOND, Ns

MSS = 1000
RTT: Ns = 100 * MS


class Flow:
    """A sender that always fills its window, one acknowledgement per segment."""

    def __init__(self, *, cwnd: int = 10, rtt: Ns = RTT) -> None:
        """`cwnd` and everything else in segments; slow start is over."""
        self.control = Cubic(MSS, 10 * MSS)
        self.control.cwnd = cwnd * MSS
        self.control.ssthresh = 2 * MSS
        self.rtt = rtt
        self.now: Ns = 0

    @property
    def cwnd(self) -> float:
        return self.control.cwnd / MSS

    def round(self) -> None:
        """One round trip."""
        count = self.control.cwnd // MSS
        for _ in range(count):
            self.now += self.rtt // count
            self.control.on_ack(MSS, self.rtt, self.now)

    def rounds(self, count: int) -> list[float]:
        """The window after each of `count` round trips."""
        windows = []
        for _ in range(count):
            self.round()
            windows.append(self.cwnd)
        return windows

    def lose(self) -> None:
        self.control.on_loss(self.control.cwnd, self.now)
        self.control.on_recovered(self.control.cwnd, self.now)

    def until(self, condition: Callable[[], bool]) -> Ns:
        """How long until `condition` holds."""
        start = self.now
        while not condition():
            self.round()
        return self.now - start


def test_a_loss_takes_three_tenths() -> None:
    flow = Flow(cwnd=100)
    flow.lose()
    assert flow.control.cwnd == flow.control.ssthresh == 70 * MSS


def test_what_limited_transmit_sent_does_not_count() -> None:
    """RFC 5681 section 3.2."""
    flow = Flow(cwnd=100)
    flow.control.on_loss(102 * MSS, 0)
    assert flow.control.ssthresh == 70 * MSS


def test_the_window_itself_is_reduced_whatever_was_in_flight() -> None:
    """Section 4.6 allows it where a window that is not filled does not grow."""
    flow = Flow(cwnd=100)
    flow.control.on_loss(20 * MSS, 0)
    assert flow.control.cwnd == flow.control.ssthresh == 70 * MSS


def test_no_loss_takes_it_below_two_segments_but_marks_may() -> None:
    flow = Flow(cwnd=2)
    flow.lose()
    assert flow.control.cwnd == flow.control.ssthresh == 2 * MSS
    flow.control.on_ecn(2 * MSS, 0)
    assert (flow.control.cwnd, flow.control.ssthresh) == (1400, 2 * MSS)
    flow.control.on_ecn(1400, 0)
    assert (flow.control.cwnd, flow.control.ssthresh) == (MSS, 2 * MSS)


def test_it_comes_back_to_the_plateau_after_k_seconds() -> None:
    """Figure 2: K = cbrt((1000 - 700) / 0.4) s = 9.09 s; `target` looks one round trip ahead."""
    flow = Flow(cwnd=1000)
    flow.lose()
    assert flow.until(lambda: flow.cwnd >= 999.5) == pytest.approx(9.09 * SECOND - RTT, rel=0.1)


@pytest.mark.parametrize("seconds", [1, 3, 6, 9, 12, 15])
def test_it_follows_the_cubic_function(seconds: int) -> None:
    """Figure 1, with `target` a round trip ahead: C (t + RTT - K)^3 + W_max."""
    flow = Flow(cwnd=1000)
    flow.lose()
    start = flow.now
    flow.until(lambda: flow.now - start >= seconds * SECOND)
    k = (300 / 0.4) ** (1 / 3)
    ahead = (flow.now - start) / SECOND + 0.1
    assert flow.cwnd == pytest.approx(1000 + 0.4 * (ahead - k) ** 3, rel=0.01)


def test_smaller_segments_do_not_make_it_jump() -> None:
    """K counts in segments: the curve of the old ones would begin far above the window."""
    cubic = Cubic(8960, 89_600)
    cubic.cwnd = cubic.ssthresh = 1_000_000
    cubic.on_loss(1_000_000, 0)
    cubic.on_ack(8960, SECOND // 10, 0)
    before = cubic.cwnd
    cubic.on_smss(1280)
    for number in range(before // 1280):
        cubic.on_ack(1280, SECOND // 10, SECOND // 10 + number)
    assert before < cubic.cwnd < before + 30_000


def test_concave_then_convex() -> None:
    """Sections 4.4 and 4.5: ever slower up to the plateau, ever faster beyond."""
    flow = Flow(cwnd=1000)
    flow.lose()
    windows = flow.rounds(180)
    steps = [later - earlier for earlier, later in pairwise(windows)]
    plateau = next(index for index, window in enumerate(windows) if window >= 1000)
    assert steps[10] > steps[30] > steps[50] > steps[70] > steps[plateau] < steps[120] < steps[150] < steps[170]
    assert min(steps) >= 0


def test_it_never_grows_by_more_than_half_per_round_trip() -> None:
    """Section 4.2: the upper bound of `target`."""
    flow = Flow(cwnd=10)
    flow.control.on_timeout(0, True, 0)
    flow.control.ssthresh = 2 * MSS
    flow.control.cwnd = 10 * MSS
    flow.round()
    flow.rtt = 20 * SECOND  # W_cubic one round trip from now is far away
    for _ in range(3):
        before = flow.cwnd
        flow.round()
        assert flow.cwnd <= 1.7 * before  # 1.5 times, compounded over the acknowledgements of one round


def test_with_short_round_trips_it_is_as_fast_as_reno() -> None:
    """Section 4.3: alpha is 9/17 segment per round trip below the window of the last event, and 1 above."""
    flow = Flow(cwnd=40, rtt=5 * MS)
    flow.lose()
    assert flow.rounds(10)[-1] == pytest.approx(28 + 10 * 9 / 17, abs=0.3)
    flow.until(lambda: flow.cwnd >= 40.5)
    before = flow.cwnd
    assert flow.rounds(10)[-1] == pytest.approx(before + 10, abs=0.5)


def test_one_acknowledgement_of_many_segments_counts_as_many() -> None:
    """Section 4.3's segments_acked: delayed or merged acknowledgements do not slow it down."""
    each, merged = Flow(cwnd=100), Flow(cwnd=100)
    for flow in (each, merged):
        flow.lose()
    each.round()
    merged.control.on_ack(70 * MSS, RTT, merged.now)
    merged.now += RTT
    for _ in range(50):
        each.round()
        count = merged.control.cwnd // MSS // 10
        for _ in range(10):
            merged.now += RTT // 10
            merged.control.on_ack(count * MSS, RTT, merged.now)
    assert merged.cwnd == pytest.approx(each.cwnd, rel=0.03)


def test_fast_convergence_gives_way_to_a_newcomer() -> None:
    """Section 4.7: lost below the last plateau, the next plateau is lower than the window was."""
    flow = Flow(cwnd=1000)
    flow.lose()
    flow.until(lambda: flow.cwnd >= 800)
    flow.lose()
    start, k = flow.now, ((800 * 0.85 - flow.cwnd) / 0.4) ** (1 / 3)
    flow.until(lambda: flow.now - start >= k * SECOND)
    assert flow.cwnd == pytest.approx(680, rel=0.01)  # it would be 790 by now


def test_after_a_timeout_the_plateau_is_where_slow_start_ends() -> None:
    """Section 4.8: K = 0."""
    flow = Flow(cwnd=1000)
    flow.control.on_timeout(1000 * MSS, True, flow.now)
    assert (flow.control.cwnd, flow.control.ssthresh) == (MSS, 700 * MSS)
    flow.until(lambda: flow.cwnd >= 700)
    start = flow.now
    flow.until(lambda: flow.now - start >= 5 * SECOND)
    ahead = (flow.now - start) / SECOND + 0.1
    assert flow.cwnd == pytest.approx(700 + 0.4 * ahead**3, rel=0.01)


def test_a_segment_lost_again_does_not_lower_the_threshold_again() -> None:
    """RFC 5681 section 3.1."""
    flow = Flow(cwnd=100)
    flow.control.on_timeout(100 * MSS, True, 0)
    flow.control.on_timeout(MSS, False, SECOND)
    assert flow.control.ssthresh == 70 * MSS


def test_time_in_which_the_application_was_the_limit_does_not_count() -> None:
    """Section 5.8 and the MUST NOT of 4.2: no jump after a pause."""
    busy, paused = Flow(cwnd=1000), Flow(cwnd=1000)
    for flow in (busy, paused):
        flow.lose()
        flow.rounds(20)
    paused.now += 60 * SECOND
    expected, window = busy.rounds(20), paused.rounds(20)
    assert window[-1] == pytest.approx(expected[-1], rel=0.01)


def test_idleness_takes_the_window_back_to_the_initial_one() -> None:
    """RFC 5681 section 4.1, by halves; what the path has carried is remembered in `ssthresh` (RFC 7661 section
    4.4.3)."""
    flow = Flow(cwnd=100)
    flow.lose()
    flow.until(lambda: flow.cwnd >= 96)
    flow.control.on_idle(flow.now)
    assert 48 <= flow.cwnd <= 50
    for _ in range(4):
        flow.control.on_idle(flow.now)
    assert flow.cwnd == 10
    assert flow.control.ssthresh >= 72 * MSS


def test_a_spurious_loss_is_taken_back_as_if_it_had_not_been() -> None:
    """Section 4.9.2."""
    disturbed, calm = Flow(cwnd=1000), Flow(cwnd=1000)
    for flow in (disturbed, calm):
        flow.lose()
        flow.rounds(30)
    before = disturbed.control.snapshot()
    disturbed.control.on_loss(disturbed.control.cwnd, disturbed.now)
    disturbed.control.on_undo(before, disturbed.now)
    assert disturbed.rounds(30) == calm.rounds(30)


def test_what_has_grown_back_meanwhile_stays() -> None:
    """Section 4.9.2, the last paragraph."""
    flow = Flow(cwnd=20, rtt=5 * MS)
    before = flow.control.snapshot()
    flow.lose()
    flow.until(lambda: flow.cwnd >= 25)
    window = flow.cwnd
    flow.control.on_undo(before, flow.now)
    assert flow.cwnd == window


def test_a_loss_in_the_first_slow_start_taken_back_leaves_the_threshold_out_of_reach() -> None:
    control = Cubic(MSS, 10 * MSS)
    before = control.snapshot()
    control.on_timeout(10 * MSS, True, 0)
    control.on_undo(before, 0)
    assert (control.cwnd, control.ssthresh) == (10 * MSS, INFINITE)


def test_slow_start_ends_exactly_at_the_threshold() -> None:
    control = Cubic(MSS, 10 * MSS)
    control.ssthresh = 15 * MSS
    control.on_ack(5 * MSS, RTT, 0)
    assert control.cwnd == 15 * MSS
    control.on_ack(15 * MSS, RTT, RTT)
    assert 15 * MSS <= control.cwnd <= 17 * MSS


@pytest.mark.parametrize("value", [0, 1, 7, 8, 9, 26, 27, 28, 10**30 - 1, 10**30, 10**30 + 1, 2**200 + 12345])
def test_the_cube_root_is_exact(value: int) -> None:
    root = _cube_root(value)
    assert root**3 <= value < (root + 1) ** 3
