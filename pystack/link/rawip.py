"""SOCK_RAW: IP packets from and to an address that the machine's own kernel uses too (Linux, IPv4)."""

import contextlib
import errno
import select
import socket
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Interface
from typing import Final

from typing_extensions import override

from pystack.errors import os_error
from pystack.link.base import Frame, LinkCapabilities, Medium
from pystack.link.bpf import accept_icmp_types, attach
from pystack.link.linux import KernelLink, gather, require_linux
from pystack.link.netlink import RouteSocket
from pystack.link.rawports import RawPorts, open_raw
from pystack.link.unfinished import holds_pseudo_sum, unfinished
from pystack.units import Ns
from pystack.wire.icmpv4 import ICMPv4Type
from pystack.wire.protocol import IPProtocol

__all__ = ["RawIPLink"]

_LARGEST_PACKET: Final = 65_535
_LOOPBACK_INDEX: Final = 1
_LOOPBACK_NET: Final = 127
_ANY: Final = bytes(4)

_IP_HEADER: Final = 20
_ICMP_HEADER: Final = 8
_QUOTED: Final = 8
"""Octets of the transport header that an ICMP error quotes at least (RFC 792)."""
_ERRORS: Final = frozenset({ICMPv4Type.UNREACHABLE, ICMPv4Type.TIME_EXCEEDED, ICMPv4Type.PARAMETER_PROBLEM})

_MOST_PINGS: Final = 64
"""Identifiers of echo requests that are remembered; the oldest is forgotten first."""


