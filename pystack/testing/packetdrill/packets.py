"""The packets of a script: how they are written, and how one is printed the same way."""

import re
from collections.abc import Callable, Mapping

from pystack.testing.packetdrill.icmpnames import CODES, TYPES
from pystack.testing.packetdrill.scanner import Scanner
from pystack.testing.packetdrill.script import (
    Direction,
    ICMPPacket,
    IPFields,
    Packet,
    Quoted,
    TCPPacket,
    UDPPacket,
)
from pystack.wire.tcp import TCPFlags
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
    WindowScale,
)

__all__ = ["FAST_OPEN_EXPERIMENT", "format_packet", "parse_packet"]

_FLAGS = re.compile(r"(?:-|[FSRPUEWA.]+[0-7]?|[0-7])(?=\s)")
_LETTERS = {
    "F": TCPFlags.FIN,
    "S": TCPFlags.SYN,
    "R": TCPFlags.RST,
    "P": TCPFlags.PSH,
    ".": TCPFlags.ACK,
    "U": TCPFlags.URG,
    "E": TCPFlags.ECE,
    "W": TCPFlags.CWR,
    "A": TCPFlags.AE,
    "-": TCPFlags(0),
}
_PRINTED = "FSRPUEWA."
_ACE = ((4, TCPFlags.AE), (2, TCPFlags.CWR), (1, TCPFlags.ECE))
"""The counter of congestion marks that a digit among the flags stands for (RFC 9768 section 3.2.2)."""
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|\d+")
_RANGE = re.compile(r"(\d+):(\d+)\((\d+)\)")
_EDGES = re.compile(r"(\d+):(\d+)")
_COOKIE = re.compile(r"(?:0[xX])?((?:[0-9a-fA-F]{2})+)(?![0-9a-zA-Z])")
_OPTION_NAME = re.compile(r"[A-Za-z][\w-]*")

_ECN: dict[str, tuple[int, ...]] = {"noecn": (0,), "ect1": (1,), "ect0": (2,), "ce": (3,), "ect01": (2, 1)}
_ENCAPSULATIONS = ("ipv4", "ipv6", "gre", "mpls", "vxlan")
_OTHER_PROTOCOLS = ("sctp", "udplite", "dccp")
_OTHER_OPTIONS = (
    *("mp_capable", "mp_join", "mp_join_syn", "mp_join_syn_ack", "mp_join_ack", "mp_fail", "mp_prio", "mp_fastclose"),
    *("mp_reset", "dss", "add_address", "add_addr", "rm_addr", "remove_address", "ECN", "AccECN", "exp", "ao"),
)
"""TCP options that the language has and this runner does not: multipath TCP, accurate ECN, experiments."""

FAST_OPEN_EXPERIMENT = 254, b"\xf9\x89"
"""Kind and magic number of Fast Open before it had a kind of its own (RFC 4727, RFC 7413 section 4.1.1)."""
MD5_KIND = 19
MD5_OCTETS = 16


def parse_packet(scanner: Scanner, direction: Direction) -> Packet:
    """What follows `<` or `>`."""
    ip = IPFields()
    for opening, closing in ("[]", "()"):
        if scanner.take(opening):
            ip = _parse_ip_fields(scanner, closing)
    word = scanner.peek_word()
    body: TCPPacket | UDPPacket | ICMPPacket
    if scanner.take_word("udp"):
        body = _parse_udp(scanner)
    elif scanner.take_word("icmp"):
        body = _parse_icmp(scanner, 4)
    elif scanner.take_word("icmpv6"):
        body = _parse_icmp(scanner, 6)
    elif word in _ENCAPSULATIONS:
        scanner.lacks(f"{word}: packets inside packets")
    elif word in _OTHER_PROTOCOLS:
        scanner.lacks(f"packets of {word}")
    else:
        body = _parse_tcp(scanner, direction)
    return Packet(direction, ip, body)


def _parse_ip_fields(scanner: Scanner, closing: str) -> IPFields:
    values: dict[str, int] = {}
    ecn: tuple[int, ...] | None = None
    while not scanner.take(closing):
        scanner.take(",")
        for introduction in ("ECN", "ecn"):
            scanner.take_word(introduction)
        name = scanner.word("an ECN mark, tos, ttl or flowlabel")
        if name in _ECN:
            ecn = _ECN[name]
        elif name == "tos":
            octet = _number(scanner)
            values["dscp"], ecn = octet >> 2, (octet & 3,)
        elif name in ("ttl", "hlim", "hoplimit"):
            values["ttl"] = _number(scanner)
        elif name == "flowlabel":
            values["flow_label"] = _number(scanner)
        else:
            scanner.fail(f"{name} is not an ECN mark (noecn, ect0, ect1, ect01, ce), tos, ttl or flowlabel;")
    return IPFields(ecn=ecn, **values)


