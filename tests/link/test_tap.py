"""TAP and TUN against the kernel: frames both ways, and nothing left behind."""

import errno
import os
import select
import socket
import subprocess
import sys
from typing import Any

import pytest

from pystack import wire
from pystack.errors import LinkDown
from pystack.link import tap
from pystack.link.base import Claims, Frame, Link, Medium
from pystack.link.netlink import RouteSocket
from pystack.link.tap import TapLink, TunLink
from tests.conftest import NetworkNamespace
from tests.link.by_hand import (
    answer_arp,
    as_nobody,
    descriptors,
    ip_of,
    layer_of,
    next_frame,
    own_mac,
    sent,
    udp_packet,
)

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("netns")]

KERNEL, OURS, HOST = "192.0.2.1", "192.0.2.2", "192.0.2.1/24"

BOTH = pytest.mark.parametrize("kind", [TapLink, TunLink])


def udp_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((KERNEL, 0))
    sock.settimeout(10)
    return sock


def interfaces() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def addresses(name: str) -> list[str]:
    with RouteSocket() as route:
        index = route.link(name).index
        return [str(address) for owner, address in route.addresses() if owner == index]


def is_up(name: str) -> bool:
    with RouteSocket() as route:
        return route.link(name).up


def is_ip(octets: bytes) -> bool:
    return octets[12:14] == b"\x08\x00"


def test_it_is_a_link_that_shares_nothing_with_the_kernel() -> None:
    with_mac, without = TapLink(), TunLink()
    for link in (with_mac, without):
        assert isinstance(link, Link)
        assert not isinstance(link, Claims)
        assert not link.capabilities.shares_host
        assert link.next_arrival() is None
        link.set_waker(None)
        link.close()
    assert with_mac.capabilities.medium is Medium.ETHERNET
    assert without.capabilities.medium is Medium.IP
    assert without.capabilities.mac is None


def test_arp_answered_by_hand_lets_the_kernel_send(netns: NetworkNamespace) -> None:
    link = TapLink("tap0", host_address=HOST)
    with udp_socket() as sock:
        sock.sendto(b"hello", (OURS, 7))
        asker = answer_arp(link, OURS)
        frame = next_frame(link, is_ip)
    assert asker.octets == frame.to_bytes()[6:12]
    assert frame.to_bytes()[:6] == own_mac(link).octets
    header = layer_of(link, frame, wire.IPv4Header)
    assert (str(header.src), str(header.dst)) == (KERNEL, OURS)
    assert layer_of(link, frame, wire.UDPHeader).dst_port == 7
    assert layer_of(link, frame, bytes) == b"hello"
    assert f"{OURS} dev tap0 lladdr {link.capabilities.mac}" in netns.ip("neigh show")
    link.close()


def test_a_frame_of_many_buffers_reaches_the_kernels_socket(netns: NetworkNamespace) -> None:
    link = TapLink("tap0", host_address=HOST)
    (host_mac,) = (line.split()[1] for line in netns.ip("link show tap0").splitlines() if "link/ether" in line)
    with udp_socket() as sock:
        packet = udp_packet(OURS, 9, KERNEL, sock.getsockname()[1], bytes(range(256)) * 5)
        octets = wire.EthernetHeader(host_mac, own_mac(link), 0x0800).to_bytes() + packet
        whole = Frame((octets,))
        few = Frame((octets[:42], memoryview(octets)[42:500], bytearray(octets[500:])))
        countless = Frame(tuple(octets[at : at + 1] for at in range(len(octets))))
        assert link.send([whole, few, countless], 0) == 3
        assert [sock.recvfrom(2000) for _ in range(3)] == [(bytes(range(256)) * 5, (OURS, 9))] * 3
    assert link.lost == 0
    link.close()


def test_tun_carries_bare_packets_both_ways() -> None:
    link = TunLink("tun0", host_address=HOST)
    with udp_socket() as sock:
        sent(link, udp_packet(OURS, 9, KERNEL, sock.getsockname()[1], b"ping"))
        assert sock.recvfrom(100) == (b"ping", (OURS, 9))
        sock.sendto(b"pong", (OURS, 9))
        frame = next_frame(link)
    assert layer_of(link, frame, wire.UDPHeader).dst_port == 9
    assert layer_of(link, frame, bytes) == b"pong"
    link.close()


@BOTH
def test_it_is_there_while_open_and_gone_when_closed(kind: type[TapLink | TunLink]) -> None:
    before = descriptors()
    link = kind("made0", host_address=HOST)
    assert addresses("made0") == [HOST]
    assert is_up("made0")
    assert not os.get_inheritable(link.fileno())
    link.close()
    link.close()
    assert link.fileno() == -1
    assert "made0" not in interfaces()
    assert descriptors() == before


