"""What work takes, counted instead of timed."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["calls"]


def calls(action: Callable[[], object]) -> int:
    """Python and C calls that `action` makes."""
    count = 0

    def count_calls(_frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(count_calls)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count
