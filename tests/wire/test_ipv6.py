from ipaddress import IPv6Address

import pytest

from pystack.errors import DecodeError
from pystack.wire import IPProtocol, IPv6Header, pack_ipv6, unpack_ipv6

SRC = bytes.fromhex("20010db8000000000000000000000001")
DST = bytes.fromhex("20010db8000000000000000000000002")
CAPTURED = bytes.fromhex("600cbbe4 000d 11 40") + SRC + DST


def test_captured_header() -> None:
    header = IPv6Header.from_bytes(CAPTURED + b"payload")
    assert header == IPv6Header(
        "2001:db8::1", "2001:db8::2", IPProtocol.UDP, hop_limit=64, payload_length=13, flow_label=0xCBBE4
    )
    assert bytes(header) == CAPTURED
    assert header.size == 40
    assert repr(header) == (
        "<IPv6Header 2001:db8::1 > 2001:db8::2: class 0x00, flowlabel 0xcbbe4, hlim 64, next-header UDP (17), "
        "payload length 13>"
    )


def test_every_field_has_its_place() -> None:
    header = IPv6Header(SRC, DST, 58, hop_limit=1, payload_length=0xABCD, traffic_class=0xB9, flow_label=0x12345)
    assert bytes(header) == bytes.fromhex("6b912345 abcd 3a 01") + SRC + DST
    assert IPv6Header.from_bytes(bytes(header)) == header


@pytest.mark.parametrize("address", ["2001:db8::1", SRC, int.from_bytes(SRC, "big"), IPv6Address(SRC)])
def test_addresses_are_taken_in_every_form(address: "str | bytes | int | IPv6Address") -> None:
    assert bytes(IPv6Header(address, address))[8:] == SRC * 2


def test_sealed_fits_the_payload() -> None:
    assert IPv6Header(SRC, DST).sealed(1440).payload_length == 1440
    with pytest.raises(ValueError, match="at most 65535 octets, not 65536"):
        IPv6Header(SRC, DST).sealed(65536)


def test_raw_functions_are_each_others_inverse() -> None:
    assert unpack_ipv6(CAPTURED) == (0, 0xCBBE4, 13, 17, 64, SRC, DST)
    assert pack_ipv6(SRC, DST, 17, 13, 64, 0, 0xCBBE4) == CAPTURED


@pytest.mark.parametrize(
    ("octets", "reason"),
    [(b"", "ipv6.short"), (CAPTURED[:39], "ipv6.short"), (b"\x45" + CAPTURED[1:], "ipv6.version")],
)
def test_what_is_no_header_is_named(octets: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as error:
        IPv6Header.from_bytes(octets)
    assert error.value.reason == reason
