"""Initial sequence numbers, timestamp offsets, throttles: RFC 9293 section 3.4.1, RFC 7323 section 5.4, RFC 5961."""

import pytest

from pystack.transport.tcp import ISNGenerator
from pystack.transport.tcp.throttle import Throttle
from pystack.units import SECOND, US

A, B = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])
KEY = bytes(range(32))


def test_the_clock_ticks_every_four_microseconds() -> None:
    """RFC 9293 MUST-8, SHLD-1."""
    isn = ISNGenerator(KEY)
    start = isn.isn(A, 1, B, 2, 0)
    assert (isn.isn(A, 1, B, 2, 4 * US) - start) % 2**32 == 1
    assert (isn.isn(A, 1, B, 2, 1 * SECOND) - start) % 2**32 == 250_000


def test_each_pair_and_each_key_counts_from_somewhere_else() -> None:
    isn = ISNGenerator(KEY)
    pairs = [(A, 1, B, 2), (A, 2, B, 1), (B, 1, A, 2), (A, 1, B, 3), (A, 1, bytes(16), 2)]
    numbers = {isn.isn(*pair, 0) for pair in pairs} | {ISNGenerator(bytes(16)).isn(*pairs[0], 0)}
    assert len(numbers) == 6
    assert all(0 <= number < 2**32 for number in numbers)


def test_timestamps_have_one_offset_for_each_destination() -> None:
    isn = ISNGenerator(KEY)
    assert isn.timestamp_offset(A, B) == isn.timestamp_offset(A, B)
    assert isn.timestamp_offset(A, B) != isn.timestamp_offset(A, A)
    assert isn.timestamp_offset(A, B) != ISNGenerator(bytes(16)).timestamp_offset(A, B)


@pytest.mark.parametrize("size", [0, 15, 33])
def test_the_key_must_be_a_key(size: int) -> None:
    with pytest.raises(ValueError, match=str(size)):
        ISNGenerator(bytes(size))


def test_a_throttle_allows_so_many_in_an_interval() -> None:
    throttle = Throttle(2, 10)
    assert [throttle.allow(now) for now in (0, 1, 2, 9, 10, 11, 12)] == [True, True, False, False, True, True, False]
