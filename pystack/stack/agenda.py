"""Which connections of a host need attention at the next turn."""

from collections import deque

from attrs import define, field

from pystack.stack.flow import Flow

__all__ = ["Agenda"]


@define(eq=False)
class Agenda:
    """A connection is in each of the two lists once, as its `touched` and `queued` say."""

    touched: list[Flow] = field(init=False, factory=list)
    """Something happened to them: their users may have to be told."""
    ready: deque[Flow] = field(init=False, factory=deque)
    """They have something to send, and take turns."""

    def touch(self, flow: Flow) -> None:
        if not flow.touched:
            flow.touched = True
            self.touched.append(flow)

    def enqueue(self, flow: Flow) -> None:
        if not flow.queued:
            flow.queued = True
            self.ready.append(flow)

    @property
    def has_work(self) -> bool:
        """Whether the next turn has something to do now: what is ready may wait for room on its link."""
        if self.touched or not self.ready:
            return bool(self.touched)
        return any(flow.path.interface.has_room for flow in self.ready)
