"""Each socket call, with its results and its values by reference."""

import pytest

from tests.testing.packetdrill.drill import Drill

SOCKET = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
RECEIVED = "+.1 < P. 1:101(100) ack 1 win 65535\n+0 > . 1:1(0) ack 101\n"


def test_descriptors_are_the_scripts_numbers(drill: Drill) -> None:
    drill.passes("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 17\n+0 close(17) = 0\n+0 close(17) = -1 EBADF", "")


def test_another_result(drill: Drill) -> None:
    text = drill.fails("+0 write(4, ..., 10) = 11")
    assert "write() returned something else\n" in text
    assert "expected 11\nreturned 10 at 0.100000 s" in text


def test_an_error_instead_of_a_result(drill: Drill) -> None:
    text = drill.fails("0 close(9) = 0", "")
    assert "returned -1 EBADF" in text


def test_another_error(drill: Drill) -> None:
    assert "expected -1 EPIPE\nreturned -1 EBADF" in drill.fails("0 close(9) = -1 EPIPE (Broken pipe)", "")


def test_any_error_and_any_result(drill: Drill) -> None:
    drill.passes("0 close(9) = -1", "")
    drill.passes("0 close(9) = ?", "")


def test_flags_of_a_descriptor(drill: Drill) -> None:
    drill.passes(
        SOCKET + "+0 fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)\n+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n"
        "+0 fcntl(3, F_GETFL) = O_RDWR|O_NONBLOCK\n+0 ioctl(3, FIONBIO, [0]) = 0\n+0 fcntl(3, F_GETFL) = O_RDWR",
        "",
    )


def test_socket_that_does_not_wait(drill: Drill) -> None:
    drill.passes("0 socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0) = 3\n+0 fcntl(3, F_GETFL) = 0x802", "")


def test_accept_that_does_not_wait(drill: Drill) -> None:
    drill.passes(
        "+0 fcntl(3, F_SETFL, O_NONBLOCK) = 0\n+0 accept(3, ..., ...) = -1 EAGAIN (Resource temporarily unavailable)",
        "listen",
    )


def test_bind_to_an_address(drill: Drill) -> None:
    drill.passes(
        SOCKET
        + '+0 bind(3, {sa_family = AF_INET, sin_port = htons(99), sin_addr = inet_addr("192.168.0.1")}, 16) = 0\n'
        '+0 getsockname(3, {sa_family = AF_INET, sin_port = htons(99), sin_addr = inet_addr("192.168.0.1")}, [16]) = 0',
        "",
    )
    elsewhere = '{sa_family = AF_INET, sin_port = htons(99), sin_addr = inet_addr("9.9.9.9")}'
    drill.passes(SOCKET + f"+0 bind(3, {elsewhere}, 16) = -1 EADDRNOTAVAIL", "")


def test_another_address(drill: Drill) -> None:
    text = drill.fails(
        SOCKET + "+0 bind(3, ..., ...) = 0\n"
        '+0 getsockname(3, {sa_family = AF_INET, sin_port = htons(99), sin_addr = inet_addr("192.168.0.1")}, [16]) = 0',
        "",
    )
    assert "the address: expected ('192.168.0.1', 99), got ('0.0.0.0', 8080)" in text


def test_addresses_of_ipv6(drill: Drill) -> None:
    drill.passes(
        SOCKET + "+0 bind(3, {sa_family = AF_INET6, sin6_port = htons(99),"
        ' inet_pton(AF_INET6, "fd3d:a0b:17d6::1", &sin6_addr)}, 28) = 0',
        "",
        ip_version="ipv6",
    )


def test_ipv4_in_ipv6_is_ipv4(drill: Drill) -> None:
    drill.passes(
        SOCKET + "+0 bind(3, {sa_family = AF_INET6, sin6_port = htons(99), sin6_addr = inet_pton(AF_INET6,"
        ' "::ffff:192.168.0.1")}, 28) = 0',
        "",
        ip_version="ipv4_mapped_ipv6",
    )


def test_connect_step_by_step(drill: Drill) -> None:
    drill.passes(
        SOCKET + "+0 fcntl(3, F_SETFL, O_NONBLOCK) = 0\n+0 connect(3, ..., ...) = -1 EINPROGRESS (in progress)\n"
        "+0 > S 0:0(0) <...>\n+0 connect(3, ..., ...) = -1 EALREADY\n+0 < S. 0:0(0) ack 1 win 99\n+0 > . 1:1(0) ack 1\n"
        "+0 connect(3, ..., ...) = 0\n+0 connect(3, ..., ...) = -1 EISCONN",
        "",
    )


