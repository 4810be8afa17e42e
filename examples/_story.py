"""-v: what happens on the link, told on stderr while it happens, for somebody who is learning TCP.

A `Story` is a capture sink: it sees each frame that crosses the link and knows nothing that is not in them, but for
the state changes, which TCP logs.
"""

import logging
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address
from typing import TextIO

from attrs import define, field
from typing_extensions import override

from pystack import TCPConnection
from pystack.errors import DecodeError
from pystack.link.base import Medium
from pystack.transport.tcp.state import State
from pystack.units import MS, Ns
from pystack.wire import (
    SACK,
    ARPOperation,
    ARPPacket,
    Direction,
    EthernetHeader,
    ICMPv4Message,
    ICMPv4Type,
    IPv4Header,
    LinkType,
    MaximumSegmentSize,
    SACKPermitted,
    TCPFlags,
    TCPHeader,
    Timestamps,
    UDPHeader,
    WindowScale,
    describe,
    dissect,
)
from pystack.wire.seq import unwrap, wrap

__all__ = ["STATES", "Conversation", "Story", "paragraph"]

WIDTH = 110
REMEMBERED = 1000
"""Conversations, and ranges of one of them; the oldest is forgotten."""

STATES = {
    "LISTEN": "waiting for somebody to ask",
    "SYN-SENT": "asked for a connection, waiting for the answer",
    "SYN-RECEIVED": "was asked, has agreed, waiting for the confirmation",
    "ESTABLISHED": "both directions are open",
    "FIN-WAIT-1": "said that it is done, waiting for the acknowledgement",
    "FIN-WAIT-2": "that is acknowledged; the other side may go on talking",
    "CLOSE-WAIT": "the other side is done; this one may go on talking",
    "CLOSING": "both said at the same time that they are done",
    "LAST-ACK": "both are done; waiting for the last acknowledgement",
    "TIME-WAIT": "all is said; the two ports stay reserved a while, in case a late segment wanders in",
    "CLOSED": "nothing is left of the connection",
}
"""What each state of RFC 9293 section 3.3.2 means to the side that is in it."""


class Story:
    """A capture sink that explains each frame in a sentence."""

    def __init__(self, out: TextIO, medium: Medium) -> None:
        self._out = out
        self._medium = medium
        self._start: Ns | None = None
        self._conversations: dict[frozenset[tuple[IPv4Address, int]], Conversation] = {}
        self._current: Conversation | None = None
        self._lock = threading.Lock()

    def __call__(self, direction: Direction, frame: bytes, now: Ns) -> None:
        with self._lock:
            if self._start is None:
                self._start = now
            moment = f"{(now - self._start) / MS:9.3f} ms"
            arrow = "-->" if direction is Direction.OUTBOUND else "<--"
            text = self._sentence(frame)
            self._say(f"{moment} {arrow} ", text)

    @contextmanager
    def states(self, own: IPv4Address) -> Iterator[None]:
        """While this lasts, the state changes that TCP logs are part of the story: those of connections from `own`,
        since another host's, though in this process, are not visible from here."""
        logger = logging.getLogger("pystack.tcp")
        handler = _StateHandler(self, own)
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)

    def state_change(self, port: int, old: State, new: State) -> None:
        with self._lock:
            self._say(" " * 13 + "=== ", f"our port {port}: {old} -> {new} ({STATES[str(new)]})")

    def _say(self, margin: str, text: str) -> None:
        with suppress(OSError, ValueError):  # nobody listens any more: the show goes on without us
            print(paragraph(margin, text), file=self._out, flush=True)

    def _sentence(self, frame: bytes) -> str:
        link_type = LinkType.ETHERNET if self._medium is Medium.ETHERNET else LinkType.RAW
        try:
            layers = dissect(frame, link_type)
        except DecodeError as error:
            return f"a frame that makes no sense ({error})"
        match layers:
            case (EthernetHeader() as ethernet, ARPPacket() as arp, *_):
                return _arp(arp, ethernet)
            case (*_, IPv4Header() as ip, TCPHeader() as tcp, bytes() as data):
                return self._tcp(ip, tcp, data)
            case (*_, IPv4Header() as ip, UDPHeader() as udp, bytes() as data):
                return _udp(ip, udp, data)
            case (*_, IPv4Header() as ip, ICMPv4Message() as icmp, _):
                return f"ICMP    {ip.src} to {ip.dst}: {_icmp(icmp)}"
            case _:
                return f"not for this stack: {describe(frame, link_type)}"

    def _tcp(self, ip: IPv4Header, tcp: TCPHeader, data: bytes) -> str:
        sender, receiver = (ip.src, tcp.src_port), (ip.dst, tcp.dst_port)
        key = frozenset((sender, receiver))
        conversation = self._conversations.get(key)
        if conversation is None or conversation.starts_anew(sender, tcp):
            if len(self._conversations) == REMEMBERED:
                del self._conversations[next(iter(self._conversations))]
            conversation = self._conversations[key] = Conversation()
        if conversation is not self._current:
            self._current = conversation
            self._say(" " * 17, f"TCP between {ip.src} port {tcp.src_port} and {ip.dst} port {tcp.dst_port}:")
        return conversation.tell(sender, receiver, tcp, data)


