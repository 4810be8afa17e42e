"""Whatever a peer sends, in whatever state: nothing raises, nothing grows without bound, answers are never more than
questions."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pystack.transport.tcp import Segment, State
from pystack.transport.tcp.segment import ACK, RST, SYN
from pystack.units import MS, SECOND
from pystack.wire.seq import wrap
from tests.transport.tcp.script import PLACES, Script

pytestmark = pytest.mark.untraced

near = st.one_of(
    st.integers(-3, 3), st.integers(-5000, 5000), st.integers(-200_000, 200_000), st.integers(-(2**31), 2**31)
)
segments: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    seq=near,
    ack=near,
    flags=st.one_of(st.sampled_from([ACK, ACK, SYN, RST, ACK | 1, ACK | 8, SYN | ACK]), st.integers(0, 0xFFF)),
    window=st.one_of(st.sampled_from([0, 1, 65535]), st.integers(0, 65535)),
    length=st.one_of(st.just(0), st.integers(0, 3000)),
    urgent=st.integers(0, 65535),
    ts_val=st.none() | st.integers(0, 2**32 - 1),
    ts_ecr=st.integers(0, 2**32 - 1),
    mss=st.none() | st.integers(0, 65535),
    window_scale=st.none() | st.integers(0, 255),
    wait=st.sampled_from([0, 0, 0, 1 * MS, 300 * MS, 70 * SECOND]),
)
DATA = bytes(3000)


def attack(wire: Script, *, seq: int, ack: int, flags: int, length: int, wait: int, **fields: object) -> None:
    """One hostile segment, aimed relative to what the connection expects."""
    tcp = wire.tcp
    segment = Segment(
        wrap(tcp.rcv_nxt + seq),
        wrap(tcp.snd_una + ack),
        flags,
        payload=(DATA[:length],) * bool(length),
        length=length,
        **fields,  # type: ignore[arg-type]
    )
    questions = len(wire.sent)
    tcp.on_segment(segment, wire.now)
    pure = wire.tcp.unacknowledged == 0
    wire.drain()
    answers = len(wire.sent) - questions
    assert answers <= 1 or not pure, "more answers than questions"
    if wait:
        wire.advance(wait)
    assert tcp.snd_una <= tcp.snd_nxt
    assert tcp.memory <= 2 * (128 << 10)
    wire.sent.clear()


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(State), st.sampled_from(sorted(PLACES)), st.lists(segments, max_size=20), st.booleans())
def test_any_segments_in_any_state(state: State, place: str, hostile: list[dict[str, object]], sending: bool) -> None:
    wire = Script(PLACES[place])
    wire.reach(state)
    if sending and state in (State.ESTABLISHED, State.CLOSE_WAIT):
        wire.send(20_000)
    wire.sent.clear()
    for fields in hostile:
        attack(wire, **fields)  # type: ignore[arg-type]
    wire.abort()
    assert wire.tcp.state is State.CLOSED
    assert wire.tcp.next_deadline() is None


@pytest.mark.parametrize("seed", range(4))
def test_a_storm(seed: int) -> None:
    """A connection that reads nothing under 5,000 segments that nearly fit."""
    random = Random(seed)
    wire = Script(PLACES["ipv6-wrap"])
    wire.established(wscale=0, timestamps=seed % 2 == 0)
    wire.timestamps = False
    for _ in range(5_000):
        stamp = wire.now // MS + 500
        attack(
            wire,
            seq=random.choice([0, 0, 1, random.randrange(-2000, 100_000)]),
            ack=random.choice([0, 0, 0, random.randrange(-1000, 1000)]),
            flags=random.choice([ACK, ACK, ACK, ACK | 8, SYN, ACK | SYN, 0]),
            window=random.randrange(65536),
            length=random.choice([0, 1, random.randrange(3000)]),
            wait=random.choice([0, 0, 1 * MS]),
            ts_val=stamp if seed % 2 == 0 else None,
            ts_ecr=0,
        )
    assert wire.tcp.state is State.ESTABLISHED
    readable = wire.tcp.readable
    assert len(wire.recv()) == readable
