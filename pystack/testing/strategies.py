"""Hypothesis strategies for every wire format. Needs `hypothesis`, which pystack itself does not install.

Each yields values that survive the way to bytes and back: lengths that the decoders accept, option areas that fill a
multiple of four octets. Checksums are any number; `frames` are the ones in which everything fits together.
"""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from pystack.wire import (
    SACK,
    ARPPacket,
    ByteOrder,
    EndOfOptions,
    EnhancedPacket,
    EthernetHeader,
    EtherType,
    FastOpen,
    ICMPv4Message,
    ICMPv6Message,
    InterfaceDescription,
    IPProtocol,
    IPv4Flags,
    IPv4Header,
    IPv4Option,
    IPv6Header,
    MACAddress,
    MaximumSegmentSize,
    NoOperation,
    OpaqueBlock,
    PcapngBlock,
    PcapngOption,
    PseudoHeader,
    SACKPermitted,
    SectionHeader,
    TCPFlags,
    TCPHeader,
    TCPOption,
    Timestamps,
    UDPHeader,
    UnknownOption,
    UserTimeout,
    VLANTag,
    WindowScale,
    build,
    parse_options,
)
from pystack.wire.base import WireValue

__all__ = [
    "arp_packets",
    "capture_files",
    "ethernet_headers",
    "frames",
    "icmpv4_messages",
    "icmpv6_messages",
    "ipv4_addresses",
    "ipv4_headers",
    "ipv4_option_areas",
    "ipv4_options",
    "ipv6_addresses",
    "ipv6_headers",
    "mac_addresses",
    "packets",
    "pcapng_blocks",
    "pseudo_headers",
    "tcp_flags",
    "tcp_headers",
    "tcp_option_areas",
    "tcp_options",
    "u8",
    "u16",
    "u32",
    "udp_headers",
    "vlan_tags",
]

_Option = TypeVar("_Option", bound=WireValue)

u8: SearchStrategy[int] = st.integers(0, 0xFF)
u16: SearchStrategy[int] = st.integers(0, 0xFFFF)
u32: SearchStrategy[int] = st.integers(0, 0xFFFF_FFFF)

mac_addresses: SearchStrategy[MACAddress] = st.binary(min_size=6, max_size=6).map(MACAddress)
ipv4_addresses: SearchStrategy[IPv4Address] = st.ip_addresses(v=4).map(lambda address: IPv4Address(int(address)))
ipv6_addresses: SearchStrategy[IPv6Address] = st.ip_addresses(v=6).map(lambda address: IPv6Address(int(address)))

pseudo_headers: SearchStrategy[PseudoHeader] = st.one_of(
    st.builds(PseudoHeader, ipv4_addresses, ipv4_addresses, u8),
    st.builds(PseudoHeader, ipv6_addresses, ipv6_addresses, u8),
)

ethernet_headers: SearchStrategy[EthernetHeader] = st.builds(
    EthernetHeader, mac_addresses, mac_addresses, st.one_of(st.sampled_from(EtherType), u16)
)
vlan_tags: SearchStrategy[VLANTag] = st.builds(
    VLANTag,
    vlan=st.integers(0, 0xFFF),
    ethertype=st.one_of(st.sampled_from(EtherType), u16),
    priority=st.integers(0, 7),
    drop_eligible=st.booleans(),
)
arp_packets: SearchStrategy[ARPPacket] = st.builds(
    ARPPacket,
    st.one_of(st.sampled_from((1, 2)), u16),
    mac_addresses,
    ipv4_addresses,
    mac_addresses,
    ipv4_addresses,
)


