"""ARP as a sender sees it: asking, waiting, ageing, giving up (RFC 826, RFC 1122 2.3.2, RFC 4861 7.3)."""

import errno
from ipaddress import ip_address

import pytest

from pystack.link.base import Medium
from pystack.link.memory import MemoryLink
from pystack.net.config import NetConfig
from pystack.net.neighbour import Reachability
from pystack.units import MS, SECOND
from pystack.wire.arp import ARPOperation, ARPPacket
from pystack.wire.ethernet import EthernetHeader
from pystack.wire.mac import BROADCAST, MACAddress
from tests.net.harness import OUR_MAC, OURS, PEER, PEER_MAC, Bench, World, octets, udp_header

OTHER_MAC = "02:00:00:00:00:99"


def state(bench: Bench, address: str = PEER) -> Reachability | None:
    assert bench.interface.arp is not None
    neighbour = bench.interface.arp.cache.get(octets(address))
    return neighbour.state if neighbour else None


def answer(bench: Bench, ip: str = PEER, mac: str = PEER_MAC) -> None:
    bench.inject_arp(ARPPacket.reply(mac, ip, OUR_MAC, OURS))


def resolve(bench: Bench) -> None:
    """The peer becomes REACHABLE."""
    bench.node.send_udp(PEER, now=bench.now)
    bench.network.flush(bench.now)
    answer(bench)
    bench.frames()
    assert state(bench) is Reachability.REACHABLE


def use(bench: Bench) -> None:
    bench.node.send_udp(PEER, now=bench.now)
    bench.network.flush(bench.now)


def test_an_unknown_neighbour_is_asked_for_by_broadcast(bench: Bench) -> None:
    use(bench)
    (frame,) = bench.sent()
    assert EthernetHeader.from_bytes(frame).dst == BROADCAST
    assert ARPPacket.from_bytes(frame[14:]) == ARPPacket.request(OUR_MAC, OURS, PEER)
    assert state(bench) is Reachability.INCOMPLETE


def test_the_answer_releases_what_waited_in_order(bench: Bench) -> None:
    for payload in (b"first", b"second"):
        bench.node.send_udp(PEER, payload)
    bench.network.flush(0)
    assert len(bench.sent_arp()) == 1
    answer(bench)
    frames = bench.sent()
    assert [frame[42:] for frame in frames] == [b"first", b"second"]
    assert all(frame[:14] == EthernetHeader(PEER_MAC, OUR_MAC).to_bytes() for frame in frames)


def test_a_known_neighbour_is_not_asked_for_again(bench: Bench) -> None:
    resolve(bench)
    use(bench)
    assert len(bench.sent_packets()) == 1


def test_the_question_is_repeated_each_second_three_times_in_all(bench: Bench) -> None:
    use(bench)
    assert len(bench.sent_arp()) == 1
    for _ in range(2):
        bench.pass_time(SECOND - 1)
        assert bench.sent_arp() == []
        bench.pass_time(1)
        assert len(bench.sent_arp()) == 1
    bench.pass_time(10 * SECOND)
    assert bench.sent_arp() == []


def test_each_flow_with_a_packet_waiting_learns_once_that_the_neighbour_is_silent(bench: Bench) -> None:
    path = bench.network.path(octets(PEER))
    for src_port in (1, 1, 7):
        bench.network.send(path, 17, udp_header(0, src_port), (), 0, 0)
    bench.pass_time(3 * SECOND)
    assert [(error.errno, error.hard, error.reporter) for error in bench.node.errors] == [
        (errno.EHOSTUNREACH, True, None)
    ] * 2
    assert [error.quote[:2] for error in bench.node.errors] == [b"\0\1", b"\0\7"]
    assert bench.node.errors[0].dst == octets(PEER)
    assert bench.counters["neighbour.unreachable"] == 1
    assert state(bench) is None


def test_a_ping_to_a_silent_neighbour_fails(bench: Bench) -> None:
    bench.network.ping(bench.network.path(octets(PEER)), 1, 2, b"data", 0)
    bench.pass_time(3 * SECOND)
    assert [error.errno for error in bench.node.echo_errors] == [errno.EHOSTUNREACH]
    assert bench.node.errors == []


def test_after_giving_up_the_next_packet_asks_anew(bench: Bench) -> None:
    use(bench)
    bench.pass_time(3 * SECOND)
    bench.frames()
    use(bench)
    assert len(bench.sent_arp()) == 1