@pytest.mark.parametrize(
    "call",
    [
        "write(4, ..., 30)",
        "writev(4, [{..., 10}, {..., 20}], 2)",
        "send(4, ..., 30, 0)",
        "send(4, ..., 30, MSG_NOSIGNAL|MSG_DONTWAIT)",
        "sendto(4, ..., 30, 0, ..., ...)",
        "sendmsg(4, {msg_name(...)=..., msg_iov(2)=[{..., 10}, {..., 20}], msg_flags=0}, 0)",
    ],
)
def test_sending(drill: Drill, call: str) -> None:
    drill.passes(f"+0 {call} = 30\n+0 > P. 1:31(30) ack 1")


@pytest.mark.parametrize(
    "call",
    [
        "read(4, ..., 1000)",
        "readv(4, [{..., 10}, {..., 2000}], 2)",
        "recv(4, ..., 1000, 0)",
        "recv(4, ..., 1000, MSG_PEEK)",
        "recvfrom(4, ..., 1000, 0, ..., ...)",
        "recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 1000}], msg_flags=0}, 0)",
    ],
)
def test_receiving(drill: Drill, call: str) -> None:
    drill.passes(f"{RECEIVED}+0 {call} = 100")


def test_receiving_without_waiting(drill: Drill) -> None:
    drill.passes("+0 recv(4, ..., 10, MSG_DONTWAIT) = -1 EAGAIN (Resource temporarily unavailable)")


def test_waiting_for_all(drill: Drill) -> None:
    drill.passes(
        RECEIVED
        + "+0...0.1 recv(4, ..., 150, MSG_WAITALL) = 150\n+.1 < P. 101:201(100) ack 1 win 9\n* > . 1:1(0) ack 201"
    )


def test_the_sender_of_a_datagram(drill: Drill) -> None:
    sender = '{{sa_family = AF_INET, sin_port = htons({}), sin_addr = inet_addr("192.0.2.1")}}'
    lines = f"+0 < udp (5)\n+0 recvfrom(3, ..., 9, 0, {sender}, [16]) = 5"
    drill.passes(lines.format(8080), "udp")
    assert "the address: expected ('192.0.2.1', 9)" in drill.fails(lines.format(9), "udp")


def test_a_datagram_to_an_address(drill: Drill) -> None:
    target = '{sa_family = AF_INET, sin_port = htons(9), sin_addr = inet_addr("192.0.2.7")}'
    drill.passes(
        f"+0 sendto(3, ..., 5, 0, {target}, 16) = 5\n+0 > udp (5)\n+0 < udp (6)\n+0 read(3, ..., 9) = 6", "udp"
    )


def test_timeouts_of_a_descriptor(drill: Drill) -> None:
    drill.passes(
        "+0 setsockopt(4, SOL_SOCKET, SO_RCVTIMEO, {tv_sec=1, tv_usec=500000}, 16) = 0\n"
        "+0...1.5 read(4, ..., 9) = -1 EAGAIN (Resource temporarily unavailable)"
    )


def test_a_write_that_blocks_until_the_peer_has_taken_it(drill: Drill) -> None:
    drill.passes(
        "+0 setsockopt(4, SOL_SOCKET, SO_SNDBUF, [2500], 4) = 0\n+0...0.1 write(4, ..., 5500) = 5500\n"
        "+0 > P. 1:4001(4000) ack 1\n+.1 < . 1:1(0) ack 4001 win 65535\n* > P. 4001:5001(1000) ack 1"
    )


def test_a_write_that_takes_what_fits(drill: Drill) -> None:
    drill.passes(
        "+0 setsockopt(4, SOL_SOCKET, SO_SNDBUF, [2000], 4) = 0\n+0 fcntl(4, F_SETFL, O_NONBLOCK) = 0\n"
        "+0 write(4, ..., 1000000) = ?\n+0 write(4, ..., 1) = -1 EAGAIN"
    )


def test_options_that_are_numbers(drill: Drill) -> None:
    drill.passes(
        "+0 setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = 0\n+0 getsockopt(4, SOL_TCP, TCP_NODELAY, [1], [4]) = 0\n"
        "+0 getsockopt(4, SOL_TCP, TCP_NODELAY, ..., [4]) = 0"
    )
    text = drill.fails("+0 getsockopt(4, SOL_TCP, TCP_NODELAY, [1], [4]) = 0")
    assert "the option's value: expected 1, got 0" in text


