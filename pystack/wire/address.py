"""Addresses as `ipaddress` values, made from whatever a caller has; each is parsed once and remembered for a while."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

__all__ = ["AnyIPv4", "AnyIPv6", "ipv4_address", "ipv6_address"]

AnyIPv4: TypeAlias = IPv4Address | str | bytes | int
AnyIPv6: TypeAlias = IPv6Address | str | bytes | int

_REMEMBERED = 4096

_parse_ipv4 = lru_cache(_REMEMBERED)(IPv4Address)
_parse_ipv6 = lru_cache(_REMEMBERED)(IPv6Address)


def ipv4_address(value: AnyIPv4) -> IPv4Address:
    """`value` (an address, its text, its 4 octets or its number) as an address. Raises `ValueError`."""
    return value if isinstance(value, IPv4Address) else _parse_ipv4(value)


def ipv6_address(value: AnyIPv6) -> IPv6Address:
    """`value` (an address, its text, its 16 octets or its number) as an address. Raises `ValueError`."""
    return value if isinstance(value, IPv6Address) else _parse_ipv6(value)
