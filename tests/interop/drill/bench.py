"""The kernel of this machine as the host that a script is played against, in real time.

It has a network namespace of its own, with a TUN device whose other end is the script's peer.
"""

import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from pystack.link.base import Frame
from pystack.link.tap import TunLink
from pystack.testing.packetdrill.bench import START
from pystack.testing.packetdrill.flow import Flow
from pystack.testing.packetdrill.flows import Flows
from pystack.testing.packetdrill.peer import Peer
from pystack.testing.packetdrill.settings import Settings
from pystack.testing.packetdrill.shell import read_commands
from pystack.testing.packetdrill.values import Unsupported
from pystack.units import SECOND, US, Ns
from tests.conftest import CLONE_NEWNET, check, libc
from tests.interop.drill.calls import KernelCalls, KernelSocket
from tests.interop.drill.info import tcpi_names

__all__ = ["KernelBench"]

ALIKE = {
    "net.ipv4.tcp_ecn": "2",
    "net.ipv4.tcp_rmem": f"4096 {128 << 10} {15 << 20}",
    "net.ipv4.tcp_wmem": f"4096 {16 << 10} {4 << 20}",
    "net.ipv4.tcp_syn_retries": "7",
    "net.ipv4.tcp_synack_retries": "7",
    "net.ipv4.tcp_syn_linear_timeouts": "0",
    "net.ipv4.tcp_fastopen": "0",
    "net.ipv4.tcp_no_metrics_save": "1",
}
"""Where what this kernel has by default, or its administrator has chosen, is not what a stack of ours starts with."""
SILENT = {
    "net.ipv6.conf.all.disable_ipv6": "{v4}",
    "net.ipv6.conf.default.accept_ra": "0",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.default.router_solicitations": "0",
    "net.ipv6.conf.default.mldv1_unsolicited_report_interval": "0",
}
"""The kernel speaks only when the script makes it speak."""

CONGESTION = "net.ipv4.tcp_congestion_control"
"""Not every one that the kernel has can be a namespace's default, but root may give any to a socket."""

_PRIORITY = 10
"""Before everything that is not real-time: a script sleeps nearly always, and must not wake up late."""
_GATHERED = 500 * US
"""Packets that leave in one go reach the device one by one."""


class _Device(TunLink):
    """What the kernel tells everybody (multicast listener reports and the like) is not the script's."""

    @override
    def receive(self, budget: int, now: Ns) -> Sequence[Frame]:
        return [frame for frame in super().receive(budget, now) if not _to_many(frame.to_bytes())]


def _to_many(packet: bytes) -> bool:
    return packet[0] >> 4 == 6 and packet[24] == 0xFF


class KernelBench:
    """Only for a process of its own, which ends with the script: it leaves the network that it was in."""

    def __init__(self, settings: Settings, flows: Flows, commands: Sequence[str]) -> None:
        check(libc().unshare(CLONE_NEWNET))
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK)
        self.calls = KernelCalls(settings, flows, lambda: os.write(self._wake, b"!"))
        for name, value in (ALIKE | SILENT).items():
            _write(name, value.format(v4=int(settings.version == 4)))
        for text in commands:
            self.command(text)
        link = _Device("tun0", host_address=settings.interface, mtu=settings.mtu, offload=False)
        version = "-6" if settings.version == 6 else "-4"
        subprocess.run(["ip", version, "route", "add", "default", "dev", "tun0"], check=True)
        self.peer = Peer(link)
        self._device = link.fileno()
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))
        self.calls.start()
        self._zero = time.monotonic_ns() - START

    @property
    def now(self) -> Ns:
        return time.monotonic_ns() - self._zero

    def step(self, until: Ns) -> bool:
        ready, _, _ = select.select((self._device, self._woken), (), (), max(until - self.now, 0) / SECOND)
        if self._device in ready:
            time.sleep(_GATHERED / SECOND)
        if self._woken in ready:
            os.read(self._woken, 4096)
        return bool(ready)

    def info(self, flow: Flow) -> Mapping[str, Any] | None:
        endpoint: object = flow.endpoint
        if not isinstance(endpoint, KernelSocket) or endpoint.socket.fileno() < 0:
            return None
        return tcpi_names(endpoint.socket)

    def command(self, text: str) -> list[str]:
        skipped = []
        for each in read_commands(text):
            if isinstance(each, str):
                skipped.append(f"command {each}")
                continue
            name, value = each
            if name.startswith("net.inet."):
                raise Unsupported(f"{name}, which is FreeBSD's")
            if name == CONGESTION:
                self.calls.congestion = value
            else:
                _write(name, value)
        return skipped

    def cookie(self, flow: Flow) -> bytes:
        raise Unsupported("the cookie of Fast Open that the kernel will make")


def _write(name: str, value: str) -> None:
    """In this namespace; a setting that belongs to all of them is not here."""
    try:
        (Path("/proc/sys") / name.replace(".", "/")).write_text(value)
    except OSError as error:
        raise Unsupported(f"the kernel's {name} = {value}: {error}") from None
