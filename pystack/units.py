"""Time as the core counts it: `int` nanoseconds on a clock that the caller chooses (0 is a legal value)."""

from typing import TypeAlias

__all__ = ["MS", "SECOND", "US", "Ns", "from_seconds", "to_seconds"]

Ns: TypeAlias = int

US: Ns = 1_000
MS: Ns = 1_000_000
SECOND: Ns = 1_000_000_000


def from_seconds(seconds: float) -> Ns:
    """Nanoseconds in `seconds`, rounded to the nearest."""
    return round(seconds * SECOND)


def to_seconds(duration: Ns) -> float:
    return duration / SECOND
