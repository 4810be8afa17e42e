"""What a script's descriptors stand for, and how a call on one is answered."""

from collections.abc import Callable
from errno import EAGAIN, EBADF, ENOTSOCK, EOPNOTSUPP
from ipaddress import ip_address

from attrs import define, field, frozen

from pystack.errors import os_error
from pystack.stack.endpoint import Endpoint
from pystack.stack.operation import Operation
from pystack.stack.options import OptionKey
from pystack.stack.stack import Stack
from pystack.stack.stream import StreamEndpoint
from pystack.testing.packetdrill.constants import CONSTANTS
from pystack.testing.packetdrill.script import Call, Expression
from pystack.testing.packetdrill.settings import Settings
from pystack.testing.packetdrill.values import number, socket_address
from pystack.units import Ns

__all__ = ["Answer", "Descriptor", "Descriptors", "Difference", "compared", "compared_address"]

DONTWAIT = CONSTANTS["MSG_DONTWAIT"]


@frozen
class Difference:
    """What a call gave elsewhere than in its result."""

    what: str
    expected: object
    actual: object


@frozen
class Answer:
    value: int = 0
    """The result."""
    differences: tuple[Difference, ...] = ()


@define(eq=False)
class Descriptor:
    """A socket."""

    endpoint: Endpoint
    blocking: bool = True
    connecting: bool = False
    """A connect() has answered EINPROGRESS, and none has told how it went."""
    receive_timeout: Ns | None = None
    send_timeout: Ns | None = None
    tells_unread: bool = field(default=False, init=False)
    """TCP_INQ: recvmsg() says how much is left to read."""
    inert: dict[OptionKey, int] = field(factory=dict, init=False)
    """Options that are set, and change nothing here."""


@define(eq=False)
class Descriptors:
    """The table, by the numbers that the script gives. The callbacks say whose packets the script's are from now on."""

    stack: Stack
    settings: Settings
    on_listen: Callable[[StreamEndpoint], None]
    on_target: Callable[[Endpoint, tuple[str, int]], None]
    on_accept: Callable[[StreamEndpoint], None]
    table: dict[int, object] = field(factory=dict, init=False)
    without_effect: list[str] = field(factory=list, init=False)
    """What the call at hand has asked for that means nothing here, for the report."""

    def assign(self, call: Call, descriptor: object) -> Answer:
        """A new descriptor: the script's expected result is its number."""
        fd = number(call.result) if call.result is not ... else max(self.table, default=2) + 1
        if fd < 0:
            return Answer(max(self.table, default=2) + 1)
        self.table[fd] = descriptor
        return Answer(fd)

    def entry(self, fd: Expression) -> object:
        """Whatever the descriptor stands for. Raises EBADF."""
        found = self.table.get(number(fd))
        if found is None:
            raise os_error(EBADF, f"the script has no descriptor {number(fd)}")
        return found

    def get(self, fd: Expression) -> Descriptor:
        """A socket. Raises EBADF, ENOTSOCK."""
        found = self.entry(fd)
        if not isinstance(found, Descriptor):
            raise os_error(ENOTSOCK, f"descriptor {number(fd)} is not a socket")
        return found

    def stream(self, fd: Expression) -> tuple[Descriptor, StreamEndpoint]:
        descriptor = self.get(fd)
        if not isinstance(descriptor.endpoint, StreamEndpoint):
            raise os_error(EOPNOTSUPP, "this is not a TCP socket")
        return descriptor, descriptor.endpoint

    def wait(
        self,
        descriptor: Descriptor,
        attempt: Callable[[Ns], Answer | None],
        now: Ns,
        *,
        timeout: Ns | None = None,
        flags: int = 0,
        otherwise: int = EAGAIN,
    ) -> Operation[Answer]:
        """Try now; if that gives nothing, and the caller does not want to wait, fail with the errno `otherwise`."""
        operation = descriptor.endpoint.submit(attempt, timeout, now)
        if not operation.done and (not descriptor.blocking or flags & DONTWAIT):
            operation.cancel()
            raise os_error(otherwise)
        return operation

    @property
    def remote(self) -> tuple[str, int]:
        """What `...` means where a call wants the peer's address."""
        return str(self.settings.remote), self.settings.connect_port


def compared(what: str, wanted: Expression, actual: int) -> Answer:
    """Success, and the difference between a value that the script expects by reference and what it is."""
    if wanted is ... or wanted == [...]:
        return Answer()
    expected = number(wanted)
    return Answer(0, () if expected == actual else (Difference(what, expected, actual),))


def compared_address(wanted: Expression | None, actual: tuple[str, int]) -> tuple[Difference, ...]:
    if wanted is None or wanted is ... or wanted == 0:
        return ()
    expected = socket_address(wanted, actual)
    if not expected[0] and ip_address(actual[0]).is_unspecified:
        actual = "", actual[1]
    return () if expected == actual else (Difference("the address", expected, actual),)
