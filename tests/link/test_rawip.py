"""Raw IP beside the kernel: claimed ports are ours, everything else stays as if we were not there."""

import errno
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from pystack import wire
from pystack.errors import LinkDown
from pystack.link.base import Checksum, Claims, Frame, Link, Medium
from pystack.link.rawip import RawIPLink
from pystack.wire import TCPFlags
from tests.conftest import Cable, NetworkNamespace
from tests.link.by_hand import (
    CAP_NET_ADMIN,
    Caller,
    as_nobody,
    descriptors,
    frames_until,
    ip_of,
    layer_of,
    marks_of,
    next_frame,
    packet_of,
    sent,
    tcp_packet,
    udp_packet,
    without_capability,
)

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("netns")]

HERE = "127.0.0.1"
OWN = bytes((127, 0, 0, 1))
ANY = bytes(4)
TCP, UDP = 6, 17
PORT, MARKER = 20_000, 21_000  # below those that the kernel hands out by itself
CAP_NET_BIND_SERVICE = 10


@pytest.fixture
def link(netns: NetworkNamespace) -> Iterator[RawIPLink]:
    link = RawIPLink(HERE)
    yield link
    link.close()


def kernel_socket(kind: socket.SocketKind, address: str = HERE) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind((address, 0))
    sock.settimeout(10)
    if kind is socket.SOCK_STREAM:
        sock.listen()
    return sock


def port_of(sock: socket.socket) -> int:
    port: int = sock.getsockname()[1]
    return port


def nothing_waits(link: RawIPLink) -> bool:
    """Whether a datagram sent to ourselves now is the next to arrive."""
    marker = udp_packet(link.name, 9, link.name, MARKER, os.urandom(8))
    link.claim(UDP, ANY, MARKER)
    sent(link, marker)
    arrived = packet_of(link, next_frame(link))[20:] == marker[20:]
    link.release(UDP, ANY, MARKER)
    return arrived


def exactly(link: RawIPLink, number: int) -> list[Frame]:
    """The next frames, when there are so many and no more."""
    frames = frames_until(link, lambda frames: len(frames) == number)
    assert nothing_waits(link)
    return frames


def test_it_shares_the_kernels_address(link: RawIPLink) -> None:
    assert isinstance(link, Link)
    assert isinstance(link, Claims)
    assert str(link.address) == "127.0.0.1/8"
    assert link.capabilities.medium is Medium.IP
    assert link.capabilities.mtu == 65_535
    assert link.capabilities.shares_host
    assert link.capabilities.mac is None


def test_loopback_is_the_default_and_all_of_127_is_ours(netns: NetworkNamespace) -> None:
    for link, address in ((RawIPLink(), "127.0.0.1/8"), (RawIPLink("127.1.2.3"), "127.1.2.3/8")):
        assert str(link.address) == address
        link.close()


def test_address_and_mtu_of_another_interface(cable: Cable) -> None:
    cable.near.ip("addr add 192.0.2.2/24 dev near")
    cable.near.ip("link set near mtu 1400")
    link = RawIPLink("192.0.2.2")
    assert str(link.address) == "192.0.2.2/24"
    assert link.capabilities.mtu == 1400
    link.close()


def test_tcp_by_hand_to_a_kernel_listener_survives(link: RawIPLink) -> None:
    with kernel_socket(socket.SOCK_STREAM) as listener:
        link.claim(TCP, OWN, PORT)
        caller = Caller(link, HERE, HERE, PORT, port_of(listener))
        caller.connect()
        conn, peer = listener.accept()
        with conn:
            conn.settimeout(10)
            assert peer == (HERE, PORT)
            caller.send(TCPFlags.ACK | TCPFlags.PSH, b"request")
            assert conn.recv(100) == b"request"  # an RST of the kernel would have been first
            caller.seq += len(b"request")
            conn.sendall(b"response")
            _, header, payload = caller.receive()
            while not payload:  # the acknowledgment of the request
                _, header, payload = caller.receive()
            assert payload == b"response"
            caller.ack += len(payload)
            caller.send(TCPFlags.ACK | TCPFlags.FIN)
            assert conn.recv(100) == b""
        while not header.flags & TCPFlags.FIN:
            _, header, _ = caller.receive()
        assert header.ack == caller.seq + 1
    assert link.lost == 0


