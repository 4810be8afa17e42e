"""Bulk throughput through `Host` and `Socket`: each way over TAP and AF_PACKET, and over the memory pair, at MTU 1500.

Beside it, in the same run: the same program on kernel sockets over loopback, and a bare loop over the same link.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

from _ends import Place, kernel_connection, memory_pair, tap, veth
from _harness import BOTH_CORES, FIRST_CORE, SECOND_CORE, Floor, Options, Row, compare, main, pin
from _network import enter_private_network, peer
from _work import AnySocket, download, upload
from reference.bulk import memory as bare_memory

__all__ = ["measure"]

MB = 1_000_000
MTU = 1500
BARE = "bare loop"
PLAIN = ((Floor(0.35, BARE), Floor(60, quiet=True)), (Floor(0.35, BARE), Floor(40, quiet=True)))
"""What must be reached in, and out."""
OFFLOAD = ((Floor(0.25, BARE), Floor(1200, quiet=True)), (Floor(0.3, BARE), Floor(1500, quiet=True)))
PACKET = ((Floor(0.3, BARE),), (Floor(0.3, BARE),))


def over(connect: Callable[[], AnySocket], program: Callable[[AnySocket, int], float], total: int) -> float:
    with connect() as sock:
        return program(sock, total)


def measure_link(
    options: Options,
    port: int,
    link: str,
    place: AbstractContextManager[Place],
    size: int,
    floors: tuple[tuple[Floor, ...], tuple[Floor, ...]],
) -> Iterator[Row]:
    """Both ways over one link; `size`: the octets that ours moves in a full run, the bare loop moves twice as many."""
    ours, bares, kernels = options.size(size), options.size(2 * size), options.size(2000 * MB)
    kernel = partial(kernel_connection, port)
    with place as ends:
        connect = partial(ends.host.create_connection, (ends.kernel, port), timeout=60)
        ways = (("in", download, ends.bare.download, floors[0]), ("out", upload, ends.bare.upload, floors[1]))
        for way, program, bare, must in ways:
            references = {BARE: partial(bare, bares), "kernel sockets": partial(over, kernel, program, kernels)}
            yield compare(
                f"bulk {way}, {link}", "MB/s", options, partial(over, connect, program, ours), references, *must
            )


def measure_memory(options: Options, port: int) -> Iterator[Row]:
    """Both hosts in this process, on both cores."""
    size = options.size(100 * MB)
    kernel = partial(over, partial(kernel_connection, port), download, options.size(2000 * MB))
    with memory_pair(MTU, offload=False) as connect:
        bare = partial(bare_memory, size, MTU)
        ours = partial(over, connect, download, size)
        references = {BARE: bare, "kernel sockets": kernel}
        yield compare("bulk, memory pair", "MB/s", options, ours, references, Floor(30, quiet=True))
    with memory_pair(MTU, offload=True) as connect:
        ours = partial(over, connect, download, 10 * size)
        yield compare(
            "bulk, memory pair, offload", "MB/s", options, ours, {"kernel sockets": kernel}, Floor(1000, quiet=True)
        )


def measure(options: Options) -> Iterator[Row]:
    """One core is the application's and its host's, the other the peer's."""
    enter_private_network()
    pin(FIRST_CORE)
    with peer("_peer", str(SECOND_CORE)) as port:
        yield from measure_link(options, port, "TAP", tap(MTU, port, offload=False), 100 * MB, PLAIN)
        yield from measure_link(options, port, "TAP, offload", tap(MTU, port, offload=True), 1000 * MB, OFFLOAD)
        yield from measure_link(options, port, "AF_PACKET on a veth, offload", veth(MTU, port), 1000 * MB, PACKET)
        pin(*BOTH_CORES)
        yield from measure_memory(options, port)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
