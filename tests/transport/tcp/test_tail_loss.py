"""Tail loss probes: RFC 8985 section 7."""

import pytest

from pystack.transport.tcp.segment import PSH
from pystack.transport.tcp.tlp import LossProbe
from pystack.units import MS, SECOND, Ns
from tests.transport.tcp.script import Script
from tests.transport.tcp.selective import RTT, full, sent

FLOOR = 2 * MS


def flight(wire: Script, segments: int = 3, **config: object) -> None:
    wire.established(sack=True, rtt=RTT, send_buffer=1 << 20, congestion="newreno", nodelay=True, **config)  # type: ignore[arg-type]
    wire.send(segments * 1000)
    assert sent(wire) == full(1, 1 + segments * 1000)


def test_the_last_segment_is_sent_again_after_two_round_trips(wire: Script) -> None:
    flight(wire)
    assert wire.wait() == 2 * RTT + FLOOR
    assert sent(wire) == full(2001, 3001)


def test_a_single_segment_gets_the_time_of_a_delayed_acknowledgement(wire: Script) -> None:
    """Section 7.2. The RTO is not that late here: the probe leaves in its place."""
    flight(wire, 1)
    assert wire.wait() == 300 * MS
    assert sent(wire) == full(1, 1001)
    assert wire.tcp.info().retransmits == 0
    wire.advance(299 * MS)
    assert wire.wait() == 1 * MS  # the RTO starts again with the probe
    assert wire.tcp.info().retransmits == 1


def test_new_data_is_the_better_probe(wire: Script) -> None:
    """Section 7.3: one segment beyond the congestion window."""
    flight(wire, 10)
    wire.send(5000)
    wire.wait()
    assert sent(wire) == full(10_001, 11_001)
    assert wire.tcp.info().total_retransmits == 0


@pytest.mark.parametrize(("rtt", "pushed"), [(1 * MS, True), (RTT, False)])
def test_new_data_is_pushed_where_a_delayed_answer_would_cost_round_trips(wire: Script, rtt: Ns, pushed: bool) -> None:
    wire.established(sack=True, rtt=rtt, congestion="newreno")
    wire.send(15_000)
    assert sent(wire) == full(1, 10_001)
    wire.wait()
    assert bool(wire.take().flags & PSH) is pushed


def test_new_data_does_not_leave_beyond_the_peers_window(wire: Script) -> None:
    wire.established(sack=True, rtt=RTT, win=3000, congestion="newreno")
    wire.send(5000)
    assert sent(wire) == full(1, 3001)
    wire.wait()
    assert sent(wire) == full(2001, 3001)


def test_a_short_last_segment_is_repeated_as_it_was(wire: Script) -> None:
    flight(wire, 2)
    wire.send(300)
    assert sent(wire) == [(2001, 2301)]
    wire.wait()
    assert sent(wire) == [(2001, 2301)]


def test_the_fin_can_be_the_probe(wire: Script) -> None:
    flight(wire, 2)
    wire.shutdown()
    wire.expect("F. 2001:2002")
    wire.wait()
    wire.expect("F. 2001:2002")


def test_each_acknowledgement_of_new_data_starts_the_timer_again(wire: Script) -> None:
    flight(wire)
    wire.advance(RTT)
    wire.inject(ack=1001)
    assert wire.wait() == 2 * RTT + FLOOR


def test_only_one_probe_then_the_timeout(wire: Script) -> None:
    """Section 7.3: no second one while the first is not acknowledged."""
    flight(wire)
    wire.wait()
    assert sent(wire) == full(2001, 3001)
    assert wire.wait() == 300 * MS
    assert sent(wire) == full(1, 1001)
    assert wire.tcp.info().retransmits == 1


def test_no_probe_without_a_measurement_since_the_last_one(wire: Script) -> None:
    """Section 7.3, condition 2."""
    flight(wire, 2)
    wire.wait()
    sent(wire)
    wire.inject(ack=2001)  # of a segment sent twice: nothing was measured
    wire.send(2000)
    assert sent(wire) == full(2001, 4001)
    assert wire.wait() > 2 * RTT + FLOOR
    assert wire.tcp.info().retransmits == 1


