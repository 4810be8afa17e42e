"""Wire formats: bytes to frozen values and back. No state, no time, no input or output.

Every header has `from_bytes` (raises `DecodeError` only; what follows the header is ignored), `to_bytes` (exactly the
fields; `ValueError` names one that does not fit) and a `repr` like a line of tcpdump. Beneath the classes are the raw
functions (`unpack_tcp`, `pack_ipv4`, ...), which do the parsing for them and for hot paths.

`build` joins headers and payload into a frame with correct lengths and checksums; `dissect` takes one apart; `describe`
tells it in one line.
"""

from pystack.wire.address import AnyIPv4, AnyIPv6, ipv4_address, ipv6_address
from pystack.wire.arp import ARP, ARPOperation, ARPPacket, pack_arp, unpack_arp
from pystack.wire.base import WireValue
from pystack.wire.checksum import internet_checksum, ones_sum, ones_sum_buffers, update_checksum
from pystack.wire.ethernet import (
    ETHERNET,
    EthernetHeader,
    EtherType,
    VLANTag,
    ethertype_name,
    pack_ethernet,
    unpack_ethernet,
)
from pystack.wire.icmp import ICMP, ICMPMessage, pack_icmp, unpack_icmp
from pystack.wire.icmpv4 import ICMPv4Message, ICMPv4Type, RedirectCode, TimeExceededCode, UnreachableCode
from pystack.wire.icmpv6 import ICMPv6Message, ICMPv6Type, ICMPv6UnreachableCode
from pystack.wire.ipv4 import IPV4, IPv4Flags, IPv4Header, pack_ipv4, unpack_ipv4
from pystack.wire.ipv4_options import IPv4Option, pack_ipv4_options, parse_ipv4_options
from pystack.wire.ipv6 import IPV6, IPv6Header, pack_ipv6, unpack_ipv6
from pystack.wire.mac import BROADCAST, AnyMAC, MACAddress, mac_address
from pystack.wire.packet import Header, Layer, build, dissect
from pystack.wire.pcapng import (
    ByteOrder,
    Direction,
    EnhancedPacket,
    InterfaceDescription,
    LinkType,
    OpaqueBlock,
    PcapngBlock,
    PcapngOption,
    SectionHeader,
    read_blocks,
)
from pystack.wire.protocol import IPProtocol, protocol_name
from pystack.wire.pseudo import PseudoHeader, pseudo_sum
from pystack.wire.seq import before, unwrap, wrap
from pystack.wire.summary import Origins, describe
from pystack.wire.tcp import TCP, TCPFlags, TCPHeader, unpack_tcp
from pystack.wire.tcp_options import (
    SACK,
    EndOfOptions,
    FastOpen,
    MaximumSegmentSize,
    NoOperation,
    SACKPermitted,
    TCPOption,
    Timestamps,
    UnknownOption,
    UserTimeout,
    WindowScale,
    pack_options,
    parse_options,
)
from pystack.wire.udp import UDP, UDPHeader, unpack_udp

__all__ = [
    "ARP",
    "BROADCAST",
    "ETHERNET",
    "ICMP",
    "IPV4",
    "IPV6",
    "SACK",
    "TCP",
    "UDP",
    "ARPOperation",
    "ARPPacket",
    "AnyIPv4",
    "AnyIPv6",
    "AnyMAC",
    "ByteOrder",
    "Direction",
    "EndOfOptions",
    "EnhancedPacket",
    "EtherType",
    "EthernetHeader",
    "FastOpen",
    "Header",
    "ICMPMessage",
    "ICMPv4Message",
    "ICMPv4Type",
    "ICMPv6Message",
    "ICMPv6Type",
    "ICMPv6UnreachableCode",
    "IPProtocol",
    "IPv4Flags",
    "IPv4Header",
    "IPv4Option",
    "IPv6Header",
    "InterfaceDescription",
    "Layer",
    "LinkType",
    "MACAddress",
    "MaximumSegmentSize",
    "NoOperation",
    "OpaqueBlock",
    "Origins",
    "PcapngBlock",
    "PcapngOption",
    "PseudoHeader",
    "RedirectCode",
    "SACKPermitted",
    "SectionHeader",
    "TCPFlags",
    "TCPHeader",
    "TCPOption",
    "TimeExceededCode",
    "Timestamps",
    "UDPHeader",
    "UnknownOption",
    "UnreachableCode",
    "UserTimeout",
    "VLANTag",
    "WindowScale",
    "WireValue",
    "before",
    "build",
    "describe",
    "dissect",
    "ethertype_name",
    "internet_checksum",
    "ipv4_address",
    "ipv6_address",
    "mac_address",
    "ones_sum",
    "ones_sum_buffers",
    "pack_arp",
    "pack_ethernet",
    "pack_icmp",
    "pack_ipv4",
    "pack_ipv4_options",
    "pack_ipv6",
    "pack_options",
    "parse_ipv4_options",
    "parse_options",
    "protocol_name",
    "pseudo_sum",
    "read_blocks",
    "unpack_arp",
    "unpack_ethernet",
    "unpack_icmp",
    "unpack_ipv4",
    "unpack_ipv6",
    "unpack_tcp",
    "unpack_udp",
    "unwrap",
    "update_checksum",
    "wrap",
]
