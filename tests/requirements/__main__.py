"""Hold the requirement table to the outcomes of a run, and docs/rfc9293.md to the table.

pytest --record-outcomes build/outcomes.json
python -m tests.requirements build/outcomes.json --check
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.requirements.check import problems
from tests.requirements.outcomes import merge
from tests.requirements.page import render
from tests.requirements.table import PAGE, Table


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.requirements", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "outcomes", nargs="*", type=Path, help="what pytest --record-outcomes wrote, of one or more runs"
    )
    parser.add_argument("--write", action="store_true", help="write docs/rfc9293.md")
    parser.add_argument(
        "--check", action="store_true", help="fail when docs/rfc9293.md is not what --write would write"
    )
    arguments = parser.parse_args(argv)
    table = Table.load()
    page = render(table)
    if arguments.write:
        PAGE.write_text(page, encoding="utf-8")
    found = problems(table, merge(arguments.outcomes)) if arguments.outcomes else table.faults()
    for row, sentences in found.items():
        print(f"{row}:", *sentences, sep="\n    ")
    stale = arguments.check and (not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page)
    if stale:
        print("docs/rfc9293.md is stale: run python -m tests.requirements --write")
    if arguments.outcomes:
        binding = [row for row in table.rows if row.is_binding]
        print(f"MUST and MUST NOT: {sum(row not in found for row in binding)} of {len(binding)} hold", end=", ")
        print(f"all rows: {len(table.rows) - len(found)} of {len(table.rows)}")
    return 1 if found or stale else 0


if __name__ == "__main__":
    sys.exit(main())
