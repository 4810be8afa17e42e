"""What must hold for any octets: parsers raise `DecodeError` and nothing else, what they accept becomes the same octets
again, and raw functions and classes agree."""

from collections.abc import Callable
from contextlib import suppress
from random import Random

from pystack import wire
from pystack.errors import DecodeError
from pystack.link.base import Frame, Medium
from pystack.link.memory import MemoryLink
from pystack.sim.simulation import Simulation
from pystack.transport.tcp.segment import Segment

__all__ = ["TARGETS", "seeds"]

HEADERS: tuple[type[wire.WireValue], ...] = (
    wire.EthernetHeader,
    wire.VLANTag,
    wire.ARPPacket,
    wire.IPv4Header,
    wire.IPv6Header,
    wire.UDPHeader,
    wire.TCPHeader,
)
MESSAGES = (wire.ICMPv4Message, wire.ICMPv6Message)
LINK_TYPES = (wire.LinkType.ETHERNET, wire.LinkType.RAW)


def headers(data: bytes) -> None:
    """Each header class: the octets it took are the octets it gives."""
    for kind in HEADERS:
        with suppress(DecodeError):
            header = kind.from_bytes(data)  # type: ignore[attr-defined]
            octets = header.to_bytes()
            assert octets == data[: len(octets)]
            assert kind.from_bytes(octets) == header  # type: ignore[attr-defined]
            assert repr(header)
    for message in MESSAGES:
        with suppress(DecodeError):
            assert message.from_bytes(data).to_bytes() == data


def raw_functions(data: bytes) -> None:
    """They refuse what the classes refuse for the fixed part, and read the same fields."""
    with suppress(DecodeError):
        src_port, dst_port, seq, ack, offset, flags, window, checksum, urgent = wire.unpack_tcp(data)
        with suppress(DecodeError):
            tcp = wire.TCPHeader.from_bytes(data)
            assert (tcp.src_port, tcp.dst_port, tcp.seq, tcp.ack) == (src_port, dst_port, seq, ack)
            assert (int(tcp.flags), tcp.window, tcp.checksum, tcp.urgent) == (flags, window, checksum, urgent)
            assert len(tcp.to_bytes()) == offset
            segment = Segment.from_bytes((data,))
            assert (segment.seq, segment.ack, segment.flags, segment.window) == (seq, ack, flags, window)
            assert segment.length == len(data) - offset
    with suppress(DecodeError):
        fields = wire.unpack_ipv4(data)
        with suppress(DecodeError):
            ipv4 = wire.IPv4Header.from_bytes(data)
            assert (ipv4.src.packed, ipv4.dst.packed) == fields[8:]
            assert len(ipv4.to_bytes()) == fields[0]
    with suppress(DecodeError):
        assert wire.unpack_ipv6(data)[5:] == tuple(
            address.packed for address in (wire.IPv6Header.from_bytes(data).src, wire.IPv6Header.from_bytes(data).dst)
        )
    with suppress(DecodeError):
        udp = wire.UDPHeader.from_bytes(data)
        assert wire.unpack_udp(data) == (udp.src_port, udp.dst_port, udp.length, udp.checksum)


def options(data: bytes) -> None:
    """Option areas of TCP and IPv4 keep every octet."""
    area = data[:40]
    with suppress(DecodeError):
        assert b"".join(each.to_bytes() for each in wire.parse_options(area)) == area
    with suppress(DecodeError):
        assert b"".join(each.to_bytes() for each in wire.parse_ipv4_options(area)) == area


def packets(data: bytes) -> None:
    """Whole frames: taken apart, and told in one line."""
    for link_type in LINK_TYPES:
        for verify in (False, True):
            with suppress(DecodeError):
                wire.dissect(data, link_type, verify=verify)
        with suppress(DecodeError):
            assert wire.describe(data, link_type)


def captures(data: bytes) -> None:
    """A pcapng file: blocks become the octets that they were."""
    with suppress(DecodeError):
        blocks = list(wire.read_blocks(data))
        assert b"".join(block.to_bytes() for block in blocks) == data


def host(data: bytes) -> None:
    """A listening host of both IP versions swallows it, cut into three frames anywhere, and quoted in an ICMP error."""
    for medium in Medium:
        sim = Simulation(1)
        near, far = MemoryLink.pair(medium=medium)
        stack = sim.stack()
        addresses = ["192.0.2.2/24"] + ["2001:db8::2/64"] * (medium is Medium.IP)
        stack.add_interface(near, addresses)
        server = stack.stream()
        server.bind(("", 80), 0)
        server.listen(4, 0)
        first, second = (data[0] % (len(data) + 1), data[-1] % (len(data) + 1)) if data else (0, 0)
        quoting = wire.build(wire.IPv4Header("192.0.2.1", "192.0.2.2"), wire.ICMPv4Message.unreachable(3, data[:500]))
        for octets in (data, data[:first], data[second:], quoting):
            far.send([Frame((octets,))], 0)
            stack.poll(0)
        assert len(stack.tcp.flows) <= 4


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (headers, raw_functions, options, packets, captures, host)
}


def seeds() -> list[bytes]:
    """Valid frames of ours, with and without their link headers, the options of their segments, and a capture."""
    rng = Random(1)
    every_option: tuple[wire.TCPOption, ...] = (
        wire.MaximumSegmentSize(1460),
        wire.SACKPermitted(),
        wire.Timestamps(1, 2),
        wire.NoOperation(),
        wire.WindowScale(7),
    )
    blocks = wire.SACK([(1, 2), (3, 4)])
    stamps = wire.Timestamps(5, 6)
    nops = (wire.NoOperation(), wire.NoOperation())
    segments: list[wire.TCPHeader | wire.UDPHeader] = [
        wire.TCPHeader(5000, 80, 1000, 0, wire.TCPFlags.SYN, 65535, options=every_option),
        wire.TCPHeader(5000, 80, 1001, 1, wire.TCPFlags.ACK, 500, options=(*nops, stamps, *nops, blocks)),
        wire.UDPHeader(5000, 53),
    ]
    found: list[bytes] = []
    for ip, message in (
        (wire.IPv4Header("192.0.2.1", "192.0.2.2"), wire.ICMPv4Message),
        (wire.IPv6Header("2001:db8::1", "2001:db8::2"), wire.ICMPv6Message),
    ):
        whole = [wire.build(ip, segment, rng.randbytes(20)) for segment in segments]
        whole += [wire.build(ip, message(kind, 0, 0, whole[0])) for kind in (1, 3, 8, 128)]
        found += whole
        found += [octets[20 if ip.SIZE == 20 else 40 :] for octets in whole]
    ethernet = wire.EthernetHeader("02:00:00:00:00:01", "02:00:00:00:00:02")
    found += [wire.build(ethernet, octets) for octets in found if octets[:1] == b"E"]
    found.append(wire.build(ethernet, wire.ARPPacket.request("02:00:00:00:00:02", "192.0.2.1", "192.0.2.2")))
    found.append(b"".join(each.to_bytes() for each in every_option))
    for order in ("<", ">"):
        file = (
            wire.SectionHeader(order),
            wire.InterfaceDescription(1, 0, byte_order=order),
            wire.EnhancedPacket(0, 5, found[0], len(found[0]), byte_order=order),
        )
        found.append(b"".join(block.to_bytes() for block in file))
    return found
