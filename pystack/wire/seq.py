"""Sequence numbers on a circle of 2**32 (RFC 9293 section 3.4).

Inside the stack a sequence number is a plain `int` without bound: it is unwrapped once when a segment comes in and
wrapped once when one goes out. Comparing and subtracting are then ordinary arithmetic; nothing else works modulo 2**32.
"""

__all__ = ["before", "unwrap", "wrap"]

_MASK = 0xFFFF_FFFF
_HALF = 1 << 31


def wrap(number: int) -> int:
    """The 32 bits of `number` that go on the wire."""
    return number & _MASK


def unwrap(value: int, near: int) -> int:
    """The integer congruent to the 32-bit `value` that is nearest to `near`; of two equally near, the lower."""
    return near + ((value - near + _HALF) & _MASK) - _HALF


def before(a: int, b: int) -> bool:
    """Whether the 32-bit `a` is older than `b`: 0 < b - a < 2**31 (RFC 7323 section 5.2, for timestamps)."""
    return 0 < ((b - a) & _MASK) < _HALF
