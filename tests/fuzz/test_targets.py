"""The fuzz targets hold for what they begin with, and for it cut short and changed anywhere."""

from collections.abc import Callable
from random import Random

import pytest

from tests.fuzz.targets import TARGETS, seeds


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_the_target_holds_around_its_seeds(target: Callable[[bytes], None]) -> None:
    rng = Random(1)
    for octets in [b"", *seeds()]:
        target(octets)
        for _ in range(10):
            changed = bytearray(octets[: rng.randrange(len(octets) + 1)] if rng.random() < 0.3 else octets)
            for _ in range(rng.randrange(4) if changed else 0):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
            target(bytes(changed))
