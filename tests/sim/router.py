"""A router amid a cable, on which not all goes well: a narrow link behind it, congestion marks, forged ICMP errors and
SYNs from nowhere."""

from collections import Counter
from collections.abc import Sequence
from random import Random

from attrs import frozen
from typing_extensions import override

from pystack import wire
from pystack.link.base import Frame, Link, Medium
from pystack.link.normalise import ip_start, normalise
from pystack.link.wrapper import LinkWrapper
from pystack.units import Ns
from pystack.wire.packet import build

__all__ = ["ALL_IS_WELL", "Flood", "Narrowing", "Router", "Weather"]

DF = 0x4000
CE = 3
UNREACHABLE, FRAGMENTATION_NEEDED = 3, 4
TOO_BIG, UNREACHABLE_6 = 2, 1
STRANGERS = {4: "192.0.2.77", 6: "2001:db8::77"}
"""On the cable, but not there."""


@frozen
class Narrowing:
    """From `start` on, packets larger than `mtu` do not get through; for `silence` nobody says so."""

    start: Ns
    mtu: int
    silence: Ns = 0
    tells: bool = True
    """The ICMP error names the MTU (RFC 1191 section 4); older routers leave it at 0."""


@frozen
class Flood:
    """`count` SYNs that nobody will finish, `gap` apart."""

    count: int
    gap: Ns
    port: int


@frozen(kw_only=True)
class Weather:
    narrowing: Narrowing | None = None
    marks: float = 0.0
    """Chance that a packet of an ECN-capable transport is marked (RFC 3168 section 5)."""
    lies: float = 0.0
    """Chance that somebody who sees a packet sends its sender a hard ICMP error that quotes it with a wrong sequence
    number (RFC 5927 section 4.1)."""
    grumbles: float = 0.0
    """Chance of a soft ICMP error that is right about the packet: no route for the moment."""
    flood: Flood | None = None


ALL_IS_WELL = Weather()


