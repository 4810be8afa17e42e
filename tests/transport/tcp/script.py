"""A scripted peer: the test plays the other end of one connection, segment by segment, in virtual time.

Sequence numbers in scripts are relative, as tcpdump prints them: a side's SYN is 0, its first octet 1.
"""

import re
from collections import deque
from collections.abc import Hashable
from typing import Any

from attrs import define
from typing_extensions import Buffer

from pystack.transport.tcp import Segment, State, TCPConfig, TCPConnection
from pystack.transport.tcp.segment import ACK, FIN, SYN
from pystack.units import MS, SECOND, Ns
from pystack.wire.seq import unwrap, wrap

LETTERS = {"F": 1, "S": 2, "R": 4, "P": 8, ".": 16, "U": 32, "E": 64, "W": 128}

_EXPECTED = re.compile(
    r"(?P<flags>[FSRP.UEW]+(?=\s|$))?\s*(?:(?P<start>\d+)(?::(?P<end>\d+))?)?(?:\s*ack (?P<ack>\d+))?"
    r"(?:\s*win (?P<win>\d+))?(?:\s*urg (?P<urg>\d+))?$"
)


@define(frozen=True)
class Place:
    """Where a script runs: a pair of addresses, and where both sides begin to count."""

    local: Hashable
    remote: Hashable
    iss: int
    irs: int


PLACES = {
    "ipv4": Place(bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]), 1_000_000, 5_000_000),
    "ipv6-wrap": Place(bytes(15) + b"\1", bytes(15) + b"\2", 2**32 - 700, 2**32 - 300),
}


