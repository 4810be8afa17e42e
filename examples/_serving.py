"""An accept loop over the stack's own sockets, with the standard library reading and writing the HTTP."""

import contextlib
import errno
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any, cast

from typing_extensions import override

import pystack

__all__ = ["Handler", "Server"]

Peer = tuple[str, int]


class Handler(BaseHTTPRequestHandler):
    """What the server's handlers have in common. `connection` is a pystack `Socket`."""

    protocol_version = "HTTP/1.1"
    server_version = "pystack"
    sys_version = ""
    timeout = 60
    """Seconds that a connection may stay idle."""

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Silence: stderr belongs to the example."""


class Server:
    """Answers each connection of `listener` in a thread of its own, until `listener` is closed."""

    def __init__(self, listener: pystack.Socket, handler: Callable[[socket.socket, Peer, Any], object]) -> None:
        self._listener = listener
        self._handler = handler

    def run(self) -> None:
        """The accept loop. Returns when the listener is closed; raises `OSError` when the link is gone."""
        while True:
            try:
                connection, peer = self._listener.accept()
            except ConnectionError:
                continue  # that client has gone already
            except OSError as error:
                if error.errno == errno.EBADF:
                    return
                raise
            threading.Thread(target=self._answer, args=(connection, peer), name="http", daemon=True).start()

    def _answer(self, connection: pystack.Socket, peer: Peer) -> None:
        # A handler is made for each connection; its constructor does all the work.
        # It fails with OSError when the client leaves, and with RuntimeError when the host has been closed.
        with contextlib.suppress(OSError, RuntimeError), connection:
            self._handler(cast(socket.socket, connection), peer, self)
