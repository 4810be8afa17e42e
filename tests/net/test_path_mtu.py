"""Path MTU discovery (RFC 1191), believed only as far as RFC 5927 allows."""

import errno

import pytest

from pystack.link.base import Medium
from pystack.net.config import NetConfig
from pystack.net.pathmtu import PLATEAUS, plateau_below
from pystack.units import SECOND
from pystack.wire.icmpv4 import ICMPv4Message, UnreachableCode
from pystack.wire.ipv4 import IPv4Header
from pystack.wire.packet import build
from tests.net.harness import OURS, Bench, octets

FAR = "203.0.113.9"
ROUTER = "203.0.113.1"
NEEDED = UnreachableCode.FRAGMENTATION_NEEDED


@pytest.fixture
def bench() -> Bench:
    return Bench(Medium.IP)


def too_big(bench: Bench, mtu: int, size: int = 1500) -> None:
    """A router's answer to a packet of `size` octets from us."""
    quoted = build(IPv4Header(OURS, FAR, 17), bytes(size - 20))[:28]
    message = ICMPv4Message.unreachable(NEEDED, quoted, mtu)
    bench.inject(build(IPv4Header(ROUTER, OURS), message))


def mtu(bench: Bench, dst: str = FAR) -> int:
    return bench.network.path(octets(dst)).mtu


def test_the_claim_is_told_and_believed_only_when_the_flow_says_so(bench: Bench) -> None:
    too_big(bench, 1280)
    (error,) = bench.node.errors
    assert (error.errno, error.hard, error.mtu) == (errno.EMSGSIZE, False, 1280)
    assert mtu(bench) == 1500
    path = bench.network.path(octets(FAR))
    assert bench.network.lower_path_mtu(error.dst, 1280, 0)
    assert (mtu(bench), path.mtu) == (1280, 1280)


def test_other_destinations_keep_theirs(bench: Bench) -> None:
    bench.network.lower_path_mtu(octets(FAR), 1280, 0)
    assert mtu(bench, "203.0.113.10") == 1500


def test_what_exceeds_the_lowered_mtu_is_refused(bench: Bench) -> None:
    bench.network.lower_path_mtu(octets(FAR), 600, 0)
    bench.node.send_udp(FAR, bytes(572))
    with pytest.raises(OSError, match="601 octets") as caught:
        bench.node.send_udp(FAR, bytes(573))
    assert caught.value.errno == errno.EMSGSIZE


def test_it_is_never_raised_by_a_message(bench: Bench) -> None:
    assert bench.network.lower_path_mtu(octets(FAR), 1000, 0)
    assert not bench.network.lower_path_mtu(octets(FAR), 1400, 0)
    assert not bench.network.lower_path_mtu(octets(FAR), 9000, 0)
    assert mtu(bench) == 1000
    assert bench.counters["pathmtu.ignored"] == 2


@pytest.mark.parametrize("claim", [0, 68, 551])
def test_claims_below_552_are_ignored(bench: Bench, claim: int) -> None:
    assert not bench.network.lower_path_mtu(octets(FAR), claim, 0)
    if claim:
        too_big(bench, claim)
        assert bench.node.errors == []
        assert bench.counters["icmp.mtu_floor"] == 1
    assert mtu(bench) == 1500


def test_552_is_the_floor(bench: Bench) -> None:
    assert bench.network.lower_path_mtu(octets(FAR), 552, 0)
    assert mtu(bench) == 552


@pytest.mark.parametrize("claim", [1500, 1501, 65535])
def test_a_packet_that_would_have_fitted_proves_nothing(bench: Bench, claim: int) -> None:
    too_big(bench, claim)  # RFC 5927, 7.2
    assert bench.node.errors == []
    assert bench.counters["icmp.mtu_absurd"] == 1


@pytest.mark.parametrize(("size", "guess"), [(1500, 1492), (1492, 1006), (1006, 552), (553, 552), (9000, 8166)])
def test_routers_that_do_not_tell_make_us_guess_the_next_plateau(bench: Bench, size: int, guess: int) -> None:
    too_big(bench, 0, size)  # RFC 1191, 5
    assert [error.mtu for error in bench.node.errors] == [guess]


def test_plateaus_fall() -> None:
    assert list(PLATEAUS) == sorted(PLATEAUS, reverse=True)
    assert plateau_below(20) == 552


def test_it_is_forgotten_after_ten_minutes(bench: Bench) -> None:
    bench.network.lower_path_mtu(octets(FAR), 1000, 0)
    bench.node.send_udp(FAR, bytes(900), now=600 * SECOND - 1)
    assert mtu(bench) == 1000
    bench.node.send_udp(FAR, bytes(1472), now=600 * SECOND)
    assert mtu(bench) == 1500


def test_the_same_claim_again_makes_it_young_again(bench: Bench) -> None:
    bench.network.lower_path_mtu(octets(FAR), 1000, 0)
    assert not bench.network.lower_path_mtu(octets(FAR), 1000, 300 * SECOND)
    bench.node.send_udp(FAR, b"", now=700 * SECOND)
    assert mtu(bench) == 1000


def test_the_table_is_capped_and_forgets_the_oldest() -> None:
    bench = Bench(Medium.IP, NetConfig(path_mtu_limit=2))
    for last in (1, 2, 3):
        bench.network.lower_path_mtu(octets(f"203.0.113.{last}"), 1000, 0)
    assert [mtu(bench, f"203.0.113.{last}") for last in (1, 2, 3)] == [1500, 1000, 1000]


def test_a_destination_without_a_route_is_ignored(bench: Bench) -> None:
    assert not bench.network.lower_path_mtu(octets("240.0.0.1"), 1000, 0)


def test_no_deadline_watches_the_age(bench: Bench) -> None:
    bench.network.lower_path_mtu(octets(FAR), 1000, 0)
    assert bench.network.next_deadline() is None


def test_a_link_wider_than_ip_is_cut_to_what_a_header_can_say() -> None:
    bench = Bench()
    assert bench.network.path(octets("127.0.0.1")).mtu == 65535
