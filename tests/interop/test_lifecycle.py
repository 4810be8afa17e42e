"""The stack inside an application that is busy, interrupted, forked, or opened and closed without end."""

import re
import signal
import subprocess
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import pystack
from tests.interop import helpers
from tests.interop.helpers import KERNEL, OURS, PREFIX, Nginx, curl, eventually, run

pytestmark = [pytest.mark.interop, pytest.mark.requires("nginx", "curl", "ping")]


@pytest.fixture
def host_text(offload: bool) -> str:
    """A host on a TAP, as an application writes it."""
    tap = f'pystack.TapLink("pystack0", host_address="{KERNEL}/{PREFIX}", offload={offload})'
    return f'pystack.Host({tap}, address="{OURS}/{PREFIX}")'


def devices() -> set[str]:
    """The network interfaces in this namespace."""
    return set(re.findall(r"^\d+: ([^:@]+)", run("ip", "-o", "link").stdout, re.MULTILINE))


def script(folder: Path, text: str) -> Path:
    """`text`, an application, as a file to run."""
    path = folder / "application.py"
    path.write_text(textwrap.dedent(text))
    return path


def line(process: "subprocess.Popen[str]") -> str:
    """The next line that the application prints; what it complains about, when it ends instead."""
    assert process.stdout is not None
    assert process.stderr is not None
    text = process.stdout.readline()
    assert text, process.stderr.read()
    return text.strip()


def test_beside_a_busy_loop_ping_is_prompt_and_octets_flow(host_text: str, nginx: Nginx, tmp_path: Path) -> None:
    """The interpreter gives a busy thread 5 ms at a time; ARP, ping and a download must live with that."""
    path = nginx.publish("page", bytes(5_000_000))
    program = script(
        tmp_path,
        f"""
        import threading, time
        import pystack

        busy = True
        def loop():
            n = 0
            while busy:
                n += 1

        with {host_text} as host:
            threading.Thread(target=loop).start()
            print("ready", flush=True)
            input()
            begun = time.monotonic()
            with host.create_connection(("{KERNEL}", {nginx.port}), timeout=30) as sock:
                sock.sendall(b"GET {path} HTTP/1.0\\r\\n\\r\\n")
                received = 0
                while data := sock.recv(65536):
                    received += len(data)
            print(received / (time.monotonic() - begun), flush=True)
            busy = False
        """,
    )
    with helpers.python(program) as application:
        assert line(application) == "ready"
        run("ip", "neighbour", "flush", "dev", "pystack0")
        answers = [float(time) for time in re.findall(r"time=([\d.]+) ms", helpers.ping(OURS, count=40))]
        assert len(answers) == 40
        assert max(answers) <= 50, "the first of them includes ARP"
        assert application.stdin is not None
        application.stdin.write("go\n")
        application.stdin.flush()
        assert float(line(application)) >= 1_000_000
        assert application.wait(20) == 0


def test_ctrl_c_in_mid_download_leaves_nothing(nginx: Nginx, tmp_path: Path) -> None:
    path = nginx.publish("page", bytes(3_000_000))
    got = tmp_path / "got"
    before = devices()
    example = helpers.ROOT / "examples" / "curl_lite.py"
    url = f"http://{KERNEL}:{nginx.port}/slow{path}"
    with helpers.python(example, "--link", "tap:pystack0", "-o", got, url) as download:
        eventually(lambda: got.exists() and got.stat().st_size > 0, "the download is under way")
        assert "pystack0" in devices()
        assert helpers.stop(download, signal.SIGINT) == 130
        assert download.stderr is not None
        complaint = download.stderr.read()
    assert len(complaint.splitlines()) == 1, complaint
    assert devices() == before


def test_ctrl_c_ends_threads_too_when_the_application_goes_on(host_text: str, nginx: Nginx, tmp_path: Path) -> None:
    path = nginx.publish("page", bytes(3_000_000))
    program = script(
        tmp_path,
        f"""
        import threading
        import pystack

        try:
            with {host_text} as host, host.create_connection(("{KERNEL}", {nginx.port}), timeout=30) as sock:
                sock.sendall(b"GET /slow{path} HTTP/1.0\\r\\n\\r\\n")
                sock.recv(1)
                print("under way", flush=True)
                while sock.recv(65536):
                    pass
        except KeyboardInterrupt:
            print([thread.name for thread in threading.enumerate()], flush=True)
            input()
        """,
    )
    with helpers.python(program) as application:
        assert line(application) == "under way"
        application.send_signal(signal.SIGINT)
        assert line(application) == "['MainThread']"
        assert "pystack0" not in devices()
        application.communicate("go on\n", timeout=20)
    assert application.returncode == 0


