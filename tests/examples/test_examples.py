"""The other examples on the memory link, each as a program, and --help of all."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
Run = Callable[..., subprocess.CompletedProcess[bytes]]
PROGRAMS = sorted(path.name for path in EXAMPLES.glob("[!_]*.py"))
ON_LINKS = [name for name in PROGRAMS if name != "tcp_by_hand.py"]


def test_these_are_the_programs() -> None:
    assert PROGRAMS == ["arp_lookup.py", "curl_lite.py", "http_server.py", "ping.py", "tcp_by_hand.py", "udp_send.py"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_help(run: Run, name: str) -> None:
    result = run(name, "--help")
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.startswith(b"usage: ")


@pytest.mark.parametrize("name", ON_LINKS)
def test_all_have_the_same_link_options(run: Run, name: str) -> None:
    text = run(name, "--help").stdout.decode()
    for option in ("--link", "--address", "--gateway", "--verbose", "--pcap"):
        assert option in text


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_bad_option_is_one_line(run: Run, name: str) -> None:
    result = run(name, "--bogus")
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr.decode().count("\n") == 1


@pytest.mark.parametrize("name", ON_LINKS)
def test_a_missing_interface_is_one_line(run: Run, name: str) -> None:
    result = run(name, "--link", "packet:no-such-one", "--address", "192.0.2.2/24")
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr.decode().count("\n") == 1


@pytest.mark.parametrize("name", ON_LINKS)
def test_the_capture_is_written(run: Run, tmp_path: Path, name: str) -> None:
    assert run(name, "--pcap", "trace.pcapng").returncode == 0
    assert (tmp_path / "trace.pcapng").stat().st_size > 100


class TestPing:
    def test_answers_and_statistics(self, run: Run) -> None:
        result = run("ping.py", "-c", "3", "-i", "0.01", "-s", "100", "demo.pystack")
        assert (result.returncode, result.stderr) == (0, b"")
        lines = result.stdout.decode().splitlines()
        assert lines[0] == "PING demo.pystack (192.0.2.1) 100(128) bytes of data."
        assert [line.split("time=")[0] for line in lines[1:4]] == [
            f"108 bytes from 192.0.2.1: icmp_seq={number} " for number in (1, 2, 3)
        ]
        assert lines[5] == "--- demo.pystack ping statistics ---"
        assert lines[6].startswith("3 packets transmitted, 3 received, 0% packet loss, time ")
        assert lines[7].startswith("rtt min/avg/max/mdev = ")

    def test_no_answer_is_status_1(self, run: Run) -> None:
        result = run("ping.py", "-c", "1", "-W", "0.1", "192.0.2.99")
        assert (result.returncode, result.stderr) == (1, b"")
        assert b"1 packets transmitted, 0 received, 100% packet loss" in result.stdout

    def test_what_cannot_be_sent_is_said(self, run: Run) -> None:
        result = run("ping.py", "-c", "1", "-s", "2000")
        assert result.returncode == 1
        assert b"Message too long" in result.stdout

    def test_an_unknown_name_is_status_2(self, run: Run) -> None:
        result = run("ping.py", "no.such.name")
        assert result.returncode == 2
        assert result.stderr.decode().count("\n") == 1

    def test_ctrl_c_ends_in_the_statistics(self) -> None:
        command = [sys.executable, str(EXAMPLES / "ping.py"), "-c", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"PING ")
            assert b"icmp_seq=1" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (0, b"")
        assert b"ping statistics ---" in rest


class TestArpLookup:
    def test_the_answer(self, run: Run) -> None:
        result = run("arp_lookup.py", "192.0.2.1")
        assert (result.returncode, result.stderr) == (0, b"")
        assert result.stdout.startswith(b"192.0.2.1 is at 02:00:00:00:00:02 (")

    def test_no_answer_is_status_1(self, run: Run) -> None:
        result = run("arp_lookup.py", "-c", "1", "-W", "0.1", "192.0.2.99")
        assert (result.returncode, result.stdout) == (1, b"")
        assert result.stderr.startswith(b"arp_lookup.py: nobody answers for 192.0.2.99")

    def test_only_addresses_can_be_looked_up(self, run: Run) -> None:
        result = run("arp_lookup.py", "no.such.name")
        assert result.returncode == 2
        assert result.stderr.decode().count("\n") == 1


class TestUDPSend:
    def test_the_echo(self, run: Run) -> None:
        result = run("udp_send.py", "demo.pystack", "7", "some words")
        assert (result.returncode, result.stdout, result.stderr) == (0, b"some words\n", b"")

    def test_a_message_that_is_no_text(self, run: Run) -> None:
        assert run("udp_send.py", "demo.pystack", "7", os.fsdecode(b"\xff")).stdout == b"\xff\n"

    def test_a_message_from_stdin(self, run: Run) -> None:
        assert run("udp_send.py", "demo.pystack", "7", "-", stdin=b"\x00\xff\n").stdout == b"\x00\xff\n"

    def test_nobody_listens(self, run: Run) -> None:
        result = run("udp_send.py", "demo.pystack", "9")
        assert result.returncode == 1
        assert result.stderr == b"udp_send.py: nobody listens on UDP port 9 of 192.0.2.1\n"

    def test_nobody_answers(self, run: Run) -> None:
        result = run("udp_send.py", "--wait", "0.1", "192.0.2.99")
        assert result.returncode == 1
        assert b"no answer within 0.1 s" in result.stderr

    def test_without_waiting_it_still_leaves(self, run: Run) -> None:
        result = run("udp_send.py", "--wait", "0", "-v")
        assert (result.returncode, result.stdout) == (0, b"")
        assert b"to 192.0.2.1 port 7: 5 octets" in result.stderr

    @pytest.mark.parametrize("wait", ["-1", "nan", "inf", "soon"])
    def test_what_is_no_time_to_wait_is_one_line(self, run: Run, wait: str) -> None:
        result = run("udp_send.py", f"--wait={wait}")
        assert (result.returncode, result.stdout) == (2, b"")
        assert result.stderr.startswith(b"udp_send.py: argument --wait:")
        assert result.stderr.count(b"\n") == 1

    def test_too_long_a_message(self, run: Run) -> None:
        result = run("udp_send.py", "demo.pystack", "7", "x" * 2000)
        assert result.returncode == 2
        assert b"Message too long" in result.stderr


class TestHTTPServer:
    def test_a_visitor_gets_the_listing(self, run: Run, tmp_path: Path) -> None:
        folder = tmp_path / "www"
        folder.mkdir()
        (folder / "page.html").write_text("<p>hello</p>")
        result = run("http_server.py", "www")
        assert result.returncode == 0
        assert result.stdout.startswith(b"visitor: GET / -> 200 OK\n")
        assert b"page.html" in result.stdout
        assert b'192.0.2.1 "GET / HTTP/1.1" 200' in result.stderr

    def test_what_is_no_folder_is_refused(self, run: Run) -> None:
        result = run("http_server.py", "nowhere")
        assert result.returncode == 2
        assert result.stderr == b"http_server.py: nowhere is not a folder\n"


class TestTCPByHand:
    def test_a_loss_is_repaired_by_a_fast_retransmission(self, run: Run) -> None:
        result = run("tcp_by_hand.py")
        assert (result.returncode, result.stderr) == (0, b"")
        text = " ".join(result.stdout.decode().split())
        assert "*** LOST on the way ***" in text
        assert text.count("I am still waiting for octet 1977") >= 3
        assert "once more: perhaps they were lost" in text
        assert "TIME-WAIT -> CLOSED" in text
        assert text.endswith("Every octet arrived, in order, once.")

    def test_without_a_loss(self, run: Run) -> None:
        result = run("tcp_by_hand.py", "--lose", "0")
        assert b"LOST" not in result.stdout
        assert result.stdout.endswith(b"Every octet arrived, in order, once.\n")

    def test_the_last_segment_is_repaired_by_the_timer(self, run: Run) -> None:
        result = run("tcp_by_hand.py", "--lose", "9")
        assert result.returncode == 0
        assert b"once more" in result.stdout

    def test_the_same_every_time(self, run: Run) -> None:
        assert run("tcp_by_hand.py").stdout == run("tcp_by_hand.py").stdout
