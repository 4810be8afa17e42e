import pytest

from tests.testing.packetdrill.drill import Drill


@pytest.fixture
def drill() -> Drill:
    return Drill()
