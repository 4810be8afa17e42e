"""Who polls, who waits, who is woken: the pump on a stack that does nothing by itself."""

import errno
import logging
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import pytest

from pystack.errors import StateError
from pystack.sockets.pump import GRACE, Pump
from pystack.sockets.seat import READ, WRITE, Seat
from pystack.units import MS, SECOND
from tests.sockets.conftest import Nap
from tests.sockets.still import PATIENCE, Question, StillLink, StillStack, in_thread

Start = Callable[[StillStack], Pump]
Naps: TypeAlias = "queue.Queue[Nap]"

with_and_without_descriptor = pytest.mark.parametrize("descriptor", [True, False], ids=["descriptor", "waker"])


def nap_of(naps: Naps, thread: int, lasting: Callable[[int | None], bool] = lambda lasts: True) -> Nap:
    """The next sleep of `thread` for which `lasting` holds."""
    while True:
        nap = naps.get(timeout=PATIENCE)
        if nap.thread == thread and lasting(nap.lasts):
            return nap


def endless(lasts: int | None) -> bool:
    return lasts is None


def pump_thread() -> int:
    (ident,) = [thread.ident for thread in threading.enumerate() if thread.name == "pystack-pump"]
    assert ident is not None
    return ident


@with_and_without_descriptor
def test_a_blocked_caller_finds_its_answer_itself(start: Start, naps: Naps, descriptor: bool) -> None:
    stack = StillStack(link := StillLink(descriptor=descriptor))
    pump = start(stack)
    question = Question(stack)

    def stir() -> None:
        nap_of(naps, caller, endless)
        question.answer("yes")
        link.stir()

    caller = threading.get_ident()
    stirring = in_thread(stir)
    assert question.ask(pump, None) == "yes"
    stirring.result(PATIENCE)
    assert stack.pollers[-1] == caller


def test_an_answer_at_once_polls_nothing(start: Start) -> None:
    stack = StillStack()
    pump = start(stack)
    question = Question(stack)
    question.answer("yes")
    polls = len(stack.pollers)
    assert question.ask(pump, None) == "yes"
    assert len(stack.pollers) == polls


@with_and_without_descriptor
def test_the_pump_serves_while_nobody_calls(start: Start, descriptor: bool) -> None:
    stack = StillStack(link := StillLink(descriptor=descriptor))
    start(stack)
    while stack.polled.acquire(blocking=False):
        pass
    link.stir()
    assert stack.polled.acquire(timeout=PATIENCE)
    assert stack.pollers[-1] == pump_thread()


def test_the_pump_takes_over_when_a_caller_has_left(start: Start, naps: Naps) -> None:
    stack = StillStack(link := StillLink())
    pump = start(stack)
    question = Question(stack)
    with pytest.raises(TimeoutError):
        question.ask(pump, MS)
    nap_of(naps, pump_thread(), endless)  # it leads again, and nothing makes it turn
    while stack.polled.acquire(blocking=False):
        pass
    link.stir()
    assert stack.polled.acquire(timeout=PATIENCE)
    assert stack.pollers[-1] == pump_thread()


def test_the_pump_stands_by_for_the_grace_and_then_for_as_long_as_a_caller_leads(start: Start, naps: Naps) -> None:
    stack = StillStack()
    pump = start(stack)
    question = Question(stack)
    waiting = in_thread(pump.run, question, question.attempt, None)
    assert nap_of(naps, pump_thread()).lasts == GRACE
    assert nap_of(naps, pump_thread()).lasts is None
    polls = len(stack.pollers)
    question.answer("yes")
    pump.wake()
    assert waiting.result(PATIENCE) == "yes"
    assert pump_thread() not in stack.pollers[polls:]
    assert nap_of(naps, pump_thread()).lasts == GRACE


def test_one_leads_the_others_follow_and_the_lead_is_handed_on(start: Start, naps: Naps) -> None:
    stack = StillStack()
    pump = start(stack)
    first, second = Question(stack), Question(stack)
    idents: list[int] = []

    def ask(question: Question) -> str:
        idents.append(threading.get_ident())
        return question.ask(pump, None)

    leading = in_thread(ask, first)
    assert first.submitted.wait(PATIENCE)
    nap_of(naps, idents[0], endless)
    following = in_thread(ask, second)
    assert second.submitted.wait(PATIENCE)
    first.answer("first")
    pump.wake()
    assert leading.result(PATIENCE) == "first"
    nap_of(naps, idents[1], endless)
    second.answer("second")
    pump.wake()
    assert following.result(PATIENCE) == "second"
    assert stack.pollers[-1] == idents[1]


