"""Sessions across networks as bad as a seed makes them. A failure prints its seed: `Session(Scenario.draw(seed)).run()`
plays it again."""

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from pystack.link.faults import Fate, Faults
from pystack.transport.tcp.config import TCPConfig
from pystack.units import MS, SECOND
from tests.sim.session import Scenario, Session

pytestmark = pytest.mark.untraced

IN_CI, DEEP = 1250, 20_000
CHUNK = 25
"""Seeds of one test: enough tests for all cores, few enough to read their list."""


def play_chunk(first: int) -> None:
    for seed in range(first, first + CHUNK):
        Session(Scenario.draw(seed)).run()


@pytest.mark.parametrize("first", range(0, IN_CI, CHUNK))
def test_every_session_is_whole_and_ends(first: int) -> None:
    play_chunk(first)


@pytest.mark.deep
@pytest.mark.parametrize("first", range(IN_CI, DEEP, CHUNK))
def test_every_session_is_whole_and_ends_for_many_more_seeds(first: int) -> None:
    play_chunk(first)


fates = st.lists(st.sampled_from(Fate), max_size=15)
PERSISTENT = TCPConfig(syn_retries=30, retries2=30)
"""Nobody gives up before all the fates are used up."""


def session(outbound: list[Fate], inbound: list[Fate]) -> Session:
    """What becomes of each of the first frames is given; all others arrive."""
    there, back = (Faults(fates=tuple(each), delay=10 * MS) for each in (outbound, inbound))
    return Session(
        Scenario(
            seed=1, outbound=there, inbound=back, upward=20_000, downward=5_000, client=PERSISTENT, server=PERSISTENT
        )
    )


@settings(max_examples=200, deadline=None)
@given(fates, fates)
def test_no_list_of_fates_breaks_a_session(outbound: list[Fate], inbound: list[Fate]) -> None:
    session(outbound, inbound).run()


def test_a_failure_shrinks_to_the_shortest_list_of_fates() -> None:
    """What makes a session last longer than a second at the least is to lose the SYN."""
    assert find(fates, lambda outbound: session(outbound, []).run().took > SECOND) == [Fate.LOSE]
