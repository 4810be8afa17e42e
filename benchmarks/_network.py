"""A network namespace of the benchmark's own, TAP devices in it, and the processes at the other end."""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["HERE", "enter_private_network", "ip", "mac_of", "open_tap", "peer"]

HERE = Path(__file__).parent

CLONE_NEWNET = 0x40000000
SETTINGS = {
    "ipv4/tcp_congestion_control": "reno",
    "ipv4/ip_local_port_range": "1024 65535",
    "ipv4/tcp_tw_reuse": "1",
    "ipv6/conf/default/disable_ipv6": "1",
}
TUNSETIFF = 0x400454CA
SIOCGIFHWADDR = 0x8927
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def enter_private_network() -> None:
    """Move this thread into a new, empty network namespace: Reno, no IPv6, loopback up, ports enough for all runs.

    The namespace and all devices in it end with the last process inside. Raises `PermissionError` without root.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{os.strerror(code)}: a network namespace needs root")
    ip("link", "set", "lo", "up")
    for name, value in SETTINGS.items():
        Path("/proc/sys/net", name).write_text(value)


def open_tap(name: str, address: str) -> int:
    """A new TAP device, up, with `address` (with prefix length) on the kernel's side. It goes when it is closed."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    ip("address", "add", address, "dev", name)
    ip("link", "set", name, "up")
    return descriptor


def mac_of(interface: str) -> bytes:
    """The station address of `interface`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer: bytes = fcntl.ioctl(sock, SIOCGIFHWADDR, struct.pack("16s24x", interface.encode()))
    return answer[18:24]


@contextmanager
def peer(module: str, *arguments: str) -> Iterator[int]:
    """Run `python -m module arguments` beside us; gives the port that it prints first. It ends with its stdin."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=HERE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()