def test_the_queue_of_a_neighbour_is_capped_and_drops_the_oldest() -> None:
    bench = Bench(config=NetConfig(waiting_limit=2))
    for payload in (b"1", b"2", b"3"):
        bench.node.send_udp(PEER, payload)
    answer(bench)
    assert [packet[28:] for packet in bench.sent_packets()] == [b"2", b"3"]
    assert bench.counters["neighbour.queue_full"] == 1


def test_no_deadline_while_nobody_is_being_asked_for(bench: Bench) -> None:
    assert bench.network.next_deadline() is None
    use(bench)
    bench.network.flush(0)
    assert bench.network.next_deadline() == SECOND
    answer(bench)
    assert bench.network.next_deadline() is None


def test_a_confirmation_lasts_half_to_one_and_a_half_of_the_reachable_time(bench: Bench) -> None:
    resolve(bench)
    bench.now += 15 * SECOND - 1
    use(bench)
    assert state(bench) is Reachability.REACHABLE
    bench.now += 30 * SECOND + 1
    use(bench)
    assert state(bench) is Reachability.DELAY


def test_an_aged_neighbour_is_used_at_once_and_probed_by_unicast_after_five_seconds(bench: Bench) -> None:
    resolve(bench)
    bench.now += 60 * SECOND
    use(bench)
    assert len(bench.sent_packets()) == 1
    bench.pass_time(5 * SECOND - 1)
    assert bench.sent() == []
    bench.pass_time(1)
    (frame,) = bench.sent()
    assert EthernetHeader.from_bytes(frame).dst.octets == bytes.fromhex(PEER_MAC.replace(":", ""))
    assert ARPPacket.from_bytes(frame[14:]).operation == ARPOperation.REQUEST
    assert state(bench) is Reachability.PROBE
    answer(bench)
    assert state(bench) is Reachability.REACHABLE
    assert bench.network.next_deadline() is None


def test_packets_keep_flowing_while_a_neighbour_is_probed(bench: Bench) -> None:
    resolve(bench)
    bench.now += 60 * SECOND
    use(bench)
    bench.pass_time(5 * SECOND)
    bench.frames()
    use(bench)
    assert len(bench.sent_packets()) == 1


def test_a_neighbour_that_ignores_three_probes_is_forgotten(bench: Bench) -> None:
    resolve(bench)
    bench.now += 60 * SECOND
    use(bench)
    bench.frames()
    bench.pass_time(8 * SECOND)
    assert len(bench.sent_arp()) == 3
    assert state(bench) is None
    assert bench.network.next_deadline() is None
    use(bench)
    (frame,) = bench.sent()
    assert EthernetHeader.from_bytes(frame).dst == BROADCAST


def test_progress_of_a_transport_spares_the_probe(bench: Bench) -> None:
    resolve(bench)
    bench.now += 60 * SECOND
    use(bench)
    bench.frames()
    bench.network.confirm(bench.network.path(octets(PEER)), bench.now)
    assert state(bench) is Reachability.REACHABLE
    bench.pass_time(10 * SECOND)
    assert bench.sent() == []


@pytest.mark.parametrize("age", [0, 60 * SECOND])
def test_a_doubted_neighbour_is_probed_by_unicast_at_once(bench: Bench, age: int) -> None:
    """RFC 4861, section 7.3.3, without DELAY; packets go on meanwhile, and doubting twice asks once."""
    resolve(bench)
    bench.now += age
    path = bench.network.path(octets(PEER))
    for _ in range(2):
        again = bench.network.doubt(path, bench.now)
        bench.node.turn(bench.now)
    assert (again.src, again.dst, again.next_hop) == (path.src, path.dst, path.next_hop)
    (frame,) = bench.sent()
    assert EthernetHeader.from_bytes(frame).dst == MACAddress(PEER_MAC)
    assert ARPPacket.from_bytes(frame[14:]).target_ip == ip_address(PEER)
    use(bench)
    assert len(bench.sent_packets()) == 1
    answer(bench)
    assert state(bench) is Reachability.REACHABLE
    assert bench.network.next_deadline() is None


def test_a_doubted_neighbour_that_is_gone_is_forgotten(bench: Bench) -> None:
    resolve(bench)
    bench.network.doubt(bench.network.path(octets(PEER)), bench.now)
    bench.pass_time(3 * SECOND)
    assert len(bench.sent_arp()) == 3
    assert state(bench) is None


