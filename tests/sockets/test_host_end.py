"""How a host ends: closed, cut, forgotten or forked; and what is left of it."""

import errno
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from pystack.errors import LinkDown, StateError
from pystack.link.memory import MemoryLink
from pystack.sockets.host import Host
from tests.sockets.still import PATIENCE, in_thread
from tests.sockets.two import Two

ROOT = Path(__file__).parent.parent.parent


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def our_objects() -> int:
    return sum(type(thing).__module__.startswith("pystack") for thing in gc.get_objects())


def test_what_is_queued_is_delivered_before_the_host_is_gone(two: Two) -> None:
    near, far = two.connection()

    def drain() -> int:
        octets = 0
        while data := far.recv(65536):
            octets += len(data)
        return octets

    near.sendall(bytes(100_000))
    near.close()
    draining = in_thread(drain)
    two.a.close()
    assert draining.result(PATIENCE) == 100_000
    far.close()


def test_closing_resets_what_is_not_delivered_in_time(two: Two) -> None:
    near, far = two.connection()
    with suppress(TimeoutError):
        near.settimeout(0.1)
        near.sendall(bytes(20_000_000))  # nobody reads
    two.a.close(timeout=0.01)
    with pytest.raises(ConnectionResetError):  # noqa: PT012
        while far.recv(1 << 20):
            pass
    far.close()


def test_a_closed_host_refuses_calls_and_has_closed_its_links(two: Two) -> None:
    near, far = two.connection()
    waiting = in_thread(near.recv, 1)
    idle = two.a.socket()
    two.a.close()
    two.a.close()
    calls: list[Callable[[], object]] = [
        lambda: waiting.result(PATIENCE),
        lambda: two.a.ping("192.0.2.2"),
        lambda: two.a.socket(),
        lambda: two.a.create_connection(("192.0.2.2", 1)),
        lambda: idle.connect(("192.0.2.2", 1)),
        lambda: two.a.counters,
    ]
    for call in calls:
        with pytest.raises(OSError, match="closed") as caught:
            call()
        assert caught.value.errno == errno.EBADF
    with pytest.raises(LinkDown):
        two.cable[0].send((), 0)
    assert "closed" in repr(two.a)
    near.close()
    idle.close()
    far.close()


def test_a_with_block_left_by_an_exception_does_not_wait(two: Two) -> None:
    near, far = two.connection()
    two.cable[1].close()  # nobody acknowledges any more
    pump = two.a._pump
    pump.wait_until = None  # type: ignore[method-assign, assignment]
    with pytest.raises(ZeroDivisionError), two.a:  # noqa: PT012
        near.sendall(bytes(1000))
        raise ZeroDivisionError
    assert not pump.is_open
    near.close()
    far.close()


def test_a_link_that_goes_down_fails_its_sockets(two: Two) -> None:
    near, far = two.connection()
    waiting = in_thread(near.recv, 1)
    two.cable[0].close()
    two.a._pump.wake()
    with pytest.raises(OSError, match=r".") as caught:
        waiting.result(PATIENCE)
    assert caught.value.errno == errno.ENETDOWN
    near.close()
    two.a.close()
    far.close()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals to threads")
def test_an_interrupt_while_waiting_spares_the_host(two: Two) -> None:
    near, far = two.connection()
    with interrupt_until_cut(), pytest.raises(KeyboardInterrupt):
        near.recv(1)
    far.sendall(b"x")
    assert near.recv(1) == b"x"
    near.close()
    far.close()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals to threads")
def test_an_interrupted_create_connection_leaves_no_socket(two: Two) -> None:
    nobody, source = ("192.0.2.77", 80), ("192.0.2.1", 5000)
    with interrupt_until_cut(), pytest.raises(KeyboardInterrupt):
        two.a.create_connection(nobody, PATIENCE, source_address=source)
    with two.a.socket() as sock:
        sock.bind(source)
        assert sock.getsockname() == source


@contextmanager
def interrupt_until_cut() -> Iterator[None]:
    """SIGINT to the main thread, again and again, until one KeyboardInterrupt was raised; no more than one is."""
    main = threading.get_ident()
    cut = threading.Event()

    def handler(*_: object) -> None:
        if not cut.is_set():
            cut.set()
            raise KeyboardInterrupt

    def interrupt() -> None:
        while not cut.wait(0.05):
            signal.pthread_kill(main, signal.SIGINT)

    usual = signal.signal(signal.SIGINT, handler)
    interrupting = in_thread(interrupt)
    try:
        yield
        interrupting.result(PATIENCE)
    finally:
        cut.set()
        signal.signal(signal.SIGINT, usual)


