"""IPv6 as a `Host` shows it: addresses, names that choose the family, echo."""

import errno
import socket
from collections.abc import Iterator

import pytest

from pystack.errors import LinkDown
from pystack.link.base import Medium
from pystack.link.memory import MemoryLink
from pystack.sockets.host import Host
from tests.sockets.still import PATIENCE

NAMES = {"both.example": "192.0.2.2", "six.example": "2001:db8::2"}


@pytest.fixture
def pair() -> Iterator[tuple[Host, Host]]:
    """Hosts with an address of both versions."""
    left, right = MemoryLink.pair(medium=Medium.IP)
    with (
        Host(left, address=["192.0.2.1/24", "2001:db8::1/64"], hosts=NAMES) as a,
        Host(right, address=("2001:db8::2/64", "192.0.2.2/24"), gateway=("2001:db8::1", "192.0.2.1")) as b,
    ):
        yield a, b


def reaches(client: Host, server: Host, host: str, *, at: str = "", **options: bool) -> str:
    """The name by which `client` knows what it has reached when it connects to `host`."""
    with server.create_server((at, 0), family=socket.AF_INET6, **options) as listener:
        listener.settimeout(PATIENCE)
        with client.create_connection((host, listener.getsockname()[1]), PATIENCE) as near:
            listener.accept()[0].close()
            return str(near.getpeername()[0])


def test_one_ipv6_address_is_enough() -> None:
    left, right = MemoryLink.pair(medium=Medium.IP)
    with Host(left, address="2001:db8::1/64") as a, Host(right, address="2001:db8::2/64", gateway="2001:db8::1") as b:
        assert reaches(a, b, "2001:db8::2") == "2001:db8::2"
        assert b.ping("2001:db8::1", timeout=PATIENCE) > 0
        with pytest.raises(OSError) as caught:  # noqa: PT011 (the errno is the test)
            a.create_connection(("192.0.2.2", 80))
        assert caught.value.errno == errno.ENETUNREACH


@pytest.mark.parametrize(
    "target", ["2001:db8::2", "192.0.2.2", "six.example", "both.example", "::ffff:192.0.2.2", "::1"]
)
def test_ping_goes_to_either_version(pair: tuple[Host, Host], target: str) -> None:
    assert pair[0].ping(target, timeout=PATIENCE) > 0


def test_the_address_chooses_the_family(pair: tuple[Host, Host]) -> None:
    a, b = pair
    assert reaches(a, b, "2001:db8::2") == "2001:db8::2"
    assert reaches(a, b, "six.example") == "2001:db8::2"
    assert reaches(a, b, "both.example", dualstack_ipv6=True) == "192.0.2.2"
    assert reaches(a, b, "::ffff:192.0.2.2", dualstack_ipv6=True) == "::ffff:192.0.2.2"


def test_a_host_talks_to_itself(pair: tuple[Host, Host]) -> None:
    host = pair[0]
    assert reaches(host, host, "::1") == "::1"
    assert reaches(host, host, "::1", at="::1") == "::1"
    assert reaches(host, host, "2001:db8::1") == "2001:db8::1"


def test_each_address_of_a_name_is_tried(pair: tuple[Host, Host]) -> None:
    """Nobody listens at 127.0.0.1, so localhost is ::1."""
    assert reaches(pair[0], pair[0], "localhost") == "::1"


def test_a_source_address_decides_too(pair: tuple[Host, Host]) -> None:
    a, b = pair
    with b.create_server(("", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
        with a.create_connection(("2001:db8::2", port), PATIENCE, source_address=("2001:db8::1", 0)) as near:
            assert near.getsockname()[0] == "2001:db8::1"
        with pytest.raises(socket.gaierror):
            a.create_connection(("2001:db8::2", port), PATIENCE, source_address=("192.0.2.1", 0))


def test_addresses_can_be_added_later(pair: tuple[Host, Host]) -> None:
    a, b = pair
    b.add_address("2001:db8::7/64")
    b.add_address("192.0.2.7/24")
    assert a.ping("2001:db8::7", timeout=PATIENCE) > 0
    assert a.ping("192.0.2.7", timeout=PATIENCE) > 0
    with pytest.raises(OSError) as caught:  # noqa: PT011 (the errno is the test)
        b.add_address("2001:db8::7/64")
    assert caught.value.errno == errno.EADDRINUSE


def test_with_several_links_the_address_needs_one() -> None:
    first, far = MemoryLink.pair(medium=Medium.IP)
    second, other_far = MemoryLink.pair(medium=Medium.IP)
    with Host(first, second) as host, Host(far, address="2001:db8::2/64") as peer:
        for link in (None, other_far):
            with pytest.raises(ValueError, match="link="):
                host.add_address("2001:db8::1/64", link=link)
        host.add_address("2001:db8::1/64", link=first)
        assert peer.ping("2001:db8::1", timeout=PATIENCE) > 0
    other_far.close()


@pytest.mark.parametrize(
    ("addresses", "gateway", "kind"),
    [
        (("192.0.2.1/24", "192.0.2.1/24"), None, OSError),
        (("192.0.2.1/24", "no address"), None, ValueError),
        (("192.0.2.1/24", "ff02::1/64"), None, ValueError),
        (("192.0.2.1/24",), ("192.0.2.2", "2001:db8::2"), ValueError),
    ],
)
def test_all_addresses_or_none(
    addresses: tuple[str, ...], gateway: tuple[str, ...] | None, kind: type[Exception]
) -> None:
    link, far = MemoryLink.pair(medium=Medium.IP)
    with Host() as host:
        with pytest.raises(kind):
            host.add_link(link, address=addresses, gateway=gateway)
        assert repr(host) == "<pystack.Host lo>"
        host.add_link(link, address="192.0.2.1/24")
    with pytest.raises(LinkDown):
        link.send((), 0)
    far.close()


def test_ethernet_says_that_it_carries_no_ipv6_yet() -> None:
    link, far = MemoryLink.pair()
    with pytest.raises(OSError, match="neighbour discovery"):
        Host(link, address=("192.0.2.1/24", "2001:db8::1/64"))
    far.close()


def test_repr_shows_mapped_addresses(pair: tuple[Host, Host]) -> None:
    a, b = pair
    with b.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        assert "family=AF_INET6" in repr(listener)
        assert "laddr=('::', " in repr(listener)
        with a.create_connection(("::ffff:192.0.2.2", listener.getsockname()[1]), PATIENCE) as near:
            assert "raddr=('::ffff:192.0.2.2', " in repr(near)
