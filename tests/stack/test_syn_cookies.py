"""What a listener does that answers SYNs without remembering them, when it cannot take what comes back."""

import pytest

from pystack.stack.config import StackConfig
from tests.stack.lone import ACK, PSH, SYN, Lone

STRANGER = {4: "198.51.100.9", 6: "2001:db8:9::9"}


def answered(lone: Lone, port: int) -> int:
    """The first number of the SYN-ACK to the peer's SYN from `port`."""
    lone.segment(SYN, src_port=port)
    (answer,) = lone.sent()
    assert answer.tcp.flags == SYN | ACK
    return answer.tcp.seq


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("config", "backlog", "counter"),
    [
        (StackConfig(half_open_limit=0), 0, "tcp.accept_queue_full"),
        (StackConfig(half_open_limit=0, connection_limit=1), 8, "tcp.connection_limit"),
    ],
)
def test_a_cookie_that_comes_back_while_there_is_no_room_is_good_later(
    version: int, config: StackConfig, backlog: int, counter: str
) -> None:
    lone = Lone(config, version=version)
    server = lone.listen(backlog=backlog)
    first, second = answered(lone, 5000), answered(lone, 5001)
    lone.segment(ACK, 1001, first + 1 & 0xFFFF_FFFF)
    lone.segment(PSH | ACK, 1001, second + 1 & 0xFFFF_FFFF, b"hello", src_port=5001)
    assert lone.stack.counters[counter] == 1
    assert lone.sent() == [], "no reset: the peer tries again"
    conn = server.try_accept(lone.now)
    assert conn is not None
    conn.abort(lone.now)
    lone.segment(PSH | ACK, 1001, second + 1 & 0xFFFF_FFFF, b"hello", src_port=5001)
    conn = server.try_accept(lone.now)
    assert conn is not None
    assert conn.getpeername() == (lone.peer, 5001)
    assert conn.try_recv(100, lone.now) == b"hello"


@pytest.mark.parametrize("half_open_limit", [0, 8])
def test_at_the_hosts_limit_a_syn_gets_no_cookie(half_open_limit: int) -> None:
    lone = Lone(StackConfig(half_open_limit=half_open_limit, connection_limit=1))
    server = lone.listen()
    lone.segment(ACK, 1001, answered(lone, 5000) + 1 & 0xFFFF_FFFF)
    assert server.try_accept(lone.now) is not None
    lone.segment(SYN, src_port=5001)
    assert lone.sent() == []
    assert lone.stack.counters["tcp.connection_limit"] == 1


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("half_open_limit", [0, 8])
def test_a_syn_to_which_no_way_leads_back(version: int, half_open_limit: int) -> None:
    lone = Lone(StackConfig(half_open_limit=half_open_limit), version=version)
    lone.listen()
    lone.segment(SYN, ip=lone.ip(STRANGER[version]))
    assert lone.sent() == []
    assert lone.stack.counters["tcp.no_route"] == 1
    assert lone.stack.tcp.flows == []
