import pytest

from tests.transport.tcp.script import PLACES, Script


@pytest.fixture(params=PLACES)
def wire(request: pytest.FixtureRequest) -> Script:
    """A scripted peer, over both families; in one of them all sequence numbers wrap early."""
    return Script(PLACES[request.param])
