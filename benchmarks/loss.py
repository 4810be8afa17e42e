"""Bulk throughput over a link that loses frames at random, each way over a TAP at MTU 1500 and without delay.

Every octet is compared. The reference is the same program over the same wrapper when it loses nothing.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

from _ends import KERNELS, fault_host
from _harness import FIRST_CORE, SECOND_CORE, Floor, Options, Row, compare, main, pin
from _network import enter_private_network, peer
from _work import AnySocket, download_checked, upload_checked

from pystack.link.faults import Faults

__all__ = ["measure"]

MTU = 1500
MB = 1_000_000
LOSS = 0.01
LOSSLESS = "without loss"


def transfer(faults: Faults, port: int, program: Callable[[AnySocket, int], float], total: int) -> float:
    """On a host of its own, so that every run loses the same frames of its stream."""
    with ExitStack() as stack:
        host = stack.enter_context(fault_host(MTU, faults))
        return program(stack.enter_context(host.create_connection((KERNELS, port), timeout=60)), total)


def measure(options: Options) -> Iterator[Row]:
    enter_private_network()
    pin(FIRST_CORE)
    total = options.size(100 * MB)
    with peer("_peer", str(SECOND_CORE)) as port:
        for way, program in (("in", download_checked), ("out", upload_checked)):
            yield compare(
                f"bulk {way}, TAP, {LOSS:.0%} of the frames lost each way, every octet compared",
                "MB/s",
                options,
                partial(transfer, Faults(loss=LOSS), port, program, total),
                {LOSSLESS: partial(transfer, Faults(), port, program, total)},
                Floor(0.5, LOSSLESS),
            )


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
