"""One host, whole: what `poll(now)` drives."""

from collections import Counter
from collections.abc import Callable, Sequence
from errno import EADDRINUSE, EADDRNOTAVAIL, EBADF
from ipaddress import IPv4Address, IPv6Address
from random import Random

from pystack.errors import os_error
from pystack.link.base import Link
from pystack.net.errors import PathError
from pystack.net.interface import Interface
from pystack.net.network import Network
from pystack.net.packet import IPPacket
from pystack.stack.claims import PortClaims
from pystack.stack.config import StackConfig
from pystack.stack.datagram import DatagramEndpoint
from pystack.stack.echo import EchoService
from pystack.stack.endpoint import Endpoint, address_octets
from pystack.stack.fastopen import FastOpenService
from pystack.stack.flow import TCP
from pystack.stack.memory import MemoryBudget
from pystack.stack.operation import Operation
from pystack.stack.ports import ANY, Binding, Ports, overlap
from pystack.stack.stream import StreamEndpoint
from pystack.stack.tcp import TCPService
from pystack.stack.timers import Timers
from pystack.stack.udp import UDP, UDPService
from pystack.transport.tcp.cookiecache import CookieCache
from pystack.transport.tcp.fastopencookie import FastOpenCookies
from pystack.transport.tcp.isn import ISNGenerator
from pystack.transport.tcp.syncookie import SYNCookies
from pystack.units import SECOND, Ns

__all__ = ["Stack"]

LOOPBACK = bytes((127, 0, 0, 1))


