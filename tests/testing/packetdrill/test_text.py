"""What happens to a script's text before it is parsed: comments, directives, option lines."""

import pytest

from pystack.testing.packetdrill import ScriptError, parse_script
from pystack.testing.packetdrill.preprocess import prepare
from pystack.testing.packetdrill.script import Call, Code, Command, Option


def texts(source: str, **defines: str) -> str:
    return " ".join(prepare(source, "a.pkt", defines).text.split())


def test_comments_of_c_and_cpp_go() -> None:
    assert texts("a // b\nc /* d\n e */ f") == "a c f"


def test_lines_keep_their_numbers() -> None:
    script = parse_script("/* one\n two */\n#define N 1\n\n0 close(3) = 0\n+0\n  close(4) = 0", "a.pkt")
    assert [event.line for event in script.events] == [5, 6]
    assert script.events[1].text == "+0\n  close(4) = 0"


def test_comment_marks_inside_strings_code_and_commands_are_text() -> None:
    script = parse_script('0 close("//") = 0\n+0 %{ a = 7 // 2 # comment }%\n+0 `echo http://x`', "a.pkt")
    call, code, command = (event.action for event in script.events)
    assert isinstance(call, Call)
    assert call.arguments == ("//",)
    assert code == Code(" a = 7 // 2 # comment ")
    assert command == Command("echo http://x")


def test_ifdef_chooses() -> None:
    source = "#ifdef A\na\n#else\nb\n#endif\n#ifndef A\nc\n#endif"
    assert texts(source) == "b c"
    assert texts(source, A="1") == "a"


def test_ifdef_nests() -> None:
    source = "#ifdef A\n#ifdef B\nab\n#else\na\n#endif\n#endif\nz"
    assert texts(source, A="1", B="1") == "ab z"
    assert texts(source, A="1") == "a z"
    assert texts(source, B="1") == "z"


def test_directives_in_what_is_left_out_do_nothing() -> None:
    assert texts("#ifdef A\n#define B 1\n#anything\n#endif\nB") == "B"


def test_define_and_undef() -> None:
    assert texts("#define A 1\n#define B A\nA B AB\n#undef A\nA") == "1 1 AB A"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("#ifdef A\n", "#ifdef without #endif"),
        ("#endif", "#endif without #ifdef"),
        ("#else", "#else without #ifdef"),
        ("#include <a>", "#include"),
    ],
)
def test_directives_that_are_wrong(source: str, problem: str) -> None:
    with pytest.raises(ScriptError, match=problem):
        prepare(source, "a.pkt", {})


def test_a_shebang_is_a_comment() -> None:
    assert texts("#!/usr/bin/env packetdrill\na") == "a"


def test_option_lines() -> None:
    prepared = prepare(
        '--mss=1000 --ip_version=ipv6\n--local_ip "fd00::1" // ours\n-D N=7\n0 close(N) = 0', "a.pkt", {}
    )
    assert prepared.options == (
        Option(1, "mss", "1000"),
        Option(1, "ip_version", "ipv6"),
        Option(2, "local_ip", "fd00::1"),
        Option(3, "D", "N=7"),
    )
    assert "close(7)" in prepared.text


def test_definitions_from_outside_yield_to_the_script() -> None:
    assert texts("#define N 2\nN", N="1") == "2"
    assert texts("N", N="1") == "1"
