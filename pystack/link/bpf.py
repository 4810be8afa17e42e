"""Classic BPF programs that keep frames of no concern to us out of our sockets.

The kernel runs them before it queues a frame: what they refuse costs this process nothing.
"""

import errno
import socket
import struct
from array import array
from collections.abc import Collection, Iterable
from typing import Final

from pystack.errors import os_error
from pystack.wire.mac import MACAddress

__all__ = ["DROP_ALL", "MOST_PORTS", "accept_icmp_types", "accept_ports", "accept_station", "attach"]

_LOAD_OCTET, _LOAD_HALF, _LOAD_WORD = 0x30, 0x28, 0x20  # from a fixed offset
_LOAD_OCTET_X, _LOAD_HALF_X = 0x50, 0x48  # from an offset behind X
_X_IP_HEADER: Final = 0xB1  # X = 4 * (octet & 0xF): the length of an IPv4 header
_IF_EQUAL, _IF_GREATER, _IF_AT_LEAST, _IF_BITS = 0x15, 0x25, 0x35, 0x45
_RETURN: Final = 0x06

_SO_ATTACH_FILTER: Final = 26

MOST_PORTS: Final = 1000
"""Ports told apart by one program: it takes two instructions for each, and the kernel takes 4,096."""


def _op(operation: int, operand: int, if_so: int = 0, if_not: int = 0) -> bytes:
    """One instruction; a test skips `if_so` or `if_not` instructions."""
    return struct.pack("=HBBI", operation, if_so, if_not, operand)


_ACCEPT: Final = _op(_RETURN, 0xFFFFFFFF)
_DROP: Final = _op(_RETURN, 0)
_PORT: Final = _op(_X_IP_HEADER, 0) + _op(_LOAD_HALF_X, 2)

DROP_ALL: Final = _DROP


def attach(sock: socket.socket, program: bytes) -> None:
    """Have `sock` queue only what `program` accepts from now on; an earlier program is replaced without a gap."""
    code = array("B", program)
    address, octets = code.buffer_info()
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", octets // 8, address))
    except PermissionError as error:
        raise os_error(errno.EPERM, "this kernel wants root or CAP_BPF for socket filters") from error


def accept_station(mac: MACAddress) -> bytes:
    """Ethernet frames to `mac` and to groups, broadcast among them."""
    head, tail = struct.unpack("!HI", mac.octets)
    return (
        _op(_LOAD_OCTET, 0)
        + _op(_IF_BITS, 0x01, if_so=4)
        + _op(_LOAD_WORD, 2)
        + _op(_IF_EQUAL, tail, if_not=3)
        + _op(_LOAD_HALF, 0)
        + _op(_IF_EQUAL, head, if_not=1)
        + _ACCEPT
        + _DROP
    )


def accept_ports(ports: Collection[int]) -> bytes:
    """IPv4 packets of TCP or UDP to one of `ports`; beyond `MOST_PORTS`, to any from the lowest to the highest."""
    if len(ports) <= MOST_PORTS:
        return _PORT + b"".join(_op(_IF_EQUAL, port, if_not=1) + _ACCEPT for port in ports) + _DROP
    return _PORT + _op(_IF_GREATER, max(ports), if_so=2) + _op(_IF_AT_LEAST, min(ports), if_not=1) + _ACCEPT + _DROP


def accept_icmp_types(types: Iterable[int]) -> bytes:
    """IPv4 packets of ICMP whose type is one of `types`."""
    tests = b"".join(_op(_IF_EQUAL, kind, if_not=1) + _ACCEPT for kind in types)
    return _op(_X_IP_HEADER, 0) + _op(_LOAD_OCTET_X, 0) + tests + _DROP
