"""Queues, back-pressure, fairness and the end of a link."""

import errno
from collections.abc import Sequence

import pytest

from pystack.errors import LinkDown
from pystack.link.base import Frame, Medium
from pystack.link.memory import MemoryHub, MemoryLink
from pystack.net.config import NetConfig
from pystack.units import SECOND
from pystack.wire.arp import ARPPacket
from tests.net.harness import OUR_MAC, OURS, PEER, PEER_MAC, Bench, Node, World, octets


def narrow(capacity: int, queue: int) -> Bench:
    return Bench(Medium.IP, NetConfig(transmit_queue=queue), capacity=capacity)


def test_frames_wait_for_flush_and_there_is_room() -> None:
    bench = Bench(Medium.IP)
    bench.node.send_udp(PEER)
    assert bench.frames() == []
    assert (bench.interface.unsent, bench.interface.has_room) == (True, True)
    assert bench.network.next_deadline() == 0
    bench.network.flush(0)
    assert len(bench.frames()) == 1
    assert (bench.interface.unsent, bench.network.next_deadline()) == (False, None)


def test_what_the_link_refuses_waits_and_leaves_in_order() -> None:
    bench = narrow(capacity=2, queue=10)
    for number in range(4):
        bench.node.send_udp(PEER, bytes([number]))
    bench.network.flush(0)
    assert (bench.interface.has_room, bench.interface.unsent) == (False, False)
    assert bench.network.next_deadline() is None  # the link's waker tells
    assert [packet[-1] for packet in bench.sent_packets()] == [0, 1]
    bench.network.flush(0)
    assert [packet[-1] for packet in bench.sent_packets()] == [2, 3]
    assert bench.interface.has_room


def test_a_full_queue_drops_and_counts() -> None:
    bench = narrow(capacity=1, queue=3)
    for _ in range(5):
        bench.node.send_udp(PEER)
    assert (bench.interface.has_room, bench.interface.room) == (False, 0)
    assert bench.counters["link.queue_full"] == 2


def test_arp_is_answered_even_when_data_fills_the_queue() -> None:
    bench = Bench(config=NetConfig(transmit_queue=8))
    bench.introduce()
    for _ in range(10):
        bench.node.send_udp(PEER)
    bench.inject_arp(ARPPacket.request(PEER_MAC, PEER, OURS))
    assert len(bench.frames()) == 9


def test_each_link_gives_at_most_its_budget_in_a_turn() -> None:
    bench = Bench(Medium.IP)
    bench.peer.send([Frame((bench.udp_packet(bytes([number])),)) for number in range(5)], 0)
    assert bench.network.receive(0, 3)
    assert len(bench.node.packets) == 3
    assert not bench.network.receive(0, 3)
    assert len(bench.node.packets) == 5
    assert not bench.network.receive(0, 3)


def test_links_take_turns_at_being_first() -> None:
    node = Node()
    peers = []
    for number in (1, 2):
        ours, peer = MemoryLink.pair(medium=Medium.IP)
        node.network.add_interface(ours, f"192.0.{number}.1/24")
        peers.append(peer)
    first = []
    for _ in range(3):
        for number, peer in enumerate(peers, 1):
            peer.send([Frame((Bench.udp_packet(src=f"192.0.{number}.2", dst=f"192.0.{number}.1"),))], 0)
        node.packets.clear()
        node.network.receive(0, 64)
        first.append(node.packets[0].interface.name)
    assert set(first) == {"ip0", "ip1"}


def test_a_hub_of_three_hosts(world: World) -> None:
    hub = MemoryHub()
    nodes = [world.node(hub.port(), f"192.0.2.{last}/24") for last in (1, 2, 3)]
    world.run()
    nodes[0].send_udp("192.0.2.3")
    world.run()
    assert [len(node.packets) for node in nodes] == [0, 0, 1]
    assert nodes[1].counters["ethernet.not_ours"] == 2  # the answer to the question, and the datagram


