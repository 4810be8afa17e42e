"""The ends of a measured connection: a `Host` on a TAP, two on a memory pair, the kernel's sockets, the bare loop."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Thread

from _network import ip, mac_of, open_tap
from _peer import serve
from _work import AnySocket
from reference.bulk import Bare
from reference.offload import OffloadBare

import pystack

__all__ = ["KERNELS", "bare_over_tap", "kernel_connection", "memory_pair", "tap_host"]

OURS, KERNELS = "192.0.2.2", "192.0.2.1"
BARES, BARES_KERNEL = "203.0.113.2", "203.0.113.1"
BARES_MAC = bytes.fromhex("020000000002")
MEMORY_PORT = 80


@contextmanager
def tap_host(mtu: int, *, offload: bool) -> Iterator[pystack.Host]:
    """A host at one end of a TAP; the kernel has `KERNELS` at the other."""
    link = pystack.TapLink("tap0", host_address=f"{KERNELS}/24", mtu=mtu, offload=offload)
    with pystack.Host(link, address=f"{OURS}/24") as host:
        yield host


@contextmanager
def bare_over_tap(mtu: int, port: int, *, offload: bool) -> Iterator[Bare]:
    """The bare loop on a TAP of its own; it talks to the kernel's `port`."""
    descriptor = open_tap("bare0", f"{BARES_KERNEL}/24", offload=offload)
    kind = OffloadBare if offload else Bare
    try:
        ip("neighbour", "add", BARES, "lladdr", BARES_MAC.hex(":"), "dev", "bare0", "nud", "permanent")
        yield kind(descriptor, mtu, BARES, (BARES_KERNEL, port), mac_of("bare0") + BARES_MAC)
    finally:
        os.close(descriptor)


def kernel_connection(port: int, host: str = "127.0.0.1") -> socket.socket:
    """The kernel's socket, connected, with NODELAY as on ours and Reno as on the peer's."""
    sock = socket.create_connection((host, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


@contextmanager
def memory_pair(mtu: int) -> Iterator[Callable[[], AnySocket]]:
    """Two hosts in this process, the peer's program in a thread beside them; gives the way to connect to it."""
    near, far = pystack.MemoryLink.pair(mtu=mtu)
    with ExitStack() as stack:
        client = stack.enter_context(pystack.Host(near, address=f"{OURS}/24"))
        server = stack.enter_context(pystack.Host(far, address=f"{KERNELS}/24"))
        listener = server.create_server(("", MEMORY_PORT), backlog=16)

        def accept_until_closed() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    serve(connection)

        thread = Thread(target=accept_until_closed)
        thread.start()
        stack.callback(thread.join)
        stack.callback(listener.close)
        yield lambda: client.create_connection((KERNELS, MEMORY_PORT), timeout=60)
