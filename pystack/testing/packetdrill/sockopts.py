"""The calls that ask and set: options, descriptor flags, names."""

import errno
import socket
import struct

from pystack.stack.stream import StreamEndpoint
from pystack.testing.packetdrill.constants import CONSTANTS, O_NONBLOCK, O_RDWR
from pystack.testing.packetdrill.descriptors import Answer, Difference, compared, compared_address
from pystack.testing.packetdrill.script import Call, Expression, Group, Symbol
from pystack.testing.packetdrill.transfer import Transfers
from pystack.testing.packetdrill.values import Unsupported, number
from pystack.units import SECOND, US, Ns

__all__ = ["LINGER", "SocketOptions"]

LINGER = (socket.SOL_SOCKET, CONSTANTS["SO_LINGER"])
_ERROR = (socket.SOL_SOCKET, CONSTANTS["SO_ERROR"])
_RECEIVE_TIMEOUT = (socket.SOL_SOCKET, CONSTANTS["SO_RCVTIMEO"])
_SEND_TIMEOUT = (socket.SOL_SOCKET, CONSTANTS["SO_SNDTIMEO"])


class SocketOptions(Transfers):
    def call_setsockopt(self, call: Call, now: Ns) -> Answer:
        fd, level, name, value, _ = call.arguments
        descriptor = self.get(fd)
        key = number(level), number(name)
        if key == _RECEIVE_TIMEOUT:
            descriptor.receive_timeout = _duration(value)
        elif key == _SEND_TIMEOUT:
            descriptor.send_timeout = _duration(value)
        else:
            descriptor.endpoint.setsockopt(*key, _option_value(value))
        return Answer()

    def call_getsockopt(self, call: Call, now: Ns) -> Answer:
        fd, level, name, value, _ = call.arguments
        endpoint = self.get(fd).endpoint
        key = number(level), number(name)
        if isinstance(value, str):
            raw = endpoint.getsockopt(*key, 16)
            actual = raw.partition(b"\0")[0].decode() if isinstance(raw, bytes) else str(raw)
            return Answer(0, () if actual == value else (Difference("the option's value", value, actual),))
        if key == LINGER:
            raw = endpoint.getsockopt(*key, 8)
            lingers = struct.unpack("ii", raw) if isinstance(raw, bytes) else (raw, 0)
            wanted = _linger(value)
            return Answer(0, () if wanted == lingers else (Difference("(l_onoff, l_linger)", wanted, lingers),))
        if key == _ERROR:
            value = _error_number(value)
        return compared("the option's value", value, int(endpoint.getsockopt(*key)))

    def call_fcntl(self, call: Call, now: Ns) -> Answer:
        fd, command, *rest = call.arguments
        descriptor = self.get(fd)
        code = number(command)
        if code == CONSTANTS["F_GETFL"]:
            return Answer(O_RDWR | (0 if descriptor.blocking else O_NONBLOCK))
        if code == CONSTANTS["F_SETFL"]:
            (flags,) = rest
            descriptor.blocking = not number(flags) & O_NONBLOCK
            return Answer()
        raise Unsupported(f"fcntl() with command {code}: there are F_GETFL and F_SETFL")

    def call_ioctl(self, call: Call, now: Ns) -> Answer:
        fd, request, value = call.arguments
        descriptor = self.get(fd)
        code = number(request)
        if code == CONSTANTS["FIONBIO"]:
            descriptor.blocking = not number(value)
            return Answer()
        if not isinstance(descriptor.endpoint, StreamEndpoint):
            raise Unsupported("ioctl() on a UDP socket")
        info = descriptor.endpoint.info()
        counts = {
            CONSTANTS["SIOCINQ"]: info.unread,
            CONSTANTS["SIOCOUTQ"]: info.unacked,
            CONSTANTS["SIOCOUTQNSD"]: info.unsent,
            CONSTANTS["SIOCATMARK"]: int(descriptor.endpoint.at_mark),
        }
        if code not in counts:
            raise Unsupported(
                f"ioctl() with request {code:#x}: there are SIOCINQ, SIOCOUTQ(NSD), SIOCATMARK and FIONBIO"
            )
        return compared("the value", value, counts[code])

    def call_getsockname(self, call: Call, now: Ns) -> Answer:
        fd, address, _ = call.arguments
        return Answer(0, compared_address(address, self.get(fd).endpoint.getsockname()))

    def call_getpeername(self, call: Call, now: Ns) -> Answer:
        fd, address, _ = call.arguments
        return Answer(0, compared_address(address, self.get(fd).endpoint.getpeername()))


def _single(value: Expression) -> Expression:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _error_number(value: Expression) -> Expression:
    """SO_ERROR's value may be the name of an errno."""
    match _single(value):
        case Symbol(name) if hasattr(errno, name):
            return int(getattr(errno, name))
    return value


def _option_value(value: Expression) -> int | bytes:
    match _single(value):
        case str(text):
            return text.encode()
        case Group() as linger:
            return struct.pack("ii", *_linger(linger))
        case single:
            return number(single)


def _linger(value: Expression) -> tuple[int, int]:
    """A `struct linger`: switch and seconds."""
    value = _single(value)
    if not isinstance(value, Group):
        raise Unsupported(f"{value!r} is not a struct linger: {{onoff=1, linger=0}}")
    return number(value.get("onoff", "l_onoff") or 0), number(value.get("linger", "l_linger") or 0)


def _duration(value: Expression) -> Ns | None:
    """A `struct timeval`; zero means no timeout."""
    value = _single(value)
    if not isinstance(value, Group):
        raise Unsupported(f"{value!r} is not a struct timeval: {{tv_sec=1, tv_usec=0}}")
    return number(value.get("tv_sec") or 0) * SECOND + number(value.get("tv_usec") or 0) * US or None
