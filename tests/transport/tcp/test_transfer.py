"""Two connections over a bad network: every octet arrives once and in order, and both ends come to rest."""

from itertools import repeat
from random import Random

import pytest

from pystack.transport.tcp import State, TCPConfig
from pystack.units import MS, SECOND
from tests.transport.tcp.pair import Fate, Pair, random_fates
from tests.transport.tcp.script import PLACES, Place

both = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)


def exchange(pair: Pair, there: int, back: int) -> None:
    """Both send, both close, all arrives."""
    random = Random(7)
    data = random.randbytes(there), random.randbytes(back)
    for end, octets in zip(pair.ends, data, strict=True):
        end.to_send = memoryview(octets)
        end.shutdown_after = True
    pair.open()
    pair.run()
    assert bytes(pair.b.received) == data[0]
    assert bytes(pair.a.received) == data[1]
    for end in pair.ends:
        assert end.tcp.state is State.CLOSED
        assert end.tcp.error is None
        assert end.tcp.next_deadline() is None
        assert not end.tcp.has_output(pair.now)


@both
def test_a_clean_network(place: Place) -> None:
    pair = Pair(place)
    exchange(pair, 300_000, 200_000)
    assert pair.now < 63 * SECOND
    assert all(end.tcp.info().total_retransmits == 0 for end in pair.ends)


@both
@pytest.mark.parametrize("seed", range(12))
def test_loss_duplication_and_reordering(place: Place, seed: int) -> None:
    random = Random(seed)
    pair = Pair(
        place,
        fates=random_fates(random.random, 0.06, 0.05, 0.05),
        jitter=lambda: random.randrange(2 * MS),
    )
    exchange(pair, 150_000, 100_000)


@both
@pytest.mark.parametrize("seed", range(4))
def test_a_fifth_is_lost(place: Place, seed: int) -> None:
    exchange(Pair(place, fates=random_fates(Random(seed).random, 0.2, 0, 0)), 30_000, 20_000)


@both
@pytest.mark.parametrize("seed", range(4))
def test_without_options(place: Place, seed: int) -> None:
    plain = TCPConfig(timestamps=False, window_scaling=False)
    pair = Pair(place, fates=random_fates(Random(seed).random, 0.05, 0.05, 0.05), a=plain, b=plain)
    exchange(pair, 60_000, 60_000)


@both
@pytest.mark.parametrize("seed", range(4))
def test_tiny_buffers_and_segments(place: Place, seed: int) -> None:
    small = TCPConfig(receive_buffer=1500, receive_buffer_max=1500, send_buffer=700, send_buffer_max=700)
    pair = Pair(place, fates=random_fates(Random(seed).random, 0.05, 0.05, 0.05), mss=100, a=small, b=small)
    exchange(pair, 10_000, 5_000)


@both
@pytest.mark.parametrize("seed", range(3))
def test_heavy_loss_does_not_spoil_the_round_trip_estimate(place: Place, seed: int) -> None:
    """Echoes of earlier transmissions would make it minutes, and the transfer hours."""
    pair = Pair(place, fates=random_fates(Random(seed).random, 0.2, 0.1, 0), delay=50 * MS, mss=100)
    exchange(pair, 60_000, 6_000)
    assert all((end.tcp.info().srtt or 0) < 1 * SECOND for end in pair.ends)
    assert pair.now < 1200 * SECOND


@both
@pytest.mark.parametrize("seed", range(6))
def test_buffers_that_grow_behind_a_scale_that_is_too_coarse(place: Place, seed: int) -> None:
    """The right edge does not retreat, however the shift rounds and whatever waits beyond gaps."""
    random = Random(seed)
    config = TCPConfig(receive_buffer=random.choice([600, 2000, 20_000]))
    pair = Pair(place, fates=random_fates(random.random, 0.05, 0.05, 0.1), a=config, b=config, mss=536)
    exchange(pair, 100_000, 50_000)


@both
def test_giving_up_out_of_order_data_loses_nothing(place: Place) -> None:
    random = Random(6)
    pair = Pair(place, fates=random_fates(random.random, 0.05, 0, 0.1))
    data = random.randbytes(200_000)
    pair.a.to_send, pair.a.shutdown_after, pair.b.shutdown_after = memoryview(data), True, True
    pair.open()
    dropped = 0
    while pair.turn():
        before = pair.b.tcp.memory
        if random.random() < 0.1:
            pair.b.tcp.drop_out_of_order()
        dropped += before - pair.b.tcp.memory
    assert dropped > 0
    assert bytes(pair.b.received) == data