class Script:
    def __init__(self, place: Place) -> None:
        self.place = place
        self.now: Ns = 0
        self.sent: deque[tuple[Ns, Segment]] = deque()
        self.peer_seq = 0  # the peer's next sequence number, relative
        self.timestamps = False
        self.sack = False
        self.hold = False  # the link has no room: nothing is taken
        self.tso = 0
        self.tcp = self.make()

    def make(self, *, mss: int = 1000, **config: Any) -> TCPConnection:
        """A fresh connection under test; the clock goes on."""
        config.setdefault("timestamps", False)
        config.setdefault("sack", False)
        place = self.place
        self.peer_seq = 0
        self.sent.clear()
        self.tcp = TCPConnection(
            place.local, place.remote, 1024, 80, iss=place.iss, mss=mss, config=TCPConfig(**config), ts_offset=77
        )
        self.timestamps = bool(config["timestamps"])
        self.sack = bool(config["sack"])
        return self.tcp

    # The clock

    def advance(self, duration: Ns) -> None:
        """Let `duration` pass; every timer fires on time."""
        end = self.now + duration
        while (deadline := self.tcp.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.tcp.on_timer(self.now)
            self.drain()
        self.now = end
        self.drain()

    def wait(self) -> Ns:
        """Let time pass until something is sent, and say how long it took."""
        begin = self.now
        self.expect_nothing()
        for _ in range(100):
            if self.sent:
                return self.now - begin
            deadline = self.tcp.next_deadline()
            assert deadline is not None, "nothing is sent, and no timer is set"
            self.advance(deadline - self.now)
        raise AssertionError("timers fire, and nothing is sent")

    def drain(self) -> None:
        """Take what is ready, as bytes and back, as on a wire."""
        while not self.hold and self.tcp.has_output(self.now):
            segments = self.tcp.take_output(self.now, 64, self.tso)
            for segment in segments:
                wire = (segment.header_bytes(1024, 80), *segment.payload)
                parsed = Segment.from_bytes(wire, segment.gso_size)
                assert parsed.length == segment.length
                parsed.ecn = segment.ecn
                self.sent.append((self.now, parsed))

    # The peer sends

    def inject(
        self,
        flags: str = ".",
        *,
        seq: int | None = None,
        ack: int | None = None,
        data: bytes | int = b"",
        win: int = 65535,
        urg: int = 0,
        mss: int | None = None,
        wscale: int | None = None,
        ts: tuple[int, int] | None = None,
        ts_val: int | None = None,
        sack: tuple[tuple[int, int], ...] | list[tuple[int, int]] = (),
        sack_permitted: bool = False,
        ecn: int = 0,
    ) -> None:
        """One segment from the peer. Without `seq` it is the next in order; without `ack` it acknowledges everything
        that was sent to it; with timestamps on and no `ts` it carries its clock and echoes the last one. `sack`: blocks
        of our octets; `ecn`: the field of the IP header."""
        payload = bytes(data) if isinstance(data, int) else data
        bits = sum(LETTERS[letter] for letter in flags)
        start = self.peer_seq if seq is None else seq
        if seq is None:
            self.peer_seq += len(payload) + bool(bits & SYN) + bool(bits & FIN)
        if ts is None and self.timestamps:
            ts = (self.now // MS + 500 if ts_val is None else ts_val, self.echo)
        acknowledged = self.tcp.snd_nxt - self.place.iss if ack is None else ack
        segment = Segment(
            wrap(self.place.irs + start),
            wrap(self.place.iss + acknowledged) if bits & ACK else 0,
            bits,
            win,
            (payload,) if payload else (),
            len(payload),
            urgent=urg,
            mss=mss,
            window_scale=wscale,
            sack_permitted=sack_permitted,
            sack=tuple((wrap(self.place.iss + left), wrap(self.place.iss + right)) for left, right in sack),
        )
        if ts is not None:
            segment.ts_val, segment.ts_ecr = wrap(ts[0]), wrap(ts[1])
        parsed = Segment.from_bytes((segment.header_bytes(80, 1024) + payload,))
        parsed.ecn = ecn
        self.tcp.on_segment(parsed, self.now)
        self.drain()

    @property
    def echo(self) -> int:
        """The timestamp that the connection would send now."""
        return self.now // MS + 77

    # What the connection has sent

    def take(self) -> Segment:
        self.drain()
        assert self.sent, "nothing was sent"
        return self.sent.popleft()[1]

    def expect(self, *patterns: str) -> None:
        """Exactly these segments were sent, in this order: flags, sequence numbers, ack, window, each only where it is
        given. PSH matters only where flags are given."""
        self.drain()
        shown = [self.show(segment) for _, segment in self.sent]
        assert len(shown) == len(patterns), f"expected {patterns}, sent {shown}"
        for pattern, text in zip(patterns, shown, strict=True):
            self._match(pattern, self.sent.popleft()[1], text)

    def expect_nothing(self) -> None:
        self.expect()

    def expect_silence(self, duration: Ns) -> None:
        self.expect()
        self.advance(duration)
        self.expect()

    def show(self, segment: Segment) -> str:
        start = self.relative_seq(segment)
        flags = "".join(letter for letter, bit in LETTERS.items() if segment.flags & bit)
        text = f"{flags} {start}:{start + segment.length + bool(segment.flags & SYN) + bool(segment.flags & FIN)}"
        if segment.flags & ACK:
            text += f" ack {self.relative_ack(segment)}"
        return f"{text} win {segment.window}"

    def relative_seq(self, segment: Segment) -> int:
        return unwrap(segment.seq, self.tcp.snd_una) - self.place.iss

    def relative_ack(self, segment: Segment) -> int:
        return unwrap(segment.ack, self.tcp.rcv_nxt) - self.tcp.irs

    def _match(self, pattern: str, segment: Segment, text: str) -> None:
        match = _EXPECTED.match(pattern)
        assert match, f"cannot read the pattern {pattern!r}"
        wanted = match.groupdict()
        problem = f"expected {pattern!r}, sent {text!r}"
        if wanted["flags"] is not None:
            bits = sum(LETTERS[letter] for letter in wanted["flags"])
            mask = 0xFFF if "P" in wanted["flags"] else 0xFFF & ~8
            assert segment.flags & mask == bits, problem
        start = self.relative_seq(segment)
        if wanted["start"] is not None:
            assert start == int(wanted["start"]), problem
        if wanted["end"] is not None:
            end = start + segment.length + bool(segment.flags & SYN) + bool(segment.flags & FIN)
            assert end == int(wanted["end"]), problem
        if wanted["ack"] is not None:
            assert segment.flags & ACK, problem
            assert self.relative_ack(segment) == int(wanted["ack"]), problem
        if wanted["win"] is not None:
            assert segment.window == int(wanted["win"]), problem
        if wanted["urg"] is not None:
            assert segment.urgent == int(wanted["urg"]), problem

    # Shortcuts

    def send(self, data: Buffer | int) -> int:
        """The user sends; an `int`: so many octets that count up."""
        taken = self.tcp.send(pattern(data) if isinstance(data, int) else data, self.now)
        self.drain()
        return taken

    def recv(self, size: int = 1 << 24) -> bytes:
        data = self.tcp.recv(size, self.now)
        self.drain()
        return data

    def shutdown(self) -> None:
        self.tcp.shutdown(self.now)
        self.drain()

    def close(self) -> None:
        self.tcp.close(self.now)
        self.drain()

    def abort(self) -> None:
        self.tcp.abort(self.now)
        self.drain()

    def syn_sent(self, **config: object) -> None:
        self.make(**config)  # type: ignore[arg-type]
        self.tcp.connect(self.now)
        self.expect("S 0:1")

    def syn_received(self, *, peer_mss: int | None = 1000, win: int = 65535, **config: object) -> None:
        self.make(**config)  # type: ignore[arg-type]
        self.tcp.listen()
        self.inject("S", mss=peer_mss, win=win, **self._offers())  # type: ignore[arg-type]
        self.expect("S. 0:1 ack 1")

    def established(
        self,
        *,
        mss: int = 1000,
        peer_mss: int | None = None,
        app_sends: int = 0,
        passive: bool = False,
        win: int = 65535,
        rtt: Ns = 0,
        wscale: int | None = None,
        **config: Any,
    ) -> None:
        """A connection that is open, `app_sends` octets given to it. Without quick ACKs unless `config` has them."""
        config.setdefault("quick_acks", 0)
        self.make(mss=mss, **config)
        offers = self._offers(wscale)
        if passive:
            self.tcp.listen()
            self.inject("S", mss=peer_mss or mss, win=min(win, 65535), **offers)  # type: ignore[arg-type]
            self.expect("S. 0:1 ack 1")
            self.now += rtt
            self.inject(".", win=win >> (wscale or 0))
        else:
            self.tcp.connect(self.now)
            self.expect("S 0:1")
            self.now += rtt
            self.inject("S.", mss=peer_mss or mss, win=min(win, 65535), **offers)  # type: ignore[arg-type]
            self.expect(". 1:1 ack 1")
        assert self.tcp.state is State.ESTABLISHED
        if wscale is not None:
            self.inject(".", win=win >> wscale)
        if app_sends:
            self.send(app_sends)

    def _offers(self, wscale: int | None = None) -> dict[str, object]:
        offers: dict[str, object] = {}
        if wscale is not None:
            offers["wscale"] = wscale
        if self.sack:
            offers["sack_permitted"] = True
        return offers

    def reach(self, state: State) -> None:
        """Lead a fresh connection into `state`, by the shortest way, with nothing left to send."""
        if state is State.CLOSED:
            self.make()
        elif state is State.LISTEN:
            self.make()
            self.tcp.listen()
        elif state is State.SYN_SENT:
            self.syn_sent()
        elif state is State.SYN_RECEIVED:
            self.syn_received()
        else:
            self.established(passive=True)
            if state in (State.CLOSE_WAIT, State.LAST_ACK):
                self.inject("F.")
            if state in (State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSING, State.TIME_WAIT, State.LAST_ACK):
                self.shutdown()
            if state is State.CLOSING:
                self.inject("F.", ack=1)
            if state in (State.FIN_WAIT_2, State.TIME_WAIT):
                self.inject(".")
            if state is State.TIME_WAIT:
                self.inject("F.")
        self.drain()
        self.sent.clear()
        assert self.tcp.state is state


def pattern(size: int) -> bytes:
    """Octets in which every misplacement shows."""
    return b"".join(number.to_bytes(4, "big") for number in range((size + 3) // 4))[:size]


__all__ = ["LETTERS", "MS", "PLACES", "SECOND", "Place", "Script", "pattern"]
