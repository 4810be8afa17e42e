"""Congestion control: how much may be in flight. It sees acknowledged octets, losses, round trips and `now`; it knows
no sequence numbers, no segments and no timers. A new one is a file with one class and a name in the registry."""

from collections.abc import Callable
from typing import TypeAlias

from pystack.transport.tcp.congestion.base import CongestionControl
from pystack.transport.tcp.congestion.cubic import Cubic
from pystack.transport.tcp.congestion.hystart import HyStart
from pystack.transport.tcp.congestion.newreno import NewReno

__all__ = ["CONGESTION_CONTROLS", "CongestionControl", "Cubic", "HyStart", "NewReno", "register"]

Factory: TypeAlias = Callable[[int, int], CongestionControl]

CONGESTION_CONTROLS: dict[str, Factory] = {}
"""By name: called with the sender's maximum segment size and the initial window, both in octets."""


def register(name: str, factory: Factory) -> None:
    """Make `factory` selectable as `TCPConfig(congestion=name)`. Raises `ValueError` for a name already taken."""
    if name in CONGESTION_CONTROLS:
        raise ValueError(f"congestion control {name!r} is already registered")
    CONGESTION_CONTROLS[name] = factory


register("cubic", Cubic)
register("newreno", NewReno)
register("reno", NewReno)  # as kernels call it