def test_without_a_claim_the_kernel_resets(link: RawIPLink) -> None:
    with kernel_socket(socket.SOCK_STREAM) as listener:
        syn = wire.TCPHeader(PORT, port_of(listener), seq=1000, flags=TCPFlags.SYN)
        sent(link, tcp_packet(HERE, HERE, syn))
        assert nothing_waits(link)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_kernel_client_meets_our_listener(link: RawIPLink) -> None:
    link.claim(TCP, ANY, PORT)
    with socket.socket() as client:
        client.setblocking(False)
        assert client.connect_ex((HERE, PORT)) == errno.EINPROGRESS
        syn = layer_of(link, next_frame(link), wire.TCPHeader)
        assert syn.flags & TCPFlags.SYN
        answer = wire.TCPHeader(PORT, syn.src_port, seq=7, ack=syn.seq + 1, flags=TCPFlags.SYN | TCPFlags.ACK)
        sent(link, tcp_packet(HERE, HERE, answer))
        client.settimeout(10)
        client.sendall(b"hello")
        layers = ip_of(link, next_frame(link, lambda octets: b"hello" in octets))
        assert layers[-1] == b"hello"


def test_a_kernel_client_is_refused_again_after_release(link: RawIPLink) -> None:
    link.claim(TCP, OWN, PORT)
    link.release(TCP, OWN, PORT)
    link.release(TCP, OWN, PORT)
    with socket.socket() as client:
        assert client.connect_ex((HERE, PORT)) == errno.ECONNREFUSED
    assert nothing_waits(link)


def test_udp_both_ways_until_release(link: RawIPLink) -> None:
    link.claim(UDP, OWN, PORT)
    with kernel_socket(socket.SOCK_DGRAM) as peer:
        sent(link, udp_packet(HERE, PORT, HERE, port_of(peer), b"ping"))
        assert peer.recvfrom(100) == (b"ping", (HERE, PORT))
        peer.connect((HERE, PORT))
        peer.send(b"pong")
        frame = next_frame(link)
        assert ip_of(link, frame)[-1] == b"pong"
        peer.send(b"no port unreachable came")
        next_frame(link)
        link.release(UDP, OWN, PORT)
        peer.send(b"who is there?")
        with pytest.raises(ConnectionRefusedError):
            peer.recv(100)
    assert nothing_waits(link)


def test_what_the_kernel_leaves_unfinished_on_loopback_is_marked(link: RawIPLink) -> None:
    link.claim(UDP, OWN, PORT)
    with kernel_socket(socket.SOCK_DGRAM) as peer:
        peer.sendto(b"hello", (HERE, PORT))
    frame = next_frame(link)
    marks = marks_of(frame)
    assert marks.checksum is Checksum.PARTIAL
    assert (marks.csum_start, marks.csum_offset) == (20, 6)
    sent(link, udp_packet(HERE, PORT, HERE, PORT, b"finished"))
    assert next_frame(link).offload is None


def test_large_packets_both_ways(link: RawIPLink) -> None:
    link.claim(UDP, OWN, PORT)
    data = os.urandom(65_000)
    with kernel_socket(socket.SOCK_DGRAM) as peer:
        packet = udp_packet(HERE, PORT, HERE, port_of(peer), data)
        assert link.send([Frame((packet[:28], packet[28:]))], 0) == 1
        assert peer.recv(70_000) == data
        peer.sendto(data, (HERE, PORT))
        assert ip_of(link, next_frame(link))[-1] == data


