"""What the SACK option says: blocks of what waits beyond gaps, the most recent first (RFC 2018 section 4), and a block
that reports a duplicate (DSACK, RFC 2883)."""

from pystack.transport.tcp.runs import Runs

__all__ = ["Block", "Reported", "split_duplicate"]

Block = tuple[int, int]

_REMEMBERED = 4


class Reported:
    """Which of the ranges beyond gaps were reported of late, each by a number in it."""

    __slots__ = ("_ranges", "_recent")

    def __init__(self, ranges: Runs) -> None:
        self._ranges = ranges
        self._recent: list[int] = []

    def on_out_of_order(self, seq: int) -> bool:
        """What starts at `seq` came, and waits beyond a gap: its range is the first to be reported from now on. False:
        it was before."""
        first = self._ranges.at(self._recent[0]) if self._recent else None
        if first is not None and first[0] <= seq < first[1]:
            return False
        self._recent.insert(0, seq)
        self._recent = self._current(_REMEMBERED)[1]
        return True

    def blocks(self, count: int, duplicate: Block | None = None) -> tuple[Block, ...]:
        """At most `count` blocks; `duplicate` comes first."""
        blocks = [] if duplicate is None else [duplicate]
        if self._ranges:
            ranges, self._recent = self._current(count)
            if duplicate is not None:
                held = self._ranges.at(duplicate[0])
                if held is not None:  # RFC 2883 section 4 (4): the larger block it belongs to comes next
                    ranges = [held, *(each for each in ranges if each != held)]
            blocks += ranges
            if len(blocks) < count and len(ranges) < len(self._ranges):
                blocks += (each for each in self._ranges.first(count) if each not in ranges)
        return tuple(blocks[:count])

    def _current(self, count: int) -> tuple[list[Block], list[int]]:
        """The ranges that the remembered numbers lie in now, each once, and one number for each."""
        ranges: list[Block] = []
        numbers = []
        for seq in self._recent:
            held = self._ranges.at(seq)
            if held is not None and held not in ranges:
                ranges.append(held)
                numbers.append(seq)
        return ranges[:count], numbers[:_REMEMBERED]


def split_duplicate(blocks: list[Block], ack: int) -> tuple[Block | None, list[Block]]:
    """The block that reports a duplicate, if any, and those that are left (RFC 2883 section 4): it comes first, below
    `ack` or within the second."""
    if blocks:
        start, end = blocks[0]
        if end <= ack or (len(blocks) > 1 and blocks[1][0] <= start and end <= blocks[1][1]):
            return blocks[0], blocks[1:]
    return None, blocks
