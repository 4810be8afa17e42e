"""Whatever octets arrive, nothing is raised, tables stay small, and the host goes on working."""

import logging
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.link.base import Checksum, GSOType, Medium, Offload
from pystack.units import MS
from pystack.wire.arp import ARPPacket
from pystack.wire.checksum import internet_checksum
from pystack.wire.ethernet import EthernetHeader, VLANTag
from pystack.wire.icmpv4 import ICMPv4Message
from pystack.wire.icmpv6 import ICMPv6Message
from pystack.wire.ipv4 import IPv4Header
from pystack.wire.ipv4_options import IPv4Option
from pystack.wire.ipv6 import IPv6Header
from pystack.wire.packet import build
from pystack.wire.pseudo import pseudo_sum
from tests.net.harness import OUR_MAC, OURS, OURS6, PEER, PEER6, PEER_MAC, Bench, Bench6, octets, udp_header

OFFLOADS = (
    None,
    Offload(Checksum.PARTIAL, 34, 6),
    Offload(Checksum.VERIFIED),
    Offload(Checksum.PARTIAL, 34, 16, GSOType.TCPV4, 1, 54),
)


def valid_packets() -> list[bytes]:
    quoted = build(IPv4Header(OURS, PEER, 17), udp_header(0))
    messages = [
        ICMPv4Message.echo_request(1, 2, b"data"),
        ICMPv4Message.echo_reply(1, 2, b"data"),
        ICMPv4Message.unreachable(3, quoted),
        ICMPv4Message.unreachable(4, quoted, 1280),
        ICMPv4Message.time_exceeded(0, quoted),
        ICMPv4Message.redirect(1, PEER, quoted),
    ]
    options = (IPv4Option(7, b"\x04" + bytes(5)), IPv4Option(1))
    return [
        *(build(IPv4Header(PEER, OURS), message) for message in messages),
        Bench.udp_packet(),
        Bench.udp_packet(dst="255.255.255.255"),
        Bench.udp_packet(options=options),
        Bench.udp_packet(protocol=132),
    ]


def valid_ipv6_packets() -> list[bytes]:
    quoted = build(IPv6Header(OURS6, PEER6, 17), udp_header(0))
    messages = [
        ICMPv6Message.echo_request(1, 2, b"data"),
        ICMPv6Message.echo_reply(1, 2, b"data"),
        ICMPv6Message.unreachable(4, quoted),
        ICMPv6Message.packet_too_big(1300, quoted),
        ICMPv6Message.time_exceeded(0, quoted),
        ICMPv6Message.parameter_problem(6, quoted, 1),
    ]
    return [
        *(build(IPv6Header(PEER6, OURS6), message) for message in messages),
        build(IPv6Header(PEER6, "ff02::1"), messages[0]),
        Bench6.udp_packet(),
        Bench6.udp_packet(dst="ff02::1"),
        Bench6.udp_packet(next_header=44),
        Bench6.udp_packet(next_header=132),
    ]


def valid_frames() -> list[bytes]:
    ethernet = EthernetHeader(OUR_MAC, PEER_MAC)
    arp = [
        ARPPacket.request(PEER_MAC, PEER, OURS),
        ARPPacket.reply(PEER_MAC, PEER, OUR_MAC, OURS),
        ARPPacket.request("02:00:00:00:00:09", OURS, OURS),
    ]
    return [
        *(build(ethernet, packet) for packet in valid_packets()),
        *(build(EthernetHeader(OUR_MAC, PEER_MAC, 0x0806), packet.to_bytes()) for packet in arp),
        build(EthernetHeader(OUR_MAC, PEER_MAC, 0x8100), VLANTag(0, 0x0800), Bench.udp_packet()),
    ]


def mutated(frame: bytes, random: Random) -> bytes:
    octets_ = bytearray(frame)
    for _ in range(random.randrange(1, 6)):
        match random.randrange(4):
            case 0 if octets_:
                octets_[random.randrange(len(octets_))] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
            case 1:
                del octets_[random.randrange(len(octets_) + 1) :]
            case 2:
                octets_ += random.randbytes(random.randrange(40))
            case _ if octets_:
                octets_[random.randrange(len(octets_))] ^= 1 << random.randrange(8)
    return bytes(octets_)