class RawIPLink(KernelLink):
    """The machine's own `address`, shared with its kernel: no new interface, no firewall rule, nobody disturbed.

    A port is ours from `claim` to `release`: a kernel socket holds it and drops what arrives, so that nobody else can
    have it and the kernel answers neither with RST nor with port unreachable. Keep a claim until its connection's
    TIME-WAIT is over, or the kernel's RST returns. Each claim takes a descriptor, made in the network namespace of the
    thread that calls `claim`. Only packets to claimed ports arrive here, ICMP errors that quote a packet sent from
    one, and echo replies to identifiers seen in requests that were sent here. The kernel goes on answering pings.

    Checksums that the kernel has left unfinished are marked `PARTIAL` where that is certain: in what came from an
    address of this machine, and in packets larger than the MTU, which no wire carries: the kernel has merged them
    after it had verified each part. A neighbour on the same machine behind a veth or bridge leaves them unfinished
    too, but its packets cannot be told from damaged ones: there, switch that off (`ethtool -K IFACE tx off` on its
    side) or use `PacketLink`.

    The kernel reassembles fragments, routes what is sent, and fills in an IP identification of zero. It refuses to
    send what is larger than the interface's MTU. The link is never `LinkDown`: an address that is taken away from the
    machine looks like a cable that is pulled. Needs root or CAP_NET_RAW. Broadcast and multicast do not arrive.
    """

    address: IPv4Interface
    """Ours and the kernel's, with the prefix length that the kernel uses."""

    def __init__(self, address: str | IPv4Address = "127.0.0.1") -> None:
        require_linux("RawIPLink")
        self._ready: deque[Callable[[], Frame | None]] = deque()
        self._pinged: dict[bytes, None] = {}
        self._starved = False
        ip = IPv4Address(address)
        self.address, mtu, self._machine = _find(ip)
        with contextlib.ExitStack() as undo:
            self._ports = {
                protocol: undo.enter_context(contextlib.closing(RawPorts(protocol, ip)))
                for protocol in (IPProtocol.TCP, IPProtocol.UDP)
            }
            self._icmp = undo.enter_context(open_raw(IPProtocol.ICMP, ip))
            attach(self._icmp, accept_icmp_types((ICMPv4Type.ECHO_REPLY, *sorted(_ERRORS))))
            self._sender = self._ports[IPProtocol.TCP].socket
            self._sender.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
            self._epoll = undo.enter_context(select.epoll())
            self._readers: dict[int, Callable[[], Frame | None]] = {self._icmp.fileno(): self._read_icmp}
            for ports in self._ports.values():
                self._readers[ports.socket.fileno()] = partial(self._read_transport, ports)
            for descriptor in self._readers:
                self._epoll.register(descriptor, select.EPOLLIN)
            self._resources = undo.pop_all()
        super().__init__(str(ip), LinkCapabilities(Medium.IP, mtu, rx_checksum=True, shares_host=True))
        self._own = ip.packed

    def claim(self, protocol: int, address: bytes, port: int) -> None:
        """Hold `port` of TCP or UDP; `address` is the link's, or zeros. Claiming again what is ours changes nothing.

        Raises `OSError`: EADDRINUSE when a kernel socket has it, EADDRNOTAVAIL for another address, EACCES for a port
        below 1024 without the privilege, EMFILE when the process is out of descriptors.
        """
        self._check_open()
        if address not in (self._own, _ANY):
            raise os_error(errno.EADDRNOTAVAIL, f"this link has {self.name} only")
        self._ports_of(protocol).hold(port)

    def release(self, protocol: int, address: bytes, port: int) -> None:
        """Give `port` back: from now on the kernel answers for it. Idempotent."""
        self._ports_of(protocol).free(port)

    @override
    def fileno(self) -> int:
        """An epoll descriptor: readable when packets wait, or when `send` has room again after it refused some."""
        return -1 if self._epoll.closed else self._epoll.fileno()

    @override
    def send(self, frames: Sequence[Frame], now: Ns) -> int:
        taken = super().send(frames, now)
        starved = taken < len(frames)
        if starved != self._starved:
            self._starved = starved
            self._epoll.modify(self._sender, select.EPOLLIN | (select.EPOLLOUT if starved else 0))
        return taken

    @override
    def receive(self, budget: int, now: Ns) -> Sequence[Frame]:
        """What waits, at most `budget` packets; the sockets that have some take turns."""
        self._check_open()
        self._ready = deque(self._readers[fd] for fd, events in self._epoll.poll(0) if events & ~select.EPOLLOUT)
        return super().receive(budget, now)

    @override
    def _write(self, frame: Frame) -> None:
        header = memoryview(frame.buffers[0])
        if header[9] == IPProtocol.ICMP:
            self._note_ping(frame.to_bytes())
        self._sender.sendmsg(gather(frame.buffers), (), 0, (socket.inet_ntoa(header[16:20]), 0))

    @override
    def _read(self) -> Frame | None:
        while self._ready:
            read = self._ready.popleft()
            try:
                frame = read()
            except BlockingIOError:
                continue
            self._ready.append(read)
            return frame
        raise BlockingIOError

    @override
    def _is_gone(self, error: OSError) -> bool:
        return False

    @override
    def _release(self) -> None:
        self._resources.close()

    def _ports_of(self, protocol: int) -> RawPorts:
        try:
            return self._ports[IPProtocol(protocol)]
        except (KeyError, ValueError):
            raise os_error(
                errno.EPROTONOSUPPORT, f"protocol {protocol} has no ports; TCP (6) and UDP (17) have"
            ) from None

    def _read_transport(self, ports: RawPorts) -> Frame | None:
        packet = ports.socket.recv(_LARGEST_PACKET)
        transport = 4 * (packet[0] & 0xF)
        if int.from_bytes(packet[transport + 2 : transport + 4], "big") not in ports:
            return None
        offload = unfinished(packet) if self._may_be_unfinished(packet) else None
        return Frame((packet,), offload if offload and holds_pseudo_sum(packet, offload) else None)

    def _may_be_unfinished(self, packet: bytes) -> bool:
        src = packet[12:16]
        return src[0] == _LOOPBACK_NET or src in self._machine or len(packet) > self.capabilities.mtu

    def _read_icmp(self) -> Frame | None:
        packet = self._icmp.recv(_LARGEST_PACKET)
        message = packet[4 * (packet[0] & 0xF) :]
        if len(message) < _ICMP_HEADER:
            return None
        if message[0] == ICMPv4Type.ECHO_REPLY:
            wanted = message[4:6] in self._pinged
        else:
            wanted = self._has_sent(message[_ICMP_HEADER:])
        return Frame((packet,)) if wanted else None

    def _has_sent(self, quote: bytes) -> bool:
        """Whether the packet of which an ICMP error quotes the beginning may have been ours."""
        header = 4 * (quote[0] & 0xF) if quote else 0
        if header < _IP_HEADER or len(quote) < header + _QUOTED or quote[12:16] != self._own:
            return False
        protocol, transport = quote[9], quote[header:]
        if protocol == IPProtocol.ICMP:
            return transport[0] == ICMPv4Type.ECHO_REQUEST and transport[4:6] in self._pinged
        return protocol in self._ports and int.from_bytes(transport[:2], "big") in self._ports_of(protocol)

    def _note_ping(self, packet: bytes) -> None:
        """Remember the identifier of an echo request of ours, so that its replies find their way."""
        message = packet[4 * (packet[0] & 0xF) :]
        if len(message) >= _ICMP_HEADER and message[0] == ICMPv4Type.ECHO_REQUEST:
            self._pinged[message[4:6]] = None
            if len(self._pinged) > _MOST_PINGS:
                del self._pinged[next(iter(self._pinged))]


def _find(ip: IPv4Address) -> tuple[IPv4Interface, int, frozenset[bytes]]:
    """`ip` with its prefix length, the MTU of its interface, and every IPv4 address of this machine."""
    with RouteSocket() as route:
        addresses = [(index, each) for index, each in route.addresses() if isinstance(each, IPv4Interface)]
        for index, interface in addresses:
            # Of the loopback interface, each address of the whole network is the machine's own.
            if interface.ip == ip or (index == _LOOPBACK_INDEX and ip in interface.network):
                mtu = min(route.link(index).mtu, _LARGEST_PACKET)
                own = IPv4Interface((ip, interface.network.prefixlen))
                return own, mtu, frozenset(each.packed for _, each in addresses)
    raise os_error(errno.EADDRNOTAVAIL, f"{ip} is not an address of this machine (ip addr lists them)")