class Router(LinkWrapper):
    """What `send` takes goes the way there, what `receive` gives came the way back."""

    def __init__(self, inner: Link, weather: Weather, rng: Random, victim: str) -> None:
        """`weather` may change; `victim`: whom the flood is for, at the far end."""
        super().__init__(inner)
        self.counters: Counter[str] = Counter()
        self.weather = weather
        self._rng = rng
        self._medium = inner.capabilities.medium
        self._victim = victim
        self._for_near: list[Frame] = []
        self._flooded = 0

    def send(self, frames: Sequence[Frame], now: Ns) -> int:
        passed, answers = self._route(frames, now)
        self._for_near += answers
        self.inner.send(self._flood(now) + passed, now)  # what it has no room for is lost, as in any router
        return len(frames)

    def receive(self, budget: int, now: Ns) -> Sequence[Frame]:
        passed, answers = self._route(self.inner.receive(budget, now), now)
        if answers or self.weather.flood:
            self.inner.send(self._flood(now) + answers, now)
        frames, self._for_near = self._for_near + passed, []
        return frames

    @override
    def next_arrival(self) -> Ns | None:
        if self._for_near:
            return 0
        flood, arrival = self.weather.flood, self.inner.next_arrival()
        if flood is None or self._flooded == flood.count:
            return arrival
        due = self._flooded * flood.gap
        return due if arrival is None else min(arrival, due)

    def _route(self, frames: Sequence[Frame], now: Ns) -> tuple[list[Frame], list[Frame]]:
        """What goes on, and what goes back."""
        passed: list[Frame] = []
        answers: list[Frame] = []
        for each in frames:
            for frame in normalise(each, self._medium):
                octets = bytearray(frame.to_bytes())
                start = ip_start(octets, self._medium)
                if start is None or not _is_sound(octets, start):
                    passed.append(frame)
                    continue
                answers += self._forgeries(octets, start)
                if self._is_too_big(octets, start, now):
                    answers += self._too_big(octets, start, now)
                else:
                    passed.append(Frame((bytes(octets),)) if self._mark(octets, start) else frame)
        return passed, answers

    def _is_too_big(self, octets: bytearray, start: int, now: Ns) -> bool:
        narrowing = self.weather.narrowing
        return narrowing is not None and now >= narrowing.start and len(octets) - start > narrowing.mtu

    def _too_big(self, octets: bytearray, start: int, now: Ns) -> list[Frame]:
        narrowing = self.weather.narrowing
        assert narrowing is not None
        self.counters["too_big"] += 1
        if now < narrowing.start + narrowing.silence:
            return []
        mtu = narrowing.mtu if narrowing.tells else 0
        if octets[start] >> 4 == 4:
            assert int.from_bytes(octets[start + 6 : start + 8], "big") & DF
            return [self._error(octets, start, UNREACHABLE, FRAGMENTATION_NEEDED, mtu)]
        return [self._error(octets, start, TOO_BIG, 0, narrowing.mtu)]

    def _forgeries(self, octets: bytearray, start: int) -> list[Frame]:
        answers: list[Frame] = []
        if not _carries_tcp(octets, start):
            return answers
        if self._strikes(self.weather.lies):
            self.counters["lies"] += 1
            forged = bytearray(octets)
            seq = start + _header_octets(octets, start) + 4
            forged[seq : seq + 4] = self._rng.randrange(1 << 32).to_bytes(4, "big")
            code = self._rng.choice((2, 3)) if octets[start] >> 4 == 4 else 4
            answers.append(self._unreachable(forged, start, code))
        if self._strikes(self.weather.grumbles):
            self.counters["grumbles"] += 1
            answers.append(self._unreachable(octets, start, 0))
        return answers

    def _unreachable(self, octets: bytearray, start: int, code: int) -> Frame:
        return self._error(octets, start, UNREACHABLE if octets[start] >> 4 == 4 else UNREACHABLE_6, code, 0)

    def _error(self, octets: bytearray, start: int, kind: int, code: int, rest: int) -> Frame:
        """An ICMP error about the packet, to its sender, in the name of its destination."""
        quote = bytes(octets[start:][: _header_octets(octets, start) + self._rng.choice((8, 40, 500))])
        packet = octets[start:]
        if packet[0] >> 4 == 4:
            v4 = wire.IPv4Header.from_bytes(packet)
            answer = build(wire.IPv4Header(v4.dst, v4.src), wire.ICMPv4Message(kind, code, rest, quote))
        else:
            v6 = wire.IPv6Header.from_bytes(packet)
            answer = build(wire.IPv6Header(v6.dst, v6.src), wire.ICMPv6Message(kind, code, rest, quote))
        return self._frame(octets, start, answer)

    def _frame(self, octets: bytearray, start: int, packet: bytes) -> Frame:
        link_header = bytes(octets[6:12] + octets[:6] + octets[12:14]) if self._medium is Medium.ETHERNET else b""
        return Frame((link_header + packet,))

    def _mark(self, octets: bytearray, start: int) -> bool:
        """CE, where the packet may be marked and chance has it."""
        if not self.weather.marks:
            return False
        version = octets[start] >> 4
        ecn = octets[start + 1] & 3 if version == 4 else octets[start + 1] >> 4 & 3
        if not ecn or not self._strikes(self.weather.marks):
            return False
        self.counters["marked"] += 1
        if version == 4:
            octets[start + 1] |= CE
            octets[start + 10 : start + 12] = bytes(2)
            header = octets[start : start + _header_octets(octets, start)]
            octets[start + 10 : start + 12] = wire.internet_checksum(header).to_bytes(2, "big")
        else:
            octets[start + 1] |= CE << 4
        return True

    def _flood(self, now: Ns) -> list[Frame]:
        """The SYNs that are due. Only without link headers: an Ethernet would ask for the stranger's address first."""
        flood, frames = self.weather.flood, []
        while flood is not None and self._flooded < flood.count and self._flooded * flood.gap <= now:
            version = 6 if ":" in self._victim else 4
            kind = wire.IPv4Header if version == 4 else wire.IPv6Header
            header = kind(src=STRANGERS[version], dst=self._victim)
            syn = wire.TCPHeader(1024 + self._flooded, flood.port, 7, 0, wire.TCPFlags.SYN, 1000)
            frames.append(Frame((build(header, syn, b""),)))
            self._flooded += 1
        return frames

    def _strikes(self, chance: float) -> bool:
        return chance > 0 and self._rng.random() < chance


def _is_sound(octets: bytearray, start: int) -> bool:
    """Whether a router would forward it: the header of IPv4 must be whole. That of IPv6 is not protected."""
    if octets[start] >> 4 == 6:
        return len(octets) >= start + 40
    header = octets[start : start + _header_octets(octets, start)]
    return octets[start] >> 4 == 4 and len(header) >= 20 and wire.internet_checksum(header) == 0


def _header_octets(octets: bytearray, start: int) -> int:
    return (octets[start] & 15) * 4 if octets[start] >> 4 == 4 else 40


def _carries_tcp(octets: bytearray, start: int) -> bool:
    return octets[start + (9 if octets[start] >> 4 == 4 else 6)] == 6
