"""The table is RFC 9293's, each test that it names exists, and the page made from it is up to date."""

from collections import Counter

import pytest

from tests.requirements.check import problems
from tests.requirements.page import render
from tests.requirements.table import DEVIATIONS, PAGE, Requirement, Section, Table, exists, label_of, mentions

TABLE = Table.load()


def test_it_has_the_rows_of_appendix_b() -> None:
    assert len(TABLE.sections) == 20
    assert Counter(row.column for row in TABLE.rows) == {
        "MUST": 68,
        "MUST NOT": 8,
        "SHOULD": 30,
        "SHOULD NOT": 5,
        "MAY": 15,
    }


def test_it_has_every_label() -> None:
    labels = Counter(row.label for row in TABLE.rows)
    expected = [
        f"{kind}-{n}"
        for kind, last in (("MUST", 69), ("SHLD", 31), ("MAY", 18), ("REC", 1))
        for n in range(1, last + 1)
    ]
    assert sorted(labels) == sorted(expected)
    assert {label: count for label, count in labels.items() if count > 1} == {
        "SHLD-5": 2,
        "MUST-15": 2,
        "MUST-20": 2,
        "MUST-46": 2,
        "MUST-56": 3,
        "MUST-57": 2,
    }


def test_it_names_tests_that_exist_and_deviations_that_are_explained() -> None:
    assert TABLE.faults() == {}


def test_the_page_is_made_from_it() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(TABLE), "run python -m tests.requirements --write"


def test_what_exists() -> None:
    here = "tests/requirements/test_table.py"
    assert exists(f"{here}::test_what_exists")
    assert exists(f"{here}::test_what_is_found_wrong[no test]")
    assert not exists(f"{here}::test_what_does_not_exist")
    assert not exists("tests/requirements/test_nothing.py::test_what_exists")


def test_anchors_are_those_of_headings() -> None:
    assert label_of("### Not there, yet") == "not-there-yet"
    assert mentions("tcp", "SHLD-26")
    assert not mentions("udp", "SHLD-26")
    assert "SHLD-26" in DEVIATIONS.read_text(encoding="utf-8")


PASSING = "tests/requirements/test_table.py::test_what_exists"
OTHER = "tests/requirements/test_table.py::test_what_is_found_wrong"


@pytest.mark.parametrize(
    ("row", "outcomes", "said"),
    [
        pytest.param({}, {}, "has no test", id="no test"),
        pytest.param({"tests": (PASSING,)}, {}, "did not run", id="not run"),
        pytest.param({"tests": (PASSING,)}, {PASSING: "skipped"}, "skipped", id="skipped"),
        pytest.param({"tests": (PASSING,)}, {PASSING: "xfailed"}, "xfailed", id="expected to fail"),
        pytest.param({"tests": (OTHER,)}, {f"{OTHER}[a]": "passed", f"{OTHER}[b]": "failed"}, "failed", id="a variant"),
        pytest.param({"tests": (f"{OTHER}[a]",)}, {f"{OTHER}[b]": "passed"}, "did not run", id="another variant"),
        pytest.param({"tests": (f"{PASSING}_not",)}, {}, "there is no test", id="missing"),
        pytest.param({"tests": (PASSING, PASSING)}, {PASSING: "passed"}, "twice", id="twice"),
        pytest.param({"tests": (PASSING,), "gap": "half of it"}, {PASSING: "passed"}, "not met: half of it", id="gap"),
        pytest.param({"deviation": "tcp"}, {}, "a MUST cannot be declined", id="declined"),
        pytest.param({"deviation": "nowhere", "column": "MAY"}, {}, "does not speak of", id="not explained"),
        pytest.param({"column": "WILL", "tests": (PASSING,)}, {PASSING: "passed"}, "no column WILL", id="column"),
    ],
)
def test_what_is_found_wrong(row: dict[str, object], outcomes: dict[str, str], said: str) -> None:
    fields = {"label": "SHLD-26", "column": "MUST", "feature": "To hold", "section": "1", **row}
    table = Table((Section("One", (Requirement(**fields),)),))  # type: ignore[arg-type]
    ((_, found),) = problems(table, outcomes).items()
    assert any(said in each for each in found)


def test_what_is_right() -> None:
    rows = (
        Requirement(label="MUST-1", column="MUST", feature="To hold", section="1", tests=(PASSING, OTHER)),
        Requirement(label="SHLD-26", column="SHOULD", feature="To decline", section="1", deviation="tcp"),
    )
    outcomes = {PASSING: "passed", f"{OTHER}[a]": "passed", f"{OTHER}[b]": "passed"}
    assert problems(Table((Section("One", rows),)), outcomes) == {}
