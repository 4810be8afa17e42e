"""A packet that the stack has sent, taken apart."""

from typing import Self

from attrs import frozen

from pystack.errors import DecodeError
from pystack.units import Ns
from pystack.wire.icmpv4 import ICMPv4Message
from pystack.wire.icmpv6 import ICMPv6Message
from pystack.wire.ipv4 import IPv4Header
from pystack.wire.ipv6 import IPv6Header
from pystack.wire.packet import dissect
from pystack.wire.pcapng import LinkType
from pystack.wire.summary import describe
from pystack.wire.tcp import TCPHeader
from pystack.wire.udp import UDPHeader

__all__ = ["Sent"]


@frozen
class Sent:
    time: Ns
    """When, by the simulation's clock."""
    frame: bytes
    ip: IPv4Header | IPv6Header
    header: TCPHeader | UDPHeader | ICMPv4Message | ICMPv6Message | None
    """None: something else."""
    length: int
    """Octets of payload."""

    @classmethod
    def decoded(cls, frame: bytes, now: Ns) -> Self:
        """Raises `DecodeError` for a packet that is not sound, wrong checksums included."""
        layers = dissect(frame, LinkType.RAW, verify=True)
        ip, payload = layers[0], layers[-1]
        if not isinstance(ip, IPv4Header | IPv6Header) or not isinstance(payload, bytes):
            raise DecodeError("ip.version", "not an IP packet")
        match layers[1]:
            case TCPHeader() | UDPHeader() | ICMPv4Message() | ICMPv6Message() as header:
                return cls(now, frame, ip, header, len(payload))
        return cls(now, frame, ip, None, len(payload))

    def __str__(self) -> str:
        return describe(self.frame, LinkType.RAW)

    @property
    def ports(self) -> tuple[int, int] | None:
        """Source and destination, where it has them."""
        if isinstance(self.header, TCPHeader | UDPHeader):
            return self.header.src_port, self.header.dst_port
        return None
