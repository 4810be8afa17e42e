"""Two connections on a bad network: recovery with SACK resends what was lost and little else."""

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from pystack.transport.tcp import TCPConfig, TCPInfo
from pystack.transport.tcp.prr import ProportionalRateReduction
from pystack.units import MS, SECOND, Ns
from tests.transport.tcp.pair import Fate, Pair, random_fates
from tests.transport.tcp.script import PLACES, pattern

SIZE = 400_000


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def transfer(
    place: str,
    seed: int,
    *,
    loss: float = 0.0,
    duplicate: float = 0.0,
    late: float = 0.0,
    size: int = SIZE,
    **config: Any,
) -> tuple[Ns, TCPInfo, int]:
    """Bring `size` octets over. Returns how long it took, what the sender tells, and how many segments were lost."""
    lost = 0
    settings = TCPConfig(congestion="newreno", **config)

    def fates() -> Iterator[Fate]:
        nonlocal lost
        for fate in random_fates(Random(seed).random, loss, duplicate, late):
            lost += fate is Fate.LOSE
            yield fate

    pair = Pair(PLACES[place], fates=fates(), a=settings, b=settings)
    data = pattern(size)
    pair.a.to_send = memoryview(data)
    pair.open()
    while len(pair.b.received) < size:
        assert pair.turn()
    took, info = pair.now, pair.a.tcp.info()
    assert bytes(pair.b.received) == data
    pair.a.shutdown_after = pair.b.shutdown_after = True
    pair.run()
    return took, info, lost


@pytest.mark.parametrize("sack", [True, False])
@pytest.mark.parametrize("timestamps", [True, False])
@pytest.mark.parametrize("loss", [0.02, 0.1, 0.2])
def test_everything_arrives(place: str, sack: bool, timestamps: bool, loss: float) -> None:
    for seed in range(3):
        transfer(
            place, seed, loss=loss, duplicate=0.05, late=0.05, size=100_000, sack=sack, timestamps=timestamps, ecn=True
        )


def test_only_what_was_lost_is_resent(place: str) -> None:
    for seed in range(5):
        _, info, lost = transfer(place, seed, loss=0.02)
        assert info.total_retransmits <= lost + 3


def test_recovery_does_not_wait_for_the_timer(place: str) -> None:
    """At 2 % loss and 20 ms a round trip: faster than without SACK in sum, and no timeouts that would show."""
    selective = sum(transfer(place, seed, loss=0.03)[0] for seed in range(6))
    cumulative = sum(transfer(place, seed, loss=0.03, sack=False)[0] for seed in range(6))
    assert selective < cumulative


def test_a_tail_is_repaired_by_a_probe(place: str) -> None:
    """The last segment of a reply is lost: two round trips and one more, where the timer takes 220 ms."""
    for probe, least, most in ((True, 60 * MS, 230 * MS), (False, 230 * MS, SECOND)):
        config = TCPConfig(loss_probe=probe, nodelay=True)
        pair = Pair(PLACES[place], a=config, b=config)
        pair.open()
        while pair.a.tcp.info().srtt is None:
            pair.turn()
        begin = pair.now
        pair.a.to_send = memoryview(pattern(5 * 1448))
        pair.a.work(pair.now)
        flight = pair.a.take(pair.now)
        assert len(flight) == 5
        pair.fates = iter([Fate.DELIVER] * 3 + [Fate.LOSE] * 2)
        for frame in flight:
            pair.carry(pair.a, frame)
        while len(pair.b.received) < 5 * 1448:
            assert pair.turn()
        assert least < pair.now - begin <= most


def test_a_network_that_only_reorders_costs_no_window(place: str) -> None:
    """What was resent for nothing is found out, and the reductions taken back."""
    undone = sum(transfer(place, seed, late=0.03)[0] for seed in range(5))
    not_undone = sum(transfer(place, seed, late=0.03, sack=False, timestamps=False)[0] for seed in range(5))
    assert undone < not_undone / 2


def test_duplicates_alone_change_nothing(place: str) -> None:
    _, info, _ = transfer(place, 1, duplicate=0.3)
    assert (info.total_retransmits, info.ssthresh) == (0, None)
    assert info.dsacks > 10


def test_reduction_in_proportion() -> None:
    """RFC 6937 section 3: twenty segments in flight, to be ten."""
    prr = ProportionalRateReduction()
    prr.begin(20)
    flight, sent = 19, []
    for _ in range(19):
        flight -= 1
        allowed = prr.on_ack(1, flight, 10, 1, safe=False)
        prr.out += allowed
        flight += allowed
        sent.append(allowed)
    assert max(sent) == 1
    assert flight == 10


def test_below_the_target_what_arrives_is_replaced() -> None:
    """Packet conservation; a segment more only on an ACK that is safe."""
    for safe, allowed in ((False, 3), (True, 4)):
        prr = ProportionalRateReduction()
        prr.begin(20)
        prr.out = 1
        assert prr.on_ack(1, 5, 10, 1, safe=False) == 1
        prr.out += 1
        assert prr.on_ack(3, 2, 10, 1, safe=safe) == allowed


def test_never_beyond_the_target() -> None:
    prr = ProportionalRateReduction()
    prr.begin(20)
    prr.out = 1
    assert prr.on_ack(10, 9, 10, 1, safe=True) == 1


def test_the_fast_retransmit_always_leaves() -> None:
    prr = ProportionalRateReduction()
    prr.begin(20)
    assert prr.on_ack(1, 19, 10, 1, safe=False) == 1
