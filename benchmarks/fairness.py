"""Flows that share a bottleneck, in virtual time: the figures of docs/congestion.md, made anew by this one command.

Same code, same files: nothing here depends on the machine, its clock or its load. `--plots DIRECTORY` draws them
elsewhere than in docs/plots. Needs matplotlib (`pip install pystack-tcpip[plots]`).
"""

import argparse
import re
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from attrs import define, field, frozen

from pystack.sim.bulk import Bottleneck, BulkFlow
from pystack.units import MS, SECOND, Ns, to_seconds

DOCS = Path(__file__).parent.parent / "docs"

RATE = 20_000_000 // 8
RTT: Ns = 50 * MS
PACKET = 1500
BDP = RATE * RTT // SECOND // PACKET
INTERVAL: Ns = 200 * MS
DURATION: Ns = 60 * SECOND
SMOOTH = 5
"""Intervals over which goodput is averaged."""


@frozen
class Start:
    """A flow that begins at `at`."""

    congestion: str
    at: Ns = 0


@frozen
class Picture:
    name: str
    title: str
    starts: Sequence[Start]


PICTURES = (
    Picture("cubic-cubic", "A second CUBIC flow begins after 10 s", (Start("cubic"), Start("cubic", 10 * SECOND))),
    Picture("cubic-newreno", "CUBIC and NewReno begin together", (Start("cubic"), Start("newreno"))),
)


@define
class Series:
    """What one flow did, one sample per interval. Windows in segments, times in seconds, round trips in ms."""

    label: str
    flow: BulkFlow
    time: list[float] = field(factory=list)
    cwnd: list[float] = field(factory=list)
    rtt: list[float] = field(factory=list)
    received: list[int] = field(factory=list)

    def sample(self, now: Ns) -> None:
        info = self.flow.near.info()
        self.time.append(to_seconds(now))
        self.cwnd.append(info.cwnd / info.snd_mss)
        self.rtt.append((info.srtt or 0) / MS)
        self.received.append(self.flow.received)

    def goodput(self) -> list[float]:
        """Mbit/s, averaged over the last second."""
        earlier = [0] * SMOOTH + self.received
        octets = [after - before for before, after in zip(earlier, self.received, strict=False)]
        return [each * 8 / to_seconds(SMOOTH * INTERVAL) / 1e6 for each in octets]


def measure(starts: Sequence[Start]) -> list[Series]:
    path = Bottleneck(1, rate=RATE, rtt=RTT, queue=BDP)
    series: list[Series] = []
    waiting = sorted(starts, key=lambda start: start.at)
    for now in range(0, DURATION, INTERVAL):
        while waiting and waiting[0].at <= now:
            start = waiting.pop(0)
            series.append(Series(f"{len(series) + 1}: {start.congestion}", path.start(start.congestion)))
        path.run(now + INTERVAL - path.sim.now)
        for each in series:
            each.sample(path.sim.now)
    return series


def draw(picture: Picture, directory: Path) -> Path:
    """Congestion window, round trip and goodput, one below the other."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "pystack", "svg.fonttype": "none"})  # the same file from the same figures
    from matplotlib import pyplot

    series = measure(picture.starts)
    figure, (cwnd, rtt, goodput) = pyplot.subplots(3, 1, sharex=True, figsize=(6.4, 6.4), layout="constrained")
    for each in series:
        cwnd.plot(each.time, each.cwnd, label=each.label, linewidth=1)
        rtt.plot(each.time, each.rtt, linewidth=1)
        goodput.plot(each.time, each.goodput(), linewidth=1)
    cwnd.set_title(picture.title, fontsize="medium")
    cwnd.set_ylabel("cwnd, segments")
    cwnd.legend(loc="upper right", fontsize="small")
    rtt.set_ylabel("smoothed RTT, ms")
    goodput.set_ylabel("goodput, Mbit/s")
    goodput.set_xlabel("s")
    for axes in (cwnd, rtt, goodput):
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{picture.name}.svg"
    drawn = StringIO()
    figure.savefig(drawn, metadata={"Date": None})
    pyplot.close(figure)
    file.write_text(re.sub(r"(\.\d\d)\d+", r"\1", drawn.getvalue()))  # a hundredth of a point is fine enough
    return file


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plots", type=Path, default=DOCS / "plots", metavar="DIRECTORY", help="where to draw them")
    arguments = parser.parse_args()
    for picture in PICTURES:
        print(draw(picture, arguments.plots))
    return 0


if __name__ == "__main__":
    sys.exit(main())
