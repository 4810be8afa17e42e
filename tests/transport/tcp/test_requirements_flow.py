"""RFC 9293 Appendix B, rows about when segments leave, are sent again, and when a connection ends."""

import pytest

from pystack.transport.tcp import State, TCPConfig
from pystack.units import MS, SECOND
from tests.transport.tcp.script import Script

# PUSH


def test_pushes_that_wait_together_leave_as_one(wire: Script) -> None:
    """SHLD-27, SHLD-28, MAY-16: what waits is cut into the largest segments, and the last one alone is pushed."""
    wire.established()
    wire.send(10)
    wire.expect("P. 1:11")
    for _ in range(25):
        wire.send(100)
    wire.expect(". 11:1011", ". 1011:2011")
    wire.inject()
    wire.expect("P. 2011:2511")


@pytest.mark.parametrize("nodelay", [False, True])
def test_nothing_is_buffered_for_ever(wire: Script, nodelay: bool) -> None:
    """MUST-60, MUST-61: there is no push call, so everything leaves without further calls, its last octet pushed."""
    wire.established(nodelay=nodelay)
    for size in (1, 10, 1000, 7):
        wire.send(size)
    pushed = 0
    for _ in range(5):
        while wire.sent:
            segment = wire.take()
            if segment.flags & 8:
                pushed = wire.relative_seq(segment) + segment.length
        wire.inject(ack=wire.tcp.snd_nxt - wire.tcp.iss)
    assert pushed == 1 + 1018
    assert wire.tcp.unacknowledged == 0


def test_a_peer_that_pushes_nothing_is_read_all_the_same(wire: Script) -> None:
    """MAY-17 is declined: PSH changes nothing for the reader."""
    wire.established()
    wire.inject(".", data=b"not pushed")
    assert wire.recv() == b"not pushed"
    wire.inject("P.", data=b"pushed")
    assert wire.recv() == b"pushed"


# Opening and closing


def test_a_reset_in_syn_received_depends_on_who_opened(wire: Script) -> None:
    """MUST-11: a passive open goes away without a word, for its listener goes on; an active one is refused."""
    wire.syn_received()
    wire.inject("R")
    assert wire.tcp.state is State.CLOSED
    assert isinstance(wire.tcp.error, ConnectionResetError)
    wire.syn_sent()
    wire.inject("S", mss=1000)
    assert wire.tcp.state is State.SYN_RECEIVED
    wire.sent.clear()
    wire.inject("R", seq=1)
    assert isinstance(wire.tcp.error, ConnectionRefusedError)


def test_simultaneous_open_when_both_segments_of_the_peer_come_at_once(wire: Script) -> None:
    """MUST-10: its SYN and its SYN-ACK in one turn; without our answer it would wait for its timer."""
    wire.syn_sent()
    wire.hold = True
    wire.inject("S", mss=1000)
    wire.inject("S.", seq=0, mss=1000)
    wire.hold = False
    wire.drain()
    assert wire.tcp.state is State.ESTABLISHED
    assert wire.sent, "the peer is in SYN-RECEIVED still"
    assert wire.relative_ack(wire.take()) == 1


@pytest.mark.parametrize("simultaneous", [False, True])
def test_time_wait_lasts_two_segment_lifetimes(wire: Script, simultaneous: bool) -> None:
    """MUST-13: 60 s, an MSL being 30 s."""
    wire.reach(State.CLOSING if simultaneous else State.FIN_WAIT_2)
    wire.inject("." if simultaneous else "F.")
    assert wire.tcp.state is State.TIME_WAIT
    wire.advance(60 * SECOND - 1)
    assert wire.tcp.state is State.TIME_WAIT
    wire.advance(1)
    assert wire.tcp.state is State.CLOSED
    assert wire.tcp.error is None


