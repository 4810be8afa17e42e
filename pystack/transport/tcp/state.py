"""The eleven states and every legal move between them (RFC 9293 section 3.3.2, figure 5), as data."""

import enum
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["TRANSITIONS", "Got", "State"]


class State(enum.Enum):
    """RFC 9293 section 3.3.2. The value is the name as the RFC writes it."""

    CLOSED = "CLOSED"
    LISTEN = "LISTEN"
    SYN_SENT = "SYN-SENT"
    SYN_RECEIVED = "SYN-RECEIVED"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT_1 = "FIN-WAIT-1"
    FIN_WAIT_2 = "FIN-WAIT-2"
    CLOSE_WAIT = "CLOSE-WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST-ACK"
    TIME_WAIT = "TIME-WAIT"

    __hash__ = object.__hash__  # each is only one: `Enum` would hash the name, in Python

    def __str__(self) -> str:
        return self.value


class Got(enum.Enum):
    """What can move a connection: a call of the user, a control of the peer, a timer."""

    ACTIVE_OPEN = "active open"
    PASSIVE_OPEN = "passive open"
    CLOSE = "close"
    ABORT = "abort"
    SYN = "SYN"
    SYN_ACK = "SYN and the ACK of our SYN in one segment"
    ACK_OF_SYN = "ACK of our SYN"
    ACK_OF_FIN = "ACK of our FIN"
    FIN = "FIN, and everything before it"
    RST = "RST"
    TIMEOUT = "a timer ended the wait: R2, an unanswered probe, 2 MSL"
    UNREACHABLE = "a hard error from the path"

    __hash__ = object.__hash__

    def __str__(self) -> str:
        return self.value


_STEPS = {
    State.CLOSED: {
        Got.PASSIVE_OPEN: State.LISTEN,
        Got.ACTIVE_OPEN: State.SYN_SENT,
    },
    State.LISTEN: {
        Got.ACTIVE_OPEN: State.SYN_SENT,
        Got.SYN: State.SYN_RECEIVED,
        Got.CLOSE: State.CLOSED,
    },
    State.SYN_SENT: {
        Got.SYN: State.SYN_RECEIVED,
        Got.SYN_ACK: State.ESTABLISHED,
        Got.CLOSE: State.CLOSED,
        Got.UNREACHABLE: State.CLOSED,
    },
    State.SYN_RECEIVED: {
        Got.ACK_OF_SYN: State.ESTABLISHED,
        Got.CLOSE: State.FIN_WAIT_1,
        Got.SYN: State.CLOSED,  # back to LISTEN, which the listener never left: it made this connection
        Got.UNREACHABLE: State.CLOSED,
    },
    State.ESTABLISHED: {
        Got.CLOSE: State.FIN_WAIT_1,
        Got.FIN: State.CLOSE_WAIT,
    },
    State.FIN_WAIT_1: {
        Got.ACK_OF_FIN: State.FIN_WAIT_2,
        Got.FIN: State.CLOSING,
    },
    State.FIN_WAIT_2: {
        Got.FIN: State.TIME_WAIT,
    },
    State.CLOSE_WAIT: {
        Got.CLOSE: State.LAST_ACK,
    },
    State.CLOSING: {
        Got.ACK_OF_FIN: State.TIME_WAIT,
    },
    State.LAST_ACK: {
        Got.ACK_OF_FIN: State.CLOSED,
    },
    State.TIME_WAIT: {},
}


def _transitions() -> dict[tuple[State, Got], State]:
    table = {(state, got): new for state, moves in _STEPS.items() for got, new in moves.items()}
    for state in State:
        if state is not State.CLOSED:
            table[state, Got.ABORT] = State.CLOSED
        if state not in (State.CLOSED, State.LISTEN):
            table[state, Got.TIMEOUT] = State.CLOSED
            if state is not State.TIME_WAIT:  # RFC 1337: a RST does not assassinate TIME-WAIT
                table[state, Got.RST] = State.CLOSED
    return table


TRANSITIONS: Mapping[tuple[State, Got], State] = MappingProxyType(_transitions())
"""Every legal move. What is not here does not happen: user calls refuse it, segments are answered without moving."""
