"""Both IP versions on one host: which socket hears what, and what it calls the other side."""

import socket

import pytest

from pystack import wire
from pystack.link.base import Frame, Medium
from pystack.link.memory import MemoryLink
from pystack.sim.simulation import Simulation
from pystack.stack.stack import Stack
from pystack.stack.stream import StreamEndpoint
from pystack.units import SECOND
from tests.stack.conftest import HOSTS, Pair, make_pair, raises_errno

HERE, THERE = HOSTS[4]
HERE6, THERE6 = HOSTS[6]


@pytest.fixture
def pair() -> Pair:
    """Two hosts, each with an address of both versions on the same link."""
    pair = make_pair(1, Medium.IP)
    for stack, host in ((pair.a, HERE6), (pair.b, THERE6)):
        stack.add_address(stack.interfaces[1], f"{host}/64")
    return pair


def listen(stack: Stack, host: str, version: int | None = None) -> StreamEndpoint:
    server = stack.stream(version)
    server.bind((host, 80), 0)
    server.listen(4, 0)
    return server


def answers(pair: Pair, host: str) -> bool:
    """Whether somebody accepts connections there."""
    client = pair.a.stream()
    client.connect((host, 80), pair.now)
    try:
        return pair.sim.wait(client.submit(client.try_connected, SECOND, pair.now))
    except ConnectionRefusedError:
        return False
    finally:
        client.close(pair.now)


@pytest.mark.parametrize(
    ("host", "version", "heard"),
    [
        ("", None, (True, True)),
        ("", 4, (True, False)),
        ("", 6, (False, True)),
        ("0.0.0.0", None, (True, False)),
        ("::", None, (False, True)),
        (THERE, None, (True, False)),
        (THERE6, None, (False, True)),
        (f"::ffff:{THERE}", None, (True, False)),
    ],
)
def test_a_listener_hears_the_versions_it_is_bound_to(
    pair: Pair, host: str, version: int | None, heard: tuple[bool, bool]
) -> None:
    listen(pair.b, host, version)
    assert (answers(pair, THERE), answers(pair, THERE6)) == heard


def test_the_most_specific_listener_is_asked(pair: Pair) -> None:
    servers = [listen(pair.b, host) for host in ("0.0.0.0", "::")]
    for server, host in zip(servers, (THERE, THERE6), strict=True):
        assert answers(pair, host)
        accepted = pair.accept(server)
        assert accepted.getsockname() == (host, 80)


@pytest.mark.parametrize(("first", "second"), [("", "::"), ("", "0.0.0.0"), ("::", THERE6), ("0.0.0.0", THERE)])
def test_a_wildcard_holds_the_port_of_its_versions(pair: Pair, first: str, second: str) -> None:
    listen(pair.b, first)
    with raises_errno("EADDRINUSE"):
        pair.b.stream().bind((second, 80), pair.now)


def test_a_socket_of_one_version_refuses_the_other(pair: Pair) -> None:
    for version, host in ((4, THERE6), (6, THERE), (6, f"::ffff:{THERE}")):
        with raises_errno("EAFNOSUPPORT"):
            pair.a.stream(version).connect((host, 80), pair.now)
        with raises_errno("EAFNOSUPPORT"):
            pair.a.datagram(version).try_sendto(b"x", (host, 80), pair.now)


def test_a_socket_says_where_it_is_in_its_own_version(pair: Pair) -> None:
    for version, wildcard in ((None, "0.0.0.0"), (4, "0.0.0.0"), (6, "::")):
        for fresh in (pair.a.stream(version), pair.a.datagram(version)):
            assert fresh.getsockname() == (wildcard, 0)
            fresh.bind(("", 5000), pair.now)
            assert fresh.getsockname() == (wildcard, 5000)
            fresh.close(pair.now)


def test_one_datagram_socket_speaks_both(pair: Pair) -> None:
    there, here = pair.b.datagram(), pair.a.datagram()
    there.bind(("", 53), pair.now)
    for host, source in ((THERE, HERE), (THERE6, HERE6), (f"::ffff:{THERE}", HERE)):
        here.try_sendto(b"question", (host, 53), pair.now)
        data, sender = pair.sim.wait(there.submit(lambda now: there.try_recvfrom(100, now), SECOND, pair.now))
        assert (data, sender[0]) == (b"question", source)


