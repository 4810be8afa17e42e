"""A program: moves octets between a kernel's socket and ours, or another kernel's in our place, over a path that loses
frames and takes its time. Run in a process of its own, so that several do not take turns on one interpreter.

Arguments: who is at the far end ("pystack" or "kernel"), "in" or "out" as the far end sees it, the seed of the losses,
how many octets. Prints the seconds from the first octet sent to the last one read. Fails when they are not the same.
"""

import hashlib
import random
import select
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Event, Thread

import pystack
from pystack.link.base import Link
from pystack.units import MS, SECOND, Ns
from tests.conftest import NetworkNamespace
from tests.interop.helpers import KERNEL, OURS, PREFIX, Stream, receive

BAD = pystack.Faults(loss=0.01, delay=10 * MS)
PATIENCE = 60.0
"""Seconds without progress after which a transfer has failed."""
PIECE = random.Random(7).randbytes(99_991)
"""A prime number of octets: pieces and segments never fall together."""
BATCH = 64
LONGEST_WAIT: Ns = 100 * MS


@contextmanager
def ours(link: Link, address: tuple[str, int]) -> Iterator[Stream]:
    with pystack.Host(link, address=f"{OURS}/{PREFIX}") as host, host.socket() as sock:
        set_up(sock)
        sock.connect(address)
        yield sock


@contextmanager
def another_kernels(link: Link, address: tuple[str, int]) -> Iterator[Stream]:
    """A socket of a kernel that is where we would be: its TAP is joined with `link`, frame by frame."""
    with NetworkNamespace.create() as place:
        tap = pystack.TapLink("tap1", host_address=f"{OURS}/{PREFIX}", offload=False)
        over = Event()
        relay = Thread(target=join, args=(tap, link, over))
        relay.start()
        try:
            with socket.socket() as sock:
                set_up(sock)
                sock.connect(address)
                yield sock
        finally:
            over.set()
            relay.join()
            tap.close()
            link.close()
            place.close()


def join(near: Link, far: Link, over: Event) -> None:
    """Hand on each frame from one link to the other, until `over`."""
    poller = select.epoll()
    with poller:
        for link in (near, far):
            descriptor = link.fileno()
            assert descriptor is not None
            poller.register(descriptor, select.EPOLLIN)
        while not over.is_set():
            now = time.monotonic_ns()
            for source, sink in ((near, far), (far, near)):
                while frames := source.receive(BATCH, now):
                    sink.send(frames, now)
            due = min((each for link in (near, far) if (each := link.next_arrival()) is not None), default=None)
            wait = LONGEST_WAIT if due is None else min(max(due - time.monotonic_ns(), 0), LONGEST_WAIT)
            poller.poll(wait / SECOND)


ENDS = {"pystack": ours, "kernel": another_kernels}


def set_up(sock: Stream) -> None:
    sock.settimeout(PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")


def send(stream: Stream, octets: int) -> str:
    """The SHA-256 of what was sent."""
    digest = hashlib.sha256()
    for left in range(octets, 0, -len(PIECE)):
        piece = PIECE[:left]
        stream.sendall(piece)
        digest.update(piece)
    stream.shutdown(socket.SHUT_WR)
    return digest.hexdigest()


def main(who: str, way: str, seed: str, octets: str) -> None:
    with ExitStack() as stack:
        stack.enter_context(NetworkNamespace.create())
        tap = pystack.TapLink("tap0", host_address=f"{KERNEL}/{PREFIX}", offload=False)
        link = pystack.FaultLink(tap, seed=int(seed), outbound=BAD, inbound=BAD)
        listener = stack.enter_context(socket.create_server((KERNEL, 0)))
        far = stack.enter_context(ENDS[who](link, listener.getsockname()))
        near, _ = listener.accept()
        stack.enter_context(near)
        set_up(near)
        sender, receiver = (far, near) if way == "out" else (near, far)
        workers = stack.enter_context(ThreadPoolExecutor(1))
        begun = time.perf_counter()
        sending = workers.submit(send, sender, int(octets))
        arrived = receive(receiver)
        elapsed = time.perf_counter() - begun
        assert arrived == sending.result(), "what arrived is not what was sent"
    print(elapsed)


if __name__ == "__main__":
    main(*sys.argv[1:])
