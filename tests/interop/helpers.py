"""What the interop tests share: the programs of others that meet pystack, and how to wait for them."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeVar

import pytest
from attrs import define

import pystack
from pystack.wire import pcapng

__all__ = [
    "ADDRESSES",
    "KERNEL",
    "OURS",
    "PREFIX",
    "ROOT",
    "Nginx",
    "Stream",
    "answers",
    "curl",
    "environment",
    "eventually",
    "example",
    "free_port",
    "link_options",
    "nginx",
    "ping",
    "python",
    "receive",
    "run",
    "sha256",
    "stop",
    "wrong_frames",
]

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
SYSTEM_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"

KERNEL, OURS, PREFIX = "192.0.2.1", "192.0.2.2", 24
"""The two ends of a device that pystack makes. Every test has a network namespace of its own, so none collide."""

ADDRESSES = {4: (KERNEL, OURS, PREFIX), 6: ("2001:db8::1", "2001:db8::2", 64)}
"""The same by version of IP."""

TSHARK_OPTIONS = (
    *(word for protocol in ("ip", "tcp", "udp") for word in ("-o", f"{protocol}.check_checksum:TRUE")),
    *("-o", "tcp.desegment_tcp_streams:FALSE", "-d", "tcp.port==0-65535,data", "-d", "udp.port==0-65535,data"),
)
"""Verify checksums, and take payloads for octets: random ones look like some protocol now and then, malformed."""
MINUS_ZERO = "ip.src in {192.0.2.1, 198.51.100.2} && tcp.checksum == 0xffff"
"""Linux, when it computes a checksum for a device, writes 0xFFFF for 0 as if TCP were UDP, which tshark finds wrong:
one of 65,536 frames. Ours may not."""
TSHARK_COMPLAINTS = " || ".join(
    [
        "_ws.malformed",
        '_ws.expert.severity == "Error"',
        f'(tcp.checksum.status == "Bad" && !({MINUS_ZERO}))',
        *(f'{protocol}.checksum.status == "Bad"' for protocol in ("ip", "udp", "icmp")),
    ]
)


def run(*command: str | Path, timeout: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(list(command), capture_output=True, text=True, timeout=timeout, check=False)
    if check:
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def eventually(condition: Callable[[], T], what: str, deadline: float = 20.0) -> T:
    """The first true value of `condition`, asked again and again. Fails after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"not within {deadline} s: {what}")
        time.sleep(0.005)


def stop(process: "subprocess.Popen[str]", sig: signal.Signals = signal.SIGTERM) -> int:
    """End `process`, the hard way when it does not listen. Its exit status."""
    with suppress(ProcessLookupError):
        process.send_signal(sig)
    try:
        return process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody uses in this namespace; nobody else is there to take it."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("", 0))
        port: int = sock.getsockname()[1]
        return port


def environment() -> dict[str, str]:
    """For child interpreters: they find this checkout, installed or not, and no proxy."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}


@contextmanager
def python(*arguments: object) -> "Iterator[subprocess.Popen[str]]":
    """A child interpreter with pipes, its warnings errors. Whatever becomes of the test, it ends here."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def example(name: str, *arguments: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
    """Run an example to its end."""
    return subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / name, *arguments],
        capture_output=True,
        timeout=timeout,
        env=environment(),
        check=False,
    )


def link_options(link: str, offload: bool) -> tuple[str, ...]:
    """What an example is told to run on a link of that kind."""
    return ("--link", link) if offload else ("--link", link, "--no-offload")


def curl(*arguments: str | Path) -> bytes:
    """What the system's curl gets."""
    done = subprocess.run(
        ["curl", "-sS", "--fail", "--noproxy", "*", "--max-time", "60", *arguments], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def ping(address: str, count: int = 3, interval: float = 0.02) -> str:
    """What the kernel's ping says of `count` questions; it waits one second for the last answer."""
    return run("ping", "-n", "-c", str(count), "-i", str(interval), "-W", "1", address, check=False).stdout


def answers(host: pystack.Host, address: str) -> bool:
    """Whether the kernel does, which takes a moment until it knows that `address` of IPv6 is its own."""
    try:
        return host.ping(address, timeout=0.1) > 0
    except OSError:
        return False


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wrong_frames(capture: Path) -> list[str]:
    """The frames of `capture` that tshark finds malformed or with a bad checksum. Fails when it holds none."""
    blocks = pcapng.read_blocks(capture.read_bytes())
    assert any(isinstance(block, pcapng.EnhancedPacket) for block in blocks), f"{capture} holds no frame"
    judged = run("tshark", "-n", "-r", capture, *TSHARK_OPTIONS, "-Y", TSHARK_COMPLAINTS, timeout=120)
    return judged.stdout.splitlines()


@define
class Nginx:
    """Debian's nginx with a configuration of the test's own; serves `root` on every address of its namespace."""

    root: Path
    port: int
    log: Path

    def publish(self, name: str, content: bytes) -> str:
        """Put a file there. Gives its path on the server."""
        (self.root / name).write_bytes(content)
        return f"/{name}"


@contextmanager
def nginx(folder: Path) -> Iterator[Nginx]:
    """Run nginx in the foreground of a child process, in the namespace of this thread; ready when it listens."""
    root = folder / "www"
    root.mkdir(parents=True)
    os.chmod(root, 0o755)
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(f"""
        daemon off;
        master_process off;
        pid {folder}/nginx.pid;
        error_log {folder}/error.log;
        worker_processes 1;
        events {{ worker_connections 64; }}
        http {{
            access_log {folder}/access.log;
            client_body_temp_path {folder}/body;
            proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi;
            scgi_temp_path {folder}/scgi;
            uwsgi_temp_path {folder}/uwsgi;
            sendfile on;
            server {{
                listen {port} default_server;
                root {root};
                location /slow/ {{ alias {root}/; limit_rate 100k; }}
            }}
        }}
    """)
    program = shutil.which("nginx", path=SYSTEM_PATH)
    assert program
    command = [program, "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(configuration)]
    process = subprocess.Popen(command, text=True)
    try:
        eventually((folder / "nginx.pid").exists, "nginx has started")
        yield Nginx(root, port, folder / "access.log")
    finally:
        stop(process)


class Stream(Protocol):
    """What both kinds of socket can do."""

    def sendall(self, data: bytes, /) -> None: ...
    def recv(self, size: int, /) -> bytes: ...
    def shutdown(self, how: int, /) -> None: ...
    def setsockopt(self, level: int, name: int, value: bytes, /) -> None: ...
    def settimeout(self, timeout: float, /) -> None: ...


def receive(stream: Stream) -> str:
    """The SHA-256 of what came until the end of the stream."""
    digest = hashlib.sha256()
    while data := stream.recv(262_144):
        digest.update(data)
    return digest.hexdigest()