def test_the_same_seed_sends_the_same_octets_at_the_same_times() -> None:
    def run() -> list[tuple[int, bytes]]:
        bench = Bench(config=NetConfig(icmp_error_burst=4))
        sent = []
        for number in range(40):
            bench.inject(bench.udp_packet(protocol=132))
            bench.node.send_udp(f"192.0.2.{2 + number % 3}", now=bench.now, dont_fragment=False)
            bench.pass_time(2 * SECOND)
            bench.inject_arp(ARPPacket.reply(PEER_MAC, PEER, OUR_MAC, OURS))
            sent += [(bench.now, frame) for frame in bench.sent()]
        return sent

    first = run()
    assert len(first) > 100
    assert first == run()


def test_two_hosts_behind_different_media_do_not_forward(world: World) -> None:
    hub, (left, right) = MemoryHub(), MemoryLink.pair(medium=Medium.IP)
    middle = world.node(hub.port(), "192.0.2.2/24")
    middle.network.add_interface(left, "198.51.100.1/24")
    source = world.node(hub.port(), "192.0.2.1/24", "192.0.2.2")
    target = world.node(right, "198.51.100.2/24")
    source.send_udp("198.51.100.2")
    world.run()
    assert target.packets == []
    assert middle.counters["ipv4.not_ours"] == 1


# --- links that end


def test_a_closed_link_is_reported_once_and_its_interface_goes_down(any_bench: Bench) -> None:
    any_bench.interface.link.close()
    for _ in range(3):
        any_bench.node.turn(0)
    assert [interface for interface, _ in any_bench.node.lost] == [any_bench.interface]
    assert not any_bench.interface.up
    with pytest.raises(OSError, match="no route") as caught:
        any_bench.network.path(octets(PEER))
    assert caught.value.errno == errno.ENETUNREACH


class Failing(MemoryLink):
    """Goes down when something is sent."""

    def send(self, frames: Sequence[Frame], now: int) -> int:
        raise LinkDown("unplugged")


def test_a_link_that_ends_while_sending_takes_its_queue_along() -> None:
    node = Node()
    pair = MemoryLink.pair(medium=Medium.IP)
    link = Failing(pair[0].capabilities)
    link._peer = pair[1]
    interface = node.network.add_interface(link, "192.0.2.1/24")
    path = node.network.path(octets(PEER))
    node.send_udp(PEER)
    node.network.flush(0)
    assert (interface.up, interface.unsent, len(node.lost)) == (False, False, 1)
    node.network.send(path, 17, bytes(8), (), 0, 0)
    assert node.counters["link.down"] == 1
    with pytest.raises(OSError, match="no route"):
        node.network.refresh(path)


def test_neighbours_of_a_lost_link_are_forgotten(bench: Bench) -> None:
    path = bench.network.path(octets(PEER))
    bench.node.send_udp(PEER)
    bench.interface.link.close()
    bench.node.turn(0)
    assert bench.network.next_deadline() is None
    bench.network.send(path, 17, bytes(8), (), 0, 0)
    assert bench.counters["link.down"] == 1
    bench.pass_time(10 * SECOND)
    assert bench.node.errors == []


def test_another_interface_takes_over_when_one_goes_down() -> None:
    node = Node()
    first, second = (MemoryLink.pair(medium=Medium.IP)[0] for _ in range(2))
    node.network.add_interface(first, "192.0.2.1/24", "192.0.2.254")
    backup = node.network.add_interface(second, "198.51.100.1/24", "198.51.100.254")
    assert node.network.path(octets("203.0.113.1")).src == octets(OURS)
    first.close()
    node.turn(0)
    assert node.network.path(octets("203.0.113.1")).interface is backup


def test_names_number_interfaces_and_can_be_chosen() -> None:
    node = Node()
    for medium in Medium:
        node.network.add_interface(MemoryLink.pair(medium=medium)[0])
    node.network.add_interface(MemoryLink.pair()[0], name="lan")
    assert [interface.name for interface in node.network.interfaces] == ["lo", "eth0", "ip1", "lan"]
    assert node.network.interfaces[1].mac.hex(":") == OUR_MAC
