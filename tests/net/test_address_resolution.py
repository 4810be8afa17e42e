"""ARP as others see it: what is answered, believed, announced and defended (RFC 826, RFC 5227)."""

import logging

import pytest

from pystack.link.memory import MemoryLink
from pystack.net.neighbour import Reachability
from pystack.units import SECOND
from pystack.wire.arp import ARPOperation, ARPPacket
from pystack.wire.ethernet import EthernetHeader
from pystack.wire.mac import BROADCAST
from tests.net.harness import OUR_MAC, OURS, PEER, PEER_MAC, Bench, Node, octets

ALL = str(BROADCAST)
NOBODY = "00:00:00:00:00:00"
OTHER = "192.0.2.9"
OTHER_MAC = "02:00:00:00:00:99"


def link_address(bench: Bench, address: str) -> str | None:
    assert bench.interface.arp is not None
    neighbour = bench.interface.arp.cache.get(octets(address))
    return neighbour.link_address.hex(":") if neighbour and neighbour.link_address else None


def use(bench: Bench, address: str) -> None:
    bench.node.send_udp(address, now=bench.now)
    bench.network.flush(bench.now)
    bench.frames()


def test_an_interface_announces_its_address() -> None:
    link, peer = MemoryLink.pair(macs=(OUR_MAC, PEER_MAC))
    node = Node()
    node.network.add_interface(link, f"{OURS}/24")
    assert node.network.next_deadline() == 0
    node.turn(0)
    (frame,) = peer.receive(10, 0)
    assert frame.to_bytes()[:14] == EthernetHeader(BROADCAST, OUR_MAC, 0x0806).to_bytes()
    assert ARPPacket.from_bytes(frame.to_bytes()[14:]) == ARPPacket.request(OUR_MAC, OURS, OURS)  # RFC 5227, 2.3
    assert node.network.next_deadline() is None


def test_a_further_address_is_announced_too(bench: Bench) -> None:
    bench.network.add_address(bench.interface, "192.0.2.77/24")
    bench.network.flush(0)
    assert bench.sent_arp() == [ARPPacket.request(OUR_MAC, "192.0.2.77", "192.0.2.77")]


def test_a_question_for_our_address_is_answered_by_unicast(bench: Bench) -> None:
    bench.inject_arp(ARPPacket.request(PEER_MAC, PEER, OURS), dst_mac=ALL)
    (frame,) = bench.sent()
    assert EthernetHeader.from_bytes(frame).dst == EthernetHeader(PEER_MAC, OUR_MAC).dst
    assert ARPPacket.from_bytes(frame[14:]) == ARPPacket.reply(OUR_MAC, OURS, PEER_MAC, PEER)


def test_a_question_for_another_address_is_not_answered(bench: Bench) -> None:
    bench.inject_arp(ARPPacket.request(PEER_MAC, PEER, OTHER), dst_mac=ALL)
    assert bench.sent() == []
    assert bench.counters["arp.not_ours"] == 1


def test_a_question_for_an_address_of_another_interface_is_not_answered(bench: Bench) -> None:
    bench.network.add_interface(MemoryLink.pair()[0], "198.51.100.1/24")
    bench.inject_arp(ARPPacket.request(PEER_MAC, PEER, "198.51.100.1"), dst_mac=ALL)
    assert bench.sent() == []


def test_a_unicast_question_is_answered_too(bench: Bench) -> None:
    bench.inject_arp(ARPPacket.request(PEER_MAC, PEER, OURS))
    assert len(bench.sent_arp()) == 1


def test_a_probe_is_answered_and_teaches_nothing(bench: Bench) -> None:
    bench.inject_arp(ARPPacket.request(PEER_MAC, "0.0.0.0", OURS), dst_mac=ALL)  # RFC 5227, 2.1.1
    assert bench.sent_arp() == [ARPPacket.reply(OUR_MAC, OURS, PEER_MAC, "0.0.0.0")]
    assert bench.interface.arp is not None
    assert len(bench.interface.arp.cache) == 0


def test_who_asks_for_us_is_learnt_as_stale(bench: Bench) -> None:
    bench.inject_arp(ARPPacket.request(PEER_MAC, PEER, OURS), dst_mac=ALL)
    assert link_address(bench, PEER) == PEER_MAC
    assert bench.interface.arp is not None
    neighbour = bench.interface.arp.cache.get(octets(PEER))
    assert neighbour is not None
    assert neighbour.state is Reachability.STALE


@pytest.mark.parametrize("sender", ["203.0.113.5", "192.0.2.255", "192.0.2.0"])
def test_who_asks_from_elsewhere_is_answered_but_not_learnt(bench: Bench, sender: str) -> None:
    bench.inject_arp(ARPPacket.request(PEER_MAC, sender, OURS), dst_mac=ALL)
    assert len(bench.sent_arp()) == 1
    assert link_address(bench, sender) is None
    assert bench.counters["arp.untrusted"] == 1


