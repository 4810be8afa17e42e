"""Whole frames: built from headers in one expression, and taken apart again."""

from collections.abc import Iterator
from typing import TypeAlias

from typing_extensions import Buffer

from pystack.errors import DecodeError
from pystack.wire.arp import ARPPacket
from pystack.wire.checksum import internet_checksum
from pystack.wire.ethernet import EthernetHeader, EtherType, VLANTag
from pystack.wire.icmpv4 import ICMPv4Message
from pystack.wire.icmpv6 import ICMPv6Message
from pystack.wire.ipv4 import IPv4Flags, IPv4Header
from pystack.wire.ipv6 import IPv6Header
from pystack.wire.pcapng import LinkType
from pystack.wire.protocol import IPProtocol
from pystack.wire.pseudo import pseudo_sum
from pystack.wire.tcp import TCPHeader
from pystack.wire.udp import UDPHeader

__all__ = ["Header", "build", "dissect", "iter_layers"]

Header: TypeAlias = (
    EthernetHeader
    | VLANTag
    | ARPPacket
    | IPv4Header
    | IPv6Header
    | ICMPv4Message
    | ICMPv6Message
    | UDPHeader
    | TCPHeader
)

_ETHERTYPES: dict[type, int] = {
    IPv4Header: EtherType.IPV4,
    IPv6Header: EtherType.IPV6,
    ARPPacket: EtherType.ARP,
    VLANTag: EtherType.VLAN,
}
_PROTOCOLS: dict[type, int] = {
    IPv4Header: IPProtocol.IPV4,
    IPv6Header: IPProtocol.IPV6,
    ICMPv4Message: IPProtocol.ICMP,
    ICMPv6Message: IPProtocol.ICMPV6,
    UDPHeader: IPProtocol.UDP,
    TCPHeader: IPProtocol.TCP,
}


def build(*layers: Header | Buffer) -> bytes:
    """`layers` joined, each header with the lengths, checksums and next-protocol numbers that fit what follows it.

    Headers come outermost first; octets are taken as they are. TCP, UDP and ICMPv6 need an IP header right before them.
    Whoever wants a field wrong joins `to_bytes()` of the headers instead. Raises `ValueError` where something does not
    fit.
    """
    built = b""
    inner: type = bytes
    for place in range(len(layers) - 1, -1, -1):
        layer = layers[place]
        kind = type(layer)
        if isinstance(layer, TCPHeader | UDPHeader):
            built = layer.sealed_bytes(_pseudo(layers, place), built) + built
        elif isinstance(layer, IPv4Header | IPv6Header):
            own = layer.protocol if isinstance(layer, IPv4Header) else layer.next_header
            built = layer.sealed_bytes(_PROTOCOLS.get(inner, own), len(built)) + built
        elif isinstance(layer, EthernetHeader | VLANTag):
            built = layer.sealed_bytes(_ETHERTYPES.get(inner, layer.ethertype)) + built
        elif isinstance(layer, ICMPv6Message):
            built = layer.sealed_bytes(_pseudo(layers, place) + layer.size + len(built), built)
        elif isinstance(layer, ICMPv4Message):
            built = layer.sealed_bytes(payload=built)
        else:
            built = bytes(layer) + built
        inner = kind
    return built


def _pseudo(layers: tuple[Header | Buffer, ...], place: int) -> int:
    """The partial sum for the upper-layer header at `place`."""
    outer = layers[place - 1] if place else None
    if not isinstance(outer, IPv4Header | IPv6Header):
        raise ValueError(f"build: {type(layers[place]).__name__} needs an IP header before it, for its checksum")
    return pseudo_sum(outer.src.packed, outer.dst.packed, _PROTOCOLS[type(layers[place])])


def dissect(
    frame: Buffer, link_type: LinkType = LinkType.ETHERNET, *, verify: bool = False
) -> tuple[Header | bytes, ...]:
    """The headers of `frame`, outermost first, and then, always, the payload as `bytes`.

    The payload ends where the IP length says: what pads a short Ethernet frame is left out. ICMP and ARP hold all
    their octets, so nothing remains behind them. A fragment's content, and whatever this library has no header for, is
    payload. Raises `DecodeError`; with `verify` also for wrong checksums ("tcp.checksum" and the like).
    """
    return tuple(iter_layers(frame, link_type, verify=verify))


