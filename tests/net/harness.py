"""A host's internet layer in virtual time: against bytes (`Bench`), or against others (`World`)."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from random import Random

from pystack.errors import LinkDown
from pystack.link.base import Frame, Link, LinkCapabilities, Medium, Offload
from pystack.link.memory import MemoryLink
from pystack.net.config import NetConfig
from pystack.net.errors import PathError
from pystack.net.interface import Interface
from pystack.net.network import Network
from pystack.net.packet import IPPacket
from pystack.units import Ns
from pystack.wire.arp import ARPPacket
from pystack.wire.ethernet import EthernetHeader, EtherType
from pystack.wire.icmpv4 import ICMPv4Message
from pystack.wire.icmpv6 import ICMPv6Message
from pystack.wire.ipv4 import IPv4Header
from pystack.wire.ipv6 import IPv6Header
from pystack.wire.mac import BROADCAST
from pystack.wire.packet import build

OUR_MAC = "02:00:00:00:00:01"
PEER_MAC = "02:00:00:00:00:02"
OURS = "192.0.2.1"
PEER = "192.0.2.2"
OURS6 = "2001:db8::1"
PEER6 = "2001:db8::2"


def octets(text: str) -> bytes:
    return ip_address(text).packed


class Node:
    """A `Network` and what it said."""

    def __init__(self, config: NetConfig | None = None, seed: int = 1) -> None:
        self.counters: Counter[str] = Counter()
        self.packets: list[IPPacket] = []
        self.errors: list[PathError] = []
        self.echo_replies: list[tuple[bytes, int, int, bytes, Ns]] = []
        self.echo_errors: list[PathError] = []
        self.lost: list[tuple[Interface, LinkDown]] = []
        rng = Random(seed)
        self.network = Network(
            rng=rng,
            entropy=rng.randbytes,
            counters=self.counters,
            deliver=lambda packet, now: self.packets.append(packet),
            notify=lambda error, now: self.errors.append(error),
            config=config or NetConfig(),
            on_echo_reply=lambda *reply: self.echo_replies.append(reply),
            on_echo_error=lambda error, now: self.echo_errors.append(error),
            on_link_down=lambda interface, error: self.lost.append((interface, error)),
        )

    def turn(self, now: Ns) -> None:
        """As `Stack.poll`: input, timers, output, until nothing moves."""
        while True:
            self.network.receive(now, 64)
            self.network.on_timer(now)
            self.network.flush(now)
            due = self.network.next_deadline()
            if due is None or due > now:
                break

    def send_udp(self, dst: str, payload: bytes = b"payload", now: Ns = 0, **options: object) -> None:
        """A UDP header from port 1 to port 2 and `payload`; the checksum is none (0)."""
        path = self.network.path(octets(dst))
        self.network.send(path, 17, udp_header(len(payload)), (payload,), len(payload), now, **options)  # type: ignore[arg-type]


def udp_header(length: int, src_port: int = 1, dst_port: int = 2) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in (src_port, dst_port, 8 + length, 0))


class Bench:
    """One node at 192.0.2.1/24 on a memory link, and the bare far end of the cable, where a test plays the peer."""

    def __init__(
        self,
        medium: Medium = Medium.ETHERNET,
        config: NetConfig | None = None,
        gateway: str | None = PEER,
        **link: int | bool,
    ) -> None:
        self.medium = medium
        self.node = Node(config)
        self.network = self.node.network
        self.counters = self.node.counters
        ours, self.peer = MemoryLink.pair(medium=medium, macs=(OUR_MAC, PEER_MAC), **link)  # type: ignore[arg-type]
        self.interface = self.network.add_interface(ours, f"{OURS}/24", gateway)
        self.now: Ns = 0
        self.node.turn(0)
        self.frames()

    def frames(self) -> list[Frame]:
        """What the node has sent since the last call."""
        return list(self.peer.receive(10_000, self.now))

    def sent(self) -> list[bytes]:
        return [frame.to_bytes() for frame in self.frames()]

    def sent_arp(self) -> list[ARPPacket]:
        """What has been sent, which must be ARP alone."""
        frames = self.sent()
        assert all(EthernetHeader.from_bytes(frame).ethertype == EtherType.ARP for frame in frames)
        return [ARPPacket.from_bytes(frame[14:]) for frame in frames]

    def sent_packets(self) -> list[bytes]:
        """IP packets sent, ARP left out."""
        if self.medium is Medium.IP:
            return self.sent()
        frames = self.sent()
        return [frame[14:] for frame in frames if EthernetHeader.from_bytes(frame).ethertype == EtherType.IPV4]

    def sent_icmp(self) -> list[tuple[IPv4Header, ICMPv4Message]]:
        packets = self.sent_packets()
        return [(IPv4Header.from_bytes(each), ICMPv4Message.from_bytes(each[20:])) for each in packets]

    def inject_frame(self, *buffers: bytes, offload: Offload | None = None) -> None:
        self.peer.send([Frame(buffers, offload)], self.now)
        self.node.turn(self.now)

    def inject(self, packet: bytes, *, dst_mac: str = OUR_MAC, offload: Offload | None = None) -> None:
        """One IP packet from the peer."""
        if self.medium is Medium.ETHERNET:
            packet = EthernetHeader(dst_mac, PEER_MAC, EtherType.IPV4).to_bytes() + packet
        self.inject_frame(packet, offload=offload)

    def inject_arp(self, arp: ARPPacket, *, dst_mac: str = OUR_MAC, padding: int = 18) -> None:
        header = EthernetHeader(dst_mac, str(arp.sender_mac), EtherType.ARP)
        self.inject_frame(header.to_bytes() + arp.to_bytes() + bytes(padding))

    def introduce(self, ip: str = PEER, mac: str = PEER_MAC) -> None:
        """Let a neighbour ask for us, so that its link address is known; the answer is thrown away."""
        if self.medium is Medium.ETHERNET:
            self.inject_arp(ARPPacket.request(mac, ip, OURS), dst_mac=str(BROADCAST))
            self.frames()

    def pass_time(self, duration: Ns) -> None:
        """Let each deadline within `duration` ring at its time."""
        end = self.now + duration
        while (due := self.network.next_deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.node.turn(self.now)
        self.now = end

    @staticmethod
    def udp_packet(payload: bytes = b"payload", **header: object) -> bytes:
        """A UDP datagram of the peer for us; `header` overrides fields of its IP header."""
        fields: dict[str, object] = {"src": PEER, "dst": OURS, "protocol": 17, **header}
        return build(IPv4Header(**fields), udp_header(len(payload)) + payload)  # type: ignore[arg-type]


class Bench6:
    """As `Bench`, for IPv6: one node at 2001:db8::1/64 on a link without neighbours."""

    def __init__(self, config: NetConfig | None = None, gateway: str | None = None, **link: int | bool) -> None:
        self.node = Node(config)
        self.network = self.node.network
        self.counters = self.node.counters
        ours, self.peer = MemoryLink.pair(medium=Medium.IP, **link)  # type: ignore[arg-type]
        self.interface = self.network.add_interface(ours, f"{OURS6}/64", gateway)
        self.now: Ns = 0

    def frames(self) -> list[Frame]:
        """What the node has sent since the last call."""
        return list(self.peer.receive(10_000, self.now))

    def sent(self) -> list[bytes]:
        return [frame.to_bytes() for frame in self.frames()]

    def sent_icmp(self) -> list[tuple[IPv6Header, ICMPv6Message]]:
        return [(IPv6Header.from_bytes(each), ICMPv6Message.from_bytes(each[40:])) for each in self.sent()]

    def inject(self, *buffers: bytes, offload: Offload | None = None) -> None:
        """One IP packet from the peer."""
        self.peer.send([Frame(buffers, offload)], self.now)
        self.node.turn(self.now)

    @staticmethod
    def udp_packet(payload: bytes = b"payload", **header: object) -> bytes:
        """A UDP datagram of the peer for us; `header` overrides fields of its IP header."""
        fields: dict[str, object] = {"src": PEER6, "dst": OURS6, "next_header": 17, **header}
        return build(IPv6Header(**fields), udp_header(len(payload)) + payload)  # type: ignore[arg-type]


class SharingLink(MemoryLink):
    """As a raw socket: the kernel owns its address too."""

    def __init__(self, address: str) -> None:
        super().__init__(LinkCapabilities(Medium.IP, 1500, shares_host=True))
        self._peer = self
        self.address = address


class World:
    """Nodes over links, driven together."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.now: Ns = 0

    def node(self, link: Link, address: str, gateway: str | None = None) -> Node:
        node = Node(seed=len(self.nodes) + 1)
        node.network.add_interface(link, address, gateway)
        self.nodes.append(node)
        return node

    def run(self, duration: Ns = 0) -> None:
        end = self.now + duration
        while True:
            for node in self.nodes:
                node.turn(self.now)
            deadlines = [due for node in self.nodes if (due := node.network.next_deadline()) is not None]
            if not deadlines or min(deadlines) > end:
                break
            self.now = max(self.now, min(deadlines))
        self.now = end
