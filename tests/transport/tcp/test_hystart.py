"""HyStart++ (RFC 9406): round trips that grow end slow start before a loss does."""

from itertools import repeat

import pytest

from pystack.transport.tcp.congestion import Cubic, HyStart
from pystack.transport.tcp.congestion.base import INFINITE
from pystack.units import MS, Ns

MSS = 1000
CALM: Ns = 50 * MS
CSS_ROUNDS = 5


class Start:
    """A slow start, one acknowledgement per segment."""

    def __init__(self, segments: int = 10) -> None:
        self.cwnd = segments * MSS
        self.hystart = HyStart(self.cwnd)
        self._in_flight = self.cwnd

    def round(self, rtt: Ns | None, samples: int = 1 << 30) -> float:
        """What was in flight is acknowledged; only `samples` ACKs measure `rtt`. Octets of window per octet."""
        window, acked = self.cwnd, 0
        while acked < self._in_flight:
            before = self.cwnd
            self.cwnd += self.hystart.grow(MSS, before, rtt if acked < samples * MSS else None)
            acked += MSS
        self._in_flight = before - MSS  # new segments leave once the round is over
        return (self.cwnd - window) / acked


def test_every_octet_adds_one_while_round_trips_stay() -> None:
    start = Start()
    assert [start.round(CALM) for _ in range(8)] == [1.0] * 8
    assert not start.hystart.finished


def test_a_longer_round_trip_slows_growth_to_a_quarter_and_five_rounds_of_it_end_slow_start() -> None:
    start = Start()
    start.round(CALM)
    start.round(CALM)
    longer = CALM + CALM // 8
    first = start.round(longer)  # 8 samples at full speed, then conservative: this round counts
    assert 0.25 < first < 0.5
    for _ in range(CSS_ROUNDS - 2):
        assert start.round(longer) == pytest.approx(0.25, abs=0.01)
        assert not start.hystart.finished
    start.round(longer)
    assert start.hystart.finished


def test_a_round_trip_that_was_longer_only_for_a_while_does_not_end_it() -> None:
    start = Start()
    start.round(CALM)
    start.round(CALM)
    start.round(2 * CALM)
    assert start.round(2 * CALM) == pytest.approx(0.25, abs=0.01)
    assert start.round(CALM) > 0.8  # back within the round, once 8 samples say so
    assert start.round(CALM) == 1.0
    assert not start.hystart.finished


@pytest.mark.parametrize(
    ("calm", "longer", "slows"),
    [
        (8 * MS, 11 * MS, False),  # an eighth would be 1 ms, but less than 4 ms is noise
        (8 * MS, 12 * MS, True),
        (80 * MS, 89 * MS, False),  # an eighth
        (80 * MS, 90 * MS, True),
        (800 * MS, 815 * MS, False),  # an eighth would be 100 ms, but 16 ms are enough
        (800 * MS, 816 * MS, True),
    ],
)
def test_the_threshold_is_an_eighth_between_4_and_16_ms(calm: Ns, longer: Ns, slows: bool) -> None:
    start = Start(20)
    start.round(calm)
    start.round(longer)
    assert (start.round(longer) < 1) is slows


@pytest.mark.parametrize(("samples", "slows"), [(7, False), (8, True)])
def test_a_round_with_fewer_than_eight_samples_judges_nothing(samples: int, slows: bool) -> None:
    start = Start(20)
    start.round(CALM)
    assert (start.round(2 * CALM, samples) < 1) is slows


def test_without_any_measurement_it_is_plain_slow_start() -> None:
    start = Start()
    assert [start.round(None) for _ in range(8)] == [1.0] * 8


def test_acknowledgements_of_many_segments_count_in_full() -> None:
    hystart = HyStart(100 * MSS)
    assert hystart.grow(100 * MSS, 100 * MSS, CALM) == 100 * MSS


def test_cubic_goes_over_to_congestion_avoidance_with_its_plateau_there() -> None:
    """RFC 9438 section 4.10."""
    control = Cubic(MSS, 10 * MSS)
    now: Ns = 0
    for rtt in (CALM, CALM, *repeat(2 * CALM, CSS_ROUNDS + 1)):
        count = -(-control.cwnd // MSS)
        for _ in range(count):
            now += rtt // count
            control.on_ack(MSS, rtt, now)
    assert INFINITE > control.ssthresh <= control.cwnd
    window = control.cwnd
    for _ in range(window // MSS):
        now += CALM // (window // MSS)
        control.on_ack(MSS, CALM, now)
    assert window < control.cwnd <= window + MSS
