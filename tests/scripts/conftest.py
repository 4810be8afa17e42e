"""Collects the scripts in these folders: each is one behaviour, named by it, and starts with the RFC that wants it.

They are run over IPv4 and IPv6, as they stand. The original tool takes them too, against a kernel; where Linux does
something else than the RFC, the script says so.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from pystack.testing.packetdrill import Settings
from pystack.testing.pytest_packetdrill import SUFFIX, ScriptFile, ScriptItem

SETTINGS = Settings(complete=True, tolerance_percent=0)
"""Virtual time is exact, and a script that is silent about a packet says that there is none."""


EXPECTED_TO_FAIL: dict[str, str] = {
    "prr/half_as_many_leave_as_arrive": "PRR counts octets; Linux counts segments and rounds up",
    "sack_recovery/timer_starts_again_with_a_retransmission": "the timer runs on; Linux restarts it",
}
"""Scripts that are right and show where the stack is not yet: once it is, they must leave this list."""


class Script(ScriptFile):
    @override
    def collect(self) -> Iterator[ScriptItem]:
        name = self.path.relative_to(Path(__file__).parent).with_suffix("").as_posix()
        reason = EXPECTED_TO_FAIL.get(name)
        for item in super().collect():
            if reason is not None:
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
            yield item


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Script | None:
    return (
        Script.from_parent(parent, path=file_path, settings=SETTINGS, skips=False)
        if file_path.suffix == SUFFIX
        else None
    )
