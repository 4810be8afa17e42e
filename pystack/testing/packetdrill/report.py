"""What became of a script, in words."""

from attrs import define, field

from pystack.testing.packetdrill.script import Event
from pystack.units import SECOND, Ns

__all__ = ["Report", "ScriptFailure", "seconds"]

_HISTORY = 8
"""Lines of what went before that a failure shows."""


def seconds(time: Ns) -> str:
    return f"{time / SECOND:.6f}"


class ScriptFailure(AssertionError):
    """The stack did not do what the script says: `str()` tells file and line, the script's line, what was expected and
    what came, with times, and what went before."""

    def __init__(self, name: str, event: Event, problem: str, details: list[str], history: list[str]) -> None:
        super().__init__(problem)
        self.name = name
        self.line = event.line
        self.event = event
        self.problem = problem
        """In one line."""
        self.details = details
        self.history = history

    def __str__(self) -> str:
        lines = [f"{self.name}:{self.line}: {self.problem}"]
        lines += [f"    {line}" for line in self.event.text.splitlines()]
        lines += self.details
        if self.history:
            lines += ["before that:", *(f"    {line}" for line in self.history[-_HISTORY:])]
        return "\n".join(lines)


@define
class Report:
    """Of a script that has passed."""

    name: str
    ip_version: str
    events: int = 0
    duration: Ns = 0
    """In virtual time."""
    skipped: list[str] = field(factory=list)
    """Options and commands that mean nothing here, each with its line."""
    history: list[str] = field(factory=list)
    """Every event, with the time when it happened."""
