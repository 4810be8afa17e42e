"""What every congestion control promises."""

from abc import ABC, abstractmethod

from pystack.units import Ns

__all__ = ["INFINITE", "CongestionControl"]

INFINITE = 1 << 62
"""An `ssthresh` that no window reaches: "arbitrarily high" (RFC 5681 section 3.1)."""


class CongestionControl(ABC):
    """The congestion window and how it moves. Octets throughout, `in_flight` as RFC 5681's FlightSize.

    Between `on_loss` and `on_recovered` loss recovery steers what is sent: `on_ack` is not called. With SACK, PRR sets
    `cwnd` on every acknowledgement and leaves it at `ssthresh`, or where `on_loss` or `on_ecn` has put it if that is
    less; without, `cwnd` is the base to which recovery adds what it knows has left the network.
    """

    __slots__ = ("cwnd", "initial_window", "smss", "ssthresh")

    def __init__(self, smss: int, initial_window: int) -> None:
        self.smss = smss
        self.initial_window = initial_window
        self.cwnd = initial_window
        self.ssthresh = INFINITE

    @abstractmethod
    def on_ack(self, acked: int, rtt: Ns | None, now: Ns) -> None:
        """`acked` new octets were acknowledged outside recovery while the window was what limited the sender."""

    @abstractmethod
    def on_loss(self, in_flight: int, now: Ns) -> None:
        """Duplicate acknowledgements told of a loss: one congestion event, however many segments it took."""

    @abstractmethod
    def on_recovered(self, in_flight: int, now: Ns) -> None:
        """Everything outstanding at the time of `on_loss` is acknowledged."""

    @abstractmethod
    def on_timeout(self, in_flight: int, first: bool, now: Ns) -> None:
        """The retransmission timer expired; `first`: for the first time since the last progress."""

    def on_ecn(self, in_flight: int, now: Ns) -> None:
        """The peer echoes congestion marks, which are to be answered like a loss, once per round trip (RFC 3168 section
        6.1.2)."""
        self.on_loss(in_flight, now)

    def snapshot(self) -> object:
        """What `on_undo` needs to know of the state before a reduction. Classes with more state append it: the user may
        have changed to another one in between."""
        return self.cwnd, self.ssthresh

    def on_undo(self, before: object, now: Ns) -> None:
        """The reduction since `snapshot` gave `before` was for nothing: the segments were only late."""
        assert isinstance(before, tuple)
        cwnd, ssthresh, *_ = before
        self.cwnd = max(self.cwnd, cwnd)
        self.ssthresh = max(self.ssthresh, ssthresh)

    def on_idle(self, now: Ns) -> None:
        """Nothing was sent for longer than the retransmission timeout; called again for every further one. The window
        halves, down to the restart window (RFC 5681 section 4.1), and what the path has carried is remembered (RFC 7661
        section 4.4.3)."""
        self.ssthresh = max(self.ssthresh, 3 * self.cwnd // 4)
        self.cwnd = min(self.cwnd, max(self.cwnd // 2, self.initial_window))

    def on_smss(self, smss: int) -> None:
        """The path takes segments of another size from now on. Before the first loss the window has no more of the
        smaller ones than it had of the larger (RFC 5681 section 3.1)."""
        if smss < self.smss and self.ssthresh == INFINITE:
            self.cwnd = self.cwnd * smss // self.smss
        self.smss = smss
        self.cwnd = max(self.cwnd, smss)
