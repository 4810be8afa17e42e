import pytest

from pystack.wire.checksum import internet_checksum, ones_sum, ones_sum_buffers, update_checksum
from pystack.wire.pseudo import PseudoHeader, pseudo_sum

RFC1071_EXAMPLE = bytes.fromhex("0001f203f4f5f6f7")  # section 3: the sum is ddf2


def words_sum(data: bytes) -> int:
    """RFC 1071 section 4.1, word for word."""
    total = 0
    for at in range(0, len(data) - 1, 2):
        total += data[at] << 8 | data[at + 1]
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_the_example_of_rfc_1071() -> None:
    assert ones_sum(RFC1071_EXAMPLE) == 0xDDF2
    assert internet_checksum(RFC1071_EXAMPLE) == 0x220D


def test_a_known_ipv4_header() -> None:
    header = bytes.fromhex("450000730000400040110000c0a80001c0a800c7")
    assert internet_checksum(header) == 0xB861
    assert internet_checksum(header[:10] + b"\xb8\x61" + header[12:]) == 0


def test_only_all_zeros_sum_to_zero() -> None:
    assert ones_sum(b"") == 0
    assert ones_sum(bytes(1500)) == 0
    assert internet_checksum(bytes(20)) == 0xFFFF
    assert ones_sum(b"\xff\xff") == 0xFFFF
    assert ones_sum(b"\xff\xfe\x00\x01") == 0xFFFF
    assert ones_sum(b"\xff" * 1500) == 0xFFFF
    assert internet_checksum(b"\xff\xff") == 0
    assert ones_sum(b"", 0xFFFF * 3) == 0xFFFF


def test_an_odd_last_octet_is_the_high_half_of_a_word() -> None:
    assert ones_sum(b"\x01") == 0x0100
    assert ones_sum(b"\x00\x01\x02") == 0x0201


@pytest.mark.parametrize("size", [*range(40), 255, 256, 257, 1459, 1460, 4095, 4096, 4097, 8191, 8193, 65535, 70001])
def test_every_length_equals_the_plain_loop(size: int) -> None:
    data = bytes((at * 131 + at // 251) & 0xFF for at in range(size))
    assert ones_sum(data) == words_sum(data)
    assert ones_sum(memoryview(data)) == words_sum(data)
    assert internet_checksum(bytearray(data)) == words_sum(data) ^ 0xFFFF


def test_views_of_wider_items_are_summed_by_octet() -> None:
    data = bytes(range(256)) * 40
    assert ones_sum(memoryview(data).cast("I")) == words_sum(data)


def test_pieces_sum_as_if_joined() -> None:
    pieces = (b"\x01", b"", b"\x02\x03", b"\x04\x05\x06", b"\xff" * 5001, b"\x07")
    assert ones_sum_buffers(pieces) == words_sum(b"".join(pieces))
    assert ones_sum_buffers(pieces, 0x1234) == ones_sum(b"".join(pieces), 0x1234)
    assert ones_sum_buffers(()) == 0


def test_the_example_of_rfc_1624() -> None:
    assert update_checksum(0xDD2F, 0x5555, 0x3285) == 0x0000  # section 4: equation 1 would give 0xFFFF


def test_an_update_equals_a_fresh_checksum() -> None:
    header = bytearray.fromhex("450000730000400040110000c0a80001c0a800c7")
    before = internet_checksum(header)
    header[8] -= 1  # TTL
    assert update_checksum(before, 0x4011, 0x3F11) == internet_checksum(header)


def test_pseudo_header_of_ipv4() -> None:
    pseudo = PseudoHeader("192.0.2.1", "192.0.2.2", 6)
    octets = bytes.fromhex("c0000201 c0000202 00 06 0028")
    assert pseudo.to_bytes(40) == octets
    assert pseudo_sum(octets[:4], octets[4:8], 6) + 40 == pseudo.sum(40)
    assert ones_sum(b"", pseudo.sum(40)) == words_sum(octets)
    assert repr(pseudo) == "<PseudoHeader 192.0.2.1 > 192.0.2.2: TCP>"


def test_pseudo_header_of_ipv6() -> None:
    pseudo = PseudoHeader("2001:db8::1", "2001:db8::2", 58)
    octets = bytes.fromhex("20010db8000000000000000000000001 20010db8000000000000000000000002 00012345 0000003a")
    assert pseudo.to_bytes(0x12345) == octets
    assert ones_sum(b"", pseudo.sum(0x12345)) == words_sum(octets)


def test_pseudo_header_wants_one_family_and_fitting_numbers() -> None:
    with pytest.raises(ValueError, match="not of one family"):
        PseudoHeader("192.0.2.1", "::1", 6)
    with pytest.raises(ValueError, match="does not fit"):
        PseudoHeader("192.0.2.1", "192.0.2.2", 256).to_bytes(0)
    with pytest.raises(ValueError, match="does not fit"):
        PseudoHeader("192.0.2.1", "192.0.2.2", 6).to_bytes(65536)