def test_doubting_who_is_being_asked_for_changes_nothing(bench: Bench) -> None:
    path = bench.network.path(octets(PEER))
    bench.network.doubt(path, 0)
    assert state(bench) is None
    use(bench)
    bench.frames()
    bench.network.doubt(path, 0)
    bench.node.turn(0)
    assert bench.sent() == []
    assert state(bench) is Reachability.INCOMPLETE


def test_doubt_over_a_link_without_neighbours_looks_for_another_route() -> None:
    bench = Bench(Medium.IP)
    path = bench.network.path(octets("198.51.100.1"))
    assert bench.network.doubt(path, 0) is not path
    bench.node.turn(0)
    assert bench.sent() == []


def test_progress_confirms_nobody_who_was_never_resolved(bench: Bench) -> None:
    use(bench)
    bench.network.confirm(bench.network.path(octets(PEER)), 0)
    assert state(bench) is Reachability.INCOMPLETE


def test_the_least_recently_used_neighbour_is_evicted() -> None:
    bench = Bench(config=NetConfig(neighbour_limit=3))
    for last in (10, 11, 12):
        bench.introduce(f"192.0.2.{last}", f"02:00:00:00:01:{last:02x}")
        bench.now += MS
    bench.node.send_udp("192.0.2.10", now=bench.now)  # used again: now 11 is the oldest
    bench.introduce("192.0.2.13", "02:00:00:00:01:13")
    assert [state(bench, f"192.0.2.{last}") is None for last in (10, 11, 12, 13)] == [False, True, False, False]
    assert bench.counters["neighbour.evicted"] == 1


def test_questions_to_us_do_not_cut_off_our_own() -> None:
    bench = Bench(config=NetConfig(neighbour_limit=4))
    bench.node.send_udp(PEER, b"waiting")
    for last in range(10, 40):
        bench.introduce(f"192.0.2.{last}", f"02:00:00:00:01:{last:02x}")
    answer(bench)
    assert [packet[28:] for packet in bench.sent_packets()] == [b"waiting"]


def test_a_table_full_of_questions_makes_room_all_the_same() -> None:
    bench = Bench(config=NetConfig(neighbour_limit=2))
    for last in (10, 11, 12):
        bench.node.send_udp(f"192.0.2.{last}")
    assert [state(bench, f"192.0.2.{last}") is None for last in (10, 11, 12)] == [True, False, False]


def test_invented_destinations_do_not_push_out_known_neighbours() -> None:
    bench = Bench(config=NetConfig(neighbour_limit=8, unresolved_limit=2))
    bench.introduce()
    for last in range(10, 40):
        bench.node.send_udp(f"192.0.2.{last}")
    assert state(bench) is Reachability.STALE
    assert bench.interface.arp is not None
    assert len(bench.interface.arp.cache) == 3


def test_timers_of_evicted_neighbours_do_not_pile_up() -> None:
    bench = Bench(config=NetConfig(neighbour_limit=4, unresolved_limit=2))
    for last in range(3, 250):
        bench.node.send_udp(f"192.0.2.{last}")
    assert bench.interface.arp is not None
    assert len(bench.interface.arp.cache._timers) <= 4 * 4 + 1


def test_a_packet_through_the_gateway_asks_for_the_gateway(bench: Bench) -> None:
    bench.node.send_udp("203.0.113.9")
    bench.network.flush(0)
    assert bench.sent_arp() == [ARPPacket.request(OUR_MAC, OURS, PEER)]


def test_the_question_comes_from_the_address_on_the_same_network(bench: Bench) -> None:
    bench.network.add_address(bench.interface, "198.51.100.1/24")
    bench.network.flush(0)
    bench.frames()
    bench.node.send_udp("198.51.100.7")
    bench.network.flush(0)
    assert bench.sent_arp() == [ARPPacket.request(OUR_MAC, "198.51.100.1", "198.51.100.7")]


def test_a_link_without_neighbours_sends_at_once() -> None:
    bench = Bench(Medium.IP)
    use(bench)
    assert len(bench.sent_packets()) == 1


def test_two_hosts_find_each_other(world: World) -> None:
    left, right = MemoryLink.pair()
    a, b = world.node(left, "192.0.2.1/24"), world.node(right, "192.0.2.2/24")
    world.run()
    a.send_udp("192.0.2.2", b"there")
    world.run()
    b.send_udp("192.0.2.1", b"and back", now=world.now)
    world.run()
    assert [b"".join(each.payload)[8:] for each in (*b.packets, *a.packets)] == [b"there", b"and back"]
