import pytest

from pystack.errors import DecodeError
from pystack.wire import PseudoHeader, UDPHeader, internet_checksum, unpack_udp

PSEUDO = PseudoHeader("192.0.2.1", "192.0.2.2", 17)
CAPTURED = bytes.fromhex("ec1b 0009 000d 49d9") + b"knock"


def test_captured_datagram() -> None:
    header = UDPHeader.from_bytes(CAPTURED)
    assert header == UDPHeader(60443, 9, 13, 0x49D9)
    assert bytes(header) == CAPTURED[:8]
    assert header.size == 8
    assert repr(header) == "<UDPHeader 60443 > 9: UDP, length 5>"
    assert unpack_udp(CAPTURED) == (60443, 9, 13, 0x49D9)


def test_sealed_as_the_kernel_sealed_it() -> None:
    assert UDPHeader(60443, 9).sealed(PSEUDO, b"knock") == UDPHeader.from_bytes(CAPTURED)


def test_over_ipv6_as_the_kernel_sealed_it() -> None:
    pseudo = PseudoHeader("2001:db8::1", "2001:db8::2", 17)
    assert UDPHeader(51375, 9).sealed(pseudo, b"knock").checksum == 0x95D4


def test_a_computed_zero_is_sent_as_all_ones() -> None:
    """RFC 768: zero says that there is no checksum."""
    summing_to_zero = (UDPHeader(1, 2).sealed(PSEUDO, b"\0\0").checksum).to_bytes(2, "big")
    header = UDPHeader(1, 2).sealed(PSEUDO, summing_to_zero)
    assert header.checksum == 0xFFFF
    assert internet_checksum(bytes(header) + summing_to_zero, PSEUDO.sum(10)) == 0


def test_a_payload_that_does_not_fit() -> None:
    assert UDPHeader(1, 2).sealed(PSEUDO, bytes(65527)).length == 65535
    with pytest.raises(ValueError, match="65528 octets of at most 65527"):
        UDPHeader(1, 2).sealed(PSEUDO, bytes(65528))


@pytest.mark.parametrize("size", range(8))
def test_short(size: int) -> None:
    with pytest.raises(DecodeError, match=rf"udp\.short: {size} of 8"):
        UDPHeader.from_bytes(CAPTURED[:size])


@pytest.mark.parametrize("length", range(8))
def test_a_length_below_the_headers_own(length: int) -> None:
    with pytest.raises(DecodeError, match=rf"udp\.length: {length}"):
        UDPHeader.from_bytes(bytes((0, 1, 0, 2, 0, length, 0, 0)))
