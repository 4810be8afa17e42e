import pytest

from pystack.errors import DecodeError
from pystack.wire import (
    SACK,
    EndOfOptions,
    FastOpen,
    MaximumSegmentSize,
    NoOperation,
    SACKPermitted,
    TCPOption,
    Timestamps,
    UnknownOption,
    UserTimeout,
    WindowScale,
    pack_options,
    parse_options,
)

LITERALS: list[tuple[str, TCPOption, str]] = [
    ("00", EndOfOptions(), "eol"),
    ("00 0000", EndOfOptions(b"\0\0"), "eol"),
    ("00 020405b4", EndOfOptions(b"\2\4\5\xb4"), "eol 020405b4"),
    ("01", NoOperation(), "nop"),
    ("02 04 05b4", MaximumSegmentSize(1460), "mss 1460"),
    ("03 03 0e", WindowScale(14), "wscale 14"),
    ("04 02", SACKPermitted(), "sackOK"),
    ("05 02", SACK(()), "sack 0 "),
    ("05 0a 00000001 ffffffff", SACK(((1, 0xFFFFFFFF),)), "sack 1 {1:4294967295}"),
    (
        "05 22" + "00000001 00000002 00000003 00000004 00000005 00000006 00000007 00000008",
        SACK(((1, 2), (3, 4), (5, 6), (7, 8))),
        "sack 4 {1:2}{3:4}{5:6}{7:8}",
    ),
    ("08 0a 01020304 fffefdfc", Timestamps(0x01020304, 0xFFFEFDFC), "TS val 16909060 ecr 4294901244"),
    ("1c 04 001e", UserTimeout(30), "uto 30s"),
    ("1c 04 8005", UserTimeout(5, minutes=True), "uto 5m"),
    ("22 02", FastOpen(), "tfo cookiereq"),
    ("22 0a 0123456789abcdef", FastOpen(bytes.fromhex("0123456789abcdef")), "tfo cookie 0123456789abcdef"),
    ("fd 04 f989", UnknownOption(253, b"\xf9\x89"), "unknown-253 0xf989"),
    ("13 02", UnknownOption(19), "unknown-19"),
]


@pytest.mark.parametrize(("octets", "option", "text"), LITERALS, ids=[text for _, _, text in LITERALS])
def test_literal_octets(octets: str, option: TCPOption, text: str) -> None:
    assert option.to_bytes() == bytes(option) == bytes.fromhex(octets)
    assert parse_options(bytes.fromhex(octets)) == (option,)
    assert repr(option) == f"<{type(option).__name__} {text}>"


@pytest.mark.parametrize(
    "octets",
    [
        "02 03 05",
        "02 05 05b400",
        "03 04 0000",
        "04 03 00",
        "05 06 00000001",
        "05 0b 000000010000000200",
        "08 06 00000000",
    ],
)
def test_a_known_kind_of_another_length_is_kept_unknown(octets: str) -> None:
    area = bytes.fromhex(octets)
    (option,) = parse_options(area)
    assert option == UnknownOption(area[0], area[2:])
    assert bytes(option) == area


@pytest.mark.parametrize(
    "octets", ["02", "02 00", "02 01 01 01", "02 04 05", "01 01 08", "08 0b 00000000 00000000", "fe 29"]
)
def test_impossible_lengths(octets: str) -> None:
    with pytest.raises(DecodeError) as error:
        parse_options(bytes.fromhex(octets))
    assert error.value.reason == "tcp.option_length"


def test_what_follows_the_end_is_kept() -> None:
    area = bytes.fromhex("020405b4 00 ff02 01")
    options = parse_options(area)
    assert options == (MaximumSegmentSize(1460), EndOfOptions(b"\xff\x02\x01"))
    assert pack_options(options) == area


def test_padding_goes_to_the_next_multiple_of_four() -> None:
    assert pack_options(()) == b""
    assert pack_options((NoOperation(),)) == b"\1\0\0\0"
    assert pack_options((SACKPermitted(), NoOperation(), NoOperation())) == b"\4\2\1\1"


def test_user_timeout_in_seconds() -> None:
    assert UserTimeout(30).seconds == 30
    assert UserTimeout(5, minutes=True).seconds == 300


def test_sack_blocks_may_come_in_any_sequence() -> None:
    assert SACK([[1, 2]]) == SACK(((1, 2),))  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (MaximumSegmentSize(65536), r"MaximumSegmentSize\.mss must be an integer in 0\.\.65535, not 65536"),
        (WindowScale(256), r"WindowScale\.shift must be an integer in 0\.\.255, not 256"),
        (Timestamps(-1), r"Timestamps\.value must be an integer in 0\.\.4294967295, not -1"),
        (Timestamps(0, 2**32), r"Timestamps\.echo must be"),
        (UserTimeout(32768), r"UserTimeout\.timeout must be an integer in 0\.\.32767, not 32768"),
        (SACK(((1, 2**32),)), r"SACK\.blocks must be pairs of 32-bit numbers"),
        (FastOpen(bytes(39)), "TCP option 34 has 39 octets of data, of at most 38"),
        (UnknownOption(1), r"UnknownOption\.kind must be in 2\.\.255, not 1"),
        (UnknownOption(256), r"UnknownOption\.kind must be in 2\.\.255, not 256"),
    ],
)
def test_what_does_not_fit_is_named(option: TCPOption, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        option.to_bytes()
