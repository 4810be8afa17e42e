"""Whole frames: built from headers in one expression, and taken apart again."""

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
from pystack.wire.tcp import TCPHeader
from pystack.wire.udp import UDPHeader

__all__ = ["Header", "Layer", "build", "dissect", "dissect_into"]

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

Layer: TypeAlias = Header | bytes

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
    inner: Header | Buffer = b""
    for place in range(len(layers) - 1, -1, -1):
        layer = layers[place]
        if isinstance(layer, bytes):
            built = layer + built
        elif isinstance(layer, TCPHeader):
            built = layer.sealed_bytes(_pseudo(layers, place, IPProtocol.TCP), built) + built
        elif isinstance(layer, IPv4Header):
            built = layer.sealed_bytes(_PROTOCOLS.get(type(inner), layer.protocol), len(built)) + built
        elif isinstance(layer, EthernetHeader):
            built = layer.sealed_bytes(_ETHERTYPES.get(type(inner), layer.ethertype)) + built
        elif isinstance(layer, UDPHeader):
            built = layer.sealed_bytes(_pseudo(layers, place, IPProtocol.UDP), built) + built
        elif isinstance(layer, IPv6Header):
            built = layer.sealed_bytes(_PROTOCOLS.get(type(inner), layer.next_header), len(built)) + built
        elif isinstance(layer, ICMPv4Message):
            built = layer.sealed_bytes(payload=built)
        elif isinstance(layer, ICMPv6Message):
            pseudo = _pseudo(layers, place, IPProtocol.ICMPV6)
            built = layer.sealed_bytes(pseudo + layer.size + len(built), built)
        elif isinstance(layer, VLANTag):
            built = layer.sealed_bytes(_ETHERTYPES.get(type(inner), layer.ethertype)) + built
        else:
            built = bytes(layer) + built
        inner = layer
    return built


def _pseudo(layers: tuple[Header | Buffer, ...], place: int, protocol: int) -> int:
    """The pseudo-header's partial sum, without length, for the upper-layer header at `place`."""
    outer = layers[place - 1] if place else None
    if isinstance(outer, (IPv4Header, IPv6Header)):
        return int(outer.src) + int(outer.dst) + protocol
    raise ValueError(f"build: {type(layers[place]).__name__} needs an IP header before it, for its checksum")


def dissect(frame: Buffer, link_type: LinkType = LinkType.ETHERNET, *, verify: bool = False) -> tuple[Layer, ...]:
    """The headers of `frame`, outermost first, and then, always, the payload as `bytes`.

    The payload ends where the IP length says: what pads a short Ethernet frame is left out. ICMP and ARP hold all
    their octets, so nothing remains behind them. A fragment's content, and whatever this library has no header for, is
    payload. Raises `DecodeError`; with `verify` also for wrong checksums ("tcp.checksum" and the like).
    """
    layers: list[Layer] = []
    dissect_into(layers, frame, link_type, verify=verify)
    return tuple(layers)


def dissect_into(
    layers: list[Layer], frame: Buffer, link_type: int = LinkType.ETHERNET, *, verify: bool = False
) -> None:
    """As `dissect`, onto the end of `layers`: when it raises, they hold what came before the error."""
    data = memoryview(frame).cast("B")
    if link_type == LinkType.ETHERNET:
        ethernet = EthernetHeader.from_bytes(data)
        layers.append(ethernet)
        _network(data[14:], ethernet.ethertype, verify, layers)
    else:
        version = data[0] >> 4 if data.nbytes else 0
        if version not in (4, 6):
            raise DecodeError("ip.version", str(version) if data.nbytes else "no octets")
        _network(data, EtherType.IPV4 if version == 4 else EtherType.IPV6, verify, layers)


_DEEPEST = 16
"""Layers that are told apart; tags or tunnels nested deeper are payload."""


