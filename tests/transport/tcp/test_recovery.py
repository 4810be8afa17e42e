"""Loss recovery without SACK: RFC 5681 section 3.2, RFC 6582, RFC 3042; the congestion window of RFC 5681 and 6928."""

import pytest

from pystack.transport.tcp import CONGESTION_CONTROLS, CongestionControl, TCPConfig, register
from pystack.transport.tcp.congestion import NewReno
from pystack.units import MS, SECOND
from tests.transport.tcp.script import Script


def drain(wire: Script) -> list[tuple[int, int]]:
    """What was sent since, as ranges."""
    wire.drain()
    ranges = [(wire.relative_seq(segment), segment.length) for _, segment in wire.sent]
    wire.sent.clear()
    return [(start, start + length) for start, length in ranges]


def segments(first: int, last: int) -> list[tuple[int, int]]:
    return [(start, start + 1000) for start in range(first, last, 1000)]


def flying(wire: Script, count: int = 10, **config: object) -> None:
    """`count` segments of 1000 are in flight, the user has more. The windows are Reno's."""
    config.setdefault("congestion", "newreno")
    wire.established(send_buffer=1 << 20, **config)  # type: ignore[arg-type]
    wire.send(200_000)
    assert drain(wire) == segments(1, 1 + count * 1000)


def test_the_initial_window_is_ten_segments(wire: Script) -> None:
    flying(wire, 10)
    assert wire.tcp.congestion.cwnd == 10_000


def test_the_initial_window_of_large_segments(wire: Script) -> None:
    """RFC 6928: min(10 MSS, max(2 MSS, 14600))."""
    wire.established(mss=8960)
    assert wire.tcp.congestion.cwnd == 17920


def test_slow_start_doubles_and_congestion_avoidance_adds_a_segment(wire: Script) -> None:
    flying(wire)
    wire.inject(ack=10_001)
    assert wire.tcp.congestion.cwnd == 20_000
    assert len(drain(wire)) == 20
    wire.tcp.congestion.ssthresh = 20_000
    wire.inject(ack=30_001)
    assert wire.tcp.congestion.cwnd == 21_000


def test_a_window_that_is_not_used_does_not_grow(wire: Script) -> None:
    wire.established()
    for _ in range(50):
        wire.send(1000)
        wire.inject()
    assert wire.tcp.congestion.cwnd == 10_000


def test_an_idle_connection_starts_again_from_the_initial_window(wire: Script) -> None:
    """RFC 5681 section 4.1."""
    flying(wire)
    wire.inject(ack=10_001)
    wire.inject(ack=30_001)
    while wire.tcp.unacknowledged:
        wire.inject()
    assert wire.tcp.congestion.cwnd > 40_000
    wire.sent.clear()
    wire.advance(10 * SECOND)
    wire.send(100_000)
    assert len(drain(wire)) == 10


def test_limited_transmit(wire: Script) -> None:
    """RFC 3042: a new segment for each of the first two duplicates."""
    flying(wire)
    wire.inject(ack=1)
    assert drain(wire) == segments(10_001, 11_001)
    wire.inject(ack=1)
    assert drain(wire) == segments(11_001, 12_001)
    assert wire.tcp.congestion.cwnd == 10_000


def test_three_duplicates_resend_the_first_segment_once(wire: Script) -> None:
    flying(wire)
    for _ in range(2):
        wire.inject(ack=1)
    drain(wire)
    wire.inject(ack=1)
    assert drain(wire) == segments(1, 1001)
    assert wire.tcp.info().in_recovery
    assert wire.tcp.congestion.ssthresh == 5000  # half of 12, less what limited transmit added
    wire.inject(ack=1)
    wire.inject(ack=1)
    assert drain(wire) == []


def test_more_duplicates_let_new_segments_out(wire: Script) -> None:
    """RFC 5681 section 3.2 (4): the window is inflated by what has left the network."""
    flying(wire)
    for _ in range(9):
        wire.inject(ack=1)
    # limited transmit 2, resent 1, then cwnd 5000 + 9 * 1000 against 12 in flight
    assert drain(wire) == [*segments(10_001, 12_001), (1, 1001), *segments(12_001, 14_001)]


def test_a_full_acknowledgement_ends_recovery(wire: Script) -> None:
    """RFC 6582 section 3.2 (3): min(ssthresh, max(FlightSize, SMSS) + SMSS)."""
    flying(wire)
    for _ in range(3):
        wire.inject(ack=1)
    drain(wire)
    wire.inject(ack=12_001)
    assert not wire.tcp.info().in_recovery
    assert wire.tcp.congestion.cwnd == 2000
    assert drain(wire) == segments(12_001, 14_001)


