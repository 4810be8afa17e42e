from ipaddress import IPv4Address

import pytest

from pystack.errors import DecodeError
from pystack.wire import (
    IPProtocol,
    IPv4Flags,
    IPv4Header,
    IPv4Option,
    internet_checksum,
    pack_ipv4,
    parse_ipv4_options,
    unpack_ipv4,
)

KNOWN = bytes.fromhex("45000073 00004000 4011b861 c0a80001 c0a800c7")
EVERY_FIELD = bytes.fromhex("45b90400 12349123 07843456 01020304 fffefdfc")


def test_known_header() -> None:
    header = IPv4Header.from_bytes(KNOWN + b"payload")
    assert header == IPv4Header("192.168.0.1", "192.168.0.199", IPProtocol.UDP, total_length=115, checksum=0xB861)
    assert bytes(header) == KNOWN
    assert header.checksum_valid
    assert repr(header) == (
        "<IPv4Header 192.168.0.1 > 192.168.0.199: tos 0x0, ttl 64, id 0, offset 0, flags [DF], proto UDP (17), "
        "length 115>"
    )


def test_every_field_has_its_place() -> None:
    header = IPv4Header(
        src="1.2.3.4",
        dst="255.254.253.252",
        protocol=132,
        ttl=7,
        identification=0x1234,
        flags=IPv4Flags.RESERVED,
        fragment_offset=0x1123,
        total_length=1024,
        dscp=46,
        ecn=1,
        checksum=0x3456,
    )
    assert bytes(header) == EVERY_FIELD
    assert IPv4Header.from_bytes(EVERY_FIELD) == header
    assert not header.checksum_valid
    assert "offset 35096, flags [reserved], proto SCTP (132)" in repr(header)


@pytest.mark.parametrize("address", ["192.0.2.1", b"\xc0\x00\x02\x01", 0xC0000201, IPv4Address("192.0.2.1")])
def test_addresses_are_taken_in_every_form(address: "str | bytes | int | IPv4Address") -> None:
    header = IPv4Header(address, address)
    assert header.src == header.dst == IPv4Address("192.0.2.1")
    assert bytes(header)[12:] == b"\xc0\x00\x02\x01" * 2


def test_a_wrong_address_is_named() -> None:
    with pytest.raises(ValueError, match=r"192\.0\.2\.256"):
        IPv4Header("192.0.2.1", "192.0.2.256")


def test_sealed_fits_the_payload() -> None:
    header = IPv4Header("192.168.0.1", "192.168.0.199", IPProtocol.UDP).sealed(95)
    assert bytes(header) == KNOWN
    with pytest.raises(ValueError, match="at most 65535 octets, not 65536"):
        header.sealed(65516)


def test_raw_functions_are_each_others_inverse() -> None:
    fields = unpack_ipv4(KNOWN)
    assert fields == (20, 0, 115, 0, 0x4000, 64, 17, 0xB861, KNOWN[12:16], KNOWN[16:])
    assert pack_ipv4(KNOWN[12:16], KNOWN[16:], 17, 115, 0, 0x4000, 64, 0) == KNOWN


def test_a_checksum_of_zero_is_packed_as_zero() -> None:
    """The sum may come out as 0xFFFF, whose complement is the field's 0."""
    header = IPv4Header("0.0.0.0", "0.0.0.0", 0, ttl=0, flags=0).sealed(0)
    rest = internet_checksum(header.to_bytes()[:10])
    fitting = IPv4Header("0.0.0.0", rest, 0, ttl=0, flags=0).sealed(0)
    assert fitting.checksum == 0
    assert fitting.checksum_valid


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "ipv4.short"),
        (KNOWN[:19], "ipv4.short"),
        (b"\x65" + KNOWN[1:], "ipv4.version"),
        (b"\x44" + KNOWN[1:], "ipv4.header_length"),
        (b"\x46" + KNOWN[1:], "ipv4.short"),
        (b"\x4f" + KNOWN[1:] + bytes(39), "ipv4.short"),
        (KNOWN[:2] + b"\0\x13" + KNOWN[4:], "ipv4.total_length"),
        (b"\x46\0\0\x17" + KNOWN[4:] + bytes(4), "ipv4.total_length"),
    ],
)
def test_what_is_no_header_is_named(octets: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as error:
        IPv4Header.from_bytes(octets)
    assert error.value.reason == reason


ROUTER_ALERT = bytes.fromhex("94040000")
RECORD_ROUTE = bytes.fromhex("070704c0000201")


@pytest.mark.parametrize(
    ("area", "options", "text"),
    [
        (ROUTER_ALERT, (IPv4Option(148, b"\0\0"),), "RA 0000"),
        (RECORD_ROUTE + b"\0", (IPv4Option(7, RECORD_ROUTE[2:]), IPv4Option(0)), "RR 04c0000201, EOL"),
        (b"\1" + RECORD_ROUTE, (IPv4Option(1), IPv4Option(7, RECORD_ROUTE[2:])), "NOP, RR 04c0000201"),
        (b"\0\xde\xad\xbe", (IPv4Option(0, b"\xde\xad\xbe"),), "EOL deadbe"),
        (b"\xfe\x02\1\1", (IPv4Option(254), IPv4Option(1), IPv4Option(1)), "unknown 254, NOP, NOP"),
    ],
)
def test_options(area: bytes, options: tuple[IPv4Option, ...], text: str) -> None:
    header = IPv4Header("192.0.2.1", "192.0.2.2", options=options).sealed(8)
    assert header.size == 20 + len(area)
    assert header.total_length == 28 + len(area)
    assert header.checksum_valid
    assert bytes(header)[20:] == area
    assert IPv4Header.from_bytes(bytes(header)).options == options
    assert repr(header).endswith(f", options ({text})>")


def test_options_are_padded_to_a_multiple_of_four() -> None:
    header = IPv4Header("192.0.2.1", "192.0.2.2", options=(IPv4Option(7, RECORD_ROUTE[2:]),))
    assert bytes(header)[20:] == RECORD_ROUTE + b"\0"


def test_which_options_go_into_every_fragment() -> None:
    assert IPv4Option(IPv4Option.LOOSE_SOURCE_ROUTE).copied
    assert not IPv4Option(IPv4Option.RECORD_ROUTE).copied


@pytest.mark.parametrize("area", [b"\x07", b"\x07\x00\0\0", b"\x07\x01\0\0", b"\x07\x05\0\0", b"\1\1\1\x94"])
def test_options_of_impossible_length(area: bytes) -> None:
    with pytest.raises(DecodeError) as error:
        parse_ipv4_options(area)
    assert error.value.reason == "ipv4.option_length"


def test_options_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"IPv4Header\.options take 44 octets of at most 40"):
        IPv4Header("192.0.2.1", "192.0.2.2", options=(IPv4Option(1),) * 41).to_bytes()
    with pytest.raises(ValueError, match=r"IPv4Option\.data has 39 octets"):
        IPv4Option(7, bytes(39)).to_bytes()
    with pytest.raises(ValueError, match=r"IPv4Option\.type must be an integer in 0\.\.255, not 256"):
        IPv4Option(256).to_bytes()
