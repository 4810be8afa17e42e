"""What a frame and a connection cost in Python, counted instead of timed: bytecodes executed, Python functions
entered, C functions called. The counts are the same on every machine, so that a change shows what it bought.

Over a memory cable in virtual time. A frame: one connection, in bulk; the sender's stack and the receiver's are counted
apart. A connection: the client's side of connect, one octet there and back, close, until only TIME-WAIT is left.
`--at REVISION ...` counts earlier revisions of this repository too.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from _cable import FAR, PORT, TICK, Cable, connected, listening
from attrs import define, field
from growth import reader, uploader

from pystack.stack.stream import StreamEndpoint
from pystack.units import Ns

__all__ = ["header", "line"]

HERE = Path(__file__).parent
FRAMES = 1000
"""At least so many are counted, after as many that are not."""
READ = 256 << 10
KINDS = ("bytecodes", "Python calls", "C calls")

T = TypeVar("T")
Trace: TypeAlias = Callable[[FrameType, str, Any], Any]


@define
class Count:
    """Counts whatever runs inside `with`."""

    bytecode: bool
    """False: calls, which take another hook."""
    seen: Counter[str] = field(factory=Counter, init=False)

    def __enter__(self) -> Self:
        if self.bytecode:
            sys.settrace(self._on_call)
        else:
            sys.setprofile(self._on_event)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.settrace(None)
        sys.setprofile(None)

    def _on_call(self, frame: FrameType, event: str, argument: object) -> Trace:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._on_bytecode

    def _on_bytecode(self, frame: FrameType, event: str, argument: object) -> Trace:
        if event == "opcode":
            self.seen["bytecodes"] += 1
        return self._on_bytecode

    def _on_event(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            self.seen["Python calls"] += 1
        elif event == "c_call":
            self.seen["C calls"] += 1


@define
class Bulk:
    """A transfer that goes on as long as it is asked to."""

    cable: Cable

    @classmethod
    def begin(cls, *, offload: bool) -> Self:
        cable = Cable.lay(offload=offload)
        ((client, server),) = connected(cable, 1)
        endless = 1 << 40
        server.submit(reader(server, memoryview(bytearray(READ)), endless), None, cable.now)
        client.submit(uploader(client, endless), None, cable.now)
        bulk = cls(cable)
        bulk.run(FRAMES)
        return bulk

    def run(self, frames: int, sender: Count | None = None, receiver: Count | None = None) -> int:
        """At least `frames` more from the client; how many they were."""
        cable = self.cable
        before = cable.links[0].frames
        while cable.links[0].frames - before < frames:
            cable.now += TICK
            for stack, counter in ((cable.client, sender), (cable.server, receiver)):
                if counter is None:
                    stack.poll(cable.now)
                else:
                    with counter:
                        stack.poll(cable.now)
        return cable.links[0].frames - before


CONNECTIONS = 100
"""So many are counted, after as many that are not."""


@define
class Churn:
    """Connections that come and go, one after the other."""

    cable: Cable
    listener: StreamEndpoint

    @classmethod
    def begin(cls) -> Self:
        cable = Cable.lay(offload=True)
        churn = cls(cable, listening(cable))
        for _ in range(CONNECTIONS):
            churn.run(None)
        return churn

    def run(self, counter: Count | None) -> None:
        """One connection; what the client does is counted."""
        counted = counter or nullcontext()
        with counted:
            client = self.cable.client.stream()
            client.connect((FAR, PORT), self.cable.now)
        server = self.turns(counted, self.listener.try_accept)
        self.turns(counted, client.try_connected)
        with counted:
            client.try_send(b"x", self.cable.now)
        self.turns(counted, lambda now: server.try_recv(1, now))
        server.try_send(b"x", self.cable.now)
        self.turns(counted, lambda now: client.try_recv(1, now))
        with counted:
            client.close(self.cable.now)
        self.turns(counted, lambda now: server.readable or None)
        server.close(self.cable.now)
        self.turns(counted, lambda now: not self.cable.client.tcp.flows or None)

    def turns(self, counted: AbstractContextManager[object], attempt: Callable[[Ns], T | None]) -> T:
        """Poll both until `attempt`, which is the user's and not counted, answers."""
        cable = self.cable
        while (answer := attempt(cable.now)) is None:
            cable.now += TICK
            cable.server.poll(cable.now)
            with counted:
                cable.client.poll(cable.now)
        return answer


def count_connection() -> Counter[str]:
    total = Counter[str]()
    for bytecode in (True, False):
        churn = Churn.begin()
        counter = Count(bytecode)
        for _ in range(CONNECTIONS):
            churn.run(counter)
        total.update({kind: round(seen / CONNECTIONS) for kind, seen in counter.seen.items()})
    return total


def count(*, offload: bool) -> dict[str, Counter[str]]:
    """Per frame, at the sender and at the receiver, which also makes the ACKs."""
    totals = {"send": Counter[str](), "receive": Counter[str]()}
    for bytecode in (True, False):
        bulk = Bulk.begin(offload=offload)
        sender, receiver = Count(bytecode), Count(bytecode)
        frames = bulk.run(FRAMES, sender, receiver)
        for name, counter in (("send", sender), ("receive", receiver)):
            totals[name].update({kind: round(seen / frames) for kind, seen in counter.seen.items()})
    return totals


WORKS = (("wire frame", False), ("super-segment", True))


def header() -> str:
    """The head of a markdown table: what each takes, as bytecodes / Python calls / C calls."""
    names = [f"{way} a {what}" for what, _ in WORKS for way in ("send", "receive")] + ["open, use and close"]
    return "| revision | " + " | ".join(names) + " |\n" + "| --- " * (len(names) + 1) + "|"


def line(name: str) -> str:
    """The counts of the pystack that is imported here."""
    counted = [seen for _, offload in WORKS for seen in count(offload=offload).values()]
    cells = [" / ".join(f"{seen[kind]:,}" for kind in KINDS) for seen in (*counted, count_connection())]
    return f"| {name} | " + " | ".join(cells) + " |"


def lines_at(revisions: list[str]) -> Iterator[str]:
    """The counts of earlier revisions, each checked out beside this one for as long as it takes."""
    for revision in revisions:
        title = git("log", "-1", "--format=%h %s", revision)
        with tempfile.TemporaryDirectory() as directory:
            tree = str(Path(directory, "tree"))
            git("worktree", "add", "--detach", tree, revision)
            try:
                command = [sys.executable, __file__, "--line", title]
                counted = subprocess.run(
                    command, env={**os.environ, "PYTHONPATH": tree}, check=True, stdout=subprocess.PIPE, text=True
                )
                yield counted.stdout.strip()
            finally:
                git("worktree", "remove", "--force", tree)


def git(*arguments: str) -> str:
    command = ["git", "-C", str(HERE), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at", nargs="+", default=[], metavar="REVISION", help="count these too, before the present")
    parser.add_argument("--line", metavar="NAME", help="print one line of the table only, called NAME")
    arguments = parser.parse_args()
    if arguments.line:
        print(line(arguments.line))
        return 0
    print(header())
    for each in lines_at(arguments.at):
        print(each, flush=True)
    print(line("the present one"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
