"""docs/rfc9293.md, made from the table."""

from collections import Counter

from tests.requirements.table import COLUMNS, Requirement, Section, Table

__all__ = ["render"]

_HEAD = """\
---
orphan: true
---

# RFC 9293, row by row

Appendix B of [RFC 9293](https://www.rfc-editor.org/rfc/rfc9293#appendix-B) lists what TCP must, should and may do. Here
is each of its {rows} rows with the tests that exercise it. `nox -s requirements` fails when one of them does not exist,
did not run or did not pass. A test named without parameters stands for all its variants. What pystack declines, and
why, is in [Deviations](deviations.md).

This page is made by `python -m tests.requirements --write` from `tests/requirements/rfc9293.toml`.
"""


def render(table: Table) -> str:
    parts = [_HEAD.format(rows=len(table.rows)), _summary(table.rows), *map(_section, table.sections)]
    return "\n".join(parts)


def _summary(rows: list[Requirement]) -> str:
    counts = Counter((row.column, _standing(row)) for row in rows)
    standings = ("tested", "declined", "not met")
    lines = ["| | rows | " + " | ".join(standings) + " |", "|---|---|---|---|---|"]
    for column in (*COLUMNS, ""):
        numbers = [sum(n for (c, s), n in counts.items() if column in ("", c) and s == each) for each in standings]
        lines.append(f"| {column or 'all'} | {sum(numbers)} | " + " | ".join(map(str, numbers)) + " |")
    return "\n".join(lines) + "\n"


def _standing(row: Requirement) -> str:
    if row.gap:
        return "not met"
    return "declined" if row.deviation else "tested"


def _section(section: Section) -> str:
    lines = [f"## {section.title}\n", "| | | feature | section | tests |", "|---|---|---|---|---|"]
    lines += map(_line, section.rows)
    return "\n".join(lines) + "\n"


def _line(row: Requirement) -> str:
    evidence = []
    if row.gap:
        evidence.append(f"**Not met:** {row.gap}")
    if row.deviation:
        evidence.append(f"[Declined](deviations.md#{row.deviation})")
    evidence += [f"`{name}`" for name in row.tests]
    feature = row.feature.replace("* ", "– ").replace("*", "– ") if row.feature.startswith("*") else row.feature
    return f"| {row.label} | {row.column} | {feature} | {row.section} | {'<br>'.join(evidence)} |"
