"""The requirement table: every row of a summary such as RFC 9293's Appendix B, and the tests that exercise it."""

import ast
import functools
import re
import tomllib
from pathlib import Path

from attrs import frozen

__all__ = [
    "COLUMNS",
    "DEVIATIONS",
    "PAGE",
    "RFC9293",
    "ROOT",
    "Requirement",
    "Section",
    "Table",
    "faults_of",
    "label_of",
]

ROOT = Path(__file__).parents[2]
RFC9293 = Path(__file__).with_name("rfc9293.toml")
PAGE = ROOT / "docs" / "rfc9293.md"
DEVIATIONS = ROOT / "docs" / "deviations.md"

COLUMNS = ("MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY")
BINDING = ("MUST", "MUST NOT")


@frozen(kw_only=True)
class Requirement:
    """One row. `label` and `column` are both kept as printed, also where they disagree."""

    label: str
    column: str
    feature: str
    section: str
    """Of the RFC, where the requirement is stated."""
    tests: tuple[str, ...] = ()
    """Node ids; without parameters: all variants."""
    deviation: str = ""
    """The heading in docs/deviations.md under which the row is declined, as a link has it."""
    gap: str = ""
    """What is still missing. A table with gaps does not pass."""

    @property
    def is_binding(self) -> bool:
        return self.column in BINDING

    def __str__(self) -> str:
        return f"{self.label} ({self.feature.lstrip('* ')})"


@frozen
class Section:
    title: str
    rows: tuple[Requirement, ...]


@frozen
class Table:
    sections: tuple[Section, ...]

    @classmethod
    def load(cls, path: Path = RFC9293) -> "Table":
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(Section(each["title"], tuple(map(_row, each["row"]))) for each in data["section"]))

    @property
    def rows(self) -> list[Requirement]:
        return [row for section in self.sections for row in section.rows]

    def faults(self) -> dict[Requirement, list[str]]:
        """What can be seen to be wrong without running a test, by row."""
        return {row: found for row in self.rows if (found := faults_of(row))}


def _row(fields: dict[str, object]) -> Requirement:
    tests = fields.pop("tests", ())
    assert isinstance(tests, list | tuple)
    return Requirement(**fields, tests=tuple(tests))  # type: ignore[arg-type]


def faults_of(row: Requirement) -> list[str]:
    faults = [f"there is no test {name}" for name in row.tests if not exists(name)]
    if row.column not in COLUMNS:
        faults.append(f"there is no column {row.column}")
    if len(set(row.tests)) < len(row.tests):
        faults.append("names a test twice")
    if row.deviation:
        if row.is_binding:
            faults.append(f"a {row.column} cannot be declined")
        if not mentions(row.deviation, row.label):
            faults.append(f"docs/deviations.md#{row.deviation} does not speak of {row.label}")
    elif not row.tests and not row.gap:
        faults.append("has no test")
    return faults


def exists(name: str) -> bool:
    """Whether `name` is a test function of this repository, or a script."""
    path, _, function = name.partition("::")
    if not (ROOT / path).is_file():
        return False
    return not path.endswith(".py") or function.partition("[")[0] in _functions(path)


@functools.cache
def _functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return frozenset(found)


def mentions(anchor: str, label: str) -> bool:
    """Whether docs/deviations.md has a heading with this anchor, and the label under it."""
    inside = 0
    for line in DEVIATIONS.read_text(encoding="utf-8").splitlines():
        level = len(line) - len(line.lstrip("#"))
        if level:
            if label_of(line) == anchor:
                inside = level
            elif level <= inside:
                inside = 0
        elif inside and re.search(rf"\b{label}\b", line):
            return True
    return False


def label_of(heading: str) -> str:
    """The anchor that GitHub and MyST give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lstrip("# ").lower()).replace(" ", "-")