def test_bound_to_one_version_it_sends_the_other_nowhere(pair: Pair) -> None:
    here = pair.a.datagram()
    here.bind(("0.0.0.0", 0), pair.now)
    with raises_errno("EAFNOSUPPORT"):
        here.try_sendto(b"x", (THERE6, 53), pair.now)


@pytest.mark.parametrize("version", [4, 6])
def test_the_wildcard_as_destination_is_this_host(pair: Pair, version: int) -> None:
    listen(pair.a, "")
    client = pair.a.stream(version)
    client.connect(("0.0.0.0" if version == 4 else "::", 80), pair.now)
    assert pair.sim.wait(client.submit(client.try_connected, SECOND, pair.now))
    assert client.getpeername() == ("127.0.0.1" if version == 4 else "::1", 80)


def test_an_udp_datagram_over_ipv6_needs_a_checksum() -> None:
    sim = Simulation(1)
    near, far = MemoryLink.pair(medium=Medium.IP)
    stack = sim.stack()
    stack.add_interface(near, f"{HERE6}/64")
    there = stack.datagram()
    there.bind(("", 53), 0)
    ip = wire.IPv6Header(THERE6, HERE6, 17)
    bare = wire.UDPHeader(5000, 53, 8 + 5, 0).to_bytes() + b"hello"
    far.send([Frame((wire.build(ip, bare),)), Frame((wire.build(ip, wire.UDPHeader(5000, 53), b"hello"),))], 0)
    stack.poll(0)
    assert there.try_recvfrom(100, 0) == (b"hello", (THERE6, 5000))
    assert there.try_recvfrom(100, 0) is None
    assert stack.counters["udp.no_checksum"] == 1


@pytest.mark.parametrize(("version", "mss"), [(4, 536), (6, 1220)])
def test_a_peer_that_names_no_mss_gets_its_version_s_default(version: int, mss: int) -> None:
    sim = Simulation(1)
    near, far = MemoryLink.pair(medium=Medium.IP)
    stack = sim.stack()
    here, there = HOSTS[version]
    stack.add_interface(near, f"{here}/{24 if version == 4 else 64}")
    server = listen(stack, "")
    ip = wire.IPv4Header(there, here, 6) if version == 4 else wire.IPv6Header(there, here, 6)
    octets = 20 if version == 4 else 40
    far.send([Frame((wire.build(ip, wire.TCPHeader(5000, 80, 9, 0, wire.TCPFlags.SYN, 65535)),))], 0)
    stack.poll(0)
    answer = wire.TCPHeader.from_bytes(far.receive(1, 0)[0].to_bytes()[octets:])
    ack = wire.TCPHeader(5000, 80, 10, answer.seq + 1, wire.TCPFlags.ACK, 65535)
    far.send([Frame((wire.build(ip, ack),))], 0)
    stack.poll(0)
    conn = server.try_accept(0)
    assert conn is not None
    assert conn.info().snd_mss == mss


def test_a_link_down_ends_what_was_bound_to_any_of_its_addresses(pair: Pair) -> None:
    bound = pair.a.datagram()
    bound.bind((HERE6, 53), pair.now)
    pair.link_a.close()
    pair.a.poll(pair.now)
    with raises_errno("ENETDOWN"):
        bound.try_recvfrom(10, pair.now)


def test_broadcast_permission_changes_nothing_for_groups(pair: Pair) -> None:
    there, here = pair.b.datagram(), pair.a.datagram()
    there.bind(("", 53), pair.now)
    here.try_sendto(b"everybody", ("ff02::1", 53), pair.now)
    data, sender = pair.sim.wait(there.submit(lambda now: there.try_recvfrom(100, now), SECOND, pair.now))
    assert (data, sender[0]) == (b"everybody", HERE6)
    assert here.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST) == 0
    with raises_errno("ENETUNREACH"):
        pair.a.stream().connect(("ff02::1", 80), pair.now)