def test_linger(drill: Drill) -> None:
    drill.passes(
        "+0 setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=7}, 8) = 0\n"
        "+0 getsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=7}, [8]) = 0"
    )
    wrong = "+0 getsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=7}, [8]) = 0"
    assert "(l_onoff, l_linger): expected (1, 7), got (0, 0)" in drill.fails(wrong)


def test_pending_error_by_name(drill: Drill) -> None:
    drill.passes("+.1 < R 1:1(0) win 0\n+0 getsockopt(4, SOL_SOCKET, SO_ERROR, [ECONNRESET], [4]) = 0")


def test_queues(drill: Drill) -> None:
    drill.passes(
        RECEIVED + "+0 ioctl(4, SIOCINQ, [100]) = 0\n+0 write(4, ..., 10) = 10\n+0 ioctl(4, SIOCOUTQ, [10]) = 0"
    )
    assert "the value: expected 99, got 100" in drill.fails(RECEIVED + "+0 ioctl(4, FIONREAD, [99]) = 0")


def test_poll_at_once(drill: Drill) -> None:
    drill.passes(
        RECEIVED + "+0 poll([{fd=4, events=POLLIN|POLLOUT, revents=POLLIN|POLLOUT}, {fd=3, events=POLLIN, revents=0}],"
        " 2, 0) = 1"
    )
    text = drill.fails("+0 poll([{fd=4, events=POLLOUT, revents=0}], 1, 0) = 1")
    assert "revents of 4: expected 0, got 4" in text


def test_poll_waits(drill: Drill) -> None:
    two = "[{fd=3, events=POLLIN, revents=0}, {fd=4, events=POLLIN, revents=POLLIN}]"
    drill.passes(f"+0...0.2 poll({two}, 2, -1) = 1\n+.2 < P. 1:11(10) ack 1 win 9\n+0 > . 1:1(0) ack 11")


def test_poll_times_out(drill: Drill) -> None:
    drill.passes("+0...0.25 poll([{fd=4, events=POLLIN, revents=0}], 1, 250) = 0")


def test_poll_hears_of_the_end(drill: Drill) -> None:
    drill.passes("+.1 < R 1:1(0) win 0\n+0 poll([{fd=4, events=POLLIN, revents=POLLIN|POLLERR|POLLHUP}], 1, 0) = 1")


def test_shutdown(drill: Drill) -> None:
    drill.passes("+0 shutdown(4, SHUT_WR) = 0\n+0 > F. 1:1(0) ack 1\n+0 shutdown(4, 7) = -1 EINVAL")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("close(3, 4) = 0", "close() does not take 2 arguments"),
        ("poll(..., 1, 0) = 0", "poll() takes"),
        ("bind(4, 7, 4) = 0", "7 is not a socket address"),
        ("setsockopt(4, SOL_SOCKET, SO_LINGER, {a=1}, 4) = 0", None),
        ("setsockopt(4, SOL_SOCKET, SO_RCVTIMEO, [7], 4) = 0", "is not a struct timeval"),
        ("writev(4, 7, 1) = 0", "is not a list of buffers"),
        ("sendmsg(4, 7, 0) = 0", "a message is"),
    ],
)
def test_what_means_nothing_is_said(drill: Drill, line: str, problem: str | None) -> None:
    if problem is None:
        drill.passes(f"+0 {line}")
    else:
        assert problem in drill.fails(f"+0 {line}")


