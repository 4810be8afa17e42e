"""A datagram that arrived and is ours."""

from attrs import define
from typing_extensions import Buffer

from pystack.errors import DecodeError
from pystack.link.base import Checksum, Frame, Medium, Offload
from pystack.link.normalise import normalise
from pystack.net.address import address_text
from pystack.net.interface import Interface
from pystack.net.sourceroute import SourceRoute
from pystack.wire.protocol import IPProtocol

__all__ = ["IPPacket", "first_octets"]

_UNFINISHED_UDP = Offload(Checksum.PARTIAL, 0, 6)
"""Offsets from where UDP's header starts. Nothing else is quoted that a link may leave unfinished: TCP answers RST."""


@define(eq=False)
class IPPacket:
    """A received datagram, whole, validated and addressed to us; its transport checksum is not verified yet."""

    src: bytes
    dst: bytes
    protocol: int
    ttl: int
    """IPv6's hop limit too."""
    tos: int
    """IPv6's traffic class too."""
    header: memoryview
    """The IP header as it arrived, options included."""
    payload: tuple[Buffer, ...]
    """Views of the frame's buffers; the transport header lies complete in the first."""
    length: int
    """Octets of payload."""
    checksum: Checksum
    """What the link says of the transport checksum."""
    gso_size: int
    """Payload octets of each segment this one was joined from; 0: it is a single one."""
    interface: Interface
    broadcast: bool
    """It came by link or IP broadcast or multicast: it must cause neither an error nor a RST."""
    route: SourceRoute | None = None
    """The way back, if it came by a source route."""

    def datagram(self, limit: int) -> bytes:
        """The first `limit` octets of the datagram, header included: what an ICMP error quotes. A checksum that was
        left unfinished is finished, or the quote would look damaged."""
        payload = self.payload
        if self.checksum is Checksum.PARTIAL and self.protocol == IPProtocol.UDP:
            (finished,) = normalise(Frame(payload, _UNFINISHED_UDP), Medium.IP)
            payload = finished.buffers
        pieces = [self.header, *(memoryview(buffer)[:limit] for buffer in payload)]
        return b"".join(pieces)[:limit]

    def __repr__(self) -> str:
        source, target = address_text(self.src), address_text(self.dst)
        return (
            f"<IPPacket {source} > {target} protocol {self.protocol}, {self.length} octets, on {self.interface.name}>"
        )


def first_octets(buffers: tuple[Buffer, ...], length: int, reason: str) -> tuple[Buffer, ...]:
    """The first `length` octets of `buffers`, as views. Raises `DecodeError` with `reason` when there are fewer."""
    left = length
    kept: list[Buffer] = []
    for buffer in buffers:
        view = memoryview(buffer)
        kept.append(view[:left])
        left -= view.nbytes
        if left <= 0:
            return tuple(kept)
    raise DecodeError(reason, f"{left} octets missing")
