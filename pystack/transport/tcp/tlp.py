"""Tail loss probes (RFC 8985 section 7): one segment sent before the retransmission timeout, whose acknowledgement
shows what was lost at the end of a flight."""

from pystack.units import MS, SECOND, Ns

__all__ = ["LossProbe"]

_WITHOUT_RTT: Ns = 1 * SECOND
_GRANULARITY: Ns = 2 * MS
"""Added to the timeout: on fast paths timers and peers are not as punctual as the network."""


class LossProbe:
    """The probe in flight, if any."""

    __slots__ = ("_is_retransmission", "due", "end")

    def __init__(self) -> None:
        self.due = False
        """The timer has expired: the probe leaves with the next output."""
        self.end: int | None = None
        """SND.NXT when a probe left that is not acknowledged (TLP.end_seq)."""
        self._is_retransmission = False

    def timeout(self, srtt: Ns | None, single: bool, max_ack_delay: Ns) -> Ns:
        """Section 7.2. `single`: only one segment is in flight, whose acknowledgement may be delayed."""
        if srtt is None:
            return _WITHOUT_RTT
        return 2 * srtt + (max_ack_delay if single else _GRANULARITY)

    def on_sent(self, nxt: int, *, is_retransmission: bool) -> None:
        self.due = False
        self.end = nxt
        self._is_retransmission = is_retransmission

    def on_ack(self, ack: int, *, dsack_end: int | None, bare_duplicate: bool) -> bool:
        """Section 7.4.2. True: the probe has repaired a loss that nothing else tells of."""
        if self.end is None or ack < self.end:
            return False
        if self._is_retransmission and dsack_end != self.end:
            if ack > self.end:
                self.end = None
                return True
            if not bare_duplicate:
                return False
        self.end = None
        return False

    def cancel(self) -> None:
        """Recovery begins (section 7.1)."""
        self.due = False
        self.end = None
