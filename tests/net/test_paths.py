"""Where packets go and from which address (RFC 1122, section 3.3)."""

import errno
from typing import Any

import pytest

from pystack.link.base import Frame, LinkCapabilities, Medium
from pystack.link.memory import LoopbackLink, MemoryLink
from pystack.net.config import NetConfig
from pystack.net.family import IPV4
from pystack.net.interface import Interface
from tests.net.harness import OURS, PEER, Bench, Node, SharingLink, octets


@pytest.fixture
def node() -> Node:
    return Node()


def attach(node: Node, address: str, gateway: str | None = None, medium: Medium = Medium.ETHERNET) -> Interface:
    return node.network.add_interface(MemoryLink.pair(medium=medium)[0], address, gateway)


def refused(node: Node, dst: str, src: str | None = None, **options: Any) -> int | None:
    with pytest.raises(OSError, match=r".+") as caught:
        node.network.path(octets(dst), octets(src) if src else None, **options)
    return caught.value.errno


def test_a_neighbour_is_its_own_next_hop(node: Node) -> None:
    interface = attach(node, "192.0.2.1/24", "192.0.2.254")
    path = node.network.path(octets("192.0.2.7"))
    assert (path.interface, path.next_hop, path.src, path.mtu) == (interface, octets("192.0.2.7"), octets(OURS), 1500)


def test_everything_else_goes_to_the_gateway(node: Node) -> None:
    attach(node, "192.0.2.1/24", "192.0.2.254")
    assert node.network.path(octets("203.0.113.1")).next_hop == octets("192.0.2.254")


def test_without_a_route_the_network_is_unreachable(node: Node) -> None:
    attach(node, "192.0.2.1/24")
    assert refused(node, "203.0.113.1") == errno.ENETUNREACH


def test_the_longest_prefix_wins(node: Node) -> None:
    first = attach(node, "192.0.2.1/24", "192.0.2.254")
    second = attach(node, "198.51.100.1/24")
    node.network.add_route("203.0.113.0/24", "198.51.100.254")
    node.network.add_route("203.0.113.128/25", "192.0.2.253")
    node.network.add_route("203.0.113.200/32", "198.51.100.253", second)
    hops = {
        "203.0.113.1": (second, "198.51.100.254"),
        "203.0.113.129": (first, "192.0.2.253"),
        "203.0.113.200": (second, "198.51.100.253"),
        "8.8.8.8": (first, "192.0.2.254"),
    }
    for dst, (interface, hop) in hops.items():
        path = node.network.path(octets(dst))
        assert (path.interface, path.next_hop) == (interface, octets(hop))


def test_the_source_is_the_address_next_to_the_next_hop(node: Node) -> None:
    interface = attach(node, "192.0.2.1/24", "192.0.2.254")
    node.network.add_address(interface, "198.51.100.1/24")
    assert node.network.path(octets("198.51.100.9")).src == octets("198.51.100.1")
    assert node.network.path(octets("203.0.113.9")).src == octets("192.0.2.1")


def test_a_bound_source_chooses_the_interface(node: Node) -> None:
    attach(node, "192.0.2.1/24", "192.0.2.254")
    second = attach(node, "198.51.100.1/24", "198.51.100.254")
    path = node.network.path(octets("203.0.113.9"), octets("198.51.100.1"))
    assert (path.interface, path.next_hop) == (second, octets("198.51.100.254"))
    assert refused(node, "192.0.2.9", "192.0.2.77") == errno.EADDRNOTAVAIL


def test_a_bound_source_without_a_route_from_its_interface_is_unreachable(node: Node) -> None:
    attach(node, "192.0.2.1/24", "192.0.2.254")
    attach(node, "198.51.100.1/24")
    assert refused(node, "203.0.113.9", "198.51.100.1") == errno.ENETUNREACH


@pytest.mark.parametrize("dst", ["192.0.2.255", "255.255.255.255"])
def test_broadcast_needs_permission(node: Node, dst: str) -> None:
    attach(node, "192.0.2.1/24")
    for _ in range(2):
        assert refused(node, dst) == errno.EACCES
        path = node.network.path(octets(dst), broadcast=True)
        assert path.broadcast
        assert node.network.refresh(path) is path


