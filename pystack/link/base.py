"""What every link promises, and what crosses it."""

import enum
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from attrs import define, field, frozen
from typing_extensions import Buffer

from pystack.units import Ns
from pystack.wire.mac import MACAddress

__all__ = ["Checksum", "Claims", "Frame", "GSOType", "Link", "LinkCapabilities", "Medium", "Offload"]


class Medium(enum.Enum):
    """What a frame starts with."""

    ETHERNET = "ethernet"
    """An Ethernet II header; neighbours are found by ARP."""
    IP = "ip"
    """The IP header itself: TUN, raw IP, tunnels."""


class Checksum(enum.Enum):
    """What is known of the transport checksum of a frame."""

    COMPLETE = 0
    """Sent: it is in the frame. Received: nobody has verified it."""
    PARTIAL = 1
    """The field at `csum_start + csum_offset` holds the folded pseudo-header sum, not inverted; whoever puts the frame
    on a wire finishes it. Received so, the frame never left this machine."""
    VERIFIED = 2
    """Received: the link has verified it."""


class GSOType(enum.IntEnum):
    """How a super-segment is to be cut. Values are virtio-net's (virtio 1.1, section 5.1.6)."""

    NONE = 0
    TCPV4 = 1
    TCPV6 = 4
    UDP = 5
    """Several datagrams; links cut them before the stack sees them."""


@frozen(cache_hash=True)
class Offload:
    """The virtio-net header's content: what the sender left to the link. Offsets count octets of the frame."""

    checksum: Checksum = Checksum.COMPLETE
    csum_start: int = 0
    csum_offset: int = 0
    gso_type: GSOType = GSOType.NONE
    gso_size: int = 0
    """Payload octets of each segment cut from this one, but for the last."""
    header_length: int = 0
    """Octets in front of the payload, only with a `gso_type`. A hint: a frame that was received may say more."""


@define(eq=False)
class Frame:
    """One frame as its buffers, in order, and its offload marks.

    All headers, link to transport, lie in the first buffer, or the whole frame does. Buffers are never modified once
    the frame is handed over, and their owner keeps them unchanged: a receiver may hold on to them without copying.
    """

    buffers: tuple[Buffer, ...]
    offload: Offload | None = None
    """None says what `Offload()` says: complete, unverified, not to be cut."""

    def to_bytes(self) -> bytes:
        return b"".join(self.buffers)

    def __len__(self) -> int:
        return sum(memoryview(buffer).nbytes for buffer in self.buffers)


@frozen
class LinkCapabilities:
    """What a link can do; the stack never asks which link it is."""

    medium: Medium
    mtu: int
    """Octets of IP packet."""
    mac: MACAddress | None = None
    """The station address the stack answers to; given with `Medium.ETHERNET`."""
    tx_checksum: bool = False
    """The link or its peer finishes TCP and UDP checksums left `PARTIAL`."""
    rx_checksum: bool = False
    """It marks frames whose checksum is verified, or that never left this machine."""
    tso: int = field(default=0)
    """Largest TCP super-segment it cuts by itself, in octets of IP packet, at most 65,535; 0 = none. Needs
    `tx_checksum`."""
    shares_host: bool = False
    """The kernel owns this address too: route own and 127/8 addresses out of this link, accept own source addresses
    from it, and drop silently whatever matches no socket of ours."""


@runtime_checkable
class Link(Protocol):
    """Where frames leave and arrive. Never blocks, knows no IP, reads no clock.

    Full is never an exception. A link that is gone for good raises `LinkDown` from `send` or `receive`; whoever uses it
    after that may see it again.
    """

    @property
    def capabilities(self) -> LinkCapabilities: ...

    def send(self, frames: Sequence[Frame], now: Ns) -> int:
        """How many of `frames`, from the front, were taken. What is not taken stays the caller's."""
        ...

    def receive(self, budget: int, now: Ns) -> Sequence[Frame]:
        """What has arrived by `now`, at most `budget` frames."""
        ...

    def next_arrival(self) -> Ns | None:
        """When `receive` will have something by simulated delay (a time already past: it has now). None: nothing is
        on its way, or the descriptor tells."""
        ...

    def fileno(self) -> int | None:
        """A descriptor to poll: readable when frames wait, writable when `send` would take one. None: `set_waker`."""
        ...

    def set_waker(self, callback: Callable[[], None] | None) -> None:
        """`callback` is called, from any thread, when a frame is queued or a full link has room again. It must only
        set the pump's wake-up. A link with a descriptor may ignore it."""
        ...

    def close(self) -> None:
        """Release everything. Idempotent."""
        ...


@runtime_checkable
class Claims(Protocol):
    """Offered by links that share their address with the kernel: ports must be held before their first packet."""

    def claim(self, protocol: int, address: bytes, port: int) -> None:
        """Hold `port`. Raises `OSError` with EADDRINUSE when somebody else has it."""
        ...

    def release(self, protocol: int, address: bytes, port: int) -> None:
        """Give `port` back. Idempotent."""
        ...
