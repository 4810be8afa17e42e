"""What a script says, as values: events in their order, each with its time and what happens then."""

from enum import Enum
from types import EllipsisType
from typing import TypeAlias

from attrs import frozen

from pystack.units import Ns
from pystack.wire.tcp import TCPFlags
from pystack.wire.tcp_options import TCPOption

__all__ = [
    "Action",
    "Application",
    "BitOr",
    "Call",
    "Code",
    "Command",
    "Direction",
    "Event",
    "Expression",
    "Group",
    "ICMPPacket",
    "IPFields",
    "Inverse",
    "Option",
    "Packet",
    "Quoted",
    "Script",
    "ScriptError",
    "ScriptUnsupported",
    "Symbol",
    "TCPPacket",
    "Time",
    "TimeKind",
    "UDPPacket",
]


class ScriptError(Exception):
    """The text is not a script: where, and what was expected."""

    def __init__(self, name: str, line: int, problem: str) -> None:
        super().__init__(name, line, problem)
        self.name = name
        self.line = line
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.name}:{self.line}: {self.problem}"


class ScriptUnsupported(Exception):
    """The script needs what this runner, or this stack, does not have: where, and what that is. It says nothing about
    the stack's behaviour."""

    def __init__(self, name: str, line: int, construct: str) -> None:
        super().__init__(name, line, construct)
        self.name = name
        self.line = line
        self.construct = construct

    def __str__(self) -> str:
        return f"{self.name}:{self.line}: not supported: {self.construct}"


class TimeKind(Enum):
    ABSOLUTE = "from the start of the script"
    RELATIVE = "from the event before"
    ANY = "whenever"


@frozen
class Time:
    """When an event happens. `start` to `end` is a range (equal: one moment); `until` is when a blocking call returns,
    counted from where `start` is. All in nanoseconds."""

    kind: TimeKind
    start: Ns = 0
    end: Ns = 0
    until: Ns | None = None


# --- values in calls


@frozen
class Symbol:
    """A name: a constant, or an errno."""

    name: str


@frozen
class BitOr:
    """`O_RDWR|O_NONBLOCK`."""

    parts: tuple["Expression", ...]


@frozen
class Inverse:
    """`~0`."""

    operand: "Expression"


@frozen
class Application:
    """`htons(80)`; also a name with a length, as in `msg_iov(1)=...`."""

    name: str
    arguments: tuple["Expression", ...]


@frozen
class Group:
    """`{sa_family = AF_INET, ...}` by name, or `{..., 1000}` by place; both may be mixed."""

    fields: tuple[tuple[str, "Expression"], ...] = ()
    items: tuple["Expression", ...] = ()

    def get(self, *names: str) -> "Expression | None":
        """The field with the first of `names` that is there."""
        fields = dict(self.fields)
        return next((fields[name] for name in names if name in fields), None)


Expression: TypeAlias = (
    int | float | str | EllipsisType | Symbol | BitOr | Inverse | Application | Group | list["Expression"]
)


# --- packets


class Direction(Enum):
    INBOUND = "<"
    """From the script to the stack."""
    OUTBOUND = ">"
    """From the stack, which the script expects."""


@frozen(kw_only=True)
class IPFields:
    """What the square brackets before a packet say of its IP header; None: nothing, so it is not compared."""

    ecn: tuple[int, ...] | None = None
    """The values that fit; the first is sent."""
    dscp: int | None = None
    ttl: int | None = None
    flow_label: int | None = None


@frozen
class TCPPacket:
    """Sequence numbers as the script counts them. None: not compared; `options` None: any (`<...>`)."""

    flags: TCPFlags
    seq: int
    length: int
    ack: int | None = None
    window: int | None = None
    urgent: int | None = None
    options: tuple[TCPOption, ...] | None = ()


@frozen
class UDPPacket:
    length: int


@frozen
class Quoted:
    """The start of the packet that an ICMP error is about: its sequence number (None: UDP) and octets of payload."""

    seq: int | None
    length: int


@frozen
class ICMPPacket:
    version: int
    """4 or 6."""
    type: int
    code: int
    mtu: int | None = None
    quoted: Quoted | None = None


@frozen
class Packet:
    direction: Direction
    ip: IPFields
    body: TCPPacket | UDPPacket | ICMPPacket


# --- what happens


@frozen
class Call:
    """A socket call, and its result; `error` is the errno's name after -1."""

    name: str
    arguments: tuple[Expression, ...]
    result: Expression
    error: str | None = None


@frozen
class Code:
    """Python between `%{` and `}%`."""

    text: str


@frozen
class Command:
    """Shell between backticks. Only what sets a sysctl is understood, nothing is ever run."""

    text: str


Action: TypeAlias = Packet | Call | Code | Command


@frozen
class Event:
    line: int
    """Where it starts, from 1."""
    text: str
    time: Time
    action: Action


@frozen
class Option:
    """A command-line option that the script carries in its first lines."""

    line: int
    name: str
    value: str


@frozen
class Script:
    name: str
    options: tuple[Option, ...]
    events: tuple[Event, ...]
