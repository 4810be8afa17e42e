"""Round trips of one octet, through `Host` and `Socket` over a TAP.

Beside it, in the same run: the same program on kernel sockets over loopback, and on two kernel TCPs that reach each
other across two TAPs and a relay in Python (`reference/relay.py`). With both ends on one core, and with one on each:
waking another core takes longer than everything else.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial

from _ends import KERNELS, kernel_connection, tap_host
from _harness import FIRST_CORE, SECOND_CORE, Floor, Options, Row, compare, main, pin
from _network import enter_private_network, peer
from _work import AnySocket, round_trip
from reference.relay import FAR_ADDRESS

__all__ = ["measure"]

MTU = 1500
ONE_CORE = Floor(4, "relay", at_most=True)
TWO_CORES = Floor(1.5, "relay", at_most=True, quiet=True)  # waking the other core takes a share of both that varies


def echo(connect: Callable[[], AnySocket], count: int) -> float:
    with connect() as sock:
        return round_trip(sock, count)


def measure_cores(options: Options, label: str, far_core: int, floor: Floor) -> Iterator[Row]:
    core = str(far_core)
    with (
        peer("_peer", core) as port,
        peer("reference.relay", str(FIRST_CORE), core) as far_port,
        tap_host(MTU, offload=True) as host,
    ):
        ours = partial(host.create_connection, (KERNELS, port), timeout=10)
        kernel = partial(kernel_connection, port)
        relay = partial(kernel_connection, far_port, FAR_ADDRESS)
        trips = options.size(10_000)
        yield compare(
            f"1-octet round trip, TAP, {label}",
            "µs",
            options,
            partial(echo, ours, trips),
            {"relay": partial(echo, relay, trips), "kernel sockets": partial(echo, kernel, trips)},
            floor,
        )


def measure(options: Options) -> Iterator[Row]:
    enter_private_network()
    pin(FIRST_CORE)
    yield from measure_cores(options, "one core", FIRST_CORE, ONE_CORE)
    yield from measure_cores(options, "two cores", SECOND_CORE, TWO_CORES)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
