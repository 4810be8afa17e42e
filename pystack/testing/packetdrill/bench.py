"""What a script is played against: a stack in virtual time, unless somebody brings another host."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from pystack.errors import StateError
from pystack.link.base import Medium
from pystack.link.memory import MemoryLink
from pystack.sim.simulation import Simulation
from pystack.stack.operation import Operation
from pystack.stack.stream import StreamEndpoint
from pystack.testing.packetdrill.calls import SocketCalls
from pystack.testing.packetdrill.descriptors import Answer
from pystack.testing.packetdrill.flow import Flow
from pystack.testing.packetdrill.flows import Flows
from pystack.testing.packetdrill.peer import Peer
from pystack.testing.packetdrill.script import Call
from pystack.testing.packetdrill.settings import Settings
from pystack.testing.packetdrill.sysctl import apply_command
from pystack.testing.packetdrill.tcpinfo import tcpi_names
from pystack.units import SECOND, Ns

__all__ = ["START", "Bench", "Calls", "MakeBench", "StackBench"]

START: Ns = 3600 * SECOND
"""When a script starts: a host has been up for a while before its first connection."""


class Calls(Protocol):
    @property
    def without_effect(self) -> list[str]:
        """What the call at hand has asked for that means nothing, for the report."""
        ...

    def invoke(self, call: Call, now: Ns) -> Answer | Operation[Answer]:
        """Make `call`: answered, or under way if it blocks. Raises the call's `OSError`, and `Unsupported`."""
        ...


class Bench(Protocol):
    """A host and its clock."""

    @property
    def peer(self) -> Peer: ...

    @property
    def calls(self) -> Calls: ...

    @property
    def now(self) -> Ns: ...

    def step(self, until: Ns) -> bool:
        """Let time pass up to the next thing that happens; False: nothing did by `until`, which is now the time."""
        ...

    def info(self, flow: Flow) -> Mapping[str, Any] | None:
        """The `tcpi_` names of the connection; None: it has nothing to tell any more."""
        ...

    def command(self, text: str) -> list[str]:
        """Obey a command, and name what of it was skipped."""
        ...

    def cookie(self, flow: Flow) -> bytes:
        """The Fast Open cookie that this host takes from the peer."""
        ...


MakeBench: TypeAlias = Callable[[Settings, Flows, Sequence[str]], Bench]
"""From the commands with which the script begins: those concern the host as a whole."""


class StackBench:
    """A stack of this process."""

    def __init__(self, settings: Settings, flows: Flows, commands: Sequence[str]) -> None:
        self._sim = Simulation(settings.seed, start=START)
        self._folder = settings.folder
        config = settings.config
        for text in commands:
            config, _ = apply_command(config, text, settings.folder)
        self._stack = self._sim.stack(config)
        ours, theirs = MemoryLink.pair(mtu=settings.mtu, medium=Medium.IP)
        self._stack.add_interface(ours, settings.interface, settings.gateway)
        self.peer = Peer(theirs)
        self.calls = SocketCalls(self._stack, settings, flows.on_listen, flows.on_target, flows.on_accept)

    @property
    def now(self) -> Ns:
        return self._sim.now

    def step(self, until: Ns) -> bool:
        return self._sim.step(until)

    def info(self, flow: Flow) -> Mapping[str, Any] | None:
        if not isinstance(flow.endpoint, StreamEndpoint):
            return None
        try:
            return tcpi_names(flow.endpoint.info())
        except (OSError, StateError):
            return None

    def command(self, text: str) -> list[str]:
        self._stack.config, skipped = apply_command(self._stack.config, text, self._folder)
        return skipped

    def cookie(self, flow: Flow) -> bytes:
        return self._stack.fast_open.cookies.make(flow.remote.packed, flow.local.packed, self.now)
