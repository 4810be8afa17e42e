"""The ends of a measured connection: a `Host` and a bare loop on each link, two hosts on a memory pair, the kernel."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Thread

from _network import ip, mac_of, open_tap
from _peer import serve
from _work import AnySocket
from attrs import frozen
from reference.bulk import Bare
from reference.vnet_bulk import VnetBare
from reference.vnet_links import open_vnet_packet, open_vnet_tap

import pystack
from pystack.link.base import Link
from pystack.link.faults import Faults

__all__ = ["KERNELS", "Place", "fault_host", "kernel_connection", "memory_pair", "tap", "tap_host", "veth"]

OURS, KERNELS = "192.0.2.2", "192.0.2.1"
BARES, BARES_KERNEL = "203.0.113.2", "203.0.113.1"
BARES_MAC = bytes.fromhex("020000000002")
MEMORY_PORT = 80


@frozen
class Place:
    """A host of ours and a bare loop on links of one kind, the kernel at the other end of both."""

    host: pystack.Host
    kernel: str
    """The kernel's address, seen from the host."""
    bare: Bare | VnetBare


@contextmanager
def running(link: Link) -> Iterator[pystack.Host]:
    with pystack.Host(link, address=f"{OURS}/24") as host:
        yield host


@contextmanager
def tap_host(mtu: int, *, offload: bool) -> Iterator[pystack.Host]:
    """A host at one end of a TAP; the kernel has `KERNELS` at the other."""
    with running(pystack.TapLink("tap0", host_address=f"{KERNELS}/24", mtu=mtu, offload=offload)) as host:
        yield host


@contextmanager
def fault_host(mtu: int, faults: Faults) -> Iterator[pystack.Host]:
    """As `tap_host`, with the same faults each way, on wire frames."""
    inner = pystack.TapLink("tap0", host_address=f"{KERNELS}/24", mtu=mtu, offload=False)
    with running(pystack.FaultLink(inner, seed=1, outbound=faults, inbound=faults)) as host:
        yield host


@contextmanager
def tap(mtu: int, port: int, *, offload: bool) -> Iterator[Place]:
    """Each on a TAP of its own. `port`: the kernel's, for the bare loop."""
    descriptor = (open_vnet_tap if offload else open_tap)("bare0", f"{BARES_KERNEL}/24")
    try:
        bare = meet_bare(VnetBare if offload else Bare, descriptor, mtu, "bare0", port)
        with tap_host(mtu, offload=offload) as host:
            yield Place(host, KERNELS, bare)
    finally:
        os.close(descriptor)


@contextmanager
def veth(mtu: int, port: int) -> Iterator[Place]:
    """Both on AF_PACKET at the near end of one veth, with offload; the kernel's addresses are on the far end."""
    ip("link", "add", "near", "mtu", str(mtu), "type", "veth", "peer", "name", "far", "mtu", str(mtu))
    for address in (KERNELS, BARES_KERNEL):
        ip("address", "add", f"{address}/24", "dev", "far")
    for end in ("near", "far"):
        ip("link", "set", end, "up")
    try:
        with open_vnet_packet("near", BARES_MAC) as sock, running(pystack.PacketLink("near")) as host:
            yield Place(host, KERNELS, meet_bare(VnetBare, sock.fileno(), mtu, "far", port))
    finally:
        ip("link", "delete", "near")


def meet_bare(kind: type[Bare | VnetBare], descriptor: int, mtu: int, interface: str, port: int) -> Bare | VnetBare:
    """A bare loop that the kernel, behind `interface`, need not ask for its address: it does not know ARP."""
    ip("neighbour", "add", BARES, "lladdr", BARES_MAC.hex(":"), "dev", interface, "nud", "permanent")
    return kind(descriptor, mtu, BARES, (BARES_KERNEL, port), mac_of(interface) + BARES_MAC)


def kernel_connection(port: int, host: str = "127.0.0.1") -> socket.socket:
    """The kernel's socket, connected, with Reno as on the peer's."""
    sock = socket.create_connection((host, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    return sock


@contextmanager
def memory_pair(mtu: int, *, offload: bool) -> Iterator[Callable[[], AnySocket]]:
    """Two hosts in this process, the peer's program in a thread beside them; gives the way to connect to it."""
    near, far = pystack.MemoryLink.pair(mtu, tx_checksum=offload, rx_checksum=offload, tso=65_535 if offload else 0)
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
