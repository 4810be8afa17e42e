"""What every socket can do, whoever waits for it: pending operations, options that all sockets share, naming."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from errno import EAFNOSUPPORT, EBADF, EINVAL
from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import IPPROTO_TCP, IPPROTO_UDP, SOCK_STREAM, SocketKind
from typing import TYPE_CHECKING, ClassVar, TypeAlias, TypeVar

from pystack.errors import os_error
from pystack.net.interface import Interface
from pystack.net.sourceroute import SourceRoute
from pystack.stack import options
from pystack.stack.operation import Operation
from pystack.stack.options import OptionKey
from pystack.stack.ports import ANY, Binding
from pystack.units import Ns

if TYPE_CHECKING:
    from pystack.stack.stack import Stack

__all__ = ["Address", "Endpoint", "address_octets", "address_text", "check_port"]

T = TypeVar("T")

Address: TypeAlias = tuple[str | IPv4Address | IPv6Address, int]
"""Where a socket is or goes: an address literal (names are resolved above) and a port."""


_WILDCARDS = {None: ANY, 4: bytes(4), 6: bytes(16)}


def address_octets(host: str | IPv4Address | IPv6Address) -> bytes:
    """The raw address; "" is the wildcard of both IP versions, the unspecified address that of one, and an IPv4-mapped
    address (RFC 4291, section 2.5.5.2) the IPv4 address inside. Raises EINVAL for what is no literal."""
    if host == "":
        return ANY
    if isinstance(host, IPv4Address):
        return host.packed
    try:
        address = ip_address(host)
    except ValueError:
        raise os_error(EINVAL, f"{host!r} is not an IP address") from None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.packed


def address_text(octets: bytes) -> str:
    return str(ip_address(octets)) if octets else "0.0.0.0"


def check_port(port: int) -> int:
    if not isinstance(port, int):
        raise TypeError(f"a port is an int, not {type(port).__name__}")
    if not 0 <= port <= 0xFFFF:
        raise OverflowError(f"port must be 0-65535, not {port}")
    return port


class Endpoint(ABC):
    """One socket of a stack. Nothing here waits: see `submit`.

    Every method must be called under whatever lock guards the stack, with the `now` of that moment.
    """

    __slots__ = (
        "__weakref__",
        "_alarm",
        "_any",
        "_binding",
        "_ip_options",
        "_operations",
        "_options",
        "_pending_error",
        "closed",
        "stack",
    )

    type: ClassVar[SocketKind]
    defaults: ClassVar[Mapping[OptionKey, int]]
    """Every option that this kind of socket remembers, with its default."""

    def __init__(self, stack: "Stack", version: int | None = None) -> None:
        """`version`: 4 or 6 for a socket that speaks only this IP version, None for both, as far as IPV6_V6ONLY lets
        it."""
        self.stack = stack
        self._any = _WILDCARDS[version]
        self._operations: list[Operation[object]] = []
        self._alarm = stack.timers.alarm(self._advance)
        self._binding: Binding | None = None
        self._options: dict[OptionKey, int] = {}
        self._ip_options = b""
        self._pending_error: OSError | None = None
        self.closed = False
        stack.enlist(self)

    # --- waiting

    def submit(self, attempt: Callable[[Ns], T | None], timeout: Ns | None, now: Ns) -> Operation[T]:
        """Make `attempt` now, and again whenever this endpoint moves, until it answers (anything but None), raises
        `OSError`, or `timeout` ns have passed (`TimeoutError`; None: never)."""
        operation: Operation[T] = Operation(attempt, None if timeout is None else now + timeout)
        if not operation.advance(now):
            self._add(operation)
        return operation

    def pend(self, attempt: Callable[[Ns], T | None], timeout: Ns | None, now: Ns) -> Operation[T]:
        """As `submit`, for an `attempt` that has just been made in vain."""
        operation: Operation[T] = Operation(attempt, None if timeout is None else now + timeout)
        self._add(operation)
        return operation

    def _add(self, operation: Operation[T]) -> None:
        self._operations.append(operation)  # type: ignore[arg-type]
        self._set_alarm()

    def _advance(self, now: Ns) -> None:
        """Something happened: try whatever is pending again, oldest first."""
        if self._operations:
            self._operations = [operation for operation in self._operations if not operation.advance(now)]
            self._set_alarm()

    def _set_alarm(self) -> None:
        earliest = None
        for each in self._operations:
            due = each.deadline
            if due is not None and not each.done and (earliest is None or due < earliest):
                earliest = due
        self._alarm.set(earliest)

    def _close_operations(self) -> None:
        operations, self._operations = self._operations, []
        for operation in operations:
            operation.fail(os_error(EBADF, "the socket was closed while the call waited"))
        self._alarm.cancel()

    @property
    @abstractmethod
    def readable(self) -> bool:
        """A receiving call (or accept) would answer at once."""
        ...

    @property
    @abstractmethod
    def writable(self) -> bool:
        """A sending call would take something, or fail, at once."""
        ...

    # --- errors

    def uses(self, interface: Interface, *, alone: bool) -> bool:
        """Whether this socket fails with `interface`; `alone`: no other one is left."""
        if self._binding is None or not any(self._binding.address):
            return alone
        return interface.has(self._binding.address)

    def fail(self, error: OSError, now: Ns) -> None:
        """The link below, or the network, has failed this socket: pending calls and the next one raise `error`."""
        self._pending_error = error
        self._advance(now)

    @property
    def failed(self) -> bool:
        """Whether `take_error` has something to tell."""
        return self._pending_error is not None

    def take_error(self) -> OSError | None:
        """The pending error, once: what SO_ERROR reads and clears."""
        error, self._pending_error = self._pending_error, None
        return error

    def _check_open(self) -> None:
        if self.closed:
            raise os_error(EBADF, "the socket is closed")

    # --- names

    def _octets(self, host: str | IPv4Address | IPv6Address) -> bytes:
        """As `address_octets`, "" being the wildcard of this socket. Raises EAFNOSUPPORT too."""
        octets = address_octets(host) or self._any
        if self._any and len(octets) != len(self._any):
            raise os_error(EAFNOSUPPORT, f"{host} is of another IP version than the socket")
        return octets

    @abstractmethod
    def getsockname(self) -> tuple[str, int]: ...

    @abstractmethod
    def getpeername(self) -> tuple[str, int]:
        """Raises ENOTCONN."""
        ...

    # --- options

    def setsockopt(self, level: int, name: int, value: int | bytes) -> None:
        """Raises ENOPROTOOPT for an option this kind of socket does not have, EINVAL for a value it cannot take."""
        self._check_open()
        key = options.SYNONYMS.get((level, name), (level, name))
        if key == options.IP_OPTIONS:
            self._set_route(options.decode_route(value))
            self._ip_options = bytes(value)
        else:
            self._set_option(key, options.decode(key, value))

    def getsockopt(self, level: int, name: int, buflen: int = 0) -> int | bytes:
        """The value; with `buflen` as that many octets of what C would see. Raises ENOPROTOOPT."""
        self._check_open()
        key = options.SYNONYMS.get((level, name), (level, name))
        if key == options.IP_OPTIONS:
            return self._ip_options[:buflen] if buflen else self._ip_options
        return options.encode(key, self._get_option(key), buflen)

    @abstractmethod
    def _set_route(self, route: SourceRoute | None) -> None:
        """What is sent from now on goes by `route`, if it is IPv4. Raises `OSError` if that cannot be."""
        ...

    def _set_option(self, key: OptionKey, value: int) -> None:
        """A subclass acts on the options that take effect at once, and leaves the others to this one."""
        if key == options.V6ONLY and self._any != _WILDCARDS[4]:
            if self._binding is not None:
                raise os_error(EINVAL, "IPV6_V6ONLY must be set before the socket has a local address")
            self._any = _WILDCARDS[6 if value else None]
        elif key not in self.defaults:
            raise options.unknown(key)
        else:
            self.remember(key, value)

    def _get_option(self, key: OptionKey) -> int:
        if key == options.TYPE:
            return int(self.type)
        if key == options.PROTOCOL:
            return int(IPPROTO_TCP if self.type is SOCK_STREAM else IPPROTO_UDP)
        if key == options.ACCEPTCONN:
            return int(self._binding is not None and self._binding.listening)
        if key == options.ERROR:
            error = self.take_error()
            return 0 if error is None or error.errno is None else error.errno
        if key == options.V6ONLY and self._any != _WILDCARDS[4]:
            return int(self._any == _WILDCARDS[6])
        if key not in self.defaults:
            raise options.unknown(key)
        return self.option(key)

    def remember(self, key: OptionKey, value: int) -> None:
        self._options[key] = value

    def option(self, key: OptionKey) -> int:
        return self._options.get(key, self.defaults[key])

    # --- the end

    def close(self, now: Ns) -> None:
        """Let go of everything; never waits. Pending operations fail with EBADF. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._close_operations()
        self._release(now)
        self.stack.delist(self)

    @abstractmethod
    def _release(self, now: Ns) -> None: ...
