"""Options and sysctl commands of a script."""

from typing import Any

import pytest

from pystack.stack.config import StackConfig
from pystack.testing.packetdrill import ScriptError, Settings, supports
from pystack.testing.packetdrill.script import Option
from pystack.testing.packetdrill.settings import apply_options
from pystack.testing.packetdrill.sysctl import apply_command
from pystack.transport.tcp.ecn import ECNMode
from pystack.units import MS, SECOND
from tests.testing.packetdrill.drill import Drill


def applied(*options: tuple[str, str]) -> tuple[Settings, list[str]]:
    return apply_options(Settings(), [Option(7, name, value) for name, value in options], "a.pkt")


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("tolerance_usecs", "5000", "tolerance", 5 * MS),
        ("tcp_ts_tick_usecs", "1000", "timestamp_tick", 1 * MS),
        ("ip_version", "ipv6", "ip_version", "ipv6"),
        ("local_ip", "10.0.0.1", "local_ip", "10.0.0.1"),
        ("remote_ip", "10.0.0.2", "remote_ip", "10.0.0.2"),
        ("gateway_ip", "10.0.0.3", "gateway_ip", "10.0.0.3"),
        ("netmask_ip", "255.0.0.0", "netmask_ip", "255.0.0.0"),
        ("connect_port", "80", "connect_port", 80),
        ("bind_port", "81", "bind_port", 81),
        ("mtu", "9000", "mtu", 9000),
    ],
)
def test_options(name: str, value: str, field: str, expected: object) -> None:
    settings, skipped = applied((name, value))
    assert getattr(settings, field) == expected
    assert skipped == []


@pytest.mark.parametrize("name", ["mss", "speed", "D"])
def test_options_without_effect(name: str) -> None:
    assert applied((name, "1000")) == (Settings(), [])


def test_other_options_are_skipped_by_name() -> None:
    assert applied(("so_filename", "x.so"))[1] == ["line 7: option --so_filename"]


@pytest.mark.parametrize(("name", "value"), [("mtu", "big"), ("ip_version", "ipv5"), ("local_ip", "here")])
def test_options_with_a_wrong_value(name: str, value: str) -> None:
    with pytest.raises(ScriptError, match=f"a.pkt:7: --{name} cannot be '{value}'"):
        applied((name, value))


def test_addresses_of_the_options_are_on_the_wire(drill: Drill) -> None:
    drill.passes(
        "--local_ip=10.0.0.1 --remote_ip=10.9.0.2 --gateway_ip=10.0.0.9 --netmask_ip=255.255.0.0 --connect_port=7\n"
        "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 fcntl(3, F_SETFL, O_NONBLOCK) = 0\n"
        "+0 connect(3, ..., ...) = -1 EINPROGRESS\n+0 > S 0:0(0) <...>\n+0 < S. 0:0(0) ack 1 win 9\n"
        "+0 > . 1:1(0) ack 1\n"
        '+0 getpeername(3, {sa_family = AF_INET, sin_port = htons(7), sin_addr = inet_addr("10.9.0.2")}, [16]) = 0',
        "",
    )


def test_the_mtu_is_the_links(drill: Drill) -> None:
    drill.passes(
        "--mtu=600\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n+0 listen(3, 1) = 0\n"
        "+0 < S 0:0(0) win 65535\n+0 > S. 0:0(0) ack 1 <mss 560>",
        "",
    )


def test_ports_of_the_options_are_bound(drill: Drill) -> None:
    drill.passes(
        "--bind_port=99\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n"
        '+0 getsockname(3, {sa_family = AF_INET, sin_port = htons(99), sin_addr = inet_addr("0.0.0.0")}, [16]) = 0\n'
        "+0 listen(3, 1) = 0\n+0 < S 0:0(0) win 65535\n+0 > S. 0:0(0) ack 1 <...>",
        "",
    )


def test_what_can_be_run_here() -> None:
    assert supports("ipv4")
    assert supports("ipv6")


