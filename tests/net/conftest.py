"""Fixtures over tests/net/harness.py."""

import pytest

from pystack.link.base import Medium
from tests.net.harness import Bench, World


@pytest.fixture
def bench() -> Bench:
    """On Ethernet."""
    return Bench()


@pytest.fixture(params=list(Medium), ids=lambda medium: medium.value)
def any_bench(request: pytest.FixtureRequest) -> Bench:
    """On each medium; the peer's link address is known where there is one."""
    bench = Bench(request.param)
    bench.introduce()
    return bench


@pytest.fixture
def world() -> World:
    return World()