def test_a_follower_is_answered_by_the_leaders_poll(start: Start, naps: Naps) -> None:
    stack = StillStack()
    pump = start(stack)
    first, second = Question(stack), Question(stack)
    leading = in_thread(pump.run, first, first.attempt, None)
    assert first.submitted.wait(PATIENCE)
    following = in_thread(pump.run, second, second.attempt, None)
    assert second.submitted.wait(PATIENCE)
    second.answer("second")
    pump.wake()
    assert following.result(PATIENCE) == "second"
    assert not leading.done()
    first.answer("first")
    pump.wake()
    assert leading.result(PATIENCE) == "first"


def test_a_followers_timeout_is_seen_by_a_leader_that_sleeps_for_ever(start: Start, naps: Naps) -> None:
    stack = StillStack()
    pump = start(stack)
    first, second = Question(stack), Question(stack)
    leading = in_thread(pump.run, first, first.attempt, None)
    assert first.submitted.wait(PATIENCE)
    with pytest.raises(TimeoutError):
        second.ask(pump, MS)
    first.answer("first")
    pump.wake()
    assert leading.result(PATIENCE) == "first"


def test_a_condition_is_waited_for_behind_a_leader(start: Start, naps: Naps) -> None:
    stack = StillStack()
    pump = start(stack)
    question = Question(stack)
    leading = in_thread(pump.run, question, question.attempt, None)
    assert question.submitted.wait(PATIENCE)
    pump.wait_until(lambda: False, MS)
    looked = threading.Event()
    reached = False

    def condition() -> bool:
        looked.set()
        return reached

    waiting = in_thread(pump.wait_until, condition, 1000 * SECOND)
    assert looked.wait(PATIENCE)
    reached = True
    pump.wake()
    waiting.result(PATIENCE)
    question.answer("yes")
    pump.wake()
    assert leading.result(PATIENCE) == "yes"


def test_many_callers_at_once_all_get_their_answers(start: Start) -> None:
    stack = StillStack()
    pump = start(stack)
    questions = [Question(stack) for _ in range(20)]
    waiting = [in_thread(pump.run, each, each.attempt, None) for each in questions]
    for number, question in enumerate(questions):
        assert question.submitted.wait(PATIENCE)
        question.answer(str(number))
        pump.wake()
    assert [each.result(PATIENCE) for each in waiting] == [str(number) for number in range(20)]


def test_a_call_tells_the_stack_what_time_it_is(start: Start) -> None:
    stack = StillStack()
    pump = start(stack)
    for _ in range(2):
        now, told = pump.call(lambda now: (now, stack.now))
        assert told == now


def test_a_call_that_brings_an_alarm_forward_shortens_the_sleep(start: Start, naps: Naps) -> None:
    stack = StillStack()
    pump = start(stack)

    def set_alarm(now: int) -> None:
        stack.alarm = now + 100 * SECOND

    pump.call(set_alarm)
    lasts = nap_of(naps, pump_thread()).lasts
    assert lasts is not None
    assert 0 < lasts <= 100 * SECOND


def test_frames_that_a_link_refused_make_it_polled_for_writing(start: Start, naps: Naps) -> None:
    stack = StillStack(link := StillLink(descriptor=True))
    pump = start(stack)
    assert pump._own.watched == {link.fileno(): READ}
    polls = len(stack.pollers)

    def fill(now: int) -> None:
        stack.interfaces[0].full = True

    def drain() -> None:
        stack.interfaces[0].full = False

    stack.on_poll = drain
    while stack.polled.acquire(blocking=False):
        pass
    pump.call(fill)
    nap_of(naps, pump_thread(), endless)
    assert stack.polled.acquire(timeout=PATIENCE)
    assert len(stack.pollers) > polls
    assert WRITE not in pump._own.watched.values()


def test_a_link_that_is_down_is_not_watched(start: Start, naps: Naps) -> None:
    stack = StillStack(StillLink(descriptor=True))
    pump = start(stack)

    def take_down(now: int) -> None:
        stack.interfaces[0].up = False

    pump.call(take_down)
    nap_of(naps, pump_thread(), endless)
    assert pump._own.watched == {}


def test_without_waiting_what_has_arrived_still_counts(start: Start) -> None:
    stack = StillStack()
    pump = start(stack)
    question = Question(stack)
    stack.on_poll = lambda: question.answer("arrived")
    assert question.ask(pump, 0) == "arrived"
    stack.on_poll = lambda: None
    with pytest.raises(BlockingIOError) as caught:
        question.ask(pump, 0)
    assert caught.value.errno == errno.EAGAIN


# --- what goes wrong


