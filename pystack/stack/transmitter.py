"""From a connection's segments to the network: what may leave now, sealed with its checksum."""

from collections import Counter

from attrs import define

from pystack.net.network import Network
from pystack.net.packet import IPPacket
from pystack.net.path import Path
from pystack.stack.flow import TCP, Flow, Settings, fit_to_path
from pystack.transport.tcp.segment import Segment
from pystack.units import Ns
from pystack.wire.checksum import ones_sum_buffers
from pystack.wire.pseudo import pseudo_sum

__all__ = ["Transmitter"]

CHECKSUM_OFFSET = 16
QUANTUM = 32
"""Segments that one connection may send before the next one's turn."""


@define(eq=False)
class Transmitter:
    network: Network
    counters: Counter[str]

    def send_some(self, flow: Flow, room: int, now: Ns) -> int:
        """What the connection sends in one turn, cut for the path as it is now; its link has `room` for so many
        segments. How many there were."""
        path, connection = flow.path, flow.connection
        mtu = path.mtu
        if mtu != flow.mtu:
            flow.mtu = mtu
            fit_to_path(connection, path, now)
        segments = connection.take_output(now, min(QUANTUM, room), flow.tso)
        ports = (connection.local_port, connection.remote_port)
        for segment in segments:
            self.send(segment, path, flow.pseudo, ports, flow.settings, now)
        return len(segments)

    def send(
        self, segment: Segment, path: Path, pseudo: int, ports: tuple[int, int], settings: Settings, now: Ns
    ) -> None:
        header = segment.header_bytes(*ports, pseudo)
        csum_offset: int | None = CHECKSUM_OFFSET
        if not path.interface.capabilities.tx_checksum:
            checksum = 0xFFFF - ones_sum_buffers((header, *segment.payload))
            header = header[:CHECKSUM_OFFSET] + checksum.to_bytes(2, "big") + header[CHECKSUM_OFFSET + 2 :]
            csum_offset = None
        self.network.send(
            path,
            TCP,
            header,
            segment.payload,
            segment.length,
            now,
            csum_offset=csum_offset,
            gso_size=segment.gso_size,
            ttl=settings.ttl,
            tos=settings.tos | segment.ecn,
        )

    def answer(self, segment: Segment, path: Path, ports: tuple[int, int], settings: Settings, now: Ns) -> None:
        """Send a segment that belongs to no connection."""
        self.send(segment, path, pseudo_sum(path.src, path.dst, TCP), ports, settings, now)

    def path_back(self, packet: IPPacket, settings: Settings) -> Path | None:
        """By the way that the user wants (MUST-52), or by which the packet came (MUST-53)."""
        try:
            return self.network.path(packet.src, packet.dst, route=settings.route or packet.route)
        except OSError:
            self.counters["tcp.no_route"] += 1
            return None
