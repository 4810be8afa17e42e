"""What tests on a real kernel stand on: who may run them, and network namespaces that vanish with the test.

A test marked `interop` needs Linux, root and iproute2; `requires("nginx", "curl")` names more programs. Where they are
missing it is skipped with the reason, or fails if PYSTACK_REQUIRE_ALL=1 says that they must be there.
"""

import ctypes
import functools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import Self

import pytest
from attrs import define, field

__all__ = ["Cable", "NetworkNamespace"]

pytest_plugins = ["tests.requirements.plugin"]

CLONE_NEWNET = 0x40000000
TESTS_AT_A_TIME = 4
"""More, and one of several processes is left with the slow tests of the end."""


def pytest_configure(config: pytest.Config) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and their children, ignore it
    config.addinivalue_line("markers", "requires(*programs): programs that an interop test runs")
    if getattr(config.option, "maxschedchunk", 0) is None:  # pytest-xdist, free to choose
        config.option.maxschedchunk = TESTS_AT_A_TIME


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    os.environ.pop("PYTEST_ADDOPTS", None)  # meant for this run and its workers, not for those that tests start


def pytest_runtest_setup(item: pytest.Item) -> None:
    interop = item.get_closest_marker("interop") is not None
    programs = [program for mark in item.iter_markers("requires") for program in mark.args]
    missing = [*missing_privileges(), *missing_programs("ip")] if interop else []
    missing += missing_programs(*programs)
    if missing:
        reason = f"needs {', '.join(missing)}"
        if os.environ.get("PYSTACK_REQUIRE_ALL"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """`untraced` tests take a third of the time. (pytest-cov's own `no_cover` has no effect in workers of xdist.)"""
    tracer = sys.gettrace()
    if item.get_closest_marker("untraced"):
        sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


def missing_privileges() -> list[str]:
    if sys.platform != "linux":
        return ["Linux"]
    return [] if os.geteuid() == 0 else ["root"]


@functools.cache
def found(program: str) -> bool:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    return shutil.which(program, path=path) is not None


def missing_programs(*programs: str) -> list[str]:
    return [program for program in programs if not found(program)]


def check(result: int) -> None:
    """Raise what a call into the C library left in errno."""
    if result:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


@functools.cache
def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@define(eq=False)
class NetworkNamespace:
    """A network of its own. `with` puts the calling thread, and what it starts meanwhile, inside; it may be nested.

    It has no name, and ends with the last descriptor, socket or process in it, however the test ends.
    """

    descriptor: int
    _entered: list[int] = field(init=False, factory=list)

    @classmethod
    def create(cls) -> Self:
        """An empty network, but for a loopback interface that is up."""
        before = current_namespace()
        try:
            check(libc().unshare(CLONE_NEWNET))
            namespace = cls(current_namespace())
        finally:
            check(libc().setns(before, CLONE_NEWNET))
            os.close(before)
        namespace.ip("link set lo up")
        return namespace

    def __enter__(self) -> Self:
        self._entered.append(current_namespace())
        check(libc().setns(self.descriptor, CLONE_NEWNET))
        return self

    def __exit__(self, *exc_info: object) -> None:
        before = self._entered.pop()
        check(libc().setns(before, CLONE_NEWNET))
        os.close(before)

    def run(self, *command: str) -> str:
        """The standard output of `command`, run in here. Fails when the command does."""
        with self:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def ip(self, arguments: str) -> str:
        """`ip ARGUMENTS` in here, split at blanks."""
        return self.run("ip", *arguments.split())

    def close(self) -> None:
        os.close(self.descriptor)


def current_namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@define(eq=False)
class Cable:
    """Two namespaces joined by a veth pair: interface `near` in one, `far` in the other, both up.

    Neither has an address, not even a link-local one: nobody speaks unasked.
    """

    near: NetworkNamespace
    far: NetworkNamespace


@pytest.fixture
def make_netns() -> Iterator[Callable[[], NetworkNamespace]]:
    """Makes as many namespaces as the test likes; they end with it."""
    with ExitStack() as stack:

        def make() -> NetworkNamespace:
            namespace = NetworkNamespace.create()
            stack.callback(namespace.close)
            return namespace

        yield make


@pytest.fixture
def netns(make_netns: Callable[[], NetworkNamespace]) -> Iterator[NetworkNamespace]:
    """The whole test runs inside a namespace of its own: any name, address and port is free there."""
    with make_netns() as namespace:
        yield namespace


@pytest.fixture
def cable(netns: NetworkNamespace, make_netns: Callable[[], NetworkNamespace]) -> Cable:
    """A neighbour for the namespace in which the test runs (`near`)."""
    far = make_netns()
    netns.ip(f"link add near type veth peer name far netns /proc/{os.getpid()}/fd/{far.descriptor}")
    netns.ip("link set near addrgenmode none up")
    far.ip("link set far addrgenmode none up")
    return Cable(netns, far)


_serial = count()


@pytest.fixture
def tap_name() -> str:
    """A name for an interface that nobody else on this machine uses, even in the namespace that all share."""
    return f"pt{os.getpid():x}.{next(_serial):x}"
