"""What a socket does that the standard library's does not, or that takes several threads."""

import errno
import io
import socket
import struct
from typing import IO, assert_type

import pytest

from tests.sockets.still import PATIENCE, in_thread
from tests.sockets.two import Two


def test_info_shows_the_connection(two: Two) -> None:
    near, far = two.connection()
    with near, far:
        assert near.info().state.name == "ESTABLISHED"
    with two.a.socket() as sock, pytest.raises(OSError, match="not connected"):
        sock.info()


def test_a_files_type_follows_from_its_mode(two: Two) -> None:
    with two.a.socket() as sock:
        for file in (
            assert_type(sock.makefile(), IO[str]),
            assert_type(sock.makefile("rw"), IO[str]),
            assert_type(sock.makefile("rwb", buffering=0), IO[bytes]),
        ):
            file.close()


def test_there_is_no_descriptor(two: Two) -> None:
    with two.a.socket() as sock:
        with pytest.raises(io.UnsupportedOperation):
            sock.fileno()
        with pytest.raises(io.UnsupportedOperation):
            sock.detach()


def test_flags_we_do_not_have(two: Two) -> None:
    near, far = two.connection()
    with near, far, pytest.raises(OSError, match="does not know the flags") as caught:
        near.recv(1, socket.MSG_DONTROUTE)
    assert caught.value.errno == errno.EOPNOTSUPP


def test_a_connection_reset_while_it_waits_is_aborted(two: Two) -> None:
    with two.b.create_server(("", 0)) as listener:
        listener.settimeout(PATIENCE)
        address = ("192.0.2.2", listener.getsockname()[1])
        with two.a.create_connection(address, PATIENCE) as hasty:
            two.a.ping("192.0.2.2", PATIENCE)  # the handshake's end has been there: it waits
            hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with two.a.create_connection(address, PATIENCE) as patient:  # behind the reset, on the same cable
            with pytest.raises(ConnectionAbortedError, match="accept the next"):
                listener.accept()
            accepted, peer = listener.accept()
            with accepted:
                assert peer == patient.getsockname()


def test_a_signal_handler_may_close_a_listener(two: Two) -> None:
    """As `SIGTERM` often does: also while this very thread is in the middle of a poll."""
    listener = two.b.create_server(("", 0))
    two.b._pump.call(lambda now: listener.close())
    assert two.b.ping("localhost", timeout=PATIENCE) > 0
    assert listener._endpoint.closed


def test_closing_a_socket_ends_calls_that_wait_on_it(two: Two) -> None:
    near, far = two.connection()
    listener = two.b.create_server(("", 0))
    reading, accepting = in_thread(near.recv, 1), in_thread(listener.accept)
    for sock in (near, listener):
        sock.close()
    for waiting in (reading, accepting):
        with pytest.raises(OSError, match="closed") as caught:
            waiting.result(PATIENCE)
        assert caught.value.errno == errno.EBADF
    far.close()


def test_a_socket_waits_while_others_work(two: Two) -> None:
    near, far = two.connection()
    quiet, quiet_far = two.connection()
    waiting = in_thread(quiet.recv, 1)
    for number in range(50):
        near.sendall(bytes([number]))
        assert far.recv(1) == bytes([number])
        far.sendall(b"!")
        assert near.recv(1) == b"!"
    quiet_far.sendall(b"at last")
    assert waiting.result(PATIENCE) == b"a"
    for sock in (near, far, quiet, quiet_far):
        sock.close()


def test_linger_waits_for_the_peer_to_acknowledge(two: Two) -> None:
    near, far = two.connection()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, int(PATIENCE)))
    near.sendall(bytes(50_000))
    endpoint = near._endpoint
    near.close()
    assert endpoint.unsent == 0  # type: ignore[union-attr]
    received = 0
    while data := far.recv(65536):
        received += len(data)
    assert received == 50_000
    far.close()


def test_the_mark_of_urgent_data(two: Two) -> None:
    near, far = two.connection()
    with near, far:
        far.sendall(b"ab!", socket.MSG_OOB)
        far.sendall(b"cd")
        near.settimeout(PATIENCE)
        assert near.recv(100) == b"ab"
        assert near.sockatmark()
        assert near.recv(1, socket.MSG_OOB) == b"!"
        assert near.recv(100) == b"cd"
        assert not near.sockatmark()


def test_a_call_that_waits_for_all_stops_at_the_mark(two: Two) -> None:
    near, far = two.connection()
    with near, far:
        far.sendall(b"ab!", socket.MSG_OOB)
        far.sendall(b"cd")
        near.settimeout(PATIENCE)
        assert near.recv(4, socket.MSG_WAITALL) == b"ab"
        assert near.sockatmark()
        assert near.recv(2, socket.MSG_WAITALL) == b"cd"


def test_a_datagram_is_all_that_a_call_waits_for(two: Two) -> None:
    with two.a.socket(type=socket.SOCK_DGRAM) as near, two.b.socket(type=socket.SOCK_DGRAM) as far:
        near.bind(("", 0))
        near.settimeout(PATIENCE)
        far.connect(("192.0.2.1", near.getsockname()[1]))
        for datagram in (b"one", b"two"):
            far.send(datagram)
        assert near.recv(6, socket.MSG_WAITALL) == b"one"
        buffer = bytearray(6)
        assert near.recv_into(buffer, 0, socket.MSG_WAITALL) == 3
        assert buffer == b"two\0\0\0"


def test_waiting_for_all_gives_what_came_in_time(two: Two) -> None:
    near, far = two.connection()
    with near, far:
        far.sendall(b"abcd")
        near.settimeout(PATIENCE)
        assert near.recv(4, socket.MSG_WAITALL | socket.MSG_PEEK) == b"abcd"
        near.settimeout(0.01)
        assert near.recv(6, socket.MSG_WAITALL) == b"abcd"
        with pytest.raises(TimeoutError):
            near.recv(6, socket.MSG_WAITALL)


def test_connecting_without_blocking_while_nobody_answers(two: Two) -> None:
    nobody = ("192.0.2.77", 80)
    with two.a.socket() as sock:
        sock.setblocking(False)
        assert sock.connect_ex(nobody) == errno.EINPROGRESS
        assert sock.connect_ex(nobody) == errno.EALREADY
        with pytest.raises(OSError, match="not connected") as caught:
            sock.getpeername()
        assert caught.value.errno == errno.ENOTCONN
