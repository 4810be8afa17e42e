"""Keepalive: RFC 9293 section 3.8.4."""

from typing import Any

from attrs import evolve

from pystack.transport.tcp import State
from pystack.units import SECOND
from tests.transport.tcp.script import Script

FAST: dict[str, Any] = {
    "keepalive": True,
    "keepalive_idle": 10 * SECOND,
    "keepalive_interval": 2 * SECOND,
    "keepalive_count": 3,
}


def test_off_by_default(wire: Script) -> None:
    """RFC 9293 MUST-25."""
    wire.established()
    assert wire.tcp.next_deadline() is None


def test_two_hours_by_default(wire: Script) -> None:
    """RFC 9293 MUST-28."""
    wire.established(keepalive=True)
    assert wire.wait() == 7200 * SECOND
    wire.expect(". 0:0 ack 1")  # SND.NXT - 1, no data


def test_an_answered_probe_starts_the_wait_again(wire: Script) -> None:
    wire.established(**FAST)
    for _ in range(20):
        assert wire.wait() == 10 * SECOND
        wire.expect(". 0:0 ack 1")
        wire.inject()


def test_traffic_starts_the_wait_again(wire: Script) -> None:
    wire.established(**FAST)
    wire.advance(9 * SECOND)
    wire.inject(data=1)
    wire.advance(1 * SECOND)
    wire.sent.clear()
    assert wire.wait() == 9 * SECOND
    wire.expect(". 0:0 ack 2")


def test_a_dead_peer_is_given_up_after_several_probes(wire: Script) -> None:
    """RFC 9293 MUST-26: never after one."""
    wire.established(**FAST)
    wire.wait()
    wire.expect(". 0:0")
    for _ in range(2):
        assert wire.wait() == 2 * SECOND
        wire.expect(". 0:0")
    assert wire.wait() == 2 * SECOND
    wire.expect("R. 1")
    assert wire.tcp.state is State.CLOSED
    assert isinstance(wire.tcp.error, TimeoutError)


def test_a_peer_that_lost_the_connection_resets_it(wire: Script) -> None:
    wire.established(**FAST)
    wire.wait()
    wire.inject("R", seq=1)
    assert isinstance(wire.tcp.error, ConnectionResetError)


def test_no_probe_while_data_is_outstanding(wire: Script) -> None:
    """RFC 9293 MUST-27: only on an idle connection; the retransmission timer watches the peer."""
    wire.established(**FAST)
    wire.send(100)
    wire.sent.clear()
    wire.advance(30 * SECOND)
    assert {wire.relative_seq(segment) for _, segment in wire.sent} == {1}


def test_it_can_be_switched_at_run_time(wire: Script) -> None:
    wire.established()
    wire.advance(3 * SECOND)
    wire.tcp.configure(evolve(wire.tcp.config, **FAST), wire.now)
    assert wire.wait() == 7 * SECOND
    wire.expect(". 0:0")
    wire.tcp.configure(evolve(wire.tcp.config, keepalive=False), wire.now)
    assert wire.tcp.next_deadline() is None


def test_an_interval_longer_than_the_idle_time(wire: Script) -> None:
    wire.established(keepalive=True, keepalive_idle=1 * SECOND, keepalive_interval=60 * SECOND, keepalive_count=2)
    for _ in range(10):
        wire.wait()
        wire.expect(". 0:0")
        wire.inject()
    assert wire.tcp.state is State.ESTABLISHED


def test_our_answer_to_the_peers_probe(wire: Script) -> None:
    wire.established()
    wire.inject(seq=0)
    wire.expect(". 1:1 ack 1")
    wire.inject(seq=0, data=b"\0")  # with an octet of garbage: RFC 9293 section 3.8.4
    wire.expect(". 1:1 ack 1")
    assert wire.tcp.readable == 0


def test_a_user_timeout_takes_the_place_of_the_number_of_probes(wire: Script) -> None:
    """As in Linux, but never before a probe has gone unanswered (MUST-26)."""
    wire.established(**FAST | {"user_timeout": 21 * SECOND})
    for expected in (10, 2, 2, 2, 2, 2):
        assert wire.wait() == expected * SECOND
        wire.expect(". 0:0")
    assert wire.wait() == 2 * SECOND  # after 22 s of silence
    wire.expect("R. 1")


def test_a_user_timeout_shorter_than_the_idle_time_waits_for_a_probe(wire: Script) -> None:
    wire.established(**FAST | {"user_timeout": SECOND})
    assert wire.wait() == 10 * SECOND
    wire.expect(". 0:0")
    assert wire.wait() == 2 * SECOND
    wire.expect("R. 1")
