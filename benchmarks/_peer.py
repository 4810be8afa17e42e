"""The other end of every measurement: a server on the kernel's sockets, in a process of its own.

The first octet of a connection chooses the work, the next eight say how much of it (`_work.py` has the client's side).
"""

import os
import socket
import sys
import threading

from _harness import pin
from _work import (
    BUFFER_SIZE,
    CHECKSUM,
    CONNECT,
    DOWNLOAD,
    DOWNLOAD_CHECKED,
    ECHO,
    UPLOAD,
    UPLOAD_CHECKED,
    AnySocket,
    fresh_buffer,
    read_checked,
    requested,
    write_checked,
)

__all__ = ["serve"]

ZEROS = memoryview(bytes(BUFFER_SIZE))


def serve(connection: AnySocket) -> None:
    """Do what the client asks for, on one connection, until it closes."""
    work = connection.recv(1)
    if work == CONNECT:
        connection.sendall(work)
    elif work == ECHO:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while octet := connection.recv(1):
            connection.sendall(octet)
    elif work == DOWNLOAD:
        for left in range(requested(connection), 0, -BUFFER_SIZE):
            connection.sendall(ZEROS[:left])
    elif work == UPLOAD:
        buffer = fresh_buffer()
        left = requested(connection)
        while left:
            left -= connection.recv_into(buffer)
        connection.sendall(work)
    elif work == DOWNLOAD_CHECKED:
        connection.sendall(CHECKSUM.pack(write_checked(connection, requested(connection))))
    elif work == UPLOAD_CHECKED:
        connection.sendall(CHECKSUM.pack(read_checked(connection, requested(connection))))
    connection.recv(1)


def end_with_our_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Argument: the core to run on. Prints the port, then serves one connection after the other."""
    pin(int(sys.argv[1]))
    listener = socket.create_server(("", 0), backlog=1024)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")  # BBR's pacing would be what we measure
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=end_with_our_parent, daemon=True).start()
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                serve(connection)
            except ConnectionError:
                continue


if __name__ == "__main__":
    main()
