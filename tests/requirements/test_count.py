"""`python -m tests.requirements.count`: each test once, and none that was only ever skipped."""

import json
import subprocess
import sys
from pathlib import Path

from tests.requirements.table import ROOT


def count(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Without site-packages: it is run before anything is installed."""
    command = [sys.executable, "-S", "-m", "tests.requirements.count", str(folder), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def record(folder: Path, **outcomes: str) -> None:
    folder.mkdir()
    (folder / "outcomes.json").write_text(json.dumps(outcomes), encoding="utf-8")


def test_runs_are_counted_together(tmp_path: Path) -> None:
    record(tmp_path / "first", a="passed", b="skipped", c="failed")
    record(tmp_path / "second", b="passed", d="xfailed")
    done = count(tmp_path, "--none-skipped")
    assert (done.returncode, done.stdout) == (0, "2 passed, 1 failed, 0 skipped, 1 failed as expected\n")


def test_what_only_was_skipped_may_fail(tmp_path: Path) -> None:
    record(tmp_path / "only", a="passed", b="skipped")
    assert count(tmp_path).stdout == "1 passed, 0 failed, 1 skipped\n"
    assert count(tmp_path).returncode == 0
    done = count(tmp_path, "--none-skipped")
    assert (done.returncode, done.stdout) == (1, "b was skipped\n1 passed, 0 failed, 1 skipped\n")
