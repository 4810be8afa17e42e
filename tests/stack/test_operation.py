import pytest

from pystack.errors import StateError
from pystack.stack.operation import Operation


def test_an_attempt_that_answers_finishes_the_operation() -> None:
    answers = iter([None, None, 7])
    operation: Operation[int] = Operation(lambda _: next(answers), None)
    assert [operation.advance(0) for _ in range(3)] == [False, False, True]
    assert operation.result() == 7
    assert operation.advance(1)


def test_whoever_waits_is_told_once() -> None:
    told: list[str] = []
    operation: Operation[int] = Operation(lambda _: 1, None)
    operation.on_done = lambda: told.append("done")
    operation.advance(0)
    operation.advance(0)
    operation.fail(OSError())
    assert told == ["done"]
    assert operation.result() == 1


def test_the_deadline_is_a_timeout_but_an_answer_at_the_deadline_counts() -> None:
    late: Operation[int] = Operation(lambda _: None, 10)
    assert not late.advance(9)
    assert late.advance(10)
    with pytest.raises(TimeoutError, match="timed out"):
        late.result()
    just: Operation[int] = Operation(lambda now: 1 if now >= 10 else None, 10)
    assert just.advance(10)
    assert just.result() == 1


def test_an_oserror_of_the_attempt_is_the_result() -> None:
    def refuse(_: int) -> int:
        raise ConnectionRefusedError

    operation: Operation[int] = Operation(refuse, None)
    assert operation.advance(0)
    with pytest.raises(ConnectionRefusedError):
        operation.result()


def test_a_cancelled_operation_tells_nobody_and_is_not_attempted_again() -> None:
    calls: list[int] = []
    operation: Operation[int] = Operation(lambda now: calls.append(now), None)
    operation.on_done = lambda: calls.append(-1)
    operation.cancel()
    operation.advance(5)
    assert calls == []
    with pytest.raises(StateError):
        operation.result()


def test_a_pending_operation_has_no_result() -> None:
    with pytest.raises(StateError, match="not done"):
        Operation(lambda _: None, None).result()
