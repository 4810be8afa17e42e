"""A running stack: what a program holds to be a host on its links."""

import os
import socket
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from errno import EPROTONOSUPPORT
from random import Random
from typing import Self

from pystack.errors import os_error
from pystack.link.base import Link
from pystack.net.interface import Interface
from pystack.sockets.family import INET, INET6, Address, family_of
from pystack.sockets.pump import Pump
from pystack.sockets.resolve import IPAddress, resolve
from pystack.sockets.socket import Socket
from pystack.stack import options
from pystack.stack.config import StackConfig
from pystack.stack.stack import Stack
from pystack.units import from_seconds, to_seconds

__all__ = ["Host"]

CLOSE_TIMEOUT = 2.0
"""Seconds that `close` gives the peers to acknowledge what is queued."""


class Host:
    """A host of its own on its links, alive from here until `close`, whatever the program does meanwhile.

    >>> with Host(tap, address="192.0.2.2/24", gateway="192.0.2.1") as host:
    ...     with host.create_connection(("192.0.2.1", 80), timeout=5) as sock:
    ...         sock.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")

    The links belong to it and are closed with it, also when the constructor raises. A process forked from this one
    has a dead copy, whose calls raise `RuntimeError`. An exception that cuts the stack in the middle of its work
    (Ctrl-C in a thread that runs it) closes the links at once, and later calls raise `StateError`.
    """

    def __init__(
        self,
        *links: Link,
        address: str | Sequence[str] | None = None,
        gateway: str | Sequence[str] | None = None,
        seed: int | None = None,
        hosts: Mapping[str, str | IPAddress] | None = None,
        config: StackConfig | None = None,
    ) -> None:
        """`address`: "192.0.2.2/24", "2001:db8::2/64", or several of them, for a single link; a raw link has its own.
        `gateway`: where other networks are reached, one for each IP version. `seed` replaces the system's randomness,
        for tests: it makes ports and sequence numbers predictable. `hosts`: names and addresses that come before the
        system's hosts file."""
        self._names = dict(hosts or {})
        rng, secrets = (Random(os.urandom(32)), os.urandom) if seed is None else _seeded(seed)
        self._stack = Stack(rng=rng, entropy=secrets, config=config)
        self._pump = Pump(self._stack)
        try:
            if len(links) > 1 and (address is not None or gateway is not None):
                raise ValueError("several links have an address each: use add_link(link, address=..., gateway=...)")
            for link in links:
                self.add_link(link, address=address, gateway=gateway)
            self._pump.start()
        except BaseException:
            self._pump.close(0)
            for link in links:
                link.close()
            raise

    def add_link(
        self, link: Link, *, address: str | Sequence[str] | None = None, gateway: str | Sequence[str] | None = None
    ) -> None:
        """One more link, with addresses as in the constructor. When this raises, `link` stays the caller's."""
        self._pump.call(lambda _: self._stack.add_interface(link, address, gateway))
        link.set_waker(self._pump.wake)

    def add_address(self, address: str, *, link: Link | None = None) -> None:
        """One more address, of either IP version, for `link`, which may be left out if it is the only one. Raises
        ValueError for what is no address of one host, and `OSError`: EADDRINUSE (this host has it already),
        EADDRNOTAVAIL (a loopback address), EAFNOSUPPORT (the link cannot carry that IP version)."""
        interface = self._interface(link)
        if interface is None:
            raise ValueError("which link gets the address? Name one of this host's with link=")
        self._pump.call(lambda _: self._stack.add_address(interface, address))

    def add_route(self, network: str, gateway: str | None = None, *, link: Link | None = None) -> None:
        """Reach `network` ("198.51.100.0/24"; "0.0.0.0/0" and "::/0": everywhere) through `gateway`, a neighbour on one
        of the links; without one, directly over `link`, which may be left out if it is the only one. The longest prefix
        wins. Raises ValueError for what makes no sense."""
        interface = self._interface(link) if link is not None or gateway is None else None
        if link is not None and interface is None:
            raise ValueError(f"{link!r} is not a link of this host")
        self._pump.call(lambda _: self._stack.add_route(network, gateway, interface))

    def _interface(self, link: Link | None) -> Interface | None:
        """The one of `link`, or without it the only one besides loopback."""
        found = [each for each in self._stack.interfaces if not each.is_loopback and link in (None, each.link)]
        return found[0] if len(found) == 1 else None

    # --- sockets

    def socket(self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM, proto: int = 0) -> Socket:
        """A TCP or UDP socket, as `socket.socket` makes it. One of AF_INET6 speaks IPv4 too, unless its IPV6_V6ONLY is
        set."""
        spoken = family_of(family)
        version = spoken.endpoint_version
        if (type, proto) in ((socket.SOCK_STREAM, 0), (socket.SOCK_STREAM, socket.IPPROTO_TCP)):
            return Socket(self, self._pump.call(lambda _: self._stack.stream(version)), proto, spoken)
        if (type, proto) in ((socket.SOCK_DGRAM, 0), (socket.SOCK_DGRAM, socket.IPPROTO_UDP)):
            return Socket(self, self._pump.call(lambda _: self._stack.datagram(version)), proto, spoken)
        raise os_error(EPROTONOSUPPORT, "only SOCK_STREAM for TCP and SOCK_DGRAM for UDP")

    def create_connection(
        self, address: Address, timeout: float | None = None, source_address: Address | None = None
    ) -> Socket:
        """A connected TCP socket, with that `timeout` in seconds. Each address of a name is tried, by a socket of its
        family; the last one's error is raised."""
        host, port = INET.checked("create_connection", address)
        failure: OSError | None = None
        for target in resolve(host, self._names, versions=(4, 6)):
            sock = self.socket(INET.number if target.version == INET.version else INET6.number)
            try:
                sock.settimeout(timeout)
                if source_address is not None:
                    sock.bind(source_address)
                sock._connect((target, port))
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        assert failure is not None
        try:
            raise failure
        finally:
            failure = None  # break the cycle through this frame

    def create_server(
        self,
        address: Address,
        *,
        family: int = INET.number,
        backlog: int = 128,
        reuse_address: bool = True,
        dualstack_ipv6: bool = False,
    ) -> Socket:
        """A listening TCP socket. `reuse_address`: the port may still have connections in TIME-WAIT. `dualstack_ipv6`:
        one of AF_INET6 takes connections over IPv4 too."""
        if dualstack_ipv6 and family != socket.AF_INET6:
            raise ValueError("dualstack_ipv6 requires AF_INET6 family")
        sock = self.socket(family)
        try:
            if family == socket.AF_INET6:
                sock.setsockopt(*options.V6ONLY, not dualstack_ipv6)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse_address)
            sock.bind(address)
            sock.listen(backlog)
        except BaseException:
            sock.close()
            raise
        return sock

    def ping(self, address: str | bytes | IPAddress, timeout: float | None = 1.0, size: int = 56) -> float:
        """Seconds until the echo reply to `size` octets came back. Raises `TimeoutError`, or `OSError` when the network
        says that the address cannot be reached."""
        target = resolve(address, self._names, versions=(4, 6))[0]
        patience = None if timeout is None else from_seconds(timeout)
        try:
            return to_seconds(
                self._pump.perform(lambda now: self._stack.ping(target, now, size=size, timeout=patience))
            )
        except TimeoutError as error:
            if error.errno is None:
                raise TimeoutError(f"timed out: no echo reply from {target} within {timeout} s") from None
            raise

    # --- looking at it

    @property
    def counters(self) -> Counter[str]:
        """How many packets were dropped so far, by reason: a copy."""
        return self._pump.call(lambda _: Counter(self._stack.counters))

    def __repr__(self) -> str:
        interfaces = ", ".join(str(interface.name) for interface in self._stack.interfaces)
        return f"<pystack.Host{'' if self._pump.is_open else ' [closed]'} {interfaces}>"

    # --- the end

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Refuse new calls, end the waiting ones (EBADF), and bring to the peers what is queued, for at most `timeout`
        seconds; then reset the rest, forget TIME-WAIT and close the links. Idempotent."""
        self._pump.close(from_seconds(timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(CLOSE_TIMEOUT if kind is None else 0)

    def __del__(self) -> None:
        pump = getattr(self, "_pump", None)
        if pump is not None and pump.is_open:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            pump.abandon()


def _seeded(seed: int) -> tuple[Random, Callable[[int], bytes]]:
    return Random(seed), Random(f"{seed} secrets").randbytes