def test_an_error_of_the_call_leaves_the_host_whole(start: Start) -> None:
    pump = start(StillStack())

    def refuse(now: int) -> None:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")

    with pytest.raises(ConnectionRefusedError):
        pump.call(refuse)
    assert pump.call(lambda now: "well") == "well"


@pytest.mark.parametrize("cut", [KeyboardInterrupt, OSError, ZeroDivisionError])
def test_a_poll_cut_in_the_middle_ends_the_host(start: Start, cut: type[BaseException]) -> None:
    stack = StillStack(link := StillLink())
    pump = start(stack)
    question, other = Question(stack), Question(stack)
    waiting = in_thread(pump.run, other, other.attempt, None)
    assert other.submitted.wait(PATIENCE)

    def fail(now: int) -> None:
        raise cut

    stack.alarm = None
    with pytest.raises(cut):
        pump.call(lambda now: pump._guarded(fail, now, ordinary=()))
    assert link.closed
    assert "drop" not in stack.calls
    with pytest.raises(StateError) as refused:
        question.ask(pump, None)
    assert isinstance(refused.value.__cause__, cut)
    with pytest.raises(StateError):
        waiting.result(PATIENCE)
    pump.close(2 * SECOND)


def test_a_failure_in_the_pumps_thread_reaches_those_who_wait(
    start: Start, naps: Naps, caplog: pytest.LogCaptureFixture
) -> None:
    stack = StillStack(link := StillLink())
    pump = start(stack)
    stack.on_poll = lambda: 1 // 0  # type: ignore[assignment]
    with caplog.at_level(logging.CRITICAL + 1, "pystack.pump"):
        pump.wake()
        pump._thread.join(PATIENCE)
    assert link.closed
    with pytest.raises(StateError, match="ZeroDivisionError"):
        pump.call(lambda now: None)


