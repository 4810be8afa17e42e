"""What a failure says: file and line, the script's line, what was expected and what came, with times."""

import pytest

from pystack.testing.packetdrill import ScriptError, ScriptFailure, run_script
from tests.testing.packetdrill.drill import Drill


def test_a_wrong_packet(drill: Drill) -> None:
    text = drill.fails("+.1  write(4, ..., 100) = 100\n+0   > P. 1:101(100) ack 2\n")
    assert text == (
        "a.pkt:11: acknowledgement not as expected\n"
        "    +0   > P. 1:101(100) ack 2\n"
        "expected 0.200000 s: > P. 1:101(100) ack 2\n"
        "sent     0.200000 s: > P. 1:101(100) ack 1\n"
        "before that:\n"
        "    0.000000 socket() = 3\n"
        "    0.000000 bind() = 0\n"
        "    0.000000 listen() = 0\n"
        "    0.000000 < S 0:0(0) win 65535 <mss 1000>\n"
        "    0.000000 > S. 0:0(0) ack 1 <...>\n"
        "    0.100000 < . 1:1(0) ack 1 win 65535\n"
        "    0.100000 accept() = 4\n"
        "    0.200000 write() = 100"
    )


def test_nothing_was_sent(drill: Drill) -> None:
    text = drill.fails("+.1 > . 1:1(0) ack 1\n")
    assert text.startswith(
        "a.pkt:10: nothing was sent\n"
        "    +.1 > . 1:1(0) ack 1\n"
        "expected at 0.200000 s: > . 1:1(0) ack 1\n"
        "nothing by 10.200000 s\n"
    )


def test_a_packet_at_the_wrong_time(drill: Drill) -> None:
    text = drill.fails("+0 write(4, ..., 1) = 1\n+.1 > P. 1:2(1) ack 1\n")
    assert text.startswith(
        "a.pkt:11: timing: the packet came 0.100000 s too early\n"
        "    +.1 > P. 1:2(1) ack 1\n"
        "expected at 0.200000 s, tolerance 0.012500 s\n"
        "it came at  0.100000 s\n"
    )


def test_an_event_of_several_lines_is_shown_whole(drill: Drill) -> None:
    text = drill.fails("+0 writev(4,\n       [{..., 1}],\n       1) = 2\n")
    assert (
        "a.pkt:10: writev() returned something else\n    +0 writev(4,\n           [{..., 1}],\n           1) = 2\n"
        in text
    )


def test_a_failure_tells_its_parts() -> None:
    with pytest.raises(ScriptFailure) as raised:
        run_script("0 close(3) = 0", name="b.pkt")
    assert (raised.value.name, raised.value.line) == ("b.pkt", 1)
    assert raised.value.problem == "close() returned something else"
    assert raised.value.event.text == "0 close(3) = 0"


def test_a_line_that_cannot_be_read() -> None:
    with pytest.raises(ScriptError) as raised:
        run_script("0 close(3) = 0\n+0 clos(", name="b.pkt")
    assert str(raised.value).startswith("b.pkt:2: ")


def test_an_empty_script() -> None:
    with pytest.raises(ScriptError, match="the script is empty"):
        run_script("// nothing\n", name="b.pkt")


def test_a_report_of_success() -> None:
    report = run_script("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+2 close(3) = 0", name="b.pkt")
    assert (report.name, report.events, report.duration, report.skipped) == ("b.pkt", 2, 2_000_000_000, [])
