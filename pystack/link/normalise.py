"""From frames with offload marks to frames as a wire carries them.

Wrappers that must see what really crosses a network (faults, captures) turn each frame into wire frames first:
checksums left `PARTIAL` are finished, and super-segments are cut as segmentation hardware cuts them.
"""

from collections.abc import Iterator
from typing import Final

from typing_extensions import Buffer

from pystack.errors import DecodeError
from pystack.link.base import Checksum, Frame, GSOType, Medium, Offload
from pystack.wire.checksum import ones_sum_buffers
from pystack.wire.ethernet import EtherType
from pystack.wire.ipv4 import pack_ipv4, unpack_ipv4
from pystack.wire.ipv6 import IPV6, pack_ipv6, unpack_ipv6
from pystack.wire.protocol import IPProtocol
from pystack.wire.pseudo import pseudo_sum
from pystack.wire.seq import wrap
from pystack.wire.tcp import TCP, TCPFlags, unpack_tcp
from pystack.wire.udp import UDP, unpack_udp

__all__ = ["ip_start", "normalise"]

_TAGS: Final = (EtherType.VLAN, 0x88A8)  # IEEE 802.1Q and, for stacked tags, 802.1ad
_EXTENSIONS: Final = (IPProtocol.HOPOPT, IPProtocol.IPV6_ROUTE, IPProtocol.IPV6_OPTS)  # all laid out alike: RFC 8200
_TCP_CHECKSUM: Final = 16  # octets into the TCP header
_UDP_CHECKSUM: Final = 6
_ON_FIRST: Final = int(TCPFlags.CWR)  # RFC 3168, section 6.1.2: on the first new data after the window was reduced
_ON_LAST: Final = int(TCPFlags.FIN | TCPFlags.PSH)
_URGENT: Final = int(TCPFlags.URG)
_FRAGMENT: Final = 0x3FFF  # more fragments and the fragment offset: RFC 791, section 3.1


def ip_start(data: Buffer, medium: Medium) -> int | None:
    """Octets in front of the IP header of the frame `data`, VLAN tags included; None when it carries no IP."""
    if medium is Medium.IP:
        return 0
    view = memoryview(data)
    at = 14
    while (ethertype := int.from_bytes(view[at - 2 : at], "big")) in _TAGS:
        at += 4
    return at if ethertype in (EtherType.IPV4, EtherType.IPV6) else None


def normalise(frame: Frame, medium: Medium) -> tuple[Frame, ...]:
    """The frames without offload marks, at least one, that `frame` becomes on a wire. Payload is not copied twice.

    Raises `DecodeError`, and nothing else, when the marks do not fit the octets.
    """
    offload = frame.offload
    if offload is None:
        return (frame,)
    if offload.gso_type is GSOType.UDP:
        return tuple(_datagrams(frame.to_bytes(), offload, medium))
    if offload.gso_type is not GSOType.NONE:
        return tuple(_segments(frame.to_bytes(), offload, medium))
    if offload.checksum is Checksum.PARTIAL:
        return (_finished(frame, offload),)
    return (Frame(frame.buffers),)


def _finished(frame: Frame, offload: Offload) -> Frame:
    """`frame` with its partial checksum turned into a complete one; the headers lie in the first buffer."""
    head = bytearray(frame.buffers[0]) if frame.buffers else bytearray()
    start, at = offload.csum_start, offload.csum_start + offload.csum_offset
    if not 0 <= start <= at <= len(head) - 2:
        raise DecodeError("offload.checksum", f"field at {start} + {offload.csum_offset} of {len(head)} octets")
    checksum = 0xFFFF - ones_sum_buffers((memoryview(head)[start:], *frame.buffers[1:]))
    if not checksum and offload.csum_offset == _UDP_CHECKSUM:
        checksum = 0xFFFF  # RFC 768: an all-zero field means that there is none
    head[at : at + 2] = checksum.to_bytes(2, "big")
    return Frame((bytes(head), *frame.buffers[1:]))


def _datagrams(data: bytes, offload: Offload, medium: Medium) -> Iterator[Frame]:
    """The datagrams of a UDP super-segment, `gso_size` octets of payload each but for the last."""
    start = _ip_of_super_segment(data, medium)
    view = memoryview(data)
    is_ipv4 = len(view) > start and view[start] >> 4 == 4
    network = _IPv4(view[start:], IPProtocol.UDP) if is_ipv4 else _IPv6(view[start:], IPProtocol.UDP)
    transport = start + network.octets
    src_port, dst_port, _, _ = unpack_udp(view[transport:])
    if not 1 <= offload.gso_size <= 0xFFFF - network.octets - UDP.size:
        raise DecodeError("offload.gso_size", f"{offload.gso_size} octets")
    payload = view[transport + UDP.size :]
    for number, offset in enumerate(range(0, len(payload) or 1, offload.gso_size)):
        piece = payload[offset : offset + offload.gso_size]
        length = UDP.size + len(piece)
        blank = UDP.pack(src_port, dst_port, length, 0)
        checksum = 0xFFFF - ones_sum_buffers((blank, piece), network.pseudo + length) or 0xFFFF  # RFC 768
        udp_header = UDP.pack(src_port, dst_port, length, checksum)
        yield Frame((data[:start] + network.header(number, length) + udp_header, piece))