def _network(data: memoryview, ethertype: int, verify: bool, layers: list[Layer]) -> None:
    if len(layers) >= _DEEPEST:
        layers.append(bytes(data))
    elif ethertype == EtherType.IPV4:
        _ipv4(data, verify, layers)
    elif ethertype == EtherType.IPV6:
        _ipv6(data, verify, layers)
    elif ethertype == EtherType.ARP:
        layers.append(ARPPacket.from_bytes(data))
        layers.append(b"")
    elif ethertype == EtherType.VLAN:
        tag = VLANTag.from_bytes(data)
        layers.append(tag)
        _network(data[4:], tag.ethertype, verify, layers)
    else:
        layers.append(bytes(data))


def _ipv4(data: memoryview, verify: bool, layers: list[Layer]) -> None:
    header = IPv4Header.from_bytes(data)
    layers.append(header)
    octets = (data[0] & 15) * 4
    if verify and internet_checksum(data[:octets]):
        raise DecodeError("ipv4.checksum", f"0x{header.checksum:04x}")
    if header.total_length > data.nbytes:
        raise DecodeError("ipv4.truncated", f"{data.nbytes} of {header.total_length} octets")
    payload = data[octets : header.total_length]
    if header.fragment_offset or header.flags & IPv4Flags.MF:
        layers.append(bytes(payload))
    else:
        pseudo = int.from_bytes(data[12:20], "big") + header.protocol if verify else None
        _upper(payload, header.protocol, pseudo, layers, unsummed_udp=True)


def _ipv6(data: memoryview, verify: bool, layers: list[Layer]) -> None:
    header = IPv6Header.from_bytes(data)
    layers.append(header)
    end = 40 + header.payload_length
    if end > data.nbytes:
        raise DecodeError("ipv6.truncated", f"{data.nbytes} of {end} octets")
    pseudo = int.from_bytes(data[8:40], "big") + header.next_header if verify else None
    _upper(data[40:end], header.next_header, pseudo, layers, unsummed_udp=False)


def _upper(data: memoryview, protocol: int, pseudo: int | None, layers: list[Layer], *, unsummed_udp: bool) -> None:
    """What an IP packet carries. `pseudo`: the pseudo-header's sum without length, or None: do not verify.

    `unsummed_udp`: a UDP checksum of 0 says that there is none (RFC 768), which IPv6 forbids (RFC 8200 section 8.1).
    """
    if len(layers) >= _DEEPEST:
        layers.append(bytes(data))
    elif protocol == IPProtocol.TCP:
        tcp = TCPHeader.from_bytes(data)
        layers.append(tcp)
        if pseudo is not None and internet_checksum(data, pseudo + data.nbytes):
            raise DecodeError("tcp.checksum", f"0x{tcp.checksum:04x}")
        layers.append(bytes(data[(data[12] >> 4) * 4 :]))
    elif protocol == IPProtocol.UDP:
        udp = UDPHeader.from_bytes(data)
        layers.append(udp)
        if udp.length > data.nbytes:
            raise DecodeError("udp.truncated", f"{data.nbytes} of {udp.length} octets")
        unsummed = unsummed_udp and udp.checksum == 0
        if pseudo is not None and not unsummed and internet_checksum(data[: udp.length], pseudo + udp.length):
            raise DecodeError("udp.checksum", f"0x{udp.checksum:04x}")
        layers.append(bytes(data[8 : udp.length]))
    elif protocol == IPProtocol.ICMP:
        icmp = ICMPv4Message.from_bytes(data)
        layers.append(icmp)
        if pseudo is not None and internet_checksum(data):
            raise DecodeError("icmp.checksum", f"0x{icmp.checksum:04x}")
        layers.append(b"")
    elif protocol == IPProtocol.ICMPV6:
        icmpv6 = ICMPv6Message.from_bytes(data)
        layers.append(icmpv6)
        if pseudo is not None and internet_checksum(data, pseudo + data.nbytes):
            raise DecodeError("icmp.checksum", f"0x{icmpv6.checksum:04x}")
        layers.append(b"")
    elif protocol == IPProtocol.IPV4:
        _ipv4(data, pseudo is not None, layers)
    elif protocol == IPProtocol.IPV6:
        _ipv6(data, pseudo is not None, layers)
    else:
        layers.append(bytes(data))
