import pytest

from pystack.errors import DecodeError
from pystack.wire import (
    ICMPv4Message,
    ICMPv4Type,
    IPv4Header,
    RedirectCode,
    TimeExceededCode,
    UnreachableCode,
    unpack_icmp,
)

ECHO = bytes.fromhex("0800 baf5 30f9 0001") + bytes(range(8))
QUOTED = bytes.fromhex("45000021 02a34000 4011b425 c0000201 c0000202 ec1b0009 000d49d9") + b"knock"
PORT_UNREACHABLE = bytes.fromhex("0303 811f 00000000") + QUOTED


def test_captured_echo_request() -> None:
    message = ICMPv4Message.from_bytes(ECHO)
    assert message == ICMPv4Message.echo_request(0x30F9, 1, bytes(range(8)))
    assert bytes(message) == ECHO
    assert message.checksum_valid
    assert (message.identifier, message.sequence, message.data) == (0x30F9, 1, bytes(range(8)))
    assert not message.is_error
    assert repr(message) == "<ICMPv4Message ICMP echo request, id 12537, seq 1, length 16>"


def test_captured_echo_reply() -> None:
    reply = ICMPv4Message.echo_reply(0x30F9, 1, bytes(range(8)))
    assert bytes(reply) == bytes.fromhex("0000 c2f5 30f9 0001") + bytes(range(8))
    assert repr(reply) == "<ICMPv4Message ICMP echo reply, id 12537, seq 1, length 16>"


def test_captured_port_unreachable() -> None:
    message = ICMPv4Message.from_bytes(PORT_UNREACHABLE)
    assert message == ICMPv4Message.unreachable(UnreachableCode.PORT, QUOTED)
    assert message.is_error
    assert IPv4Header.from_bytes(message.quoted).total_length == 33
    assert repr(message) == "<ICMPv4Message ICMP port unreachable, length 41>"


@pytest.mark.parametrize("code", UnreachableCode)
def test_every_reason_for_being_unreachable(code: UnreachableCode) -> None:
    message = ICMPv4Message.unreachable(code, QUOTED)
    assert bytes(message)[:2] == bytes((3, code))
    assert ICMPv4Message.from_bytes(bytes(message)) == message
    assert message.checksum_valid
    assert "unreachable" in repr(message)
    assert f"code {code}" not in repr(message)


def test_unreachable_codes_are_the_rfcs() -> None:
    assert [code.value for code in UnreachableCode] == list(range(16))
    assert repr(ICMPv4Message.unreachable(77, b"")) == "<ICMPv4Message ICMP unreachable - code 77, length 8>"


def test_fragmentation_needed_carries_the_next_hops_mtu() -> None:
    message = ICMPv4Message.from_bytes(bytes.fromhex("0304 0000 0000 0578") + QUOTED)
    assert message.next_hop_mtu == 1400
    assert repr(message) == "<ICMPv4Message ICMP unreachable - need to frag (mtu 1400), length 41>"
    built = ICMPv4Message.unreachable(UnreachableCode.FRAGMENTATION_NEEDED, QUOTED, next_hop_mtu=1400)
    assert built.rest == message.rest


@pytest.mark.parametrize(
    ("octets", "code", "text"),
    [
        ("0b00 f4ff 00000000", TimeExceededCode.IN_TRANSIT, "in-transit"),
        ("0b01 f4fe 00000000", TimeExceededCode.REASSEMBLY, "ip reassembly"),
    ],
)
def test_time_exceeded(octets: str, code: TimeExceededCode, text: str) -> None:
    message = ICMPv4Message.time_exceeded(code, b"")
    assert bytes(message) == bytes.fromhex(octets)
    assert message.type == ICMPv4Type.TIME_EXCEEDED
    assert repr(message) == f"<ICMPv4Message ICMP time exceeded {text}, length 8>"


def test_parameter_problem_points_at_an_octet() -> None:
    message = ICMPv4Message.from_bytes(bytes.fromhex("0c00 dfff 14000000"))
    assert message.pointer == 20
    assert message == ICMPv4Message.parameter_problem(20, b"")
    assert repr(message) == "<ICMPv4Message ICMP parameter problem - octet 20, length 8>"
    assert "octet 1, code 2" in repr(ICMPv4Message.parameter_problem(1, b"", code=2))


@pytest.mark.parametrize("code", RedirectCode)
def test_redirect_names_a_gateway(code: RedirectCode) -> None:
    message = ICMPv4Message.redirect(code, "192.0.2.254", QUOTED)
    assert bytes(message)[:2] + bytes(message)[4:8] == bytes((5, code, 192, 0, 2, 254))
    assert str(message.gateway) == "192.0.2.254"
    assert message.quoted == QUOTED
    assert "to 192.0.2.254" in repr(message)


def test_redirect_in_words() -> None:
    assert str(ICMPv4Message.redirect(1, "192.0.2.254", b"")) == "ICMP redirect host to 192.0.2.254, length 8"
    assert str(ICMPv4Message.redirect(9, "192.0.2.254", b"")) == "ICMP redirect code 9 to 192.0.2.254, length 8"


def test_other_types_stay_opaque() -> None:
    octets = bytes.fromhex("0d00 1234 deadbeef 0001020304")
    message = ICMPv4Message.from_bytes(octets)
    assert bytes(message) == octets
    assert (message.rest, message.data) == (0xDEADBEEF, bytes(range(5)))
    assert repr(message) == "<ICMPv4Message ICMP type 13, code 0, length 13>"
    assert not message.is_error


@pytest.mark.parametrize("name", ["identifier", "sequence", "quoted", "next_hop_mtu", "pointer", "gateway"])
def test_what_a_type_does_not_have_is_an_attribute_error(name: str) -> None:
    message = ICMPv4Message(13)
    with pytest.raises(AttributeError, match=r"ICMP type 13, code 0, length 8 has no"):
        getattr(message, name)
    assert not hasattr(message, name)


def test_a_wrong_checksum_is_kept_and_seen() -> None:
    message = ICMPv4Message.from_bytes(ECHO[:-1] + b"\x08")
    assert message.checksum == 0xBAF5
    assert not message.checksum_valid
    assert message.sealed().checksum_valid


@pytest.mark.parametrize("size", range(8))
def test_short(size: int) -> None:
    with pytest.raises(DecodeError, match=rf"icmp\.short: {size} of 8"):
        ICMPv4Message.from_bytes(ECHO[:size])


def test_raw_function() -> None:
    assert unpack_icmp(ECHO) == (8, 0, 0xBAF5, 0x30F90001)