def repaired(frame: bytes, offset: int) -> bytes:
    """`frame` with right checksums of IP header and ICMP message, so that a mutation gets past them."""
    fixed = bytearray(frame)
    octets_ = (fixed[offset] & 15) * 4 if len(fixed) > offset else 0
    body = offset + octets_
    if octets_ >= 20 and len(fixed) >= body + 8:
        for start, end, field in ((offset, body, offset + 10), (body, len(fixed), body + 2)):
            if field == offset + 10 or fixed[offset + 9] == 1:
                fixed[field : field + 2] = b"\0\0"
                fixed[field : field + 2] = internet_checksum(fixed[start:end]).to_bytes(2, "big")
    return bytes(fixed)


@pytest.mark.parametrize("medium", list(Medium), ids=lambda medium: medium.value)
def test_mutated_frames_raise_nothing_and_leave_the_host_working(
    medium: Medium, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "pystack")
    bench = Bench(medium, gateway=None)
    random = Random(medium.value)
    seeds = valid_frames() if medium is Medium.ETHERNET else valid_packets()
    for number in range(5000):
        frame = mutated(random.choice(seeds), random)
        if random.random() < 0.6:
            frame = repaired(frame, 14 if medium is Medium.ETHERNET else 0)
        cut = random.randrange(len(frame) + 1)
        buffers = (frame,) if random.random() < 0.7 else (frame[:cut], frame[cut:])
        bench.now += random.choice((0, MS))
        bench.inject_frame(*buffers, offload=random.choice(OFFLOADS))
        if number % 100 == 0:
            bench.node.packets.clear()
            bench.frames()
    if bench.interface.arp is not None:
        assert len(bench.interface.arp.cache) <= 1024
    bench.pass_time(10**10)
    bench.introduce()
    bench.frames()
    bench.inject(build(IPv4Header(PEER, OURS), ICMPv4Message.echo_request(1, 1, b"still there?")))
    assert [message.data for _, message in bench.sent_icmp()] == [b"still there?"]


def repaired_ipv6(packet: bytes) -> bytes:
    """`packet` with right length and ICMP checksum, so that a mutation gets past them."""
    fixed = bytearray(packet)
    if len(fixed) >= 48:
        fixed[4:6] = (len(fixed) - 40).to_bytes(2, "big")
        if fixed[6] == 58:
            fixed[42:44] = b"\0\0"
            pseudo = pseudo_sum(bytes(fixed[8:24]), bytes(fixed[24:40]), 58) + len(fixed) - 40
            fixed[42:44] = internet_checksum(fixed[40:], pseudo).to_bytes(2, "big")
    return bytes(fixed)


def test_mutated_ipv6_packets_raise_nothing_and_leave_the_host_working(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "pystack")
    bench = Bench6(gateway=PEER6)
    bench.network.add_address(bench.interface, f"{OURS}/24")
    random = Random(6)
    seeds = valid_ipv6_packets() + valid_packets()
    for number in range(5000):
        packet = mutated(random.choice(seeds), random)
        if random.random() < 0.6:
            packet = repaired_ipv6(packet) if packet[:1] >= b"\x60" else repaired(packet, 0)
        cut = random.randrange(len(packet) + 1)
        buffers = (packet,) if random.random() < 0.7 else (packet[:cut], packet[cut:])
        bench.now += random.choice((0, MS))
        bench.inject(*buffers, offload=random.choice(OFFLOADS))
        if number % 100 == 0:
            bench.node.packets.clear()
            bench.frames()
    bench.now += 10**10
    bench.frames()
    bench.inject(build(IPv6Header(PEER6, OURS6), ICMPv6Message.echo_request(1, 1, b"still there?")))
    assert [message.data for _, message in bench.sent_icmp()] == [b"still there?"]


@given(st.binary(max_size=60))
def test_any_ipv6_quote_is_swallowed(quoted: bytes) -> None:
    bench = Bench6()
    bench.inject(build(IPv6Header(PEER6, OURS6), ICMPv6Message.packet_too_big(1280, quoted)))
    assert all(error.src == octets(OURS6) for error in bench.node.errors)


@given(st.binary(max_size=80), st.sampled_from(list(Medium)))
def test_any_octets_are_swallowed(frame: bytes, medium: Medium) -> None:
    bench = Bench(medium)
    bench.inject_frame(frame)
    assert bench.interface.up


@given(st.binary(max_size=60))
def test_any_quote_is_swallowed(quoted: bytes) -> None:
    bench = Bench(Medium.IP)
    bench.inject(build(IPv4Header(PEER, OURS), ICMPv4Message.unreachable(4, quoted, 1000)))
    assert all(error.src == octets(OURS) for error in bench.node.errors)
