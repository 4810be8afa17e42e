"""From a transport's header and payload to a frame in an interface's queue."""

from collections import Counter
from collections.abc import Callable
from errno import EMSGSIZE
from functools import lru_cache

from typing_extensions import Buffer

from pystack.errors import os_error
from pystack.link.base import Checksum, Frame, GSOType, Offload
from pystack.net.address import address_text
from pystack.net.identification import Identifications
from pystack.net.neighbour import Waiting
from pystack.net.path import Path
from pystack.net.pathmtu import PathMTUs
from pystack.units import Ns

__all__ = ["Output"]


class Output:
    """Builds IP datagrams. All headers become one `bytes` object; the payload's buffers follow as they are."""

    def __init__(self, mtus: PathMTUs, entropy: Callable[[int], bytes], counters: Counter[str]) -> None:
        self._mtus = mtus
        self._identifications = Identifications(entropy)
        self._counters = counters

    def send(
        self,
        path: Path,
        protocol: int,
        header: bytes,
        payload: tuple[Buffer, ...],
        length: int,
        now: Ns,
        *,
        csum_offset: int | None = None,
        gso_size: int = 0,
        tos: int = 0,
        ttl: int = 64,
        dont_fragment: bool = True,
    ) -> None:
        """Queue one datagram of `header` and the `length` octets of `payload` on the path's interface.

        `csum_offset` says where in `header` a checksum was left partial, `gso_size` how a super-segment is to be cut;
        only for links whose capabilities allow it. Raises `OSError` EMSGSIZE for what is larger than the path MTU:
        nothing is fragmented here, whatever `dont_fragment` lets IPv4's routers do.
        """
        if not 0 < ttl < 256:  # RFC 1122, 3.2.1.7
            raise ValueError(f"a TTL or hop limit is 1 to 255, not {ttl}")
        ip_octets = path.header_octets
        total_length = ip_octets + len(header) + length
        if total_length > path.link_mtu or self._mtus.learned:
            self._mtus.expire(path.dst, now)
            _check_size(path, total_length, ip_octets + len(header), gso_size)
        if dont_fragment:
            packet = path.ip_header(protocol, total_length, ttl, tos) + header
        else:
            identification = self._identifications.next(path.src, path.dst, protocol)
            packet = path.fragmentable_header(protocol, total_length, ttl, tos, identification) + header
        offload = None
        if csum_offset is not None:
            start = path.link_length + ip_octets
            if gso_size:
                offload = _marks(start, csum_offset, path.gso_type, gso_size, start + len(header))
            else:
                offload = _marks(start, csum_offset, GSOType.NONE, 0, 0)
        interface = path.interface
        neighbours = path.neighbours
        if neighbours is None:
            link_header = path.link_header
        else:
            neighbour = neighbours.get(path.next_hop)
            if neighbour is None or now >= neighbour.fresh_until:
                if interface.up:
                    neighbours.send(path.next_hop, Waiting(packet, payload, offload), now)
                else:
                    self._counters["link.down"] += 1
                return
            neighbour.used = now
            link_header = neighbour.link_header
        interface.transmit(Frame((link_header + packet, *payload), offload))


@lru_cache(256)
def _marks(csum_start: int, csum_offset: int, gso_type: GSOType, gso_size: int, header_length: int) -> Offload:
    """Marks differ little from frame to frame, and cost more to make than to find."""
    return Offload(Checksum.PARTIAL, csum_start, csum_offset, gso_type, gso_size, header_length)


def _check_size(path: Path, total_length: int, headers: int, gso_size: int) -> None:
    """A super-segment may exceed the path MTU if what is cut from it does not."""
    if total_length <= path.mtu:
        return
    if gso_size and headers + gso_size <= path.mtu and total_length <= path.interface.capabilities.tso:
        return
    raise os_error(EMSGSIZE, f"{total_length} octets of packet for {address_text(path.dst)}, path MTU is {path.mtu}")
