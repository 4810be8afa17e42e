"""The raw socket of TCP or UDP on an address that the kernel uses too, and the ports of it that are ours."""

import contextlib
import errno
import socket
from ipaddress import IPv4Address
from typing import Final

from pystack.errors import os_error
from pystack.link.bpf import DROP_ALL, accept_ports, attach
from pystack.link.linux import grow_receive_buffer
from pystack.wire.protocol import IPProtocol

__all__ = ["RawPorts", "open_raw"]

_SLACK: Final = 8
"""One stale port for so many held ones may stay in the filter: each change of it costs time for every port."""


def open_raw(protocol: IPProtocol, address: IPv4Address) -> socket.socket:
    """A non-blocking raw socket for packets of `protocol` to `address`, to whose filter none is welcome yet."""
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
    except PermissionError as error:
        raise os_error(errno.EPERM, "raw IP sockets need root or CAP_NET_RAW") from error
    with contextlib.ExitStack() as undo:
        undo.enter_context(sock)
        attach(sock, DROP_ALL)
        sock.bind((str(address), 0))
        grow_receive_buffer(sock)
        with contextlib.suppress(BlockingIOError):
            while True:  # what came in before the filter
                sock.recv(1)
        undo.pop_all()
    return sock


class RawPorts:
    """Receives what is sent to the ports held here, and keeps the kernel from answering it.

    Each port is held with a kernel socket that is bound to it, so that nobody else can have it, and that drops
    whatever arrives before the kernel looks at it. Without it the kernel answers a segment with RST and a datagram
    with port unreachable. The raw socket sees a copy of everything all the same.
    """

    def __init__(self, protocol: IPProtocol, address: IPv4Address) -> None:
        self.socket = open_raw(protocol, address)
        self._address = str(address)
        self._protocol = protocol
        self._held: dict[int, socket.socket] = {}
        self._passing: frozenset[int] = frozenset()

    def __contains__(self, port: int) -> bool:
        return port in self._held

    def hold(self, port: int) -> None:
        """Take `port`, unless it is ours already. Raises `OSError` with EADDRINUSE, EACCES or EMFILE."""
        if port in self._held:
            return
        self._held[port] = self._bind(port)
        if port not in self._passing:
            self._refilter()

    def free(self, port: int) -> None:
        """Give `port` back. Idempotent."""
        holder = self._held.pop(port, None)
        if holder is None:
            return
        if len(self._passing) > len(self._held) * (_SLACK + 1) // _SLACK:
            self._refilter()
        holder.close()

    def close(self) -> None:
        self.socket.close()
        while self._held:
            self._held.popitem()[1].close()

    def _bind(self, port: int) -> socket.socket:
        """A kernel socket that holds `port` and drops everything.

        No SO_REUSEADDR: it would let us bind beside connections that a kernel server has accepted on this port, whose
        segments our stack would then see.
        """
        stream = self._protocol == IPProtocol.TCP
        with contextlib.ExitStack() as undo:
            holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
            undo.enter_context(holder)
            attach(holder, DROP_ALL)
            try:
                holder.bind((self._address, port))
                if stream:
                    holder.listen(0)
            except OSError as error:
                hint = {
                    errno.EADDRINUSE: f"the kernel has {self._protocol.name} port {port} of {self._address} in use",
                    errno.EACCES: f"port {port} needs root or CAP_NET_BIND_SERVICE",
                }.get(error.errno or 0, f"{self._protocol.name} port {port} of {self._address}")
                raise os_error(error.errno or errno.EADDRINUSE, hint) from error
            undo.pop_all()
        return holder

    def _refilter(self) -> None:
        self._passing = frozenset(self._held)
        attach(self.socket, accept_ports(self._passing))
