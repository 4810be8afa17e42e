"""TCP as a sans-I/O state machine (RFC 9293).

`TCPConnection` is the whole protocol; its base classes are its chapters, each a file that knows only those before it:
the control block (tcb.py), what may be sent (output.py), what is taken for lost (lossrecovery.py), what timers do
(timeouts.py), what acknowledgements do (acknowledgment.py) and arriving segments as a whole (arrival.py), what the user
asks for (connection.py). The pieces they work with do not know each other, but for recovery, which steers congestion
control: the send and receive buffers, the ranges in flight, the round-trip estimator, the timers.

Addresses are opaque values, time is a parameter, sequence numbers are unbounded ints (pystack/wire/seq.py).
"""

from pystack.transport.tcp.config import TCPConfig
from pystack.transport.tcp.congestion import CONGESTION_CONTROLS, CongestionControl, register
from pystack.transport.tcp.connection import TCPConnection
from pystack.transport.tcp.info import TCPInfo
from pystack.transport.tcp.isn import ISNGenerator
from pystack.transport.tcp.segment import Segment, reset_for
from pystack.transport.tcp.state import TRANSITIONS, Got, State
from pystack.transport.tcp.timewait import TimeWait

__all__ = [
    "CONGESTION_CONTROLS",
    "TRANSITIONS",
    "CongestionControl",
    "Got",
    "ISNGenerator",
    "Segment",
    "State",
    "TCPConfig",
    "TCPConnection",
    "TCPInfo",
    "TimeWait",
    "register",
    "reset_for",
]
