"""Many connections that say nothing, over a TAP: how fast they are opened, what memory they take, and what they cost
while nothing happens.

Memory is what `tracemalloc` sees of each, `Socket` and all, with the connection established; processor time is that of
the whole process, its threads included. No reference: nobody else's connections live in this process.
"""

import gc
import sys
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

from _ends import KERNELS, tap_host
from _harness import FIRST_CORE, SECOND_CORE, Floor, Options, Row, compare, main, pin
from _network import enter_private_network, peer
from attrs import define, field

import pystack

__all__ = ["measure"]

MTU = 1500
CONNECTIONS = 10_000
QUIET = 10
"""Seconds during which nothing happens."""
CALM = 1.0
"""Seconds before them, for the last acknowledgements."""


@define
class Crowd:
    """`total` connections to a peer that holds them."""

    total: int
    quiet: float
    """Seconds."""
    processor: list[float] = field(factory=list, init=False)
    """Milliseconds of each run."""

    def rate(self) -> float:
        """Connections opened per second; what they cost while they are quiet is kept for later."""
        with self.host() as (host, port):
            begun = time.perf_counter()
            with self.open(host, port):
                rate = self.total / (time.perf_counter() - begun)
                time.sleep(CALM)
                before = time.process_time()
                time.sleep(self.quiet)
                self.processor.append((time.process_time() - before) * 1000)
        return rate

    def memory(self) -> float:
        """KB (1,000 octets) that one connection takes."""
        with self.host() as (host, port):
            gc.collect()
            tracemalloc.start()
            try:
                before, _ = tracemalloc.get_traced_memory()
                with self.open(host, port):
                    gc.collect()
                    after, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        return (after - before) / self.total / 1000

    @contextmanager
    def host(self) -> Iterator[tuple[pystack.Host, int]]:
        """With the port of a peer that has nobody yet."""
        with peer("_holder", str(SECOND_CORE)) as port, tap_host(MTU, offload=True) as host:
            yield host, port

    @contextmanager
    def open(self, host: pystack.Host, port: int) -> Iterator[None]:
        held = [host.create_connection((KERNELS, port), timeout=10) for _ in range(self.total)]
        yield
        for sock in held:
            sock.close()


def measure(options: Options) -> Iterator[Row]:
    enter_private_network()
    pin(FIRST_CORE)
    total, quiet = options.size(CONNECTIONS), options.size(QUIET)
    crowd = Crowd(total, quiet)
    yield compare(f"open {total:,} connections over TAP", "1/s", options, crowd.rate, {}, Floor(1000, quiet=True))
    times = iter(crowd.processor)
    work = f"{total:,} idle connections for {quiet} s, processor time"
    yield compare(work, "ms", options, lambda: next(times), {}, Floor(10, at_most=True))
    work = f"{total:,} idle connections, memory of each"
    yield compare(work, "KB", options, crowd.memory, {}, Floor(10, at_most=True))


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
