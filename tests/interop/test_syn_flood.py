"""A hundred thousand SYNs from addresses that do not exist, through a TAP, beside a kernel's clients at work."""

import resource
import socket
import struct
import threading
from random import Random

import pytest

import pystack
from pystack import wire
from pystack.wire.checksum import internet_checksum
from pystack.wire.pseudo import pseudo_sum
from tests.interop.helpers import KERNEL, OURS, PREFIX, eventually

pytestmark = pytest.mark.interop

FLOOD = 100_000
BATCH = 400
"""Less than the kernel's queue in front of a TAP holds."""
DATA = Random(4).randbytes(200_000)


def syn(rng: Random, port: int) -> bytes:
    """From somewhere in a network that the host has no other business with."""
    source = bytes((10, *rng.randbytes(3)))
    header = struct.pack("!HHIIHHHH", rng.randrange(1024, 65536), port, rng.getrandbits(32), 0, 0x5002, 65535, 0, 0)
    target = socket.inet_aton(OURS)
    checksum = internet_checksum(header, pseudo_sum(source, target, wire.IPProtocol.TCP) + len(header))
    segment = header[:16] + checksum.to_bytes(2, "big") + header[18:]
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, wire.IPProtocol.TCP, 0, source, target) + segment


def flood(host: pystack.Host, port: int, sizes: list[int]) -> None:
    """Each batch waits until the one before is dealt with, so that no queue of the kernel's drops any. Notes the octets
    that the process has needed at most, at each batch."""
    rng = Random(10)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for number in range(0, FLOOD, BATCH):
            for _ in range(BATCH):
                raw.sendto(syn(rng, port), (OURS, 0))
            wanted = number + BATCH - 2 * 256
            eventually(lambda wanted=wanted: host.counters["tcp.cookies_sent"] >= wanted, "the batch is answered")  # type: ignore[misc]
            sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def echo(server: pystack.Socket) -> None:
    """Serve one connection after the other until the listener closes."""
    while True:
        try:
            conn, _ = server.accept()
        except OSError:
            return
        with conn:
            while data := conn.recv(65536):
                conn.sendall(data)


def work(address: tuple[str, int]) -> None:
    """A kernel's client: connects, sends, and gets it all back."""
    with socket.create_connection(address, timeout=30) as client:
        sender = threading.Thread(target=lambda: (client.sendall(DATA), client.shutdown(socket.SHUT_WR)))
        sender.start()
        received = b""
        while data := client.recv(65536):
            received += data
        sender.join()
    assert received == DATA


def test_clients_connect_and_finish_during_a_flood(offload: bool) -> None:
    link = pystack.TapLink("pystack0", host_address=f"{KERNEL}/{PREFIX}", offload=offload)
    with (
        pystack.Host(link, address=f"{OURS}/{PREFIX}", gateway=KERNEL) as host,
        host.create_server((OURS, 0), backlog=8) as server,
    ):
        address = server.getsockname()
        serving = threading.Thread(target=echo, args=(server,))
        serving.start()
        work(address)
        sizes: list[int] = []
        attacker = threading.Thread(target=flood, args=(host, address[1], sizes))
        attacker.start()
        served = 0
        while attacker.is_alive():
            work(address)
            served += 1
        attacker.join()
        assert len(sizes) == FLOOD // BATCH, "the flood was not dealt with"
        assert served > 0
        assert host.counters["tcp.cookies_redeemed"] > 0
        assert sizes[-1] - sizes[len(sizes) // 4] < 8_000, "KiB of memory grown"
        work(address)
        server.close()
        serving.join(10)
        assert not serving.is_alive()
