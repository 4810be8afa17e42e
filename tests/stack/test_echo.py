import errno

import pytest

from pystack.errors import LinkDown
from pystack.units import MS, SECOND
from tests.stack.conftest import LOOPBACK, Pair


def test_a_ping_is_answered(pair: Pair) -> None:
    assert pair.sim.wait(pair.a.ping(pair.host_b, pair.now)) == 0


def test_a_host_pings_itself(pair: Pair) -> None:
    assert pair.sim.wait(pair.a.ping(LOOPBACK[pair.version], pair.now, size=0)) == 0


def test_silence_is_a_timeout(pair: Pair) -> None:
    pair.sim.wait(pair.a.ping(pair.host_b, pair.now))
    pair.link_b.close()
    with pytest.raises(TimeoutError):
        pair.sim.wait(pair.a.ping(pair.host_b, pair.now, timeout=300 * MS))
    assert pair.now == 300 * MS


def test_an_absent_neighbour_is_host_unreachable(pair: Pair) -> None:
    if pair.link_a.capabilities.mac is None:
        return  # nobody to ask on a medium without neighbours
    with pytest.raises(OSError, match="ARP") as caught:
        pair.sim.wait(pair.a.ping("192.0.2.9", pair.now, timeout=10 * SECOND))
    assert caught.value.errno == errno.EHOSTUNREACH


def test_after_a_ping_the_host_is_idle(pair: Pair) -> None:
    pair.sim.wait(pair.a.ping(pair.host_b, pair.now))
    pair.sim.run()
    assert pair.a.next_deadline() is None


def test_cancelled_pings_do_not_use_up_the_limit(pair: Pair) -> None:
    pair.link_b.close()
    limit = pair.a.config.echo_limit
    for _ in range(3 * limit):
        pair.a.ping(pair.host_b, pair.now, timeout=None).cancel()
    waiting = [pair.a.ping(pair.host_b, pair.now) for _ in range(limit)]
    with pytest.raises(OSError, match="echo requests wait") as caught:
        pair.a.ping(pair.host_b, pair.now)
    assert caught.value.errno == errno.ENOBUFS
    pair.sim.run()
    assert all(operation.done for operation in waiting)


def test_a_ping_ends_with_the_last_link(pair: Pair) -> None:
    pinging = pair.a.ping(pair.host_b, pair.now, timeout=None)
    pair.link_a.close()
    pair.a.poll(pair.now)
    with pytest.raises(LinkDown):
        pinging.result()


def test_a_ping_ends_with_the_host(pair: Pair) -> None:
    pair.link_b.close()
    pinging = pair.a.ping(pair.host_b, pair.now, timeout=None)
    pair.a.close(pair.now)
    with pytest.raises(OSError, match="the host was closed") as caught:
        pinging.result()
    assert caught.value.errno == errno.EBADF
