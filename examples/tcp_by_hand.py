"""Two TCPConnection objects talk, and every step is printed: handshake, data, a loss, the close.

There is no host here, no link, no thread, and the clock is a variable. `TCPConnection` is only the state machine: it is
given segments and times, and is asked for segments and for the time when it wants to be called again. Whoever
carries the segments decides what happens to them on the way; here that is the loop in `Wire.run`.
"""

import argparse
import heapq
import itertools
from collections.abc import Callable

from _links import Parser, count, run, seconds
from _story import STATES, Conversation, paragraph
from attrs import define, field

from pystack import TCPConnection
from pystack.transport.tcp.segment import Segment
from pystack.units import Ns, from_seconds, to_seconds
from pystack.wire import TCPHeader

MSS = 1000


@define(eq=False)
class Side:
    """One end: the connection and what it was last seen doing."""

    name: str
    arrow: str
    connection: TCPConnection
    state: str = "CLOSED"
    received: bytearray = field(factory=bytearray)

    @property
    def port(self) -> int:
        return self.connection.local_port


@define(eq=False)
class Wire:
    """Carries segments from one side to the other, `delay` later, all but the data segment that is to be lost."""

    left: Side
    right: Side
    delay: Ns
    lose: int
    """The how-manieth segment with data vanishes; 0: none does."""
    now: Ns = 0
    _on_its_way: list[tuple[Ns, int, Side, Segment]] = field(factory=list)
    _order: "itertools.count[int]" = field(factory=itertools.count)
    _with_data: int = 0
    _conversation: Conversation = field(factory=Conversation)

    def run(self, until: Callable[[], bool]) -> None:
        """Let time pass, from event to event, until `until()`: this is all the machinery that TCP needs around it."""
        while True:
            for side in (self.left, self.right):
                self._collect(side)
            if until():
                return
            self.now = min(self._events())
            while self._on_its_way and self._on_its_way[0][0] <= self.now:
                _, _, receiver, segment = heapq.heappop(self._on_its_way)
                receiver.connection.on_segment(segment, self.now)
                self._collect(receiver)
            for side in (self.left, self.right):
                deadline = side.connection.next_deadline()
                if deadline is not None and deadline <= self.now:
                    side.connection.on_timer(self.now)

    def _events(self) -> list[Ns]:
        """When something will happen: a segment arrives, a timer of either side ends."""
        deadlines = (side.connection.next_deadline() for side in (self.left, self.right))
        return [arrival for arrival, *_ in self._on_its_way[:1]] + [each for each in deadlines if each is not None]

    def _collect(self, side: Side) -> None:
        """Take what `side` wants to send, and note what has become of it."""
        self._watch(side)
        while data := side.connection.recv(65536, self.now):
            side.received += data
            self.say(side, f"reads {len(data)} octets; {len(side.received)} so far")
        for segment in side.connection.take_output(self.now, limit=64):
            self._carry(side, segment)
        self._watch(side)

    def _carry(self, sender: Side, segment: Segment) -> None:
        receiver = self.right if sender is self.left else self.left
        data = b"".join(segment.payload)
        header = TCPHeader.from_bytes(segment.header_bytes(sender.port, receiver.port))
        text = self._conversation.tell(sender.port, receiver.port, header, data)
        self._with_data += bool(data)
        if data and self._with_data == self.lose:
            self.say(sender, f"{sender.arrow} {text}  *** LOST on the way ***")
            return
        self.say(sender, f"{sender.arrow} {text}")
        heapq.heappush(self._on_its_way, (self.now + self.delay, next(self._order), receiver, segment))

    def _watch(self, side: Side) -> None:
        state = str(side.connection.state)
        if state != side.state:
            self.say(side, f"=== {side.state} -> {state}: {STATES[state]}")
            side.state = state

    def say(self, side: Side, text: str) -> None:
        print(paragraph(f"{to_seconds(self.now) * 1000:10.1f} ms  {side.name:6}  ", text))


def play(delay: Ns, lose: int) -> bool:
    """The whole conversation. Whether each octet arrived."""
    left = Side("left", "-->", TCPConnection("left", "right", 40000, 80, iss=1_000_000, mss=MSS))
    right = Side("right", "<--", TCPConnection("right", "left", 80, 40000, iss=2_000_000, mss=MSS))
    wire = Wire(left, right, delay, lose)
    letter = bytes(128 | (place ^ place >> 7) & 127 for place in range(8192))  # no text: the story would quote it

    chapter("The handshake: right listens, left connects")
    right.connection.listen()
    left.connection.connect(wire.now)
    wire.run(until=lambda: left.state == right.state == "ESTABLISHED")

    chapter(f"Data: left sends {len(letter)} octets" + (f", and segment {lose} of them is lost" if lose else ""))
    left.connection.send(letter, wire.now)
    wire.run(until=lambda: len(right.received) == len(letter))

    chapter("The close: left has no more to say, right answers and closes too")
    left.connection.shutdown(wire.now)
    wire.run(until=lambda: right.connection.eof)
    right.connection.send(b"Thank you, that was all I needed.", wire.now)
    right.connection.shutdown(wire.now)
    wire.run(until=lambda: left.state == "TIME-WAIT" and right.state == "CLOSED")

    chapter("A minute later")
    wire.run(until=lambda: left.state == "CLOSED")
    return bytes(right.received) == letter and bytes(left.received).startswith(b"Thank you")


def chapter(title: str) -> None:
    print(f"\n{title}\n")


def arguments() -> argparse.Namespace:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--lose",
        type=count(10**6),
        default=3,
        metavar="N",
        help="lose the N-th segment that carries data (0: none; default: 3)",
    )
    parser.add_argument(
        "--delay",
        type=seconds,
        default=0.01,
        metavar="S",
        help="seconds that a segment takes, on a clock that only this program sees (default: 0.01)",
    )
    return parser.parse_args()


def main() -> int:
    options = arguments()
    complete = play(from_seconds(options.delay), options.lose)
    print("\nEvery octet arrived, in order, once." if complete else "\nThe octets differ: that is a bug.")
    return 0 if complete else 1


if __name__ == "__main__":
    run(main)
