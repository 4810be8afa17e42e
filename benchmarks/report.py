"""Everything that docs/performance.md shows, measured anew: one command, root, a quiet machine and some ten minutes.

`--quick` measures a tenth, to see that it works: its figures are not worth keeping.
"""

import argparse
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import all as everything
import beside
import costs
import growth
import history
import hotspots
from _harness import Options, surroundings, table, tell

DOCS = Path(__file__).parent.parent / "docs"
SHARE_OF_QUICK = 0.1


def write_table(options: Options, share: float) -> str:
    """The rows, and below them which do not reach what they must."""
    rows = [row for measure in everything.MEASURES for row in measure(options)]
    missed = [row.work for row in rows if row.missed(1.0)]
    verdict = f"Not reached: {'; '.join(missed)}." if missed else "All rows reach what they must."
    return f"{circumstances(options)}\n\n{table(rows)}\n\n{verdict}"


def write_stacks(options: Options, share: float) -> str:
    return f"{circumstances(options)}\n\n{beside.measure(options)}"


def write_growth(options: Options, share: float) -> str:
    results = list(growth.measure(options.runs, share))
    growth.draw(results, DOCS / "plots")
    return growth.tables(results)


def write_hotspots(options: Options, share: float) -> str:
    return "\n\n".join(hotspots.measure(share))


def write_costs(options: Options, share: float) -> str:
    return costs.table()


def write_history(options: Options, share: float) -> str:
    return history.table()


def circumstances(options: Options) -> str:
    """When, where and how much was measured."""
    about = surroundings()
    size = "a tenth of the full size" if options.quick else "full size"
    return f"{date.today():%B %Y}, {about['python']} on {about['cores']} cores, {about['system']}, {size}."


PARTS: dict[str, Callable[[Options, float], str]] = {
    "costs": write_costs,
    "history": write_history,
    "hotspots": write_hotspots,
    "growth": write_growth,
    "table": write_table,
    "stacks": write_stacks,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the size")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="these parts of the page only")
    parser.add_argument("--into", type=Path, default=DOCS / "performance", metavar="DIRECTORY")
    arguments = parser.parse_args()
    arguments.into.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        tell(f"--- {name}")
        text = PARTS[name](Options(arguments.runs, arguments.quick), SHARE_OF_QUICK if arguments.quick else 1.0)
        (arguments.into / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
