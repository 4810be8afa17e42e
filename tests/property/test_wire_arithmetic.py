"""Checksums and sequence numbers against their definitions."""

from hypothesis import given
from hypothesis import strategies as st

from pystack.testing.strategies import pseudo_headers, tcp_headers, u16, u32, udp_headers
from pystack.wire import (
    PseudoHeader,
    TCPHeader,
    UDPHeader,
    before,
    internet_checksum,
    ones_sum,
    ones_sum_buffers,
    unwrap,
    update_checksum,
    wrap,
)


def definition(data: bytes, initial: int = 0) -> int:
    """RFC 1071 section 4.1, word for word."""
    total = initial
    padded = data + bytes(len(data) % 2)
    for at in range(0, len(padded), 2):
        total += padded[at] << 8 | padded[at + 1]
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


octets = st.one_of(
    st.binary(max_size=600),
    st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=8), st.integers(1, 2000)),
)


@given(data=octets, initial=u32)
def test_sums_follow_the_definition(data: bytes, initial: int) -> None:
    assert ones_sum(data, initial) == definition(data, initial)
    assert internet_checksum(data, initial) == definition(data, initial) ^ 0xFFFF


@given(pieces=st.lists(octets, max_size=5), initial=u16)
def test_pieces_sum_as_if_joined(pieces: list[bytes], initial: int) -> None:
    assert ones_sum_buffers(pieces, initial) == ones_sum(b"".join(pieces), initial)


@given(words=st.lists(u16, min_size=1, max_size=30), place=st.integers(0, 29), new=u16)
def test_an_update_equals_a_fresh_checksum(words: list[int], place: int, new: int) -> None:
    place %= len(words)
    old, changed = words[place], [*words]
    changed[place] = new
    if any(words) and any(changed):  # RFC 1624 section 3: data of nothing but zeros has no update
        fresh = internet_checksum(b"".join(word.to_bytes(2, "big") for word in changed))
        before_change = internet_checksum(b"".join(word.to_bytes(2, "big") for word in words))
        assert update_checksum(before_change, old, new) == fresh


@given(header=tcp_headers, pseudo=pseudo_headers, payload=st.binary(max_size=50))
def test_sealed_tcp_sums_to_nothing(header: TCPHeader, pseudo: PseudoHeader, payload: bytes) -> None:
    segment = bytes(header.sealed(pseudo, payload)) + payload
    assert internet_checksum(pseudo.to_bytes(len(segment)) + segment) == 0


@given(header=udp_headers, pseudo=pseudo_headers, payload=st.binary(max_size=50))
def test_sealed_udp_sums_to_nothing_and_is_never_zero(header: UDPHeader, pseudo: PseudoHeader, payload: bytes) -> None:
    sealed = header.sealed(pseudo, payload)
    datagram = bytes(sealed) + payload
    assert sealed.checksum != 0
    assert internet_checksum(pseudo.to_bytes(len(datagram)) + datagram) == 0


@given(number=st.integers(-(2**40), 2**40), offset=st.integers(-(2**31), 2**31 - 1))
def test_what_was_wrapped_is_unwrapped_near_where_it_was(number: int, offset: int) -> None:
    assert unwrap(wrap(number), number - offset) == number


@given(value=u32, near=st.integers(-(2**40), 2**40))
def test_unwrapping_keeps_the_value_and_stays_near(value: int, near: int) -> None:
    number = unwrap(value, near)
    assert wrap(number) == value
    assert -(2**31) <= number - near < 2**31


@given(a=u32, distance=st.integers(1, 2**31 - 1))
def test_before_is_an_order_within_half_a_circle(a: int, distance: int) -> None:
    b = wrap(a + distance)
    assert before(a, b)
    assert not before(b, a)