@pytest.mark.parametrize(
    "packet",
    [ARPPacket.request(OTHER_MAC, OTHER, OTHER), ARPPacket(ARPOperation.REPLY, OTHER_MAC, OTHER, ALL, OTHER)],
    ids=["announcement", "broadcast-reply"],
)
def test_a_gratuitous_stranger_is_not_learnt(bench: Bench, packet: ARPPacket) -> None:
    bench.inject_arp(packet, dst_mac=ALL)
    assert link_address(bench, OTHER) is None


def test_an_answer_to_no_question_is_not_learnt(bench: Bench) -> None:
    bench.inject_arp(ARPPacket.reply(OTHER_MAC, OTHER, OUR_MAC, OURS))
    assert link_address(bench, OTHER) is None
    assert bench.counters["arp.untrusted"] == 1


def test_an_overheard_question_is_not_learnt(bench: Bench) -> None:
    bench.inject_arp(ARPPacket.request(OTHER_MAC, OTHER, PEER), dst_mac=ALL)
    assert link_address(bench, OTHER) is None


def test_an_announcement_corrects_a_known_neighbour(bench: Bench) -> None:
    bench.introduce()
    bench.now += 2 * SECOND
    bench.inject_arp(ARPPacket.request(OTHER_MAC, PEER, PEER), dst_mac=ALL)
    assert link_address(bench, PEER) == OTHER_MAC
    bench.node.send_udp(PEER, now=bench.now)
    bench.network.flush(bench.now)
    assert bench.sent()[0][:6].hex(":") == OTHER_MAC


def test_of_two_contradicting_answers_the_first_counts(bench: Bench) -> None:
    use(bench, PEER)
    bench.inject_arp(ARPPacket.reply(PEER_MAC, PEER, OUR_MAC, OURS))
    bench.inject_arp(ARPPacket.reply(OTHER_MAC, PEER, OUR_MAC, OURS))
    assert link_address(bench, PEER) == PEER_MAC
    assert bench.counters["neighbour.contradicted"] == 1


def test_confirmed_traffic_does_not_keep_a_neighbour_from_moving(bench: Bench) -> None:
    bench.introduce()
    bench.now += 2 * SECOND
    bench.network.confirm(bench.network.path(octets(PEER)), bench.now)
    bench.inject_arp(ARPPacket.request(OTHER_MAC, PEER, PEER), dst_mac=ALL)
    assert link_address(bench, PEER) == OTHER_MAC


@pytest.mark.parametrize("mac", [ALL, "01:00:5e:00:00:01", NOBODY])
def test_a_link_address_that_is_no_stations_is_refused(bench: Bench, mac: str) -> None:
    use(bench, PEER)
    bench.inject_arp(ARPPacket.reply(mac, PEER, OUR_MAC, OURS))
    bench.inject_arp(ARPPacket.request(mac, OTHER, OURS))
    assert link_address(bench, PEER) is None
    assert bench.sent() == []
    assert bench.counters["arp.sender"] == 2


def test_our_own_question_coming_back_is_ignored(bench: Bench) -> None:
    bench.inject_arp(ARPPacket.request(OUR_MAC, OURS, PEER), dst_mac=ALL)
    assert bench.sent() == []
    assert bench.counters["arp.own"] == 1
    assert bench.counters["arp.conflict"] == 0


def test_our_address_is_defended_once_per_interval(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    claim = ARPPacket.request(OTHER_MAC, OURS, OURS)
    announcement = ARPPacket.request(OUR_MAC, OURS, OURS)
    with caplog.at_level(logging.WARNING, "pystack.arp"):
        for _ in range(5):
            bench.inject_arp(claim, dst_mac=ALL)
    assert bench.sent_arp() == [announcement]
    assert bench.counters["arp.conflict"] == 5
    assert len(caplog.records) == 1
    assert OTHER_MAC in caplog.text
    bench.now += 10 * SECOND
    bench.inject_arp(claim, dst_mac=ALL)
    assert bench.sent_arp() == [announcement]


def test_our_own_address_is_never_learnt_from_others(bench: Bench) -> None:
    bench.inject_arp(ARPPacket.request(OTHER_MAC, OURS, OURS), dst_mac=ALL)
    bench.inject_arp(ARPPacket.reply(OTHER_MAC, OURS, OUR_MAC, OURS))
    assert link_address(bench, OURS) is None


def test_unknown_operations_and_address_spaces_are_counted(bench: Bench) -> None:
    bench.inject_arp(ARPPacket(9, PEER_MAC, PEER, OUR_MAC, OURS))
    header = EthernetHeader(OUR_MAC, PEER_MAC, 0x0806).to_bytes()
    bench.inject_frame(header + b"\0\6" + ARPPacket.request(PEER_MAC, PEER, OURS).to_bytes()[2:])
    bench.inject_frame(header + bytes(27))
    assert (bench.counters["arp.operation"], bench.counters["arp.space"], bench.counters["arp.short"]) == (1, 1, 1)
    assert bench.sent() == []


def test_arp_for_another_station_is_ignored(bench: Bench) -> None:
    bench.inject_arp(ARPPacket.request(PEER_MAC, PEER, OURS), dst_mac=OTHER_MAC)
    assert bench.sent() == []
    assert bench.counters["ethernet.not_ours"] == 1
