"""Python blocks and the tcpi_ names in them."""

import pytest

from pystack.stack.linuxinfo import TOLD
from pystack.testing.packetdrill.tcpinfo import LINUX_NAMES
from tests.testing.packetdrill.drill import Drill


def test_an_assertion_that_holds(drill: Drill) -> None:
    drill.passes("+0 %{ assert tcpi_snd_cwnd == 10 and tcpi_state == TCP_ESTABLISHED, tcpi_state }%")


def test_an_assertion_that_does_not_hold(drill: Drill) -> None:
    text = drill.fails("+0 %{ assert tcpi_snd_cwnd == 11, tcpi_snd_cwnd }%")
    assert "a.pkt:10: the assertion does not hold\n" in text
    assert "it gave: 10" in text


def test_blocks_of_several_lines_share_their_names(drill: Drill) -> None:
    drill.passes(
        "+0 %{\n  before = tcpi_bytes_acked\n  def check(n):\n    assert tcpi_bytes_acked == before + n\n}%\n"
        "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n+.1 < . 1:1(0) ack 11 win 9\n+0 %{ check(10) }%"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tcpi_snd_cwnd", 10),
        ("tcpi_cwnd", 10),
        ("tcpi_snd_ssthresh", 0x7FFFFFFF),
        ("tcpi_rtt", 100_000),
        ("tcpi_rttvar", 50_000),
        ("tcpi_rto", 300_000),
        ("tcpi_min_rtt", 100_000),
        ("tcpi_snd_mss", 1000),
        ("tcpi_advmss", 1460),
        ("tcpi_unacked", 3),
        ("tcpi_notsent_bytes", 0),
        ("tcpi_total_retrans", 0),
        ("tcpi_retransmits", 0),
        ("tcpi_backoff", 0),
        ("tcpi_probes", 0),
        ("tcpi_bytes_acked", 0),
        ("tcpi_bytes_received", 0),
        ("tcpi_options", 0),
        ("tcpi_snd_wscale", 0),
        ("tcpi_snd_wnd", 65535),
        ("tcpi_ca_state", 0),
        ("tcpi_state", 1),
    ],
)
def test_units_are_those_of_linux(drill: Drill, name: str, value: int) -> None:
    drill.passes(f"+0 write(4, ..., 3000) = 3000\n+0 %{{ assert {name} == {value}, {name} }}%")


def test_every_name_of_linux_is_told_or_explained(drill: Drill) -> None:
    for name in sorted(LINUX_NAMES - set(TOLD)):
        assert f"{name}: this stack does not tell it" in drill.lacks(f"+0 %{{ {name} }}%")
    for name in TOLD:
        drill.passes(f"+0 %{{ {name} }}%")


def test_a_name_that_nobody_has(drill: Drill) -> None:
    assert "tcpi_colour: no tcpi_ name of Linux" in drill.fails("+0 %{ assert tcpi_colour }%")


def test_no_descriptor_no_names(drill: Drill) -> None:
    text = drill.fails("+0 %{ assert tcpi_rtt }%", "listen")
    assert "tcpi_rtt: the script has no descriptor of the connection here" in text


def test_code_that_is_not_python(drill: Drill) -> None:
    assert "the block is not Python" in drill.fails("+0 %{ assert assert }%")


def test_names_of_other_structs_are_not_there(drill: Drill) -> None:
    assert "tcpv_rtt" in drill.lacks("+0 %{ assert tcpv_rtt == 1 }%")


def test_print_of_python_2(drill: Drill) -> None:
    drill.passes("+0 %{ print tcpi_snd_cwnd }%")


def test_code_that_raises(drill: Drill) -> None:
    assert "the block raised ZeroDivisionError" in drill.fails("+0 %{ 1 / 0 }%")
