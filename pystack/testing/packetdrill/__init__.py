"""Runs scripts in the language of packetdrill against a pystack `Stack`: in this process, in virtual time.

A script says which socket calls are made, which packets arrive, and which packets must leave, each with its time:

    0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0   bind(3, ..., ...) = 0
    +0   listen(3, 1) = 0
    +0   < S 0:0(0) win 65535 <mss 1460>
    +0   > S. 0:0(0) ack 1 <mss 1460>
    +.1  < . 1:1(0) ack 1 win 65535
    +0   accept(3, ..., ...) = 4

`run_file` and `run_script` run one; the pytest plugin `pystack.testing.pytest_packetdrill` collects `.pkt` files;
`python -m pystack.testing.packetdrill FILE...` runs them from a shell. Nothing in a script is executed but its Python
blocks.
"""

from pystack.testing.packetdrill.parser import parse_script
from pystack.testing.packetdrill.report import Report, ScriptFailure
from pystack.testing.packetdrill.runner import run_file, run_script
from pystack.testing.packetdrill.script import Script, ScriptError, ScriptUnsupported
from pystack.testing.packetdrill.settings import IP_VERSIONS, Settings
from pystack.testing.packetdrill.support import supports

__all__ = [
    "IP_VERSIONS",
    "Report",
    "Script",
    "ScriptError",
    "ScriptFailure",
    "ScriptUnsupported",
    "Settings",
    "parse_script",
    "run_file",
    "run_script",
    "supports",
]