@contextmanager
def interrupted(when: Callable[[], object]) -> Iterator[None]:
    """The body, in the main thread, is cut by one KeyboardInterrupt as soon as `when` returns in another.

    A signal that arrives just before a system call does not cut it: that is so for the kernel's sockets too. Hence it
    is sent until the handler has run.
    """
    main = threading.get_ident()
    cut = threading.Event()

    def handler(*_: object) -> None:
        if not cut.is_set():
            cut.set()
            raise KeyboardInterrupt

    def interrupt() -> None:
        when()
        while not cut.wait(0.01):
            signal.pthread_kill(main, signal.SIGINT)

    usual = signal.signal(signal.SIGINT, handler)
    interrupting = in_thread(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
        interrupting.result(PATIENCE)
    finally:
        signal.signal(signal.SIGINT, usual)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals to threads")
def test_an_interrupt_of_a_caller_that_only_waits_leaves_the_host_whole(start: Start, naps: Naps) -> None:
    stack = StillStack()
    pump = start(stack)
    question = Question(stack)
    main = threading.get_ident()
    with interrupted(lambda: nap_of(naps, main, endless)):
        question.ask(pump, None)
    assert all(operation.done for operation in stack.operations)
    question.answer("yes")
    assert question.ask(pump, None) == "yes"


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals to threads")
def test_an_interrupt_of_a_follower_leaves_the_others_waiting(start: Start, naps: Naps) -> None:
    stack = StillStack()
    pump = start(stack)
    first, second = Question(stack), Question(stack)
    leading = in_thread(pump.run, first, first.attempt, None)
    assert first.submitted.wait(PATIENCE)
    with interrupted(lambda: second.submitted.wait(PATIENCE)):
        second.ask(pump, None)
    first.answer("first")
    pump.wake()
    assert leading.result(PATIENCE) == "first"


def test_a_call_from_inside_a_call_is_told_off_and_a_close_is_done_later(start: Start, naps: Naps) -> None:
    stack = StillStack()
    pump = start(stack)
    listener = Question(stack)

    def reenter(now: int) -> None:
        pump.close_endpoint(listener)  # type: ignore[arg-type]
        assert not listener.closed
        pump.call(lambda _: None)

    with pytest.raises(StateError, match="inside the Host"):
        pump.call(reenter)
    nap_of(naps, pump_thread(), endless)
    assert listener.closed


# --- the end


def test_close_ends_waiting_calls_refuses_new_ones_and_closes_links(start: Start) -> None:
    stack = StillStack(link := StillLink())
    pump = start(stack)
    question = Question(stack)
    waiting = in_thread(pump.run, question, question.attempt, None)
    assert question.submitted.wait(PATIENCE)
    pump.close(2 * SECOND)
    with pytest.raises(OSError, match="closed") as ended:
        waiting.result(PATIENCE)
    assert ended.value.errno == errno.EBADF
    with pytest.raises(OSError, match="closed") as refused:
        pump.call(lambda now: None)
    assert refused.value.errno == errno.EBADF
    assert stack.calls == ["close", "drop"]
    assert link.closed
    assert not pump._thread.is_alive()
    pump.close(2 * SECOND)


def test_close_polls_until_everything_is_acknowledged(start: Start, naps: Naps) -> None:
    stack = StillStack(link := StillLink())
    stack.unfinished = True
    pump = start(stack)
    main = threading.get_ident()

    def acknowledge() -> None:
        nap_of(naps, main)
        stack.unfinished = False
        link.stir()

    acknowledging = in_thread(acknowledge)
    pump.close(1000 * SECOND)
    acknowledging.result(PATIENCE)
    assert stack.calls == ["close", "drop"]


def test_close_gives_up_when_time_is_up(start: Start) -> None:
    stack = StillStack()
    stack.unfinished = True
    pump = start(stack)
    pump.close(MS)
    assert stack.calls == ["close", "drop"]


def test_a_second_close_can_cut_the_first_short(start: Start, naps: Naps) -> None:
    stack = StillStack()
    stack.unfinished = True
    pump = start(stack)
    idents: list[int] = []

    def close_patiently() -> None:
        idents.append(threading.get_ident())
        pump.close(1000 * SECOND)

    patient = in_thread(close_patiently)
    while naps.get(timeout=PATIENCE).thread not in idents:
        pass
    pump.close(0)
    patient.result(PATIENCE)


def test_close_from_inside_a_call_happens_afterwards(start: Start) -> None:
    stack = StillStack(link := StillLink())
    pump = start(stack)
    pump.call(lambda now: pump.close(SECOND))
    pump._thread.join(PATIENCE)
    assert link.closed
    assert stack.calls == ["close", "drop"]


def test_an_abandoned_pump_closes_everything_by_itself(start: Start) -> None:
    stack = StillStack(link := StillLink())
    pump = start(stack)
    pump.abandon()
    pump._thread.join(PATIENCE)
    assert not pump._thread.is_alive()
    assert link.closed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_refused_and_touches_nothing(start: Start, naps: Naps) -> None:
    stack = StillStack(link := StillLink(descriptor=True))
    pump = start(stack)
    question = Question(stack)
    waiting = in_thread(pump.run, question, question.attempt, None)
    assert question.submitted.wait(PATIENCE)
    child = os.fork()
    if child == 0:
        try:
            pump.call(lambda now: None)
        except RuntimeError as error:
            pump.close(2 * SECOND)
            pump.wake()
            pump.abandon()
            os._exit(0 if "fork" in str(error) and not link.closed and stack.calls == [] else 1)
        os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    question.answer("still here")
    link.stir()
    assert waiting.result(PATIENCE) == "still here"


# --- the seat


def test_a_seat_nobody_sleeps_on_costs_its_wakers_nothing() -> None:
    seat = Seat()
    rings = 0

    class Bell:
        def ring(self) -> None:
            nonlocal rings
            rings += 1

    bell, seat._bell = seat._bell, Bell()  # type: ignore[assignment]
    seat.wake()
    assert rings == 0
    seat.asleep = True
    seat.wake()
    seat.wake()
    assert rings == 1
    bell.close()


def test_a_sleep_ends_when_its_time_has_come() -> None:
    seat = Seat()
    seat.until = 5 * MS
    seat.asleep = True
    seat.sleep(0)
    assert not seat.asleep
    seat.close()


@pytest.mark.parametrize(
    "poorer", [{"eventfd"}, {"poll"}, {"eventfd", "poll"}], ids=["no eventfd", "no poll", "neither"]
)
def test_other_systems_sleep_on_what_they_have(monkeypatch: pytest.MonkeyPatch, poorer: set[str]) -> None:
    import select

    if "eventfd" in poorer:
        monkeypatch.delattr(os, "eventfd", raising=False)
    if "poll" in poorer:
        monkeypatch.delattr(select, "poll", raising=False)
    seat = Seat()
    link = StillLink(descriptor=True)
    fd = link.fileno()
    assert fd is not None
    seat.watch({fd: READ | WRITE})
    seat.sleep(0)  # it is writable
    seat.watch({fd: READ})
    link.stir()
    seat.sleep(0)
    seat.watch({})
    seat.asleep = True
    waking = in_thread(seat.wake)
    seat.sleep(0)
    waking.result(PATIENCE)
    assert not seat.asleep
    seat.close()
    seat.asleep = True
    seat.wake()
    link.close()
