"""A hundred thousand SYNs from nowhere: cookies take over, nothing grows, and a client notices nothing."""

import gc
import struct
import sys
from random import Random

import pytest

from pystack import wire
from pystack.link.base import Frame, Medium
from pystack.stack.config import StackConfig
from pystack.stack.stream import StreamEndpoint
from pystack.transport.tcp.config import TCPConfig
from pystack.units import SECOND
from pystack.wire.checksum import ones_sum_buffers
from tests.stack.conftest import Pair, make_pair
from tests.stack.lone import ACK, FIN, SYN, Lone

pytestmark = pytest.mark.untraced

FLOOD = 100_000


def spoofed_syns(pair: Pair, rng: Random, count: int) -> list[Frame]:
    """SYNs for port 80 of `b`, from all over a network."""
    any_address = "10.0.0.0" if pair.version == 4 else "2001:db8:1::"
    kind = wire.IPv4Header if pair.version == 4 else wire.IPv6Header
    header = wire.TCPHeader(1, 80, 0, 0, wire.TCPFlags.SYN, 65535, options=(wire.MaximumSegmentSize(1460),))
    model = bytearray(wire.build(kind(src=any_address, dst=pair.host_b), header))
    at, source = (20, 14) if pair.version == 4 else (40, 22)  # the TCP header, the last octets of the source
    frames = []
    for _ in range(count):
        before = bytes(model[source : source + 2] + model[at : at + 8])
        after = rng.randbytes(2) + struct.pack("!HHI", rng.randrange(1024, 65536), 80, rng.randrange(1 << 32))
        model[source : source + 2], model[at : at + 8] = after[:2], after[2:]
        adjust(model, at + 16, before, after)
        if pair.version == 4:
            adjust(model, 10, before[:2], after[:2])
        frames.append(Frame((bytes(model),)))
    return frames


def adjust(packet: bytearray, field: int, before: bytes, after: bytes) -> None:
    """Change a checksum as what it covers changes (RFC 1624)."""
    inverted = bytes(255 - octet for octet in before)
    old = 0xFFFF - int.from_bytes(packet[field : field + 2], "big")
    packet[field : field + 2] = (0xFFFF - ones_sum_buffers((inverted, after), old)).to_bytes(2, "big")


@pytest.mark.parametrize("version", [4, 6])
def test_a_flood_beside_a_client(version: int) -> None:
    pair = make_pair(80, Medium.IP, version=version)
    stack = pair.b
    stack.add_route("0.0.0.0/0" if version == 4 else "::/0", pair.host_a)
    server = pair.listen(backlog=8)
    limit = stack.config.half_open_limit
    blocks = 0
    rng = Random(80)
    for batch in range(FLOOD // 500):
        pair.link_a.send(spoofed_syns(pair, rng, 500), pair.now)
        while stack.poll(pair.now, 500):
            pass
        pair.link_a.receive(1024, pair.now)
        assert len(stack.tcp.flows) <= limit + 1
        pair.sim.now += SECOND // 1000
        if batch % 50 == 49:
            client = pair.connect()
            conn = pair.accept(server)
            pair.send_all(client, bytes(20_000))
            client.shutdown(1, pair.now)
            assert pair.recv_all(conn) == bytes(20_000)
            conn.close(pair.now)
            client.close(pair.now)
            pair.run(0.01)
            gc.collect()
            blocks = blocks or sys.getallocatedblocks()
    gc.collect()
    assert sys.getallocatedblocks() < blocks + 5_000
    assert stack.counters["tcp.half_open_full"] >= FLOOD - 2 * limit
    assert stack.counters["tcp.cookies_sent"] >= FLOOD - 2 * limit
    pair.run(600)
    assert stack.tcp.flows == []
    sent = stack.counters["tcp.cookies_sent"]
    client = pair.connect()
    pair.accept(server)
    client.abort(pair.now)
    assert stack.counters["tcp.cookies_sent"] == sent, "back to normal"


def test_a_pair_in_time_wait_is_used_again_by_a_cookie() -> None:
    lone = Lone(StackConfig(half_open_limit=0))
    server = lone.listen()

    def connect(irs: int) -> tuple[int, StreamEndpoint]:
        lone.segment(SYN, irs, options=(wire.MaximumSegmentSize(1460),))
        (answer,) = lone.sent()
        lone.segment(ACK, irs + 1, answer.tcp.seq + 1 & 0xFFFF_FFFF)
        conn = server.try_accept(lone.now)
        assert conn is not None
        return answer.tcp.seq, conn

    first, conn = connect(1000)
    conn.close(lone.now)
    lone.segment(FIN | ACK, 1001, first + 2 & 0xFFFF_FFFF)
    lone.sent()
    lone.segment(ACK, 1001, first + 1 & 0xFFFF_FFFF)  # the old handshake's end, late: it begins nothing
    assert server.try_accept(lone.now) is None
    lone.sent()
    _, again = connect(2000)
    again.try_send(b"hello", lone.now)
    assert [segment.payload for segment in lone.sent()] == [b"hello"]


@pytest.mark.parametrize("timestamps", [True, False])
def test_without_timestamps_only_a_higher_number_uses_a_pair_again(timestamps: bool) -> None:
    """RFC 6191 section 2: a timestamp speaks for the SYN only if the new connection would use them."""
    lone = Lone(StackConfig(tcp=TCPConfig(timestamps=timestamps)))
    server = lone.listen()
    lone.segment(SYN)
    (answer,) = lone.sent()
    lone.segment(ACK, 1001, answer.tcp.seq + 1 & 0xFFFF_FFFF)
    conn = server.try_accept(lone.now)
    assert conn is not None
    conn.close(lone.now)
    lone.segment(FIN | ACK, 1001, answer.tcp.seq + 2 & 0xFFFF_FFFF)
    lone.sent()
    lone.segment(SYN, 500, options=(wire.Timestamps(1, 0),))
    assert [answer.tcp.flags for answer in lone.sent()] == ([SYN | ACK] if timestamps else [])
