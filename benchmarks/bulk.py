"""Bulk throughput through `Host` and `Socket`: each way over a TAP, with offload and without, and over the memory pair.

Beside it, in the same run: the same program on kernel sockets over loopback, and the bare loop over the same link.
"""

import sys
from collections.abc import Callable, Iterator
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


def measure_tap(options: Options, port: int, *, offload: bool) -> Iterator[Row]:
    """One core is the application's and its host's, the other the peer's."""
    link = f"TAP, MTU {MTU}, {'virtio-net offload' if offload else 'no offload'}"
    scale = 10 if offload else 1
    ours, kernels, bares = options.size(100 * scale * MB), options.size(2000 * MB), options.size(200 * scale * MB)
    kernel = partial(kernel_connection, port)
    with tap_host(MTU, offload=offload) as host, bare_over_tap(MTU, port, offload=offload) as bare:
        tap = partial(host.create_connection, (KERNELS, port), timeout=60)
        for way, program, bare_program in (("in", download, bare.download), ("out", upload, bare.upload)):
            yield compare(
                f"bulk {way}, {link}",
                "MB/s",
                options,
                partial(over, tap, program, ours),
                {
                    "kernel sockets": partial(over, kernel, program, kernels),
                    "bare loop": partial(bare_program, bares),
                },
                None if offload else FLOOR,
            )


def measure_memory(options: Options, port: int) -> Iterator[Row]:
    """Both hosts in this process, on both cores."""
    ours, kernels = options.size(100 * MB), options.size(2000 * MB)
    with memory_pair(MTU) as connect:
        yield compare(
            f"bulk, memory pair, MTU {MTU}, one process",
            "MB/s",
            options,
            partial(over, connect, download, ours),
            {
                "kernel sockets": partial(over, partial(kernel_connection, port), download, kernels),
                "bare loop": partial(bare_memory, ours, MTU),
            },
        )


def measure(options: Options) -> Iterator[Row]:
    enter_private_network()
    pin(FIRST_CORE)
    with peer("_peer", str(SECOND_CORE)) as port:
        yield from measure_tap(options, port, offload=False)
        yield from measure_tap(options, port, offload=True)
        pin(*BOTH_CORES)
        yield from measure_memory(options, port)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
