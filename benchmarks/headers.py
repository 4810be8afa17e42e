"""Headers per second through the public classes: parse and build Ethernet, IPv4 and TCP around 1,460 octets.

Parsing verifies both checksums, building computes them, each library by its own means. Everything runs in one thread.
"""

import struct
import sys
import time
from collections.abc import Callable, Iterator

import dpkt  # type: ignore[import-untyped]
from _harness import FIRST_CORE, Floor, Options, Row, compare, main, pin

from pystack import wire

__all__ = ["measure"]

SRC, DST = "192.0.2.1", "192.0.2.2"
SRC_MAC, DST_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
PAYLOAD = bytes(range(256)) * 5 + bytes(180)


def per_second(program: Callable[[], object], count: int) -> Callable[[], float]:
    def once() -> float:
        begun = time.perf_counter()
        for _ in range(count):
            program()
        return count / (time.perf_counter() - begun)

    return once


def build() -> bytes:
    return wire.build(
        wire.EthernetHeader(dst=DST_MAC, src=SRC_MAC, ethertype=wire.EtherType.IPV4),
        wire.IPv4Header(src=SRC, dst=DST, identification=7),
        wire.TCPHeader(src_port=1, dst_port=2, seq=3, ack=4, flags=wire.TCPFlags.ACK, window=5),
        PAYLOAD,
    )


FRAME = build()


def parse() -> bool:
    ethernet = wire.EthernetHeader.from_bytes(FRAME)
    ip = wire.IPv4Header.from_bytes(FRAME[14:34])
    segment = FRAME[34 : 14 + ip.total_length]
    tcp = wire.TCPHeader.from_bytes(segment)
    pseudo = wire.PseudoHeader(ip.src, ip.dst, ip.protocol).sum(len(segment))
    sound = ip.checksum_valid and wire.internet_checksum(segment, pseudo) == 0
    return sound and ethernet.ethertype == wire.EtherType.IPV4 and tcp.dst_port == 2


def dpkt_build() -> bytes:
    tcp = dpkt.tcp.TCP(sport=1, dport=2, seq=3, ack=4, flags=dpkt.tcp.TH_ACK, win=5, data=PAYLOAD)
    ip = dpkt.ip.IP(src=SRC_OCTETS, dst=DST_OCTETS, p=6, id=7, df=1, len=40 + len(PAYLOAD), data=tcp)
    return bytes(dpkt.ethernet.Ethernet(dst=DST_MAC_OCTETS, src=SRC_MAC_OCTETS, type=0x0800, data=ip))


SRC_OCTETS, DST_OCTETS = FRAME[26:30], FRAME[30:34]
DST_MAC_OCTETS, SRC_MAC_OCTETS = FRAME[:6], FRAME[6:12]


def dpkt_parse() -> bool:
    ethernet = dpkt.ethernet.Ethernet(FRAME)
    ip = ethernet.data
    segment = FRAME[34 : 14 + ip.len]
    pseudo = struct.pack("!4s4sBBH", ip.src, ip.dst, 0, ip.p, len(segment))
    sound = dpkt.in_cksum(FRAME[14:34]) == 0 and dpkt.in_cksum(pseudo + segment) == 0
    return bool(sound and ethernet.type == 0x0800 and ip.data.dport == 2)


def measure(options: Options) -> Iterator[Row]:
    """Raises `AssertionError` when the libraries disagree: then there is nothing to compare."""
    from scapy.layers.inet import IP, TCP, in4_chksum  # slow to import: not before it is needed
    from scapy.layers.l2 import Ether
    from scapy.utils import checksum

    def scapy_build() -> bytes:
        headers = Ether(dst=DST_MAC, src=SRC_MAC) / IP(src=SRC, dst=DST, id=7, flags="DF")
        return bytes(headers / TCP(sport=1, dport=2, seq=3, ack=4, flags="A", window=5) / PAYLOAD)

    def scapy_parse() -> bool:
        ip = Ether(FRAME)[IP]
        sound = checksum(FRAME[14:34]) == 0 and in4_chksum(ip.proto, ip, FRAME[34 : 14 + ip.len]) == 0
        return bool(sound and ip[TCP].dport == 2)

    assert build() == dpkt_build() == scapy_build()
    assert parse() is dpkt_parse() is scapy_parse() is True
    pin(FIRST_CORE)
    many, few = options.size(30_000), options.size(2_000)
    yield compare(
        "parse Ethernet/IPv4/TCP + 1,460 octets",
        "1/s",
        options,
        per_second(parse, many),
        {"dpkt": per_second(dpkt_parse, many), "scapy": per_second(scapy_parse, few)},
        Floor(1, "dpkt"),
        Floor(10, "scapy"),
    )
    yield compare(
        "build Ethernet/IPv4/TCP + 1,460 octets",
        "1/s",
        options,
        per_second(build, many),
        {"dpkt": per_second(dpkt_build, many), "scapy": per_second(scapy_build, few)},
        Floor(3, "dpkt"),
        Floor(10, "scapy"),
    )


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))
