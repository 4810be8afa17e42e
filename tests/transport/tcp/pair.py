"""Two connections joined by a network that misbehaves on request, in virtual time."""

import heapq
from collections.abc import Callable, Iterable
from enum import Enum
from itertools import repeat

from pystack.transport.tcp import TRANSITIONS, Got, Segment, State, TCPConfig, TCPConnection
from pystack.transport.tcp.segment import ACK, RST, SYN
from pystack.units import MS, Ns
from pystack.wire.seq import unwrap
from tests.transport.tcp.script import Place


class Fate(Enum):
    """What the network does to one segment. A corrupted one fails its checksum, so it is a lost one."""

    DELIVER = "deliver"
    LOSE = "lose"
    DUPLICATE = "duplicate"
    DELAY = "delay"


class Watched(TCPConnection):
    """Remembers the moves that it made."""

    moves: list[tuple[State, Got]]

    def _move(self, got: Got) -> None:
        self.moves.append((self.state, got))
        super()._move(got)


class End:
    """One connection, its user, and what must hold at all times."""

    def __init__(self, connection: Watched, port: int, peer_port: int) -> None:
        self.tcp = connection
        self.ports = port, peer_port
        self.to_send = memoryview(b"")
        self.shutdown_after = False
        self.received = bytearray()
        self.reads = True
        self.edge = 0
        self.shrinks = False
        """The user made the receive buffer smaller than what was promised."""
        self._una = connection.snd_una
        self._state = connection.state
        connection.moves = []

    def work(self, now: Ns) -> None:
        """The user: sends what it has, reads what there is, says goodbye."""
        tcp = self.tcp
        if self.to_send and tcp.state in (State.ESTABLISHED, State.CLOSE_WAIT):
            self.to_send = self.to_send[tcp.send(self.to_send, now) :]
        if self.shutdown_after and not self.to_send and tcp.state in (State.ESTABLISHED, State.CLOSE_WAIT):
            tcp.shutdown(now)
        if self.reads and tcp.readable:
            self.received += tcp.recv(1 << 20, now)

    def take(self, now: Ns, limit: int = 64, tso: int = 0) -> list[bytes]:
        frames = []
        for segment in self.tcp.take_output(now, limit, tso):
            self._check_output(segment)
            frames.append(segment.header_bytes(*self.ports) + b"".join(segment.payload))
        self.check()
        return frames

    def deliver(self, frame: bytes, now: Ns, ecn: int = 0) -> None:
        segment = Segment.from_bytes((frame,))
        segment.ecn = ecn
        self.take_segment(segment, now)

    def take_segment(self, segment: Segment, now: Ns) -> None:
        self.tcp.on_segment(segment, now)
        self.check()

    def _check_output(self, segment: Segment) -> None:
        """The right window edge that the peer sees never retreats, as long as the peer may send."""
        tcp = self.tcp
        if segment.flags & ACK and not segment.flags & RST and not tcp.eof:
            shift = 0 if segment.flags & SYN else tcp.info().rcv_scale
            edge = unwrap(segment.ack, tcp.rcv_nxt) + (segment.window << shift)
            if not segment.flags & SYN:  # sent again, a SYN cannot say a scaled window
                rounding = (1 << shift) - 1 if self.shrinks else 0  # RFC 7323 section 2.4
                assert edge >= self.edge - rounding, "the right edge retreats"
            self.edge = max(self.edge, edge)

    def check(self) -> None:
        """RFC 9293's invariants."""
        tcp = self.tcp
        assert tcp.iss <= tcp.snd_una <= tcp.snd_nxt
        assert tcp.snd_una >= self._una
        self._una = tcp.snd_una
        for old, got in tcp.moves:
            assert old is self._state
            self._state = TRANSITIONS[old, got]
        assert tcp.state is self._state, "a move that is not in the table"
        tcp.moves.clear()
        assert tcp.send_space >= 0
        info = tcp.info()
        assert 0 <= info.in_flight <= tcp.snd_nxt - tcp.snd_una
        assert info.cwnd >= info.snd_mss or tcp.snd_una == tcp.iss


class Pair:
    """`a` opens to `b`. `fates` are used up in the order in which segments are sent, then all are delivered."""

    def __init__(
        self,
        place: Place,
        *,
        fates: Iterable[Fate] = (),
        delay: Ns = 10 * MS,
        jitter: Callable[[], Ns] = lambda: 0,
        mss: int = 1460,
        a: TCPConfig | None = None,
        b: TCPConfig | None = None,
    ) -> None:
        local, remote = place.local, place.remote
        self.a = End(Watched(local, remote, 1, 2, iss=place.iss, mss=mss, config=a, ts_offset=2**32 - 5), 1, 2)
        self.b = End(Watched(remote, local, 2, 1, iss=place.irs, mss=mss, config=b, ts_offset=99), 2, 1)
        self.ends = (self.a, self.b)
        self.now: Ns = 0
        self.fates = iter(fates)
        self.delay = delay
        self.jitter = jitter
        self.wire: list[tuple[Ns, int, End, bytes]] = []
        self.count = 0
        self.trace: list[bytes] = []

    def open(self) -> None:
        self.b.tcp.listen()
        self.a.tcp.connect(self.now)

    def other(self, end: End) -> End:
        return self.b if end is self.a else self.a

    def carry(self, end: End, frame: bytes) -> None:
        fate = next(self.fates, Fate.DELIVER)
        self.trace.append(frame)
        copies = {Fate.LOSE: 0, Fate.DUPLICATE: 2}.get(fate, 1)
        late = 3 * self.delay if fate is Fate.DELAY else 0
        for _ in range(copies):
            self.count += 1
            when = self.now + self.delay + self.jitter() + late
            heapq.heappush(self.wire, (when, self.count, self.other(end), frame))

    def turn(self) -> bool:
        """Everything that happens at the next instant. False: nothing will ever happen again."""
        for end in self.ends:
            end.work(self.now)
            while end.tcp.has_output(self.now):
                for frame in end.take(self.now):
                    self.carry(end, frame)
        times = [deadline for end in self.ends if (deadline := end.tcp.next_deadline()) is not None]
        if self.wire:
            times.append(self.wire[0][0])
        if not times:
            return False
        self.now = max(self.now, min(times))
        while self.wire and self.wire[0][0] <= self.now:
            _, _, end, frame = heapq.heappop(self.wire)
            end.deliver(frame, self.now)
        for end in self.ends:
            end.tcp.on_timer(self.now)
            end.check()
        return True

    def run(self, turns: int = 100_000) -> None:
        """Until nothing is left to happen."""
        for _ in range(turns):
            if not self.turn():
                return
        raise AssertionError(f"no end in sight: {self.a.tcp} {self.b.tcp}")


def random_fates(random_value: Callable[[], float], loss: float, duplicate: float, late: float) -> Iterable[Fate]:
    for _ in repeat(None):
        value = random_value()
        if value < loss:
            yield Fate.LOSE
        elif value < loss + duplicate:
            yield Fate.DUPLICATE
        elif value < loss + duplicate + late:
            yield Fate.DELAY
        else:
            yield Fate.DELIVER
