"""pystack as a program that measures on request. Argument: "offload", or "wire" for frames of 1,514 octets."""

import sys
from functools import partial

from _ends import KERNELS, tap_host

from stacks.answers import answer, asked

MTU = 1500


def main(how: str) -> None:
    with tap_host(MTU, offload=how == "offload") as host:
        for work, amount, port in asked():
            answer(partial(host.create_connection, (KERNELS, port), timeout=60), work, amount)


if __name__ == "__main__":
    main(*sys.argv[1:])
