"""What is injected, what is compared: numbers on both sides, options, marks, joined segments, UDP and ICMP."""

import pytest

from tests.testing.packetdrill.drill import LISTEN, Drill

DATA = "+.1  write(4, ..., 3000) = 3000\n"


# --- sequence numbers


def test_numbers_of_both_sides_count_from_their_syn(drill: Drill) -> None:
    drill.passes(
        LISTEN + "+0 < S 4294967290:4294967290(0) win 65535 <mss 1000>\n+0 > S. 0:0(0) ack 1 <...>\n"
        "+.1 < P. 1:101(100) ack 1 win 65535\n+0 > . 1:1(0) ack 101\n+0 accept(3, ..., ...) = 4\n"
        "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 101",
        "",
    )


def test_our_number_in_the_script_is_free(drill: Drill) -> None:
    drill.passes(
        LISTEN + "+0 < S 0:0(0) win 65535\n+0 > S. 7000:7000(0) ack 1 <...>\n+1 > S. 7000:7000(0) ack 1 <...>", ""
    )


def test_sack_edges_are_relative_both_ways(drill: Drill) -> None:
    drill.passes(
        LISTEN + "+0 < S 100:100(0) win 65535 <mss 1000,nop,nop,sackOK>\n+0 > S. 0:0(0) ack 1 <...>\n"
        "+.1 < . 1:1(0) ack 1 win 65535\n+0 accept(3, ..., ...) = 4\n+.1 write(4, ..., 4000) = 4000\n"
        "+0 > P. 1:4001(4000) ack 1\n+.1 < . 1:1(0) ack 1 win 65535 <nop,nop,sack 1001:4001>\n"
        "+0 > . 1:1001(1000) ack 1\n+0 < . 11:21(10) ack 4001 win 65535\n"
        "+0 > . 4001:4001(0) ack 1 <nop,nop,sack 11:21>",
        "",
    )


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("> P. 2:3002(3000) ack 1", "sequence number"),
        ("> P. 1:3001(3000) ack 2", "acknowledgement"),
        ("> PF. 1:3001(3000) ack 1", "flags"),
        ("> P. 1:3001(3000) ack 1 win 1", "window"),
        ("> P. 1:3001(3000) ack 1 <nop>", "options"),
        ("> P. 1:3001(3000) ack 1 urg 1", "urgent pointer"),
        ("> [ce] P. 1:3001(3000) ack 1", "IP header"),
        ("> [ttl 3] P. 1:3001(3000) ack 1", "IP header"),
        ("> P. 1:3101(3100) ack 1", "flags, length"),
    ],
)
def test_each_field_is_compared(drill: Drill, wrong: str, problem: str) -> None:
    assert f"{problem} not as expected" in drill.fails(DATA + "+0 " + wrong)


def test_fields_left_out_are_not_compared(drill: Drill) -> None:
    drill.passes(DATA + "+0 > P. 1:3001(3000) ack 1")
    drill.passes(DATA + "+0 > [noecn] P. 1:3001(3000) ack 1 <...>")


# --- joined segments


def test_a_run_of_equal_segments_is_one(drill: Drill) -> None:
    drill.passes(DATA + "+0 > P. 1:3001(3000) ack 1")
    drill.passes(DATA + "+0 > . 1:1001(1000) ack 1\n+0 > P. 1001:2001(1000) ack 1\n+0 > P. 2001:3001(1000) ack 1")
    drill.passes(DATA + "+0 > P. 1:2001(2000) ack 1\n+0 > P. 2001:3001(1000) ack 1")


def test_the_last_of_a_run_may_be_shorter(drill: Drill) -> None:
    drill.passes(
        "+0 setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = 0\n+.1 write(4, ..., 2500) = 2500\n+0 > P. 1:2501(2500) ack 1"
    )


def test_segments_of_different_times_are_not_joined(drill: Drill) -> None:
    text = drill.fails(
        "+0 setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = 0\n+.1 write(4, ..., 100) = 100\n"
        "+.1 write(4, ..., 100) = 100\n0.2 > P. 1:201(200) ack 1"
    )
    assert "length not as expected" in text


# --- TCP options


OFFER = LISTEN + "+0 < S 0:0(0) win 65535 <mss 1000,nop,nop,TS val 700 ecr 0>\n"


def test_options_are_compared_in_order(drill: Drill) -> None:
    drill.passes(OFFER + "+0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,TS val 5 ecr 700>", "")
    swapped = OFFER + "+0 > S. 0:0(0) ack 1 <nop,nop,TS val 5 ecr 700,mss 1460>"
    assert "options not as expected" in drill.fails(swapped, "")


def test_lenient_mode_lets_order_and_padding_differ(drill: Drill) -> None:
    drill.passes(OFFER + "+0 > S. 0:0(0) ack 1 <TS val 5 ecr 700,mss 1460>", "", strict=False)
    less = OFFER + "+0 > S. 0:0(0) ack 1 <mss 1460>"
    assert "options not as expected" in drill.fails(less, "", strict=False)


def test_lenient_mode_lets_psh_differ(drill: Drill) -> None:
    unpushed = DATA + "+0 > . 1:3001(3000) ack 1"
    assert "flags not as expected" in drill.fails(unpushed)
    drill.passes(unpushed, strict=False)


def test_no_options_means_none(drill: Drill) -> None:
    assert "options not as expected" in drill.fails(OFFER + "+0 > S. 0:0(0) ack 1", "")