def test_strangers_are_neither_seen_nor_disturbed(link: RawIPLink) -> None:
    link.claim(TCP, OWN, PORT)
    link.claim(UDP, OWN, PORT)
    with kernel_socket(socket.SOCK_STREAM) as listener, socket.create_connection(listener.getsockname(), 10) as client:
        conn, _ = listener.accept()
        with conn:
            client.sendall(bytes(100_000))
            client.shutdown(socket.SHUT_WR)
            assert sum(iter(lambda: len(conn.recv(65536)), 0)) == 100_000
            conn.sendall(b"thanks")
        assert client.recv(100) == b"thanks"
    with kernel_socket(socket.SOCK_DGRAM) as one, kernel_socket(socket.SOCK_DGRAM) as other:
        one.sendto(b"hello", other.getsockname())
        assert other.recvfrom(100) == (b"hello", one.getsockname())
        port = port_of(other)
        other.close()
        one.connect((HERE, port))
        one.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):  # somebody else's port unreachable
            one.recv(100)
    assert nothing_waits(link)


@pytest.mark.requires("ping")
def test_the_kernels_ping_is_answered_once(netns: NetworkNamespace, link: RawIPLink) -> None:
    output = netns.run("ping", "-n", "-c", "3", "-i", "0.01", HERE)
    assert "3 received" in output
    assert "DUP" not in output
    assert nothing_waits(link)


def ping(identifier: int, sequence: int = 1) -> bytes:
    return wire.build(wire.IPv4Header(HERE, HERE), wire.ICMPv4Message.echo_request(identifier, sequence, b"data"))


def test_our_ping_is_answered_by_the_kernel(link: RawIPLink) -> None:
    sent(link, ping(7))
    reply = layer_of(link, next_frame(link), wire.ICMPv4Message)
    assert (reply.type, reply.code, reply.rest, reply.data) == (0, 0, 7 << 16 | 1, b"data")
    assert nothing_waits(link)


def test_a_ping_whose_header_is_a_buffer_of_its_own(link: RawIPLink) -> None:
    packet = ping(7)
    assert link.send([Frame((packet[:20], packet[20:]))], 0) == 1
    assert layer_of(link, next_frame(link), wire.ICMPv4Message).rest == 7 << 16 | 1


def test_the_latest_pings_are_remembered(link: RawIPLink) -> None:
    other = RawIPLink(HERE)
    for identifier in range(65):
        sent(link, ping(identifier))
    exactly(link, 64)
    sent(other, ping(0), ping(64))
    assert [reply.to_bytes()[24:26] for reply in exactly(link, 1)] == [b"\0\x40"]
    other.close()


def test_errors_about_our_packets_arrive(link: RawIPLink) -> None:
    with kernel_socket(socket.SOCK_DGRAM) as closed:
        nobody = port_of(closed)
    link.claim(UDP, OWN, PORT)
    sent(link, udp_packet(HERE, PORT, HERE, nobody, b"anybody?"))
    error = layer_of(link, next_frame(link), wire.ICMPv4Message)
    assert (error.type, error.code) == (wire.ICMPv4Type.UNREACHABLE, wire.UnreachableCode.PORT)
    sent(link, udp_packet(HERE, PORT + 1, HERE, nobody, b"from a port that is not ours"))
    assert nothing_waits(link)


@pytest.mark.parametrize(
    ("quote", "seen"),
    [
        (udp_packet(HERE, PORT, "192.0.2.9", 9, b""), True),
        (udp_packet("127.0.0.2", PORT, "192.0.2.9", 9, b""), False),
        (tcp_packet(HERE, "192.0.2.9", wire.TCPHeader(PORT, 9))[:28], False),  # that port is claimed for UDP only
        (udp_packet(HERE, PORT, "192.0.2.9", 9, b"")[:27], False),
        (ping(7), True),
        (ping(8), False),
        (wire.build(wire.IPv4Header(HERE, HERE), wire.ICMPv4Message.echo_reply(7, 1)), False),
        (wire.build(wire.IPv4Header(HERE, HERE, protocol=132), bytes(8)), False),
        (b"", False),
        (bytes(28), False),
    ],
)
def test_an_error_must_quote_what_we_may_have_sent(link: RawIPLink, quote: bytes, seen: bool) -> None:
    link.claim(UDP, OWN, PORT)
    sent(link, ping(7))
    next_frame(link)
    error = wire.ICMPv4Message.unreachable(wire.UnreachableCode.HOST, quote)
    sent(link, wire.build(wire.IPv4Header(HERE, HERE), error))
    exactly(link, int(seen))


