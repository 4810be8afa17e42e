"""A pytest plugin: `--record-outcomes FILE` writes what became of each test, as JSON: node id to outcome.

Under xdist the workers' reports come together in the controller, which alone writes.
"""

import json
from pathlib import Path

import pytest

__all__ = ["Recorder"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-outcomes",
        metavar="FILE",
        type=Path,
        help="write a JSON object of node ids and outcomes (passed, failed, skipped, xfailed)",
    )


def pytest_configure(config: pytest.Config) -> None:
    file = config.getoption("--record-outcomes")
    if file is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(file))


class Recorder:
    """A test has passed when its call has, and neither what prepares it nor what cleans up has failed."""

    def __init__(self, file: Path) -> None:
        self.file = file.absolute()
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome = "xfailed" if report.skipped and hasattr(report, "wasxfail") else report.outcome
        tells = report.when == "call" or outcome != "passed"
        if tells and self.outcomes.get(report.nodeid, "passed") == "passed":
            self.outcomes[report.nodeid] = outcome

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.outcomes[report.nodeid] = "failed"

    def pytest_sessionfinish(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(dict(sorted(self.outcomes.items())), indent=0) + "\n", encoding="utf-8")