def paragraph(margin: str, text: str) -> str:
    """`text` behind `margin`, its further lines under the first."""
    lines = textwrap.wrap(text, WIDTH - len(margin), break_long_words=False)
    return margin + ("\n" + " " * len(margin)).join(lines)


class _StateHandler(logging.Handler):
    """Understands one message, "%s -> %s on %s: %r" with the states, the reason and the connection."""

    def __init__(self, story: Story, own: IPv4Address) -> None:
        super().__init__()
        self._story = story
        self._own = own.packed

    @override
    def emit(self, record: logging.LogRecord) -> None:
        match record.args:
            case (State() as old, State() as new, _, TCPConnection() as connection) if connection.local == self._own:
                self._story.state_change(connection.local_port, old, new)


def _arp(packet: ARPPacket, ethernet: EthernetHeader) -> str:
    if packet.sender_ip == packet.target_ip:
        return f"ARP     {packet.sender_mac} tells everybody that it has {packet.sender_ip}."
    if packet.operation == ARPOperation.REQUEST:
        whom = "everybody" if ethernet.dst.is_multicast else str(ethernet.dst)
        return f"ARP     {packet.sender_ip}, at {packet.sender_mac}, asks {whom}: who has {packet.target_ip}?"
    return f"ARP     {packet.sender_ip} answers: I have it, at {packet.sender_mac}."


def _icmp(message: ICMPv4Message) -> str:
    match message.type:
        case ICMPv4Type.ECHO_REQUEST:
            return f"are you there? (echo request {message.sequence}, {len(message.data)} octets of data)"
        case ICMPv4Type.ECHO_REPLY:
            return f"I am. (echo reply {message.sequence})"
        case _:
            return f"{message}"


def _udp(ip: IPv4Header, udp: UDPHeader, data: bytes) -> str:
    route = f"{ip.src} port {udp.src_port} to {ip.dst} port {udp.dst_port}"
    return f"UDP     {route}: {len(data)} octets{_quoted(data)}. No connection, no acknowledgement."


@define
class _Speaker:
    """One direction of a conversation, as a bystander sees it. Sequence numbers are counted from its SYN."""

    start: int
    """The 32-bit number that stands for 0."""
    spoken: int = 0
    """Nothing beyond this has come by."""
    seen: list[tuple[int, int]] = field(factory=list)
    """The ranges that have come by, merged."""
    heard: int | None = None
    """Everything before this, of the other direction, has been acknowledged."""
    shift: int = 0
    window: int | None = None
    finished: int | None = None
    """Where the FIN stands."""

    def relative(self, number: int) -> int:
        return unwrap(number, self.start + self.spoken) - self.start

    def note(self, first: int, end: int) -> None:
        """The numbers from `first` to before `end` have come by."""
        self.spoken = max(self.spoken, end)
        merged: list[tuple[int, int]] = []
        for left, right in sorted([*self.seen, (first, end)]):
            if merged and left <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], right))
            else:
                merged.append((left, right))
        self.seen = merged[-REMEMBERED:]

    def has_seen(self, first: int, end: int) -> bool:
        return any(left <= first and end <= right for left, right in self.seen)


