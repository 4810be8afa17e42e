"""Collects the scripts in these folders: each is one behaviour, named by it, and starts with the RFC that wants it.

They are run over IPv4 and IPv6, as they stand. The original tool takes them too, against a kernel; where Linux does
something else than the RFC, the script says so.
"""

from pathlib import Path

import pytest

from pystack.testing.packetdrill import Settings
from pystack.testing.pytest_packetdrill import SUFFIX, ScriptFile

SETTINGS = Settings(complete=True, tolerance_percent=0)
"""Virtual time is exact, and a script that is silent about a packet says that there is none."""


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ScriptFile | None:
    if file_path.suffix != SUFFIX:
        return None
    return ScriptFile.from_parent(parent, path=file_path, settings=SETTINGS, skips=False)
