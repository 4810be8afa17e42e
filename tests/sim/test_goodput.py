"""Goodput and fairness beside what the models say: one bottleneck of 20 Mbit/s, 25 ms each way, room for one
bandwidth-delay product before it."""

import math
from statistics import mean

import pytest

from pystack.sim.bulk import Bottleneck
from pystack.units import MS, SECOND, Ns

pytestmark = pytest.mark.untraced

RATE = 20_000_000 // 8
RTT: Ns = 50 * MS
BDP = RATE * RTT // SECOND // 1500
"""In packets."""


def bottleneck(seed: int = 1, *, loss: float = 0.0, queue: int = BDP) -> Bottleneck:
    return Bottleneck(seed, rate=RATE, rtt=RTT, queue=queue, loss=loss)


def jain(shares: list[float]) -> float:
    """Jain's fairness index: 1 when all are equal, 1/n when one has all."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


@pytest.mark.parametrize("congestion", ["cubic", "newreno"])
def test_one_flow_fills_the_path(congestion: str) -> None:
    path = bottleneck()
    flow = path.start(congestion)
    path.run(10 * SECOND)
    assert flow.goodput() >= 0.9 * RATE  # slow start and headers, 3.5 %, included


@pytest.mark.parametrize("congestion", ["cubic", "newreno"])
def test_one_percent_of_random_loss_costs_what_the_model_says(congestion: str) -> None:
    """1.2 MSS / (RTT sqrt(p)), which is 2.8 Mbit/s: here CUBIC is in its Reno-friendly region (RFC 9438, table 2)."""
    loss = 0.01
    goodputs = []
    for seed in range(2):
        path = bottleneck(seed, loss=loss)
        flow = path.start(congestion)
        path.run(60 * SECOND)
        goodputs.append(flow.goodput())
    model = 1.2 * flow.near.info().snd_mss / (RTT / SECOND * math.sqrt(loss))
    assert 0.8 * model <= mean(goodputs) <= 1.2 * model


def test_a_second_cubic_flow_gets_its_half() -> None:
    path = bottleneck()
    path.start("cubic")
    path.run(3 * SECOND)
    path.start("cubic")
    path.run(12 * SECOND)
    shares = path.shares(10 * SECOND)
    assert jain(shares) > 0.9
    assert sum(shares) > 0.9


def test_cubic_and_newreno_live_together() -> None:
    path = bottleneck()
    path.start("cubic")
    path.start("newreno")
    path.run(5 * SECOND)
    shares = path.shares(15 * SECOND)
    assert jain(shares) > 0.8
    assert sum(shares) > 0.9


def test_with_room_for_it_slow_start_ends_before_a_loss() -> None:
    """HyStart++ sees the queue grow. Five rounds, each 1.25 times as long, still fit in."""
    path = bottleneck(queue=12 * BDP)
    flow = path.start("cubic")
    path.run(3 * SECOND)
    assert flow.near.info().ssthresh is not None
    assert path.link.outbound.counters["queue_full"] == 0


def test_without_it_slow_start_ends_with_one() -> None:
    path = bottleneck(queue=12 * BDP)
    path.start("newreno")
    path.run(3 * SECOND)
    assert path.link.outbound.counters["queue_full"] > 0


@pytest.mark.parametrize("congestion", ["cubic", "newreno"])
def test_a_window_that_is_not_filled_does_not_grow(congestion: str) -> None:
    """RFC 9438 section 5.8, RFC 7661: what the path was never asked to carry is not known to fit."""
    path = bottleneck()
    flow = path.start(congestion)
    first = flow.near.info().cwnd
    for _ in range(100):
        flow.near.try_send(bytes(first // 4), path.sim.now)
        end = path.sim.now + RTT
        while path.sim.step(end):
            flow.far.try_recv(1 << 20, path.sim.now)
    assert flow.near.info().cwnd <= 2 * first


@pytest.mark.parametrize("congestion", ["cubic", "newreno"])
def test_after_a_pause_a_flow_starts_from_the_restart_window(congestion: str) -> None:
    """RFC 5681 section 4.1; three quarters of the window are remembered as `ssthresh` (RFC 7661 section 4.4.3)."""
    path = bottleneck()
    flow = path.start(congestion)
    path.run(2 * SECOND)
    while flow.near.unsent:
        path.sim.step()
        flow.far.try_recv(1 << 20, path.sim.now)
    before = flow.near.info().cwnd
    end = path.sim.now + 5 * SECOND
    while path.sim.step(end):
        pass
    flow.turn()
    path.sim.step(path.sim.now + MS)
    info = flow.near.info()
    assert info.in_flight <= 10 * info.snd_mss
    assert info.ssthresh is not None
    assert info.ssthresh >= 3 * before // 4
