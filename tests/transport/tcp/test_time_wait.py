"""The TIME-WAIT record: RFC 9293 section 3.6.1, RFC 6191, RFC 1337."""

import pytest

from pystack.transport.tcp import Segment, State, TimeWait
from pystack.transport.tcp.segment import ACK, FIN, RST, SYN
from pystack.units import SECOND
from pystack.wire.seq import wrap
from tests.transport.tcp.script import Script


@pytest.fixture(params=[False, True], ids=["plain", "timestamps"])
def record(wire: Script, request: pytest.FixtureRequest) -> TimeWait:
    wire.established(timestamps=request.param)
    wire.shutdown()
    wire.inject()
    wire.inject("F.", ts_val=9000)
    assert wire.tcp.state is State.TIME_WAIT
    wire.drain()
    return wire.tcp.time_wait_record()


def segment(record: TimeWait, flags: int, offset: int = 0, length: int = 0, ts_val: int | None = None) -> Segment:
    return Segment(
        wrap(record.rcv_nxt + offset), wrap(record.snd_nxt), flags, 500, (bytes(length),) * bool(length), length, ts_val
    )


def test_a_repeated_fin_is_acknowledged_and_the_wait_begins_again(record: TimeWait) -> None:
    answer = record.on_segment(segment(record, FIN | ACK, -1), 30 * SECOND)
    assert answer is not None
    assert (answer.seq, answer.ack, answer.flags) == (wrap(record.snd_nxt), wrap(record.rcv_nxt), ACK)
    assert record.deadline == 90 * SECOND


def test_old_data_is_answered_and_does_not_prolong_the_wait(record: TimeWait) -> None:
    assert record.on_segment(segment(record, ACK, -100, 100), 30 * SECOND) is not None
    assert record.deadline == 60 * SECOND


def test_an_ack_that_is_up_to_date_is_not_answered(record: TimeWait) -> None:
    assert record.on_segment(segment(record, ACK), 1) is None


def test_strange_acks_are_answered_within_limits(record: TimeWait) -> None:
    answers = [record.on_segment(segment(record, ACK, 999), 1) for _ in range(50)]
    assert 0 < sum(answer is not None for answer in answers) <= 10


@pytest.mark.parametrize("flags", [RST, RST | ACK, SYN, SYN | ACK])
def test_rst_and_syn_get_no_answer(record: TimeWait, flags: int) -> None:
    """RFC 1337; RFC 6191 section 2, "otherwise, silently drop"."""
    assert record.on_segment(segment(record, flags), 1) is None
    assert record.deadline == 60 * SECOND


@pytest.mark.parametrize(
    ("offset", "ts_val", "reopens"),
    [
        (0, None, True),
        (1000, None, True),
        (-1, None, False),  # the FIN's own number
        (-1000, None, False),
        (-1000, 9001, True),
        (-1000, 9000, None),  # equal: then the sequence number decides
        (1000, 9000, True),
        (1000, 8999, None),
    ],
)
def test_which_syn_may_reopen(record: TimeWait, offset: int, ts_val: int | None, reopens: bool | None) -> None:
    """RFC 6191 section 2. None: yes where the old connection used no timestamps."""
    expected = record.ts_recent is None if reopens is None else reopens
    assert record.may_reopen(segment(record, SYN, offset, ts_val=ts_val)) is expected


def test_without_timestamps_of_our_own_the_sequence_number_decides(record: TimeWait) -> None:
    assert not record.may_reopen(segment(record, SYN, -1000, ts_val=9001), timestamps=False)
    assert record.may_reopen(segment(record, SYN, 1000, ts_val=1), timestamps=False)


@pytest.mark.parametrize("flags", [ACK, FIN, SYN | ACK, SYN | RST, 0])
def test_only_a_plain_syn_reopens(record: TimeWait, flags: int) -> None:
    assert not record.may_reopen(segment(record, flags, 1000, ts_val=2**30))


def test_a_new_connection_starts_beyond_the_old_one(record: TimeWait) -> None:
    assert 65536 < (record.next_iss - record.snd_nxt) % 2**32 < 2**20


def test_the_record_answers_with_timestamps_when_the_connection_had_them(wire: Script, record: TimeWait) -> None:
    answer = record.on_segment(segment(record, FIN | ACK, -1, ts_val=9000), 0)
    assert answer is not None
    assert (answer.ts_val is None) == (record.ts_recent is None)
    if record.ts_recent is not None:
        assert answer.ts_ecr == 9000
