"""The transition table, and what every (state, input) does."""

import pytest

from pystack.transport.tcp import TRANSITIONS, Got, State
from pystack.units import MS, SECOND
from tests.transport.tcp.script import Script

SYNCHRONIZED = [
    State.ESTABLISHED,
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    State.CLOSE_WAIT,
    State.CLOSING,
    State.LAST_ACK,
    State.TIME_WAIT,
]


def test_every_state_can_be_reached_and_left() -> None:
    reached = set(TRANSITIONS.values())
    left = {state for state, _ in TRANSITIONS}
    assert reached == left == set(State)


def test_the_table_is_figure_5_of_rfc_9293() -> None:
    figure = {
        (State.CLOSED, State.LISTEN),
        (State.CLOSED, State.SYN_SENT),
        (State.LISTEN, State.SYN_RECEIVED),
        (State.LISTEN, State.SYN_SENT),
        (State.LISTEN, State.CLOSED),
        (State.SYN_SENT, State.SYN_RECEIVED),
        (State.SYN_SENT, State.ESTABLISHED),
        (State.SYN_SENT, State.CLOSED),
        (State.SYN_RECEIVED, State.ESTABLISHED),
        (State.SYN_RECEIVED, State.FIN_WAIT_1),
        (State.ESTABLISHED, State.FIN_WAIT_1),
        (State.ESTABLISHED, State.CLOSE_WAIT),
        (State.FIN_WAIT_1, State.FIN_WAIT_2),
        (State.FIN_WAIT_1, State.CLOSING),
        (State.FIN_WAIT_2, State.TIME_WAIT),
        (State.CLOSE_WAIT, State.LAST_ACK),
        (State.CLOSING, State.TIME_WAIT),
        (State.LAST_ACK, State.CLOSED),
        (State.TIME_WAIT, State.CLOSED),
    }
    ends = {(state, State.CLOSED) for state in State}  # abort, reset, timeout: from everywhere
    assert {(old, new) for (old, _), new in TRANSITIONS.items()} - ends == figure - ends


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[State.CLOSED, Got.RST] = State.LISTEN  # type: ignore[index]


# What the peer may send, at the place where it hurts: exactly at RCV.NXT, acknowledging everything.
INPUTS: dict[str, dict[str, object]] = {
    "SYN": {"flags": "S"},
    "SYN-ACK": {"flags": "S."},
    "ACK": {"flags": "."},
    "data": {"flags": ".", "data": b"x"},
    "FIN": {"flags": "F."},
    "RST": {"flags": "R"},
    "RST-ACK": {"flags": "R."},
    "RST beside": {"flags": "R", "offset": 7},
    "nothing": {"flags": ""},
    "FIN without ACK": {"flags": "F"},
}

STAYS = {state: dict.fromkeys(INPUTS, (state, "")) for state in State}
"""(new state, flags of the answers) by state and input; below is what differs from silence."""

for _state in State:
    for _name in ("SYN", "SYN-ACK"):
        STAYS[_state][_name] = (_state, ".")  # RFC 5961 section 4.2: challenge ACK
    for _name in ("RST", "RST-ACK"):
        STAYS[_state][_name] = (State.CLOSED, "")
    STAYS[_state]["RST beside"] = (_state, ".")  # section 3.2