def _number(scanner: Scanner) -> int:
    return int(scanner.need(_NUMBER, "a number").group(), 0)


def _parse_udp(scanner: Scanner) -> UDPPacket:
    scanner.expect("(")
    length = _number(scanner)
    scanner.expect(")")
    return UDPPacket(length)


def _parse_range(scanner: Scanner) -> tuple[int, int]:
    """`first:end(octets)`, as (first, octets)."""
    match = scanner.need(_RANGE, "sequence numbers as first:end(octets)")
    first, end, length = map(int, match.groups())
    if (first + length - end) % (1 << 32):
        scanner.fail(f"{match.group()}: from {first} to {end} are not {length} octets;")
    return first, length


# --- TCP


def _parse_tcp(scanner: Scanner, direction: Direction) -> TCPPacket:
    letters = scanner.need(_FLAGS, "flags (F S R P U E W A . or -), udp, icmp or icmpv6").group()
    flags = TCPFlags(0)
    for letter in letters:
        flags |= _counted(int(letter)) if letter.isdecimal() else _LETTERS[letter]
    seq, length = _parse_range(scanner)
    ack = _number(scanner) if scanner.take_word("ack") else None
    window = _number(scanner) if scanner.take_word("win") else None
    urgent = _number(scanner) if scanner.take_word("urg") else None
    if ack is None and flags & TCPFlags.ACK:
        scanner.fail("a packet with the flag . needs ack N")
    if ack is not None and not flags & TCPFlags.ACK:
        scanner.fail("a packet with ack N needs the flag .")
    if window is None and direction is Direction.INBOUND:
        scanner.fail("an inbound packet needs win N")
    options: tuple[TCPOption, ...] | None = ()
    if scanner.take("<"):
        options = _parse_options(scanner)
    return TCPPacket(flags, seq, length, ack, window, urgent, options)


def _counted(marks: int) -> TCPFlags:
    flags = TCPFlags(0)
    for bit, flag in _ACE:
        flags |= flag if marks & bit else TCPFlags(0)
    return flags


def _parse_options(scanner: Scanner) -> tuple[TCPOption, ...] | None:
    if scanner.take("..."):
        scanner.expect(">")
        return None
    options: list[TCPOption] = []
    while not scanner.take(">"):
        if options:
            scanner.expect(",")
        options.append(_parse_option(scanner))
    return tuple(options)


def _parse_option(scanner: Scanner) -> TCPOption:
    name = scanner.need(_OPTION_NAME, "a TCP option").group()
    parse = _OPTIONS.get(name)
    if name in _OTHER_OPTIONS or name.startswith("exp-"):
        scanner.lacks(f"the TCP option {name}")
    if parse is None:
        scanner.fail(f"{name}: the TCP options are {', '.join(_OPTIONS)};")
    return parse(scanner)


def _parse_timestamps(scanner: Scanner) -> Timestamps:
    scanner.expect("val")
    value = _number(scanner)
    scanner.expect("ecr")
    return Timestamps(value, _number(scanner))


def _parse_sack(scanner: Scanner) -> SACK:
    blocks = []
    while (edges := scanner.match(_EDGES)) is not None:
        blocks.append((int(edges[1]), int(edges[2])))
    return SACK(tuple(blocks))


def _parse_cookie(scanner: Scanner) -> bytes:
    cookie = scanner.match(_COOKIE)
    return bytes.fromhex(cookie[1]) if cookie else b""


def _parse_md5(scanner: Scanner) -> UnknownOption:
    digest = _parse_cookie(scanner)
    return UnknownOption(MD5_KIND, digest or bytes(MD5_OCTETS))


def _parse_experiment(scanner: Scanner) -> UnknownOption:
    kind, magic = FAST_OPEN_EXPERIMENT
    return UnknownOption(kind, magic + _parse_cookie(scanner))


