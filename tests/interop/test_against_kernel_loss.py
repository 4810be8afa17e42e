"""Goodput over a path that loses 1 % of the frames each way and takes 10 ms each way, beside what two kernels reach
over the same path, losing the same frames, at the same time. Both ends use CUBIC."""

import statistics
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest

from tests.interop import lossy_path
from tests.interop.helpers import python

pytestmark = pytest.mark.interop

SEEDS = (1, 2, 3)
MEGABYTE = 1_000_000
SHARE = 0.8
"""Of the speed that is the kernels' median."""


def seconds(who: tuple[str, ...], way: str, seeds: tuple[int, ...], octets: int, timeout: float) -> list[float]:
    """How long each of `who` takes with each seed, all side by side, so that a busy machine delays all alike."""
    with ExitStack() as stack:
        program = ("-m", "tests.interop.lossy_path")
        runs = [stack.enter_context(python(*program, *each, octets)) for each in product(who, [way], seeds)]
        answers = [run.communicate(timeout=timeout) for run in runs]
    assert [(run.returncode, errors) for run, (_, errors) in zip(runs, answers, strict=True)] == [(0, "")] * len(runs)
    return [float(told) for told, _ in answers]


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(lossy_path.__file__).parents[2])


@pytest.mark.parametrize("way", ["in", "out"])
def test_as_fast_as_kernels(way: str) -> None:
    taken = seconds(("pystack", "kernel"), way, SEEDS, 5 * MEGABYTE, timeout=120)
    ours, kernels = statistics.median(taken[: len(SEEDS)]), statistics.median(taken[len(SEEDS) :])
    assert ours <= kernels / SHARE


@pytest.mark.deep
@pytest.mark.parametrize("way", ["in", "out"])
def test_a_hundred_megabytes_arrive(way: str) -> None:
    seconds(("pystack",), way, (1,), 100 * MEGABYTE, timeout=900)
