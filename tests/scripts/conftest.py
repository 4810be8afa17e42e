"""Collects the scripts in these folders."""

from pathlib import Path

import pytest

from pystack.testing.packetdrill import Settings
from pystack.testing.pytest_packetdrill import SUFFIX, ScriptFile

SETTINGS = Settings(complete=True, tolerance_percent=0)
"""Virtual time is exact, and a script that is silent about a packet says that there is none."""


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ScriptFile | None:
    return ScriptFile.from_parent(parent, path=file_path, settings=SETTINGS) if file_path.suffix == SUFFIX else None
