"""Many hosts in one process on a clock that jumps: whole networks in milliseconds, replayed exactly by their seed."""

from pystack.sim.simulation import Simulation
from pystack.sim.socket import SimSocket
from pystack.sim.stage import Stage, User

__all__ = ["SimSocket", "Simulation", "Stage", "User"]
