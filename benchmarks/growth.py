"""How cost grows: with the number of connections, and with the window. Each of these should be flat.

Both ends run in one thread, over a memory cable in virtual time. Processor time is counted, so that a busy machine
disturbs little; a figure is the median of several runs.
`--plots DIRECTORY` draws them (needs matplotlib), `--markdown FILE` writes the tables.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from _cable import Cable, connected
from _harness import FIRST_CORE, number, pin, surroundings, tell
from attrs import asdict, frozen

from pystack.stack.stream import StreamEndpoint
from pystack.transport.tcp.config import TCPConfig
from pystack.transport.tcp.connection import TCPConnection
from pystack.transport.tcp.segment import ACK, SYN, Segment
from pystack.units import Ns

__all__ = ["CURVES", "Curve", "draw", "measure", "tables"]

MB = 1_000_000
MSS = 1460
WRITE = memoryview(bytes(64 << 10))
READ = 256 << 10
WINDOW_SHIFT = 8


@frozen
class Curve:
    """One quantity against another."""

    name: str
    """Also the file name of the plot."""
    title: str
    x: str
    y: str
    points: Sequence[int]
    series: dict[str, Callable[[int, float], float]]
    """By label: the figure at a point, for a share of the full size."""


@frozen
class Result:
    """The runs of each series of a curve, point by point."""

    curve: str
    points: Sequence[int]
    runs: dict[str, list[list[float]]]

    def medians(self, label: str) -> list[float]:
        return [statistics.median(runs) for runs in self.runs[label]]


# --- throughput over connections


def throughput(connections: int, share: float, *, offload: bool) -> float:
    """MB/s of `connections` uploads that share one core with their receivers."""
    total, least = (600 * MB, MB) if offload else (60 * MB, 200_000)
    each = int(share * max(total // connections, least))
    cable = Cable.lay(offload=offload)
    operations = []
    pairs = connected(cable, connections)
    buffer = memoryview(bytearray(READ))
    gc.collect()
    begun = time.process_time()
    for client, server in pairs:
        operations.append(server.submit(reader(server, buffer, each), None, cable.now))
        client.submit(uploader(client, each), None, cable.now)
    for operation in operations:
        while not operation.done:
            cable.turn()
    return each * connections / (time.process_time() - begun) / 1e6


def uploader(endpoint: StreamEndpoint, left: int) -> Callable[[Ns], bool | None]:
    """Send `left` octets, as far as the buffer takes them at each call."""

    def attempt(now: Ns) -> bool | None:
        nonlocal left
        while left:
            taken = endpoint.try_send(WRITE[:left], now)
            if taken is None:
                return None
            left -= taken
        return True

    return attempt


def reader(endpoint: StreamEndpoint, buffer: memoryview, left: int) -> Callable[[Ns], bool | None]:
    """Read `left` octets into `buffer`, whatever is there at each call."""

    def attempt(now: Ns) -> bool | None:
        nonlocal left
        while left:
            received = endpoint.try_recv_into(buffer, now)
            if received is None:
                return None
            left -= received
        return True

    return attempt


# --- an ACK over the window


def filled(window: int, *, sack: bool) -> TCPConnection:
    """An established sender whose window of `window` octets can be filled at once."""
    config = TCPConfig(timestamps=False, send_buffer=2 * window, send_buffer_max=4 * window, sack=sack)
    sender = TCPConnection("here", "there", 1, 2, iss=0, mss=MSS, config=config)
    sender.connect(0)
    sender.take_output(0, 1)
    scale = Segment(0, 1, SYN | ACK, 0xFFFF, mss=MSS, window_scale=WINDOW_SHIFT, sack_permitted=sack)
    sender.on_segment(scale, 0)
    sender.on_segment(Segment(1, 1, ACK, window >> WINDOW_SHIFT), 0)
    sender.take_output(0, 1)
    return sender


def fill(sender: TCPConnection, window: int, now: Ns) -> int:
    """Send a window of new data; where it ends."""
    begin = sender.snd_nxt
    sender.congestion.cwnd = window
    sender.send(bytes(window // MSS * MSS), now)
    sent = sender.take_output(now, window)
    return begin + sum(segment.length for segment in sent)


def plain_ack(window: int, share: float) -> float:
    """Microseconds to take an ACK of two segments, with `window` octets in flight at first."""
    least = int(20_000 * share)
    sender = filled(window, sack=False)
    now, count, elapsed = 1_000_000, 0, 0.0
    while count < least:
        una, end = sender.snd_nxt, fill(sender, window, now)
        now += 1_000_000
        acks = [
            Segment(1, ack & 0xFFFF_FFFF, ACK, window >> WINDOW_SHIFT) for ack in range(una + 2 * MSS, end, 2 * MSS)
        ]
        acks.append(Segment(1, end & 0xFFFF_FFFF, ACK, window >> WINDOW_SHIFT))
        begun = time.process_time()
        for ack in acks:
            sender.on_segment(ack, now)
        elapsed += time.process_time() - begun
        count += len(acks)
        now += 1_000_000
    return elapsed / count * 1e6


def selective_ack(window: int, share: float) -> float:
    """Microseconds to take an ACK that reports two more segments beyond a hole, and to send what it lets leave."""
    least = int(20_000 * share)
    sender = filled(window, sack=True)
    now, count, elapsed = 1_000_000, 0, 0.0
    while count < least:
        una, end = sender.snd_nxt, fill(sender, window, now)
        hole = una + MSS
        now += 1_000_000
        acks = [
            Segment(1, una & 0xFFFF_FFFF, ACK, window >> WINDOW_SHIFT, sack=((hole & 0xFFFF_FFFF, edge & 0xFFFF_FFFF),))
            for edge in range(hole + 2 * MSS, end, 2 * MSS)
        ]
        begun = time.process_time()
        for ack in acks:
            sender.on_segment(ack, now)
            sender.take_output(now, 64)
        elapsed += time.process_time() - begun
        count += len(acks)
        now += 1_000_000
        sender.on_segment(Segment(1, sender.snd_nxt & 0xFFFF_FFFF, ACK, window >> WINDOW_SHIFT), now)
        now += 1_000_000
    return elapsed / count * 1e6


# --- a packet over connections


def exchange(connections: int, share: float) -> float:
    """Microseconds of a packet, from one stack to the other: 100 octets there and 100 back, on each in turn."""
    cable = Cable.lay()
    pairs = connected(cable, connections)
    cable.settle()
    rounds = max(1, int(30_000 * share) // connections)
    message = bytes(100)
    before = cable.frames
    begun = time.process_time()
    for _ in range(rounds):
        for client, server in pairs:
            client.try_send(message, cable.now)
            pass_on(cable, server)
            server.try_send(message, cable.now)
            pass_on(cable, client)
    elapsed = time.process_time() - begun
    return elapsed / (cable.frames - before) * 1e6


def pass_on(cable: Cable, receiver: StreamEndpoint) -> None:
    while receiver.try_recv(1000, cable.now) is None:
        cable.turn()


CURVES = (
    Curve(
        "throughput",
        "Throughput of one core, both ends on it, MTU 1500",
        "connections",
        "MB/s",
        (1, 10, 100, 1000),
        {
            "super-segments": partial(throughput, offload=True),
            "wire frames": partial(throughput, offload=False),
        },
    ),
    Curve(
        "acks",
        "An acknowledgement, by the octets in flight",
        "window, KB",
        "µs",
        (64, 256, 1024, 4096, 16384),
        {
            "of two segments": lambda window, share: plain_ack(window << 10, share),
            "of two more beyond a hole, with SACK": lambda window, share: selective_ack(window << 10, share),
        },
    ),
    Curve(
        "packets",
        "A small packet through both stacks, by the connections that take turns",
        "connections",
        "µs",
        (1, 10, 100, 1000, 10_000),
        {"100 octets there, 100 back": exchange},
    ),
)


def measure(runs: int, share: float, curves: Iterable[Curve] = CURVES) -> Iterator[Result]:
    """Every point of every series, `runs` times; `share` of the full size."""
    pin(FIRST_CORE)
    for curve in curves:
        samples = {
            label: [measure_point(figure, x, runs, share) for x in curve.points]
            for label, figure in curve.series.items()
        }
        result = Result(curve.name, curve.points, samples)
        for label in samples:
            tell(f"{curve.title}: {label}: {', '.join(map(number, result.medians(label)))} {curve.y}")
        yield result


def measure_point(figure: Callable[[int, float], float], x: int, runs: int, share: float) -> list[float]:
    results = []
    for _ in range(runs):
        gc.collect()
        results.append(figure(x, share))
    return results


def tables(results: Iterable[Result]) -> str:
    """In markdown, one table per curve."""
    curves = {curve.name: curve for curve in CURVES}
    parts = []
    for result in results:
        curve = curves[result.curve]
        lines = [[curve.x, *(f"{x:,}" for x in result.points)], ["---"] * (len(result.points) + 1)]
        lines += [[f"{label}, {curve.y}", *map(number, result.medians(label))] for label in result.runs]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        parts.append(f"**{curve.title}**\n\n{table}")
    return "\n\n".join(parts)


def draw(results: Iterable[Result], directory: Path) -> None:
    """One SVG per curve; bars reach from the slowest run to the fastest."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "pystack", "svg.fonttype": "none"})  # the same file from the same figures
    from matplotlib import pyplot

    curves = {curve.name: curve for curve in CURVES}
    directory.mkdir(parents=True, exist_ok=True)
    for result in results:
        curve = curves[result.curve]
        figure, axes = pyplot.subplots(figsize=(6.4, 3.4), layout="constrained")
        for label, runs in result.runs.items():
            medians = result.medians(label)
            below = [middle - min(each) for middle, each in zip(medians, runs, strict=True)]
            above = [max(each) - middle for middle, each in zip(medians, runs, strict=True)]
            axes.errorbar(result.points, medians, yerr=(below, above), marker="o", capsize=3, label=label)
        axes.set_title(curve.title, fontsize="medium")
        axes.set(xlabel=curve.x, ylabel=curve.y, xscale="log", xticks=result.points)
        axes.set_xticklabels([f"{x:,}" for x in result.points])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
        figure.savefig(directory / f"{curve.name}.svg", metadata={"Date": None})
        pyplot.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the size")
    parser.add_argument("--plots", type=Path, metavar="DIRECTORY", help="draw the curves there, as SVG")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run's figure")
    arguments = parser.parse_args()
    results = list(measure(arguments.runs, 0.1 if arguments.quick else 1.0))
    print(tables(results))
    if arguments.markdown:
        arguments.markdown.write_text(tables(results) + "\n", encoding="utf-8")
    if arguments.json:
        report = {**surroundings(), "curves": [asdict(result) for result in results]}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if arguments.plots:
        draw(results, arguments.plots)
    return 0


if __name__ == "__main__":
    sys.exit(main())
