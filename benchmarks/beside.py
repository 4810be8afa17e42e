"""Other user-space stacks beside ours, in turn in one run, over the same kind of TAP and against the same peer.

What is not installed is named. Nothing else needs it: Debian's gcc, liblwip-dev, slirp4netns and passt; PyTCP 2.7.6
from PyPI, in an environment of its own whose interpreter PYTCP_PYTHON names.
"""

import argparse
import sys
from collections.abc import Callable

from _harness import FIRST_CORE, SECOND_CORE, Options, Sample, pin, tell
from _network import enter_private_network, peer
from _work import CONNECT, DOWNLOAD, ECHO, UPLOAD
from attrs import define, field, frozen
from stacks.catalogue import Amounts, Stack, catalogue
from stacks.program import Failed, Program

__all__ = ["measure"]


@frozen
class Work:
    """One column."""

    letter: bytes
    title: str
    amount: Callable[[Amounts], int]
    core: int
    """The peer's. Latency is measured on one core: waking another takes longer than all the rest."""


WORKS = (
    Work(DOWNLOAD, "bulk in, MB/s", lambda of: of.octets, SECOND_CORE),
    Work(UPLOAD, "bulk out, MB/s", lambda of: of.octets, SECOND_CORE),
    Work(ECHO, "1-octet round trip, one core, µs", lambda of: of.trips, FIRST_CORE),
    Work(CONNECT, "connections per second, one core", lambda of: of.connections, FIRST_CORE),
)


@define
class Line:
    """A stack and what it has reached so far."""

    stack: Stack
    reached: dict[Work, list[float]] = field(factory=lambda: {work: [] for work in WORKS}, init=False)
    failures: dict[Work, str] = field(factory=dict, init=False)

    def run(self, number: int, options: Options) -> None:
        """Every work for the time of that number. One that fails is not tried again, and ends the program; peers are
        new with each program, as a stack that is gone leaves them waiting."""
        while todo := [work for work in WORKS if work not in self.failures and len(self.reached[work]) < number]:
            try:
                with (
                    peer("_peer", str(FIRST_CORE)) as near,
                    peer("_peer", str(SECOND_CORE)) as far,
                    self.stack.set_up() as program,
                ):
                    self._ask(program, todo, options, {FIRST_CORE: near, SECOND_CORE: far})
            except Failed as failure:
                self.failures.update(dict.fromkeys(todo, str(failure)))

    def _ask(self, program: Program, todo: list[Work], options: Options, ports: dict[int, int]) -> None:
        for work in todo:
            try:
                figure = program.ask(work.letter, options.size(work.amount(self.stack.amounts)), ports[work.core])
            except Failed as failure:
                self.failures[work] = str(failure)
                return
            self.reached[work].append(figure)

    def cells(self) -> list[str]:
        return [self.stack.name, self.stack.link, *map(self._cell, WORKS)]

    def _cell(self, work: Work) -> str:
        return self.failures.get(work) or str(Sample(tuple(self.reached[work])))


def measure(options: Options) -> str:
    """The table."""
    enter_private_network()
    pin(FIRST_CORE)
    lines = [Line(stack) for stack in catalogue()]
    for number in range(1, options.runs + 1):
        for line in lines:
            line.run(number, options)
            tell(f"run {number}: {', '.join(line.cells())}")
    head = ["stack", "link", *(work.title for work in WORKS)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *(line.cells() for line in lines)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the size")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    print(measure(Options(arguments.runs, arguments.quick)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
