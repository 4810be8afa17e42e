import pytest

from pystack.errors import DecodeError
from pystack.wire import ICMPv6Message, ICMPv6Type, ICMPv6UnreachableCode, PseudoHeader

THERE = PseudoHeader("2001:db8::1", "2001:db8::2", 58)
BACK = PseudoHeader("2001:db8::2", "2001:db8::1", 58)
ECHO = bytes.fromhex("8000 f0f1 314d 0001 00010203")
QUOTED = (
    bytes.fromhex("600cbbe4000d1140 20010db8000000000000000000000001 20010db8000000000000000000000002 c8af0009000d95d4")
    + b"knock"
)
PORT_UNREACHABLE = bytes.fromhex("0104 75ef 00000000") + QUOTED


def test_captured_echo_request() -> None:
    message = ICMPv6Message.from_bytes(ECHO)
    assert message == ICMPv6Message.echo_request(0x314D, 1, bytes(range(4))).sealed(THERE)
    assert bytes(message) == ECHO
    assert (message.identifier, message.sequence) == (0x314D, 1)
    assert not message.is_error
    assert repr(message) == "<ICMPv6Message ICMP6, echo request, id 12621, seq 1, length 12>"


def test_captured_echo_reply() -> None:
    reply = ICMPv6Message.echo_reply(0x314D, 1, bytes(range(4))).sealed(BACK)
    assert bytes(reply) == bytes.fromhex("8100 eff1 314d 0001 00010203")
    assert repr(reply) == "<ICMPv6Message ICMP6, echo reply, id 12621, seq 1, length 12>"


def test_captured_port_unreachable() -> None:
    message = ICMPv6Message.from_bytes(PORT_UNREACHABLE)
    assert message == ICMPv6Message.unreachable(ICMPv6UnreachableCode.PORT, QUOTED).sealed(BACK)
    assert message.is_error
    assert message.quoted == QUOTED
    assert repr(message) == "<ICMPv6Message ICMP6, destination unreachable, unreachable port, length 61>"


@pytest.mark.parametrize(
    ("message", "octets", "text"),
    [
        (ICMPv6Message.packet_too_big(1280, b"q"), "0200 0000 00000500 71", "packet too big, mtu 1280, length 9"),
        (ICMPv6Message.time_exceeded(0, b""), "0300 0000 00000000", "time exceeded in-transit, length 8"),
        (ICMPv6Message.time_exceeded(7, b""), "0307 0000 00000000", "time exceeded code 7, length 8"),
        (
            ICMPv6Message.parameter_problem(40, b"", code=1),
            "0401 0000 00000028",
            "parameter problem, next header - octet 40, length 8",
        ),
        (ICMPv6Message(135), "8700 0000 00000000", "neighbor solicitation, length 8"),
        (ICMPv6Message(200, 3), "c803 0000 00000000", "type 200, code 3, length 8"),
        (
            ICMPv6Message.unreachable(6, b""),
            "0106 0000 00000000",
            "destination unreachable, unreachable reject route, length 8",
        ),
    ],
)
def test_literal_octets(message: ICMPv6Message, octets: str, text: str) -> None:
    assert bytes(message) == bytes.fromhex(octets)
    assert ICMPv6Message.from_bytes(bytes.fromhex(octets)) == message
    assert str(message) == f"ICMP6, {text}"


def test_typed_fields() -> None:
    assert ICMPv6Message.packet_too_big(0x12345678, b"").mtu == 0x12345678
    assert ICMPv6Message.parameter_problem(0x12345678, b"").pointer == 0x12345678
    for name in ("identifier", "sequence", "quoted", "mtu", "pointer"):
        assert not hasattr(ICMPv6Message(ICMPv6Type.NEIGHBOR_SOLICITATION), name)


def test_short() -> None:
    with pytest.raises(DecodeError, match=r"icmp\.short"):
        ICMPv6Message.from_bytes(ECHO[:7])
