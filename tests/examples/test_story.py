"""The narrator of -v, frame by frame."""

import io
import logging
from ipaddress import IPv4Address

import pytest
from _story import STATES, Story

from pystack import TCPConnection
from pystack.link.base import Medium
from pystack.wire import (
    SACK,
    ARPPacket,
    Direction,
    EthernetHeader,
    Header,
    ICMPv4Message,
    IPv4Header,
    MaximumSegmentSize,
    SACKPermitted,
    TCPFlags,
    TCPHeader,
    TCPOption,
    Timestamps,
    UDPHeader,
    WindowScale,
    build,
)

OURS, THEIRS = "02:00:00:00:00:01", "02:00:00:00:00:02"
US, THEM = "192.0.2.2", "192.0.2.1"
ISS, IRS = 2**32 - 2, 77  # ours wraps around at its third octet

SYN, ACK, FIN, RST, PSH = TCPFlags.SYN, TCPFlags.ACK, TCPFlags.FIN, TCPFlags.RST, TCPFlags.PSH


class Told:
    """A story under test: what is sent and received, and what is said about it."""

    def __init__(self) -> None:
        self.out = io.StringIO()
        self.story = Story(self.out, Medium.ETHERNET)
        self.now = 0

    def sends(self, *layers: Header | bytes) -> str:
        return self._frame(Direction.OUTBOUND, build(EthernetHeader(THEIRS, OURS), *layers))

    def receives(self, *layers: Header | bytes) -> str:
        return self._frame(Direction.INBOUND, build(EthernetHeader(OURS, THEIRS), *layers))

    def we(
        self, seq: int, ack: int, flags: int, data: bytes = b"", window: int = 500, options: tuple[TCPOption, ...] = ()
    ) -> str:
        """A segment of ours; `seq` and `ack` are relative."""
        header = TCPHeader(5000, 80, (ISS + seq) % 2**32, (IRS + ack) % 2**32, flags, window, options=options)
        return self.sends(IPv4Header(US, THEM), header, data)

    def they(
        self, seq: int, ack: int, flags: int, data: bytes = b"", window: int = 500, options: tuple[TCPOption, ...] = ()
    ) -> str:
        header = TCPHeader(80, 5000, (IRS + seq) % 2**32, (ISS + ack) % 2**32, flags, window, options=options)
        return self.receives(IPv4Header(THEM, US), header, data)

    def handshake(self, *, scale: int | None = None) -> None:
        options = () if scale is None else (WindowScale(scale),)
        self.we(0, 0, SYN, options=options)
        self.they(0, 1, SYN | ACK, options=options)
        self.we(1, 1, ACK)

    def _frame(self, direction: Direction, frame: bytes) -> str:
        """What is said about `frame`, in one line."""
        start = len(self.out.getvalue())
        self.story(direction, frame, self.now)
        return " ".join(self.out.getvalue()[start:].split())


@pytest.fixture
def told() -> Told:
    return Told()


def test_an_arp_question_and_its_answer(told: Told) -> None:
    asked = told._frame(
        Direction.OUTBOUND, build(EthernetHeader("ff:ff:ff:ff:ff:ff", OURS), ARPPacket.request(OURS, US, THEM))
    )
    told.now = 1_500_000
    answered = told.receives(ARPPacket.reply(THEIRS, THEM, OURS, US))
    assert asked == f"0.000 ms --> ARP {US}, at {OURS}, asks everybody: who has {THEM}?"
    assert answered == f"1.500 ms <-- ARP {THEM} answers: I have it, at {THEIRS}."


def test_a_gratuitous_announcement(told: Told) -> None:
    assert told.sends(ARPPacket.request(OURS, US, US)).endswith(f"{OURS} tells everybody that it has {US}.")


def test_the_handshake_names_offers_and_the_numbers_that_zero_stands_for(told: Told) -> None:
    offers = (MaximumSegmentSize(1460), SACKPermitted(), Timestamps(1, 0), WindowScale(8))
    asks = told.we(0, 0, SYN, options=offers)
    agrees = told.they(0, 1, SYN | ACK)
    confirms = told.we(1, 1, ACK)
    assert f"TCP between {US} port 5000 and {THEM} port 80" in asks
    assert f"SYN seq 0 win 500: let us talk; I count my octets from {ISS}" in asks
    assert "segments of 1460 octets, selective acknowledgements, timestamps, windows in units of 256" in asks
    assert f"SYN ACK seq 0 ack 1 win 500: agreed, let us talk; I count my octets from {IRS}" in agrees
    assert confirms.endswith("ACK seq 1 ack 1 win 500: confirmed, we are connected.")


def test_an_unanswered_syn_is_sent_once_more(told: Told) -> None:
    told.we(0, 0, SYN)
    assert "once more, for there was no answer" in told.we(0, 0, SYN)


def test_a_refusal_and_a_reset_are_told_apart(told: Told) -> None:
    told.we(0, 0, SYN)
    assert "refused: nobody listens" in told.they(-IRS, 1, RST | ACK)
    told.we(5_000, 0, SYN)
    told.they(0, 5_001, SYN | ACK)
    assert "this connection is over at once" in told.they(1, 5_001, RST)


