"""CUBIC and HyStart++ against a second writing of RFC 9438 and RFC 9406: floating point, segments and seconds, from the
text alone. Both see the same random sessions; their windows must stay together."""

import math
import random
from dataclasses import dataclass, replace

import pytest

from pystack.transport.tcp.congestion import Cubic
from pystack.transport.tcp.congestion.base import INFINITE
from pystack.units import MS, SECOND, Ns

BETA = 0.7
C = 0.4
ALPHA = 3 * (1 - BETA) / (1 + BETA)


@dataclass
class Model:
    """RFC 9438, section 4. Windows in segments, times in seconds."""

    cwnd: float
    ssthresh: float = math.inf
    cwnd_prior: float = 0.0
    w_max: float | None = None  # undefined
    k: float = 0.0
    t_epoch: float | None = None
    w_est: float = 0.0
    alpha: float = ALPHA
    rtt: float = 0.0
    last: float = 0.0

    def acked(self, segments: float, rtt: float, now: float) -> None:
        """A new ACK outside recovery of a sender that fills its window."""
        self.rtt = rtt if not self.rtt else self.rtt + (rtt - self.rtt) / 8
        if self.cwnd < self.ssthresh:  # RFC 5681: at equality either will do
            grown = min(self.cwnd + segments, self.ssthresh)
            segments -= grown - self.cwnd
            self.cwnd = grown
            if segments < 1e-9:
                return
        if self.t_epoch is None:
            self.begin(now)
        elif now - self.last > max(self.rtt, rtt) + 1e-9:  # 4.2, 5.8: time without growth because of the application
            self.t_epoch += now - self.last
        self.last = now
        assert self.t_epoch is not None
        if self.w_est >= self.cwnd_prior:  # 4.3
            self.alpha = 1.0
        self.w_est += self.alpha * segments / self.cwnd  # figure 4
        t = now - self.t_epoch
        if self.w_cubic(t) < self.w_est:
            self.cwnd = max(self.cwnd, self.w_est)  # an acknowledgement takes nothing away
            return
        target = min(max(self.w_cubic(t + self.rtt), self.cwnd), 1.5 * self.cwnd)  # 4.2
        self.cwnd += (target - self.cwnd) / self.cwnd * segments  # 4.4, 4.5

    def begin(self, now: float) -> None:
        self.t_epoch = now
        if self.w_max is None or self.w_max <= self.cwnd:  # 4.8, 4.10
            self.w_max, self.k = self.cwnd, 0.0
        else:
            self.k = ((self.w_max - self.cwnd) / C) ** (1 / 3)  # figure 2
        self.w_est = self.cwnd
        self.alpha = ALPHA

    def w_cubic(self, t: float) -> float:
        assert self.w_max is not None
        return C * (t - self.k) ** 3 + self.w_max  # figure 1

    def reduce(self, floor: float) -> None:
        """Figure 5, after fast convergence (4.7)."""
        self.w_max = self.cwnd * (1 + BETA) / 2 if self.w_max is not None and self.cwnd < self.w_max else self.cwnd
        reduced = self.cwnd * BETA
        self.cwnd_prior = self.cwnd
        self.cwnd = max(reduced, floor)
        self.ssthresh = max(reduced, 2.0)
        self.t_epoch = None

    def timeout(self) -> None:
        """4.8."""
        self.reduce(1.0)
        self.cwnd = 1.0
        self.w_max = None

    def restore(self, before: "Model") -> None:
        """4.9.2."""
        if self.cwnd < self.cwnd_prior - 1e-9:
            rtt, last = self.rtt, self.last
            self.__dict__.update(before.__dict__)
            self.rtt, self.last = rtt, last