_OPTIONS: dict[str, Callable[[Scanner], TCPOption]] = {
    "mss": lambda scanner: MaximumSegmentSize(_number(scanner)),
    "nop": lambda _: NoOperation(),
    "eol": lambda _: EndOfOptions(),
    "wscale": lambda scanner: WindowScale(_number(scanner)),
    "sackOK": lambda _: SACKPermitted(),
    "sack": _parse_sack,
    "TS": _parse_timestamps,
    "FO": lambda scanner: FastOpen(_parse_cookie(scanner)),
    "FOEXP": _parse_experiment,
    "md5": _parse_md5,
}


# --- ICMP


def _parse_icmp(scanner: Scanner, version: int) -> ICMPPacket:
    kind = _named(scanner, TYPES[version], "a type of ICMP message")
    codes = CODES.get((version, kind), {})
    code = 0
    if scanner.peek_word() in codes or scanner.sees_digit:
        code = _named(scanner, codes, "a code")
    mtu = _number(scanner) if scanner.take_word("mtu") else None
    if scanner.peek_word() in ("id", "seq", "raw"):
        scanner.lacks(f"{scanner.peek_word()} in an ICMP message")
    quoted = None
    if scanner.take("["):
        if scanner.take_word("udp"):
            quoted = Quoted(None, _parse_udp(scanner).length)
        else:
            for introduction in ("TCP", "tcp"):
                scanner.take_word(introduction)
            quoted = Quoted(*_parse_range(scanner))
        scanner.expect("]")
    return ICMPPacket(version, kind, code, mtu, quoted)


def _named(scanner: Scanner, names: Mapping[str, int], what: str) -> int:
    """By name or by number."""
    if (number := scanner.match(_NUMBER)) is not None:
        return int(number.group(), 0)
    name = scanner.word(what)
    value = names.get(name)
    if value is None:
        scanner.fail(f"{name} is not {what};")
    return value


# --- printing


def format_packet(packet: Packet) -> str:
    """As a script would write it."""
    marks = _format_ip(packet.ip)
    match packet.body:
        case TCPPacket() as tcp:
            text = _format_tcp(tcp)
        case UDPPacket(length):
            text = f"udp ({length})"
        case ICMPPacket() as icmp:
            text = _format_icmp(icmp)
    return " ".join(filter(None, (packet.direction.value, marks, text)))


def _format_ip(ip: IPFields) -> str:
    parts = []
    if ip.ecn is not None:
        parts.append(next((name for name, values in _ECN.items() if values == ip.ecn), "?"))
    parts += [
        f"{name} {value}"
        for name, value in (("dscp", ip.dscp), ("ttl", ip.ttl), ("flowlabel", ip.flow_label))
        if value is not None
    ]
    return f"[{','.join(parts)}]" if parts else ""


def _format_tcp(tcp: TCPPacket) -> str:
    letters = "".join(letter for letter in _PRINTED if tcp.flags & _LETTERS[letter]) or "-"
    parts = [letters, f"{tcp.seq}:{tcp.seq + tcp.length}({tcp.length})"]
    if tcp.ack is not None:
        parts.append(f"ack {tcp.ack}")
    if tcp.window is not None:
        parts.append(f"win {tcp.window}")
    if tcp.urgent is not None:
        parts.append(f"urg {tcp.urgent}")
    if tcp.options is None:
        parts.append("<...>")
    elif tcp.options:
        parts.append(f"<{','.join(map(_format_option, tcp.options))}>")
    return " ".join(parts)


def _format_option(option: TCPOption) -> str:
    match option:
        case SACK(blocks):
            return " ".join(["sack", *(f"{left}:{right}" for left, right in blocks)])
        case FastOpen(cookie):
            return f"FO {cookie.hex()}".rstrip()
    return str(option)


def _format_icmp(icmp: ICMPPacket) -> str:
    kind = _name_of(TYPES[icmp.version], icmp.type)
    codes = CODES.get((icmp.version, icmp.type))
    parts = ["icmp" if icmp.version == 4 else "icmpv6", kind]
    if codes:
        parts.append(_name_of(codes, icmp.code))
    if icmp.mtu is not None:
        parts.append(f"mtu {icmp.mtu}")
    match icmp.quoted:
        case Quoted(None, length):
            parts.append(f"[udp ({length})]")
        case Quoted(int(seq), length):
            parts.append(f"[{seq}:{seq + length}({length})]")
    return " ".join(parts)


def _name_of(names: Mapping[str, int], number: int) -> str:
    return next((name for name, value in names.items() if value == number), str(number))
