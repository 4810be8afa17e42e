"""Connections that come and go, one after the other, over a TAP: connect, one octet there and back, close.

Ours closes first, so that each leaves a TIME-WAIT behind: what the last ones cost after thousands of others shows
whether anything grows. Beside it the same program on kernel sockets, over loopback and across the relay.
"""

import sys
from collections.abc import Iterator
from functools import partial
from itertools import count

from _ends import KERNELS, kernel_connection, tap_host
from _harness import FIRST_CORE, SECOND_CORE, Floor, Options, Row, compare, main, pin
from _network import enter_private_network, peer
from _work import connection_times, connections_per_second
from reference.relay import FAR_ADDRESS

__all__ = ["measure"]

MTU = 1500
CONNECTIONS, REFERENCES = 20_000, 3_000
"""The kernel would run out of ports with more of them in TIME-WAIT than it has."""
FIRST = "the first of them"


def measure_cores(options: Options, label: str, far_core: int, *floors: Floor) -> Iterator[Row]:
    core = str(far_core)
    total, few = options.size(CONNECTIONS), options.size(REFERENCES)
    with peer("_peer", core) as port, peer("reference.relay", str(FIRST_CORE), core) as far_port:
        runs: list[list[float]] = []

        def ours() -> float:
            """On a host of its own, or the ports of one run would be missing in the next."""
            with tap_host(MTU, offload=True) as host:
                runs.append(connection_times(partial(host.create_connection, (KERNELS, port), timeout=10), total))
            return total / sum(runs[-1])

        yield compare(
            f"connect, 1 octet, close: {total:,} times over TAP, {label}",
            "1/s",
            options,
            ours,
            {
                "relay": partial(connections_per_second, partial(kernel_connection, far_port, FAR_ADDRESS), few),
                "kernel sockets": partial(connections_per_second, partial(kernel_connection, port), few),
            },
            *floors,
        )
        part = total // 20
        last, first = count(), count()
        yield compare(
            f"the last {part:,} of these {total:,}",
            "1/s",
            options,
            lambda: part / sum(runs[next(last)][-part:]),
            {FIRST: lambda: part / sum(runs[next(first)][:part])},
            Floor(0.9, FIRST),
        )


def measure(options: Options) -> Iterator[Row]:
    enter_private_network()
    pin(FIRST_CORE)
    yield from measure_cores(options, "one core", FIRST_CORE, Floor(2000, quiet=True))
    yield from measure_cores(options, "two cores", SECOND_CORE)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
