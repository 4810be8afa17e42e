"""`--record-outcomes`: what each test came to, in one process and in several."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.requirements.outcomes import merge
from tests.requirements.table import ROOT

TESTS = """
import pytest

@pytest.mark.parametrize("n", [1, 2])
def test_passes(n): pass

def test_fails(): assert False

@pytest.mark.skip
def test_skipped(): pass

@pytest.mark.xfail(strict=True)
def test_known(): assert False

@pytest.mark.xfail(strict=True)
def test_unknown(): pass

@pytest.fixture
def broken():
    yield
    assert False

def test_ends_badly(broken): pass
"""


@pytest.mark.parametrize("processes", [0, 2])
def test_every_outcome_is_recorded(tmp_path: Path, processes: int) -> None:
    (tmp_path / "test_some.py").write_text(TESTS, encoding="utf-8")
    (tmp_path / "test_broken.py").write_text("import nothing_of_that_name", encoding="utf-8")
    (tmp_path / "conftest.py").write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.requirements.plugin", "-p", "no:cacheprovider"]
    options = [
        "--continue-on-collection-errors",
        "-n",
        str(processes),
        "--rootdir",
        str(tmp_path),
        "--record-outcomes",
        str(tmp_path / "new" / "out.json"),
    ]
    subprocess.run([*command, *options, str(tmp_path)], cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert json.loads((tmp_path / "new" / "out.json").read_text(encoding="utf-8")) == {
        "test_some.py::test_passes[1]": "passed",
        "test_some.py::test_passes[2]": "passed",
        "test_some.py::test_fails": "failed",
        "test_some.py::test_skipped": "skipped",
        "test_some.py::test_known": "xfailed",
        "test_some.py::test_unknown": "failed",
        "test_some.py::test_ends_badly": "failed",
        "test_broken.py": "failed",
    }


def test_runs_are_merged(tmp_path: Path) -> None:
    first = {"a": "passed", "b": "skipped", "c": "failed", "d": "skipped"}
    second = {"a": "skipped", "b": "passed", "c": "passed", "e": "passed"}
    files = [tmp_path / "first.json", tmp_path / "second.json"]
    for file, outcomes in zip(files, (first, second), strict=True):
        file.write_text(json.dumps(outcomes), encoding="utf-8")
    assert merge(files) == {"a": "passed", "b": "passed", "c": "failed", "d": "skipped", "e": "passed"}
