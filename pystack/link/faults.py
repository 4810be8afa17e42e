"""A bad network around any link: loss, duplication, reordering, corruption, delay and a bottleneck, each direction.

What happens depends on nothing but the seed, the frames and the times at which they are sent: the same run twice gives
the same frames at the same times.
"""

import enum
from collections import Counter, deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Final, TypeAlias

from attrs import evolve, field, frozen
from attrs.validators import ge, gt, le, optional
from typing_extensions import override

from pystack.errors import DecodeError
from pystack.link.base import Frame, Link, LinkCapabilities, Medium
from pystack.link.normalise import ip_start, normalise
from pystack.link.wrapper import LinkWrapper
from pystack.units import MS, SECOND, Ns

__all__ = ["NO_FAULTS", "Corruption", "Fate", "FaultLink", "Faults", "Line", "flip_adjacent_bits", "scatter_bits"]

RETRY: Final = 1 * MS
"""When a link that refused frames is asked again, at the latest: its waker or its descriptor may speak earlier."""

_BATCH: Final = 256

Corruption: TypeAlias = Callable[[bytearray, Medium, Random], bool]
"""Damages a wire frame in place; whether it did."""


def flip_adjacent_bits(frame: bytearray, medium: Medium, rng: Random) -> bool:
    """Flip 1 to 8 adjacent bits behind the link header of an IP packet, which a 16-bit sum always catches.

    Other frames are left alone: ARP has no checksum that could tell.
    """
    if (start := ip_start(frame, medium)) is None or len(frame) <= start:
        return False
    bits = (len(frame) - start) * 8
    count = rng.randint(1, 8)
    first = rng.randrange(bits - count + 1)
    for bit in range(start * 8 + first, start * 8 + first + count):
        frame[bit >> 3] ^= 0x80 >> (bit & 7)
    return True


def scatter_bits(frame: bytearray, medium: Medium, rng: Random) -> bool:
    """Flip 1 to 8 bits anywhere, link header and ARP included. A checksum may miss it, so TCP may deliver it."""
    for bit in rng.sample(range(len(frame) * 8), min(rng.randint(1, 8), len(frame) * 8)):
        frame[bit >> 3] ^= 0x80 >> (bit & 7)
    return bool(frame)


class Fate(enum.Enum):
    """What becomes of one frame. A list of them is a network's misdeeds as data, which a property test can shrink."""

    DELIVER = enum.auto()
    LOSE = enum.auto()
    DUPLICATE = enum.auto()
    REORDER = enum.auto()
    CORRUPT = enum.auto()


_fraction = field(default=0.0, validator=[ge(0.0), le(1.0)])
_duration = field(default=0, validator=ge(0))


@frozen(kw_only=True)
class Faults:
    """What one direction of a link does to wire frames: by default nothing. Chances are fractions from 0 to 1."""

    loss: float = _fraction
    duplicate: float = _fraction
    reorder: float = _fraction
    """Chance that a frame is held back while later ones pass: see `reorder_gap` and `reorder_delay`."""
    corrupt: float = _fraction
    corruption: Corruption = flip_adjacent_bits
    delay: Ns = _duration
    """From one end to the other."""
    jitter: Ns = _duration
    """At most this much more delay, evenly distributed. A frame never overtakes another by jitter: it waits for it."""
    rate: int | None = field(default=None, validator=optional(gt(0)))
    """Octets per second, of frames with their link headers; None: no bottleneck."""
    queue: int = field(default=1000, validator=ge(0))
    """Frames that wait for the bottleneck at most, not counting the one in it; the next is dropped."""
    reorder_gap: int = field(default=3, validator=ge(1))
    """A frame held back goes on when this many later ones have passed..."""
    reorder_delay: Ns = field(default=10 * MS, validator=ge(0))
    """...and after this much more delay at the latest."""
    in_flight: int = field(default=16_384, validator=ge(1))
    """Frames under way at most, for whatever reason; the next is dropped."""
    fates: tuple[Fate, ...] = field(default=(), converter=tuple[Fate, ...])
    """What becomes of the first frames, one each; the chances rule those that follow."""


NO_FAULTS: Final = Faults()


