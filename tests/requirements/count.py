"""Print "N passed, N failed, N skipped" over the records in the folders of the folder given, each test counted once.

python -m tests.requirements.count build/ci --none-skipped
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from tests.requirements.outcomes import FILE, merge


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.requirements.count", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--none-skipped", action="store_true", help="fail when a test was skipped in every run")
    arguments = parser.parse_args()
    outcomes = merge(arguments.folder.glob(f"*/{FILE}"))
    count = Counter(outcomes.values())
    if arguments.none_skipped:
        for name in sorted(name for name, outcome in outcomes.items() if outcome == "skipped"):
            print(f"{name} was skipped")
    expected = f", {count['xfailed']} failed as expected" if count["xfailed"] else ""
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped{expected}")
    return int(arguments.none_skipped and count["skipped"] > 0)


if __name__ == "__main__":
    sys.exit(main())
