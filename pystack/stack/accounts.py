"""What each connection has on account of the stack's memory budget, and which of them give way when it runs short."""

from collections import Counter

from attrs import define, field

from pystack.stack.agenda import Agenda
from pystack.stack.flow import Flow
from pystack.stack.memory import MemoryBudget
from pystack.units import Ns

__all__ = ["GUARANTEED", "Accounts"]

GUARANTEED = 4096
"""Octets that a connection may hold in each direction however short memory is, so that each makes progress (Linux's
tcp_rmem and tcp_wmem minimum)."""


@define(eq=False)
class Accounts:
    budget: MemoryBudget
    counters: Counter[str]
    agenda: Agenda
    _orphans: dict[Flow, None] = field(init=False, factory=dict)
    """Connections that live on without a user, oldest first."""

    def send_room(self, flow: Flow) -> int:
        """Octets that memory has for what the user sends. Whoever finds none has some in flight, and looks again when
        the peer acknowledges them."""
        budget = self.budget
        return max(budget.limit - budget.used, GUARANTEED - flow.connection.send_memory, 0)

    def refuses_data(self, flow: Flow) -> bool:
        """Whether memory has nothing left for what the peer sends."""
        budget = self.budget
        return budget.used >= budget.limit and flow.charged - flow.connection.send_memory >= GUARANTEED

    def orphan(self, flow: Flow) -> None:
        """Its user is gone."""
        flow.orphan = True
        self._orphans[flow] = None

    def charge(self, flow: Flow, now: Ns) -> None:
        """Charge what the connection holds now, and take back what it can spare when memory is short."""
        connection, budget = flow.connection, self.budget
        cost = connection.memory
        if cost != flow.charged:
            budget.used += cost - flow.charged
            flow.charged = cost
        connection.may_grow = not budget.growth_stops
        if not connection.may_grow and budget.drops_out_of_order:
            self._save(flow, now)

    def close(self, flow: Flow) -> None:
        """The connection is gone, and with it what it held."""
        self._orphans.pop(flow, None)
        self.budget.used -= flow.charged
        flow.charged = 0

    def _save(self, flow: Flow, now: Ns) -> None:
        connection, budget = flow.connection, self.budget
        connection.drop_out_of_order()
        budget.used += connection.memory - flow.charged
        flow.charged = connection.memory
        if budget.exhausted and self._orphans:
            oldest = next(iter(self._orphans))
            self.counters["tcp.orphan_dropped"] += 1
            oldest.connection.abort(now)
            self.agenda.touch(oldest)
