"""The internet layer of one host."""

from collections import Counter
from collections.abc import Callable, Sequence
from errno import EHOSTUNREACH
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import count
from random import Random
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

from pystack.errors import DecodeError, LinkDown
from pystack.link.base import Frame, Link, Medium
from pystack.link.memory import LoopbackLink
from pystack.net.address import AddressLike, InterfaceAddress
from pystack.net.arp import AddressResolution
from pystack.net.config import NetConfig
from pystack.net.errors import PathError
from pystack.net.family import family_of
from pystack.net.icmp import ICMP, EchoErrorCallback, EchoReplyCallback
from pystack.net.icmpv4 import ICMPv4
from pystack.net.icmpv6 import ICMPv6
from pystack.net.interface import Interface
from pystack.net.ipv4 import accept_ipv4
from pystack.net.ipv6 import accept_ipv6
from pystack.net.neighbour import Neighbour
from pystack.net.output import Output
from pystack.net.packet import IPPacket
from pystack.net.path import Path
from pystack.net.paths import Paths
from pystack.net.ratelimit import TokenBucket
from pystack.net.routes import Route
from pystack.net.sourceroute import SourceRoute, final_destination
from pystack.units import Ns
from pystack.wire.ethernet import ETHERNET, EtherType, VLANTag, unpack_ethernet
from pystack.wire.ipv4 import unpack_ipv4
from pystack.wire.protocol import IPProtocol

__all__ = ["Addressed", "GatewayLike", "Network"]

GatewayLike: TypeAlias = str | IPv4Address | IPv6Address
T = TypeVar("T", AddressLike, GatewayLike)


@runtime_checkable
class Addressed(Protocol):
    """Offered by links whose address is given and not chosen: the kernel's own. None: a wrapper around one without."""

    @property
    def address(self) -> AddressLike | None: ...