def test_the_passive_closer_has_no_time_wait(wire: Script) -> None:
    """MUST-13 is for whoever closes actively."""
    wire.reach(State.LAST_ACK)
    wire.inject(".")
    assert wire.tcp.state is State.CLOSED


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_graceful_end_and_an_abort_look_different(wire: Script, pieces: int) -> None:
    """MUST-12."""
    for ending in ("F.", "R"):
        wire.established()
        for _ in range(pieces):
            wire.inject(data=b"x")
        wire.inject(ending)
        assert wire.recv() == b"x" * pieces
        assert wire.tcp.eof is (ending == "F.")
        assert isinstance(wire.tcp.error, ConnectionResetError) is (ending == "R")


# Retransmission and failure


def test_old_data_behind_a_shrunken_window_waits(wire: Script) -> None:
    """MAY-7 is declined: nothing beyond SND.UNA + SND.WND is sent again. SHLD-16: what lies inside is."""
    wire.established(win=4000, app_sends=4000)
    wire.sent.clear()
    wire.inject(ack=1, win=1000)
    for _ in range(4):
        wire.wait()
        wire.expect("1:1001")
    wire.inject(ack=1001, win=500)  # the congestion window has room for two segments now
    wire.expect("1001:1501")
    wire.inject(ack=1501, win=0)
    wire.expect("1501:1502")


@pytest.mark.parametrize("window", [0, 1, 999])
def test_a_window_shrunken_for_hours_ends_nothing_while_the_peer_answers(wire: Script, window: int) -> None:
    """SHLD-17, MUST-34, MUST-37: what the peer does not acknowledge lies beyond the edge it offers."""
    wire.established(win=4000, app_sends=4000)
    wire.sent.clear()
    taken = 1 + window
    for _ in range(40):
        wire.inject(ack=taken, win=0)
        wire.wait()
        for _, segment in wire.sent:
            assert wire.relative_seq(segment) + segment.length <= taken + 1
        wire.sent.clear()
    assert wire.now > 3600 * SECOND
    assert wire.tcp.state is State.ESTABLISHED
    wire.inject(ack=taken, win=4000)
    wire.inject(ack=4001, win=4000)
    assert wire.tcp.unacknowledged == 0


def test_syns_are_given_up_by_the_same_rules(wire: Script) -> None:
    """MUST-22, MUST-23: R1 makes the path suspect, R2 ends the attempt, not before three minutes; the user is told."""
    wire.syn_sent()
    begin = wire.now
    suspect_after = None
    while wire.tcp.state is State.SYN_SENT:
        wire.wait() if wire.tcp.info().retransmits < 7 else wire.advance(300 * SECOND)
        if wire.sent:
            last = wire.sent[-1][0]
        wire.sent.clear()
        if wire.tcp.path_suspect and suspect_after is None:
            suspect_after = wire.tcp.info().retransmits
    assert suspect_after == 3
    assert last - begin >= 120 * SECOND
    assert isinstance(wire.tcp.error, TimeoutError)


def test_the_attempt_to_connect_lasts_three_minutes(wire: Script) -> None:
    """MUST-23, from the first SYN to the error; for an answer to a SYN as well."""
    for start in (wire.syn_sent, wire.syn_received):
        start()
        wire.advance(180 * SECOND)
        assert wire.tcp.state in (State.SYN_SENT, State.SYN_RECEIVED)
        wire.sent.clear()
        wire.advance(600 * SECOND)
        assert wire.tcp.state is State.CLOSED


def test_data_is_tried_for_at_least_100_seconds(wire: Script) -> None:
    """SHLD-11, whatever the round trip."""
    for rtt in (0, 1 * MS, 500 * MS):
        wire.established(rtt=rtt, app_sends=1000)
        wire.advance(100 * SECOND)
        assert wire.tcp.state is State.ESTABLISHED
        wire.advance(3600 * SECOND)
        assert isinstance(wire.tcp.error, TimeoutError)


def test_an_ack_waits_less_than_half_a_second_whatever_is_configured() -> None:
    """MUST-40."""
    with pytest.raises(ValueError, match="delayed_ack"):
        TCPConfig(delayed_ack=500 * MS)
