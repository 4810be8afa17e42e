"""Bulk throughput through `Host` and `Socket`, each way, over a TAP at MTU 1500 and over the memory pair.

Beside it, in the same run: the same program on kernel sockets over loopback, and the bare loop over the same link.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

from _ends import KERNELS, bare_over_tap, kernel_connection, memory_pair, tap_host
from _harness import BOTH_CORES, FIRST_CORE, SECOND_CORE, Floor, Options, Row, compare, main, pin
from _network import enter_private_network, peer
from _work import AnySocket, download, upload
from reference.bulk import memory as bare_memory

__all__ = ["measure"]

MB = 1_000_000
MTU = 1500
FLOOR = Floor(20)


def over(connect: Callable[[], AnySocket], program: Callable[[AnySocket, int], float], total: int) -> float:
    with connect() as sock:
        return program(sock, total)


def measure(options: Options) -> Iterator[Row]:
    """Over the TAP one core is the application's and its host's, the other the peer's."""
    enter_private_network()
    ours, kernels, bares = options.size(100 * MB), options.size(2000 * MB), options.size(200 * MB)
    with ExitStack() as stack:
        pin(FIRST_CORE)
        port = stack.enter_context(peer("_peer", str(SECOND_CORE)))
        kernel = partial(kernel_connection, port)
        with tap_host(MTU) as host, bare_over_tap(MTU, port) as bare:
            tap = partial(host.create_connection, (KERNELS, port), timeout=60)
            for way, program, bare_program in (("in", download, bare.download), ("out", upload, bare.upload)):
                references = {
                    "kernel sockets": partial(over, kernel, program, kernels),
                    "bare loop": partial(bare_program, bares),
                }
                yield compare(
                    f"bulk {way}, TAP, MTU {MTU}", "MB/s", options, partial(over, tap, program, ours), references, FLOOR
                )
        pin(*BOTH_CORES)
        connect = stack.enter_context(memory_pair(MTU))
        references = {
            "kernel sockets": partial(over, kernel, download, kernels),
            "bare loop": partial(bare_memory, bares, MTU),
        }
        yield compare(
            f"bulk, memory pair, MTU {MTU}, one process",
            "MB/s",
            options,
            partial(over, connect, download, ours),
            references,
        )


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