class Network:
    """Interfaces, routes, input, output, ICMP and path MTU of one host; loopback is inside.

    `deliver` gets TCP and UDP datagrams whose transport checksum it must still verify; `notify` gets what is known of
    our own packets that did not arrive. No method lets anything escape that a peer could cause.
    """

    def __init__(
        self,
        *,
        rng: Random,
        entropy: Callable[[int], bytes],
        counters: Counter[str],
        deliver: Callable[[IPPacket, Ns], None],
        notify: Callable[[PathError, Ns], None],
        config: NetConfig | None = None,
        on_echo_reply: EchoReplyCallback | None = None,
        on_echo_error: EchoErrorCallback | None = None,
        on_link_down: Callable[[Interface, LinkDown], None] | None = None,
    ) -> None:
        self.config = config or NetConfig()
        self.counters = counters
        self.on_link_down = on_link_down
        self._rng = rng
        self._deliver = deliver
        self._names = count()
        self._turn = 0
        self.loopback = self._interface(LoopbackLink(), "lo", is_loopback=True)
        self._paths = Paths(self.config, self.loopback)
        self._output = Output(self._paths.mtus, entropy, counters)
        errors = TokenBucket(self.config.icmp_error_rate, self.config.icmp_error_burst, rng)
        replies = TokenBucket(self.config.echo_reply_rate, self.config.echo_reply_burst, rng)
        shared = (self._paths, self._output, counters, errors, replies, notify, on_echo_reply, on_echo_error)
        self._icmpv4 = ICMPv4(*shared)
        self._icmpv6 = ICMPv6(*shared)
        self.send = self._output.send

    # --- configuration

    @property
    def interfaces(self) -> list[Interface]:
        """All of them, loopback first. Not to be changed."""
        return self._paths.interfaces

    def add_interface(
        self,
        link: Link,
        address: AddressLike | Sequence[AddressLike] | None = None,
        gateway: GatewayLike | Sequence[GatewayLike] | None = None,
        name: str = "",
    ) -> Interface:
        """Put `link` to use under `address` ("192.0.2.2/24", "2001:db8::2/64", several of either IP version; None: the
        link's own if it has one, else none yet), with a default route through `gateway`, one for each IP version. On
        Ethernet the addresses are announced.

        Raises ValueError for addresses that make no sense, `OSError` as `add_address`.
        """
        capabilities = link.capabilities
        if address is None and isinstance(link, Addressed):
            address = link.address
        ours = [InterfaceAddress.parse(each) for each in _several(address)]
        gateways = [ip_address(each).packed for each in _several(gateway)]
        if not name:
            kind = "eth" if capabilities.medium is Medium.ETHERNET else "ip"
            name = f"{kind}{next(self._names)}"
        interface = self._interface(link, name)
        self._paths.add_interface(interface, ours, gateways)
        if interface.arp is not None:
            for own in ours:
                interface.arp.announce(own.address)
        return interface

    def add_address(self, interface: Interface, address: AddressLike) -> None:
        """One more address for an interface, of either IP version.

        Raises ValueError for what is not the address of one host, and `OSError`: EADDRINUSE (this host has it already),
        EADDRNOTAVAIL (a loopback address on a wire), EAFNOSUPPORT (IPv6 on Ethernet, or on a link below 1280 octets).
        """
        ours = InterfaceAddress.parse(address)
        self._paths.add_address(interface, ours)
        if interface.arp is not None:
            interface.arp.announce(ours.address)

    def add_route(
        self,
        network: str | IPv4Network | IPv6Network,
        gateway: GatewayLike | None,
        interface: Interface | None = None,
    ) -> None:
        """A route to `network` ("0.0.0.0/0" and "::/0": everywhere): through `gateway`, or (None) to neighbours on
        `interface`.

        The gateway must be a neighbour; without `interface`, its network tells which one. Raises ValueError.
        """
        target = ip_network(network)
        hop = None if gateway is None else ip_address(gateway).packed
        if hop is not None and len(hop) != len(target.network_address.packed):
            raise ValueError(f"gateway {gateway} and network {target} are of different IP versions")
        if interface is None:
            via = None if hop is None else self._paths.routes[family_of(hop)].lookup(hop)
            if via is None:
                raise ValueError(f"no interface for the route to {target}: name one, or a gateway on a known network")
            interface = via.interface
        self._paths.add_route(Route(target.network_address.packed, target.prefixlen, hop, interface))

    def _interface(self, link: Link, name: str, *, is_loopback: bool = False) -> Interface:
        capabilities = link.capabilities
        config = self.config
        interface = Interface(
            name, link, capabilities, self.counters, config.transmit_queue, config.accept_source_routes, is_loopback
        )
        if capabilities.medium is Medium.ETHERNET:
            if capabilities.mac is None:
                raise ValueError(f"{name}: an Ethernet link must have a MAC address")
            interface.mac = capabilities.mac.octets
            interface.arp = AddressResolution(
                interface.mac,
                interface.addresses,
                self.config,
                self._rng,
                self.counters,
                interface.transmit,
                interface.transmit_control,
                self._neighbour_gone,
            )
        return interface

    # --- paths

    def path(
        self, dst: bytes, src: bytes | None = None, *, broadcast: bool = False, route: SourceRoute | None = None
    ) -> Path:
        """The way to `dst`, from `src` if given, and over IPv4 by `route`. Raises `OSError`: ENETUNREACH, EADDRNOTAVAIL
        (`src` is not ours), EACCES (a broadcast address without `broadcast`), EINVAL (nobody's address),
        EAFNOSUPPORT."""
        return self._paths.path(dst, src, broadcast=broadcast, route=route)

    def refresh(self, path: Path) -> Path:
        """`path`, or its successor if interfaces or routes have changed. Raises as `path`."""
        return self._paths.refresh(path)

    def is_local(self, address: bytes) -> bool:
        """Whether packets for `address` stay in this host."""
        return self._paths.is_local(address)

    def lower_path_mtu(self, dst: bytes, mtu: int, now: Ns) -> bool:
        """Believe a "fragmentation needed" whose quote its flow has recognised. True: the path MTU is lower now."""
        try:
            link_mtu = self.path(dst, broadcast=True).link_mtu
        except OSError:  # the way there is gone meanwhile
            return False
        lowered = self._paths.mtus.lower(dst, mtu, link_mtu, now)
        self.counters["pathmtu.lowered" if lowered else "pathmtu.ignored"] += 1
        return lowered

    def confirm(self, path: Path, now: Ns) -> None:
        """A transport made progress over `path`, so its neighbour is alive and need not be probed. Cheap."""
        if path.neighbours is not None:
            path.neighbours.confirm(path.next_hop, now)

    def doubt(self, path: Path, now: Ns) -> Path:
        """A transport makes no progress over `path`: probe its neighbour, and look the route up again (RFC 9293,
        section 3.8.3; RFC 1122, section 3.3.1.4). Raises as `path`."""
        if path.neighbours is not None:
            path.neighbours.doubt(path.next_hop, now)
        return self._paths.renew(path)

    # --- ICMP

    def ping(self, path: Path, identifier: int, sequence: int, data: bytes, now: Ns, ttl: int = 64) -> None:
        """Send an echo request. Raises `OSError` EMSGSIZE."""
        self._icmp(path.dst).ping(path, identifier, sequence, data, now, ttl)

    def send_port_unreachable(self, packet: IPPacket, now: Ns) -> None:
        """Tell the sender of `packet` that nobody listens there, unless an RFC or the budget of errors forbids it."""
        self._icmp(packet.dst).send_port_unreachable(packet, now)

    def _icmp(self, address: bytes) -> ICMP:
        return self._icmpv4 if len(address) == 4 else self._icmpv6

    # --- driving

    def receive(self, now: Ns, budget: int) -> bool:
        """Take at most `budget` frames from each link, a different one first each time. True: more may wait."""
        interfaces = self._paths.interfaces
        self._turn = (self._turn + 1) % len(interfaces)
        more = False
        for interface in interfaces[self._turn :] + interfaces[: self._turn]:
            if not interface.up:
                continue
            try:
                frames = interface.link.receive(budget, now)
            except LinkDown as error:
                self._link_down(interface, error)
                continue
            if not frames:
                continue
            accept = self._ip if interface.arp is None else self._ethernet
            for frame in frames:
                try:
                    accept(interface, frame, now)
                except DecodeError as error:
                    self.counters[error.reason] += 1
            more = more or len(frames) >= budget
        return more

    def flush(self, now: Ns) -> None:
        """Hand what is queued to the links."""
        for interface in self._paths.interfaces:
            if not interface.queue:
                continue
            try:
                interface.flush(now)
            except LinkDown as error:
                self._link_down(interface, error)

    def on_timer(self, now: Ns) -> None:
        for interface in self._paths.interfaces:
            if interface.arp is not None:
                interface.arp.cache.on_timer(now)

    def next_deadline(self) -> Ns | None:
        """When `on_timer`, `receive` or `flush` is due: neighbours being asked for, frames on their way, frames that no
        link was offered yet. A time already past: now."""
        earliest: Ns | None = None
        for interface in self._paths.interfaces:
            if not interface.up:
                continue
            if interface.queue and interface.unsent:
                return 0
            due = interface.link.next_arrival()
            if due is not None and (earliest is None or due < earliest):
                earliest = due
            if interface.arp is not None:
                due = interface.arp.cache.next_deadline()
                if due is not None and (earliest is None or due < earliest):
                    earliest = due
        return earliest

    # --- input

    def _ethernet(self, interface: Interface, frame: Frame, now: Ns) -> None:
        head = frame.buffers[0]
        dst, _, ethertype = unpack_ethernet(head)
        link_broadcast = False
        if dst != interface.mac:
            if not dst[0] & 1:
                raise DecodeError("ethernet.not_ours")  # a hub repeats everything
            link_broadcast = True
        offset = ETHERNET.size
        if ethertype == EtherType.VLAN:
            tag = VLANTag.from_bytes(memoryview(head)[offset:])
            if tag.vlan != 0:  # 0 is a priority only (IEEE 802.1Q): the frame belongs to no VLAN
                raise DecodeError("ethernet.vlan")
            ethertype = tag.ethertype
            offset += tag.size
        if ethertype == EtherType.IPV4:
            self._ipv4(accept_ipv4(frame, memoryview(head)[offset:], interface, link_broadcast), now)
        elif ethertype == EtherType.ARP and interface.arp is not None:
            interface.arp.receive(memoryview(head)[offset:], link_broadcast, now)
        else:
            raise DecodeError("ethernet.unknown_type", f"0x{ethertype:04x}")

    def _ip(self, interface: Interface, frame: Frame, now: Ns) -> None:
        view = memoryview(frame.buffers[0])
        if len(view) and view[0] >> 4 == 6:
            self._ipv6(accept_ipv6(frame, view, interface, False), now)
        else:
            self._ipv4(accept_ipv4(frame, view, interface, False), now)

    def _ipv4(self, packet: IPPacket, now: Ns) -> None:
        protocol = packet.protocol
        if protocol == IPProtocol.TCP or protocol == IPProtocol.UDP:
            self._deliver(packet, now)
        elif protocol == IPProtocol.ICMP:
            self._icmpv4.receive(packet, now)
        else:
            self.counters["ipv4.unknown_protocol"] += 1
            self._icmpv4.send_protocol_unknown(packet, now)

    def _ipv6(self, packet: IPPacket, now: Ns) -> None:
        protocol = packet.protocol
        if protocol == IPProtocol.TCP or protocol == IPProtocol.UDP:
            self._deliver(packet, now)
        elif protocol == IPProtocol.ICMPV6:
            self._icmpv6.receive(packet, now)
        else:
            self.counters["ipv6.unknown_protocol"] += 1
            self._icmpv6.send_protocol_unknown(packet, now)

    # --- failures

    def _neighbour_gone(self, neighbour: Neighbour, now: Ns) -> None:
        """Nobody answered for the next hop: each flow with a packet waiting learns it, once."""
        told = set()
        for waiting in neighbour.waiting:
            octets, _, _, _, _, _, protocol, _, src, _ = unpack_ipv4(waiting.packet)
            dst = final_destination(waiting.packet)
            quote = waiting.packet[octets:]
            flow = (src, dst, protocol, quote[:4])
            if flow not in told:
                told.add(flow)
                error = PathError(errno=EHOSTUNREACH, hard=True, src=src, dst=dst, protocol=protocol, quote=quote)
                self._icmpv4.dispatch(error, now)

    def _link_down(self, interface: Interface, error: LinkDown) -> None:
        interface.shut()
        self._paths.invalidate()
        self.counters["link.lost"] += 1
        if self.on_link_down is not None:
            self.on_link_down(interface, error)


def _several(value: T | Sequence[T] | None) -> Sequence[T]:
    """One, some, or none of what may itself be a text."""
    if value is None:
        return ()
    return value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
