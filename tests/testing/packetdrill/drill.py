"""Short ways to run a script."""

from typing import Any

import pytest

from pystack.testing.packetdrill import Report, ScriptFailure, ScriptUnsupported, Settings, run_script

LISTEN = """
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   bind(3, ..., ...) = 0
+0   listen(3, 1) = 0
"""
ESTABLISHED = (
    LISTEN
    + """
+0   < S 0:0(0) win 65535 <mss 1000>
+0   > S. 0:0(0) ack 1 <...>
+.1  < . 1:1(0) ack 1 win 65535
+0   accept(3, ..., ...) = 4
"""
)
UDP = """
0    socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
+0   bind(3, ..., ...) = 0
"""

PROLOGUES = {"": "", "listen": LISTEN, "established": ESTABLISHED, "udp": UDP}


class Drill:
    """Runs scripts; `prologue` names what comes before the given lines."""

    def passes(self, lines: str, prologue: str = "established", **settings: Any) -> Report:
        return run_script(PROLOGUES[prologue] + lines, name="a.pkt", settings=Settings(**settings))

    def fails(self, lines: str, prologue: str = "established", **settings: Any) -> str:
        """The report of the failure."""
        with pytest.raises(ScriptFailure) as raised:
            self.passes(lines, prologue, **settings)
        return str(raised.value)

    def lacks(self, lines: str, prologue: str = "established", **settings: Any) -> str:
        """What the script needs and is not there."""
        with pytest.raises(ScriptUnsupported) as raised:
            self.passes(lines, prologue, **settings)
        return raised.value.construct
