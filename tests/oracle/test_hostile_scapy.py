"""The siege with frames of scapy's fuzzer: every field that a layer leaves open is random, the checksums fit."""

import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pystack.link.base import Medium
from tests.stack.conftest import HOSTS
from tests.stack.siege import Besieged, Ground

pytestmark = pytest.mark.untraced

FRAMES = 10_000
PER_TURN = 40
GROUNDS = [Ground(Medium.ETHERNET, 4, 1), Ground(Medium.IP, 4, 1), Ground(Medium.IP, 6, 1)]


def packets(scapy: SimpleNamespace, besieged: Besieged) -> Iterator[Any]:
    """Endlessly, packets whose open fields have another value each time that they are built."""
    version = besieged.ground.version
    ours, theirs = HOSTS[version]
    port = besieged.client.getsockname()[1]
    fuzz, TCP, UDP, Raw = scapy.fuzz, scapy.TCP, scapy.UDP, scapy.Raw
    uppers = [
        fuzz(TCP(dport=80)),
        fuzz(TCP(dport=80, flags="S")),
        fuzz(TCP(dport=80, sport=port)),
        fuzz(TCP(dport=80, sport=port, flags="A", dataofs=5)) / Raw(b"x" * 100),
        fuzz(TCP()),
        fuzz(UDP(dport=53)) / Raw(b"x" * 50),
        fuzz(UDP()),
    ]
    if version == 4:
        IP, ICMP = scapy.IP, scapy.ICMP
        quoted = IP(src=theirs, dst=ours) / TCP(sport=80, dport=port)
        uppers += [fuzz(ICMP()), fuzz(ICMP(type=3)) / quoted, fuzz(ICMP(type=8)) / Raw(b"ping")]
        headers = [IP(src=ours, dst=theirs), IP(src="198.51.100.7", dst=theirs), fuzz(IP(dst=theirs))]
        headers.append(fuzz(IP(src=ours, dst=theirs, version=4, ihl=5, frag=0, flags=0)))
        headers.append(fuzz(IP(src=ours, dst=theirs, version=4, ihl=5)))
    else:
        IP = scapy.IPv6
        quoted = IP(src=theirs, dst=ours) / TCP(sport=80, dport=port)
        uppers += [
            fuzz(scapy.ICMPv6EchoRequest()),
            fuzz(scapy.ICMPv6DestUnreach()) / quoted,
            fuzz(scapy.ICMPv6PacketTooBig()) / quoted,
            fuzz(scapy.ICMPv6ND_NA()),
            fuzz(scapy.IPv6ExtHdrFragment()) / fuzz(UDP()),
        ]
        headers = [IP(src=ours, dst=theirs), IP(src="2001:db8:1::7", dst=theirs), fuzz(IP(dst=theirs, version=6))]
    whole = [header / upper for header in headers for upper in uppers]
    if besieged.ground.medium is Medium.ETHERNET:
        macs = [str(link.capabilities.mac) for link in (besieged.pair.link_a, besieged.pair.link_b)]
        ether = scapy.Ether(src=macs[0], dst=macs[1])
        whole = [ether / each for each in whole]
        whole += [ether / fuzz(scapy.Dot1Q()) / whole[0].payload, fuzz(scapy.Ether(dst=macs[1])) / Raw(b"x" * 60)]
        whole += [ether / fuzz(scapy.ARP(hwtype=1, ptype=0x0800, hwlen=6, plen=4, pdst=theirs))] * 5
    while True:
        yield from whole


@pytest.mark.parametrize("ground", GROUNDS, ids=lambda each: f"{each.medium.value}-ipv{each.version}")
def test_frames_of_a_fuzzer_raise_nothing_and_fill_nothing(scapy: SimpleNamespace, ground: Ground) -> None:
    state = random.getstate()
    random.seed(ground.seed)  # scapy draws from there
    try:
        besieged = Besieged.make(ground)
        source = packets(scapy, besieged)
        for turn in range(1, FRAMES // len(GROUNDS) // PER_TURN + 2):
            besieged.take([bytes(next(source)) for _ in range(PER_TURN)])
            if turn % 20 == 0:
                besieged.exchange(bytes(5000))
        besieged.relieve()
    finally:
        random.setstate(state)
    assert len(besieged.host.counters) >= 10  # it is not all turned away at the door