def test_a_partial_acknowledgement_resends_the_next_hole(wire: Script) -> None:
    """RFC 6582: without waiting for more duplicates."""
    flying(wire)
    for _ in range(3):
        wire.inject(ack=1)
    drain(wire)
    wire.inject(ack=4001)
    assert drain(wire)[0] == (4001, 5001)
    assert wire.tcp.info().in_recovery
    wire.inject(ack=7001)
    assert drain(wire)[0] == (7001, 8001)
    wire.inject(ack=12_001)
    assert not wire.tcp.info().in_recovery


def test_only_the_first_partial_acknowledgement_restarts_the_timer(wire: Script) -> None:
    """RFC 6582, the impatient variant."""
    flying(wire)
    for _ in range(3):
        wire.inject(ack=1)
    wire.advance(100 * MS)
    wire.inject(ack=3001)
    wire.advance(150 * MS)
    wire.inject(ack=5001)
    drain(wire)
    assert wire.wait() == 50 * MS


@pytest.mark.parametrize(
    "change",
    [{"data": b"x"}, {"win": 60_000}, {"ack": 0}],
    ids=["data", "window", "old ack"],
)
def test_what_is_no_duplicate(wire: Script, change: dict[str, object]) -> None:
    """RFC 5681 section 2."""
    flying(wire)
    for number in range(5):
        given: dict[str, object] = {"ack": 1, **change}
        if "win" in change:
            given["win"] = 60_000 + number
        wire.inject(**given)  # type: ignore[arg-type]
    assert not wire.tcp.info().in_recovery


def test_acks_with_nothing_outstanding_are_no_duplicates(wire: Script) -> None:
    wire.established()
    for _ in range(5):
        wire.inject()
    wire.send(5000)
    assert len(drain(wire)) == 5


def test_duplicates_after_a_timeout_do_not_start_recovery(wire: Script) -> None:
    """RFC 6582 section 4: they may come from what was resent for nothing."""
    flying(wire)
    wire.wait()
    drain(wire)
    wire.inject(ack=9001)  # only one ACK was lost
    drain(wire)
    for _ in range(4):
        wire.inject(ack=9001)
    assert not wire.tcp.info().in_recovery


def test_recovery_that_stalls_is_left_to_the_timer(wire: Script) -> None:
    flying(wire)
    for _ in range(3):
        wire.inject(ack=1)
    drain(wire)
    wire.wait()
    assert drain(wire) == segments(1, 1001)
    assert not wire.tcp.info().in_recovery
    assert wire.tcp.congestion.cwnd == 1000


def test_a_congestion_control_is_one_class_and_a_name(wire: Script) -> None:
    class Fixed(NewReno):
        __slots__ = ()

        def on_ack(self, acked: int, rtt: int | None, now: int) -> None:
            pass

    register("fixed-for-test", Fixed)
    try:
        wire.established(send_buffer=1 << 20, congestion="fixed-for-test")
        assert isinstance(wire.tcp.congestion, CongestionControl)
        wire.send(100_000)
        wire.inject(ack=10_001)
        assert wire.tcp.congestion.cwnd == 10_000
        assert wire.tcp.info().congestion == "fixed-for-test"
        with pytest.raises(ValueError, match="fixed-for-test"):
            register("fixed-for-test", Fixed)
    finally:
        del CONGESTION_CONTROLS["fixed-for-test"]


def test_an_unknown_congestion_control_is_refused() -> None:
    with pytest.raises(ValueError, match="newreno"):
        TCPConfig(congestion="vegas?")


def test_the_windows_never_fall_below_a_segment() -> None:
    control = NewReno(1000, 10_000)
    control.on_timeout(0, True, 0)
    assert (control.cwnd, control.ssthresh) == (1000, 2000)
    control.on_loss(500, 0)
    assert control.cwnd == 2000
    control.on_smss(5000)
    assert control.cwnd == 5000


def test_what_is_received_does_not_keep_an_idle_window_alive(wire: Script) -> None:
    """RFC 5681 section 4.1: what counts is when data was last sent; a request that has just come changes nothing."""
    flying(wire)
    wire.inject(ack=10_001)
    while wire.tcp.unacknowledged:
        wire.inject()
    assert wire.tcp.congestion.cwnd > 20_000
    wire.advance(10 * SECOND)
    wire.inject(data=100)
    wire.sent.clear()
    wire.send(100_000)
    assert len(drain(wire)) == 10
