"""What a host is made of, and what it offers."""

import errno
import re
import socket
import threading

import pytest

from pystack.errors import LinkDown
from pystack.link.base import Medium
from pystack.link.memory import MemoryHub, MemoryLink
from pystack.sockets.host import Host
from pystack.stack.config import StackConfig
from tests.sockets.still import PATIENCE, in_thread
from tests.sockets.two import Two


def test_ping_takes_seconds_as_a_float(two: Two) -> None:
    assert 0 < two.a.ping("192.0.2.2", timeout=PATIENCE) < PATIENCE
    assert two.a.ping("b.example", timeout=PATIENCE, size=0) > 0
    assert two.b.ping("localhost", timeout=PATIENCE) > 0


def test_ping_times_out_with_a_sentence(two: Two) -> None:
    two.b.close()
    with pytest.raises(TimeoutError, match=re.escape("no echo reply from 192.0.2.2 within 0.01 s")):
        two.a.ping("192.0.2.2", timeout=0.01)


def test_a_connection_by_name_on_an_ip_link() -> None:
    left, right = MemoryLink.pair(medium=Medium.IP)
    with Host(left, address="192.0.2.1/24", hosts={"b": "192.0.2.2"}) as a, Host(right, address="192.0.2.2/24") as b:
        listener = b.create_server(("192.0.2.2", 0), backlog=1)
        with a.create_connection(("b", listener.getsockname()[1]), timeout=PATIENCE) as sock:
            listener.settimeout(PATIENCE)
            far, peer = listener.accept()
            assert peer == sock.getsockname()
            far.close()
        listener.close()


def test_a_host_talks_to_itself() -> None:
    with Host(MemoryLink.pair()[0], address="192.0.2.1/24") as host:
        listener = host.create_server(("", 0))
        listener.settimeout(PATIENCE)
        for name in ("localhost", "192.0.2.1"):
            with host.create_connection((name, listener.getsockname()[1]), timeout=PATIENCE) as near:
                far, _ = listener.accept()
                with far:
                    near.sendall(b"self")
                    assert far.recv(4) == b"self"
        listener.close()


def test_routes_lead_to_networks_behind_a_neighbour(two: Two) -> None:
    two.b.add_address("198.51.100.9/24")
    with pytest.raises(OSError) as caught:  # noqa: PT011 (the errno is the test)
        two.a.ping("198.51.100.9", timeout=PATIENCE)
    assert caught.value.errno == errno.ENETUNREACH
    two.a.add_route("198.51.100.0/24", "192.0.2.2")
    assert two.a.ping("198.51.100.9", timeout=PATIENCE) > 0


def test_a_route_without_gateway_goes_over_its_link(two: Two) -> None:
    two.b.add_address("198.51.100.9/24")
    two.b.add_route("203.0.113.0/24")
    two.a.add_address("203.0.113.1/32")
    two.a.add_route("198.51.100.0/24", link=two.cable[0])
    assert two.a.ping("198.51.100.9", timeout=PATIENCE) > 0
    assert two.b.ping("203.0.113.1", timeout=PATIENCE) > 0


def test_a_route_that_leads_nowhere_is_refused(two: Two) -> None:
    with pytest.raises(ValueError, match="not a link of this host"):
        two.a.add_route("198.51.100.0/24", link=two.cable[1])
    with pytest.raises(ValueError, match="no interface for the route"):
        two.a.add_route("198.51.100.0/24", "203.0.113.1")
    with Host() as host, pytest.raises(ValueError, match="no interface for the route"):
        host.add_route("0.0.0.0/0")


