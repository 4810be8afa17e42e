"""`python -m tests.requirements`: what it says and how it ends, whatever keeps a requirement from being shown."""

import json
from pathlib import Path

import pytest
from attrs import define

from tests.requirements import __main__ as command
from tests.requirements.page import render
from tests.requirements.table import Requirement, Section, Table

HERE = "tests/requirements/test_command.py"
PLAIN = f"{HERE}::test_a_table_that_is_borne_out"
VARIANTS = f"{HERE}::test_what_fails"
SCRIPT = "tests/scripts/handshake/passive_open.pkt"


@define
class Place:
    """A table of one row, its page, and the record of a run."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def check(self, tests: tuple[str, ...], outcomes: dict[str, str], *arguments: str, page: str | None = None) -> int:
        row = Requirement(label="MUST-1", column="MUST", feature="To hold", section="3.1", tests=tests)
        table = Table((Section("One", (row,)),))
        self.monkeypatch.setattr(Table, "load", lambda: table)
        self.monkeypatch.setattr(command, "PAGE", self.page)
        self.page.write_text(render(table) if page is None else page, encoding="utf-8")
        record = self.folder / "record.json"
        record.write_text(json.dumps(outcomes), encoding="utf-8")
        return command.main([str(record), *(arguments or ("--check",))])

    @property
    def page(self) -> Path:
        return self.folder / "page.md"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def test_a_table_that_is_borne_out(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = {PLAIN: "passed", f"{VARIANTS}[a]": "passed", f"{VARIANTS}[b]": "passed", f"{SCRIPT}::ipv4": "passed"}
    assert place.check((PLAIN, VARIANTS, SCRIPT), outcomes) == 0
    assert capsys.readouterr().out == "MUST and MUST NOT: 1 of 1 hold, all rows: 1 of 1\n"


@pytest.mark.parametrize(
    ("tests", "outcomes", "said"),
    [
        pytest.param((), {}, "has no test", id="no test"),
        pytest.param((f"{HERE}::test_none",), {f"{HERE}::test_none": "passed"}, "there is no test", id="no such test"),
        pytest.param((f"{SCRIPT}x",), {f"{SCRIPT}x::ipv4": "passed"}, "there is no test", id="no such script"),
        pytest.param((PLAIN,), {VARIANTS: "passed"}, "did not run", id="not run"),
        pytest.param((f"{VARIANTS}[a]",), {f"{VARIANTS}[b]": "passed"}, "did not run", id="variant not run"),
        pytest.param((SCRIPT,), {f"{SCRIPT}x::ipv4": "passed"}, "did not run", id="script not run"),
        pytest.param((PLAIN,), {PLAIN: "failed"}, "failed", id="failed"),
        pytest.param((PLAIN,), {PLAIN: "skipped"}, "skipped", id="skipped"),
        pytest.param((PLAIN,), {PLAIN: "xfailed"}, "xfailed", id="failed as expected"),
        pytest.param((VARIANTS,), {f"{VARIANTS}[a]": "passed", f"{VARIANTS}[b]": "failed"}, "failed", id="a variant"),
        pytest.param((SCRIPT,), {f"{SCRIPT}::ipv4": "passed", f"{SCRIPT}::ipv6": "failed"}, "failed", id="one version"),
    ],
)
def test_what_fails(
    place: Place, capsys: pytest.CaptureFixture[str], tests: tuple[str, ...], outcomes: dict[str, str], said: str
) -> None:
    assert place.check(tests, outcomes) == 1
    row, complaint, total = capsys.readouterr().out.splitlines()
    assert row == "MUST-1 (To hold):"
    assert said in complaint
    assert total == "MUST and MUST NOT: 0 of 1 hold, all rows: 0 of 1"


@pytest.mark.parametrize("page", ["", "something else"])
def test_a_stale_page_fails_and_can_be_written(place: Place, capsys: pytest.CaptureFixture[str], page: str) -> None:
    assert place.check((PLAIN,), {PLAIN: "passed"}, "--check", page=page) == 1
    assert "is stale" in capsys.readouterr().out
    assert place.check((PLAIN,), {PLAIN: "passed"}, "--write", page=page) == 0
    assert PLAIN in place.page.read_text(encoding="utf-8")


def test_a_record_that_was_not_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        command.main([str(tmp_path / "none.json"), "--check"])
