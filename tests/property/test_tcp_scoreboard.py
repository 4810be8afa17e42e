"""The scoreboard and its runs against models that keep a record of each octet."""

from hypothesis import given
from hypothesis import strategies as st

from pystack.transport.tcp.runs import Runs
from pystack.transport.tcp.scoreboard import FLIGHT, LOST, SACKED, Range, Scoreboard

BASE = 2**32 - 300
STEPS = (
    "send",
    "send",
    "ack",
    "sack",
    "sack",
    "mark",
    "timeout",
    "resend",
    "resend",
    "first",
    "last",
    "undo",
    "renege",
)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 60)), max_size=40), st.integers(1, 8))
def test_runs_are_a_set_of_numbers(added: list[tuple[int, int]], limit: int) -> None:
    runs, model = Runs(limit), set[int]()
    for start, size in added:
        before = len(runs)
        new = {number for first, last in runs.add(start, start + size) for number in range(first, last)}
        wanted = set(range(start, start + size))
        if new or wanted <= model:
            assert new == wanted - model
            model |= wanted
        else:
            assert before == limit
        assert {number for first, last in runs for number in range(first, last)} == model
        assert len(runs) <= limit
        edges = [edge for run in runs for edge in run]
        assert edges == sorted(set(edges))
    runs.forget_before(100)
    assert {number for first, last in runs for number in range(first, last)} == {each for each in model if each >= 100}


class Octet:
    def __init__(self, sent_at: int) -> None:
        self.state = FLIGHT
        self.sent_at = sent_at
        self.transmits = 1


class Model:
    """Every octet from `una` to `nxt`."""

    def __init__(self) -> None:
        self.una = self.nxt = BASE
        self.octets: dict[int, Octet] = {}
        self.delivered = 0

    def send(self, size: int, now: int) -> None:
        for number in range(self.nxt, self.nxt + size):
            self.octets[number] = Octet(now)
        self.nxt += size

    def acknowledge(self, una: int) -> None:
        for number in range(self.una, una):
            self.delivered += self.octets.pop(number).state != SACKED
        self.una = una

    def sack(self, start: int, end: int) -> None:
        for number in range(start, end):
            self.delivered += self.octets[number].state != SACKED
            self.octets[number].state = SACKED

    def change(self, old: int, new: int) -> None:
        for octet in self.octets.values():
            if octet.state == old:
                octet.state = new

    def resend(self, start: int, end: int, now: int) -> None:
        for number in range(start, end):
            octet = self.octets[number]
            octet.state, octet.sent_at, octet.transmits = FLIGHT, now, octet.transmits + 1

    def count(self, *states: int, resent: bool = False) -> int:
        return sum(each.state in states and (not resent or each.transmits > 1) for each in self.octets.values())


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 100), st.integers(1, 40)), max_size=60))
def test_the_scoreboard_knows_each_octet(steps: list[tuple[str, int, int]]) -> None:
    board, model = Scoreboard(1024), Model()
    for now, (step, offset, size) in enumerate(steps, 1):
        if step == "send":
            board.on_sent(model.nxt, model.nxt + size, min(size, 10), now // 3)
            model.send(size, now // 3)
        elif step == "ack":
            una = min(model.una + size, model.nxt)
            board.begin()
            board.acknowledge(una)
            model.acknowledge(una)
        elif step == "sack" and model.nxt > model.una:
            start = model.una + offset % (model.nxt - model.una)
            end = min(start + size, model.nxt)
            board.sack(start, end)
            model.sack(start, end)
        elif step == "mark":
            _mark_lost(board, model, until=now // 3 - offset % 5)
        elif step == "timeout":
            board.mark_all_lost()
            model.change(FLIGHT, LOST)
        elif step == "undo":
            board.unmark_lost()
            model.change(LOST, FLIGHT)
        elif step == "renege":
            board.forget_sacks()
            model.change(SACKED, LOST)
        elif step == "resend":
            _resend(board, model, size, now // 3)
        elif step in ("first", "last"):
            again = board.resend_first(size, now // 3) if step == "first" else board.resend_last(size, now // 3)
            edge = model.una if step == "first" else model.nxt - 1
            assert (again is None) == (edge not in model.octets or model.octets[edge].state != FLIGHT)
            if again is not None:
                assert again.end - again.start <= size
                assert again.start == edge if step == "first" else again.end == edge + 1
                model.resend(again.start, again.end, now // 3)
        _compare(board, model)


def _mark_lost(board: Scoreboard, model: Model, until: int) -> None:
    point = board.rack_sent_at, board.rack_end
    board.mark_lost(until)
    flying = [each for each in _ranges(board) if each.state == FLIGHT]
    assert not any(each.sent_at <= until and each.sent_at < point[0] for each in flying)
    for each in _ranges(board):
        for number in range(each.start, each.end):
            octet = model.octets[number]
            if octet.state == FLIGHT and each.state == LOST:
                assert octet.sent_at <= until
                assert octet.sent_at <= point[0]
                octet.state = LOST


def _resend(board: Scoreboard, model: Model, size: int, now: int) -> None:
    lost = board.next_lost(size)
    lowest = min((number for number, octet in model.octets.items() if octet.state == LOST), default=None)
    assert (lost.start if lost is not None else None) == lowest
    if lost is not None:
        assert 0 < lost.end - lost.start <= size
        assert all(model.octets[number].state == LOST for number in range(lost.start, lost.end))
        longest = lost.start
        while longest < lost.start + size and longest in model.octets and model.octets[longest].state == LOST:
            longest += 1
        assert lost.end == longest
        most = max(model.octets[number].transmits for number in range(lost.start, lost.end))
        for number in range(lost.start, lost.end):
            model.octets[number].transmits = most
        model.resend(lost.start, lost.end, now)
        board.on_resent(now)


def _ranges(board: Scoreboard) -> list[Range]:
    return board._live()


def _compare(board: Scoreboard, model: Model) -> None:
    assert bool(board) == (model.una < model.nxt)
    assert board.in_flight == model.count(FLIGHT)
    assert board.lost == model.count(LOST)
    assert board.sacked == model.count(SACKED)
    assert board.resent == model.count(FLIGHT, resent=True)
    assert board.delivered == model.delivered
    assert board.reneged == (model.una in model.octets and model.octets[model.una].state == SACKED)
    at = model.una
    for each in _ranges(board):
        assert each.start == at
        at = each.end
        for number in range(each.start, each.end):
            octet = model.octets[number]
            assert (octet.state, octet.transmits) == (each.state, each.transmits)
            assert octet.state != FLIGHT or octet.sent_at == each.sent_at
    assert at == model.nxt
    times = []
    node = board._times.next
    while node is not board._times:
        times.append(node)
        node = node.next
    assert [each.sent_at for each in times] == sorted(each.sent_at for each in times)
    assert {id(each) for each in times} == {id(each) for each in _ranges(board) if each.state == FLIGHT}
    suspect = board.suspect
    assert suspect is None or any(each.sent_at == suspect for each in times)
    held = [number for number, octet in model.octets.items() if octet.state == SACKED]
    assert [number for start, end in board.runs for number in range(start, end)] == sorted(held)
