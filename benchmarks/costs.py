"""What a frame, a round trip and a connection cost in Python, counted instead of timed: bytecodes executed, Python
functions entered, C functions called. The counts are the same on every machine, so that a change shows what it bought:
`history.py` counts earlier revisions.

Over a memory cable in virtual time. A frame: one connection, in bulk; the sender's stack and the receiver's are counted
apart. A round trip: one octet there and back, the client's side. A connection: the client's side of connect, one octet
there and back, close, until only TIME-WAIT is left.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import FrameType, TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from _cable import FAR, PORT, TICK, Cable, connected, listening
from attrs import define, field
from growth import reader, uploader

from pystack.stack.stream import StreamEndpoint
from pystack.units import Ns

__all__ = ["KINDS", "WORKS", "table"]

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


REPEATED = 100
"""So many round trips and connections are counted, after as many that are not."""
Counted: TypeAlias = AbstractContextManager[object]
"""What the client does inside is counted, or not."""


@define
class Client:
    """Does small things over the cable, one after the other. Its attempts are the user's, and not counted."""

    cable: Cable
    listener: StreamEndpoint

    @classmethod
    def begin(cls) -> Self:
        cable = Cable.lay(offload=True)
        return cls(cable, listening(cable))

    def connect(self, counted: Counted) -> tuple[StreamEndpoint, StreamEndpoint]:
        """Both ends of a new connection."""
        with counted:
            client = self.cable.client.stream()
            client.connect((FAR, PORT), self.cable.now)
        server = self.turns(counted, self.listener.try_accept)
        self.turns(counted, client.try_connected)
        return client, server

    def round_trip(self, client: StreamEndpoint, server: StreamEndpoint, counted: Counted) -> None:
        with counted:
            client.try_send(b"x", self.cable.now)
        self.turns(counted, lambda now: server.try_recv(1, now))
        server.try_send(b"x", self.cable.now)
        self.turns(counted, lambda now: client.try_recv(1, now))

    def whole_connection(self, counted: Counted) -> None:
        client, server = self.connect(counted)
        self.round_trip(client, server, counted)
        with counted:
            client.close(self.cable.now)
        self.turns(counted, lambda now: server.readable or None)
        server.close(self.cable.now)
        self.turns(counted, lambda now: not self.cable.client.tcp.flows or None)

    def turns(self, counted: Counted, attempt: Callable[[Ns], T | None]) -> T:
        """Poll both until `attempt` answers."""
        cable = self.cable
        while (answer := attempt(cable.now)) is None:
            cable.now += TICK
            cable.server.poll(cable.now)
            with counted:
                cable.client.poll(cable.now)
        return answer


def repeat(work: Callable[[Counted], None], counter: Count) -> None:
    for counted in (nullcontext(), counter):
        for _ in range(REPEATED):
            work(counted)


def count_connections() -> list[Counter[str]]:
    total = Counter[str]()
    for bytecode in (True, False):
        counter = Count(bytecode)
        repeat(Client.begin().whole_connection, counter)
        total.update({kind: round(seen / REPEATED) for kind, seen in counter.seen.items()})
    return [total]


def count_round_trips() -> list[Counter[str]]:
    total = Counter[str]()
    for bytecode in (True, False):
        counter = Count(bytecode)
        client = Client.begin()
        repeat(partial(client.round_trip, *client.connect(nullcontext())), counter)
        total.update({kind: round(seen / REPEATED) for kind, seen in counter.seen.items()})
    return [total]


def count_frames(*, offload: bool) -> list[Counter[str]]:
    """At the sender, and at the receiver, which also makes the ACKs."""
    totals = Counter[str](), Counter[str]()
    for bytecode in (True, False):
        bulk = Bulk.begin(offload=offload)
        counters = Count(bytecode), Count(bytecode)
        frames = bulk.run(FRAMES, *counters)
        for total, counter in zip(totals, counters, strict=True):
            total.update({kind: round(seen / frames) for kind, seen in counter.seen.items()})
    return list(totals)


WORKS: tuple[tuple[tuple[str, ...], Callable[[], list[Counter[str]]]], ...] = (
    (("send a wire frame", "receive a wire frame"), partial(count_frames, offload=False)),
    (("send a super-segment", "receive a super-segment"), partial(count_frames, offload=True)),
    (("a round trip",), count_round_trips),
    (("open, use and close",), count_connections),
)


def table() -> str:
    """What each takes, in markdown."""
    lines = [["", *KINDS], ["---"] * (1 + len(KINDS))]
    for names, count in WORKS:
        for name, counted in zip(names, count(), strict=True):
            lines.append([name, *(f"{counted[kind]:,}" for kind in KINDS)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def bytecodes() -> dict[str, int | None]:
    """For `history.py`, of a revision that may lack what a work needs: None."""
    found: dict[str, int | None] = {}
    for names, count in WORKS:
        try:
            counts = [counted["bytecodes"] for counted in count()]
        except (AttributeError, TypeError):
            found.update(dict.fromkeys(names))
        else:
            found.update(zip(names, counts, strict=True))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="bytecodes alone, for history.py")
    arguments = parser.parse_args()
    print(json.dumps(bytecodes()) if arguments.json else table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
