"""What each change bought, and what features cost: bytecodes before and after it, counted by `costs.py`.

A change that is to be in the table is added to `CHANGES`; `history.py REVISION ...` counts others instead, each beside
its parent.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import costs
from _network import HERE
from attrs import frozen

__all__ = ["CHANGES", "table"]


@frozen
class Change:
    """A row."""

    revision: str
    what: str
    since: str | None = None
    """What it is compared with, if that is not its parent: then it is everything in between."""


CHANGES = (
    Change("a952100", "TCP sends and takes super-segments where the link cuts them"),
    Change("7dc6bca", "IPv6, settings of each connection, the memory limit", since="a952100"),
    Change("9fe1864", "SACK, DSACK, RACK-TLP, PRR, F-RTO, undo, ECN", since="7dc6bca"),
    Change("1064fe3", "Acknowledgements of a quiet connection skip what recovery needs"),
    Change("fd7e3e5", "ECN marks travel between the IP header and TCP"),
    Change("f0d902e", "Two ACKs of what arrives together, for a while after a loss"),
    Change("422714b", "Plain flags are tested, memory is charged once per event"),
    Change("3ae59d0", "CUBIC is the default congestion control"),
    Change("e53428d", "A link is asked once whether its ports must be held"),
    Change("bea94d0", "Cork, MAXSEG, user timeout, TCP_INFO and other options"),
    Change("b2edb91", "TCP Fast Open"),
    Change("b839a9c", "What users send counts against the memory limit"),
    Change("cfafc43", "Pieces beyond a gap by number"),
    Change("8f5ed3f", "The TCP service in objects with a subject each"),
    Change("67427d1", "An ended connection is freed at once"),
    Change("bb8ea37", "States are hashed by identity"),
    Change("085926d", "An address that is one is not parsed again"),
    Change("cef1106", "A turn brings each connection to rest once, a header is built with its checksum"),
    Change("4173369", "The options of the usual SYN are read and written in one piece"),
    Change("a4b3714", "TIME-WAIT is one queue with one alarm"),
    Change("deaf1e6", "Connections come to rest after their users, alarms are entered when a deadline is asked for"),
    Change("0e0b9d0", "A segment is filled instead of made twice"),
    Change("7fe9b1d", "RACK's round trip follows every acknowledgement"),
    Change("4b00bf9", "PSH ends bursts; windows that are not used, as Linux has them"),
    Change("fff0fc0", "Windows of half a buffer, acknowledgements that wait in a conversation"),
    Change("de27201", "Acknowledgements in pairs let the peer go on, probes are answered at once"),
    Change("8defb9a", "A window field needs no offer where none could move the edge"),
    Change("99c2ff8", "A new connection takes at once what Linux takes"),
)


def table(changes: Iterable[Change] = CHANGES) -> str:
    """In markdown, the oldest first: before → after, or one number where nothing has changed."""
    names = [name for group, _ in costs.WORKS for name in group]
    lines = [["revision", *names], ["---"] * (1 + len(names))]
    for change in changes:
        before, after = (
            counted(git("rev-parse", each)) for each in (change.since or f"{change.revision}~1", change.revision)
        )
        lines.append([f"{change.revision} {change.what}", *(cell(before[name], after[name]) for name in names)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(before: int | None, after: int | None) -> str:
    if after is None:
        return ""
    if before is None or before == after:
        return f"{after:,}"
    return f"{before:,} → {after:,}"


@functools.cache
def counted(revision: str) -> dict[str, int | None]:
    """Of an earlier revision, checked out beside this one for as long as it takes."""
    with tempfile.TemporaryDirectory() as directory:
        tree = str(Path(directory, "tree"))
        git("worktree", "add", "--detach", tree, revision)
        try:
            command = [sys.executable, str(HERE / "costs.py"), "--json"]
            environment = {**os.environ, "PYTHONPATH": tree}
            done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        finally:
            git("worktree", "remove", "--force", tree)
    found: dict[str, int | None] = json.loads(done.stdout)
    return found


def git(*arguments: str) -> str:
    command = ["git", "-C", str(HERE), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revisions", nargs="*", metavar="REVISION", help="these instead")
    revisions = parser.parse_args().revisions
    others = [
        Change(git("log", "-1", "--format=%h", each), git("log", "-1", "--format=%s", each)) for each in revisions
    ]
    print(table(others or CHANGES))
    return 0


if __name__ == "__main__":
    sys.exit(main())