@pytest.mark.parametrize("octets", [0, 1, 4, 7])
def test_icmp_too_short_for_its_header_is_passed_over(link: RawIPLink, octets: int) -> None:
    sent(link, wire.build(wire.IPv4Header(HERE, HERE, protocol=1), bytes(octets)), ping(7))
    reply = layer_of(link, next_frame(link), wire.ICMPv4Message)
    assert (reply.type, reply.data) == (wire.ICMPv4Type.ECHO_REPLY, b"data")
    assert nothing_waits(link)


def test_between_two_claimed_ports_each_packet_is_seen_once(link: RawIPLink) -> None:
    for port in (PORT, PORT + 1):
        link.claim(TCP, OWN, port)
    there = tcp_packet(HERE, HERE, wire.TCPHeader(PORT, PORT + 1, flags=TCPFlags.SYN))
    back = tcp_packet(HERE, HERE, wire.TCPHeader(PORT + 1, PORT, flags=TCPFlags.SYN | TCPFlags.ACK))
    sent(link, there, back)
    seen = [layer_of(link, frame, wire.TCPHeader) for frame in exactly(link, 2)]
    assert [(header.src_port, header.dst_port) for header in seen] == [(PORT, PORT + 1), (PORT + 1, PORT)]


def test_what_waited_before_a_release_is_dropped(link: RawIPLink) -> None:
    link.claim(UDP, OWN, PORT)
    sent(link, udp_packet(HERE, 9, HERE, PORT, b"late"))
    link.release(UDP, OWN, PORT)
    assert nothing_waits(link)


def test_busy_sockets_take_turns(link: RawIPLink) -> None:
    link.claim(UDP, OWN, PORT)
    link.claim(TCP, OWN, PORT)
    for _ in range(10):
        sent(link, udp_packet(HERE, 9, HERE, PORT, b""))
        sent(link, tcp_packet(HERE, HERE, wire.TCPHeader(9, PORT, flags=TCPFlags.RST)))
    sent(link, ping(1))
    poller = select.poll()
    for sock in (link._icmp, *(ports.socket for ports in link._ports.values())):
        poller.register(sock, select.POLLIN)
    while len(poller.poll(10_000)) < 3:
        pass
    assert {packet_of(link, frame)[9] for frame in link.receive(3, 0)} == {1, TCP, UDP}
    exactly(link, 18)


def test_many_ports_come_and_go(link: RawIPLink) -> None:
    ports = range(PORT, PORT + 50)
    with kernel_socket(socket.SOCK_DGRAM) as peer:
        for port in ports:
            link.claim(UDP, OWN, port)
        for port in ports[::2]:
            link.release(UDP, OWN, port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heir:
            heir.bind((HERE, PORT))  # it was given back
            for port in ports:
                peer.sendto(port.to_bytes(2, "big"), (HERE, port))
            arrived = [ip_of(link, frame)[-1] for frame in exactly(link, 25)]
            assert arrived == [port.to_bytes(2, "big") for port in ports[1::2]]


def test_a_claimed_port_is_nobody_elses(link: RawIPLink) -> None:
    other = RawIPLink(HERE)
    link.claim(TCP, OWN, PORT)
    link.claim(TCP, ANY, PORT)  # ours already
    for address in (HERE, ""):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                sock.bind((address, PORT))
    with pytest.raises(OSError, match="in use"):
        other.claim(TCP, OWN, PORT)
    other.claim(UDP, OWN, PORT)
    link.close()
    other.claim(TCP, OWN, PORT)
    other.close()


@pytest.mark.parametrize(("protocol", "kind"), [(TCP, socket.SOCK_STREAM), (UDP, socket.SOCK_DGRAM)])
@pytest.mark.parametrize("address", [HERE, "0.0.0.0"])
def test_a_port_of_the_kernels_cannot_be_claimed(
    link: RawIPLink, protocol: int, kind: socket.SocketKind, address: str
) -> None:
    with kernel_socket(kind, address) as owner:
        before = descriptors()
        with pytest.raises(OSError, match=f"port {port_of(owner)} of 127.0.0.1 in use") as caught:
            link.claim(protocol, OWN, port_of(owner))
        assert caught.value.errno == errno.EADDRINUSE
        assert descriptors() == before
    link.claim(protocol, OWN, PORT)


def test_a_port_where_a_kernel_server_has_connections_cannot_be_claimed(link: RawIPLink) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HERE, 0))
        listener.listen()
        port = port_of(listener)
        client = socket.create_connection((HERE, port), 10)
        conn, _ = listener.accept()
    with client, conn, pytest.raises(OSError, match="in use"):
        link.claim(TCP, OWN, port)