@pytest.mark.parametrize(
    ("command", "field", "value"),
    [
        ("sysctl -q net.ipv4.tcp_timestamps=0", "timestamps", False),
        ("sysctl -w net.ipv4.tcp_timestamps=2", "timestamps", True),
        ("sysctl net.ipv4.tcp_window_scaling = 0", "window_scaling", False),
        ("sysctl -q net.ipv4.tcp_syn_retries=3", "syn_retries", 3),
        ("sysctl -q net.ipv4.tcp_retries2=5", "retries2", 5),
        ("sysctl -q net.ipv4.tcp_fin_timeout=30", "fin_wait_2", 30 * SECOND),
        ("sysctl -q net.ipv4.tcp_keepalive_time=99", "keepalive_idle", 99 * SECOND),
        ("sysctl -q net.ipv4.tcp_keepalive_probes=4", "keepalive_count", 4),
        ('sysctl -q net.ipv4.tcp_rmem="4096 20000 30000"', "receive_buffer_max", 30000),
        ("sysctl -q net.ipv4.tcp_wmem='4096 20000 30000'", "send_buffer", 20000),
        ("../set_sysctls.py /proc/sys/net/ipv4/tcp_timestamps=0", "timestamps", False),
        ("sysctl -w net.inet.tcp.rexmit_min=100", "min_rto", 100 * MS),
        ("sysctl -w net.inet.tcp.initcwnd_segments=4", "initial_window", 4),
        ("sysctl -q net.ipv4.tcp_ecn=2", "ecn", ECNMode.PASSIVE),
        ("sysctl -w net.inet.tcp.ecn.enable=1", "ecn", ECNMode.ON),
        ("sysctl -q net.ipv4.tcp_rto_max_ms=60000", "max_rto", 60 * SECOND),
        ("sysctl -q net.ipv4.tcp_syn_linear_timeouts=4", "syn_linear_timeouts", 4),
        ("sysctl -q net.ipv4.tcp_slow_start_after_idle=0", "slow_start_after_idle", False),
        ("sysctl -w net.inet.tcp.delayed_ack=0", "delayed_ack", 0),
        ("sysctl -w net.inet.tcp.delacktime=100", "delayed_ack", 100 * MS),
        ("sysctl -w net.inet.tcp.msl=5000", "time_wait", 10 * SECOND),
        ("ip route change 192.0.2.0/24 initcwnd 4", "initial_window", 4),
        ("ip route change 192.0.2.0/24 rto_min 5ms", "min_rto", 5 * MS),
        ("ip route change 192.0.2.0/24 rto_min 0.3s", "min_rto", 300 * MS),
        ("ip route change 192.0.2.0/24 congctl newreno", "congestion", "newreno"),
        ("ip route change 192.0.2.0/24 features ecn", "ecn", ECNMode.ON),
        ("sysctl -q net.ipv4.tcp_timestamps=1 && \\\n sysctl -q net.ipv4.tcp_retries2=7", "retries2", 7),
        ("sysctl -q net.ipv4.tcp_timestamps=1; sysctl -q net.ipv4.tcp_retries2=7", "retries2", 7),
        ("sysctl -q net.ipv4.tcp_retries2=6 net.ipv4.tcp_retries1=2", "retries1", 2),
    ],
)
def test_sysctl(command: str, field: str, value: Any) -> None:
    config, skipped = apply_command(StackConfig(), command)
    assert getattr(config.tcp, field) == value
    assert skipped == []


@pytest.mark.parametrize(
    ("command", "field", "value"),
    [
        ("sysctl -q net.core.somaxconn=7", "max_backlog", 7),
        ("sysctl -q net.ipv4.tcp_max_syn_backlog=8", "half_open_limit", 8),
        ("sysctl -q net.ipv4.tcp_syncookies=0", "syn_cookies", False),
        ("sysctl -q net.ipv4.tcp_syncookies=1", "syn_cookies", True),
        ("sysctl -q net.ipv4.tcp_syncookies=2", "half_open_limit", 0),
        ('sysctl -q net.ipv4.ip_local_port_range="100 200"', "ephemeral_ports", (100, 200)),
    ],
)
def test_sysctl_of_the_stack(command: str, field: str, value: Any) -> None:
    config, skipped = apply_command(StackConfig(), command)
    assert getattr(config, field) == value
    assert skipped == []


@pytest.mark.parametrize(
    ("command", "skipped"),
    [
        ("sysctl -q net.ipv4.tcp_purple=1", "sysctl net.ipv4.tcp_purple=1"),
        ("sysctl -q net.ipv4.tcp_syn_retries=many", "sysctl net.ipv4.tcp_syn_retries=many"),
        ("tc qdisc add dev tun0 root fq", "command tc qdisc add dev tun0 root fq"),
        ("rm -rf /nowhere", "command rm -rf /nowhere"),
        ("sysctl -q net.ipv4.tcp_ecn=3", "sysctl net.ipv4.tcp_ecn=3"),
        ("sysctl -q net.ipv4.tcp_rto_max_ms=1000", "sysctl net.ipv4.tcp_rto_max_ms=1000"),
        ("sysctl -q net.ipv4.tcp_dsack=0", "sysctl net.ipv4.tcp_dsack=0"),
        ("ip route change 192.0.2.0/24 initrwnd 4", "route initrwnd=4"),
        ("ip route change 192.0.2.0/24 rto_min 5", "route rto_min=5"),
        ("ip route change 192.0.2.0/24 features purple", "route features=purple"),
    ],
)
def test_other_commands_are_skipped_by_name(command: str, skipped: str) -> None:
    assert apply_command(StackConfig(), command) == (StackConfig(), [skipped])


@pytest.mark.parametrize("name", ["net.ipv4.tcp_dsack=1", "net.ipv4.tcp_min_tso_segs=1", "net.inet.tcp.tso=0"])
def test_what_holds_anyway_and_what_nobody_sees_is_not_named(name: str) -> None:
    assert apply_command(StackConfig(), f"sysctl -q {name}") == (StackConfig(), [])


def test_what_was_skipped_is_reported_with_its_line(drill: Drill) -> None:
    report = drill.passes(
        "--purple=1\n`echo hello`\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+1 `sysctl -q a.b=1`", ""
    )
    assert report.skipped == [
        "line 1: option --purple",
        "line 2: command echo hello",
        "line 4: sysctl a.b=1",
    ]


def test_a_command_in_the_middle_concerns_what_comes_after_it(drill: Drill) -> None:
    sockets = "{} socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = {}\n"
    connect = "+0 connect({}, ..., ...) = -1 EINPROGRESS\n+0 > S 0:0(0) <{}>\n"
    drill.passes(
        "`sysctl -q net.ipv4.tcp_timestamps=0 net.ipv4.tcp_sack=0 net.ipv4.tcp_window_scaling=0`\n"
        + sockets.format("0", 3)
        + connect.format(3, "mss 1460")
        + "+0 `sysctl -q net.ipv4.tcp_window_scaling=1`\n"
        + sockets.format("+0", 4)
        + connect.format(4, "mss 1460,nop,wscale 8"),
        "",
    )
