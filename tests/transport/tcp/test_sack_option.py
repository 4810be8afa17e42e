"""SACK and DSACK as the receiver sends them: RFC 2018 section 4, RFC 2883 section 4."""

import pytest

from pystack.transport.tcp.segment import SYN
from tests.transport.tcp.script import Script
from tests.transport.tcp.selective import blocks


def receiving(wire: Script, **config: object) -> None:
    wire.established(sack=True, **config)  # type: ignore[arg-type]
    wire.sent.clear()


def answers(wire: Script) -> list[tuple[int, list[tuple[int, int]]]]:
    """The acknowledgement number and the blocks of each answer."""
    wire.drain()
    shown = [(wire.relative_ack(segment), blocks(wire, segment)) for _, segment in wire.sent]
    wire.sent.clear()
    return shown


@pytest.mark.parametrize("offered", [True, False])
def test_sack_is_offered_in_the_syn(wire: Script, offered: bool) -> None:
    wire.make(sack=offered)
    wire.tcp.connect(wire.now)
    assert wire.take().sack_permitted is offered


@pytest.mark.parametrize(("offered", "accepted"), [(True, True), (True, False), (False, True)])
def test_sack_needs_both_sides(wire: Script, offered: bool, accepted: bool) -> None:
    wire.make(sack=accepted)
    wire.tcp.listen()
    wire.inject("S", mss=1000, sack_permitted=offered)
    answer = wire.take()
    assert answer.flags & SYN
    assert answer.sack_permitted is (offered and accepted)
    wire.inject()
    assert wire.tcp.info().sack is (offered and accepted)


def test_without_agreement_no_blocks_are_sent(wire: Script) -> None:
    """RFC 2018 section 4: MUST NOT."""
    wire.established()
    wire.sent.clear()
    wire.inject(seq=1001, data=1000)
    assert answers(wire) == [(1, [])]


def test_the_block_of_what_just_came_is_first(wire: Script) -> None:
    """RFC 2018 section 4, and the most recently reported ones behind it."""
    receiving(wire)
    for start in (2001, 4001, 6001):
        wire.inject(seq=start, data=1000)
    wire.inject(seq=3001, data=500)
    assert answers(wire) == [
        (1, [(2001, 3001)]),
        (1, [(4001, 5001), (2001, 3001)]),
        (1, [(6001, 7001), (4001, 5001), (2001, 3001)]),
        (1, [(2001, 3501), (6001, 7001), (4001, 5001)]),
    ]


@pytest.mark.parametrize(("timestamps", "count"), [(True, 3), (False, 4)])
def test_as_many_blocks_as_there_is_room_for(wire: Script, timestamps: bool, count: int) -> None:
    receiving(wire, timestamps=timestamps)
    for number in range(1, 9):
        wire.inject(seq=2000 * number + 1, data=1000)
    newest_first = [(2000 * number + 1, 2000 * number + 1001) for number in range(8, 0, -1)]
    assert answers(wire)[-1] == (1, newest_first[:count])


def test_behind_three_answers_what_comes_together_shares_one(wire: Script) -> None:
    """The third lets the sender act, the last one tells all that the others would: either may get lost."""
    receiving(wire)
    wire.hold = True
    for start in range(2001, 12001, 1000):
        wire.inject(seq=start, data=1000)
    wire.hold = False
    assert answers(wire) == [(1, [(2001, end)]) for end in (3001, 4001, 5001, 12001)]


def test_each_new_range_is_told_at_once_whatever_comes_with_it(wire: Script) -> None:
    receiving(wire)
    wire.hold = True
    for start in (2001, 3001, 5001, 7001, 8001, 5501):
        wire.inject(seq=start, data=500)
    wire.hold = False
    assert answers(wire) == [
        (1, [(2001, 2501)]),
        (1, [(3001, 3501), (2001, 2501)]),
        (1, [(5001, 5501), (3001, 3501), (2001, 2501)]),
        (1, [(7001, 7501), (5001, 5501), (3001, 3501), (2001, 2501)]),
        (1, [(8001, 8501), (7001, 7501), (5001, 5501), (3001, 3501)]),
        (1, [(5001, 6001), (8001, 8501), (7001, 7501), (3001, 3501)]),
    ]


def test_what_comes_together_with_a_duplicate_reports_it(wire: Script) -> None:
    receiving(wire)
    wire.hold = True
    for start in (2001, 3001, 4001, 5001, 3001, 6001, 7001):
        wire.inject(seq=start, data=1000)
    wire.hold = False
    assert answers(wire) == [
        (1, [(2001, 3001)]),
        (1, [(2001, 4001)]),
        (1, [(2001, 5001)]),
        (1, [(3001, 4001), (2001, 6001)]),
        (1, [(2001, 8001)]),
    ]


def test_while_something_is_amiss_on_the_way_out_each_is_answered(wire: Script) -> None:
    """A retransmission has no room for blocks, and takes the place of the second answer."""
    receiving(wire, app_sends=4000)
    wire.inject(ack=1, sack=[(1001, 2001)])
    wire.sent.clear()
    wire.hold = True
    for start in range(2001, 8001, 1000):
        wire.inject(seq=start, data=1000, ack=1, sack=[(1001, 4001)])
    wire.hold = False
    told = [(1, [(2001, end)]) for end in range(3001, 9001, 1000)]
    assert [each for each in answers(wire) if each[1]] == told


