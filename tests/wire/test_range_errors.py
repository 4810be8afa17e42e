"""A value that does not fit its place gives a `ValueError` that names the field, whichever field it is."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from pystack.wire import (
    ARPPacket,
    EnhancedPacket,
    EthernetHeader,
    ICMPv4Message,
    ICMPv6Message,
    InterfaceDescription,
    IPv4Header,
    IPv6Header,
    MaximumSegmentSize,
    PseudoHeader,
    SectionHeader,
    TCPHeader,
    Timestamps,
    UDPHeader,
    UserTimeout,
    VLANTag,
    WindowScale,
)

MAC = "02:00:00:00:00:01"
SOUND: list[Any] = [
    EthernetHeader(MAC, MAC),
    VLANTag(1),
    ARPPacket.request(MAC, "192.0.2.1", "192.0.2.2"),
    IPv4Header("192.0.2.1", "192.0.2.2"),
    IPv6Header("::1", "::2"),
    ICMPv4Message.echo_request(1, 2),
    ICMPv6Message.echo_request(1, 2),
    UDPHeader(1, 2),
    TCPHeader(1, 2),
    MaximumSegmentSize(1),
    WindowScale(1),
    Timestamps(1),
    UserTimeout(1),
    SectionHeader(),
    InterfaceDescription(),
    EnhancedPacket(0, 0, b"", 0),
]
CASES = [
    pytest.param(value, field, bits, id=f"{type(value).__name__}.{field}")
    for value in SOUND
    for field, bits in value.FIELD_BITS.items()
]


def test_every_integer_field_has_its_bits() -> None:
    for value in SOUND:
        integers = {a.name for a in attrs.fields(type(value)) if a.type in (int, bool) or a.name == "flags"}
        assert integers - {"section_length"} == set(value.FIELD_BITS), type(value)


@pytest.mark.parametrize(("value", "field", "bits"), CASES)
def test_the_largest_value_fits(value: Any, field: str, bits: int) -> None:
    assert attrs.evolve(value, **{field: (1 << bits) - 1}).to_bytes()


@pytest.mark.parametrize("excess", [0, 1, 1 << 40])
@pytest.mark.parametrize(("value", "field", "bits"), CASES)
def test_one_more_is_named(value: Any, field: str, bits: int, excess: int) -> None:
    wrong = (1 << bits) + excess
    with pytest.raises(ValueError, match=rf"{type(value).__name__}\.{field} must be .* not .*{wrong}"):
        attrs.evolve(value, **{field: wrong}).to_bytes()


@pytest.mark.parametrize("wrong", [-1, 1.5, "1", None])
@pytest.mark.parametrize(("value", "field", "bits"), CASES)
def test_what_is_no_natural_number_is_named(value: Any, field: str, bits: int, wrong: object) -> None:
    with pytest.raises(ValueError, match=rf"{type(value).__name__}\.{field} must be"):
        attrs.evolve(value, **{field: wrong}).to_bytes()


PSEUDO = PseudoHeader("192.0.2.1", "192.0.2.2", 6)


@pytest.mark.parametrize(
    ("seal", "message"),
    [
        (lambda: TCPHeader(1, 2, seq=1 << 32).sealed(PSEUDO), r"TCPHeader\.seq must be"),
        (lambda: TCPHeader(1, "2").sealed(PSEUDO), r"TCPHeader\.dst_port must be .* not '2'"),  # type: ignore[arg-type]
        (lambda: UDPHeader(1, 65536).sealed(PSEUDO, b""), r"UDPHeader\.dst_port must be"),
        (lambda: IPv4Header("192.0.2.1", "192.0.2.2", ttl=-1).sealed(0), r"IPv4Header\.ttl must be"),
        (lambda: IPv6Header("::1", "::2", flow_label=1 << 20).sealed(0), r"IPv6Header\.flow_label must be"),
        (lambda: ICMPv4Message(8, rest=1 << 32).sealed(), r"ICMPv4Message\.rest must be"),
        (lambda: ICMPv4Message.echo_request(1 << 16, 0), r"ICMPv4Message\.rest must be"),
    ],
)
def test_sealing_names_it_too(seal: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        seal()
