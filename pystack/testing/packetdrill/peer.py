"""The far end of the link: it puts the script's packets on the wire, and keeps what the stack sends, with times."""

from collections import deque
from ipaddress import IPv4Address

from attrs import define, field

from pystack.link.base import Frame, Link
from pystack.testing.packetdrill.flow import Flow
from pystack.testing.packetdrill.script import ICMPPacket, IPFields, Packet, Quoted, TCPPacket, UDPPacket
from pystack.testing.packetdrill.sent import Sent
from pystack.units import Ns
from pystack.wire.icmpv4 import ICMPv4Message
from pystack.wire.icmpv6 import ICMPv6Message
from pystack.wire.ipv4 import IPv4Header
from pystack.wire.ipv6 import IPv6Header
from pystack.wire.packet import Header, build
from pystack.wire.tcp import TCPFlags, TCPHeader
from pystack.wire.udp import UDPHeader

__all__ = ["Peer"]

FILLER = 0x5A
"""What inbound data consists of."""


@define(eq=False)
class Peer:
    link: Link
    sent: deque[Sent] = field(factory=deque)
    """What the script has not looked at yet, oldest first."""

    def collect(self, now: Ns) -> None:
        """Take over what has been sent at `now`. Raises `DecodeError` for a packet that is not a sound one."""
        while frames := self.link.receive(64, now):
            self.sent += [Sent.decoded(frame.to_bytes(), now) for frame in frames]

    def inject(self, packet: Packet, flow: Flow, now: Ns) -> None:
        match packet.body:
            case TCPPacket() as tcp:
                layers: tuple[Header | bytes, ...] = (
                    flow.to_wire(tcp, tcp.window or 0, tcp.options or ()),
                    bytes((FILLER,)) * tcp.length,
                )
            case UDPPacket(length):
                layers = (UDPHeader(flow.remote_port, flow.local_port), bytes((FILLER,)) * length)
            case ICMPPacket() as icmp:
                layers = (_icmp(icmp, flow),)
        frame = build(_ip_header(packet.ip, flow), *layers)
        self.link.send([Frame((frame,))], now)


def _ip_header(ip: IPFields, flow: Flow) -> IPv4Header | IPv6Header:
    ecn = ip.ecn[0] if ip.ecn else 0
    dscp, ttl = ip.dscp or 0, ip.ttl or 64
    if isinstance(flow.remote, IPv4Address) and isinstance(flow.local, IPv4Address):
        return IPv4Header(flow.remote, flow.local, ttl=ttl, dscp=dscp, ecn=ecn)
    return IPv6Header(
        flow.remote.packed,
        flow.local.packed,
        hop_limit=ttl,
        traffic_class=dscp << 2 | ecn,
        flow_label=ip.flow_label or 0,
    )


def _icmp(icmp: ICMPPacket, flow: Flow) -> ICMPv4Message | ICMPv6Message:
    """An error about a packet that the stack has sent."""
    quoted = _quoted(icmp.quoted, flow) if icmp.quoted else b""
    kind = ICMPv4Message if icmp.version == 4 else ICMPv6Message
    return kind(icmp.type, icmp.code, icmp.mtu or 0, quoted)


def _quoted(quoted: Quoted, flow: Flow) -> bytes:
    """The start of the packet: 8 octets behind an IPv4 header (RFC 792), all that fits with IPv6 (RFC 4443)."""
    upper: TCPHeader | UDPHeader
    if quoted.seq is None:
        upper = UDPHeader(flow.local_port, flow.remote_port)
    else:
        upper = TCPHeader(flow.local_port, flow.remote_port, flow.sent_seq(quoted.seq), flags=TCPFlags.ACK)
    ip: IPv4Header | IPv6Header
    if isinstance(flow.local, IPv4Address) and isinstance(flow.remote, IPv4Address):
        ip, octets = IPv4Header(flow.local, flow.remote), 28
    else:
        ip, octets = IPv6Header(flow.local.packed, flow.remote.packed), 1232
    return build(ip, upper, bytes(quoted.length))[:octets]
