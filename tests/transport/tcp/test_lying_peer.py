"""A peer that acknowledges in ways that would do it good, or us harm: pieces of segments, what was never sent, a
thousand tiny holes; and two ends that have lost track of one another."""

import pytest

from pystack.transport.tcp import Segment, State, TCPConfig, TCPConnection
from pystack.transport.tcp.segment import ACK, SYN
from tests.transport.tcp.counting import calls
from tests.transport.tcp.script import MS, SECOND, Script
from tests.transport.tcp.test_cost import LATER, MSS, ack, flight, turn

WINDOW = 1 << 20


def after_a_window(wire: Script, congestion: str, *, pieces: int, avoidance: bool) -> int:
    """The congestion window when ten segments are acknowledged, each by so many ACKs."""
    wire.established(win=WINDOW, wscale=5, rtt=100 * MS, congestion=congestion, app_sends=0)
    if avoidance:
        wire.tcp.congestion.ssthresh = wire.tcp.congestion.cwnd
    wire.send(100_000)
    una = 1
    wire.advance(100 * MS)
    for _ in range(10):
        for piece in range(1, pieces + 1):
            wire.inject(ack=una + 1000 * piece // pieces, win=WINDOW >> 5)
        una += 1000
    return wire.tcp.congestion.cwnd


@pytest.mark.parametrize("congestion", ["newreno", "cubic"])
@pytest.mark.parametrize("avoidance", [False, True])
def test_divided_acks_open_the_window_no_faster(wire: Script, congestion: str, avoidance: bool) -> None:
    """RFC 5681 section 3.1, RFC 3465: octets count, not ACKs."""
    whole = after_a_window(wire, congestion, pieces=1, avoidance=avoidance)
    assert whole <= 20_000
    assert 10_000 < after_a_window(wire, congestion, pieces=100, avoidance=avoidance) <= whole


def test_acks_of_what_was_never_sent_gain_nothing(wire: Script) -> None:
    """RFC 9293 section 3.10.7.4, RFC 5961 section 5.2: answered within limits, and nothing else comes of them: neither
    their window nor their blocks are believed."""
    wire.established(sack=True, challenge_acks=5, app_sends=100_000)
    wire.sent.clear()
    tcp = wire.tcp
    before = tcp.info()
    for beyond in range(1, 200):
        wire.inject(ack=10_001 + beyond * 1000, sack=[(2001, 3001 + beyond)], win=1)
    wire.expect(*[". 10001:10001 ack 1"] * 5)
    after = tcp.info()
    assert (after.cwnd, after.in_flight, after.sacked) == (before.cwnd, before.in_flight, before.sacked)
    assert (tcp.snd_una - tcp.iss, tcp.snd_wnd) == (1, 65535)


def test_an_ack_of_a_bomb_of_blocks_costs_no_more_than_the_first() -> None:
    """Every second octet of what is in flight, four blocks at a time, from the top down; beyond 1,024 runs nothing is
    believed."""
    tcp = flight(4000)
    costs = []
    for number in range(1000):
        at = tcp.snd_nxt - 2 - 8 * number
        blocks = tuple((at - 2 * each, at - 2 * each + 1) for each in range(4))
        costs.append(calls(lambda blocks=blocks: turn(tcp, ack(1, *blocks), LATER)))  # type: ignore[misc]
    assert tcp.info().sacked == 1024
    assert len(tcp._board) <= 4050 + 2 * 1024
    assert max(costs[10:]) <= 2 * max(costs[:10])


def other(iss: int, irs: int) -> TCPConnection:
    """An end of a connection whose two sides began to count at `iss` and `irs`."""
    tcp = TCPConnection(b"1234", b"5678", 1, 2, iss=iss, mss=MSS, config=TCPConfig(timestamps=False))
    tcp.connect(0)
    tcp.take_output(0, 1)
    tcp.on_segment(Segment(irs, iss + 1, SYN | ACK, 65535, mss=MSS), 0)
    tcp.take_output(0, 10)
    assert tcp.state is State.ESTABLISHED
    return tcp


@pytest.mark.parametrize("talking", [False, True])
def test_two_ends_that_disagree_do_not_answer_each_other_for_ever(talking: bool) -> None:
    """Each finds what the other says unacceptable. Answers to empty segments are rationed, and text leaves no more
    often than its timer lets it."""
    ends = (other(1000, 500_000_000), other(2_000_000_000, 3_000_000_000))
    if talking:
        for end in ends:
            end.send(b"text", 0)
    else:
        ends[0].on_segment(Segment(7, 7, ACK, 65535), 0)
    now, said, texts = 0, 0, 0
    while now < 60 * SECOND:
        busy = True
        while busy:
            busy = False
            for end, peer in zip(ends, reversed(ends), strict=True):
                for segment in end.take_output(now, 64):
                    busy = True
                    said += 1
                    texts += segment.length > 0
                    peer.on_segment(Segment.from_bytes((segment.header_bytes(1, 2), *segment.payload)), now)
        deadlines = [end.next_deadline() for end in ends]
        now = min([each for each in deadlines if each is not None] + [now + SECOND])
        for end in ends:
            end.on_timer(now)
    assert texts <= 2 * 10
    assert 0 < said <= 2 * texts + 2 * 10 * 13
    assert all(end.memory < 1000 for end in ends)