def iter_layers(
    frame: Buffer, link_type: LinkType = LinkType.ETHERNET, *, verify: bool = False
) -> Iterator[Header | bytes]:
    """As `dissect`, one by one, so that what precedes an error is known."""
    data = memoryview(frame).cast("B")
    if link_type == LinkType.ETHERNET:
        ethernet = EthernetHeader.from_bytes(data)
        yield ethernet
        yield from _network(data[14:], ethernet.ethertype, verify)
    else:
        version = data[0] >> 4 if data.nbytes else 0
        if version not in (4, 6):
            raise DecodeError("ip.version", str(version) if data.nbytes else "no octets")
        yield from _network(data, EtherType.IPV4 if version == 4 else EtherType.IPV6, verify)


def _network(data: memoryview, ethertype: int, verify: bool) -> Iterator[Header | bytes]:
    if ethertype == EtherType.IPV4:
        yield from _ipv4(data, verify)
    elif ethertype == EtherType.IPV6:
        yield from _ipv6(data, verify)
    elif ethertype == EtherType.ARP:
        yield ARPPacket.from_bytes(data)
        yield b""
    elif ethertype == EtherType.VLAN:
        tag = VLANTag.from_bytes(data)
        yield tag
        yield from _network(data[4:], tag.ethertype, verify)
    else:
        yield bytes(data)


def _ipv4(data: memoryview, verify: bool) -> Iterator[Header | bytes]:
    header = IPv4Header.from_bytes(data)
    yield header
    octets = (data[0] & 15) * 4
    if verify and internet_checksum(data[:octets]):
        raise DecodeError("ipv4.checksum", f"0x{header.checksum:04x}")
    if header.total_length > data.nbytes:
        raise DecodeError("ipv4.truncated", f"{data.nbytes} of {header.total_length} octets")
    payload = data[octets : header.total_length]
    if header.fragment_offset or header.flags & IPv4Flags.MF:
        yield bytes(payload)
    else:
        pseudo = int.from_bytes(data[12:20], "big") + header.protocol if verify else None
        yield from _upper(payload, header.protocol, pseudo)


def _ipv6(data: memoryview, verify: bool) -> Iterator[Header | bytes]:
    header = IPv6Header.from_bytes(data)
    yield header
    end = 40 + header.payload_length
    if end > data.nbytes:
        raise DecodeError("ipv6.truncated", f"{data.nbytes} of {end} octets")
    pseudo = int.from_bytes(data[8:40], "big") + header.next_header if verify else None
    yield from _upper(data[40:end], header.next_header, pseudo)


def _upper(data: memoryview, protocol: int, pseudo: int | None) -> Iterator[Header | bytes]:
    """What an IP packet carries. `pseudo`: the pseudo-header's sum without length, or None: do not verify."""
    if protocol == IPProtocol.TCP:
        tcp = TCPHeader.from_bytes(data)
        yield tcp
        if pseudo is not None and internet_checksum(data, pseudo + data.nbytes):
            raise DecodeError("tcp.checksum", f"0x{tcp.checksum:04x}")
        yield bytes(data[(data[12] >> 4) * 4 :])
    elif protocol == IPProtocol.UDP:
        udp = UDPHeader.from_bytes(data)
        yield udp
        if udp.length > data.nbytes:
            raise DecodeError("udp.truncated", f"{data.nbytes} of {udp.length} octets")
        if pseudo is not None and udp.checksum and internet_checksum(data[: udp.length], pseudo + udp.length):
            raise DecodeError("udp.checksum", f"0x{udp.checksum:04x}")
        yield bytes(data[8 : udp.length])
    elif protocol == IPProtocol.ICMP:
        icmp = ICMPv4Message.from_bytes(data)
        yield icmp
        if pseudo is not None and internet_checksum(data):
            raise DecodeError("icmp.checksum", f"0x{icmp.checksum:04x}")
        yield b""
    elif protocol == IPProtocol.ICMPV6:
        icmpv6 = ICMPv6Message.from_bytes(data)
        yield icmpv6
        if pseudo is not None and internet_checksum(data, pseudo + data.nbytes):
            raise DecodeError("icmp.checksum", f"0x{icmpv6.checksum:04x}")
        yield b""
    elif protocol == IPProtocol.IPV4:
        yield from _ipv4(data, pseudo is not None)
    elif protocol == IPProtocol.IPV6:
        yield from _ipv6(data, pseudo is not None)
    else:
        yield bytes(data)