@BOTH
def test_the_kernel_chooses_a_name(kind: type[TapLink | TunLink]) -> None:
    first, second = kind(), kind()
    assert {first.name, second.name} <= interfaces()
    assert first.name != second.name
    assert is_up(first.name)
    first.close()
    second.close()


def test_a_new_device_says_nothing_by_itself() -> None:
    link = TapLink("tap0", host_address=HOST)
    assert addresses("tap0") == [HOST]  # no link-local address: nothing to solicit or report with
    assert link.receive(64, 0) == []
    link.close()


def test_the_kernels_side_may_be_ipv6() -> None:
    link = TunLink("tun0", host_address="2001:db8::1/64")
    assert "2001:db8::1/64" in addresses("tun0")
    link.close()


@pytest.mark.parametrize(("kind", "mode"), [(TapLink, "tap"), (TunLink, "tun")])
def test_a_persistent_device_is_left_as_it_was(
    netns: NetworkNamespace, kind: type[TapLink | TunLink], mode: str
) -> None:
    netns.ip(f"tuntap add dev old0 mode {mode}")
    netns.ip("link set old0 mtu 1400")
    netns.ip("addr add 198.51.100.1/24 dev old0")
    link = kind("old0", host_address=HOST, mtu=1300)
    assert link.capabilities.mtu == 1300
    assert HOST in addresses("old0")
    assert is_up("old0")
    link.close()
    assert addresses("old0") == ["198.51.100.1/24"]
    assert not is_up("old0")
    with RouteSocket() as route:
        assert route.link("old0").mtu == 1400


def test_what_a_persistent_device_had_already_stays(netns: NetworkNamespace) -> None:
    netns.ip("tuntap add dev old0 mode tap")
    netns.ip(f"addr add {HOST} dev old0")
    netns.ip("link set old0 up")
    TapLink("old0", host_address=HOST).close()
    assert HOST in addresses("old0")
    assert is_up("old0")


def test_a_persistent_device_may_vanish_meanwhile(netns: NetworkNamespace) -> None:
    netns.ip("tuntap add dev old0 mode tap")
    link = TapLink("old0", host_address=HOST)
    netns.ip("link del old0")
    link.close()


@BOTH
def test_mtu(kind: type[TapLink | TunLink]) -> None:
    link = kind("made0")
    assert link.capabilities.mtu == 1500
    link.close()
    link = kind("made0", host_address=HOST, mtu=9000)
    assert link.capabilities.mtu == 9000
    with udp_socket() as sock:
        sock.sendto(bytes(8000), (OURS, 9))
        if link.capabilities.mac:
            answer_arp(link, OURS)
        assert ip_of(link, next_frame(link, lambda octets: len(octets) > 1500))[-1] == bytes(8000)
    link.close()
    before = descriptors()
    with pytest.raises(OSError, match="cannot have an MTU of 70000 octets") as caught:
        kind("made0", mtu=70000)
    assert caught.value.errno == errno.EINVAL
    assert descriptors() == before
    assert "made0" not in interfaces()


def test_the_stacks_mac_is_random_unless_given() -> None:
    links = [TapLink(), TapLink(), TapLink(mac="02:00:00:00:00:99")]
    first, second, third = map(own_mac, links)
    assert first != second
    assert first.is_local
    assert not first.is_multicast
    assert str(third) == "02:00:00:00:00:99"
    for link in links:
        link.close()


def test_a_budget_is_kept(netns: NetworkNamespace) -> None:
    link = TunLink("tun0", host_address=HOST)
    with udp_socket() as sock:
        for number in range(5):
            sock.sendto(bytes([number]), (OURS, 9))
    assert [len(link.receive(2, 0)) for _ in range(4)] == [2, 2, 1, 0]
    link.close()


@BOTH
def test_an_interface_that_is_down_is_a_pulled_cable(netns: NetworkNamespace, kind: type[TapLink | TunLink]) -> None:
    link = kind("made0", host_address=HOST)
    frame = bytes(12) + b"\x88\xb5" + bytes(46) if kind is TapLink else udp_packet(OURS, 1, KERNEL, 1, b"")
    netns.ip("link set made0 down")
    sent(link, frame, frame)
    assert link.lost == 2
    assert link.receive(64, 0) == []
    netns.ip("link set made0 up")
    sent(link, frame)
    assert link.lost == 2
    link.close()