@pytest.mark.parametrize(
    ("line", "construct"),
    [
        ("mmap(4, 1) = 0", "mmap()"),
        ("socket(..., SOCK_RAW, 0) = 5", "a socket of SOCK_RAW and 0"),
        ("socket(..., SOCK_STREAM, IPPROTO_MPTCP) = 5", "IPPROTO_MPTCP"),
        ("socket(AF_UNIX, SOCK_STREAM, 0) = 5", "the family AF_UNIX"),
        ("fcntl(4, 99) = 0", "fcntl() with command 99"),
        ("ioctl(4, 99, [1]) = 0", "ioctl() with request 0x63"),
        ("setsockopt(4, SOL_SOCKET, SO_ZEROCOPY, [1], 4) = 0", "setsockopt() with SO_ZEROCOPY"),
        ("setsockopt(4, SOL_SOCKET, SO_TXTIME, {clockid=0, flags=1}, 8) = 0", "setsockopt() with SO_TXTIME"),
        ("getsockopt(4, SOL_SOCKET, SO_MEMINFO, ..., ...) = 0", "getsockopt() with SO_MEMINFO"),
        ("setsockopt(4, SOL_TCP, TCP_COLOUR, [1], 4) = 0", "the name TCP_COLOUR"),
        ("recv(4, ..., 10, MSG_ERRQUEUE) = 0", "MSG_ERRQUEUE"),
        (
            "recvmsg(4, {msg_iov(1)=[{..., 9}], msg_control=[{cmsg_level=0, cmsg_type=0, cmsg_data=0}]}, 0) = 0",
            "msg_control: 0",
        ),
    ],
)
def test_what_is_not_there_is_named(drill: Drill, line: str, construct: str) -> None:
    assert construct in drill.lacks(f"+0 {line}")


def test_an_option_that_the_script_expects_to_be_refused(drill: Drill) -> None:
    drill.passes("+0 setsockopt(4, SOL_SOCKET, SO_ZEROCOPY, [1], 4) = -1 ENOPROTOOPT (Protocol not available)")


def test_an_option_that_no_packet_would_show(drill: Drill) -> None:
    report = drill.passes(
        "+0 setsockopt(4, SOL_SOCKET, SO_PRIORITY, [6], 4) = 0\n+0 getsockopt(4, SOL_SOCKET, SO_PRIORITY, [6], [4]) = 0"
    )
    assert report.skipped == ["line 10: the socket option SO_PRIORITY"]


def test_tcp_info_field_by_field(drill: Drill) -> None:
    lines = "+0 getsockopt(4, SOL_TCP, TCP_INFO, {{tcpi_state=1, tcpi_snd_cwnd={}}}, [232]) = 0"
    drill.passes("+0 getsockopt(4, SOL_TCP, TCP_INFO, ..., ...) = 0\n" + lines.format(10))
    assert "tcpi_snd_cwnd: expected 11, got 10" in drill.fails(lines.format(11))


EPOLL = "+0 epoll_create(1) = 5\n+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=%s, fd=4}) = 0\n"


def test_epoll_tells_a_level(drill: Drill) -> None:
    told = "+0 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, 0) = 1\n"
    drill.passes(EPOLL % "EPOLLIN" + "+0 epoll_wait(5, ..., 1, 0) = 0\n" + RECEIVED + told + told)
    wrong = EPOLL % "EPOLLIN|EPOLLOUT" + "+0 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, 0) = 1"
    assert "expected [(1, 4)], got [(4, 4)]" in drill.fails(wrong)


def test_epoll_tells_an_edge_once(drill: Drill) -> None:
    told = "+0 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, 0) = 1\n+0 epoll_wait(5, ..., 1, 0) = 0\n"
    more = "+.1 < P. 101:201(100) ack 1 win 65535\n+0 > . 1:1(0) ack 201\n"
    drill.passes(EPOLL % "EPOLLIN|EPOLLET" + RECEIVED + told + more + told)


def test_epoll_once_only(drill: Drill) -> None:
    drill.passes(
        EPOLL % "EPOLLOUT|EPOLLONESHOT" + "+0 epoll_wait(5, {events=EPOLLOUT, fd=4}, 1, 0) = 1\n"
        "+0 epoll_wait(5, ..., 1, 0) = 0\n+0 epoll_ctl(5, EPOLL_CTL_MOD, 4, {events=EPOLLOUT, fd=4}) = 0\n"
        "+0 epoll_wait(5, {events=EPOLLOUT, fd=4}, 1, 0) = 1\n+0 epoll_ctl(5, EPOLL_CTL_DEL, 4, ...) = 0\n"
        "+0 epoll_ctl(5, EPOLL_CTL_DEL, 4, ...) = -1 ENOENT (No such file or directory)"
    )


def test_epoll_waits(drill: Drill) -> None:
    drill.passes(
        EPOLL % "EPOLLIN" + "+0...0.2 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, -1) = 1\n"
        "+.2 < P. 1:11(10) ack 1 win 9\n+0 > . 1:1(0) ack 11\n+0 read(4, ..., 100) = 10\n"
        "+0...0.1 epoll_wait(5, ..., 1, 100) = 0"
    )


def test_poll_of_what_is_no_descriptor(drill: Drill) -> None:
    drill.passes("+0 poll([{fd=9, events=POLLIN, revents=POLLNVAL}, {fd=-1, events=POLLIN, revents=0}], 2, 0) = 1")


