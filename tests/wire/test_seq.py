import pytest

from pystack.wire.seq import before, unwrap, wrap

TOP = 2**32


@pytest.mark.parametrize(
    ("number", "value"), [(0, 0), (TOP - 1, TOP - 1), (TOP, 0), (TOP + 5, 5), (7 * TOP + 1, 1), (-1, TOP - 1)]
)
def test_wrap_keeps_the_low_32_bits(number: int, value: int) -> None:
    assert wrap(number) == value


@pytest.mark.parametrize(
    ("value", "near", "number"),
    [
        (5, 0, 5),
        (0, TOP - 1, TOP),  # just over the edge
        (TOP - 1, TOP, TOP - 1),  # just behind it
        (TOP - 1, 0, -1),
        (10, 3 * TOP + 4, 3 * TOP + 10),
        (2**31 - 1, 0, 2**31 - 1),
        (2**31, 0, -(2**31)),  # equally near: the lower
        (2**31 + 1, 0, 1 - 2**31),
    ],
)
def test_unwrap_finds_the_nearest_number(value: int, near: int, number: int) -> None:
    assert unwrap(value, near) == number


@pytest.mark.parametrize(
    ("a", "b", "older"),
    [
        (1, 2, True),
        (2, 1, False),
        (2, 2, False),
        (TOP - 1, 0, True),
        (0, TOP - 1, False),
        (0, 2**31 - 1, True),
        (0, 2**31, False),  # half the circle apart: neither is older
        (2**31, 0, False),
    ],
)
def test_before_looks_half_a_circle_ahead(a: int, b: int, older: bool) -> None:
    assert before(a, b) is older
