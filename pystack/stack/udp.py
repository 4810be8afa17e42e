"""The UDP side of one host: which datagram belongs to which socket."""

from collections import Counter
from errno import EMSGSIZE
from typing import Protocol

from attrs import define, field

from pystack.errors import DecodeError, os_error
from pystack.net.errors import PathError
from pystack.net.network import Network
from pystack.net.packet import IPPacket
from pystack.net.path import Path
from pystack.stack.failure import failure_of
from pystack.stack.ports import ANY
from pystack.transport.udp import CHECKSUM_OFFSET, open_datagram, seal_datagram
from pystack.units import Ns
from pystack.wire.pseudo import pseudo_sum

__all__ = ["UDP", "Receiver", "UDPService"]

UDP = 17
HEADER = 8


class Receiver(Protocol):
    """What the service needs of a socket."""

    def on_datagram(self, data: bytes, sender: tuple[bytes, int], now: Ns) -> bool:
        """False: its queue is full."""
        ...

    def fail(self, error: OSError, now: Ns) -> None: ...


@define(eq=False)
class UDPService:
    network: Network
    counters: Counter[str]
    _bound: dict[tuple[bytes, int], list[Receiver]] = field(init=False, factory=dict)
    _connected: dict[bytes, Receiver] = field(init=False, factory=dict)

    def open(self, receiver: Receiver, address: bytes, port: int) -> None:
        """`receiver` gets what comes to `port` of `address`; of several the last one opened does."""
        self._bound.setdefault((address, port), []).append(receiver)

    def close(self, receiver: Receiver, address: bytes, port: int) -> None:
        receivers = self._bound.get((address, port), [])
        if receiver in receivers:
            receivers.remove(receiver)
            if not receivers:
                del self._bound[address, port]

    def connect(self, receiver: Receiver, key: bytes) -> None:
        """Datagrams from one peer, and its ICMP errors, go to `receiver` before any other. Keys as `flow_key`'s."""
        self._connected[key] = receiver

    def disconnect(self, receiver: Receiver, key: bytes) -> None:
        if self._connected.get(key) is receiver:
            del self._connected[key]

    def deliver(self, packet: IPPacket, now: Ns) -> None:
        pseudo = pseudo_sum(packet.src, packet.dst, UDP)
        try:
            src_port, dst_port, pieces = open_datagram(packet.payload, packet.length, pseudo, packet.checksum)
        except DecodeError as error:
            self.counters[error.reason] += 1
            return
        if len(packet.dst) == 16 and not any(memoryview(packet.payload[0])[CHECKSUM_OFFSET : CHECKSUM_OFFSET + 2]):
            self.counters["udp.no_checksum"] += 1  # RFC 8200, section 8.1: IPv6 has no checksum of its own to lean on
            return
        key = packet.src + packet.dst + src_port.to_bytes(2, "big") + dst_port.to_bytes(2, "big")
        receiver = self._connected.get(key)
        if receiver is None:
            bound, dst = self._bound, packet.dst
            receivers = (
                bound.get((dst, dst_port)) or bound.get((bytes(len(dst)), dst_port)) or bound.get((ANY, dst_port))
            )
            if not receivers:
                self.counters["udp.no_socket"] += 1
                self.network.send_port_unreachable(packet, now)
                return
            receiver = receivers[-1]
        if not receiver.on_datagram(b"".join(pieces), (packet.src, src_port), now):
            self.counters["udp.queue_full"] += 1

    def on_path_error(self, error: PathError, now: Ns) -> None:
        """An error about a datagram of ours reaches a connected socket (RFC 1122, section 4.1.3.3); hard ones, and
        like Linux no others, fail its next call."""
        receiver = self._connected.get(error.dst + error.src + error.quote[2:4] + error.quote[0:2])
        if receiver is None:
            self.counters["udp.error_for_nobody"] += 1
        elif error.mtu is not None:
            self.network.lower_path_mtu(error.dst, error.mtu, now)
        elif error.hard:
            receiver.fail(failure_of(error), now)

    def send(self, path: Path, src_port: int, dst_port: int, data: bytes, now: Ns, *, ttl: int, tos: int) -> None:
        """Raises EMSGSIZE for what does not fit the path in one packet: nothing is fragmented."""
        room = path.mtu - path.header_octets - HEADER
        if len(data) > room:
            raise os_error(EMSGSIZE, f"{len(data)} octets; this path takes {room} in a datagram")
        partial = path.interface.capabilities.tx_checksum
        header = seal_datagram(src_port, dst_port, data, pseudo_sum(path.src, path.dst, UDP), partial=partial)
        offset = CHECKSUM_OFFSET if partial else None
        self.network.send(path, UDP, header, (data,), len(data), now, csum_offset=offset, ttl=ttl, tos=tos)
