"""Whether a packet that was sent is the one that the script expects."""

from collections.abc import Iterable, Sequence

from attrs import evolve

from pystack.testing.packetdrill.flow import Flow
from pystack.testing.packetdrill.script import Direction, ICMPPacket, IPFields, Packet, Quoted, TCPPacket, UDPPacket
from pystack.testing.packetdrill.sent import Sent
from pystack.testing.packetdrill.settings import Settings
from pystack.units import Ns
from pystack.wire.icmpv4 import ICMPv4Message, ICMPv4Type, UnreachableCode
from pystack.wire.icmpv6 import ICMPv6Message, ICMPv6Type
from pystack.wire.ipv4 import IPv4Header
from pystack.wire.tcp import TCPFlags, TCPHeader
from pystack.wire.tcp_options import NoOperation, TCPOption
from pystack.wire.udp import UDPHeader

__all__ = ["as_script", "differences", "joined", "off_by"]


def joined(first: Sent, following: Iterable[Sent], length: int) -> list[Sent]:
    """The packets that the tool would see as one of `length` octets, because the kernel hands a run of equal segments
    over as a single one: `first`, and those that continue it, sent at the same time, with the same header."""
    run = [first]
    total = first.length
    header = first.header
    if not isinstance(header, TCPHeader) or not total:
        return run
    for sent in following:
        if total >= length:
            break
        more = sent.header
        if (
            not isinstance(more, TCPHeader)
            or sent.time != first.time
            or run[-1].length != first.length
            or not 0 < sent.length <= first.length
            or more.seq != (header.seq + total) % (1 << 32)
            or (more.ack, more.window, more.options) != (header.ack, header.window, header.options)
        ):
            break
        run.append(sent)
        total += sent.length
    return run if total == length else [first]


def as_script(run: Sequence[Sent], expected: Packet, flow: Flow | None, settings: Settings) -> Packet | None:
    """What was sent, written as the script writes `expected`; what that leaves out is left out. None: the two are of
    different kinds."""
    first = run[0]
    match expected.body, first.header:
        case TCPPacket() as wanted, TCPHeader() as header if flow is not None:
            last = run[-1].header
            assert isinstance(last, TCPHeader)
            length = sum(sent.length for sent in run)
            header = evolve(header, flags=header.flags | last.flags)
            body: TCPPacket | UDPPacket | ICMPPacket = flow.to_script(header, length, wanted, settings.timestamp_tick)
        case UDPPacket(), UDPHeader():
            body = UDPPacket(first.length)
        case ICMPPacket() as wanted_icmp, ICMPv4Message() | ICMPv6Message() as message:
            body = _icmp_as_script(message, wanted_icmp)
        case _:
            return None
    return Packet(Direction.OUTBOUND, _ip_as_script(first, expected.ip), body)


def _ip_as_script(sent: Sent, wanted: IPFields) -> IPFields:
    ip = sent.ip
    if isinstance(ip, IPv4Header):
        dscp, ecn, ttl, flow_label = ip.dscp, ip.ecn, ip.ttl, None
    else:
        dscp, ecn, ttl, flow_label = ip.traffic_class >> 2, ip.traffic_class & 3, ip.hop_limit, ip.flow_label
    return IPFields(
        ecn=None if wanted.ecn is None else wanted.ecn if ecn in wanted.ecn else (ecn,),
        dscp=None if wanted.dscp is None else dscp,
        ttl=None if wanted.ttl is None else ttl,
        flow_label=None if wanted.flow_label is None else flow_label,
    )


def _icmp_as_script(message: ICMPv4Message | ICMPv6Message, wanted: ICMPPacket) -> ICMPPacket:
    mtu = None
    if isinstance(message, ICMPv4Message):
        version = 4
        if (message.type, message.code) == (ICMPv4Type.UNREACHABLE, UnreachableCode.FRAGMENTATION_NEEDED):
            mtu = message.next_hop_mtu
    else:
        version = 6
        if message.type == ICMPv6Type.PACKET_TOO_BIG:
            mtu = message.mtu
    quoted: Quoted | None = wanted.quoted if message.is_error else None
    return ICMPPacket(version, message.type, message.code, mtu if wanted.mtu is not None else None, quoted)


def differences(expected: Packet, actual: Packet, *, strict: bool) -> list[str]:
    """The names of the fields that are not as expected."""
    wrong = [] if expected.ip == actual.ip else ["IP header"]
    match expected.body, actual.body:
        case TCPPacket() as wanted, TCPPacket() as sent:
            ignored = TCPFlags(0) if strict else TCPFlags.PSH
            pairs = [
                ("flags", wanted.flags | ignored, sent.flags | ignored),
                ("sequence number", wanted.seq, sent.seq),
                ("length", wanted.length, sent.length),
                ("acknowledgement", wanted.ack, sent.ack),
                ("window", wanted.window, sent.window),
                ("urgent pointer", wanted.urgent, sent.urgent),
                ("options", _comparable(wanted.options, strict), _comparable(sent.options, strict)),
            ]
            wrong += [name for name, want, have in pairs if want != have]
        case want, have if want != have:
            wrong.append("length" if isinstance(want, UDPPacket) else "message")
    return wrong


def _comparable(options: tuple[TCPOption, ...] | None, strict: bool) -> Sequence[object] | None:
    if options is None or strict:
        return options
    return sorted(map(repr, (option for option in options if not isinstance(option, NoOperation))))


def off_by(actual: Ns, start: Ns, end: Ns) -> Ns:
    """How far `actual` lies outside `start` to `end`: negative when it is early."""
    return actual - start if actual < start else max(0, actual - end)
