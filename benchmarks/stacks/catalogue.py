"""Which stacks there are, what each needs, and how it is set up: its device, its program, its place in the network."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from _network import HERE, enter_private_network, ip, open_tap
from attrs import frozen

from stacks.program import Failed, Program, started

__all__ = ["Amounts", "Stack", "catalogue"]

OURS, KERNELS, PREFIX = "203.0.113.2", "203.0.113.1", 24
UPLINK, ROUTER = "198.51.100.2", "198.51.100.1"
"""The way to the rest of the world that pasta wants to see. It shows the peer behind the router's address."""
SLIRPS_PEER = "10.0.2.2"


@frozen
class Amounts:
    """What a stack is asked to do in one run: a second's work or so."""

    octets: int
    trips: int
    connections: int


USUAL = Amounts(octets=200_000_000, trips=5_000, connections=2_000)


class Stack(Protocol):
    """A stack that may be here or not."""

    @property
    def name(self) -> str: ...
    @property
    def link(self) -> str: ...
    @property
    def amounts(self) -> Amounts: ...

    def set_up(self) -> AbstractContextManager[Program]:
        """The program that measures it. Raises `Failed` when something that it needs is not here."""
        ...


def catalogue() -> list[Stack]:
    return [
        Pystack("TAP, MTU 1500, offload", "offload", Amounts(octets=1_000_000_000, trips=5_000, connections=2_000)),
        Pystack("TAP, MTU 1500", "wire", USUAL),
        LwIP(),
        Slirp4netns(1500),
        Slirp4netns(65_520),
        Pasta(1500),
        Pasta(65_520),
        PyTCP(),
    ]


def module(name: str, *arguments: str) -> list[str]:
    return ["-m", f"stacks.{name}", *arguments]


def need(program: str, package: str) -> str:
    """Where `program` is."""
    path = shutil.which(program)
    if path is None:
        raise Failed(f"not installed: {package}")
    return path


@frozen
class Pystack:
    """Ours."""

    link: str
    how: str
    amounts: Amounts
    name: str = "**pystack** (Python)"

    def set_up(self) -> AbstractContextManager[Program]:
        return started([sys.executable, *module("with_pystack", self.how)])


@frozen
class LwIP:
    """Debian's build of it, with segments of 1,460 octets and buffers of 64 KB compiled in; our program is `lwip.c`."""

    name: str = "lwIP 2.1 (C)"
    link: str = "TAP, MTU 1500"
    amounts: Amounts = USUAL

    @contextmanager
    def set_up(self) -> Iterator[Program]:
        compiler = need("gcc", "gcc")
        with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
            program = str(Path(directory, "lwip"))
            source = str(HERE / "stacks" / "lwip.c")
            command = [compiler, "-O2", "-I/usr/include/lwip", "-o", program, source, "-llwip"]
            if subprocess.run(command, capture_output=True, check=False).returncode:
                raise Failed("not installed: liblwip-dev")
            descriptor = open_tap("lwip0", f"{KERNELS}/{PREFIX}")
            stack.callback(os.close, descriptor)
            yield stack.enter_context(started([program, str(descriptor), OURS, KERNELS], descriptor))


@frozen
class PyTCP:
    """From PyPI, in an environment of its own, as its licence is not ours: `PYTCP_PYTHON` is the interpreter there."""

    name: str = "PyTCP 2.7.6 (Python)"
    link: str = "TAP, MTU 1500"
    amounts: Amounts = Amounts(octets=200_000, trips=200, connections=50)

    @contextmanager
    def set_up(self) -> Iterator[Program]:
        python = os.environ.get("PYTCP_PYTHON")
        if python is None:
            raise Failed("not installed: PyTCP")
        ip("tuntap", "add", "name", "tap7", "mode", "tap")
        try:
            ip("address", "add", f"{KERNELS}/{PREFIX}", "dev", "tap7")
            ip("link", "set", "tap7", "up")
            with started([python, *module("with_pytcp", "tap7", f"{OURS}/{PREFIX}", KERNELS)]) as program:
                yield program
        finally:
            ip("link", "delete", "tap7")


@frozen
class Slirp4netns:
    """A NAT whose TAP lies in a namespace of its own, with the kernel's sockets there in front of it."""

    mtu: int
    name: str = "slirp4netns (C)"
    amounts: Amounts = USUAL

    @property
    def link(self) -> str:
        return f"TAP, MTU {self.mtu}"

    @contextmanager
    def set_up(self) -> Iterator[Program]:
        program = need("slirp4netns", "slirp4netns")
        with ExitStack() as stack, ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(enter_private_network).result()
            client = started([sys.executable, *module("with_kernel", SLIRPS_PEER)])
            inside = elsewhere.submit(stack.enter_context, client).result()
            ready, tells = os.pipe()
            stack.callback(os.close, ready)
            options = ["--configure", f"--mtu={self.mtu}", "--disable-dns", f"--ready-fd={tells}"]
            stack.enter_context(started([program, *options, str(inside.process.pid), "tap0"], tells))
            os.close(tells)
            if not os.read(ready, 1):
                raise Failed("did not start")
            yield inside


@frozen
class Pasta:
    """A NAT as `Slirp4netns`; it makes the namespace by itself, and starts the program there."""

    mtu: int
    name: str = "pasta (C)"
    amounts: Amounts = Amounts(octets=20_000_000, trips=5_000, connections=2_000)

    @property
    def link(self) -> str:
        return f"TAP, MTU {self.mtu}"

    @contextmanager
    def set_up(self) -> Iterator[Program]:
        program = need("pasta", "passt")
        options = f"--runas 0 --config-net --mtu {self.mtu} -4 -t none -u none -T none -U none --".split()
        ip("link", "add", "uplink", "type", "veth", "peer", "name", "beyond")
        try:
            ip("address", "add", f"{UPLINK}/24", "dev", "uplink")
            for end in ("uplink", "beyond"):
                ip("link", "set", end, "up")
            ip("route", "add", "default", "via", ROUTER)
            with started([program, *options, sys.executable, *module("with_kernel", ROUTER)]) as running:
                yield running
        finally:
            ip("link", "delete", "uplink")
