"""Ethernet station addresses (IEEE 802, EUI-48)."""

import re
from functools import lru_cache
from typing import TypeAlias

from attrs import field, frozen

__all__ = ["BROADCAST", "AnyMAC", "MACAddress", "mac_address"]

_TEXT = re.compile(r"[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}")


def _octets(value: "AnyMAC") -> bytes:
    if isinstance(value, MACAddress):
        return value.octets
    if isinstance(value, str):
        if not _TEXT.fullmatch(value):
            raise ValueError(f"{value!r} is not a MAC address; write it as 02:00:00:00:00:01")
        return bytes.fromhex(value.replace(value[2], ""))
    octets = bytes(value)
    if len(octets) != 6:
        raise ValueError(f"a MAC address has 6 octets, not {len(octets)}")
    return octets


@frozen(repr=False)
class MACAddress:
    """Six octets, from `bytes` or from text such as "02:00:00:00:00:01"."""

    octets: bytes = field(converter=_octets)

    @property
    def is_multicast(self) -> bool:
        """The group bit: broadcast is multicast too."""
        return bool(self.octets[0] & 1)

    @property
    def is_broadcast(self) -> bool:
        return self.octets == b"\xff\xff\xff\xff\xff\xff"

    @property
    def is_local(self) -> bool:
        """The locally administered bit: no vendor assigned it."""
        return bool(self.octets[0] & 2)

    def __bytes__(self) -> bytes:
        return self.octets

    def __str__(self) -> str:
        return self.octets.hex(":")

    def __repr__(self) -> str:
        return f"MACAddress('{self}')"


AnyMAC: TypeAlias = MACAddress | str | bytes

_parse = lru_cache(4096)(MACAddress)


def mac_address(value: AnyMAC) -> MACAddress:
    """`value` as a `MACAddress`; those seen before are not parsed again. Raises `ValueError`."""
    return value if isinstance(value, MACAddress) else _parse(value)


BROADCAST = MACAddress(b"\xff\xff\xff\xff\xff\xff")