@pytest.mark.parametrize(
    ("protocol", "address", "code"),
    [
        (TCP, bytes((127, 0, 0, 2)), errno.EADDRNOTAVAIL),
        (1, OWN, errno.EPROTONOSUPPORT),
        (99, OWN, errno.EPROTONOSUPPORT),
    ],
)
def test_a_claim_that_makes_no_sense(link: RawIPLink, protocol: int, address: bytes, code: int) -> None:
    with pytest.raises(OSError, match=r".+") as caught:
        link.claim(protocol, address, PORT)
    assert caught.value.errno == code


def test_privileged_ports_need_privilege(link: RawIPLink) -> None:
    with (
        without_capability(CAP_NET_BIND_SERVICE),
        pytest.raises(PermissionError, match="port 80 needs root or CAP_NET_BIND_SERVICE"),
    ):
        link.claim(TCP, OWN, 80)
    link.claim(TCP, OWN, 80)


def test_cap_net_raw_is_enough(netns: NetworkNamespace) -> None:
    with without_capability(CAP_NET_ADMIN):
        link = RawIPLink(HERE)
    sent(link, ping(7))
    assert layer_of(link, next_frame(link), wire.ICMPv4Message).type == wire.ICMPv4Type.ECHO_REPLY
    link.close()


def test_another_address_of_the_machine_reached_from_within(cable: Cable) -> None:
    cable.near.ip("addr add 192.0.2.2/24 dev near")
    link = RawIPLink("192.0.2.2")
    link.claim(UDP, link.address.packed, PORT)
    for source in ("192.0.2.2", HERE, "0.0.0.0"):
        with kernel_socket(socket.SOCK_DGRAM, source) as peer:
            peer.sendto(source.encode(), ("192.0.2.2", PORT))
        frame = next_frame(link)
        assert marks_of(frame).checksum is Checksum.PARTIAL
        assert ip_of(link, frame)[-1] == source.encode()
    link.close()


def opened_call(cable: Cable, far_options: str = "") -> tuple[RawIPLink, Caller, socket.socket]:
    """A raw link on the near end of the cable, in the middle of a connection to the far kernel."""
    for namespace, name, address in ((cable.near, "near", "192.0.2.2"), (cable.far, "far", "192.0.2.1")):
        namespace.ip(f"addr add {address}/24 dev {name}")
    link = RawIPLink("192.0.2.2")
    link.claim(TCP, ANY, PORT)
    with cable.far:
        listener = socket.socket()
    with listener:
        listener.bind(("192.0.2.1", 0))
        listener.settimeout(10)
        listener.listen()
        caller = Caller(link, "192.0.2.2", "192.0.2.1", PORT, port_of(listener))
        caller.connect()
        return link, caller, listener.accept()[0]


@pytest.mark.requires("ethtool")
def test_from_elsewhere_with_checksums_as_on_a_wire(cable: Cable) -> None:
    cable.far.run("ethtool", "-K", "far", "tx", "off")
    link, caller, conn = opened_call(cable)
    with conn:
        conn.sendall(b"hello")
        frame, _, payload = caller.receive()
        assert (payload, frame.offload) == (b"hello", None)
    link.close()