def test_several_links_each_with_an_address() -> None:
    left, right = MemoryHub(), MemoryHub()
    with (
        Host() as middle,
        Host(left.port(), address="192.0.2.2/24") as one,
        Host(right.port(), address="198.51.100.2/24") as other,
    ):
        middle.add_link(left.port(), address="192.0.2.1/24")
        middle.add_link(right.port(), address="198.51.100.1/24", gateway="198.51.100.2")
        assert middle.ping("192.0.2.2", timeout=PATIENCE) > 0
        assert middle.ping("198.51.100.2", timeout=PATIENCE) > 0
        assert one.ping("192.0.2.1", timeout=PATIENCE) > 0
        assert other.ping("198.51.100.1", timeout=PATIENCE) > 0


def test_a_link_that_has_an_address_lends_it() -> None:
    link, _ = MemoryLink.pair(medium=Medium.IP)
    link.address = "192.0.2.9/24"  # type: ignore[attr-defined]
    with Host(link) as host:
        sock = host.socket(type=socket.SOCK_DGRAM)
        sock.bind(("192.0.2.9", 0))
        sock.close()


@pytest.mark.parametrize(
    "arguments", [{"address": "192.0.2.1/24"}, {"gateway": "192.0.2.1"}], ids=["address", "gateway"]
)
def test_one_address_does_not_do_for_two_links(arguments: dict[str, str]) -> None:
    links = MemoryLink.pair()
    with pytest.raises(ValueError, match="add_link"):
        Host(*links, **arguments)  # type: ignore[arg-type]


def test_a_host_that_cannot_be_made_leaves_nothing_behind() -> None:
    before = threading.active_count()
    link, far = MemoryLink.pair()
    with pytest.raises(ValueError, match="address"):
        Host(link, address="no address")
    with pytest.raises(LinkDown):
        link.send((), 0)
    assert threading.active_count() == before
    far.close()


def test_a_seed_makes_ports_repeat() -> None:
    def ports(seed: int | None) -> list[int]:
        with Host(MemoryLink.pair()[0], address="192.0.2.1/24", seed=seed) as host:
            socks = [host.socket(type=socket.SOCK_DGRAM) for _ in range(4)]
            for sock in socks:
                sock.bind(("", 0))
            found = [sock.getsockname()[1] for sock in socks]
            for sock in socks:
                sock.close()
            return found

    assert ports(7) == ports(7)
    assert ports(7) != ports(8)
    assert ports(None) != ports(None)


def test_settings_reach_the_stack() -> None:
    with Host(MemoryLink.pair()[0], address="192.0.2.1/24", config=StackConfig(ephemeral_ports=(5000, 5000))) as host:
        sock = host.socket(type=socket.SOCK_DGRAM)
        sock.bind(("", 0))
        assert sock.getsockname()[1] == 5000
        sock.close()


def test_only_tcp_and_udp(two: Two) -> None:
    with two.a.socket(proto=socket.IPPROTO_TCP) as sock:
        assert sock.proto == socket.IPPROTO_TCP
    with pytest.raises(OSError, match="AF_INET") as family:
        two.a.socket(socket.AF_UNSPEC)
    assert family.value.errno == errno.EAFNOSUPPORT
    with pytest.raises(OSError, match="SOCK_STREAM") as kind:
        two.a.socket(type=socket.SOCK_RAW)
    assert kind.value.errno == errno.EPROTONOSUPPORT


def test_an_address_in_use_is_told_by_create_server(two: Two) -> None:
    with two.b.create_server(("", 0)) as listener, pytest.raises(OSError, match="port") as caught:
        two.b.create_server(listener.getsockname())
    assert caught.value.errno == errno.EADDRINUSE


def test_counters_are_a_copy(two: Two) -> None:
    two.a.counters["mine"] += 1
    assert two.a.counters["mine"] == 0


def test_the_host_answers_while_the_program_computes(two: Two) -> None:
    """A pure-Python loop holds the interpreter all the time; the pumps get their turns nevertheless."""
    stop = False

    def compute() -> None:
        while not stop:
            pass

    computing = in_thread(compute)
    try:
        assert two.a.ping("192.0.2.2", timeout=PATIENCE) > 0
    finally:
        stop = True
        computing.result(PATIENCE)