def test_each_block_is_reported_three_times(wire: Script) -> None:
    """RFC 2018 section 4: so that an acknowledgement that is lost does no harm."""
    receiving(wire, timestamps=True)
    for number in range(1, 9):
        wire.inject(seq=2000 * number + 1, data=1000)
    reported = [block for _, listed in answers(wire) for block in listed]
    assert all(reported.count((2000 * number + 1, 2000 * number + 1001)) == 3 for number in range(1, 7))


def test_a_filled_gap_moves_the_ack_and_leaves_the_rest(wire: Script) -> None:
    receiving(wire)
    wire.inject(seq=1001, data=1000)
    wire.inject(seq=3001, data=1000)
    answers(wire)
    wire.inject(seq=1, data=1000)
    assert answers(wire) == [(2001, [(3001, 4001)])]
    wire.inject(seq=2001, data=1000)
    assert answers(wire) == [(4001, [])]


def test_blocks_ride_on_data_and_leave_room_for_themselves(wire: Script) -> None:
    """RFC 2018 section 4: in all ACKs that do not acknowledge everything held."""
    receiving(wire)
    wire.inject(seq=1001, data=1000)
    wire.inject(seq=3001, data=1000)
    wire.sent.clear()
    wire.send(3000)
    wire.drain()
    assert [segment.length for _, segment in wire.sent] == [1000 - 20, 1000 - 20, 1000 - 20, 60][: len(wire.sent)]
    assert all(blocks(wire, segment) == [(3001, 4001), (1001, 2001)] for _, segment in wire.sent)


def test_old_ranges_fill_the_room_when_newer_ones_are_gone(wire: Script) -> None:
    receiving(wire)
    for number in range(1, 8):
        wire.inject(seq=2000 * number + 1, data=1000)
    for number in range(5, 8):  # the newest become one
        wire.inject(seq=2000 * number - 999, data=1000)
    assert {tuple(block) for block in answers(wire)[-1][1]} >= {(8001, 15_001), (2001, 3001)}


def test_a_duplicate_is_reported_once(wire: Script) -> None:
    """RFC 2883 section 4.1.1."""
    receiving(wire)
    wire.inject(data=1000)
    wire.inject(data=1000)
    answers(wire)
    wire.inject(seq=1, data=1000)
    wire.inject(data=1000)
    wire.advance(50_000_000)
    assert answers(wire) == [(2001, [(1, 1001)]), (3001, [])]


def test_a_duplicate_below_a_gap_comes_before_the_blocks(wire: Script) -> None:
    """RFC 2883 section 4.1.2."""
    receiving(wire)
    wire.inject(data=1000)
    wire.inject(seq=2001, data=1000)
    answers(wire)
    wire.inject(seq=1, data=1000)
    assert answers(wire) == [(1001, [(1, 1001), (2001, 3001)])]


def test_a_duplicate_beyond_a_gap_is_followed_by_its_block(wire: Script) -> None:
    """RFC 2883 section 4.1.3."""
    receiving(wire)
    for start in (1001, 5001, 2001):
        wire.inject(seq=start, data=1000)
    answers(wire)
    wire.inject(seq=5001, data=1000)
    wire.inject(seq=2001, data=1000)
    assert answers(wire) == [
        (1, [(5001, 6001), (5001, 6001), (1001, 3001)]),
        (1, [(2001, 3001), (1001, 3001), (5001, 6001)]),
    ]


def test_only_the_known_part_of_a_segment_is_reported(wire: Script) -> None:
    """RFC 2883 section 4.2.1."""
    receiving(wire)
    wire.inject(data=1000)
    answers(wire)
    wire.inject(seq=501, data=1000)
    assert answers(wire)[0] == (1501, [(501, 1001)])


def test_a_segment_that_fills_a_gap_and_more_reports_what_was_known(wire: Script) -> None:
    receiving(wire)
    wire.inject(seq=1001, data=1000)
    answers(wire)
    wire.inject(seq=1, data=2000)
    assert answers(wire)[0] == (2001, [(1001, 2001)])


def test_data_that_was_given_up_is_no_duplicate_when_it_comes_again(wire: Script) -> None:
    """Stale out-of-order data must never be reported."""
    receiving(wire)
    wire.inject(seq=1001, data=1000)
    wire.tcp.drop_out_of_order()
    answers(wire)
    wire.inject(seq=1001, data=1000)
    assert answers(wire) == [(1, [(1001, 2001)])]
    wire.tcp.drop_out_of_order()
    wire.inject(seq=1, data=1000)
    wire.inject(seq=1001, data=1000)
    wire.advance(50_000_000)
    assert answers(wire)[-1] == (2001, [])
    wire.inject(seq=4001, data=1000)
    assert answers(wire) == [(2001, [(4001, 5001)])]


def test_a_range_that_is_refused_is_not_reported(wire: Script) -> None:
    receiving(wire, reassembly_ranges=1)
    wire.inject(seq=1001, data=1000)
    wire.inject(seq=3001, data=1000)
    assert answers(wire)[-1] == (1, [(1001, 2001)])


def test_resets_carry_no_blocks(wire: Script) -> None:
    receiving(wire)
    wire.inject(seq=1001, data=1000)
    wire.sent.clear()
    wire.abort()
    assert wire.take().sack == ()
