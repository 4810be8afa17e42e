"""The life of a host: from the constructor through threads, interrupts and forks to the end."""

import errno
import gc
import io
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, assert_type

import pytest

from pystack.errors import LinkDown, StateError
from pystack.link.base import Medium
from pystack.link.memory import MemoryHub, MemoryLink
from pystack.sockets.host import Host
from pystack.sockets.socket import Socket
from pystack.stack.config import StackConfig
from tests.sockets.still import PATIENCE, in_thread

ROOT = Path(__file__).parent.parent.parent


class Two:
    """Hosts `a`, 192.0.2.1, and `b`, 192.0.2.2, on one cable."""

    def __init__(self) -> None:
        self.cable = MemoryLink.pair()
        self.a = Host(self.cable[0], address="192.0.2.1/24", hosts={"b.example": "192.0.2.2"})
        self.b = Host(self.cable[1], address="192.0.2.2/24", gateway="192.0.2.1")

    def connection(self) -> tuple[Socket, Socket]:
        with self.b.create_server(("", 0)) as listener:
            listener.settimeout(PATIENCE)
            near = self.a.create_connection(("192.0.2.2", listener.getsockname()[1]), PATIENCE)
            far, _ = listener.accept()
        far.settimeout(PATIENCE)
        return near, far


@pytest.fixture
def two() -> Iterator[Two]:
    hosts = Two()
    yield hosts
    hosts.a.close(0)
    hosts.b.close(0)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# --- making one


def test_ping_takes_seconds_as_a_float(two: Two) -> None:
    assert 0 < two.a.ping("192.0.2.2", timeout=PATIENCE) < PATIENCE
    assert two.a.ping("b.example", timeout=PATIENCE, size=0) > 0
    assert two.b.ping("localhost", timeout=PATIENCE) > 0


def test_ping_times_out_with_a_sentence(two: Two) -> None:
    two.b.close()
    with pytest.raises(TimeoutError, match=re.escape("no echo reply from 192.0.2.2 within 0.01 s")):
        two.a.ping("192.0.2.2", timeout=0.01)


def test_a_connection_by_name_on_an_ip_link() -> None:
    left, right = MemoryLink.pair(medium=Medium.IP)
    with Host(left, address="192.0.2.1/24", hosts={"b": "192.0.2.2"}) as a, Host(right, address="192.0.2.2/24") as b:
        listener = b.create_server(("192.0.2.2", 0), backlog=1)
        with a.create_connection(("b", listener.getsockname()[1]), timeout=PATIENCE) as sock:
            listener.settimeout(PATIENCE)
            far, peer = listener.accept()
            assert peer == sock.getsockname()
            far.close()
        listener.close()


def test_a_host_talks_to_itself() -> None:
    with Host(MemoryLink.pair()[0], address="192.0.2.1/24") as host:
        listener = host.create_server(("", 0))
        listener.settimeout(PATIENCE)
        for name in ("localhost", "192.0.2.1"):
            with host.create_connection((name, listener.getsockname()[1]), timeout=PATIENCE) as near:
                far, _ = listener.accept()
                with far:
                    near.sendall(b"self")
                    assert far.recv(4) == b"self"
        listener.close()


def test_several_links_each_with_an_address() -> None:
    left, right = MemoryHub(), MemoryHub()
    with (
        Host() as middle,
        Host(left.port(), address="192.0.2.2/24") as one,
        Host(right.port(), address="198.51.100.2/24") as other,
    ):
        middle.add_link(left.port(), address="192.0.2.1/24")
        middle.add_link(right.port(), address="198.51.100.1/24", gateway="198.51.100.2")
        assert middle.ping("192.0.2.2", timeout=PATIENCE) > 0
        assert middle.ping("198.51.100.2", timeout=PATIENCE) > 0
        assert one.ping("192.0.2.1", timeout=PATIENCE) > 0
        assert other.ping("198.51.100.1", timeout=PATIENCE) > 0


def test_a_link_that_has_an_address_lends_it() -> None:
    link, _ = MemoryLink.pair(medium=Medium.IP)
    link.address = "192.0.2.9/24"  # type: ignore[attr-defined]
    with Host(link) as host:
        sock = host.socket(type=socket.SOCK_DGRAM)
        sock.bind(("192.0.2.9", 0))
        sock.close()