class Line:
    """One direction: frames go in, meet their fate, and come out when they are due.

    `counters`: "frames" counts the wire frames that came in; "lost", "duplicated", "reordered" and "corrupted" what was
    done to them; "queue_full" those that a full bottleneck dropped, "line_full" those that too many under way did;
    "delivered" what came out. "malformed" frames have offload marks that do not fit, and never became wire frames.
    """

    def __init__(self, faults: Faults, medium: Medium, rng: Random) -> None:
        self.counters: Counter[str] = Counter()
        self._medium = medium
        self._rng = rng
        self._in_order: deque[tuple[Ns, Frame]] = deque()  # when due; never decreasing
        self._late: deque[tuple[Ns, int, Frame]] = deque()  # when due, or after how many frames in order
        self._entered = 0
        self._passed = 0  # of those that entered in order
        self._last_due: Ns = 0
        self._bottleneck_free: Ns = 0
        self._starts: deque[Ns] = deque()  # when each frame that waits will enter the bottleneck
        self.faults = faults

    @property
    def faults(self) -> Faults:
        """What it does from now on; new ones may be set at any time (a partition is `Faults(loss=1)`)."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = faults
        self._fates = iter(faults.fates)

    def __len__(self) -> int:
        """Frames under way."""
        return len(self._in_order) + len(self._late)

    def put(self, frame: Frame, now: Ns) -> None:
        """`frame` sets out. It is normalised first: each of its wire frames meets a fate of its own."""
        try:
            wire_frames = normalise(frame, self._medium)
        except DecodeError:
            self.counters["malformed"] += 1
            return
        self.counters["frames"] += len(wire_frames)
        for wire_frame in wire_frames:
            if (fate := next(self._fates, None)) is not None:
                self._meet(fate, wire_frame, now)
            else:
                self._chance(wire_frame, now)

    def take(self, limit: int, now: Ns) -> list[Frame]:
        """The frames that have come out by `now`, at most `limit`."""
        frames: list[Frame] = []
        if not self._in_order and not self._late:
            return frames
        while len(frames) < limit and (frame := self._next(now)) is not None:
            frames.append(frame)
        self.counters["delivered"] += len(frames)
        return frames

    def next_due(self) -> Ns | None:
        """When a frame comes out next."""
        if not self._late:
            return self._in_order[0][0] if self._in_order else None
        due, after, _ = self._late[0]
        if after <= self._passed:
            return 0  # what it waited for has passed
        return min(due, self._in_order[0][0]) if self._in_order else due

    def clear(self) -> None:
        """Forget what is under way."""
        self._in_order.clear()
        self._late.clear()

    def _meet(self, fate: Fate, frame: Frame, now: Ns) -> None:
        if fate is Fate.LOSE:
            self.counters["lost"] += 1
            return
        if fate is Fate.DUPLICATE:
            self.counters["duplicated"] += 1
            self._enter(frame, now)
        if fate is Fate.CORRUPT:
            frame = self._corrupted(frame)
        self._enter(frame, now, late=fate is Fate.REORDER)

    def _chance(self, frame: Frame, now: Ns) -> None:
        faults = self._faults
        if self._strikes(faults.loss):
            self.counters["lost"] += 1
            return
        copies = 1
        if self._strikes(faults.duplicate):
            self.counters["duplicated"] += 1
            copies = 2
        for _ in range(copies):  # each may be damaged or late by itself
            copy = self._corrupted(frame) if self._strikes(faults.corrupt) else frame
            self._enter(copy, now, late=self._strikes(faults.reorder))

    def _strikes(self, chance: float) -> bool:
        return chance > 0 and self._rng.random() < chance

    def _corrupted(self, frame: Frame) -> Frame:
        octets = bytearray(frame.to_bytes())
        if not self._faults.corruption(octets, self._medium, self._rng):
            return frame
        self.counters["corrupted"] += 1
        return Frame((bytes(octets),))

    def _enter(self, frame: Frame, now: Ns, *, late: bool = False) -> None:
        faults = self._faults
        if len(self) >= faults.in_flight:
            self.counters["line_full"] += 1
            return
        if (sent := self._sent(len(frame), now)) is None:
            self.counters["queue_full"] += 1
            return
        due = sent + faults.delay + (self._rng.randrange(faults.jitter + 1) if faults.jitter else 0)
        self._last_due = due = max(due, self._last_due)
        if late:
            self.counters["reordered"] += 1
            self._late.append((due + faults.reorder_delay, self._entered + faults.reorder_gap, frame))
        else:
            self._entered += 1
            self._in_order.append((due, frame))

    def _sent(self, octets: int, now: Ns) -> Ns | None:
        """When the last of `octets` is through the bottleneck; None: its queue is full."""
        if self._faults.rate is None:
            return now
        starts = self._starts
        while starts and starts[0] <= now:
            starts.popleft()
        if len(starts) >= self._faults.queue and self._bottleneck_free > now:
            return None
        start = max(now, self._bottleneck_free)
        starts.append(start)
        self._bottleneck_free = start + -(-octets * SECOND // self._faults.rate)
        return self._bottleneck_free

    def _next(self, now: Ns) -> Frame | None:
        in_order, late = self._in_order, self._late
        if late:
            due, after, frame = late[0]
            if after <= self._passed or (due <= now and not (in_order and in_order[0][0] < due)):
                late.popleft()
                return frame
        if in_order and in_order[0][0] <= now:
            self._passed += 1
            return in_order.popleft()[1]
        return None


class FaultLink(LinkWrapper):
    """Any link as a bad network would have it; `outbound` and `inbound` are its two lines.

    What it hands on is complete: checksums are finished, super-segments cut and marks taken off before a fate is met.
    The inner link has nothing left to do, and `rx_checksum` is not claimed.

    Frames delayed on their way out are handed to the inner link by the first `send` or `receive` at or after
    `next_arrival`, which covers both directions. What the inner link refuses waits here, within the bounds of
    `Faults.in_flight`, and is offered again at each call; until it is gone, `send` takes nothing. Closing loses what is
    under way.
    """

    def __init__(self, inner: Link, *, seed: int, outbound: Faults = NO_FAULTS, inbound: Faults = NO_FAULTS) -> None:
        super().__init__(inner)
        self._capabilities = evolve(inner.capabilities, rx_checksum=False)
        medium = self._capabilities.medium
        self.outbound = Line(outbound, medium, Random(f"{seed} outbound"))
        self.inbound = Line(inbound, medium, Random(f"{seed} inbound"))
        self._backlog: list[Frame] = []  # due, and refused by the inner link
        self._retry: Ns = 0

    @property
    @override
    def capabilities(self) -> LinkCapabilities:
        return self._capabilities

    def send(self, frames: Sequence[Frame], now: Ns) -> int:
        """All of `frames`, or none while the inner link refuses earlier ones."""
        self._hand_on(now)
        if self._backlog:
            return 0
        for frame in frames:
            self.outbound.put(frame, now)
        self._hand_on(now)
        return len(frames)

    def receive(self, budget: int, now: Ns) -> Sequence[Frame]:
        """What has come through by `now`. The inner link is asked only for what those already due leave room for."""
        self._hand_on(now)
        frames = self.inbound.take(budget, now)
        if len(frames) < budget and (arrived := self.inner.receive(budget - len(frames), now)):
            for frame in arrived:
                self.inbound.put(frame, now)
            frames += self.inbound.take(budget - len(frames), now)
        return frames

    @override
    def next_arrival(self) -> Ns | None:
        outbound = self._retry if self._backlog else self.outbound.next_due()
        earliest = self.inner.next_arrival()
        for time in (outbound, self.inbound.next_due()):
            if time is not None and (earliest is None or time < earliest):
                earliest = time
        return earliest

    @override
    def close(self) -> None:
        self.outbound.clear()
        self.inbound.clear()
        self._backlog = []
        super().close()

    def _hand_on(self, now: Ns) -> None:
        """Give the inner link what is due, until it refuses."""
        while self._backlog or (self.outbound and self._refill(now)):
            del self._backlog[: self.inner.send(self._backlog, now)]
            if self._backlog:
                self._retry = now + RETRY
                return

    def _refill(self, now: Ns) -> bool:
        self._backlog = self.outbound.take(_BATCH, now)
        return bool(self._backlog)
