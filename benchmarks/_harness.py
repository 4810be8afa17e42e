"""What the benchmarks share: options, repeated runs, the table, the floors. Every figure is given beside a reference
measured in the same run, because absolute figures drift from run to run and from machine to machine."""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

__all__ = [
    "BOTH_CORES",
    "FIRST_CORE",
    "SECOND_CORE",
    "Floor",
    "Options",
    "Row",
    "Sample",
    "compare",
    "main",
    "number",
    "pin",
    "surroundings",
    "table",
    "tell",
]

FIRST_CORE, SECOND_CORE = BOTH_CORES = 0, 1


@frozen
class Sample:
    """The results of several runs of one program, in the row's unit."""

    runs: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    def __str__(self) -> str:
        if len(self.runs) == 1:
            return number(self.median)
        return f"{number(self.median)} ({number(min(self.runs))} to {number(max(self.runs))})"


@frozen
class Floor:
    """The least that is accepted, or the most when `at_most`; of the reference named `of`, or absolute."""

    value: float
    of: str | None = None
    at_most: bool = False
    quiet: bool = False
    """Asked only of a machine that has nothing else to do, and so not where a share of each floor is enough."""

    def holds(self, row: "Row", share: float) -> bool:
        """Whether `row` reaches `share` of this floor."""
        if self.quiet and share < 1:
            return True
        limit = self.value * (row.references[self.of].median if self.of else 1.0)
        if self.at_most:
            return row.ours.median <= limit / share
        return row.ours.median >= limit * share

    def __str__(self) -> str:
        sign = "≤" if self.at_most else "≥"
        return f"{sign} {self.value:g} × {self.of}" if self.of else f"{sign} {self.value:g}"


@define
class Row:
    """One line of the table: our figure and, by name, what it is compared with."""

    work: str
    unit: str
    ours: Sample
    references: dict[str, Sample] = field(factory=dict)
    floors: tuple[Floor, ...] = ()

    def missed(self, share: float) -> list[Floor]:
        """The floors of which it does not reach `share`."""
        return [floor for floor in self.floors if not floor.holds(self, share)]


@frozen
class Options:
    """How much to measure."""

    runs: int
    quick: bool

    def size(self, full: int) -> int:
        """`full`, or a tenth of it in a quick run."""
        return full // 10 if self.quick else full


def number(value: float) -> str:
    """Three significant digits, thousands grouped."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def tell(what: str) -> None:
    """Progress, on stderr: standard output holds the table alone."""
    print(what, file=sys.stderr, flush=True)


def compare(
    work: str,
    unit: str,
    options: Options,
    ours: Callable[[], float],
    references: Mapping[str, Callable[[], float]],
    *floors: Floor,
) -> Row:
    """Run ours and the references in turn, `options.runs` times, so that a drift of the machine meets all alike."""
    programs = {"pystack": ours, **references}
    results: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(options.runs):
        for name, program in programs.items():
            results[name].append(program())
    samples = {name: Sample(tuple(runs)) for name, runs in results.items()}
    row = Row(work, unit, samples.pop("pystack"), samples, floors)
    tell(f"{work}: {row.ours} {unit}")
    return row


def pin(*cores: int) -> None:
    """Bind the calling thread, and the threads and processes it starts from now on, to `cores`."""
    os.sched_setaffinity(0, {core % (os.cpu_count() or 1) for core in cores})


def table(rows: Iterable[Row]) -> str:
    """The rows in markdown. A ratio is ours to the reference's: for a time less is better, for a rate more."""
    lines = [["work", "pystack", "unit", "beside it, in the same run", "must reach"], ["---"] * 5]
    for row in rows:
        beside = [
            f"**{row.ours.median / sample.median:.2g}** × {name}, {sample}" for name, sample in row.references.items()
        ]
        lines.append([row.work, str(row.ours), row.unit, "<br>".join(beside), "<br>".join(map(str, row.floors))])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def surroundings() -> dict[str, str | int | None]:
    """What the figures depend on."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
    }


def report(rows: Iterable[Row]) -> dict[str, Any]:
    """What `--json` writes."""
    return {
        **surroundings(),
        "rows": [
            {
                "work": row.work,
                "unit": row.unit,
                "pystack": row.ours.runs,
                "references": {name: sample.runs for name, sample in row.references.items()},
                "floors": list(map(str, row.floors)),
            }
            for row in rows
        ],
    }


def main(description: str, *measures: Callable[[Options], Iterable[Row]]) -> int:
    """Parse the command line, measure, print the table. 1: `--check` found a row under its floor."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--runs", type=int, help="runs of each row (default: 5, with --quick 3)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the size")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run's figure")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    parser.add_argument(
        "--check",
        type=float,
        nargs="?",
        const=1.0,
        metavar="SHARE",
        help="fail when a row is under SHARE of its floor (default: 1); below 1 without those for a quiet machine",
    )
    arguments = parser.parse_args()
    options = Options(runs=arguments.runs or (3 if arguments.quick else 5), quick=arguments.quick)
    rows = [row for measure in measures for row in measure(options)]
    print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(report(rows), indent=2) + "\n", encoding="utf-8")
    if arguments.markdown:
        arguments.markdown.write_text(table(rows) + "\n", encoding="utf-8")
    if arguments.check is None:
        return 0
    failed = False
    for row in rows:
        for floor in row.missed(arguments.check):
            tell(f"under {arguments.check:g} of its floor: {row.work}: {row.ours} {row.unit}, floor {floor}")
            failed = True
    return int(failed)
