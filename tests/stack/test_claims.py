"""Local ports on links that share their address with the kernel, which may have given a port to somebody else."""

import errno
from collections.abc import Sequence
from typing import Any

import pytest

from pystack.errors import os_error
from pystack.link.base import Frame, Medium
from pystack.link.memory import MemoryLink
from pystack.link.wrapper import LinkWrapper
from pystack.sim.simulation import Simulation
from pystack.stack.config import StackConfig
from pystack.stack.stack import Stack
from pystack.units import Ns
from tests.stack.conftest import raises_errno

FIRST, LAST = 50_000, 50_001
TCP, UDP = 6, 17


class SharedLink(LinkWrapper):
    """`taken`: ports that are the kernel's, each with the errno of asking for it; `held`: ours."""

    def __init__(self) -> None:
        near, self.far = MemoryLink.pair(medium=Medium.IP)
        super().__init__(near)
        self.taken: dict[int, int] = {}
        self.held: list[tuple[int, int]] = []

    def send(self, frames: Sequence[Frame], now: Ns) -> int:
        return self.inner.send(frames, now)

    def receive(self, budget: int, now: Ns) -> Sequence[Frame]:
        return self.inner.receive(budget, now)

    def claim(self, protocol: int, address: bytes, port: int) -> None:
        if port in self.taken:
            raise os_error(self.taken[port])
        self.held.append((protocol, port))

    def release(self, protocol: int, address: bytes, port: int) -> None:
        self.held.remove((protocol, port))


@pytest.fixture
def stack() -> Stack:
    return Simulation(1).stack(StackConfig(ephemeral_ports=(FIRST, LAST)))


@pytest.fixture
def link(stack: Stack) -> SharedLink:
    link = SharedLink()
    stack.add_interface(link, "192.0.2.1/24")
    return link


def sockets(stack: Stack) -> list[tuple[int, Any]]:
    return [(TCP, stack.stream()), (UDP, stack.datagram())]


@pytest.mark.parametrize("taken", [FIRST, LAST])
@pytest.mark.parametrize("use", ["bind", "connect"])
def test_the_next_ephemeral_port_is_tried(stack: Stack, link: SharedLink, taken: int, use: str) -> None:
    link.taken = {taken: errno.EADDRINUSE}
    free = FIRST + LAST - taken
    for protocol, sock in sockets(stack):
        if use == "bind":
            sock.bind(("192.0.2.1", 0), 0)
        else:
            sock.connect(("192.0.2.2", 80), 0)
        assert sock.getsockname() == ("192.0.2.1", free)
        assert link.held[-1] == (protocol, free)


@pytest.mark.parametrize("use", ["bind", "connect"])
def test_when_the_kernel_has_given_all_away_no_port_is_free(stack: Stack, link: SharedLink, use: str) -> None:
    link.taken = {FIRST: errno.EADDRINUSE, LAST: errno.EADDRINUSE}
    for _, sock in sockets(stack):
        with raises_errno("EADDRNOTAVAIL"):
            sock.bind(("", 0), 0) if use == "bind" else sock.connect(("192.0.2.2", 80), 0)
    assert link.held == []


@pytest.mark.parametrize("use", ["bind", "connect"])
def test_another_refusal_ends_the_search(stack: Stack, link: SharedLink, use: str) -> None:
    link.taken = {FIRST: errno.EACCES, LAST: errno.EACCES}
    for _, sock in sockets(stack):
        with raises_errno("EACCES"):
            sock.bind(("", 0), 0) if use == "bind" else sock.connect(("192.0.2.2", 80), 0)
    assert link.held == []


def test_a_port_that_was_asked_for_is_refused_and_left_free(stack: Stack, link: SharedLink) -> None:
    for protocol, sock in sockets(stack):
        link.taken = {80: errno.EADDRINUSE}
        with raises_errno("EADDRINUSE"):
            sock.bind(("", 80), 0)
        link.taken = {}
        sock.bind(("", 80), 0)
        assert link.held == [(protocol, 80)]
        sock.close(0)
        assert link.held == []


def test_any_address_is_every_link_or_none(stack: Stack, link: SharedLink) -> None:
    other = SharedLink()
    stack.add_interface(other, "198.51.100.1/24")
    other.taken = {80: errno.EADDRINUSE}
    for protocol, sock in sockets(stack):
        with raises_errno("EADDRINUSE"):
            sock.bind(("", 80), 0)
        assert (link.held, other.held) == ([], [])
        sock.bind(("192.0.2.1", 80), 0)
        assert (link.held, other.held) == ([(protocol, 80)], [])
        sock.close(0)
