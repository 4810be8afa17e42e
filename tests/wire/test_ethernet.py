import pickle

import pytest

from pystack.errors import DecodeError
from pystack.wire import BROADCAST, EthernetHeader, EtherType, MACAddress, VLANTag, unpack_ethernet


@pytest.mark.parametrize("text", ["02:00:5e:10:00:ff", "02-00-5E-10-00-FF", "02:00:5E:10:00:FF"])
def test_mac_address_from_text(text: str) -> None:
    address = MACAddress(text)
    assert address.octets == bytes.fromhex("02005e1000ff")
    assert str(address) == "02:00:5e:10:00:ff"
    assert repr(address) == "MACAddress('02:00:5e:10:00:ff')"
    assert bytes(address) == address.octets


def test_mac_addresses_are_values() -> None:
    address = MACAddress(b"\x02\0\0\0\0\x01")
    assert address == MACAddress("02:00:00:00:00:01") == MACAddress(address)
    assert len({address, MACAddress(bytearray(address.octets))}) == 1  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(address)) == address
    with pytest.raises(AttributeError):
        address.octets = b""  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "multicast", "broadcast", "local"),
    [
        ("ff:ff:ff:ff:ff:ff", True, True, True),
        ("01:00:5e:00:00:01", True, False, False),
        ("00:00:5e:00:53:01", False, False, False),
        ("02:00:00:00:00:01", False, False, True),
    ],
)
def test_mac_address_bits(text: str, multicast: bool, broadcast: bool, local: bool) -> None:
    address = MACAddress(text)
    assert (address.is_multicast, address.is_broadcast, address.is_local) == (multicast, broadcast, local)
    assert (address == BROADCAST) is broadcast


@pytest.mark.parametrize("wrong", ["", "02:00:00:00:00", "02:00-00:00:00:01", "02:00:00:00:00:0g", "0200.0000.0001"])
def test_what_is_not_a_mac_address_is_named(wrong: str) -> None:
    with pytest.raises(ValueError, match="is not a MAC address; write it as"):
        MACAddress(wrong)


def test_a_mac_address_has_six_octets() -> None:
    with pytest.raises(ValueError, match="has 6 octets, not 5"):
        MACAddress(bytes(5))


FRAME = bytes.fromhex("020000000001 0200000000ff 0800") + b"payload"


def test_header_from_bytes() -> None:
    header = EthernetHeader.from_bytes(FRAME)
    assert header == EthernetHeader("02:00:00:00:00:01", "02:00:00:00:00:ff", EtherType.IPV4)
    assert header.to_bytes() == bytes(header) == FRAME[:14]
    assert header.size == EthernetHeader.SIZE == 14
    assert repr(header) == "<EthernetHeader 02:00:00:00:00:ff > 02:00:00:00:00:01, ethertype IPv4>"
    assert unpack_ethernet(memoryview(FRAME)) == (FRAME[:6], FRAME[6:12], 0x0800)


@pytest.mark.parametrize(
    ("ethertype", "name"),
    [(0x0806, "ARP"), (0x86DD, "IPv6"), (0x8100, "802.1Q"), (0x88CC, "0x88cc"), (60, "802.3 length 60")],
)
def test_ethertypes_have_names(ethertype: int, name: str) -> None:
    assert repr(EthernetHeader(BROADCAST, BROADCAST, ethertype)).endswith(f"ethertype {name}>")


@pytest.mark.parametrize("size", range(14))
def test_short_frames(size: int) -> None:
    with pytest.raises(DecodeError) as error:
        EthernetHeader.from_bytes(FRAME[:size])
    assert error.value.reason == "ethernet.short"
    assert str(error.value) == f"ethernet.short: {size} of 14 octets"


def test_vlan_tag() -> None:
    tag = VLANTag.from_bytes(bytes.fromhex("b00a0806ffff"))  # priority 5, DEI, VLAN 10
    assert tag == VLANTag(vlan=10, ethertype=EtherType.ARP, priority=5, drop_eligible=True)
    assert bytes(tag) == bytes.fromhex("b00a0806")
    assert tag.size == 4
    assert repr(tag) == "<VLANTag vlan 10, p 5, DEI, ethertype ARP>"
    assert bytes(VLANTag(4095)) == bytes.fromhex("0fff0800")
    with pytest.raises(DecodeError, match=r"vlan\.short"):
        VLANTag.from_bytes(bytes(3))
