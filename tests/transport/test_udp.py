"""Datagrams against octets written out by hand, and the bounded queue."""

import pytest

from pystack.errors import DecodeError
from pystack.link.base import Checksum
from pystack.transport.udp import DATAGRAM_COST, DatagramQueue, open_datagram, seal_datagram
from pystack.wire.pseudo import pseudo_sum

ADDRESSES = {
    "ipv4": (bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))),
    "ipv6": (bytes.fromhex("20010db8" + "0" * 23 + "1"), bytes.fromhex("20010db8" + "0" * 23 + "2")),
}


@pytest.fixture(params=ADDRESSES)
def pseudo(request: pytest.FixtureRequest) -> int:
    return pseudo_sum(*ADDRESSES[request.param], 17)


def test_sealed_octets_over_ipv4() -> None:
    header = seal_datagram(5000, 53, b"hello", pseudo_sum(*ADDRESSES["ipv4"], 17), partial=False)
    # by hand: c000+0201 + c000+0202 + 0011 + 000d, then 1388+0035+000d, then 6865+6c6c+6f00; folded and inverted
    total = 0xC000 + 0x0201 + 0xC000 + 0x0202 + 0x11 + 0x0D + 0x1388 + 0x35 + 0x0D + 0x6865 + 0x6C6C + 0x6F00
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    assert header == bytes.fromhex("13880035000d") + (0xFFFF - total).to_bytes(2, "big")


@pytest.mark.parametrize("data", [b"", b"x", b"hello", bytes(1472)])
def test_what_is_sealed_opens(pseudo: int, data: bytes) -> None:
    header = seal_datagram(5000, 53, data, pseudo, partial=False)
    for buffers in ((header + data,), (header, data), (header, data[:3], data[3:])):
        src, dst, pieces = open_datagram(buffers, len(header) + len(data), pseudo, Checksum.COMPLETE)
        assert (src, dst, b"".join(pieces)) == (5000, 53, data)


def test_padding_behind_the_announced_length_is_cut(pseudo: int) -> None:
    whole = seal_datagram(5000, 53, b"hello", pseudo, partial=False) + b"hello" + b"padding"
    assert b"".join(open_datagram((whole,), len(whole), pseudo, Checksum.COMPLETE)[2]) == b"hello"


def test_a_computed_zero_is_sent_as_all_ones(pseudo: int) -> None:
    for low in range(0x10000):
        data = low.to_bytes(2, "big")
        if seal_datagram(1, 2, data, pseudo, partial=False)[6:] == b"\xff\xff":
            break
    else:
        pytest.fail("no data gives a checksum of zero")
    whole = seal_datagram(1, 2, data, pseudo, partial=False) + data
    assert open_datagram((whole,), len(whole), pseudo, Checksum.COMPLETE)[:2] == (1, 2)


def test_a_wrong_checksum_is_refused_unless_the_link_vouches_or_there_is_none(pseudo: int) -> None:
    whole = bytearray(seal_datagram(1, 2, b"hello", pseudo, partial=False) + b"hellp")
    with pytest.raises(DecodeError, match=r"udp\.checksum"):
        open_datagram((bytes(whole),), len(whole), pseudo, Checksum.COMPLETE)
    for vouched in (Checksum.PARTIAL, Checksum.VERIFIED):
        assert b"".join(open_datagram((bytes(whole),), len(whole), pseudo, vouched)[2]) == b"hellp"
    whole[6:8] = bytes(2)
    assert b"".join(open_datagram((bytes(whole),), len(whole), pseudo, Checksum.COMPLETE)[2]) == b"hellp"


def test_a_partial_checksum_holds_the_folded_pseudo_header(pseudo: int) -> None:
    header = seal_datagram(1, 2, b"hello", pseudo, partial=True)
    folded = (pseudo + 13) % 0xFFFF
    assert int.from_bytes(header[6:], "big") == folded


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "udp.short"),
        (bytes(7), "udp.short"),
        (b"\0\1\0\2\0\7\0\0", "udp.length"),
        (b"\0\1\0\2\0\x09\0\0", "udp.length"),
    ],
)
def test_malformed_datagrams_name_their_fault(octets: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        open_datagram((octets,), len(octets), 0, Checksum.COMPLETE)
    assert caught.value.reason == reason


def test_the_queue_charges_each_datagram_and_keeps_order() -> None:
    queue: DatagramQueue[str] = DatagramQueue(2 * (10 + DATAGRAM_COST))
    assert queue.push(bytes(10), "a")
    assert queue.push(b"0123456789", "b")
    assert not queue.push(b"", "c")
    assert queue.first() == (bytes(10), "a")
    assert queue.pop() == (bytes(10), "a")
    assert queue.push(b"", "c")
    assert [queue.pop(), queue.pop(), queue.pop()] == [(b"0123456789", "b"), (b"", "c"), None]
    assert queue.octets == 0


def test_an_empty_queue_takes_a_datagram_of_any_size() -> None:
    queue: DatagramQueue[str] = DatagramQueue(1)
    assert queue.push(bytes(1000), "a")
    assert not queue.push(b"", "b")