def test_an_unclosed_socket_warns_and_is_closed(two: Two) -> None:
    near, far = two.connection()
    with pytest.warns(ResourceWarning, match=r"unclosed <pystack\.Socket"):  # noqa: PT031
        del near
        gc.collect()
    assert far.recv(1) == b""
    far.close()


def test_an_unclosed_host_warns_and_ends() -> None:
    left, right = MemoryLink.pair()
    with pytest.warns(ResourceWarning, match=r"unclosed <pystack\.Host"):  # noqa: PT031
        thread = Host(left, address="192.0.2.1/24")._pump._thread
        gc.collect()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    with pytest.raises(LinkDown):
        left.send((), 0)
    right.close()


def test_a_socket_keeps_its_host_alive() -> None:
    with ExitStack() as closing:
        sock = closing.enter_context(Host(MemoryLink.pair()[0], address="192.0.2.1/24").socket())
        gc.collect()
        sock.bind(("", 0))
        sock._host.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_refused_and_disturbs_nothing(two: Two) -> None:
    near, far = two.connection()
    waiting = in_thread(near.recv, 3)
    child = os.fork()
    if child == 0:
        refused = 0
        calls: list[Callable[[], object]] = [
            lambda: near.recv(1),
            lambda: near.sendall(b"no"),
            lambda: two.a.socket(),
            lambda: two.a.ping("192.0.2.2"),
        ]
        for call in calls:
            try:
                call()
            except RuntimeError:
                refused += 1
        near.close()
        two.a.close()
        os._exit(refused)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 4
    far.sendall(b"yes")
    assert waiting.result(PATIENCE) == b"yes"
    near.close()
    far.close()


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "sys.exit(3)",
        "threading.Thread(target=near.recv, args=(1,), daemon=True).start()",
        "raise KeyboardInterrupt",
    ],
    ids=["end", "exit", "blocked thread", "interrupt"],
)
def test_an_interpreter_that_forgets_its_hosts_ends(ending: str) -> None:
    script = f"""
        import sys, threading, pystack
        left, right = pystack.MemoryLink.pair()
        a = pystack.Host(left, address="192.0.2.1/24")
        b = pystack.Host(right, address="192.0.2.2/24")
        listener = b.create_server(("", 0))
        near = a.create_connection(("192.0.2.2", listener.getsockname()[1]), timeout=10)
        near.settimeout(None)
        {ending}
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        timeout=60,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {"": (0,), "sys.exit(3)": (3,)}.get(ending, (0, 130, -signal.SIGINT)), done.stderr
    assert "Fatal" not in done.stderr


def test_an_interrupt_in_the_middle_of_a_poll_ends_the_host(two: Two) -> None:
    near, far = two.connection()

    def cut(now: int, budget: int = 64) -> bool:
        raise KeyboardInterrupt

    two.a._stack.poll = cut  # type: ignore[method-assign]
    near.setblocking(False)
    with pytest.raises(KeyboardInterrupt):
        near.recv(1)
    with pytest.raises(StateError, match="KeyboardInterrupt"):
        near.recv(1)
    with pytest.raises(LinkDown):
        two.cable[0].send((), 0)
    near.close()
    two.a.close()
    far.close()


def open_and_close(times: int) -> None:
    for _ in range(times):
        Host(MemoryLink.pair()[0], address="192.0.2.1/24").close()


def open_connect_and_close(times: int) -> None:
    for _ in range(times):
        hosts = Two()
        with hosts.a, hosts.b:
            near, far = hosts.connection()
            with near, far:
                near.sendall(b"x")
                assert far.recv(1) == b"x"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
@pytest.mark.parametrize(("cycle", "times"), [(open_and_close, 1000), (open_connect_and_close, 50)])
def test_opening_and_closing_leaks_nothing(cycle: Callable[[int], None], times: int) -> None:
    cycle(20)
    gc.collect()
    files, threads, ours, blocks = descriptors(), threading.active_count(), our_objects(), sys.getallocatedblocks()
    cycle(times)
    gc.collect()
    assert descriptors() == files
    assert threading.active_count() == threads
    assert our_objects() == ours
    if sys.gettrace() is None:  # a coverage tracer keeps something for each thread there ever was
        assert sys.getallocatedblocks() - blocks < times, "less than one per cycle: nothing"
