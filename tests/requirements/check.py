"""Whether a run of the tests bears the table out."""

from collections.abc import Iterator, Mapping

from tests.requirements.table import Requirement, Table, exists, faults_of

__all__ = ["problems"]


def problems(table: Table, outcomes: Mapping[str, str]) -> dict[Requirement, list[str]]:
    """What keeps a row from holding, by row."""
    variants: dict[str, list[str]] = {}
    for name, outcome in outcomes.items():
        path = name.partition("::")[0]
        for each in {name, name.partition("[")[0], path if not path.endswith(".py") else name}:
            variants.setdefault(each, []).append(outcome)
    return {row: found for row in table.rows if (found := [*faults_of(row), *_problems(row, variants)])}


def _problems(row: Requirement, variants: Mapping[str, list[str]]) -> Iterator[str]:
    if row.gap:
        yield f"not met: {row.gap}"
    for name in row.tests:
        if not exists(name):
            continue  # a fault of the table, told already
        ran = variants.get(name, [])
        if not ran:
            yield f"{name} did not run"
        elif bad := sorted({outcome for outcome in ran if outcome != "passed"}):
            yield f"{name} {' and '.join(bad)}"