CYCLES = """
    import gc, os, threading, tracemalloc
    import pystack

    def cycle(index):
        {make}

    def state():
        gc.collect()
        return len(os.listdir("/proc/self/fd")), threading.active_count(), tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    for index in range(50):
        cycle(index)
    before = state()
    for index in range({cycles}):
        cycle(index)
    after = state()
    print(*(b - a for a, b in zip(before, after)), flush=True)
"""

OVER_MEMORY = """
        near, far = pystack.MemoryLink.pair()
        with pystack.Host(near, address="192.0.2.1/24") as a, pystack.Host(far, address="192.0.2.2/24") as b:
            server = b.create_server(("", 80))
            with a.create_connection(("192.0.2.2", 80), timeout=20) as client:
                connection, _ = server.accept()
                connection.sendall(b"x")
                assert client.recv(1) == b"x"
"""
OVER_TAP = f"""
        with HOST as host:
            assert host.ping("{KERNEL}", timeout=20) > 0
"""


@pytest.mark.parametrize("cycles", [200, pytest.param(1000, marks=pytest.mark.deep)])
@pytest.mark.parametrize("make", [OVER_MEMORY, OVER_TAP], ids=["memory", "tap"])
def test_hosts_that_come_and_go_leak_nothing(make: str, cycles: int, host_text: str, tmp_path: Path) -> None:
    before = devices()
    text = CYCLES.format(make=make.replace("HOST", host_text), cycles=cycles)
    with helpers.python(script(tmp_path, text)) as application:
        output, errors = application.communicate(timeout=300)
    assert application.returncode == 0, errors
    descriptors, threads, memory = map(int, output.split())
    assert (descriptors, threads) == (0, 0)
    assert memory < 100 * cycles, "octets of Python objects: less than the smallest object per cycle"
    assert devices() == before


@pytest.fixture
def host(offload: bool) -> Iterator[pystack.Host]:
    link = pystack.TapLink("pystack0", host_address=f"{KERNEL}/{PREFIX}", offload=offload)
    with pystack.Host(link, address=f"{OURS}/{PREFIX}") as host:
        yield host


def test_close_in_one_thread_wakes_recv_in_another(host: pystack.Host, nginx: Nginx) -> None:
    sock = host.create_connection((KERNEL, nginx.port), timeout=20)
    sock.settimeout(None)
    ends: list[BaseException] = []
    waiting = threading.Event()

    def receive() -> None:
        waiting.set()
        try:
            sock.recv(1)
        except OSError as error:
            ends.append(error)

    thread = threading.Thread(target=receive)
    thread.start()
    assert waiting.wait(20)
    sock.close()
    thread.join(20)
    assert not thread.is_alive()
    assert isinstance(ends[0], OSError)


FORKED = f"""
    import os, sys, warnings
    import pystack

    warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of fork beside threads: so they should

    def refused(call, *arguments):
        try:
            call(*arguments)
        except RuntimeError:
            return True
        return False

    with HOST as host:
        sock = host.create_connection(("{KERNEL}", int(sys.argv[1])), timeout=20)
        sock.sendall(b"GET " + sys.argv[2].encode() + b" HTTP/1.0\\r\\n\\r\\n")
        received = len(sock.recv(1000))
        child = os.fork()
        if child == 0:
            calls = [
                refused(sock.recv, 1),
                refused(sock.sendall, b"x"),
                refused(host.create_connection, ("{KERNEL}", int(sys.argv[1]))),
                refused(host.ping, "{KERNEL}"),
            ]
            print("child", *calls, flush=True)
            sys.exit(0)  # through `with` and all destructors, as careless programs do
        _, status = os.waitpid(child, 0)
        while data := sock.recv(65536):
            received += len(data)
        assert host.ping("{KERNEL}", timeout=20) > 0
        print("parent", status, received, flush=True)
"""


def test_a_forked_child_is_refused_and_disturbs_nothing(host_text: str, nginx: Nginx, tmp_path: Path) -> None:
    path = nginx.publish("page", bytes(2_000_000))
    url = f"http://127.0.0.1:{nginx.port}{path}"
    whole = len(curl("-i", "--http1.0", url))
    with helpers.python(script(tmp_path, FORKED.replace("HOST", host_text)), nginx.port, path) as application:
        output, errors = application.communicate(timeout=60)
    assert application.returncode == 0, errors
    assert output.splitlines() == ["child True True True True", f"parent 0 {whole}"]
