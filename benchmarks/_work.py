"""The measured programs. They know a socket only by its methods: the same lines run on the kernel's and on ours."""

import mmap
import random
import socket
import statistics
import struct
import time
import zlib
from collections.abc import Callable
from typing import Protocol, Self

from typing_extensions import Buffer

__all__ = [
    "BUFFER_SIZE",
    "CHECKSUM",
    "CONNECT",
    "DOWNLOAD",
    "DOWNLOAD_CHECKED",
    "ECHO",
    "UPLOAD",
    "UPLOAD_CHECKED",
    "AnySocket",
    "connection_times",
    "connections_per_second",
    "download",
    "download_checked",
    "fresh_buffer",
    "read_checked",
    "request",
    "requested",
    "round_trip",
    "upload",
    "upload_checked",
    "write_checked",
]

AMOUNT = struct.Struct("!Q")
CHECKSUM = struct.Struct("!I")
DOWNLOAD, UPLOAD, ECHO, CONNECT = b"D", b"U", b"E", b"C"
DOWNLOAD_CHECKED, UPLOAD_CHECKED = b"d", b"u"

BUFFER_SIZE = 256 * 1024
"""Octets of each `recv_into` and `sendall`."""


PATTERN = memoryview(random.Random(0).randbytes(BUFFER_SIZE - 1))
"""What is sent where each octet is checked: an odd number, so that segments never begin alike."""


class AnySocket(Protocol):
    """What the programs need of a socket."""

    def sendall(self, data: Buffer, /) -> None: ...
    def recv(self, size: int, /) -> bytes: ...
    def recv_into(self, buffer: Buffer, /) -> int: ...
    def setsockopt(self, level: int, name: int, value: int, /) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...


def fresh_buffer() -> memoryview:
    """Memory to receive into, which begins on a page. Large blocks of the allocator begin 16 octets behind, and there
    some processors (AMD's, with "fast short rep mov") copy from the beginning of a page ten times more slowly."""
    return memoryview(mmap.mmap(-1, BUFFER_SIZE))


def request(work: bytes, amount: int) -> bytes:
    return work + AMOUNT.pack(amount)


def requested(sock: AnySocket) -> int:
    """The amount that follows the octet of a request, at the peer."""
    (amount,) = AMOUNT.unpack(read_exactly(sock, AMOUNT.size))
    return int(amount)


def read_exactly(sock: AnySocket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return data


def write_checked(sock: AnySocket, total: int) -> int:
    """Send `total` octets of the pattern; their CRC."""
    crc = 0
    for left in range(total, 0, -len(PATTERN)):
        piece = PATTERN[:left]
        sock.sendall(piece)
        crc = zlib.crc32(piece, crc)
    return crc


def read_checked(sock: AnySocket, total: int) -> int:
    """Take `total` octets; their CRC."""
    buffer = fresh_buffer()
    crc = 0
    while total:
        received = sock.recv_into(buffer[:total])
        if not received:
            raise EOFError(f"{total} octets are missing")
        crc = zlib.crc32(buffer[:received], crc)
        total -= received
    return crc


def download_checked(sock: AnySocket, total: int) -> float:
    """As `download`. Raises `ValueError` unless each octet is what was sent."""
    begun = time.perf_counter()
    sock.sendall(request(DOWNLOAD_CHECKED, total))
    arrived = read_checked(sock, total)
    elapsed = time.perf_counter() - begun
    compare_checksums(arrived, sock)
    return total / elapsed / 1e6


def upload_checked(sock: AnySocket, total: int) -> float:
    """As `upload`. Raises `ValueError` unless each octet is what was sent."""
    begun = time.perf_counter()
    sock.sendall(request(UPLOAD_CHECKED, total))
    sent = write_checked(sock, total)
    compare_checksums(sent, sock)
    return total / (time.perf_counter() - begun) / 1e6


def compare_checksums(ours: int, sock: AnySocket) -> None:
    (peers,) = CHECKSUM.unpack(read_exactly(sock, CHECKSUM.size))
    if ours != peers:
        raise ValueError("what arrived is not what was sent")


def download(sock: AnySocket, total: int) -> float:
    """MB/s of receiving `total` octets."""
    buffer = fresh_buffer()
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
    return count / sum(connection_times(connect, count))


def connection_times(connect: Callable[[], AnySocket], count: int) -> list[float]:
    """Seconds of each of `count` connections as in `connections_per_second`."""
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        with connect() as sock:
            sock.sendall(CONNECT)
            sock.recv(1)
        times.append(time.perf_counter() - begun)
    return times
