"""Scripts as pytest's tests, and from a shell."""

import subprocess
import sys
from pathlib import Path

import pytest

GOOD = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 close(3) = 0\n"
LACKING = "0 socket(..., SOCK_RAW, 0) = 3\n"
BAD = "`tc qdisc`\n0 close(3) = 0\n"
LENIENT = """
0 socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3
+0 connect(3, ..., ...) = -1 EINPROGRESS
+0 > S 0:0(0) <...>
+0 < S. 0:0(0) ack 1 win 9999
+0 > . 1:1(0) ack 1
+0 write(3, ..., 10) = 10
+0 > . 1:11(10) ack 1
"""
NEEDS_NAMES = "#ifdef CLOSES\n0 socket(..., KIND, IPPROTO_TCP) = 3\n+0 close(3) = 0\n#endif\n"
MSS_560 = """
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 65535
+0 > S. 0:0(0) ack 1 <mss 560>
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    (tmp_path / "good.pkt").write_text(GOOD)
    (tmp_path / "only_v6.pkt").write_text("--ip_version=ipv6\n" + GOOD)
    (tmp_path / "bad.pkt").write_text(BAD)
    (tmp_path / "broken.pkt").write_text("nonsense")
    (tmp_path / "lenient.pkt").write_text(LENIENT)
    return tmp_path


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def pytest_in(folder: Path, *arguments: str) -> list[str]:
    plugin = ("-p", "pystack.testing.pytest_packetdrill", "-p", "no:cacheprovider")
    return run(folder, "pytest", *plugin, "-rA", "-c", "none.ini", "--rootdir", ".", *arguments).stdout.splitlines()


def test_scripts_are_collected_and_run_over_each_version(scripts: Path) -> None:
    (scripts / "none.ini").write_text("[pytest]\n")
    lines = pytest_in(scripts)
    assert {line for line in lines if line.startswith("PASSED")} == {
        "PASSED good.pkt::ipv4",
        "PASSED good.pkt::ipv6",
        "PASSED only_v6.pkt::ipv6",
    }
    failed = sorted(line.split(" - ")[0] for line in lines if line.startswith("FAILED"))
    assert failed == [
        "FAILED bad.pkt::ipv4",
        "FAILED bad.pkt::ipv6",
        "FAILED broken.pkt::ipv4",
        "FAILED lenient.pkt::ipv4",
        "FAILED lenient.pkt::ipv6",
    ]
    text = "\n".join(lines)
    assert "bad.pkt:2: close() returned something else" in text
    assert "broken.pkt:1: expected a time" in text


def test_lenient_mode_is_an_option(scripts: Path) -> None:
    (scripts / "none.ini").write_text("[pytest]\n")
    lines = pytest_in(scripts, "--packetdrill-lenient", "lenient.pkt")
    assert "PASSED lenient.pkt::ipv4" in lines


def test_from_a_shell(scripts: Path) -> None:
    done = run(scripts, "pystack.testing.packetdrill", "good.pkt", "only_v6.pkt")
    assert (done.returncode, done.stdout) == (
        0,
        "good.pkt: passed over ipv4\nonly_v6.pkt: passed over ipv6\n2 passed, 0 failed, 0 skipped\n",
    )


def test_what_is_not_there_is_skipped_by_name(scripts: Path) -> None:
    (scripts / "lacking.pkt").write_text(LACKING)
    (scripts / "none.ini").write_text("[pytest]\n")
    why = "lacking.pkt:1: not supported: a socket of SOCK_RAW and 0"
    assert any(line.startswith("SKIPPED") and why in line for line in pytest_in(scripts, "lacking.pkt"))
    done = run(scripts, "pystack.testing.packetdrill", "lacking.pkt")
    assert done.returncode == 0
    assert f"lacking.pkt: skipped: {why}" in done.stdout
    assert done.stdout.endswith("0 passed, 0 failed, 1 skipped\n")


def test_from_a_shell_with_a_failure(scripts: Path) -> None:
    done = run(scripts, "pystack.testing.packetdrill", "--ip_version=ipv6", "good.pkt", "bad.pkt")
    assert done.returncode == 1
    assert "good.pkt: passed over ipv6\n" in done.stdout
    assert "bad.pkt:2: close() returned something else" in done.stdout


def test_from_a_shell_with_folders(scripts: Path) -> None:
    (scripts / "below/deeper").mkdir(parents=True)
    (scripts / "below/deeper/z.pkt").write_text(GOOD)
    (scripts / "below/a.pkt").write_text(GOOD)
    done = run(scripts, "pystack.testing.packetdrill", "below", "good.pkt")
    passed = [f"{path}: passed over ipv4" for path in (Path("below/a.pkt"), Path("below/deeper/z.pkt"), "good.pkt")]
    assert done.stdout.splitlines() == [*passed, "3 passed, 0 failed, 0 skipped"]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("missing.pkt", "No such file or directory"),
        ("empty", "no file below this folder ends in .pkt"),
        ("binary.pkt", "this is not text"),
    ],
)
def test_from_a_shell_with_a_file_that_cannot_be_read(scripts: Path, path: str, problem: str) -> None:
    (scripts / "empty").mkdir()
    (scripts / "binary.pkt").write_bytes(b"\xff\xfe\x00")
    done = run(scripts, "pystack.testing.packetdrill", path, "bad.pkt", "good.pkt")
    assert (done.returncode, done.stderr) == (2, f"error: {path}: {problem}\n")
    assert done.stdout.endswith("good.pkt: passed over ipv4\n1 passed, 1 failed, 0 skipped\n")


def test_from_a_shell_quietly(scripts: Path) -> None:
    done = run(scripts, "pystack.testing.packetdrill", "-q", "good.pkt", "only_v6.pkt")
    assert done.stdout == "2 passed, 0 failed, 0 skipped\n"


def test_from_a_shell_with_everything_that_happens(scripts: Path) -> None:
    done = run(scripts, "pystack.testing.packetdrill", "-v", "good.pkt")
    assert done.stdout.splitlines()[:-1] == [
        "good.pkt: passed over ipv4",
        "    0.000000 socket() = 3",
        "    0.000000 close() = 0",
        "    2 events in 0.000000 s",
    ]


def test_from_a_shell_with_names_defined(scripts: Path) -> None:
    (scripts / "names.pkt").write_text(NEEDS_NAMES)
    given = run(scripts, "pystack.testing.packetdrill", "-v", "-D", "CLOSES", "-DKIND=SOCK_STREAM", "names.pkt")
    assert "    0.000000 close() = 0" in given.stdout.splitlines()
    lacking = run(scripts, "pystack.testing.packetdrill", "-D", "CLOSES", "names.pkt")
    assert "names.pkt:2: not supported: the name KIND" in lacking.stdout


def test_from_a_shell_with_the_mtu_of_the_link(scripts: Path) -> None:
    (scripts / "mss.pkt").write_text(MSS_560)
    assert run(scripts, "pystack.testing.packetdrill", "--mtu", "600", "mss.pkt").returncode == 0
    default = run(scripts, "pystack.testing.packetdrill", "mss.pkt")
    assert default.returncode == 1
    assert "mss 1460" in default.stdout


def test_from_a_shell_leniently(scripts: Path) -> None:
    assert run(scripts, "pystack.testing.packetdrill", "lenient.pkt").returncode == 1
    assert run(scripts, "pystack.testing.packetdrill", "--lenient", "lenient.pkt").returncode == 0


def test_from_a_shell_help_has_examples(scripts: Path) -> None:
    done = run(scripts, "pystack.testing.packetdrill", "--help")
    assert done.returncode == 0
    assert "examples:\n  python -m pystack.testing.packetdrill echo.pkt" in done.stdout
