"""Print "N passed, N failed, N skipped" over the JUnit files in the folder given as the argument."""

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree


def main() -> None:
    count: Counter[str] = Counter()
    for file in Path(sys.argv[1]).glob("*.xml"):
        for suite in ElementTree.parse(file).iter("testsuite"):
            for name in ("tests", "failures", "errors", "skipped"):
                count[name] += int(suite.get(name, 0))
    failed = count["failures"] + count["errors"]
    passed = count["tests"] - failed - count["skipped"]
    print(f"{passed} passed, {failed} failed, {count['skipped']} skipped")


if __name__ == "__main__":
    main()
