from functools import partial
from random import Random

import pytest

from pystack.stack.timers import COMPACT_FROM, Alarm, Timers


@pytest.fixture
def rung() -> list[tuple[str, int]]:
    return []


def make(timers: Timers, rung: list[tuple[str, int]], name: str) -> Alarm:
    return timers.alarm(lambda now: rung.append((name, now)))


def test_alarms_ring_in_order_of_their_deadlines(rung: list[tuple[str, int]]) -> None:
    timers = Timers()
    late, early = make(timers, rung, "late"), make(timers, rung, "early")
    late.set(20)
    early.set(10)
    assert timers.next_deadline() == 10
    timers.ring(15)
    assert rung == [("early", 15)]
    timers.ring(20)
    assert rung == [("early", 15), ("late", 20)]
    assert timers.next_deadline() is None


def test_an_alarm_moved_later_rings_once_at_its_new_time(rung: list[tuple[str, int]]) -> None:
    timers = Timers()
    alarm = make(timers, rung, "a")
    alarm.set(10)
    alarm.set(30)
    timers.ring(29)
    assert rung == []
    assert timers.next_deadline() == 30
    timers.ring(30)
    timers.ring(100)
    assert rung == [("a", 30)]


def test_an_alarm_moved_earlier_rings_once_at_its_new_time(rung: list[tuple[str, int]]) -> None:
    timers = Timers()
    alarm = make(timers, rung, "a")
    alarm.set(30)
    alarm.set(10)
    timers.ring(10)
    timers.ring(30)
    assert rung == [("a", 10)]


def test_an_unset_alarm_leaves_no_deadline_behind(rung: list[tuple[str, int]]) -> None:
    timers = Timers()
    alarm = make(timers, rung, "a")
    alarm.set(10)
    alarm.set(None)
    assert timers.next_deadline() is None
    timers.ring(10)
    assert rung == []


def test_an_alarm_set_anew_by_its_own_callback_rings_again() -> None:
    timers = Timers()
    times = []

    def again(now: int) -> None:
        times.append(now)
        alarm.set(now + 10 if len(times) < 3 else None)

    alarm = timers.alarm(again)
    alarm.set(10)
    for now in (10, 20, 30, 40):
        timers.ring(now)
    assert times == [10, 20, 30]


def test_cancelled_alarms_do_not_pile_up() -> None:
    timers = Timers()
    for deadline in range(100 * COMPACT_FROM):
        alarm = timers.alarm(lambda _: None)
        alarm.set(1_000_000 + deadline)
        alarm.cancel()
    assert len(timers._heap) <= 2 * COMPACT_FROM


def test_it_agrees_with_a_plain_table_under_random_use() -> None:
    rng = Random(1)
    timers = Timers()
    rung: list[tuple[int, int]] = []
    expected: list[tuple[int, int]] = []

    def rings(index: int, now: int) -> None:
        rung.append((index, now))

    alarms = [timers.alarm(partial(rings, index)) for index in range(20)]
    table: dict[int, int] = {}
    now = 0
    for _ in range(5000):
        index = rng.randrange(20)
        if rng.random() < 0.8:
            table[index] = now + rng.randrange(1, 50)
            alarms[index].set(table[index])
        else:
            table.pop(index, None)
            alarms[index].set(None)
        assert timers.next_deadline() == min(table.values(), default=None)
        now += rng.randrange(5)
        due = {index for index, deadline in table.items() if deadline <= now}
        timers.ring(now)
        expected.extend((index, now) for index in due)
        table = {index: deadline for index, deadline in table.items() if index not in due}
    assert sorted(rung) == sorted(expected)
