"""The measured programs. They know a socket only by its methods: the same lines run on the kernel's and on ours."""

import socket
import statistics
import struct
import time
from collections.abc import Callable
from typing import Protocol, Self

from typing_extensions import Buffer

__all__ = [
    "BUFFER_SIZE",
    "CONNECT",
    "DOWNLOAD",
    "ECHO",
    "UPLOAD",
    "AnySocket",
    "connections_per_second",
    "download",
    "request",
    "requested",
    "round_trip",
    "upload",
]

AMOUNT = struct.Struct("!Q")
DOWNLOAD, UPLOAD, ECHO, CONNECT = b"D", b"U", b"E", b"C"

BUFFER_SIZE = 256 * 1024
"""Octets of each `recv_into` and `sendall`."""


class AnySocket(Protocol):
    """What the programs need of a socket."""

    def sendall(self, data: Buffer, /) -> None: ...
    def recv(self, size: int, /) -> bytes: ...
    def recv_into(self, buffer: Buffer, /) -> int: ...
    def setsockopt(self, level: int, name: int, value: int, /) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...


def request(work: bytes, amount: int) -> bytes:
    return work + AMOUNT.pack(amount)


def requested(sock: AnySocket) -> int:
    """The amount that follows the octet of a request, at the peer."""
    data = b""
    while len(data) < AMOUNT.size:
        data += sock.recv(AMOUNT.size - len(data))
    (amount,) = AMOUNT.unpack(data)
    return int(amount)


def download(sock: AnySocket, total: int) -> float:
    """MB/s of receiving `total` octets."""
    buffer = bytearray(BUFFER_SIZE)
    left = total
    begun = time.perf_counter()
    sock.sendall(request(DOWNLOAD, total))
    while left:
        received = sock.recv_into(buffer)
        if not received:
            raise EOFError(f"{left} of {total} octets are missing")
        left -= received
    return total / (time.perf_counter() - begun) / 1e6


def upload(sock: AnySocket, total: int) -> float:
    """MB/s of sending `total` octets, until the peer says that it has them all."""
    zeros = memoryview(bytes(BUFFER_SIZE))
    begun = time.perf_counter()
    sock.sendall(request(UPLOAD, total))
    for left in range(total, 0, -BUFFER_SIZE):
        sock.sendall(zeros[:left])
    if sock.recv(1) != UPLOAD:
        raise EOFError("the peer did not confirm")
    return total / (time.perf_counter() - begun) / 1e6


def round_trip(sock: AnySocket, count: int) -> float:
    """Microseconds of a 1-octet round trip: the median of `count`."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(ECHO)
    times = []
    for _ in range(count):
        begun = time.perf_counter_ns()
        sock.sendall(b"x")
        sock.recv(1)
        times.append(time.perf_counter_ns() - begun)
    return statistics.median(times) / 1000


def connections_per_second(connect: Callable[[], AnySocket], count: int) -> float:
    """Connections per second, one after the other: connect, one octet there and back, close."""
    begun = time.perf_counter()
    for _ in range(count):
        with connect() as sock:
            sock.sendall(CONNECT)
            sock.recv(1)
    return count / (time.perf_counter() - begun)