@pytest.mark.requires("ethtool")
def test_packets_that_the_kernel_has_merged(cable: Cable) -> None:
    cable.far.run("ethtool", "-K", "far", "tx", "off", "tso", "off", "gso", "off")
    cable.near.run("ethtool", "-K", "near", "gro", "on")
    link, caller, conn = opened_call(cable)
    data = os.urandom(14_000)  # within the kernel's first window
    received, sizes = b"", []
    with conn:
        conn.sendall(data)
        while len(received) < len(data):
            frame, _, payload = caller.receive()
            assert (frame.offload is not None) == (len(frame) > 1500)
            received += payload
            caller.ack += len(payload)
            sizes.append(len(frame))
            caller.send(TCPFlags.ACK)
        caller.send(TCPFlags.RST)
    assert received == data
    assert max(sizes) > 1500
    link.close()


def test_full_is_no_error_and_room_wakes(cable: Cable) -> None:
    cable.near.ip("addr add 192.0.2.2/24 dev near")
    link = RawIPLink("192.0.2.2")
    link._sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10_000)
    frames = [Frame((udp_packet("192.0.2.2", PORT, "192.0.2.9", 9, bytes(1400)),))] * 50
    poller = select.poll()
    poller.register(link.fileno(), select.POLLIN)
    taken = link.send(frames, 0)  # nobody answers for 192.0.2.9, so they wait for its MAC address
    assert 0 < taken < len(frames)
    assert link.send(frames[taken:], 0) == 0
    assert poller.poll(0) == []
    cable.near.ip("neigh replace 192.0.2.9 lladdr 02:00:00:00:00:09 dev near")
    assert poller.poll(10_000)
    assert nothing_waits(link)
    assert link.send(frames[:1], 0) == 1
    assert poller.poll(0) == []
    assert link.lost == 0
    link.close()


def test_what_the_kernel_will_not_send_is_lost(cable: Cable) -> None:
    cable.near.ip("addr add 192.0.2.2/24 dev near")
    link = RawIPLink("192.0.2.2")
    unroutable = udp_packet("192.0.2.2", PORT, "203.0.113.1", 9, b"")
    oversize = udp_packet("192.0.2.2", PORT, "192.0.2.1", 9, bytes(3000))
    sent(link, unroutable, oversize)
    assert link.lost == 2
    link.close()


def test_claims_are_safe_beside_a_sending_thread(link: RawIPLink) -> None:
    """Not at once, as the contract says, but from whichever thread has the turn."""
    thread = threading.Thread(target=link.claim, args=(UDP, OWN, PORT))
    thread.start()
    thread.join()
    sent(link, udp_packet(HERE, 9, HERE, PORT, b"hello"))
    assert ip_of(link, next_frame(link))[-1] == b"hello"


def test_nothing_is_left_behind(netns: NetworkNamespace) -> None:
    before = descriptors()
    link = RawIPLink(HERE)
    link.claim(TCP, OWN, PORT)
    link.claim(UDP, OWN, PORT)
    assert not os.get_inheritable(link.fileno())
    link.close()
    link.close()
    assert descriptors() == before
    assert link.fileno() == -1
    for use in (lambda: link.send([], 0), lambda: link.receive(64, 0), lambda: link.claim(TCP, OWN, PORT)):
        with pytest.raises(LinkDown, match="closed"):
            use()
    link.release(TCP, OWN, PORT)


def refused(construct: Callable[[], RawIPLink]) -> OSError:
    """The error of a construction that must fail, and leave nothing open."""
    before = descriptors()
    with pytest.raises(OSError, match=r".+") as caught:
        construct()
    assert descriptors() == before
    return caught.value


def test_an_address_of_somebody_else() -> None:
    error = refused(lambda: RawIPLink("192.0.2.77"))
    assert error.errno == errno.EADDRNOTAVAIL
    assert "192.0.2.77 is not an address of this machine" in str(error)


@pytest.mark.parametrize("text", ["::1", "localhost", "127.0.0.1/8"])
def test_what_is_no_ipv4_address(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        RawIPLink(text)


def test_without_root() -> None:
    with as_nobody():
        error = refused(RawIPLink)
    assert isinstance(error, PermissionError)
    assert "raw IP sockets need root or CAP_NET_RAW" in str(error)
