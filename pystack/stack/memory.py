"""One limit on what all sockets of a stack hold, and what gives way as it comes near."""

from attrs import define, field

__all__ = ["MemoryBudget"]


@define(eq=False)
class MemoryBudget:
    """Counts what buffers and queues really cost: octets plus 128 for each stored piece.

    As `used` approaches `limit`, in this order: buffers stop growing, data out of order is dropped, SYNs are refused,
    connections without a user are reset, no more is taken from users who send, and text that arrives for connections
    that hold something is dropped before it is acknowledged. What has been acknowledged is never dropped.
    """

    limit: int
    used: int = field(init=False, default=0)

    @property
    def growth_stops(self) -> bool:
        return self.used * 4 >= self.limit * 3

    @property
    def drops_out_of_order(self) -> bool:
        return self.used * 8 >= self.limit * 7

    @property
    def refuses_connections(self) -> bool:
        return self.used * 16 >= self.limit * 15

    @property
    def exhausted(self) -> bool:
        return self.used >= self.limit
