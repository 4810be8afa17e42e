"""A frame in one line, as tcpdump would print it (`tcpdump -n`)."""

from collections.abc import MutableMapping
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from typing_extensions import Buffer

from pystack.errors import DecodeError
from pystack.wire.arp import ARPPacket
from pystack.wire.ethernet import EthernetHeader, VLANTag, ethertype_name
from pystack.wire.icmpv4 import ICMPv4Message
from pystack.wire.icmpv6 import ICMPv6Message
from pystack.wire.ipv4 import IPv4Flags, IPv4Header
from pystack.wire.ipv6 import IPv6Header
from pystack.wire.packet import Layer, dissect_into
from pystack.wire.pcapng import LinkType
from pystack.wire.protocol import IPProtocol, protocol_name
from pystack.wire.seq import wrap
from pystack.wire.tcp import SACK, TCPFlags, TCPHeader
from pystack.wire.udp import UDP, UDPHeader

__all__ = ["Origins", "describe"]

_Address: TypeAlias = IPv4Address | IPv6Address

Origins: TypeAlias = MutableMapping[tuple[_Address, int, _Address, int], int]
"""Initial sequence number by (source, source port, destination, destination port)."""


def describe(
    frame: Buffer,
    link_type: LinkType = LinkType.ETHERNET,
    *,
    verify: bool = False,
    origins: Origins | None = None,
) -> str:
    """`frame` in one line. Never raises: what cannot be decoded, and with `verify` a wrong checksum, is named in
    brackets at the end.

    `origins`: where the sequence numbers of SYNs are remembered, so that later numbers of the same connection are shown
    relative to them. Pass the same mapping for all frames of a capture.
    """
    layers: list[Layer] = []
    problem = ""
    try:
        dissect_into(layers, frame, link_type, verify=verify)
    except DecodeError as error:
        problem = f"[{error}]"
    return " ".join(filter(None, (_tell(layers, origins), problem)))


def _tell(layers: list[Layer], origins: Origins | None) -> str:
    text = ""
    for place, layer in enumerate(layers):
        inner = layers[place + 1] if place + 1 < len(layers) else None
        match layer:
            case EthernetHeader() if inner is None or isinstance(inner, bytes):
                return f"{layer}, length {len(inner or b'')}"
            case VLANTag():
                text += f"vlan {layer.vlan}, p {layer.priority}, "
                if inner is None or isinstance(inner, bytes):
                    return f"{text}ethertype {ethertype_name(layer.ethertype)}, length {len(inner or b'')}"
            case ARPPacket():
                return f"{text}ARP, {layer}, length {layer.size}"
            case IPv4Header() | IPv6Header():
                text += "IP " if isinstance(layer, IPv4Header) else "IP6 "
                if not isinstance(inner, IPv4Header | IPv6Header):
                    return text + _packet(layer, inner, layers[-1], origins)
                text += f"{layer.src} > {layer.dst}: "
    return text


def _packet(ip: IPv4Header | IPv6Header, inner: Layer | None, last: Layer, origins: Origins | None) -> str:
    length = len(last) if isinstance(last, bytes) else None
    match inner:
        case TCPHeader():
            return _segment(ip, inner, length, origins)
        case UDPHeader():
            return f"{ip.src}.{inner.src_port} > {ip.dst}.{inner.dst_port}: UDP, length {inner.length - 8}"
        case ICMPv4Message() | ICMPv6Message():
            return f"{ip.src} > {ip.dst}: {inner}{_quoted(inner)}"
    protocol = ip.protocol if isinstance(ip, IPv4Header) else ip.next_header
    text = f"{ip.src} > {ip.dst}: {_numbered(protocol)}"
    if isinstance(ip, IPv4Header) and (ip.fragment_offset or ip.flags & IPv4Flags.MF):
        more = "+" if ip.flags & IPv4Flags.MF else ""
        text += f" fragment {ip.identification}@{ip.fragment_offset * 8}{more}"
    return text if length is None else f"{text}, length {length}"


def _numbered(protocol: int) -> str:
    name = protocol_name(protocol)
    return f"ip-proto-{protocol}" if name.isdecimal() else name


def _segment(ip: IPv4Header | IPv6Header, tcp: TCPHeader, length: int | None, origins: Origins | None) -> str:
    there, back = 0, 0
    if origins is not None:
        flow = (ip.src, tcp.src_port, ip.dst, tcp.dst_port)
        if tcp.flags & TCPFlags.SYN:
            origins[flow] = tcp.seq
        else:
            there = origins.get(flow, 0)
            back = origins.get((ip.dst, tcp.dst_port, ip.src, tcp.src_port), 0)
    seq = wrap(tcp.seq - there)
    options = [
        SACK(tuple((wrap(left - back), wrap(right - back)) for left, right in option.blocks))
        if isinstance(option, SACK)
        else option
        for option in tcp.options
    ]
    bare = length == 0 and not tcp.flags & (TCPFlags.SYN | TCPFlags.FIN | TCPFlags.RST)
    parts = [
        f"{ip.src}.{tcp.src_port} > {ip.dst}.{tcp.dst_port}: Flags [{tcp.flags}]",
        "" if bare else f"seq {seq}:{wrap(seq + length)}" if length else f"seq {seq}",
        f"ack {wrap(tcp.ack - back)}" if tcp.flags & TCPFlags.ACK else "",
        f"win {tcp.window}",
        f"urg {tcp.urgent}" if tcp.flags & TCPFlags.URG else "",
        f"options [{','.join(map(str, options))}]" if options else "",
        "" if length is None else f"length {length}",
    ]
    return ", ".join(filter(None, parts))


def _quoted(message: ICMPv4Message | ICMPv6Message) -> str:
    """Which packet an ICMP error is about."""
    try:
        quoted = message.quoted
        ip: IPv4Header | IPv6Header
        if quoted[:1] and quoted[0] >> 4 == 6:
            ip = IPv6Header.from_bytes(quoted)
            protocol = ip.next_header
        else:
            ip = IPv4Header.from_bytes(quoted)
            protocol = ip.protocol
    except (AttributeError, DecodeError):
        return ""
    upper = quoted[ip.size :]
    if protocol in (IPProtocol.TCP, IPProtocol.UDP) and len(upper) >= UDP.size:
        src_port, dst_port = UDP.unpack_from(upper)[:2]
        return f", quoting {ip.src}.{src_port} > {ip.dst}.{dst_port}: {protocol_name(protocol)}"
    return f", quoting {ip.src} > {ip.dst}: {_numbered(protocol)}"