def test_broadcast_and_multicast_leave_by_the_default_route_unless_bound(node: Node) -> None:
    attach(node, "192.0.2.1/24")
    second = attach(node, "198.51.100.1/24", "198.51.100.254")
    for dst in ("255.255.255.255", "239.1.1.1"):
        assert node.network.path(octets(dst), broadcast=True).interface is second
        bound = node.network.path(octets(dst), octets(OURS), broadcast=True)
        assert bound.interface.has(octets(OURS))
        assert bound.src == octets(OURS)


def test_multicast_without_any_interface_is_unreachable(node: Node) -> None:
    assert refused(node, "239.1.1.1") == errno.ENETUNREACH


@pytest.mark.parametrize("dst", ["240.0.0.1", "0.1.2.3"])
def test_nobodys_addresses_are_invalid(node: Node, dst: str) -> None:
    attach(node, "192.0.2.1/24", "192.0.2.254")
    assert refused(node, dst) == errno.EINVAL


def test_what_is_no_ip_address_is_refused(node: Node) -> None:
    with pytest.raises(OSError, match="6") as caught:
        node.network.path(bytes(6))
    assert caught.value.errno == errno.EAFNOSUPPORT


# --- this host


@pytest.mark.parametrize(
    ("dst", "src"),
    [("127.0.0.1", "127.0.0.1"), ("127.3.2.1", "127.0.0.1"), (OURS, OURS), ("0.0.0.0", "127.0.0.1")],
)
def test_own_and_loopback_addresses_stay_inside(node: Node, dst: str, src: str) -> None:
    attach(node, "192.0.2.1/24")
    path = node.network.path(octets(dst))
    assert path.interface is node.network.loopback
    assert path.src == octets(src)


def test_what_goes_to_ourselves_arrives(node: Node) -> None:
    interface = attach(node, "192.0.2.1/24")
    for dst in ("127.0.0.1", "127.3.2.1", OURS):
        node.send_udp(dst)
    node.turn(0)
    assert [packet.dst for packet in node.packets] == [octets("127.0.0.1"), octets("127.3.2.1"), octets(OURS)]
    assert not interface.unsent
    assert node.network.next_deadline() is None


def test_any_address_from_a_bound_socket_is_that_address(node: Node) -> None:
    attach(node, "192.0.2.1/24")
    assert node.network.path(bytes(4), octets(OURS)).dst == octets(OURS)


def test_a_loopback_source_cannot_leave(node: Node) -> None:
    attach(node, "192.0.2.1/24", "192.0.2.254")
    assert refused(node, "203.0.113.1", "127.0.0.1") == errno.EINVAL


def test_is_local(node: Node) -> None:
    attach(node, "192.0.2.1/24")
    assert [node.network.is_local(octets(each)) for each in (OURS, PEER, "127.8.8.8")] == [True, False, True]
    assert not node.network.is_local(bytes(16))


# --- links that share their address with the kernel


def test_own_addresses_of_a_shared_link_go_out_of_it(node: Node) -> None:
    interface = node.network.add_interface(SharingLink("192.0.2.1/24"))
    assert interface.has(octets(OURS))
    for dst in (OURS, "127.0.0.1"):
        path = node.network.path(octets(dst))
        assert (path.interface, path.src) == (interface, octets(OURS))


def test_a_shared_link_needs_no_gateway(node: Node) -> None:
    interface = node.network.add_interface(SharingLink("192.0.2.1/24"))
    assert node.network.path(octets("203.0.113.1")).interface is interface


def test_a_shared_loopback_reaches_only_this_machine(node: Node) -> None:
    interface = node.network.add_interface(SharingLink("127.0.0.1/8"))
    assert node.network.path(octets("127.0.0.1")).interface is interface
    assert refused(node, "203.0.113.1") == errno.ENETUNREACH


@pytest.mark.parametrize("src", [OURS, "127.0.0.1", PEER])
def test_a_shared_link_accepts_its_own_address_as_source(node: Node, src: str) -> None:
    node.network.add_interface(link := SharingLink("192.0.2.1/24"))
    link.send([Frame((Bench.udp_packet(src=src),))], 0)
    node.turn(0)
    assert [packet.src for packet in node.packets] == [octets(src)]


def test_addresses_of_other_links_stay_inside_beside_a_shared_one(node: Node) -> None:
    node.network.add_interface(SharingLink("198.51.100.1/24"))
    attach(node, "192.0.2.1/24")
    assert node.network.path(octets(OURS)).interface is node.network.loopback


# --- change


