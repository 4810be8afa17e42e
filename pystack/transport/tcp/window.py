"""The receive window we offer: it opens in steps worth a segment, its right edge never goes back, and the buffer behind
it grows with what the user reads per round trip."""

from pystack.transport.tcp.recvbuffer import ReceiveBuffer
from pystack.units import MS, Ns

__all__ = ["ReceiveWindow"]

_UNSCALED_MAX = 65535
_SLACK = 16
"""So many units of the window field may be promised beyond the buffer, for the sake of rounding."""
_SHORTEST_ROUND: Ns = 1 * MS


class ReceiveWindow:
    """RCV.WND and the right edge RCV.NXT + RCV.WND (RFC 9293 section 3.8.6.2.2)."""

    __slots__ = ("_buffer", "_limit_max", "_round_read", "_round_start", "edge", "mss", "shift")

    def __init__(self, buffer: ReceiveBuffer, limit_max: int, mss: int) -> None:
        self._buffer = buffer
        self._limit_max = max(limit_max, buffer.limit)
        self.mss = mss
        self.shift = 0
        """Window scale of what we send (RFC 7323 section 2)."""
        self.edge = buffer.nxt
        """The first sequence number that the peer was never allowed to send."""
        self._round_start: Ns = 0
        self._round_read = 0

    @property
    def wanted_shift(self) -> int:
        """The scale that lets the largest window be offered in 16 bits, as Linux computes it: of a buffer that may grow
        all of it, of a fixed one half."""
        largest = self._limit_max if self._limit_max > self._buffer.limit else self._limit_max >> 1
        return min(14, max(0, largest.bit_length() - 16))

    def initial_field(self) -> int:
        """The window of SYN and SYN-ACK, never scaled: whole segments only, but what was promised stays promised."""
        room = self._offer(self._buffer.room)
        field = room - room % self.mss if room >= self.mss else room
        field = min(max(field, self.edge - self._buffer.nxt), _UNSCALED_MAX)
        self.edge = max(self.edge, self._buffer.nxt + field)
        return field

    def begin(self, nxt: int) -> None:
        """The peer's first sequence number is known: what was promised counts from there."""
        self.edge += nxt - self._buffer.nxt
        self._buffer.nxt = nxt

    def field(self) -> int:
        """The window field of a segment that leaves now; what it promises is remembered."""
        buffer, shift, step = self._buffer, self.shift, self._step()
        nxt = buffer.nxt
        if (buffer.limit >> 1) - (self.edge - nxt) >= step:  # or no offer is so much more
            offer = self._offer(buffer.room)
            if nxt + offer - self.edge >= step:
                self.edge = nxt + offer
        field = self.edge - nxt + (1 << shift) - 1 >> shift  # rounded up: the edge must not go back
        edge = nxt + (field << shift)
        if edge > self.edge:
            if edge - nxt > buffer.room + max(buffer.limit >> 3, _SLACK << shift):
                return self.edge - nxt >> shift  # rounding has added up: no more of it
            self.edge = edge
        return field

    def worth_an_update(self) -> bool:
        """Whether what the user has read opens the window so far that the peer should hear of it at once."""
        nxt = self._buffer.nxt
        open_already = self.edge - nxt
        if 2 * open_already > self._buffer.limit:  # no offer is that much more
            return False
        offer = self._offer(self._buffer.room)
        return offer - open_already >= self._step() and offer >= 2 * open_already

    def on_read(self, octets: int, round_trip: Ns | None, now: Ns) -> None:
        """The user took `octets`. The window is to hold four times what is read per round trip: the sender doubles its
        rate in each, and what follows a loss waits for one more."""
        self._round_read += octets
        elapsed = now - self._round_start
        round_trip = max(round_trip or 0, _SHORTEST_ROUND)
        if elapsed < round_trip:
            return
        wanted = 8 * self._round_read * round_trip // elapsed
        if wanted > self._buffer.limit:
            self._buffer.limit = min(wanted, self._limit_max)
        self._round_start = now
        self._round_read = 0

    def fix(self, limit: int) -> None:
        """The user has chosen the size of the buffer. What is already promised stays promised."""
        self._buffer.limit = self._limit_max = limit

    def _offer(self, room: int) -> int:
        """Octets that could be taken into `room`. Half of the buffer is for the cost of the pieces they come in, as in
        Linux; when that is not enough, an eighth of the room that is left stays in reserve."""
        half = (self._buffer.limit >> 1) - self._buffer.readable
        return max(0, min(half, room - (room >> 3), _UNSCALED_MAX << self.shift))

    def _step(self) -> int:
        return min(self._buffer.limit >> 2, self.mss)
