"""What the stack can do so far."""

from functools import cache

from pystack.link.base import Medium
from pystack.link.memory import MemoryLink
from pystack.sim.simulation import Simulation
from pystack.testing.packetdrill.settings import Settings

__all__ = ["supports"]


@cache
def supports(ip_version: str) -> bool:
    """Whether scripts can run over `ip_version` ("ipv4", "ipv6", "ipv4_mapped_ipv6")."""
    settings = Settings(ip_version=ip_version)
    link, _ = MemoryLink.pair(medium=Medium.IP)
    try:
        Simulation(0).stack().add_interface(link, settings.interface, settings.gateway)
    except (ValueError, OSError):
        return False
    return True
