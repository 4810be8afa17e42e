import pytest

from pystack.errors import DecodeError
from pystack.wire import ARPOperation, ARPPacket, pack_arp, unpack_arp

REQUEST = bytes.fromhex("0001 0800 06 04 0001 02000000000a c0000201 000000000000 c0000202")
REPLY = bytes.fromhex("0001 0800 06 04 0002 02000000000b c0000202 02000000000a c0000201")


def test_request() -> None:
    packet = ARPPacket.request("02:00:00:00:00:0a", "192.0.2.1", "192.0.2.2")
    assert packet.operation == ARPOperation.REQUEST
    assert bytes(packet) == REQUEST
    assert ARPPacket.from_bytes(REQUEST + bytes(18)) == packet  # Ethernet's padding
    assert repr(packet) == "<ARPPacket Request who-has 192.0.2.2 tell 192.0.2.1>"
    assert packet.size == 28


def test_reply() -> None:
    packet = ARPPacket.reply("02:00:00:00:00:0b", "192.0.2.2", "02:00:00:00:00:0a", "192.0.2.1")
    assert bytes(packet) == REPLY
    assert ARPPacket.from_bytes(REPLY) == packet
    assert repr(packet) == "<ARPPacket Reply 192.0.2.2 is-at 02:00:00:00:00:0b>"


def test_other_operations_are_kept() -> None:
    octets = REQUEST[:6] + b"\0\x08" + REQUEST[8:]
    packet = ARPPacket.from_bytes(octets)
    assert bytes(packet) == octets
    assert repr(packet) == "<ARPPacket operation 8 from 192.0.2.1 (02:00:00:00:00:0a) to 192.0.2.2>"


def test_a_probe_that_knows_its_target_says_so() -> None:
    packet = ARPPacket(1, "02:00:00:00:00:0a", "192.0.2.1", "02:00:00:00:00:0b", "192.0.2.2")
    assert str(packet) == "Request who-has 192.0.2.2 (02:00:00:00:00:0b) tell 192.0.2.1"


def test_raw_functions_are_each_others_inverse() -> None:
    fields = unpack_arp(REPLY)
    assert fields == (2, REPLY[8:14], REPLY[14:18], REPLY[18:24], REPLY[24:])
    assert pack_arp(*fields) == REPLY


@pytest.mark.parametrize("size", [0, 1, 27])
def test_short(size: int) -> None:
    with pytest.raises(DecodeError, match=rf"arp\.short: {size} of 28"):
        ARPPacket.from_bytes(REQUEST[:size])


@pytest.mark.parametrize(("at", "value"), [(1, 6), (2, 0x86), (4, 8), (5, 16)])
def test_other_address_spaces_are_not_for_us(at: int, value: int) -> None:
    octets = bytearray(REQUEST)
    octets[at] = value
    with pytest.raises(DecodeError) as error:
        ARPPacket.from_bytes(octets)
    assert error.value.reason == "arp.space"