@both
def test_the_same_inputs_give_the_same_octets_on_the_wire(place: Place) -> None:
    def run() -> list[bytes]:
        pair = Pair(place, fates=random_fates(Random(3).random, 0.1, 0.1, 0.1))
        exchange(pair, 50_000, 50_000)
        return pair.trace

    assert run() == run()


@both
@pytest.mark.parametrize("first", range(1, 4))
def test_losing_the_handshake(place: Place, first: int) -> None:
    exchange(Pair(place, fates=[Fate.LOSE] * first), 1000, 1000)


@both
@pytest.mark.parametrize("lost", range(12))
def test_losing_any_single_segment_of_a_short_exchange(place: Place, lost: int) -> None:
    exchange(Pair(place, fates=[*repeat(Fate.DELIVER, lost), Fate.LOSE]), 3000, 10)


@both
@pytest.mark.parametrize("repeated", range(12))
def test_repeating_any_single_segment_of_a_short_exchange(place: Place, repeated: int) -> None:
    exchange(Pair(place, fates=[*repeat(Fate.DELIVER, repeated), Fate.DUPLICATE]), 3000, 10)


@both
def test_an_outage_in_the_middle(place: Place) -> None:
    exchange(Pair(place, fates=[*repeat(Fate.DELIVER, 60), *repeat(Fate.LOSE, 28)]), 200_000, 0)


@both
def test_simultaneous_open_and_close(place: Place) -> None:
    pair = Pair(place)
    pair.a.tcp.connect(0)
    pair.b.tcp.connect(0)
    for end in pair.ends:
        end.to_send = memoryview(b"x" * 20_000)
        end.shutdown_after = True
    pair.run()
    assert len(pair.a.received) == len(pair.b.received) == 20_000
    assert {end.tcp.state for end in pair.ends} == {State.CLOSED}
    assert all(end.tcp.error is None for end in pair.ends)


@both
def test_no_delay_at_all(place: Place) -> None:
    exchange(Pair(place, delay=0), 300_000, 300_000)


@both
def test_a_reader_that_sleeps(place: Place) -> None:
    """The window closes on both sides at once, for minutes; then everything arrives."""
    pair = Pair(place)
    for end in pair.ends:
        end.to_send = memoryview(bytes(400_000))
        end.reads = False
    pair.open()
    while pair.now < 600 * SECOND:
        pair.turn()
    assert pair.a.tcp.info().snd_wnd == pair.b.tcp.info().snd_wnd == 0
    assert all(end.tcp.state is State.ESTABLISHED for end in pair.ends)
    for end in pair.ends:
        end.reads = True
        end.shutdown_after = True
    pair.run()
    assert len(pair.a.received) == len(pair.b.received) == 400_000


@both
@pytest.mark.parametrize("seed", range(3))
def test_a_reader_that_sleeps_behind_a_lossy_network(place: Place, seed: int) -> None:
    pair = Pair(place, fates=random_fates(Random(seed).random, 0.2, 0, 0))
    for end in pair.ends:
        end.to_send = memoryview(bytes(200_000))
        end.reads = False
    pair.open()
    while pair.now < 600 * SECOND:
        pair.turn()
    for end in pair.ends:
        end.reads = end.shutdown_after = True
    pair.run()
    assert len(pair.a.received) == len(pair.b.received) == 200_000


@both
def test_a_peer_that_dies(place: Place) -> None:
    pair = Pair(place, fates=[*repeat(Fate.DELIVER, 30), *repeat(Fate.LOSE, 10_000)])
    pair.a.to_send = memoryview(bytes(100_000))
    pair.open()
    pair.run()
    assert isinstance(pair.a.tcp.error, TimeoutError)
    assert pair.a.tcp.state is State.CLOSED
    assert pair.b.tcp.state is State.ESTABLISHED  # it has nothing to say, and no keepalive


@both
def test_lossy_bulk_does_not_wait_for_the_timer_all_the_time(place: Place) -> None:
    """1 % loss at 20 ms round trip: fast retransmit does nearly all of the work."""
    pair = Pair(place, fates=random_fates(Random(1).random, 0.01, 0, 0))
    exchange(pair, 2_000_000, 0)
    assert pair.now < 60 * SECOND + 15 * SECOND