class Session:
    """The same life for both."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.mss = self.random.choice((536, 1000, 1448, 8948))
        start = self.random.randint(2, 400)
        self.ours = Cubic(self.mss, 10 * self.mss)
        self.ours.cwnd = start * self.mss
        self.ours.ssthresh = self.random.choice((2, start, start + 50)) * self.mss
        self.model = Model(float(start), self.ours.ssthresh / self.mss)
        self.base = self.random.choice((1, 5, 20, 100, 300)) * MS
        self.now: Ns = 0

    def check(self) -> None:
        assert self.ours.cwnd / self.mss == pytest.approx(self.model.cwnd, rel=0.002, abs=0.05)
        assert self.ours.ssthresh / self.mss == pytest.approx(self.model.ssthresh, rel=0.002, abs=0.05)

    def settle(self) -> None:
        """Where rounding decides a comparison, both go on from the same numbers."""
        model, ours, mss = self.model, self.ours, self.mss
        plateau = model.w_max or 0.0
        for one, other in ((model.cwnd, plateau), (model.w_est, model.cwnd_prior), (model.cwnd, model.cwnd_prior)):
            if abs(one - other) < 0.005 * other + 0.05:
                model.cwnd, model.ssthresh, model.cwnd_prior = (
                    ours.cwnd / mss,
                    ours.ssthresh / mss,
                    ours._cwnd_prior / mss,
                )
                model.w_est, model.w_max = ours._w_est / mss, ours._w_max / mss or None

    def acknowledge(self, rounds: int) -> None:
        for _ in range(rounds):
            rtt = self.base + self.random.randrange(self.base)
            left = self.ours.cwnd
            pieces = self.random.choice((1, 2, 3, 10))
            each = max(left // pieces, 1)
            while left > 0:
                octets = min(each, left)
                self.now += rtt * octets // self.ours.cwnd
                self.settle()
                self.ours.on_ack(octets, rtt, self.now)
                self.model.acked(octets / self.mss, rtt / SECOND, self.now / SECOND)
                left -= octets
                self.check()
            if self.ours.cwnd > 20_000 * self.mss:
                return

    def step(self) -> None:
        kind = self.random.choice(("acks", "acks", "acks", "loss", "ecn", "timeout", "pause", "undo"))
        self.settle()
        flight = self.ours.cwnd * self.random.choice((10, 10, 10, 8, 3)) // 10
        if kind == "acks":
            self.acknowledge(self.random.choice((1, 5, 40)))
        elif kind == "pause":
            self.now += self.random.randrange(1, 30) * SECOND
        elif kind == "loss":
            self.ours.on_loss(flight, self.now)
            self.ours.cwnd = self.ours.ssthresh  # PRR leaves it there
            self.model.reduce(2.0)
        elif kind == "ecn":
            self.ours.on_ecn(flight, self.now)
            self.model.reduce(1.0)
        elif kind == "timeout":
            self.ours.on_timeout(flight, True, self.now)
            self.model.timeout()
        else:
            state, before = self.ours.snapshot(), replace(self.model)
            self.ours.on_loss(flight, self.now)
            self.model.reduce(2.0)
            self.ours.on_undo(state, self.now)
            self.model.restore(before)
            self.model.last = self.now / SECOND
        self.check()


@pytest.mark.parametrize("seed", range(60))
def test_both_windows_stay_together(seed: int) -> None:
    session = Session(seed)
    for _ in range(25):
        session.step()


@dataclass
class SlowStart:
    """RFC 9406, section 4.2, with L = infinity: octets, nanoseconds, sequence numbers."""

    cwnd: int
    una: int = 0
    nxt: int = 0
    window_end: int = 0
    last_round: float = math.inf
    current_round: float = math.inf
    samples: int = 0
    baseline: float = math.inf
    conservative: bool = False
    css_rounds: int = 0
    owed: int = 0
    ssthresh: float = math.inf

    def send(self) -> None:
        """Whatever the window lets."""
        self.nxt = self.una + self.cwnd

    def acked(self, octets: int, rtt: int) -> None:
        self.una += octets
        if self.conservative:
            self.owed += octets
            self.cwnd += self.owed // 4
            self.owed %= 4
        else:
            self.cwnd += octets
        self.current_round = min(self.current_round, rtt)
        self.samples += 1
        if self.samples >= 8:
            self.judge()
        if self.una >= self.window_end:
            self.window_end = self.nxt
            self.last_round, self.current_round, self.samples = self.current_round, math.inf, 0
            if self.conservative:
                self.css_rounds += 1
                if self.css_rounds == 5:
                    self.ssthresh = self.cwnd
        self.send()

    def judge(self) -> None:
        if self.conservative:
            if self.current_round < self.baseline:
                self.conservative = False
        elif self.last_round < math.inf:
            threshold = max(4 * MS, min(self.last_round / 8, 16 * MS))
            if self.current_round >= self.last_round + threshold:
                self.baseline, self.conservative = self.current_round, True
                self.css_rounds = self.owed = 0


@pytest.mark.parametrize("seed", range(30))
def test_slow_start_ends_where_the_second_writing_ends_it(seed: int) -> None:
    source = random.Random(seed)
    base = source.choice((2, 10, 40, 100, 300)) * MS
    ours, model = Cubic(1000, 10_000), SlowStart(10_000)
    model.send()
    model.window_end = model.nxt
    queue, now = 0, 0
    while model.ssthresh == math.inf and model.cwnd < 1 << 30:
        if source.random() < 0.02:
            queue = source.randrange(base)
        octets = min(source.choice((1000, 1000, 2000, 3000, max(1000, model.cwnd // 20))), model.cwnd)
        rtt = base + queue + source.randrange(base // 16)
        now += MS
        ours.on_ack(octets, rtt, now)
        model.acked(octets, rtt)
        assert ours.cwnd == model.cwnd
    assert ours.ssthresh == (INFINITE if model.ssthresh == math.inf else model.ssthresh)
