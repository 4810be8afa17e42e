"""What leaves: headers, identification, sizes, marks (RFC 791, RFC 6864, RFC 1112)."""

import errno

import pytest

from pystack.link.base import Checksum, GSOType, Medium, Offload
from pystack.net.identification import Identifications
from pystack.wire.arp import ARPPacket
from pystack.wire.ethernet import EthernetHeader
from pystack.wire.ipv4 import IPv4Flags, IPv4Header
from tests.net.harness import OUR_MAC, OURS, PEER, PEER_MAC, Bench, octets, udp_header


def send(bench: Bench, payload: tuple[bytes, ...] = (b"payload",), dst: str = PEER, **options: object) -> None:
    path = bench.network.path(octets(dst), broadcast=True)
    length = sum(map(len, payload))
    bench.network.send(path, 17, udp_header(length), payload, length, bench.now, **options)  # type: ignore[arg-type]
    bench.network.flush(bench.now)


def test_the_header_is_complete_and_its_checksum_right(any_bench: Bench) -> None:
    send(any_bench, ttl=9, tos=0x12)
    (packet,) = any_bench.sent_packets()
    header = IPv4Header.from_bytes(packet)
    assert (str(header.src), str(header.dst), header.protocol, header.ttl) == (OURS, PEER, 17, 9)
    assert (header.dscp, header.ecn, header.total_length) == (4, 2, 35)
    assert header.checksum_valid
    assert packet[20:] == udp_header(7) + b"payload"


@pytest.mark.parametrize("length", [0, 1, 2, 255, 256, 1471, 1472])
def test_every_length_gets_its_checksum(any_bench: Bench, length: int) -> None:
    send(any_bench, (bytes(length),))
    (packet,) = any_bench.sent_packets()
    assert IPv4Header.from_bytes(packet).checksum_valid
    assert len(packet) == 28 + length


def test_headers_are_one_buffer_and_payload_is_not_copied(any_bench: Bench) -> None:
    pieces = (b"first", b"second")
    send(any_bench, pieces)
    (frame,) = any_bench.frames()
    assert isinstance(frame.buffers[0], bytes)
    assert len(frame.buffers[0]) == (14 if any_bench.medium is Medium.ETHERNET else 0) + 28
    assert all(kept is given for kept, given in zip(frame.buffers[1:], pieces, strict=True))
    assert frame.offload is None


def test_atomic_datagrams_carry_no_identification(bench: Bench) -> None:
    bench.introduce()
    send(bench)
    send(bench)
    for packet in bench.sent_packets():  # RFC 6864, 4.1
        header = IPv4Header.from_bytes(packet)
        assert (header.flags, header.identification) == (IPv4Flags.DF, 0)


def test_datagrams_that_may_be_fragmented_have_distinct_identifications(bench: Bench) -> None:
    bench.introduce()
    for _ in range(100):
        send(bench, dont_fragment=False)
    headers = [IPv4Header.from_bytes(packet) for packet in bench.sent_packets()]
    assert all(header.flags == 0 and header.checksum_valid for header in headers)
    assert len({header.identification for header in headers}) == 100


def test_identifications_do_not_repeat_before_all_are_used() -> None:
    identifications = Identifications(lambda size: bytes(size))
    seen = {identifications.next(octets(OURS), octets(PEER), 17) for _ in range(0x10000)}
    assert len(seen) == 0x10000


def test_identifications_of_one_destination_do_not_tell_anothers() -> None:
    first, second = Identifications(lambda size: b"\1" * size), Identifications(lambda size: b"\2" * size)
    assert first.next(octets(OURS), octets(PEER), 17) != second.next(octets(OURS), octets(PEER), 17)


def test_a_ttl_of_zero_is_the_callers_mistake(bench: Bench) -> None:
    with pytest.raises(ValueError, match="TTL"):
        send(bench, ttl=0)


