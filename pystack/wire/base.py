"""What all wire values share: they turn into bytes, print as a line of tcpdump, and name a field that does not fit."""

from collections.abc import Mapping
from typing import ClassVar

__all__ = ["WireValue"]


class WireValue:
    """A header, option or message: exactly its bits, immutable, without opinion on whether they make sense together."""

    __slots__ = ()

    FIELD_BITS: ClassVar[Mapping[str, int]] = {}
    """How many bits each integer field has on the wire."""

    def to_bytes(self) -> bytes:
        """Exactly the fields, nothing computed or corrected. Raises `ValueError` naming a field that does not fit."""
        raise NotImplementedError

    def __str__(self) -> str:
        raise NotImplementedError

    def __bytes__(self) -> bytes:
        return self.to_bytes()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def _misfit(self) -> ValueError:
        """The error to raise when packing has failed: it names the first field that is out of range."""
        name = type(self).__name__
        for field, bits in self.FIELD_BITS.items():
            value = getattr(self, field)
            if not isinstance(value, int) or not 0 <= value < 1 << bits:
                return ValueError(f"{name}.{field} must be an integer in 0..{(1 << bits) - 1}, not {value!r}")
        return ValueError(f"{name}: some field does not fit its place on the wire")