STAYS[State.CLOSED] = {
    **dict.fromkeys(INPUTS, (State.CLOSED, "R")),
    **dict.fromkeys(("RST", "RST-ACK", "RST beside"), (State.CLOSED, "")),
    **dict.fromkeys(("SYN", "nothing", "FIN without ACK"), (State.CLOSED, "R.")),
}
STAYS[State.LISTEN] = {
    **dict.fromkeys(INPUTS, (State.LISTEN, "R")),
    **dict.fromkeys(("RST", "RST-ACK", "RST beside", "nothing", "FIN without ACK"), (State.LISTEN, "")),
    "SYN": (State.SYN_RECEIVED, "S."),
}
STAYS[State.SYN_SENT] = {
    **dict.fromkeys(INPUTS, (State.SYN_SENT, "")),
    "SYN": (State.SYN_RECEIVED, "S."),
    "SYN-ACK": (State.ESTABLISHED, "."),
    "RST-ACK": (State.CLOSED, ""),
}
STAYS[State.SYN_RECEIVED].update(
    {
        "SYN": (State.CLOSED, ""),  # passive: back to the listener
        "SYN-ACK": (State.CLOSED, ""),
        "ACK": (State.ESTABLISHED, ""),
        "data": (State.ESTABLISHED, "."),
        "FIN": (State.CLOSE_WAIT, "."),
    }
)
STAYS[State.ESTABLISHED].update({"data": (State.ESTABLISHED, "."), "FIN": (State.CLOSE_WAIT, ".")})
STAYS[State.FIN_WAIT_1].update(
    {"ACK": (State.FIN_WAIT_2, ""), "data": (State.FIN_WAIT_2, "."), "FIN": (State.TIME_WAIT, ".")}
)
STAYS[State.FIN_WAIT_2].update({"data": (State.FIN_WAIT_2, "."), "FIN": (State.TIME_WAIT, ".")})
for _state in (State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK):
    _end = {State.CLOSE_WAIT: State.CLOSE_WAIT, State.CLOSING: State.TIME_WAIT, State.LAST_ACK: State.CLOSED}[_state]
    STAYS[_state].update({"ACK": (_end, ""), "data": (_end, ""), "FIN": (_end, "")})  # text behind a FIN is ignored
STAYS[State.TIME_WAIT] = {
    **dict.fromkeys(INPUTS, (State.TIME_WAIT, "")),  # RFC 1337: no RST ends it; RFC 6191: a bad SYN is dropped
    "data": (State.TIME_WAIT, "."),
    "FIN": (State.TIME_WAIT, "."),
    "FIN without ACK": (State.TIME_WAIT, "."),
}


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("state", State, ids=str)
def test_matrix(wire: Script, state: State, name: str) -> None:
    wire.reach(state)
    given = dict(INPUTS[name])
    seq = wire.peer_seq + int(given.pop("offset", 0))  # type: ignore[call-overload]
    wire.inject(seq=seq, **given)  # type: ignore[arg-type]
    if name == "data" and state in SYNCHRONIZED[:3]:
        wire.advance(500 * MS)  # a delayed ACK
    new, answers = STAYS[state][name]
    assert wire.tcp.state is new
    flags = [wire.show(segment).split()[0] for _, segment in wire.sent]
    assert flags == ([answers.replace(".", ".")] if answers else [])


@pytest.mark.parametrize("state", State, ids=str)
def test_abort_is_obeyed_in_every_state(wire: Script, state: State) -> None:
    """RFC 9293 section 3.10.5."""
    wire.reach(state)
    wire.abort()
    assert wire.tcp.state is State.CLOSED
    resets = state in (
        State.SYN_RECEIVED,
        State.ESTABLISHED,
        State.FIN_WAIT_1,
        State.FIN_WAIT_2,
        State.CLOSE_WAIT,
    )
    wire.expect(*["R."] * resets)
    assert wire.tcp.next_deadline() is None
    wire.abort()
    wire.expect_silence(3600 * SECOND)


@pytest.mark.parametrize("state", State, ids=str)
def test_close_is_obeyed_in_every_state(wire: Script, state: State) -> None:
    """RFC 9293 section 3.10.4."""
    wire.reach(state)
    wire.close()
    ends = {
        State.CLOSED: State.CLOSED,
        State.LISTEN: State.CLOSED,
        State.SYN_SENT: State.CLOSED,
        State.SYN_RECEIVED: State.FIN_WAIT_1,
        State.ESTABLISHED: State.FIN_WAIT_1,
        State.CLOSE_WAIT: State.LAST_ACK,
    }
    assert wire.tcp.state is ends.get(state, state)
    wire.close()
    assert wire.tcp.state is ends.get(state, state)


@pytest.mark.parametrize("state", State, ids=str)
def test_every_state_without_a_user_and_without_a_peer_ends(wire: Script, state: State) -> None:
    """No orphan stays: FIN-WAIT-2, CLOSING and LAST-ACK have timers that end them."""
    wire.reach(state)
    wire.close()
    wire.advance(3600 * SECOND)
    assert wire.tcp.state is State.CLOSED
    assert wire.tcp.next_deadline() is None
    assert not wire.tcp.has_output(wire.now)


def test_states_print_as_the_rfc_writes_them() -> None:
    assert [str(state) for state in (State.FIN_WAIT_1, State.SYN_RECEIVED)] == ["FIN-WAIT-1", "SYN-RECEIVED"]
