"""pystack where Linux's ways are missing: macOS and Windows, played by a child interpreter that hides them."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

HIDE = """
import builtins, importlib.abc, os, select, socket, sys
import asyncio, http.client, http.server, logging, selectors, subprocess, tempfile  # they look at the platform once

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
for name in MODULES:
    sys.modules.pop(name, None)
for module, names in ((os, OS), (select, SELECT), (socket, SOCKET)):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
for name in dir(socket):
    if name.startswith(("AF_PACKET", "PACKET_", "SO_BINDTODEVICE", "SOL_PACKET", "TCP_CONGESTION", "TCP_INFO")):
        delattr(socket, name)
selectors.DefaultSelector = selectors.SelectSelector
sys.platform = PLATFORM

real_open, real_os_open = builtins.open, os.open
def no_devices(opener):
    def wrapped(path, *args, **kwargs):
        if str(path).startswith(("/dev/net", "/proc", "/sys")):
            raise FileNotFoundError(2, "No such file or directory", path)
        return opener(path, *args, **kwargs)
    return wrapped
builtins.open, os.open = no_devices(real_open), no_devices(real_os_open)
"""

DARWIN = {
    "PLATFORM": "darwin",
    "MODULES": [],
    "OS": ["eventfd", "eventfd_read", "eventfd_write", "setns", "unshare", "sched_setaffinity", "pipe2"],
    "SELECT": ["epoll", "EPOLLIN", "EPOLLOUT"],
    "SOCKET": [],
}
WINDOWS = {
    "PLATFORM": "win32",
    "MODULES": ["fcntl", "termios", "pwd", "grp", "resource", "pty", "tty"],
    "OS": [*DARWIN["OS"], "fork", "forkpty", "register_at_fork", "readv", "writev", "getuid", "geteuid", "uname"],
    "SELECT": [*DARWIN["SELECT"], "poll", "POLLIN", "POLLOUT"],
    "SOCKET": ["sethostname", "CMSG_LEN", "CMSG_SPACE"],
}


def run_elsewhere(platform: dict[str, object], script: str) -> str:
    """The standard output of `script` in an interpreter without what `platform` lacks. A warning is an error there."""
    settings = "\n".join(f"{name} = {value!r}" for name, value in platform.items())
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", settings + HIDE + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


platforms = pytest.mark.parametrize("platform", [DARWIN, WINDOWS], ids=["darwin", "windows"])


@platforms
def test_every_public_name_resolves(platform: dict[str, object]) -> None:
    script = """
        import pystack
        for name in pystack.__all__:
            getattr(pystack, name)
        print("all", len(pystack.__all__))
    """
    assert run_elsewhere(platform, script).startswith("all ")


@platforms
def test_tcp_udp_and_ping_between_two_hosts_in_memory(platform: dict[str, object]) -> None:
    script = """
        import pystack
        left, right = pystack.MemoryLink.pair(mtu=1500)
        with pystack.Host(left, address="192.0.2.1/24") as a, pystack.Host(right, address="192.0.2.2/24") as b:
            server = b.create_server(("", 80))
            with a.create_connection(("192.0.2.2", 80), timeout=10) as client:
                conn, peer = server.accept()
                with conn:
                    conn.settimeout(10)
                    client.sendall(bytes(100_000))
                    received = 0
                    while received < 100_000:
                        received += len(conn.recv(65536))
                    conn.sendall(b"thanks")
                assert client.recv(100) == b"thanks"
                assert client.recv(100) == b""
            assert peer[0] == "192.0.2.1"
            listener = b.socket(type=socket.SOCK_DGRAM)
            listener.bind(("", 0))
            listener.settimeout(10)
            a.socket(type=socket.SOCK_DGRAM).sendto(b"hello", ("192.0.2.2", listener.getsockname()[1]))
            assert listener.recvfrom(100)[0] == b"hello"
            assert a.ping("192.0.2.2", timeout=10) > 0
        print("done")
    """
    assert run_elsewhere(platform, script) == "done\n"


@platforms
def test_curl_lite_demo(platform: dict[str, object]) -> None:
    script = """
        import runpy
        sys.path.insert(0, "examples")  # where the interpreter looks first when it starts a script there
        sys.argv = ["curl_lite.py"]
        runpy.run_path("examples/curl_lite.py", run_name="__main__")
    """
    assert "Hello from demo.pystack" in run_elsewhere(platform, script)


@platforms
@pytest.mark.parametrize(
    "construct", ['TapLink("tap0")', 'TunLink("tun0")', 'PacketLink("eth0")', 'RawIPLink("127.0.0.1")']
)
def test_links_of_linux_say_so(platform: dict[str, object], construct: str) -> None:
    script = f"""
        import pystack
        try:
            pystack.{construct}
        except OSError as error:
            print(error.errno, error.strerror)
    """
    message = run_elsewhere(platform, script)
    assert "Linux" in message