@pytest.mark.parametrize(
    "arguments", [{"address": "192.0.2.1/24"}, {"gateway": "192.0.2.1"}], ids=["address", "gateway"]
)
def test_one_address_does_not_do_for_two_links(arguments: dict[str, str]) -> None:
    links = MemoryLink.pair()
    with pytest.raises(ValueError, match="add_link"):
        Host(*links, **arguments)  # type: ignore[arg-type]


def test_a_host_that_cannot_be_made_leaves_nothing_behind() -> None:
    before = threading.active_count()
    link, far = MemoryLink.pair()
    with pytest.raises(ValueError, match="address"):
        Host(link, address="no address")
    with pytest.raises(LinkDown):
        link.send((), 0)
    assert threading.active_count() == before
    far.close()


def test_a_seed_makes_ports_repeat() -> None:
    def ports(seed: int | None) -> list[int]:
        with Host(MemoryLink.pair()[0], address="192.0.2.1/24", seed=seed) as host:
            socks = [host.socket(type=socket.SOCK_DGRAM) for _ in range(4)]
            for sock in socks:
                sock.bind(("", 0))
            found = [sock.getsockname()[1] for sock in socks]
            for sock in socks:
                sock.close()
            return found

    assert ports(7) == ports(7)
    assert ports(7) != ports(8)
    assert ports(None) != ports(None)


def test_settings_reach_the_stack() -> None:
    with Host(MemoryLink.pair()[0], address="192.0.2.1/24", config=StackConfig(ephemeral_ports=(5000, 5000))) as host:
        sock = host.socket(type=socket.SOCK_DGRAM)
        sock.bind(("", 0))
        assert sock.getsockname()[1] == 5000
        sock.close()


def test_only_tcp_and_udp(two: Two) -> None:
    with two.a.socket(proto=socket.IPPROTO_TCP) as sock:
        assert sock.proto == socket.IPPROTO_TCP
    with pytest.raises(OSError, match="AF_INET") as family:
        two.a.socket(socket.AF_UNSPEC)
    assert family.value.errno == errno.EAFNOSUPPORT
    with pytest.raises(OSError, match="SOCK_STREAM") as kind:
        two.a.socket(type=socket.SOCK_RAW)
    assert kind.value.errno == errno.EPROTONOSUPPORT


def test_an_address_in_use_is_told_by_create_server(two: Two) -> None:
    with two.b.create_server(("", 0)) as listener, pytest.raises(OSError, match="port") as caught:
        two.b.create_server(listener.getsockname())
    assert caught.value.errno == errno.EADDRINUSE


def test_counters_are_a_copy(two: Two) -> None:
    two.a.counters["mine"] += 1
    assert two.a.counters["mine"] == 0


def test_info_shows_the_connection(two: Two) -> None:
    near, far = two.connection()
    with near, far:
        assert near.info().state.name == "ESTABLISHED"
    with two.a.socket() as sock, pytest.raises(OSError, match="not connected"):
        sock.info()


def test_a_files_type_follows_from_its_mode(two: Two) -> None:
    with two.a.socket() as sock:
        for file in (
            assert_type(sock.makefile(), IO[str]),
            assert_type(sock.makefile("rw"), IO[str]),
            assert_type(sock.makefile("rwb", buffering=0), IO[bytes]),
        ):
            file.close()


def test_there_is_no_descriptor(two: Two) -> None:
    with two.a.socket() as sock:
        with pytest.raises(io.UnsupportedOperation):
            sock.fileno()
        with pytest.raises(io.UnsupportedOperation):
            sock.detach()


def test_flags_we_do_not_have(two: Two) -> None:
    near, far = two.connection()
    with near, far, pytest.raises(OSError, match="does not know the flags") as caught:
        near.recv(1, socket.MSG_DONTROUTE)
    assert caught.value.errno == errno.EOPNOTSUPP


def test_a_connection_reset_while_it_waits_is_aborted(two: Two) -> None:
    listener = two.b.create_server(("", 0))
    listener.settimeout(PATIENCE)
    address = ("192.0.2.2", listener.getsockname()[1])
    hasty = two.a.create_connection(address, PATIENCE)
    hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    hasty.close()
    with two.a.create_connection(address, PATIENCE) as patient:
        with suppress(ConnectionAbortedError):  # unless the stack has forgotten it already
            listener.accept()[0].close()
        patient.sendall(b"x")
    listener.close()


