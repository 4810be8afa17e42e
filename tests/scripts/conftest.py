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
    "close/text_behind_a_fin_is_ignored": "what follows a FIN is answered by an ACK",
    "cork/full_segments_leave": "TCP_CORK and MSG_MORE are not there yet",
    "cork/holds_back_what_is_not_full": "TCP_CORK and MSG_MORE are not there yet",
    "cork/msg_more_holds_back_once": "TCP_CORK and MSG_MORE are not there yet",
    "defer_accept/waits_for_data": "TCP_DEFER_ACCEPT is not a socket option yet",
    "nagle/tail_behind_full_segments_leaves": "the tail of a write waits for the ACK of full segments too",
    "options/own_mss_by_setsockopt": "TCP_MAXSEG is not a socket option yet",
    "prr/half_as_many_leave_as_arrive": "PRR counts octets; Linux counts segments and rounds up",
    "sack_recovery/timer_starts_again_with_a_retransmission": "the timer runs on; Linux restarts it",
    "urgent/connection_goes_on": "SO_OOBINLINE is not a socket option yet",
    "user_timeout/ends_the_connection": "TCP_USER_TIMEOUT is not a socket option yet",
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
    return Script.from_parent(parent, path=file_path, settings=SETTINGS) if file_path.suffix == SUFFIX else None