def test_the_answer_to_the_probe_shows_what_was_lost(wire: Script) -> None:
    """Section 7.4.1: fast recovery in place of a timeout."""
    flight(wire)
    wire.wait()
    sent(wire)
    wire.advance(RTT)
    wire.inject(ack=1, sack=[(2001, 3001)])
    assert sent(wire) == full(1, 1001)
    assert wire.tcp.info().phase == "Recovery"


def test_a_probe_that_repairs_a_loss_is_a_congestion_event(wire: Script) -> None:
    """Section 7.4.2: an ACK beyond the probe, and no sign of a duplicate."""
    flight(wire, 10)
    wire.inject(ack=9001)
    wire.wait()
    assert sent(wire) == full(9001, 10_001)
    wire.advance(RTT)
    wire.inject(ack=10_001)
    wire.send(1000)
    assert wire.tcp.info().ssthresh is None
    wire.inject(ack=11_001)
    assert wire.tcp.info().ssthresh == 2000
    assert wire.tcp.info().phase == "Open"


def test_a_dsack_says_that_the_probe_was_not_needed(wire: Script) -> None:
    """Case 1."""
    flight(wire)
    wire.wait()
    sent(wire)
    wire.inject(ack=3001)
    wire.inject(ack=3001, sack=[(2001, 3001)])
    wire.send(1000)
    wire.inject(ack=4001)
    assert wire.tcp.info().ssthresh is None
    assert wire.tcp.info().dsacks == 1


def test_a_bare_duplicate_says_so_too(wire: Script) -> None:
    """Case 2: a receiver without DSACK."""
    probe = LossProbe()
    probe.on_sent(3001, is_retransmission=True)
    assert not probe.on_ack(3001, dsack_end=None, bare_duplicate=False)
    assert probe.end == 3001
    assert not probe.on_ack(3001, dsack_end=None, bare_duplicate=True)
    assert probe.end is None


def test_a_probe_of_new_data_tells_of_no_loss(wire: Script) -> None:
    flight(wire, 10)
    wire.send(5000)
    wire.wait()
    wire.inject(ack=11_001)
    sent(wire)
    wire.inject(ack=13_001)
    assert wire.tcp.info().ssthresh is None


def test_no_probe_while_the_peer_holds_something_beyond_a_gap(wire: Script) -> None:
    """Section 7.2: the reordering timer is at work."""
    flight(wire, 2)
    wire.advance(RTT)
    wire.inject(ack=1, sack=[(1001, 2001)])
    assert wire.wait() == RTT // 4


def test_no_probe_without_sack(wire: Script) -> None:
    wire.established(rtt=RTT)
    wire.send(2000)
    sent(wire)
    assert wire.wait() == 300 * MS
    assert wire.tcp.info().retransmits == 1


def test_probes_can_be_switched_off(wire: Script) -> None:
    flight(wire, loss_probe=False)
    assert wire.wait() == 300 * MS
    assert sent(wire) == full(1, 1001)


def test_a_closed_window_is_probed_by_the_persist_timer_only(wire: Script) -> None:
    flight(wire, 1)
    wire.inject(ack=1001, win=0)
    wire.send(1000)
    assert wire.wait() >= 300 * MS
    assert sent(wire) == [(1001, 1002)]
    assert wire.wait() >= 300 * MS


def test_a_link_without_room_delays_the_probe(wire: Script) -> None:
    flight(wire)
    wire.hold = True
    wire.advance(250 * MS)
    wire.inject(ack=3001)
    wire.hold = False
    wire.expect_silence(SECOND)


def test_an_idle_connection_has_no_timer(wire: Script) -> None:
    flight(wire)
    wire.wait()
    sent(wire)
    wire.inject(ack=3001)
    assert wire.tcp.next_deadline() is None
