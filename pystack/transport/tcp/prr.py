"""Proportional rate reduction: how much to send for each acknowledgement during recovery, so that the flight has shrunk
to `ssthresh` when it ends (RFC 6937).

Where RFC 6937 leaves a choice of bounds, the rule of its successor is used, RFC 9937: conservation of packets, and
slow start on top of it only on a "safe" acknowledgement, one that moves SND.UNA and tells of no further loss. The text
of RFC 9937 was not at hand; its rule is taken from what is publicly known of it.
"""

__all__ = ["ProportionalRateReduction"]


class ProportionalRateReduction:
    """Octets throughout, the share of what has arrived rounded up to whole segments. From `begin` to the end of
    recovery the congestion window is what is in flight and what `on_ack` allows beyond it."""

    __slots__ = ("_delivered", "_recover_flight", "out")

    def __init__(self) -> None:
        self._delivered = 0
        self._recover_flight = 1
        self.out = 0
        """Sent since `begin` (prr_out): the sender counts."""

    def begin(self, flight: int) -> None:
        """`flight`: octets in the network when recovery begins (RecoverFS)."""
        self._delivered = self.out = 0
        self._recover_flight = max(flight, 1)

    def on_ack(self, delivered: int, in_flight: int, ssthresh: int, smss: int, *, safe: bool) -> int:
        """What may be sent now. `delivered`: octets that this acknowledgement says have arrived."""
        self._delivered += delivered
        if in_flight > ssthresh:
            share = -(-self._delivered * ssthresh // self._recover_flight)
            allowed = -(-share // smss) * smss - self.out
        else:
            allowed = max(self._delivered - self.out, delivered)
            if safe:
                allowed += smss
            allowed = min(ssthresh - in_flight, allowed)
        if not self.out:  # the fast retransmit itself
            allowed = max(allowed, smss)
        return max(allowed, 0)