def test_numbers_stay_relative_across_the_wrap_around(told: Told) -> None:
    told.handshake()
    assert 'PSH ACK seq 1:6 ack 1 win 500: 5 octets ("GET /").' in told.we(1, 1, PSH | ACK, b"GET /")
    assert "ack 6 win 500: I have everything before octet 6." in told.they(1, 6, ACK)


def test_binary_data_is_counted_but_not_quoted(told: Told) -> None:
    told.handshake()
    assert told.we(1, 1, ACK, b"\x00\xff" * 5).endswith("10 octets.")


def test_windows_are_scaled_only_when_both_offered_it(told: Told) -> None:
    told.handshake(scale=4)
    assert "win 8000" in told.they(1, 1, ACK)


def test_a_loss_is_seen_and_repaired(told: Told) -> None:
    told.handshake()
    told.they(1, 1, ACK, b"a" * 100)
    assert "octets 101 to 200 have not come by yet" in told.they(201, 1, ACK, b"c" * 100)
    told.we(1, 101, ACK)
    waiting = told.we(1, 101, ACK, options=(SACK(((IRS + 201, IRS + 301),)),))
    assert waiting.endswith("I am still waiting for octet 101; beyond a gap I have 201:301.")
    assert "fill a gap" in told.they(101, 1, ACK, b"b" * 100)
    assert "once more: perhaps they were lost" in told.they(101, 1, ACK, b"b" * 100)


def test_a_full_buffer_a_probe_and_room_again(told: Told) -> None:
    told.handshake()
    told.they(1, 1, ACK, b"x" * 10)
    assert "my buffer is full, please wait" in told.we(1, 11, ACK, window=0)
    assert "are you still there?" in told.they(10, 1, ACK)
    assert "my buffer has room again" in told.we(1, 11, ACK, window=5)
    assert "I have room for 50 octets now" in told.we(1, 11, ACK, window=50)


def test_the_close(told: Told) -> None:
    told.handshake()
    assert "FIN ACK seq 1 ack 1 win 500: I have nothing more to say." in told.they(1, 1, FIN | ACK)
    assert "I have all, and know that you are done" in told.we(1, 2, ACK)


def test_a_second_use_of_the_ports_starts_a_new_conversation(told: Told) -> None:
    told.handshake()
    told.we(1, 1, ACK, b"x" * 100)
    assert "SYN seq 0 " in told.we(70_000, 0, SYN)


def test_a_connection_joined_in_the_middle_starts_at_one(told: Told) -> None:
    assert "seq 1:4" in told.they(5_000, 0, ACK, b"abc")


def test_udp_and_ping(told: Told) -> None:
    ip = IPv4Header(US, THEM)
    assert '192.0.2.2 port 5000 to 192.0.2.1 port 7: 5 octets ("hello").' in told.sends(
        ip, UDPHeader(5000, 7), b"hello"
    )
    assert "are you there? (echo request 3, 4 octets of data)" in told.sends(
        ip, ICMPv4Message.echo_request(1, 3, b"data")
    )
    assert "I am. (echo reply 3)" in told.sends(ip, ICMPv4Message.echo_reply(1, 3, b"data"))
    assert "port unreachable" in told.sends(ip, ICMPv4Message.unreachable(3, bytes(28)))


def test_frames_without_a_link_header() -> None:
    out = io.StringIO()
    story = Story(out, Medium.IP)
    story(Direction.INBOUND, build(IPv4Header(THEM, US), UDPHeader(7, 5000), b"hi"), 0)
    assert "<-- UDP" in out.getvalue()


def test_what_cannot_be_read_is_said_so(told: Told) -> None:
    assert "makes no sense (ethernet.short" in told._frame(Direction.INBOUND, b"short")
    assert "not for this stack" in told._frame(Direction.INBOUND, bytes(14) + b"what is this?")


def test_a_closed_stderr_does_not_stop_the_stack(told: Told) -> None:
    told.out.close()
    told.story(Direction.INBOUND, b"short", 0)


def test_state_changes_are_told_while_the_story_lasts(told: Told) -> None:
    logger = logging.getLogger("pystack.tcp")
    level = logger.level
    ours = TCPConnection(IPv4Address(US).packed, IPv4Address(THEM).packed, 5000, 80, iss=0, mss=1460)
    theirs = TCPConnection(IPv4Address(THEM).packed, IPv4Address(US).packed, 80, 5000, iss=0, mss=1460)
    with told.story.states(IPv4Address(US)):
        theirs.listen()
        ours.connect(0)
    ours.abort(0)
    said = " ".join(told.out.getvalue().split())
    assert said == f"=== our port 5000: CLOSED -> SYN-SENT ({STATES['SYN-SENT']})"
    assert logger.level == level


def test_lines_are_wrapped_with_a_margin(told: Told) -> None:
    told.we(0, 0, SYN, options=(MaximumSegmentSize(1460), SACKPermitted(), Timestamps(1, 0), WindowScale(8)))
    lines = told.out.getvalue().splitlines()
    assert max(map(len, lines)) <= 110
    assert all(line.startswith(" " * 17) for line in lines[2:])