@BOTH
@pytest.mark.parametrize("use", ["send", "receive"])
def test_an_interface_that_is_deleted_is_link_down_once(
    netns: NetworkNamespace, kind: type[TapLink | TunLink], use: str
) -> None:
    link = kind("made0")
    frame = Frame((bytes(60),))
    netns.ip("link del made0")
    poller = select.poll()
    poller.register(link.fileno(), select.POLLIN)
    assert poller.poll(10_000)  # whoever waits for the descriptor learns of it
    with pytest.raises(LinkDown, match="made0 is gone") as caught:
        link.send([frame], 0) if use == "send" else link.receive(64, 0)
    assert caught.value.errno == errno.ENETDOWN
    assert link.send([frame, frame], 0) == 2
    assert link.receive(64, 0) == []
    link.close()


@BOTH
def test_a_closed_link_is_down(kind: type[TapLink | TunLink]) -> None:
    link = kind()
    link.close()
    with pytest.raises(LinkDown, match="closed"):
        link.send([Frame((bytes(60),))], 0)
    with pytest.raises(LinkDown, match="closed"):
        link.receive(64, 0)


def test_a_malformed_frame_is_lost_alone() -> None:
    link = TapLink(host_address=HOST)
    sent(link, b"short", bytes(60))
    assert link.lost == 1
    link.close()


def refused(kind: type[TapLink | TunLink], name: str, **options: Any) -> OSError:
    """The error of a construction that must fail, and leave nothing open."""
    before = descriptors()
    with pytest.raises(OSError, match=r".+") as caught:
        kind(name, **options)
    assert descriptors() == before
    return caught.value


def test_a_device_in_use() -> None:
    script = "from pystack.link.tap import TapLink; link = TapLink('tap0'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        error = refused(TapLink, "tap0")
        owner.communicate("\n")
    assert error.errno == errno.EBUSY
    assert "tap0 is in use by another process" in str(error)


@pytest.mark.parametrize("name", ["lo", "a/b", "old0"])
def test_a_name_that_cannot_be(netns: NetworkNamespace, name: str) -> None:
    netns.ip("tuntap add dev old0 mode tun")
    error = refused(TapLink, name)
    assert error.errno == errno.EINVAL
    assert "not a TAP device" in str(error)


def test_a_name_too_long() -> None:
    assert refused(TapLink, "a" * 16).errno == errno.ENAMETOOLONG


def test_an_address_that_is_none() -> None:
    before = descriptors()
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 interface"):
        TapLink(host_address="192.0.2.300/24")
    assert descriptors() == before


def test_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    device = tap._open_device("TAP")  # anybody may open it on many systems, not on all
    monkeypatch.setattr(tap, "_open_device", lambda kind: os.dup(device))
    with as_nobody():
        error = refused(TapLink, "tap0")
    assert isinstance(error, PermissionError)
    assert error.errno == errno.EPERM
    assert "TAP needs root or CAP_NET_ADMIN" in str(error)
    assert "ip tuntap add dev tap0 mode tap user" in str(error)
    os.close(device)


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [(errno.EACCES, PermissionError, "TUN needs root"), (errno.ENOENT, FileNotFoundError, "modprobe tun")],
)
def test_without_the_device(monkeypatch: pytest.MonkeyPatch, code: int, kind: type[OSError], hint: str) -> None:
    def absent(*arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", absent)
    with pytest.raises(kind, match=hint):
        TunLink()


def test_a_device_prepared_by_root_needs_no_privilege(netns: NetworkNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    netns.ip("tuntap add dev mine0 mode tun user 65534")
    netns.ip(f"addr add {HOST} dev mine0")
    netns.ip("link set mine0 addrgenmode none up")
    device = tap._open_device("TUN")
    monkeypatch.setattr(tap, "_open_device", lambda kind: device)
    with as_nobody():
        link = TunLink("mine0", host_address=HOST)
        with udp_socket() as sock:
            sock.sendto(b"hello", (OURS, 9))
        assert ip_of(link, next_frame(link))[-1] == b"hello"
        link.close()
    assert HOST in addresses("mine0")


def test_changing_a_device_prepared_by_root_needs_the_privilege(
    netns: NetworkNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    netns.ip("tuntap add dev mine0 mode tun user 65534")
    device = tap._open_device("TUN")
    monkeypatch.setattr(tap, "_open_device", lambda kind: os.dup(device))
    with as_nobody():
        error = refused(TunLink, "mine0", host_address=HOST)
    assert "changing mine0 needs root or CAP_NET_ADMIN" in str(error)
    os.close(device)
