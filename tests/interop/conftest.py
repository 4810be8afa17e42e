"""Every interop test runs in a network namespace of its own: no names, ports or addresses to collide over."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop import helpers
from tests.interop.helpers import Nginx

BIG = 100_000_000
"""Octets of the big transfers."""


@pytest.fixture(autouse=True)
def private_network(netns: object) -> None:
    """Every test, not only those that say so."""


@pytest.fixture(params=[True, pytest.param(False, marks=pytest.mark.deep)], ids=["offload", "wire"])
def offload(request: pytest.FixtureRequest) -> bool:
    """Whether a test's links use offload. Without it most tests are for `nox -s deep` only."""
    using: bool = request.param
    return using


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    with helpers.nginx(tmp_path / "nginx") as server:
        yield server


@pytest.fixture(scope="session")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 MB that no compression and no repetition helps."""
    path = tmp_path_factory.mktemp("big") / "big.bin"
    path.write_bytes(random.Random(100).randbytes(BIG))
    return path
