"""The kernel's sockets as a program that measures a NAT, from inside the namespace that the NAT serves.

What it downloads the NAT's stack sends, and the other way round. In bulk it leaves the NAT a core of its own.
Argument: the address behind which the NAT shows the peer.
"""

import sys
from functools import partial

from _ends import kernel_connection
from _harness import FIRST_CORE, SECOND_CORE, pin
from _work import DOWNLOAD, UPLOAD

from stacks.answers import answer, asked

OTHER_WAY = {DOWNLOAD: UPLOAD, UPLOAD: DOWNLOAD}


def main(address: str) -> None:
    for work, amount, port in asked():
        pin(SECOND_CORE if work in OTHER_WAY else FIRST_CORE)
        answer(partial(kernel_connection, port, address), OTHER_WAY.get(work, work), amount)


if __name__ == "__main__":
    main(*sys.argv[1:])