@define
class Conversation:
    """Both directions of a TCP connection, told segment by segment."""

    _speakers: dict[object, _Speaker] = field(factory=dict)
    _scaled: bool = False

    def starts_anew(self, sender: object, tcp: TCPHeader) -> bool:
        """A SYN with a number of its own: the ports are used for the second time."""
        me = self._speakers.get(sender)
        return me is not None and me.start != tcp.seq and tcp.flags & (TCPFlags.SYN | TCPFlags.ACK) == TCPFlags.SYN

    def tell(self, sender: object, receiver: object, tcp: TCPHeader, data: bytes) -> str:
        """A sentence about a segment that `sender` sends to `receiver`."""
        syn, fin, rst = (bool(tcp.flags & flag) for flag in (TCPFlags.SYN, TCPFlags.FIN, TCPFlags.RST))
        me = self._speakers.get(sender)
        new = me is None
        if me is None:
            me = self._speakers[sender] = _Speaker(tcp.seq) if syn or rst else _Speaker(wrap(tcp.seq - 1), spoken=1)
        you = self._speakers.get(receiver)

        first = me.relative(tcp.seq)
        end = first + len(data) + syn + fin
        parts = [_names(tcp.flags), f"seq {first}:{end}" if data else f"seq {first}"]
        acked = None
        if tcp.flags & TCPFlags.ACK and you is not None:
            acked = you.relative(tcp.ack)
            parts.append(f"ack {acked}")
        if syn:
            me.shift = next((option.shift for option in tcp.options if isinstance(option, WindowScale)), 0)
            self._scaled = you is not None and bool(you.shift and me.shift)
        window = tcp.window << (me.shift if self._scaled and not syn else 0)
        if not rst:
            parts.append(f"win {window}")

        if rst:
            words = [_reset(refused=new and acked == 1)]
        elif syn:
            words = [_opening(tcp, again=not new, answer=acked is not None)]
        else:
            words = [
                *_about_data(me, first, data),
                *(["I have nothing more to say"] if fin else []),
                *_about_ack(me, you, acked, window, tcp, quiet=bool(data) or fin),
            ]
        if fin:
            me.finished = end - 1
        me.note(first, end)
        me.heard = acked if acked is not None else me.heard
        me.window = window
        return f"{parts[0]:<7} {' '.join(parts[1:])}: " + "; ".join(words or ["nothing new"]) + "."


def _names(flags: int) -> str:
    order = (TCPFlags.SYN, TCPFlags.FIN, TCPFlags.RST, TCPFlags.PSH, TCPFlags.URG, TCPFlags.ACK)
    return " ".join(str(flag.name) for flag in order if flags & flag) or "none"


def _opening(tcp: TCPHeader, *, again: bool, answer: bool) -> str:
    if again:
        return "once more, for there was no answer"
    words = "agreed, let us talk" if answer else "let us talk"
    offers = ", ".join(filter(None, map(_offer, tcp.options)))
    return f"{words}; I count my octets from {tcp.seq}, shown here as 0" + (f"; I can do: {offers}" if offers else "")


def _offer(option: object) -> str | None:
    match option:
        case MaximumSegmentSize():
            return f"segments of {option.mss} octets"
        case WindowScale():
            return f"windows in units of {1 << option.shift}"
        case SACKPermitted():
            return "selective acknowledgements"
        case Timestamps():
            return "timestamps"
        case _:
            return None


def _reset(*, refused: bool) -> str:
    if refused:
        return "refused: nobody listens at this port"
    return "reset: this connection is over at once, and what was under way is lost"


def _about_data(me: _Speaker, first: int, data: bytes) -> list[str]:
    if not data:
        return ["are you still there?"] if first == me.spoken - 1 and me.finished is None else []
    words = f"{len(data)} octets{_quoted(data)}"
    if me.has_seen(first, first + len(data)):
        return [f"{words}, once more: perhaps they were lost"]
    if first < me.spoken:
        return [f"{words}, which fill a gap"]
    if first > me.spoken:
        return [f"{words}, but octets {me.spoken} to {first - 1} have not come by yet"]
    return [words]


def _about_ack(
    me: _Speaker, you: _Speaker | None, acked: int | None, window: int, tcp: TCPHeader, *, quiet: bool
) -> list[str]:
    """`quiet`: the segment says something else already; an old acknowledgement in it is no news."""
    if you is None or acked is None:
        return []
    words = []
    if me.heard is None or acked > me.heard:
        if you.finished is not None and acked > you.finished:
            words.append("I have all, and know that you are done")
        elif acked == 1:
            words.append("confirmed, we are connected")
        else:
            words.append(f"I have everything before octet {acked}")
    elif not quiet and window == me.window:
        words.append(f"I am still waiting for octet {acked}")
    for option in tcp.options:
        if isinstance(option, SACK):
            blocks = ", ".join(f"{you.relative(left)}:{you.relative(right)}" for left, right in option.blocks)
            words.append(f"beyond a gap I have {blocks}")
    if window == 0:
        words.append("my buffer is full, please wait")
    elif me.window == 0:
        words.append("my buffer has room again, please go on")
    elif not words and not quiet:
        words.append(f"I have room for {window} octets now")
    return words


def _quoted(data: bytes) -> str:
    """The first line, when it is text."""
    line = data.split(b"\n", 1)[0].rstrip(b"\r")[:60].decode("ascii", "replace")
    return f' ("{line}")' if line.isprintable() and line.isascii() and line.strip() else ""
