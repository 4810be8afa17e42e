"""What tests came to, as `--record-outcomes` leaves it: node id to passed, failed, skipped or xfailed.

Only the standard library is needed to read it.
"""

import json
from collections.abc import Iterable
from pathlib import Path

__all__ = ["FILE", "merge"]

FILE = "outcomes.json"


def merge(files: Iterable[Path]) -> dict[str, str]:
    """The outcomes of several runs. A test that ran in more than one must have passed in each where it was not
    skipped."""
    merged: dict[str, str] = {}
    for file in files:
        for name, outcome in json.loads(file.read_text(encoding="utf-8")).items():
            if outcome != "skipped" and merged.get(name, "passed") in ("passed", "skipped"):
                merged[name] = outcome
            else:
                merged.setdefault(name, outcome)
    return merged