def test_splice_by_way_of_a_pipe(drill: Drill) -> None:
    drill.passes(
        "+0 pipe([5, 6]) = 0\n+0 splice(5, NULL, 4, NULL, 100, 0) = -1 EAGAIN\n"
        + RECEIVED
        + "+0 splice(4, NULL, 6, NULL, 60, 0) = 60\n+0 splice(5, NULL, 4, NULL, 100, 0) = 60\n"
        "+0 > P. 1:61(60) ack 101\n"
        "+0 close(5) = 0\n+0 read(4, ..., 100) = 40"
    )


def test_sendfile(drill: Drill) -> None:
    drill.passes(
        '+0 open("/any/file", O_RDONLY) = 5\n+0 sendfile(4, 5, [0], 300) = 300\n+0 > P. 1:301(300) ack 1\n'
        "+0 close(5) = 0\n+0 sendfile(4, 5, [0], 1) = -1 EBADF (Bad file descriptor)"
    )


def test_close_waits_for_its_linger_time(drill: Drill) -> None:
    linger = "+0 setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=1}, 8) = 0\n"
    drill.passes(linger + "+0...0.1 close(4) = 0\n+0 > F. 1:1(0) ack 1\n+.1 < . 1:1(0) ack 2 win 9")
    drill.passes(linger + "+0...1 close(4) = 0\n+0 > F. 1:1(0) ack 1\n* > F. 1:1(0) ack 1\n* > F. 1:1(0) ack 1")


def test_a_call_that_should_block_and_does_not(drill: Drill) -> None:
    assert "the call's return came 0.200000 s too early" in drill.fails("+0...0.2 write(4, ..., 1) = 1")


CONTROL = "msg_control=[{cmsg_level=SOL_TCP, cmsg_type=%s, cmsg_data=%d}]"
MESSAGE = "+0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., %d}], msg_flags=0, %s}, 0) = %d\n"


def test_what_is_left_to_read_is_told_by_recvmsg(drill: Drill) -> None:
    drill.passes(
        RECEIVED + MESSAGE % (10, "msg_control=[]", 10) + "+0 setsockopt(4, SOL_TCP, TCP_INQ, [1], 4) = 0\n"
        "+0 getsockopt(4, SOL_TCP, TCP_INQ, [1], [4]) = 0\n"
        + MESSAGE % (40, CONTROL % ("TCP_CM_INQ", 50), 40)
        + MESSAGE % (50, CONTROL % ("TCP_CM_INQ", 0), 50)
        + "+0 < F. 101:101(0) ack 1 win 9\n+.04 > . 1:1(0) ack 102\n"
        + MESSAGE % (50, CONTROL % ("TCP_CM_INQ", 1), 0)
    )
    text = drill.fails(
        RECEIVED + "+0 setsockopt(4, SOL_TCP, TCP_INQ, [1], 4) = 0\n" + MESSAGE % (40, CONTROL % ("TCP_CM_INQ", 50), 40)
    )
    assert "expected ((6, 36, 50),), got ((6, 36, 60),)" in text


def test_other_ancillary_data_is_not_there(drill: Drill) -> None:
    assert drill.lacks(MESSAGE % (1, CONTROL % ("SCM_TIMESTAMPING", 0), 1)) == "msg_control: SCM_TIMESTAMPING"
    sending = "+0 sendmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 9}], msg_flags=0, %s}, 0) = 9"
    assert drill.lacks(sending % CONTROL % ("TCP_CM_INQ", 0)) == "msg_control: ancillary data to send"


@pytest.mark.parametrize("call", ["write(4, NULL, 9)", "send(4, NULL, 9, 0)", "sendto(4, NULL, 9, 0, ..., ...)"])
def test_nothing_is_sent_from_null(drill: Drill, call: str) -> None:
    drill.passes(f"+0 {call} = -1 EFAULT (Bad address)\n+0 write(4, NULL, 0) = 0")


@pytest.mark.parametrize("call", ["read(4, NULL, 9)", "recv(4, NULL, 9, 0)", "recvfrom(4, NULL, 9, 0, ..., ...)"])
def test_nothing_is_read_to_null(drill: Drill, call: str) -> None:
    drill.passes(f"{RECEIVED}+0 {call} = -1 EFAULT (Bad address)\n+0 read(4, ..., 1000) = 100")