def test_a_signal_handler_may_close_a_listener(two: Two) -> None:
    """As `SIGTERM` often does: also while this very thread is in the middle of a poll."""
    listener = two.b.create_server(("", 0))
    two.b._pump.call(lambda now: listener.close())
    assert two.b.ping("localhost", timeout=PATIENCE) > 0
    assert listener._endpoint.closed


# --- several threads


def test_closing_a_socket_ends_calls_that_wait_on_it(two: Two) -> None:
    near, far = two.connection()
    listener = two.b.create_server(("", 0))
    reading, accepting = in_thread(near.recv, 1), in_thread(listener.accept)
    for sock in (near, listener):
        sock.close()
    for waiting in (reading, accepting):
        with pytest.raises(OSError, match="closed") as caught:
            waiting.result(PATIENCE)
        assert caught.value.errno == errno.EBADF
    far.close()


def test_a_socket_waits_while_others_work(two: Two) -> None:
    near, far = two.connection()
    quiet, quiet_far = two.connection()
    waiting = in_thread(quiet.recv, 1)
    for number in range(50):
        near.sendall(bytes([number]))
        assert far.recv(1) == bytes([number])
        far.sendall(b"!")
        assert near.recv(1) == b"!"
    quiet_far.sendall(b"at last")
    assert waiting.result(PATIENCE) == b"a"
    for sock in (near, far, quiet, quiet_far):
        sock.close()


def test_the_host_answers_while_the_program_computes(two: Two) -> None:
    """A pure-Python loop holds the interpreter all the time; the pumps get their turns nevertheless."""
    stop = False

    def compute() -> None:
        while not stop:
            pass

    computing = in_thread(compute)
    try:
        assert two.a.ping("192.0.2.2", timeout=PATIENCE) > 0
    finally:
        stop = True
        computing.result(PATIENCE)


def test_linger_waits_for_the_peer_to_acknowledge(two: Two) -> None:
    near, far = two.connection()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, int(PATIENCE)))
    near.sendall(bytes(50_000))
    endpoint = near._endpoint
    near.close()
    assert endpoint.unsent == 0  # type: ignore[union-attr]
    received = 0
    while data := far.recv(65536):
        received += len(data)
    assert received == 50_000
    far.close()


# --- the end


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


def our_objects() -> int:
    return sum(type(thing).__module__.startswith("pystack") for thing in gc.get_objects())


def test_the_mark_of_urgent_data(two: Two) -> None:
    near, far = two.connection()
    with near, far:
        far.sendall(b"ab!", socket.MSG_OOB)
        far.sendall(b"cd")
        near.settimeout(PATIENCE)
        assert near.recv(100) == b"ab"
        assert near.sockatmark()
        assert near.recv(1, socket.MSG_OOB) == b"!"
        assert near.recv(100) == b"cd"
        assert not near.sockatmark()


def test_a_call_that_waits_for_all_stops_at_the_mark(two: Two) -> None:
    near, far = two.connection()
    with near, far:
        far.sendall(b"ab!", socket.MSG_OOB)
        far.sendall(b"cd")
        near.settimeout(PATIENCE)
        assert near.recv(4, socket.MSG_WAITALL) == b"ab"
        assert near.sockatmark()
        assert near.recv(2, socket.MSG_WAITALL) == b"cd"


def test_a_datagram_is_all_that_a_call_waits_for(two: Two) -> None:
    with two.a.socket(type=socket.SOCK_DGRAM) as near, two.b.socket(type=socket.SOCK_DGRAM) as far:
        near.bind(("", 0))
        near.settimeout(PATIENCE)
        far.connect(("192.0.2.1", near.getsockname()[1]))
        for datagram in (b"one", b"two"):
            far.send(datagram)
        assert near.recv(6, socket.MSG_WAITALL) == b"one"
        buffer = bytearray(6)
        assert near.recv_into(buffer, 0, socket.MSG_WAITALL) == 3
        assert buffer == b"two\0\0\0"
