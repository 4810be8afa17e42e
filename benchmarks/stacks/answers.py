"""What the Python programs that measure on request share: the questions, and the works on a socket's methods."""

import sys
from collections.abc import Callable, Iterator

from _work import CONNECT, DOWNLOAD, ECHO, UPLOAD, AnySocket, connections_per_second, download, round_trip, upload

__all__ = ["answer", "asked"]

ONE_CONNECTION = {DOWNLOAD: download, UPLOAD: upload, ECHO: round_trip}


def asked() -> Iterator[tuple[bytes, int, int]]:
    """Work, how much of it, the peer's port; until standard input ends."""
    for line in sys.stdin:
        work, amount, port = line.split()
        yield work.encode(), int(amount), int(port)


def answer(connect: Callable[[], AnySocket], work: bytes, amount: int) -> None:
    if work == CONNECT:
        figure = connections_per_second(connect, amount)
    else:
        with connect() as sock:
            figure = ONE_CONNECTION[work](sock, amount)
    print(figure, flush=True)