def test_a_path_is_remembered_until_something_changes(node: Node) -> None:
    attach(node, "192.0.2.1/24", "192.0.2.254")
    path = node.network.path(octets("203.0.113.1"))
    assert node.network.path(octets("203.0.113.1")) is path
    assert node.network.refresh(path) is path
    node.network.add_route("203.0.113.0/24", "192.0.2.253")
    renewed = node.network.refresh(path)
    assert renewed is not path
    assert renewed.next_hop == octets("192.0.2.253")


def test_remembered_paths_are_capped() -> None:
    node = Node(NetConfig(path_limit=4))
    attach(node, "192.0.2.1/24")
    first = node.network.path(octets("192.0.2.2"))
    for last in range(3, 8):
        node.network.path(octets(f"192.0.2.{last}"))
    assert node.network.path(octets("192.0.2.2")) is not first
    assert len(node.network._paths._cache) == 4


# --- what cannot be configured


@pytest.mark.parametrize("address", ["192.0.2.0/24", "192.0.2.255/24", "224.0.0.5/24", "0.0.0.0", "nonsense"])
def test_an_interface_needs_the_address_of_a_host(node: Node, address: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        attach(node, address)
    assert node.network.interfaces == [node.network.loopback]


def test_an_address_is_given_once(node: Node) -> None:
    attach(node, "192.0.2.1/24")
    with pytest.raises(OSError, match="already") as caught:
        attach(node, "192.0.2.1/25")
    assert caught.value.errno == errno.EADDRINUSE
    assert len(node.network.interfaces) == 2


def test_loopback_addresses_belong_on_no_wire(node: Node) -> None:
    with pytest.raises(OSError, match="never leaves") as caught:
        attach(node, "127.0.0.2/8")
    assert caught.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize("gateway", ["203.0.113.1", "192.0.2.1"])
def test_a_gateway_must_be_a_neighbour(node: Node, gateway: str) -> None:
    with pytest.raises(ValueError, match="gateway"):
        attach(node, "192.0.2.1/24", gateway)
    assert node.network.interfaces == [node.network.loopback]
    attach(node, "192.0.2.1/24")
    with pytest.raises(ValueError, match="gateway"):
        node.network.add_route("198.51.100.0/24", gateway, node.network.interfaces[1])


def test_a_route_needs_an_interface_or_a_known_gateway(node: Node) -> None:
    with pytest.raises(ValueError, match="no interface"):
        node.network.add_route("203.0.113.0/24", "198.51.100.1")
    with pytest.raises(ValueError, match="no interface"):
        node.network.add_route("203.0.113.0/24", None)


def test_a_link_without_an_address_has_no_source_yet(node: Node) -> None:
    interface = node.network.add_interface(MemoryLink.pair()[0])
    node.network.add_route("0.0.0.0/0", None, interface)
    assert refused(node, "203.0.113.1") == errno.EADDRNOTAVAIL
    node.network.add_address(interface, "192.0.2.1/24")
    assert node.network.path(octets("203.0.113.1")).src == octets(OURS)


def test_ethernet_needs_a_mac(node: Node) -> None:
    class Headless(LoopbackLink):
        @property
        def capabilities(self) -> LinkCapabilities:
            return LinkCapabilities(Medium.ETHERNET, 1500)

    with pytest.raises(ValueError, match="MAC"):
        node.network.add_interface(Headless(), "192.0.2.1/24")


def test_a_bound_any_address_binds_nothing(node: Node) -> None:
    attach(node, "192.0.2.1/24")
    assert node.network.path(octets(PEER), bytes(4)).src == octets(OURS)


def test_a_wrapper_around_a_link_without_an_address_gives_none(node: Node) -> None:
    class Wrapper(LoopbackLink):
        address = None

    assert node.network.add_interface(Wrapper()).addresses == []


def test_repr_reads_as_addresses(node: Node) -> None:
    interface = attach(node, "192.0.2.1/24", "192.0.2.254")
    path = node.network.path(octets("203.0.113.1"))
    assert repr(path) == "<Path 192.0.2.1 > 203.0.113.1 via 192.0.2.254 on eth0>"
    assert repr(interface) == "<Interface eth0 192.0.2.1/24>"
    assert str(node.network._paths.routes[IPV4]) == "192.0.2.0/24 dev eth0\n0.0.0.0/0 via 192.0.2.254 dev eth0"
