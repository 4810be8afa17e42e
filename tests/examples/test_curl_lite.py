"""curl_lite on the memory link: bodies, options, and curl's exit status with one line on stderr for each failure."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import curl_lite
import pytest
from _demo import FRONT_PAGE

from pystack.wire import EnhancedPacket, describe, read_blocks

EXAMPLES = Path(curl_lite.__file__).parent
Run = Callable[..., subprocess.CompletedProcess[bytes]]


def one_line(result: subprocess.CompletedProcess[bytes]) -> str:
    """The only line on stderr."""
    lines = result.stderr.decode().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_without_arguments_it_prints_the_demo_page(run: Run) -> None:
    result = run("curl_lite.py")
    assert (result.returncode, result.stdout, result.stderr) == (0, FRONT_PAGE.encode(), b"")


@pytest.mark.parametrize("page", ["chunked", "until-close"])
def test_every_way_to_end_a_body(run: Run, page: str) -> None:
    result = run("curl_lite.py", f"http://demo.pystack/{page}")
    assert (result.returncode, result.stdout) == (0, FRONT_PAGE.encode())


def test_a_large_body_arrives_octet_for_octet_in_a_file(run: Run, tmp_path: Path) -> None:
    result = run("curl_lite.py", "-o", "body", "http://demo.pystack/large?octets=3000001")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert (tmp_path / "body").read_bytes() == (bytes(range(256)) * 11719)[:3000001]


def test_the_url_needs_no_scheme_and_its_host_no_name(run: Run) -> None:
    assert run("curl_lite.py", "192.0.2.1/connection").stdout.startswith(b"from 192.0.2.2 port ")


def test_head_and_redirect(run: Run) -> None:
    stays = run("curl_lite.py", "-i", "http://demo.pystack/redirect")
    assert stays.returncode == 0
    assert stays.stdout.startswith(b"HTTP/1.1 302 Found\r\n")
    assert b"\r\nLocation: /\r\n" in stays.stdout
    follows = run("curl_lite.py", "-L", "http://demo.pystack/redirect")
    assert (follows.returncode, follows.stdout) == (0, FRONT_PAGE.encode())


def test_an_http_error_is_no_failure(run: Run) -> None:
    result = run("curl_lite.py", "-i", "http://demo.pystack/nowhere")
    assert result.returncode == 0
    assert result.stdout.startswith(b"HTTP/1.1 404 ")


def test_addresses_may_be_chosen(run: Run) -> None:
    result = run("curl_lite.py", "--address", "10.1.2.3/16", "--gateway", "10.1.0.9", "demo.pystack/connection")
    assert result.stdout.startswith(b"from 10.1.2.3 port ")
    assert b" to 10.1.0.9 port 80\n" in result.stdout


@pytest.mark.parametrize(
    ("status", "arguments", "words"),
    [
        (1, ["https://demo.pystack/"], "not supported yet"),
        (1, ["ftp://demo.pystack/"], "not supported yet"),
        (2, ["--bogus"], "unrecognized arguments"),
        (2, ["--link", "carrier-pigeon"], "none of memory, tap"),
        (2, ["--address", "192.0.2.2"], "leaves no room"),
        (2, ["--address", "nonsense"], "no IPv4 address with prefix"),
        (2, ["--timeout", "0"], "seconds above 0"),
        (2, ["--link", "packet:eth0"], "needs --address"),
        (3, ["http://"], "names no host"),
        (3, ["http://demo.pystack:66000/"], "Port out of range"),
        (3, ["http://demo.pystack/a b"], "write a space as %20"),
        (3, ["http://[::1/"], "malformed URL"),
        (6, ["http://example.com/"], "memory link holds only demo.pystack"),
        (6, ["http://192.0.2.300/"], "cannot resolve"),
        (7, ["http://demo.pystack:81/"], "refused"),
        (7, ["http://10.9.8.7/"], "no route"),
        (7, ["http://localhost/"], "refused"),
        (18, ["http://demo.pystack/short"], "after 50 of 1000 octets"),
        (23, ["-o", "no/such/folder", "http://demo.pystack/"], "cannot write"),
        (23, ["--pcap", "no/such/folder", "http://demo.pystack/"], "cannot write the capture"),
        (28, ["--timeout", "0.2", "http://demo.pystack/slow"], "--timeout"),
        (28, ["--timeout", "0.2", "http://192.0.2.99/"], "--timeout"),
        (47, ["-L", "http://demo.pystack/loop"], "more than 50 redirects"),
        (52, ["http://demo.pystack/empty"], "without an answer"),
        (56, ["http://demo.pystack/reset"], "reset"),
    ],
)
def test_each_failure_has_curls_status_and_one_line(run: Run, status: int, arguments: list[str], words: str) -> None:
    result = run("curl_lite.py", *arguments)
    assert result.returncode == status, result.stderr
    line = one_line(result)
    assert line.startswith("curl_lite.py: ")
    assert words in line


def test_what_came_before_a_failure_is_kept(run: Run, tmp_path: Path) -> None:
    result = run("curl_lite.py", "-o", "body", "http://demo.pystack/short")
    assert result.returncode == 18
    one_line(result)
    assert len((tmp_path / "body").read_bytes()) == 50


def test_an_address_that_nobody_has_cannot_be_connected_to(run: Run) -> None:
    result = run("curl_lite.py", "http://192.0.2.99/")
    assert result.returncode == 7
    assert "192.0.2.99" in one_line(result)


def test_a_reader_that_has_gone_is_a_failed_write(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "curl_lite.py"), "http://demo.pystack/large?octets=100000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10) == bytes(range(10))
        process.stdout.close()
        complaint = process.stderr.read().decode()
        assert process.wait(timeout=30) == 23
    assert complaint.count("\n") == 1
    assert "cannot write to standard output" in complaint


def test_ctrl_c_ends_a_download_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "curl_lite.py"), "http://demo.pystack/large?octets=100000000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=30)
    assert (process.returncode, complaint) == (130, b"curl_lite.py: interrupted\n")


def test_the_story_is_told_on_stderr(run: Run) -> None:
    result = run("curl_lite.py", "-v")
    assert result.stdout == FRONT_PAGE.encode()
    story = " ".join(result.stderr.decode().split())
    told = [
        "asks everybody: who has 192.0.2.1?",
        "192.0.2.1 answers: I have it",
        "--> SYN seq 0",
        "<-- SYN ACK seq 0 ack 1",
        "SYN-SENT -> ESTABLISHED",
        '("GET / HTTP/1.1")',
        '("HTTP/1.1 200 OK")',
        "I have nothing more to say",
        "know that you are done",
    ]
    places = [story.find(words) for words in told]
    assert -1 not in places, story
    assert places == sorted(places)


def test_the_capture_holds_the_whole_exchange(run: Run, tmp_path: Path) -> None:
    assert run("curl_lite.py", "--pcap", "page.pcapng").returncode == 0
    blocks = read_blocks((tmp_path / "page.pcapng").read_bytes())
    lines = [describe(block.data, verify=True) for block in blocks if isinstance(block, EnhancedPacket)]
    assert not [line for line in lines if "checksum" in line]
    assert any("who-has 192.0.2.1" in line for line in lines)
    assert sum("Flags [S" in line for line in lines) >= 2
    assert sum("Flags [F" in line for line in lines) >= 2


class TestTarget:
    """URLs taken apart."""

    def test_the_parts(self) -> None:
        target = curl_lite.Target.parse("HTTP://User:p%40ss@Example.COM:8080/a/b?q=1#part")
        assert (target.host, target.port, target.path) == ("example.com", 8080, "/a/b?q=1")
        assert target.headers()["Authorization"] == "Basic VXNlcjpwQHNz"

    def test_what_is_left_out_has_defaults(self) -> None:
        target = curl_lite.Target.parse("example.com")
        assert (target.host, target.port, target.path, target.credentials) == ("example.com", 80, "/", None)

    def test_names_and_paths_may_have_any_letters(self) -> None:
        target = curl_lite.Target.parse("http://bücher.example/straße%20")
        assert (target.host, target.path) == ("xn--bcher-kva.example", "/stra%C3%9Fe%20")
