"""Each failure that a user meets on a real link: the class is the standard library's, the sentence says what to do."""

import errno
import os
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

import pystack
from tests.interop import helpers
from tests.interop.helpers import KERNEL, OURS, PREFIX, Nginx, example, run

pytestmark = [pytest.mark.interop, pytest.mark.requires("nginx")]

NOBODY = 65534


@pytest.fixture
def host(offload: bool) -> Iterator[pystack.Host]:
    link = pystack.TapLink("pystack0", host_address=f"{KERNEL}/{PREFIX}", offload=offload)
    with pystack.Host(link, address=f"{OURS}/{PREFIX}") as host:
        yield host


@contextmanager
def raises(code: int) -> Iterator[None]:
    """The subclass of `OSError` that the kernel's sockets raise for `code`, with a hint behind the kernel's words."""
    usual = os.strerror(code)
    with pytest.raises(type(OSError(code, usual)), match=re.escape(usual)) as caught:
        yield
    assert caught.value.errno == code
    assert len(str(caught.value.strerror)) > len(usual), "a hint says what to do"


@pytest.mark.parametrize(
    "construct",
    ['TapLink("pystack0", host_address="192.0.2.1/24")', "TunLink()", 'PacketLink("near")', 'RawIPLink("127.0.0.1")'],
)
def test_no_root(construct: str) -> None:
    """The child gives up root itself: it may not even be allowed to read its own interpreter afterwards."""
    run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far")
    run("ip", "link", "set", "near", "up")
    program = f"""
import os
import pystack

pystack.TapLink, pystack.TunLink, pystack.PacketLink, pystack.RawIPLink
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
try:
    pystack.{construct}
except PermissionError as error:
    print(error.strerror)
"""
    with helpers.python("-c", program) as child:
        output, errors = child.communicate(timeout=20)
    assert "root" in output or "CAP_NET" in output, errors


def test_missing_interface() -> None:
    with raises(errno.ENODEV):
        pystack.PacketLink("nosuch0")


def test_interface_name_too_long() -> None:
    with pytest.raises((OSError, ValueError), match="15"):
        pystack.TapLink("a-name-of-more-than-fifteen-octets")


def test_raw_link_on_an_address_of_somebody_else() -> None:
    with raises(errno.EADDRNOTAVAIL):
        pystack.RawIPLink("203.0.113.9")


def test_address_in_use(host: pystack.Host) -> None:
    with host.create_server(("", 80)), raises(errno.EADDRINUSE):
        host.create_server(("", 80))


def test_port_that_the_kernel_has_is_in_use_on_a_raw_link() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as theirs,
        pystack.Host(pystack.RawIPLink("127.0.0.1")) as host,
        raises(errno.EADDRINUSE),
    ):
        host.create_server(theirs.getsockname())


def test_address_that_is_not_ours(host: pystack.Host) -> None:
    with raises(errno.EADDRNOTAVAIL):
        host.create_server(("192.0.2.99", 80))


def test_refused(host: pystack.Host) -> None:
    with raises(errno.ECONNREFUSED):
        host.create_connection((KERNEL, helpers.free_port()), timeout=20)


def test_nobody_at_that_address_is_host_unreachable(host: pystack.Host) -> None:
    with raises(errno.EHOSTUNREACH):
        host.create_connection(("192.0.2.77", 80), timeout=20)


def test_no_route_is_network_unreachable(host: pystack.Host) -> None:
    with raises(errno.ENETUNREACH):
        host.create_connection(("203.0.113.9", 80), timeout=20)


def test_silence_is_a_timeout(host: pystack.Host) -> None:
    """The kernel takes the SYN and says nothing: its accept queue is full."""
    with socket.socket() as theirs:
        theirs.bind((KERNEL, 0))
        theirs.listen(0)
        with (
            socket.create_connection(theirs.getsockname()),
            pytest.raises(TimeoutError),
        ):
            host.create_connection(theirs.getsockname(), timeout=0.3)


def test_no_answer_is_a_timeout(host: pystack.Host) -> None:
    with (
        socket.create_server((KERNEL, 0)) as theirs,
        host.create_connection(theirs.getsockname(), timeout=20) as ours,
    ):
        ours.settimeout(0.1)
        with pytest.raises(TimeoutError):
            ours.recv(1)


def test_reset_is_an_error_and_not_an_end(host: pystack.Host) -> None:
    with (
        socket.create_server((KERNEL, 0)) as listener,
        host.create_connection(listener.getsockname(), timeout=20) as ours,
    ):
        theirs, _ = listener.accept()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        with pytest.raises(ConnectionResetError) as caught:
            ours.recv(1)
    assert caught.value.errno == errno.ECONNRESET


def test_unknown_name(host: pystack.Host) -> None:
    with pytest.raises(socket.gaierror):
        host.create_connection(("no-such-name.invalid", 80), timeout=20)


@pytest.mark.parametrize("port", [-1, 65536])
def test_port_out_of_range(host: pystack.Host, port: int) -> None:
    with pytest.raises(OverflowError, match="65535"):
        host.create_connection((KERNEL, port), timeout=20)


@pytest.mark.parametrize(
    ("url", "status"), [("http://", 3), ("http://a b/", 3), ("http://192.0.2.1:99999/", 3), ("https://192.0.2.1/", 1)]
)
def test_bad_url(url: str, status: int) -> None:
    done = example("curl_lite.py", "--link", "tap", url)
    assert done.returncode == status
    assert done.stdout == b""
    assert len(done.stderr.splitlines()) == 1


def test_link_gone_in_mid_transfer(host: pystack.Host, nginx: Nginx) -> None:
    """Every blocked call ends with ENETDOWN when somebody removes the device."""
    path = nginx.publish("page", bytes(5_000_000))
    failures: list[OSError] = []
    with host.create_connection((KERNEL, nginx.port), timeout=30) as sock, host.create_server(("", 80)) as server:
        sock.sendall(f"GET /slow{path} HTTP/1.0\r\n\r\n".encode())
        sock.recv(1)

        def until_it_fails(call: Callable[[], object]) -> None:
            try:
                while call():
                    pass
            except OSError as error:
                failures.append(error)

        calls: tuple[Callable[[], object], ...] = (lambda: sock.recv(65536), server.accept)
        threads = [threading.Thread(target=until_it_fails, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        run("ip", "link", "delete", "pystack0")
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
    assert [error.errno for error in failures] == [errno.ENETDOWN] * 2


def test_unreachable_reported_by_a_router_reaches_the_socket(offload: bool) -> None:
    """The kernel, asked to forward to where nobody may go, answers with ICMP that retrying would not change."""
    run("sysctl", "-q", "net.ipv4.ip_forward=1")
    run("ip", "route", "add", "prohibit", "203.0.113.0/24")
    link = pystack.TapLink("pystack0", host_address=f"{KERNEL}/{PREFIX}", offload=offload)
    with (
        pystack.Host(link, address=f"{OURS}/{PREFIX}", gateway=KERNEL) as routed,
        raises(errno.EHOSTUNREACH),
    ):
        routed.create_connection(("203.0.113.9", 80), timeout=20)


def test_curl_lite_says_what_it_lacks() -> None:
    done = example("curl_lite.py", "--link", "packet:nosuch0", "--address", "192.0.2.2/24", "http://192.0.2.1/")
    assert done.returncode == 2
    assert b"nosuch0" in done.stderr
    assert len(done.stderr.splitlines()) == 1
