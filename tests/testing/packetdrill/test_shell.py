"""The shell commands of a script: the settings they make, and the names of those that make none."""

from pathlib import Path

import pytest

from pystack.testing.packetdrill import run_file
from pystack.testing.packetdrill.shell import read_commands
from tests.testing.packetdrill.drill import Drill

A, B = ("net.ipv4.tcp_sack", "0"), ("net.ipv4.tcp_rmem", "4096 20000 30000")


@pytest.mark.parametrize(
    "text",
    [
        "sysctl -q net.ipv4.tcp_sack=0",
        "sysctl -qw net.ipv4.tcp_sack=0",
        "sysctl -q -w net.ipv4.tcp_sack=0 > /dev/null",
        "sysctl -w net.ipv4.tcp_sack=0 >/dev/null 2>&1",
        "sysctl -w net.ipv4.tcp_sack=0 &> /dev/null",
        "/sbin/sysctl net.ipv4.tcp_sack = 0",
        "sysctl net.ipv4.tcp_sack= 0",
        "sysctl -q 'net.ipv4.tcp_sack=0'",
        'sysctl -q net.ipv4.tcp_sack="0"',
        "sysctl -q net/ipv4/tcp_sack=0",
        "echo 0 > /proc/sys/net/ipv4/tcp_sack",
        "echo -n 0 >/proc/sys/net/ipv4/tcp_sack",
        "../common/set_sysctls.py /proc/sys/net/ipv4/tcp_sack=0",
        "# a remark\nsysctl -q net.ipv4.tcp_sack=0 # another\n",
        "set -e; sysctl -q \\\n  net.ipv4.tcp_sack=0 ; true",
    ],
)
def test_one_setting(text: str) -> None:
    assert read_commands(text) == [A]


@pytest.mark.parametrize(
    "text",
    [
        "sysctl -q net.ipv4.tcp_sack=0 net.ipv4.tcp_rmem='4096 20000 30000'",
        'sysctl -q net.ipv4.tcp_sack=0\nsysctl -q net.ipv4.tcp_rmem="4096 20000 30000"',
        'sysctl -q net.ipv4.tcp_sack=0; sysctl -q "net.ipv4.tcp_rmem=4096 20000 30000"',
        "sysctl -q net.ipv4.tcp_sack=0 && \\\n sysctl -q net.ipv4.tcp_rmem=4096\\ 20000\\ 30000",
        'sysctl -q net.ipv4.tcp_sack=0 || true; echo "4096 20000 30000" > /proc/sys/net/ipv4/tcp_rmem',
        "set_sysctls.py /proc/sys/net/ipv4/tcp_sack=0 \\\n '/proc/sys/net/ipv4/tcp_rmem=4096 20000 30000'",
    ],
)
def test_several_settings(text: str) -> None:
    assert read_commands(text) == [A, B]


def test_settings_of_a_route() -> None:
    found = read_commands("ip route change 192.0.2.0/24 via 192.168.0.2 dev tun0 initcwnd 4 rto_min 5ms; ip route show")
    assert found == [("route initcwnd", "4"), ("route rto_min", "5ms"), "ip route show"]


@pytest.mark.parametrize(
    ("text", "skipped"),
    [
        ("sysctl net.ipv4.tcp_sack", ["sysctl net.ipv4.tcp_sack"]),
        ("cat /proc/net/tcp | wc -l", ["cat /proc/net/tcp", "wc -l"]),
        ("tc qdisc add dev tun0 root fq &", ["tc qdisc add dev tun0 root fq"]),
        ("/tmp/sysctl_restore_${PPID}.sh", ["/tmp/sysctl_restore_${PPID}.sh"]),
        ("echo 'not closed", ["echo 'not closed"]),
        ("(sleep 1)", ["(sleep 1)"]),
        ("", []),
    ],
)
def test_what_sets_nothing_is_named(text: str, skipped: list[str]) -> None:
    assert read_commands(text) == skipped


DEFAULTS = """#!/bin/bash
# what all scripts have in common
set -e
sysctl -q net.ipv4.tcp_sack=0 \\
  net.ipv4.tcp_timestamps=0
tc qdisc add dev tun0 root fq
sysctl -q net.ipv4.tcp_purple="1 2"
"""
PLAIN_SYN = """
0 socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3
+0 connect(3, ..., ...) = -1 EINPROGRESS
+0 > S 0:0(0) <mss 1460,nop,wscale 8>
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "common").mkdir()
    (tmp_path / "common/defaults.sh").write_text(DEFAULTS)
    (tmp_path / "common/more").write_text("#!/bin/sh\n./common/defaults.sh\n")
    (tmp_path / "tcp").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "command", ["../common/defaults.sh", "source ../common/defaults.sh", "bash ../common/defaults.sh 1>&2"]
)
def test_a_shell_script_beside_the_script_is_read(folder: Path, command: str) -> None:
    script = folder / "tcp/syn.pkt"
    script.write_text(f"`{command}`" + PLAIN_SYN)
    assert run_file(script).skipped == [
        "line 1: command tc qdisc add dev tun0 root fq",
        "line 1: sysctl net.ipv4.tcp_purple=1 2",
    ]


def test_a_shell_script_may_run_another_one(folder: Path) -> None:
    assert A in read_commands("common/more", folder)


def test_a_shell_script_that_runs_itself_is_read_only_so_often(folder: Path) -> None:
    (folder / "again.sh").write_text("sysctl -q net.ipv4.tcp_sack=0\n./again.sh\n")
    assert read_commands("./again.sh", folder) == [A] * 4 + ["./again.sh"]


@pytest.mark.parametrize("command", ["../common/missing.sh", "/etc/profile.sh", "common/tool.py", "common"])
def test_other_files_are_named(folder: Path, command: str) -> None:
    (folder / "common/tool.py").write_text("print('sysctl -q net.ipv4.tcp_sack=0')\n")
    assert read_commands(command, folder) == [command]


def test_without_a_folder_no_file_is_read(drill: Drill) -> None:
    report = drill.passes("`../common/defaults.sh`\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3", "")
    assert report.skipped == ["line 1: command ../common/defaults.sh"]
