"""The scoreboard by itself, where a connection shows too little of it."""

from pystack.transport.tcp.scoreboard import Scoreboard


def test_what_leaves_a_third_time_counts_once() -> None:
    """`resent` are octets in flight, not transmissions."""
    board = Scoreboard(16)
    board.on_sent(0, 3000, 1000, 0)
    for now in (10, 20, 30):
        first = board.resend_first(1000, now)
        assert first is not None
        assert (first.start, first.end, first.sent_at) == (0, 1000, now)
        assert (board.resent, board.in_flight) == (1000, 3000)
    for now in (40, 50):
        last = board.resend_last(1000, now)
        assert last is not None
        assert (last.start, last.end) == (2000, 3000)
        assert (board.resent, board.in_flight) == (2000, 3000)