STAMPED = (
    OFFER + "+0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,TS val 5 ecr 700>\n"
    "+.1 < . 1:1(0) ack 1 win 65535 <nop,nop,TS val 800 ecr 5>\n+0 accept(3, ..., ...) = 4\n"
)


def test_our_timestamps_count_from_the_first(drill: Drill) -> None:
    """The echo of what the script calls 5 is understood: the round trip is 100 ms."""
    drill.passes(STAMPED + "+0 %{ assert 99000 <= tcpi_rtt <= 101000, tcpi_rtt }%", "")


def test_an_echo_of_what_was_never_sent_counts_from_the_first(drill: Drill) -> None:
    drill.passes(
        STAMPED + "+.1 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 <...>\n"
        "+.1 < . 1:1(0) ack 11 win 65535 <nop,nop,TS val 1000 ecr 205>\n"
        "+0 %{ assert 99000 <= tcpi_rtt <= 101000, tcpi_rtt }%",
        "",
    )


def test_our_timestamps_are_compared_only_with_a_tick(drill: Drill) -> None:
    sent = "+.1 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 <nop,nop,TS val {} ecr 800>"
    drill.passes(STAMPED + sent.format(9999), "")
    drill.passes("--tcp_ts_tick_usecs=1000\n" + STAMPED + sent.format(205), "")
    report = drill.fails("--tcp_ts_tick_usecs=1000\n" + STAMPED + sent.format(9999), "")
    assert "TS val 205 ecr 800" in report


def test_the_echo_of_the_scripts_timestamps_is_compared(drill: Drill) -> None:
    assert "ecr 700" in drill.fails(OFFER + "+0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,TS val 5 ecr 701>", "")


# --- marks


def test_ecn_marks_go_in_and_out(drill: Drill) -> None:
    drill.passes("+.1 < [ce] P. 1:11(10) ack 1 win 65535\n+0 > [noecn] . 1:1(0) ack 11")
    assert "[noecn]" in drill.fails("+.1 < [ect0] P. 1:11(10) ack 1 win 65535\n+0 > [ce] . 1:1(0) ack 11")


# --- which connection


def test_after_listen_a_syn_opens_another_connection(drill: Drill) -> None:
    drill.passes(
        "+0 listen(3, 5) = 0\n+0 < S 0:0(0) win 65535\n+0 > S. 0:0(0) ack 1 <...>\n+.1 < . 1:1(0) ack 1 win 65535\n"
        "+0 accept(3, ..., ...) = 5\n+0 write(5, ..., 10) = 10\n+0 > P. 1:11(10) ack 1"
    )


def test_packets_of_earlier_connections_go_unseen(drill: Drill) -> None:
    drill.passes(
        "+0 listen(3, 5) = 0\n+0 < S 0:0(0) win 65535\n+0 > S. 0:0(0) ack 1 <...>\n+.1 < . 1:1(0) ack 1 win 65535\n"
        "+0 write(4, ..., 10) = 10\n+0 accept(3, ..., ...) = 5\n+0 write(5, ..., 20) = 20\n+0 > P. 1:21(20) ack 1",
        complete=True,
    )


def test_a_packet_that_no_event_expects_may_be_an_error(drill: Drill) -> None:
    drill.passes(DATA)
    text = drill.fails(DATA, complete=True)
    assert "something is left that it did not expect" in text
    assert "length 1000" in text


# --- UDP and ICMP


def test_udp_both_ways(drill: Drill) -> None:
    drill.passes(
        "+0 sendto(3, ..., 10, 0, ..., ...) = 10\n+0 > udp (10)\n+0 < udp (20)\n+0 read(3, ..., 99) = 20", "udp"
    )
    assert "length not as expected" in drill.fails("+0 sendto(3, ..., 10, 0, ..., ...) = 10\n+0 > udp (11)", "udp")


def test_another_kind_of_packet(drill: Drill) -> None:
    text = drill.fails(DATA + "+0 > udp (3000)")
    assert "another kind of packet was sent" in text


@pytest.mark.parametrize("version", ["ipv4", "ipv6"])
def test_icmp_out(drill: Drill, version: str) -> None:
    name = {"ipv4": "icmp", "ipv6": "icmpv6"}[version]
    lines = f"+0 close(3) = 0\n+0 < udp (10)\n+0 > {name} unreachable"
    drill.passes(f"{lines} port_unreachable [udp (10)]", "udp", ip_version=version)
    other = {"ipv4": "host_unreachable", "ipv6": "noroute"}[version]
    assert "message not as expected" in drill.fails(f"{lines} {other}", "udp", ip_version=version)


def test_icmp_in(drill: Drill) -> None:
    drill.passes(
        "0 socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3\n+0 connect(3, ..., ...) = -1 EINPROGRESS\n"
        "+0 > S 0:0(0) <...>\n+.1 < icmp unreachable port_unreachable [0:0(0)]\n"
        "+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [ECONNREFUSED], [4]) = 0",
        "",
    )


@pytest.mark.parametrize("version", ["ipv4", "ipv6", "ipv4_mapped_ipv6"])
def test_every_version(drill: Drill, version: str) -> None:
    drill.passes(DATA + "+0 > P. 1:3001(3000) ack 1", ip_version=version)


def test_a_packet_that_cannot_be_built(drill: Drill) -> None:
    text = drill.fails("+0 < . 1:1(0) ack 1 win 70000")
    assert "this packet cannot be built" in text
