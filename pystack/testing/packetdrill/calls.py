"""The socket calls of a script, made on a stack's endpoints. Nothing here waits."""

import struct
from errno import EALREADY, EINPROGRESS
from socket import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, SOCK_DGRAM, SOCK_STREAM

from attrs import define

from pystack.stack.datagram import DatagramEndpoint
from pystack.stack.endpoint import Endpoint
from pystack.stack.operation import Operation
from pystack.stack.stream import StreamEndpoint
from pystack.testing.packetdrill.constants import CONSTANTS, SHUTDOWNS
from pystack.testing.packetdrill.descriptors import Answer, Descriptor
from pystack.testing.packetdrill.files import Files
from pystack.testing.packetdrill.script import Call, Expression, Symbol
from pystack.testing.packetdrill.sockopts import LINGER
from pystack.testing.packetdrill.values import Misused, Unsupported, number, socket_address
from pystack.units import SECOND, Ns

__all__ = ["SocketCalls"]

_NONBLOCK, _CLOEXEC = CONSTANTS["SOCK_NONBLOCK"], CONSTANTS["SOCK_CLOEXEC"]


@define(eq=False)
class SocketCalls(Files):
    """Every `call_NAME` is one call."""

    def invoke(self, call: Call, now: Ns) -> Answer | Operation[Answer]:
        """Make `call`: answered, or under way if it blocks. Raises the call's `OSError`, and `Unsupported`."""
        handler = getattr(self, f"call_{call.name}", None)
        if handler is None:
            raise Unsupported(f"{call.name}()")
        try:
            outcome: Answer | Operation[Answer] = handler(call, now)
        except ValueError as error:
            if "unpack" in str(error):
                raise Misused(f"{call.name}() does not take {len(call.arguments)} arguments") from None
            raise
        return outcome

    def call_socket(self, call: Call, now: Ns) -> Answer:
        domain, kind, protocol = call.arguments
        if domain is not ... and number(domain) not in (AF_INET, AF_INET6):
            raise Unsupported(f"a socket of the family {_named(domain)}")
        flags = number(kind)
        version = 4 if domain != ... and number(domain) == AF_INET else None  # an IPv6 socket takes both
        spoken = 0 if protocol is ... else number(protocol)
        match flags & ~(_NONBLOCK | _CLOEXEC):
            case SOCK_STREAM.value if spoken in (0, IPPROTO_TCP):
                endpoint: Endpoint = self.stack.stream(version)
            case SOCK_DGRAM.value if spoken in (0, IPPROTO_UDP):
                endpoint = self.stack.datagram(version)
            case _:
                raise Unsupported(f"a socket of {_named(kind)} and {_named(protocol)}: there are those of TCP and UDP")
        return self.assign(call, Descriptor(endpoint, blocking=not flags & _NONBLOCK))

    def call_bind(self, call: Call, now: Ns) -> Answer:
        fd, address, _ = call.arguments
        endpoint = self.get(fd).endpoint
        assert isinstance(endpoint, StreamEndpoint | DatagramEndpoint)
        endpoint.bind(socket_address(address, ("", self.settings.bind_port)), now)
        if isinstance(endpoint, DatagramEndpoint):
            self.on_target(endpoint, self.remote)
        return Answer()

    def call_listen(self, call: Call, now: Ns) -> Answer:
        fd, backlog = call.arguments
        _, endpoint = self.stream(fd)
        endpoint.listen(number(backlog), now)
        self.on_listen(endpoint)
        return Answer()

    def call_accept(self, call: Call, now: Ns) -> Operation[Answer]:
        fd, _, _ = call.arguments
        return self._accept(call, fd, 0, now)

    def call_accept4(self, call: Call, now: Ns) -> Operation[Answer]:
        fd, _, _, flags = call.arguments
        return self._accept(call, fd, number(flags), now)

    def _accept(self, call: Call, fd: Expression, flags: int, now: Ns) -> Operation[Answer]:
        descriptor, listener = self.stream(fd)

        def attempt(when: Ns) -> Answer | None:
            child = listener.try_accept(when)
            if child is None:
                return None
            self.on_accept(child)
            return self.assign(call, Descriptor(child, blocking=not flags & _NONBLOCK))

        return self.wait(descriptor, attempt, now, timeout=descriptor.receive_timeout)

    def call_connect(self, call: Call, now: Ns) -> Answer | Operation[Answer]:
        fd, address, _ = call.arguments
        descriptor = self.get(fd)
        endpoint = descriptor.endpoint
        target = socket_address(address, self.remote)
        if isinstance(endpoint, DatagramEndpoint):
            endpoint.connect(target, now)
            self.on_target(endpoint, target)
            return Answer()
        assert isinstance(endpoint, StreamEndpoint)
        if not descriptor.connecting:
            endpoint.connect(target, now)
            self.on_target(endpoint, target)
        again, descriptor.connecting = descriptor.connecting, not descriptor.blocking
        stream = endpoint

        def attempt(when: Ns) -> Answer | None:
            if stream.try_connected(when) is None:
                return None
            descriptor.connecting = False
            return Answer()

        return self.wait(
            descriptor, attempt, now, timeout=descriptor.send_timeout, otherwise=EALREADY if again else EINPROGRESS
        )

    def call_close(self, call: Call, now: Ns) -> Answer | Operation[Answer]:
        (fd,) = call.arguments
        if self._close_other(fd):
            return Answer()
        descriptor = self.get(fd)
        endpoint = descriptor.endpoint
        linger = self._linger_time(descriptor)
        del self.table[number(fd)]
        endpoint.close(now)
        if not linger or not isinstance(endpoint, StreamEndpoint):
            return Answer()
        stream, deadline = endpoint, now + linger
        waiting = Operation(lambda when: None if stream.unsent and when < deadline else Answer(), None)
        if not waiting.advance(now):
            self.stack.timers.alarm(lambda when: None).set(deadline)
        return waiting

    def _linger_time(self, descriptor: Descriptor) -> Ns:
        """How long close() waits for the peer's acknowledgement."""
        raw = descriptor.endpoint.getsockopt(*LINGER, 8) if isinstance(descriptor.endpoint, StreamEndpoint) else b""
        onoff, seconds = struct.unpack("ii", raw) if raw and isinstance(raw, bytes) else (0, 0)
        return seconds * SECOND if onoff and descriptor.blocking else 0

    def call_shutdown(self, call: Call, now: Ns) -> Answer:
        fd, how = call.arguments
        endpoint = self.get(fd).endpoint
        assert isinstance(endpoint, StreamEndpoint | DatagramEndpoint)
        code = number(how)
        endpoint.shutdown(SHUTDOWNS.get(code, code), now)
        return Answer()

    def call_cap_set(self, call: Call, now: Ns) -> Answer:
        """The stack knows no privileges."""
        self.without_effect.append("cap_set()")
        return Answer()


def _named(value: Expression) -> str:
    return value.name if isinstance(value, Symbol) else "..." if value is ... else str(number(value))
