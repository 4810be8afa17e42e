"""Where the time goes: bulk transfers over a TAP through `Host` and `Socket`, profiled by function.

The application's thread runs the stack while it waits, so that its profile is the stack's. A profiler makes short
functions look dearer than they are: read the shares as an order, and the calls per frame as facts.
"""

import cProfile
import pstats
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from _cable import Counted
from _ends import KERNELS, OURS
from _harness import FIRST_CORE, SECOND_CORE, pin
from _network import enter_private_network, peer
from _work import AnySocket, download, upload

import pystack

__all__ = ["measure"]

MB = 1_000_000
SHOWN = 14
ROOT = Path(pystack.__file__).parent


def profile(program: Callable[[AnySocket, int], float], port: int, total: int, *, offload: bool) -> tuple[Any, int]:
    """The statistics of one transfer, and the frames that it took, both directions together."""
    link = Counted(pystack.TapLink("tap0", host_address=f"{KERNELS}/24", mtu=1500, offload=offload))
    profiler = cProfile.Profile()
    with (
        pystack.Host(link, address=f"{OURS}/24") as host,
        host.create_connection((KERNELS, port), timeout=60) as sock,
    ):
        before = link.frames + link.arrived
        profiler.runcall(program, sock, total)
        frames = link.frames + link.arrived - before
    return pstats.Stats(profiler), frames


def table(statistics: Any, frames: int) -> str:
    """The functions with the greatest time of their own, in markdown."""
    functions = cast(dict[tuple[str, int, str], tuple[int, int, float, float, Any]], statistics.stats)
    whole = sum(own for _, _, own, _, _ in functions.values())
    dearest = sorted(functions.items(), key=lambda item: item[1][2], reverse=True)[:SHOWN]
    lines = ["| function | own time | calls per frame |", "| --- | --- | --- |"]
    for (file, _, name), (_, calls, own, _, _) in dearest:
        lines.append(f"| `{place(file)}{name}` | {own / whole:.0%} | {calls / frames:.2f} |")
    return "\n".join(lines)


def place(file: str) -> str:
    """Where a function stands: its module within pystack, nothing for the interpreter's own."""
    path = Path(file)
    if ROOT in path.parents:
        return f"{path.relative_to(ROOT).with_suffix('')}: "
    return "" if file == "~" else f"{path.stem}: "


def measure(share: float) -> Iterator[str]:
    """A heading and a table for each transfer, at `share` of the full size."""
    enter_private_network()
    pin(FIRST_CORE)
    with peer("_peer", str(SECOND_CORE)) as port:
        for offload, size in ((False, 50 * MB), (True, 1000 * MB)):
            for way, program in (("in", download), ("out", upload)):
                statistics, frames = profile(program, port, int(size * share), offload=offload)
                yield f"**Bulk {way}, MTU 1500, {'with' if offload else 'without'} offload**"
                yield table(statistics, frames)


if __name__ == "__main__":
    for part in measure(0.1 if "--quick" in sys.argv else 1.0):
        print(part, end="\n\n")