@st.composite
def _areas(
    draw: DrawFn, option: SearchStrategy[_Option], filler: _Option, end: Callable[[bytes], _Option]
) -> tuple[_Option, ...]:
    """Options filling a multiple of 4 octets, at most 40, by no-operations or by an end with anything behind it."""
    options: list[_Option] = []
    size = 0
    for one in draw(st.lists(option, max_size=10)):
        if size + len(one.to_bytes()) <= 40:
            options.append(one)
            size += len(one.to_bytes())
    gap = -size % 4
    if draw(st.booleans()):
        return (*options, *[filler] * gap)
    if gap == 0 and size < 40:
        gap = draw(st.sampled_from(range(0, 41 - size, 4)))
    if gap:
        options.append(end(draw(st.binary(min_size=gap - 1, max_size=gap - 1))))
    return tuple(options)


ipv4_options: SearchStrategy[IPv4Option] = st.one_of(
    st.just(IPv4Option(IPv4Option.NOP)), st.builds(IPv4Option, st.integers(2, 255), st.binary(max_size=38))
)
"""Any option but the end of options."""

ipv4_option_areas: SearchStrategy[tuple[IPv4Option, ...]] = _areas(
    ipv4_options, IPv4Option(IPv4Option.NOP), lambda rest: IPv4Option(IPv4Option.END, rest)
)


@st.composite
def ipv4_headers(draw: DrawFn) -> IPv4Header:
    options = draw(ipv4_option_areas)
    size = 20 + sum(len(option.to_bytes()) for option in options)
    return IPv4Header(
        src=draw(ipv4_addresses),
        dst=draw(ipv4_addresses),
        protocol=draw(st.one_of(st.sampled_from(IPProtocol), u8)),
        ttl=draw(u8),
        identification=draw(u16),
        flags=IPv4Flags(draw(st.integers(0, 7))),
        fragment_offset=draw(st.integers(0, 0x1FFF)),
        total_length=draw(st.integers(size, 0xFFFF)),
        dscp=draw(st.integers(0, 63)),
        ecn=draw(st.integers(0, 3)),
        checksum=draw(u16),
        options=options,
    )


ipv6_headers: SearchStrategy[IPv6Header] = st.builds(
    IPv6Header,
    src=ipv6_addresses,
    dst=ipv6_addresses,
    next_header=st.one_of(st.sampled_from(IPProtocol), u8),
    hop_limit=u8,
    payload_length=u16,
    traffic_class=u8,
    flow_label=st.integers(0, 0xFFFFF),
)

icmpv4_messages: SearchStrategy[ICMPv4Message] = st.builds(
    ICMPv4Message, st.one_of(st.sampled_from((0, 3, 5, 8, 11, 12)), u8), u8, u32, st.binary(max_size=64), u16
)
icmpv6_messages: SearchStrategy[ICMPv6Message] = st.builds(
    ICMPv6Message, st.one_of(st.sampled_from((1, 2, 3, 4, 128, 129)), u8), u8, u32, st.binary(max_size=64), u16
)

udp_headers: SearchStrategy[UDPHeader] = st.builds(
    UDPHeader, src_port=u16, dst_port=u16, length=st.integers(8, 0xFFFF), checksum=u16
)


def _is_unknown(option: UnknownOption) -> bool:
    return parse_options(option.to_bytes()) == (option,)


tcp_options: SearchStrategy[TCPOption] = st.one_of(
    st.just(NoOperation()),
    st.builds(MaximumSegmentSize, u16),
    st.builds(WindowScale, u8),
    st.just(SACKPermitted()),
    st.builds(SACK, st.lists(st.tuples(u32, u32), max_size=4)),
    st.builds(Timestamps, u32, u32),
    st.builds(UserTimeout, st.integers(0, 0x7FFF), st.booleans()),
    st.builds(FastOpen, st.binary(max_size=16)),
    st.builds(UnknownOption, st.integers(2, 255), st.binary(max_size=38)).filter(_is_unknown),
)
"""Any option but the end of options."""

tcp_option_areas: SearchStrategy[tuple[TCPOption, ...]] = _areas(tcp_options, NoOperation(), EndOfOptions)