@pytest.mark.parametrize("dont_fragment", [True, False])
def test_what_exceeds_the_mtu_is_refused(any_bench: Bench, dont_fragment: bool) -> None:
    with pytest.raises(OSError, match="1501 octets") as caught:
        send(any_bench, (bytes(1473),), dont_fragment=dont_fragment)
    assert caught.value.errno == errno.EMSGSIZE
    assert any_bench.sent() == []


def test_a_partial_checksum_is_marked_from_the_frames_start() -> None:
    bench = Bench(tx_checksum=True)
    bench.introduce()
    send(bench, csum_offset=6)
    (frame,) = bench.frames()
    assert frame.offload == Offload(Checksum.PARTIAL, csum_start=34, csum_offset=6)


def test_marks_survive_the_wait_for_a_neighbour() -> None:
    bench = Bench(tx_checksum=True)
    send(bench, csum_offset=6)
    bench.frames()
    bench.inject_arp(ARPPacket.reply(PEER_MAC, PEER, OUR_MAC, OURS))
    (frame,) = bench.frames()
    assert frame.offload == Offload(Checksum.PARTIAL, csum_start=34, csum_offset=6)


def test_a_super_segment_is_marked_and_may_exceed_the_mtu() -> None:
    bench = Bench(Medium.IP, tx_checksum=True, tso=65535)
    send(bench, (bytes(30000),), csum_offset=16, gso_size=1448)
    (frame,) = bench.frames()
    assert frame.offload == Offload(Checksum.PARTIAL, 20, 16, GSOType.TCPV4, 1448, 28)
    assert IPv4Header.from_bytes(frame.buffers[0]).total_length == 30028


def test_a_super_segment_of_pieces_above_the_mtu_is_refused() -> None:
    bench = Bench(Medium.IP, tx_checksum=True, tso=65535)
    with pytest.raises(OSError, match="path MTU") as caught:
        send(bench, (bytes(30000),), csum_offset=16, gso_size=1473)
    assert caught.value.errno == errno.EMSGSIZE


def test_a_super_segment_needs_a_link_that_cuts() -> None:
    bench = Bench(Medium.IP, tx_checksum=True)
    with pytest.raises(OSError, match="path MTU"):
        send(bench, (bytes(30000),), csum_offset=16, gso_size=1448)


def test_any_mix_of_ttl_and_tos_gets_the_right_header() -> None:
    bench = Bench(Medium.IP)
    for ttl in range(1, 101):
        send(bench, ttl=ttl, tos=ttl)
    headers = [IPv4Header.from_bytes(packet) for packet in bench.sent_packets()]
    assert [header.ttl for header in headers] == list(range(1, 101))
    assert all(header.dscp << 2 | header.ecn == header.ttl and header.checksum_valid for header in headers)


@pytest.mark.parametrize("dst", ["255.255.255.255", "192.0.2.255"])
def test_a_link_without_stations_broadcasts_as_it_sends(dst: str) -> None:
    bench = Bench(Medium.IP)
    send(bench, dst=dst)
    assert [str(IPv4Header.from_bytes(packet).dst) for packet in bench.sent_packets()] == [dst]


@pytest.mark.parametrize("dst", ["255.255.255.255", "192.0.2.255"])
def test_broadcasts_go_to_the_broadcast_station(bench: Bench, dst: str) -> None:
    send(bench, dst=dst)
    (frame,) = bench.sent()
    assert frame[:14] == EthernetHeader("ff:ff:ff:ff:ff:ff", OUR_MAC).to_bytes()
    assert str(IPv4Header.from_bytes(frame[14:]).dst) == dst


def test_multicast_goes_to_the_groups_station(bench: Bench) -> None:
    send(bench, dst="239.129.2.3")
    (frame,) = bench.sent()
    assert frame[:6].hex(":") == "01:00:5e:01:02:03"  # RFC 1112, 6.4: the low 23 bits
