"""Urgent data: RFC 9293 section 3.8.5, RFC 6093. It stays in the stream."""

import pytest

from tests.transport.tcp.script import Script


def test_sending_points_behind_the_urgent_data(wire: Script) -> None:
    """RFC 9293 MUST-30, MUST-31: of any length."""
    wire.established()
    wire.tcp.send(b"x" * 1500, wire.now, urgent=True)
    wire.expect("U. 1:1001 urg 1500", "UP. 1001:1501 urg 500")
    wire.inject()
    wire.send(100)
    wire.expect("P. 1501:1601 urg 0")


def test_the_pointer_saturates(wire: Script) -> None:
    wire.established(send_buffer=1 << 20)
    wire.tcp.send(b"x" * 100_000, wire.now, urgent=True)
    assert wire.take().urgent == 65535


def test_normal_data_before_urgent_data_announces_it(wire: Script) -> None:
    wire.established(nodelay=True, win=1000)
    wire.send(1000)
    wire.tcp.send(b"!", wire.now, urgent=True)
    wire.expect("P. 1:1001")
    wire.inject(ack=1001, win=1000)
    wire.expect("UP. 1001:1002 urg 1")


def test_receiving_tells_how_far_the_urgent_data_goes(wire: Script) -> None:
    """RFC 9293 MUST-32, MUST-33: whether, and how much is left to read."""
    wire.established()
    assert wire.tcp.urgent is None
    wire.inject("U.", data=b"ab!cd", urg=3)
    assert wire.tcp.urgent == 3
    assert wire.recv(2) == b"ab"
    assert wire.tcp.urgent == 1
    assert wire.recv(1) == b"!"
    assert wire.tcp.urgent is None
    assert wire.recv() == b"cd"


def test_the_pointer_may_run_ahead_of_the_data(wire: Script) -> None:
    wire.established()
    wire.inject("U.", urg=10)
    assert wire.tcp.urgent == 10
    wire.inject("U.", seq=1, urg=5)  # never back
    assert wire.tcp.urgent == 10
    wire.inject(data=b"x" * 10)
    wire.recv()
    assert wire.tcp.urgent is None


@pytest.mark.parametrize("flags", [".", "P."])
def test_the_field_means_nothing_without_the_flag(wire: Script, flags: str) -> None:
    wire.established()
    wire.inject(flags, data=b"abc", urg=2)
    assert wire.tcp.urgent is None


def test_urgent_data_is_ignored_after_the_peers_fin(wire: Script) -> None:
    wire.established()
    wire.inject("F.")
    wire.inject("U.", urg=10)
    assert wire.tcp.urgent is None