def _ip_of_super_segment(data: bytes, medium: Medium) -> int:
    if (start := ip_start(data, medium)) is None:
        raise DecodeError("offload.protocol", "a super-segment of something else than IP")
    return start


def _segments(data: bytes, offload: Offload, medium: Medium) -> Iterator[Frame]:
    """The segments of a TCP super-segment, `gso_size` octets of payload each but for the last."""
    start = _ip_of_super_segment(data, medium)
    view = memoryview(data)
    is_ipv4 = offload.gso_type is GSOType.TCPV4
    network = _IPv4(view[start:], IPProtocol.TCP) if is_ipv4 else _IPv6(view[start:], IPProtocol.TCP)
    transport = start + network.octets
    src_port, dst_port, seq, ack, octets, flags, window, _, urgent = unpack_tcp(view[transport:])
    if offload.checksum is Checksum.PARTIAL and (offload.csum_start, offload.csum_offset) != (transport, _TCP_CHECKSUM):
        raise DecodeError("offload.checksum", f"{offload.csum_start} + {offload.csum_offset}, TCP is at {transport}")
    if not 1 <= offload.gso_size <= 0xFFFF - network.octets - octets:
        raise DecodeError("offload.gso_size", f"{offload.gso_size} octets")
    link_header = data[:start]
    options = data[transport + 20 : transport + octets]
    payload = view[transport + octets :]
    for number, offset in enumerate(range(0, len(payload) or 1, offload.gso_size)):
        piece = payload[offset : offset + offload.gso_size]
        last = offset + offload.gso_size >= len(payload)
        pointer = max(urgent - offset, 0)  # RFC 9293, section 3.1: counted from the segment's own sequence number
        fields = (
            src_port,
            dst_port,
            wrap(seq + offset),
            ack,
            octets << 10 | flags & ~_withheld(first=not offset, last=last, urgent=bool(pointer)),
            window,
        )
        length = octets + len(piece)
        checksum = 0xFFFF - ones_sum_buffers((TCP.pack(*fields, 0, pointer), options, piece), network.pseudo + length)
        tcp_header = TCP.pack(*fields, checksum, pointer) + options
        yield Frame((link_header + network.header(number, length) + tcp_header, piece))


def _withheld(*, first: bool, last: bool, urgent: bool) -> int:
    """The flags of a super-segment that this one of its segments does not carry."""
    flags = 0
    if not first:
        flags = _ON_FIRST if urgent else _ON_FIRST | _URGENT
    return flags if last else flags | _ON_LAST


class _IPv4:
    """The IPv4 header of a super-segment, and how to make those of its segments."""

    def __init__(self, data: memoryview, transport: int) -> None:
        octets, tos, _, identification, fragment, ttl, protocol, _, src, dst = unpack_ipv4(data)
        if protocol != transport or fragment & _FRAGMENT:
            raise DecodeError("offload.protocol", f"protocol {protocol}, fragment word 0x{fragment:04x}")
        self.octets = octets
        self.pseudo = pseudo_sum(src, dst, transport)
        self._identification = identification
        self._around = (src, dst, protocol, fragment, ttl, tos, bytes(data[20:octets]))

    def header(self, number: int, length: int) -> bytes:
        """In front of `length` octets of transport; each segment is a datagram with an identification of its own."""
        src, dst, protocol, fragment, ttl, tos, options = self._around
        identification = (self._identification + number) & 0xFFFF
        return pack_ipv4(src, dst, protocol, self.octets + length, identification, fragment, ttl, tos, options)


class _IPv6:
    """The same for IPv6, whose extension headers are repeated as they are."""

    def __init__(self, data: memoryview, transport: int) -> None:
        traffic_class, flow_label, _, self._next_header, hop_limit, src, dst = unpack_ipv6(data)
        next_header, self.octets = self._next_header, IPV6.size
        while next_header in _EXTENSIONS and self.octets + 1 < len(data):
            next_header, eights = data[self.octets], data[self.octets + 1]
            self.octets += 8 + 8 * eights
        if next_header != transport:
            raise DecodeError("offload.protocol", f"next header {next_header}")
        self.pseudo = pseudo_sum(src, dst, transport)
        self._around = (src, dst, hop_limit, traffic_class, flow_label, bytes(data[IPV6.size : self.octets]))

    def header(self, number: int, length: int) -> bytes:
        src, dst, hop_limit, traffic_class, flow_label, extensions = self._around
        payload_length = len(extensions) + length
        fixed = pack_ipv6(src, dst, self._next_header, payload_length, hop_limit, traffic_class, flow_label)
        return fixed + extensions
