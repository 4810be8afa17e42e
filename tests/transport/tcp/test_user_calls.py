"""What the user asks a connection for, besides opening and closing it: reading, room, what it looks like."""

import logging
from array import array

import pytest

from pystack.transport.tcp import State
from pystack.units import MS
from tests.transport.tcp.script import Script, pattern


def test_reading_into_a_buffer(wire: Script) -> None:
    wire.established()
    wire.inject(data=pattern(1000))
    space = bytearray(600)
    assert wire.tcp.recv_into(space, wire.now) == 600
    assert space == pattern(1000)[:600]
    assert wire.tcp.recv_into(memoryview(space)[:10], wire.now) == 10
    assert space[:10] == pattern(1000)[600:610]
    assert wire.tcp.recv_into(space, wire.now) == 390
    assert wire.tcp.recv_into(space, wire.now) == 0


def test_reading_into_items_of_other_sizes(wire: Script) -> None:
    wire.established()
    wire.inject(data=pattern(8))
    items = array("I", [0, 0])
    assert wire.tcp.recv_into(items, wire.now) == 8
    assert items.tobytes() == pattern(8)


def test_peeking_leaves_it(wire: Script) -> None:
    wire.established()
    wire.inject(data=b"abc")
    wire.inject(data=b"d" * 1000)
    assert wire.tcp.peek(2) == b"ab"
    assert wire.tcp.peek(5) == b"abcdd"
    assert wire.recv(5) == b"abcdd"


def test_room_and_readiness_to_send(wire: Script) -> None:
    wire.make()
    assert wire.tcp.send_space == 0
    assert wire.tcp.writable  # send would raise at once
    wire.syn_sent()
    assert wire.tcp.send_space > 0
    assert not wire.tcp.writable  # connecting
    wire.established()
    assert wire.tcp.writable
    wire.inject("R")
    assert wire.tcp.send_space == 0
    assert wire.tcp.writable


def test_states_are_logged(wire: Script, caplog: pytest.LogCaptureFixture) -> None:
    wire.established()
    with caplog.at_level(logging.DEBUG, "pystack.tcp"):
        wire.inject("F.")
    assert [record.getMessage() for record in caplog.records] == [
        f"ESTABLISHED -> CLOSE-WAIT on FIN, and everything before it: {wire.tcp!r}"
    ]


def test_addresses_are_printed_as_addresses(wire: Script) -> None:
    wire.make()
    expected = {
        4: "<TCPConnection 192.0.2.1.1024 > 192.0.2.2.80 CLOSED>",
        16: "<TCPConnection ::1.1024 > ::2.80 CLOSED>",
    }
    assert repr(wire.tcp) == expected[len(wire.place.local)]  # type: ignore[arg-type]


def test_info_is_a_snapshot(wire: Script) -> None:
    wire.established(rtt=30 * MS, app_sends=5000)
    wire.inject(data=b"abc", ack=2001)
    wire.inject(seq=100, data=b"later", ack=2001)
    info = wire.tcp.info()
    assert info.state is State.ESTABLISHED
    assert info.congestion == "cubic"
    assert (info.unacked, info.unsent, info.in_flight) == (3000, 0, 3000)
    assert (info.unread, info.out_of_order) == (3, 5 + 2 * 128)
    assert (info.octets_acked, info.octets_received) == (2000, 3)
    assert info.min_rtt == 0
    assert info.ssthresh is None
    wire.inject()
    assert info.unacked == 3000


def test_memory_counts_both_buffers_with_their_pieces(wire: Script) -> None:
    wire.established()
    assert wire.tcp.memory == 0
    wire.inject(data=1000)
    assert wire.tcp.memory == 1128
    wire.send(5000)
    assert wire.tcp.memory == 2 * 128 + 6000
    wire.inject(seq=50_000, data=1000, ack=1)
    wire.tcp.drop_out_of_order()
    assert wire.tcp.memory == 2 * 128 + 6000
