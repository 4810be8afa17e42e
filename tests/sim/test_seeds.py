"""Sessions across networks as bad as a seed makes them. A failure prints its seed: `Session(Scenario.draw(seed)).run()`
plays it again.

Every run of the tests plays some seeds, half of them with offload, as it is drawn; the deep run plays many more, each
with offload and without.
"""

from collections import Counter

import pytest
from attrs import evolve
from hypothesis import find, given, settings
from hypothesis import strategies as st

from pystack.link.faults import Fate, Faults
from pystack.transport.tcp.config import TCPConfig
from pystack.units import MS, SECOND
from tests.sim.router import Router
from tests.sim.scenario import Scenario
from tests.sim.session import Session

pytestmark = pytest.mark.untraced

ALWAYS, DEEP = 1000, 10_000
CHUNK = 25
"""Seeds of one test: enough tests for all cores, few enough to read their list."""


@pytest.mark.parametrize("first", range(0, ALWAYS, CHUNK))
def test_every_session_is_whole_and_ends(first: int) -> None:
    for seed in range(first, first + CHUNK):
        Session(Scenario.draw(seed)).run()


@pytest.mark.deep
@pytest.mark.parametrize("offload", [False, True])
@pytest.mark.parametrize("first", range(0, DEEP, CHUNK))
def test_every_session_is_whole_and_ends_for_many_more_seeds(first: int, offload: bool) -> None:
    for seed in range(first, first + CHUNK):
        Session(evolve(Scenario.draw(seed), offload=offload)).run()


def test_every_kind_of_trouble_is_drawn() -> None:
    """And not only planned: each of what hosts and routers count has happened somewhere in the first seeds."""
    kinds: Counter[str] = Counter()
    happened: Counter[str] = Counter()
    for seed in range(60):
        session = Session(Scenario.draw(seed)).run()
        scenario = session.scenario
        kinds.update((scenario.opening, scenario.ending, f"offload {scenario.offload}", *_kinds(scenario)))
        for stack in (session.client, session.server):
            happened += stack.counters
        if isinstance(session.link.inner, Router):
            happened += session.link.inner.counters
    assert kinds.keys() >= {*OPENINGS, *ENDINGS, *KINDS, "offload True", "offload False"}
    assert happened.keys() >= set(EVENTS)


OPENINGS = ("plain", "TCP Fast Open", "simultaneous")
ENDINGS = ("orderly", "client aborts", "server closes early", "client gives up")
KINDS = ("urgent", "urgent in line", "pause", "linger", "client answers", "server answers", "outage", "flood")
EVENTS = (
    "too_big",
    "lies",
    "grumbles",
    "marked",
    "pathmtu.lowered",
    "tcp.error_out_of_window",
    "tcp.cookies_redeemed",
    "tcp.fast_open_accepted",
)


def _kinds(scenario: Scenario) -> list[str]:
    client, server = scenario.talking
    both = (client, server)
    found = {
        "urgent": any(each.urgent is not None for each in both),
        "urgent in line": any(each.urgent is not None and other.inline for each, other in (both, both[::-1])),
        "pause": any(each.pauses for each in both),
        "linger": any(each.linger is not None for each in both),
        "client answers": client.answers,
        "server answers": server.answers,
        "outage": bool(scenario.outages),
        "flood": scenario.weather.flood is not None,
    }
    return [kind for kind, there in found.items() if there]


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