class Stack:
    """A host without threads, clock or waiting: give it links and an address, call `poll` when `next_deadline` says so
    or a link has something.

    `rng` serves jitter and ports, `entropy(n)` gives n secret octets; the same two, the same inputs and the same times
    give byte-identical output. All methods must be called from one thread at a time.
    """

    def __init__(
        self,
        *,
        rng: Random,
        entropy: Callable[[int], bytes],
        config: StackConfig | None = None,
    ) -> None:
        self._config = config = config or StackConfig()
        self.counters: Counter[str] = Counter()
        """One more for each dropped packet, by its reason; the names are public API."""
        self.timers = Timers()
        self.memory = MemoryBudget(config.memory_limit)
        self.now: Ns = 0
        """The present, as far as it was told: `poll` sets it, and so may whoever calls anything between two polls, for
        the calls that are not given the time."""
        self.network = Network(
            rng=rng,
            entropy=entropy,
            counters=self.counters,
            deliver=self._deliver,
            notify=self._on_path_error,
            config=config.net,
            on_echo_reply=self._on_echo_reply,
            on_echo_error=self._on_echo_error,
            on_link_down=self._on_link_down,
        )
        first, last = config.ephemeral_ports
        self._tcp_ports = Ports(entropy(32), first, last)
        self._udp_ports = Ports(entropy(32), first, last)
        self._tcp_claims = PortClaims(TCP)
        self._udp_claims = PortClaims(UDP)
        self.fast_open = FastOpenService(
            config.fast_open,
            FastOpenCookies(entropy(32), config.fast_open_key_period),
            CookieCache(config.fast_open_cache_limit, config.fast_open_cache_lifetime, config.fast_open_pause),
            self.memory,
            self.counters,
        )
        self.tcp = TCPService(
            self.network,
            self.timers,
            self.memory,
            self.counters,
            self._tcp_ports,
            self._tcp_claims,
            ISNGenerator(entropy(32)),
            SYNCookies(entropy(32)),
            self.fast_open,
            config,
        )
        self.udp = UDPService(self.network, self.counters)
        self._echo = EchoService(self.network, self.timers, rng, config.echo_limit)
        self._endpoints: dict[Endpoint, None] = {}

    @property
    def config(self) -> StackConfig:
        """Another one may be set: it is for the sockets that are made from then on. The limits of the host stay."""
        return self._config

    @config.setter
    def config(self, config: StackConfig) -> None:
        self._config = config
        self.tcp.begin_with(config)

    # --- the host and its links

    def add_interface(
        self, link: Link, address: str | Sequence[str] | None = None, gateway: str | Sequence[str] | None = None
    ) -> Interface:
        """Attach `link` with `address` ("192.0.2.2/24", "2001:db8::2/64", or several; a link that shares the host's
        address knows its own) and perhaps a default `gateway`, one for each IP version. Raises `ValueError` for what is
        no address, and `OSError` as `add_address`."""
        return self.network.add_interface(link, address, gateway)

    def add_address(self, interface: Interface, address: str) -> None:
        """One more address for an interface, of either IP version. Raises `ValueError` for what is no address, and
        `OSError`: EADDRINUSE (this host has it already), EADDRNOTAVAIL (a loopback address), EAFNOSUPPORT (the link
        cannot carry that IP version)."""
        self.network.add_address(interface, address)

    def add_route(self, network: str, gateway: str | None, interface: Interface | None = None) -> None:
        """A route to `network` ("198.51.100.0/24", "::/0"): through the neighbour `gateway`, or None to neighbours on
        `interface`. Raises `ValueError`."""
        self.network.add_route(network, gateway, interface)

    @property
    def interfaces(self) -> Sequence[Interface]:
        return self.network.interfaces

    def poll(self, now: Ns, budget: int = 64) -> bool:
        """One turn: at most `budget` frames of each link, what is due, and what may be sent. True: call again at once.

        Nothing a peer sends raises out of here.
        """
        self.now = now
        more = self.network.receive(now, budget)
        self.network.on_timer(now)
        self.timers.ring(now)
        self.tcp.settle(now, budget)
        self.network.flush(now)
        return more or self.tcp.has_work

    def next_deadline(self) -> Ns | None:
        """When to call `poll` even if no link stirs; a time already past: at once. None: never."""
        if self.tcp.has_work:
            return self.now
        network, timers = self.network.next_deadline(), self.timers.next_deadline()
        if network is None or timers is None:
            return timers if network is None else network
        return min(network, timers)

    def wants_write(self, interface: Interface) -> bool:
        """Whether frames wait for room on the interface's link: poll its descriptor for writing too."""
        return not interface.has_room

    # --- sockets

    def stream(self, version: int | None = None) -> StreamEndpoint:
        """A TCP socket, of IP `version` 4 or 6 only, or of both."""
        return StreamEndpoint(self, version=version)

    def datagram(self, version: int | None = None) -> DatagramEndpoint:
        """A UDP socket, of IP `version` 4 or 6 only, or of both."""
        return DatagramEndpoint(self, version)

    def ping(
        self,
        address: str | IPv4Address | IPv6Address,
        now: Ns,
        *,
        size: int = 56,
        timeout: Ns | None = SECOND,
        sequence: int = 1,
    ) -> Operation[Ns]:
        """Send an echo request with `size` octets of data. The operation's result is the round trip in ns; it fails
        with `TimeoutError`, or with the `OSError` of an ICMP error about it."""
        octets = address_octets(address) or self.loopback(ANY)
        return self._echo.ping(octets, now, size=size, timeout=timeout, sequence=sequence)

    def enlist(self, endpoint: Endpoint) -> None:
        self._endpoints[endpoint] = None

    def delist(self, endpoint: Endpoint) -> None:
        self._endpoints.pop(endpoint, None)

    def loopback(self, source: bytes) -> bytes:
        """Where "any address" leads: this host itself, seen from `source`."""
        return source or LOOPBACK

    # --- local ports

    def bind_tcp(self, address: bytes, port: int, *, reuse: bool) -> Binding:
        return self._bind(self._tcp_ports, self._tcp_claims, address, port, reuse=reuse)

    def unbind_tcp(self, binding: Binding) -> None:
        self._unbind(self._tcp_ports, self._tcp_claims, binding)

    def bind_udp(self, address: bytes, port: int, *, reuse: bool) -> Binding:
        return self._bind(self._udp_ports, self._udp_claims, address, port, reuse=reuse)

    def unbind_udp(self, binding: Binding) -> None:
        self._unbind(self._udp_ports, self._udp_claims, binding)

    def _bind(self, ports: Ports, claims: PortClaims, address: bytes, port: int, *, reuse: bool) -> Binding:
        """Hold a local port, here and on the links that share it with the kernel. Raises EADDRNOTAVAIL, EADDRINUSE."""
        if any(address) and not self.network.is_local(address):
            raise os_error(EADDRNOTAVAIL, 'bind takes an address of this host, or "" for all of them')
        if port:
            binding = ports.bind(address, port, reuse=reuse)
            try:
                self._claim(claims, address, port)
            except OSError:
                ports.release(binding)
                raise
            return binding
        port = ports.choose(
            address, lambda candidate: ports.is_free(candidate) and self._can_claim(claims, address, candidate)
        )
        return ports.bind(address, port, reuse=reuse)

    def _can_claim(self, claims: PortClaims, address: bytes, port: int) -> bool:
        try:
            self._claim(claims, address, port)
        except OSError as error:
            if error.errno == EADDRINUSE:
                return False
            raise
        return True

    def _claim(self, claims: PortClaims, address: bytes, port: int) -> None:
        held: list[tuple[Interface, bytes]] = []
        try:
            for interface, own in self._own_addresses(address):
                claims.acquire(interface, own, port)
                held.append((interface, own))
        except OSError:
            for interface, own in held:
                claims.release(interface, own, port)
            raise

    def _unbind(self, ports: Ports, claims: PortClaims, binding: Binding) -> None:
        ports.release(binding)
        for interface, own in self._own_addresses(binding.address):
            claims.release(interface, own, binding.port)

    def _own_addresses(self, address: bytes) -> list[tuple[Interface, bytes]]:
        """Each address of this host that `address`, which may be a wildcard, stands for."""
        owned = ((each, own.address) for each in self.network.interfaces for own in each.addresses)
        return [(each, own) for each, own in owned if overlap(address, own)]

    # --- what the network reports

    def _deliver(self, packet: IPPacket, now: Ns) -> None:
        if packet.protocol == TCP:
            self.tcp.deliver(packet, now)
        else:
            self.udp.deliver(packet, now)

    def _on_path_error(self, error: PathError, now: Ns) -> None:
        if error.protocol == TCP:
            self.tcp.on_path_error(error, now)
        else:
            self.udp.on_path_error(error, now)

    def _on_echo_reply(self, src: bytes, identifier: int, sequence: int, data: bytes, now: Ns) -> None:
        self._echo.on_reply(src, identifier, sequence, data, now)

    def _on_echo_error(self, error: PathError, now: Ns) -> None:
        self._echo.on_path_error(error, now)

    def _on_link_down(self, interface: Interface, error: OSError) -> None:
        """Every socket bound to the interface fails, and those bound to none when no other interface is left."""
        alone = not any(each.up and not each.is_loopback for each in self.network.interfaces)
        self.tcp.on_link_down(interface, error, self.now)
        for endpoint in list(self._endpoints):
            if endpoint.uses(interface, alone=alone):
                endpoint.fail(error, self.now)
        if alone:
            self._echo.fail_all(error, self.now)

    # --- the end

    def close(self, now: Ns) -> None:
        """Close every socket: pending calls fail with EBADF, FIN goes behind queued data. Go on polling while
        `unfinished`, then `drop`."""
        for endpoint in list(self._endpoints):
            endpoint.close(now)
        self._echo.fail_all(os_error(EBADF, "the host was closed while the call waited"), now)

    @property
    def unfinished(self) -> bool:
        """Whether some connection still has octets, or its FIN, to bring to its peer."""
        return self.tcp.unfinished

    def drop(self, now: Ns) -> None:
        """Reset whatever is not finished and forget TIME-WAIT. Links stay open: they are their owner's."""
        self.tcp.drop_everything(now)
        self.network.flush(now)
