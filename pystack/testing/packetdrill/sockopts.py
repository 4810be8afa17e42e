"""The calls that ask and set: options, descriptor flags, names."""

import errno
import socket
import struct

from pystack.errors import os_error
from pystack.stack.endpoint import Endpoint
from pystack.stack.stream import StreamEndpoint
from pystack.testing.packetdrill.constants import CONSTANTS, O_NONBLOCK, O_RDWR
from pystack.testing.packetdrill.descriptors import Answer, Descriptor, Difference, compared, compared_address
from pystack.testing.packetdrill.script import Call, Expression, Group, Symbol
from pystack.testing.packetdrill.tcpinfo import tcpi_names
from pystack.testing.packetdrill.transfer import Transfers
from pystack.testing.packetdrill.values import Misused, Unsupported, number
from pystack.transport.tcp.state import State
from pystack.units import SECOND, US, Ns

__all__ = ["LINGER", "SocketOptions"]

LINGER = (socket.SOL_SOCKET, CONSTANTS["SO_LINGER"])
_ERROR = (socket.SOL_SOCKET, CONSTANTS["SO_ERROR"])
_RECEIVE_TIMEOUT = (socket.SOL_SOCKET, CONSTANTS["SO_RCVTIMEO"])
_SEND_TIMEOUT = (socket.SOL_SOCKET, CONSTANTS["SO_SNDTIMEO"])
_UNREAD = (socket.IPPROTO_TCP, CONSTANTS["TCP_INQ"])
_INFO = (socket.IPPROTO_TCP, CONSTANTS["TCP_INFO"])
_INERT = {
    *((socket.SOL_SOCKET, CONSTANTS[name]) for name in ("SO_DEBUG", "SO_DONTROUTE", "SO_REUSEPORT", "SO_PRIORITY")),
    *((socket.SOL_SOCKET, CONSTANTS[name]) for name in ("SO_MARK", "SO_BUSY_POLL", "SO_INCOMING_CPU", "SO_TXREHASH")),
    *((socket.IPPROTO_IP, CONSTANTS[name]) for name in ("IP_FREEBIND", "IP_TRANSPARENT", "IP_BIND_ADDRESS_NO_PORT")),
    *((socket.IPPROTO_TCP, CONSTANTS[name]) for name in ("TCP_FUNCTION_BLK", "TCP_LOG", "TCP_STATS")),
}
"""What the stack does not have, and what no packet would show if it had it."""


class SocketOptions(Transfers):
    def call_setsockopt(self, call: Call, now: Ns) -> Answer:
        fd, level, name, value, _ = call.arguments
        descriptor = self.get(fd)
        key = number(level), number(name)
        if key == _UNREAD and isinstance(descriptor.endpoint, StreamEndpoint):
            descriptor.tells_unread = bool(number(value))
        elif key == _RECEIVE_TIMEOUT:
            descriptor.receive_timeout = _duration(value)
        elif key == _SEND_TIMEOUT:
            descriptor.send_timeout = _duration(value)
        else:
            self._set(call, descriptor, key, value)
        return Answer()

    def _set(self, call: Call, descriptor: Descriptor, key: tuple[int, int], value: Expression) -> None:
        """An option that the stack does not have is no result that a script could expect."""
        name = _option_name(call)
        try:
            if isinstance(_single(value), Group) and key != LINGER:
                raise os_error(errno.ENOPROTOOPT)
            descriptor.endpoint.setsockopt(*key, _option_value(value))
        except OSError as error:
            if error.errno != errno.ENOPROTOOPT or call.error is not None:
                raise
            if key not in _INERT:
                raise Unsupported(f"setsockopt() with {name}") from None
            descriptor.inert[key] = 1 if isinstance(_single(value), Group) else number(value)
            self.without_effect.append(f"the socket option {name}")

    def call_getsockopt(self, call: Call, now: Ns) -> Answer:
        fd, level, name, value, _ = call.arguments
        descriptor = self.get(fd)
        endpoint = descriptor.endpoint
        key = number(level), number(name)
        if key == _UNREAD and isinstance(endpoint, StreamEndpoint):
            return compared("the option's value", value, int(descriptor.tells_unread))
        if key in descriptor.inert:
            return compared("the option's value", value, descriptor.inert[key])
        if key == _INFO:
            return _compared_info(endpoint, value)
        try:
            return self._got(endpoint, key, value)
        except OSError as error:
            if error.errno != errno.ENOPROTOOPT or call.error is not None:
                raise
            raise Unsupported(f"getsockopt() with {_option_name(call)}") from None

    @staticmethod
    def _got(endpoint: Endpoint, key: tuple[int, int], value: Expression) -> Answer:
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
        endpoint = descriptor.endpoint
        if not isinstance(endpoint, StreamEndpoint):
            raise Unsupported("ioctl() on a UDP socket")
        if endpoint.state is State.LISTEN:
            raise os_error(errno.EINVAL, "the socket listens")
        info = None if endpoint.fresh else endpoint.info()
        counts = {
            CONSTANTS["SIOCINQ"]: info.unread if info else 0,
            CONSTANTS["SIOCOUTQ"]: info.unacked if info else 0,
            CONSTANTS["SIOCOUTQNSD"]: info.unsent if info else 0,
            CONSTANTS["SIOCATMARK"]: int(info is not None and endpoint.at_mark),
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


def _option_name(call: Call) -> str:
    name = call.arguments[2]
    return name.name if isinstance(name, Symbol) else str(number(name))


def _compared_info(endpoint: Endpoint, wanted: Expression) -> Answer:
    """A `struct tcp_info`, by the fields that the script names."""
    if not isinstance(endpoint, StreamEndpoint):
        raise Unsupported("TCP_INFO of a socket that is not of TCP")
    told = tcpi_names(endpoint.info())
    differences = []
    group = _single(wanted)
    for name, value in group.fields if isinstance(group, Group) else ():
        if name not in told:
            raise Unsupported(f"{name}: this stack does not tell it")
        if value is not ... and number(value) != told[name]:
            differences.append(Difference(name, number(value), told[name]))
    return Answer(0, tuple(differences))


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
        raise Misused(f"{value!r} is not a struct linger: {{onoff=1, linger=0}}")
    return number(value.get("onoff", "l_onoff") or 0), number(value.get("linger", "l_linger") or 0)


def _duration(value: Expression) -> Ns | None:
    """A `struct timeval`; zero means no timeout."""
    value = _single(value)
    if not isinstance(value, Group):
        raise Misused(f"{value!r} is not a struct timeval: {{tv_sec=1, tv_usec=0}}")
    return number(value.get("tv_sec") or 0) * SECOND + number(value.get("tv_usec") or 0) * US or None
