"""Where the time goes: bulk transfers, round trips and connections over a TAP through `Host` and `Socket`, profiled by
function.

The application's thread runs the stack while it waits, so that its profile is the stack's. A profiler makes short
functions look dearer than they are: read the shares as an order, and the calls as facts.
"""

import cProfile
import pstats
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

from _cable import Counted
from _ends import KERNELS, OURS
from _harness import FIRST_CORE, SECOND_CORE, pin
from _network import enter_private_network, peer
from _work import AnySocket, connection_times, download, round_trip, upload

import pystack

__all__ = ["measure"]

MB = 1_000_000
SHOWN = 14
ROOT = Path(pystack.__file__).parent


@contextmanager
def counted_host(*, offload: bool) -> Iterator[tuple[pystack.Host, Counted]]:
    link = Counted(pystack.TapLink("tap0", host_address=f"{KERNELS}/24", mtu=1500, offload=offload))
    with pystack.Host(link, address=f"{OURS}/24") as host:
        yield host, link


def profile_transfer(
    program: Callable[[AnySocket, int], float], port: int, total: int, *, offload: bool
) -> tuple[Any, int]:
    """The statistics of one transfer, and the frames that it took, both directions together."""
    profiler = cProfile.Profile()
    with counted_host(offload=offload) as (host, link), host.create_connection((KERNELS, port), timeout=60) as sock:
        before = link.frames + link.arrived
        profiler.runcall(program, sock, total)
        frames = link.frames + link.arrived - before
    return pstats.Stats(profiler), frames


def profile_round_trips(port: int, count: int) -> Any:
    profiler = cProfile.Profile()
    with counted_host(offload=True) as (host, _), host.create_connection((KERNELS, port), timeout=60) as sock:
        profiler.runcall(round_trip, sock, count)
    return pstats.Stats(profiler)


def profile_connections(port: int, count: int) -> Any:
    profiler = cProfile.Profile()
    with counted_host(offload=True) as (host, _):
        profiler.runcall(connection_times, partial(host.create_connection, (KERNELS, port), timeout=10), count)
    return pstats.Stats(profiler)


def table(statistics: Any, count: int, unit: str) -> str:
    """The functions with the greatest time of their own, in markdown, with their calls for each of `count`."""
    functions = cast(dict[tuple[str, int, str], tuple[int, int, float, float, Any]], statistics.stats)
    whole = sum(own for _, _, own, _, _ in functions.values())
    dearest = sorted(functions.items(), key=lambda item: item[1][2], reverse=True)[:SHOWN]
    lines = [f"| function | own time | calls per {unit} |", "| --- | --- | --- |"]
    for (file, _, name), (_, calls, own, _, _) in dearest:
        lines.append(f"| `{place(file)}{name}` | {own / whole:.0%} | {calls / count:.2f} |")
    return "\n".join(lines)


def place(file: str) -> str:
    """Where a function stands: its module within pystack, nothing for the interpreter's own."""
    path = Path(file)
    if ROOT in path.parents:
        return f"{path.relative_to(ROOT).with_suffix('')}: "
    return "" if file == "~" else f"{path.stem}: "


def measure(share: float) -> Iterator[str]:
    """A heading and a table for each work, at `share` of the full size."""
    enter_private_network()
    pin(FIRST_CORE)
    with peer("_peer", str(SECOND_CORE)) as port:
        for offload, size in ((False, 50 * MB), (True, 1000 * MB)):
            for way, program in (("in", download), ("out", upload)):
                statistics, frames = profile_transfer(program, port, int(size * share), offload=offload)
                yield f"**Bulk {way}, MTU 1500, {'with' if offload else 'without'} offload**"
                yield table(statistics, frames, "frame")
        count = int(10_000 * share)
        yield "**1-octet round trips, on two cores**"
        yield table(profile_round_trips(port, count), count, "round trip")
        yield "**Connect, 1 octet, close, on two cores**"
        yield table(profile_connections(port, count), count, "connection")


if __name__ == "__main__":
    for part in measure(0.1 if "--quick" in sys.argv else 1.0):
        print(part, end="\n\n")
