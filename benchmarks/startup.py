"""How long `import pystack` takes, in an interpreter of its own each time; `import asyncio` beside it."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from _harness import FIRST_CORE, Floor, Options, Row, compare, main, pin

__all__ = ["measure"]

PROGRAM = """
import time
begun = time.perf_counter()
import {module}
print((time.perf_counter() - begun) * 1000)
"""


def importing(module: str) -> float:
    """Milliseconds."""
    command = [sys.executable, "-c", PROGRAM.format(module=module)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measure(options: Options) -> Iterator[Row]:
    pin(FIRST_CORE)
    importing("pystack")  # its bytecode is in the cache from now on
    references = {"asyncio": partial(importing, "asyncio")}
    floor = Floor(150, at_most=True, quiet=True)
    yield compare("import pystack", "ms", options, partial(importing, "pystack"), references, floor)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