tcp_flags: SearchStrategy[TCPFlags] = st.integers(0, 0xFFF).map(TCPFlags)

tcp_headers: SearchStrategy[TCPHeader] = st.builds(
    TCPHeader,
    src_port=u16,
    dst_port=u16,
    seq=u32,
    ack=u32,
    flags=tcp_flags,
    window=u16,
    checksum=u16,
    urgent=u16,
    options=tcp_option_areas,
)

_payloads = st.binary(max_size=64)


@st.composite
def packets(draw: DrawFn) -> bytes:
    """IP packets of either version with TCP, UDP or ICMP in them; lengths and checksums are right."""
    ip: IPv4Header | IPv6Header
    icmp: ICMPv4Message | ICMPv6Message
    if draw(st.booleans()):
        ip = IPv4Header(
            draw(ipv4_addresses),
            draw(ipv4_addresses),
            ttl=draw(u8),
            identification=draw(u16),
            dscp=draw(st.integers(0, 63)),
            ecn=draw(st.integers(0, 3)),
            options=draw(ipv4_option_areas),
        )
        icmp = draw(icmpv4_messages)
    else:
        ip = draw(ipv6_headers)
        icmp = draw(icmpv6_messages)
    upper = draw(st.one_of(tcp_headers, udp_headers, st.just(icmp)))
    return build(ip, upper, draw(_payloads))


@st.composite
def frames(draw: DrawFn) -> bytes:
    """Ethernet frames, tagged or not, with ARP or `packets` in them."""
    ethernet = EthernetHeader(draw(mac_addresses), draw(mac_addresses))
    tags = draw(st.lists(vlan_tags, max_size=2))
    if draw(st.booleans()):
        return build(ethernet, *tags, draw(arp_packets))
    packet = draw(packets())
    ethertype = EtherType.IPV4 if packet[0] >> 4 == 4 else EtherType.IPV6
    outer: list[EthernetHeader | VLANTag] = [ethernet, *tags]
    last = outer.pop()
    if isinstance(last, VLANTag):
        last = VLANTag(last.vlan, ethertype, last.priority, last.drop_eligible)
    else:
        last = EthernetHeader(last.dst, last.src, ethertype)
    return build(*outer, last, packet)


_byte_orders: SearchStrategy[ByteOrder] = st.sampled_from(("<", ">"))
_pcapng_options: SearchStrategy[tuple[PcapngOption, ...]] = st.builds(
    lambda options, end: (*options, *([PcapngOption(0)] if end else [])),
    st.lists(st.builds(PcapngOption, st.integers(1, 0xFFFF), st.binary(max_size=9)), max_size=3),
    st.booleans(),
)


def pcapng_blocks(byte_order: ByteOrder) -> SearchStrategy[PcapngBlock]:
    """Blocks of a section with this byte order, without its header."""
    order = st.just(byte_order)
    return st.one_of(
        st.builds(InterfaceDescription, u16, u32, _pcapng_options, order),
        st.builds(EnhancedPacket, u32, st.integers(0, 2**64 - 1), st.binary(max_size=40), u32, _pcapng_options, order),
        st.builds(
            OpaqueBlock,
            u32.filter(lambda kind: kind not in (1, 6, 0x0A0D0D0A)),
            st.binary(max_size=10).map(lambda body: body + bytes(-len(body) % 4)),
            order,
        ),
    )


@st.composite
def capture_files(draw: DrawFn) -> tuple[PcapngBlock, ...]:
    """The blocks of whole pcapng files of one section or two."""
    blocks: list[PcapngBlock] = []
    for _ in range(draw(st.integers(1, 2))):
        order = draw(_byte_orders)
        length = draw(st.integers(-1, 2**63 - 1))
        blocks.append(SectionHeader(order, draw(u16), draw(u16), length, draw(_pcapng_options)))
        blocks.extend(draw(st.lists(pcapng_blocks(order), max_size=3)))
    return tuple(blocks)
