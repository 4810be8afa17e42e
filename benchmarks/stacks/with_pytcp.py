"""PyTCP as a program that measures on request. Run by the interpreter of an environment that has it, and nothing else.

Arguments: the TAP, our address with its prefix length, the peer's.
"""

import os
import statistics
import struct
import sys
import time

import pytcp  # type: ignore[import-not-found]
from pytcp.lib import socket  # type: ignore[import-not-found]

CHUNK = 65_536


def connected(peer: str, port: int) -> socket.Socket:
    sock = socket.socket(socket.AF_INET4, socket.SOCK_STREAM)
    sock.connect((peer, port))
    return sock


def send(sock: socket.Socket, data: bytes) -> None:
    while data:
        data = data[sock.send(data) :]


def download(sock: socket.Socket, total: int) -> float:
    begun = time.perf_counter()
    send(sock, b"D" + struct.pack("!Q", total))
    left = total
    while left:
        received = len(sock.recv(CHUNK))
        if not received:
            raise EOFError(f"{left} octets are missing")
        left -= received
    return total / (time.perf_counter() - begun) / 1e6


def upload(sock: socket.Socket, total: int) -> float:
    begun = time.perf_counter()
    send(sock, b"U" + struct.pack("!Q", total))
    for left in range(total, 0, -CHUNK):
        send(sock, bytes(min(left, CHUNK)))
    sock.recv(1)
    return total / (time.perf_counter() - begun) / 1e6


def round_trip(sock: socket.Socket, count: int) -> float:
    send(sock, b"E")
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        send(sock, b"x")
        sock.recv(1)
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e6


def connections(peer: str, port: int, count: int) -> float:
    begun = time.perf_counter()
    for _ in range(count):
        sock = connected(peer, port)
        send(sock, b"C")
        sock.recv(1)
        sock.close()
    return count / (time.perf_counter() - begun)


ONE_CONNECTION = {"D": download, "U": upload, "E": round_trip}


def measure(peer: str, work: str, amount: int, port: int) -> float:
    if work == "C":
        return connections(peer, port, amount)
    sock = connected(peer, port)
    try:
        return ONE_CONNECTION[work](sock, amount)
    finally:
        sock.close()


def main(interface: str, address: str, peer: str) -> None:
    pytcp.config.LOG_CHANEL.clear()
    pytcp.config.IP6_SUPPORT = False
    stack = pytcp.TcpIpStack(interface=interface, ip4_address=address, ip4_gateway=peer)
    stack.start()
    for line in sys.stdin:
        work, amount, port = line.split()
        print(measure(peer, work, int(amount), int(port)), flush=True)
    os._exit(0)  # its threads would go on


if __name__ == "__main__":
    main(*sys.argv[1:])
