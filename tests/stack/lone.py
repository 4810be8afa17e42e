"""One host in virtual time on a bare cable: the test writes and reads every packet of its peers by hand."""

from typing import Any

from attrs import frozen

from pystack import wire
from pystack.link.base import Frame, Medium
from pystack.link.memory import MemoryLink
from pystack.sim.simulation import Simulation
from pystack.stack.config import StackConfig
from pystack.stack.stream import StreamEndpoint
from pystack.units import SECOND
from tests.stack.conftest import HOSTS

__all__ = ["ACK", "FIN", "PSH", "RST", "SYN", "URG", "Lone", "Sent"]

FIN, SYN, RST, PSH, ACK, URG = (wire.TCPFlags(1 << bit) for bit in range(6))
IPV4, IPV6, ARP = (number.to_bytes(2, "big") for number in (0x0800, 0x86DD, 0x0806))


@frozen
class Sent:
    """A segment of the host's, whose checksums were right."""

    ip: wire.IPv4Header | wire.IPv6Header
    tcp: wire.TCPHeader
    payload: bytes

    @property
    def tos(self) -> int:
        """The octet of DSCP and ECN."""
        if isinstance(self.ip, wire.IPv4Header):
            return self.ip.dscp << 2 | self.ip.ecn
        return self.ip.traffic_class

    @property
    def ttl(self) -> int:
        return self.ip.ttl if isinstance(self.ip, wire.IPv4Header) else self.ip.hop_limit


class Lone:
    """`host` is the stack's address, `peer` its neighbour's, who speaks from port 5000 and counts from 1000."""

    def __init__(
        self,
        config: StackConfig | None = None,
        *,
        version: int = 4,
        medium: Medium = Medium.IP,
        mtu: int = 1500,
    ) -> None:
        self.sim = Simulation(1)
        self.version = version
        self.host, self.peer = HOSTS[version]
        self.medium = medium
        near, self.far = MemoryLink.pair(medium=medium, mtu=mtu)
        self.macs = [link.capabilities.mac for link in (near, self.far)]
        self.stack = self.sim.stack(config)
        self.interface = self.stack.add_interface(near, f"{self.host}/{24 if version == 4 else 64}")
        self.iss = 0
        """Of the connection made by `establish`."""
        if medium is Medium.ETHERNET:
            self._introduce()

    @property
    def now(self) -> int:
        return self.sim.now

    def run(self, seconds: float) -> None:
        """Let time pass; nothing is read from the cable meanwhile."""
        end = self.now + round(seconds * SECOND)
        while self.sim.step(end):
            pass

    # The cable

    def frame(self, octets: bytes) -> None:
        self.far.send([Frame((octets,))], self.now)
        self.sim.step(self.now)

    def packet(self, octets: bytes) -> None:
        """An IP packet arrives."""
        ours, theirs = self.macs
        if ours is not None and theirs is not None:
            kind = wire.EtherType.IPV4 if self.version == 4 else wire.EtherType.IPV6
            octets = wire.EthernetHeader(ours, theirs, kind).to_bytes() + octets
        self.frame(octets)

    def frames(self) -> list[bytes]:
        """Everything sent since the last call."""
        return [frame.to_bytes() for frame in self.far.receive(10_000, self.now)]

    def sent(self) -> list[Sent]:
        """The TCP segments sent since the last call."""
        link_type = wire.LinkType.RAW if self.medium is Medium.IP else wire.LinkType.ETHERNET
        segments = []
        for frame in self.frames():
            layers = wire.dissect(frame, link_type, verify=True)
            ip = next((each for each in layers if isinstance(each, wire.IPv4Header | wire.IPv6Header)), None)
            tcp = next((each for each in layers if isinstance(each, wire.TCPHeader)), None)
            if ip is not None and tcp is not None:
                last = layers[-1]
                segments.append(Sent(ip, tcp, last if isinstance(last, bytes) else b""))
        return segments

    def _introduce(self) -> None:
        """The peer asks for the host, so that its link address is known."""
        theirs = self.macs[1]
        assert theirs is not None
        request = wire.ARPPacket.request(str(theirs), self.peer, self.host).to_bytes()
        self.frame(wire.EthernetHeader("ff:ff:ff:ff:ff:ff", theirs, wire.EtherType.ARP).to_bytes() + request)
        self.frames()

    # What peers send

    def ip(self, src: str | None = None, dst: str | None = None, **fields: Any) -> wire.IPv4Header | wire.IPv6Header:
        kind = wire.IPv4Header if self.version == 4 else wire.IPv6Header
        return kind(src or self.peer, dst or self.host, **fields)

    def segment(
        self,
        flags: wire.TCPFlags,
        seq: int = 1000,
        ack: int = 0,
        data: bytes = b"",
        *,
        ip: wire.IPv4Header | wire.IPv6Header | None = None,
        **fields: object,
    ) -> None:
        """A segment arrives from port 5000 for port 80."""
        header = wire.TCPHeader(**{"src_port": 5000, "dst_port": 80, **fields}, seq=seq, ack=ack, flags=flags)  # type: ignore[arg-type]
        self.packet(wire.build(ip or self.ip(), header, data))

    def icmp(self, kind: int, code: int, seq: int, *, rest: int = 0, ports: tuple[int, int] = (80, 5000)) -> None:
        """An ICMP error about a segment of the host's with this sequence number arrives."""
        quoted = wire.TCPHeader(*ports, seq, 0, ACK, 1000)
        quote = wire.build(self.ip(self.host, self.peer), quoted, bytes(1400))[:576]
        message = wire.ICMPv4Message if self.version == 4 else wire.ICMPv6Message
        self.packet(wire.build(self.ip(), message(kind, code, rest, quote)))

    # Connections

    def listen(self, address: str = "", port: int = 80, backlog: int = 8) -> StreamEndpoint:
        server = self.stack.stream()
        server.bind((address, port), self.now)
        server.listen(backlog, self.now)
        return server

    def connect(self, remote: str | None = None, *, local: str = "") -> StreamEndpoint:
        """A socket at port 80 whose SYN is on its way to port 5000."""
        client = self.stack.stream()
        client.bind((local, 80), self.now)
        client.connect((remote or self.peer, 5000), self.now)
        return client

    def establish(self, **fields: object) -> StreamEndpoint:
        """A connection accepted from the peer, whose next octet is 1001. `fields` are those of its SYN."""
        server = self.listen()
        self.segment(SYN, **{"options": (wire.MaximumSegmentSize(1460),), **fields})  # type: ignore[arg-type]
        (answer,) = self.sent()
        self.iss = answer.tcp.seq
        stamps = tuple(
            wire.Timestamps(2, each.value) for each in answer.tcp.options if isinstance(each, wire.Timestamps)
        )
        self.segment(ACK, 1001, self.iss + 1 & 0xFFFF_FFFF, options=stamps)
        conn = server.try_accept(self.now)
        assert conn is not None
        server.close(self.now)
        return conn

    def establish_actively(self, client: StreamEndpoint) -> int:
        """Answer the SYN of `client`; its sequence number."""
        (syn,) = self.sent()
        self.segment(SYN | ACK, 1000, syn.tcp.seq + 1 & 0xFFFF_FFFF, options=(wire.MaximumSegmentSize(1460),))
        assert client.try_connected(self.now)
        self.sent()
        return syn.tcp.seq
