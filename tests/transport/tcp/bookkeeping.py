"""What a connection keeps in step with itself: every figure that is carried along, counted again from what it is of."""

from pystack.transport.tcp import State, TCPConnection
from pystack.transport.tcp.reassembly import RANGE_COST, Reassembly
from pystack.transport.tcp.recvbuffer import ReceiveBuffer
from pystack.transport.tcp.scoreboard import FLIGHT, LOST, SACKED, Scoreboard
from pystack.transport.tcp.sendbuffer import PIECE_COST, SendBuffer
from pystack.units import Ns

__all__ = ["check_books", "check_timers"]

_HANDSHAKE = (State.CLOSED, State.LISTEN, State.SYN_SENT, State.SYN_RECEIVED)


def check_books(tcp: TCPConnection) -> None:
    check_send_buffer(tcp._send)
    check_receive_buffer(tcp._receive)
    check_scoreboard(tcp._board)
    assert tcp.memory == tcp._send.cost + tcp._receive.cost
    board = tcp._board
    if tcp.state is not State.CLOSED:
        assert board.in_flight + board.lost + board.sacked == tcp.snd_nxt - tcp.snd_una
        assert tcp.snd_nxt <= tcp._snd_end
        assert tcp._send.start == min(max(tcp.snd_una, tcp.iss + 1), tcp._send.end)
    if tcp.state not in _HANDSHAKE:
        assert tcp._receive.nxt <= tcp._window.edge, "beyond what was promised"
        assert tcp._receive.end <= tcp._window.edge


def check_timers(tcp: TCPConnection, now: Ns) -> None:
    """After `on_timer`: nothing is left that is due, and whoever waits for the peer has a timer to fall back on."""
    deadline = tcp.next_deadline()
    assert deadline is None or deadline > now, "a timer that spins"
    if tcp.state is State.CLOSED:
        assert deadline is None
    elif tcp.unacknowledged and not tcp.has_output(now):
        assert deadline is not None, "it would wait forever"


def check_send_buffer(send: SendBuffer) -> None:
    pieces = [len(piece) for piece in send._pieces[send._head :]]
    stored = sum(pieces) + len(send._tail)
    assert stored >= len(send)
    assert stored - len(send) < (pieces[0] if pieces else 1), "acknowledged pieces are kept"
    assert send.cost == len(send) + PIECE_COST * (len(pieces) + bool(send._tail))


def check_receive_buffer(receive: ReceiveBuffer) -> None:
    ready = receive._ready
    assert ready.octets == sum(len(piece) for piece in ready.pieces) - receive._offset
    beyond = receive.beyond
    ranges = list(beyond.ranges)
    assert len(ranges) <= beyond.ranges.limit
    at = receive.nxt
    for start, end in ranges:
        assert at < start < end, "ranges touch, or cover what is in order"
        at = end
    check_pieces(beyond, ranges)
    assert receive.cost == ready.cost + beyond.cost
    assert receive.room == receive.limit - ready.cost - beyond.overhead


def check_pieces(beyond: Reassembly, ranges: list[tuple[int, int]]) -> None:
    """Each octet of each range lies in one piece, and only small ones go on growing."""
    stored = 0
    for start, end in ranges:
        at = start
        while at < end:
            piece = beyond._pieces[at]
            at += len(piece)
            stored += 1
            if at in beyond._growing:
                assert beyond._growing[at] == at - len(piece)
                assert isinstance(piece, bytearray)
        assert at == end
    assert stored == len(beyond._pieces)
    assert len(beyond._growing) <= stored
    assert beyond.octets == sum(end - start for start, end in ranges)
    assert beyond.cost == beyond.octets + PIECE_COST * stored + RANGE_COST * len(ranges)


def check_scoreboard(board: Scoreboard) -> None:
    live = board._live()
    totals = dict.fromkeys((FLIGHT, LOST, SACKED), 0)
    at = live[0].start if live else 0
    for each in live:
        assert each.start == at < each.end
        assert each.state in totals
        totals[each.state] += each.end - each.start
        at = each.end
    assert [board.in_flight, board.lost, board.sacked] == [totals[FLIGHT], totals[LOST], totals[SACKED]]
    flying = [each for each in live if each.state == FLIGHT]
    assert board.resent == sum(each.end - each.start for each in flying if each.transmits > 1)
    assert board.sacked_segments >= 0
    by_time = []
    each = board._times.next
    while each is not board._times:
        assert each.next.prev is each
        by_time.append(each)
        each = each.next
    assert sorted(map(id, by_time)) == sorted(map(id, flying))
    assert [each.sent_at for each in by_time] == sorted(each.sent_at for each in by_time)
    runs = board.runs
    assert len(runs) <= board._runs.limit
    assert sum(end - start for start, end in runs) == board.sacked
