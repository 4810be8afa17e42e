"""What the drivers of real interfaces share: one way to move frames through a descriptor, one way to fail.

Nothing here is looked up on import that other systems lack; asking for a link there raises `OSError` with ENOTSUP.
"""

import errno
import os
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final

from typing_extensions import Buffer

from pystack.errors import DecodeError, LinkDown, os_error
from pystack.link.base import Frame, LinkCapabilities
from pystack.units import Ns
from pystack.wire.mac import MACAddress

__all__ = ["KernelLink", "gather", "grow_receive_buffer", "random_mac", "require_linux"]

LARGEST_FRAME: Final = 65_535 + 22
"""The largest IP packet behind an Ethernet header with two VLAN tags, in octets."""

_GATHER: Final = 8
"""More pieces than this are cheaper to join than to hand over one by one; the kernel refuses more than 1,024."""

_SO_RCVBUFFORCE: Final = 33
_RECEIVE_BUFFER: Final = 16 << 20


def require_linux(what: str) -> None:
    """Raise `OSError` with ENOTSUP unless this is Linux."""
    if sys.platform != "linux":
        raise os_error(
            errno.ENOTSUP, f"{what} works on Linux only, not on {sys.platform}; use MemoryLink, which works everywhere"
        )


def random_mac() -> MACAddress:
    """A fresh unicast address with the locally administered bit, so that it is no vendor's."""
    octets = os.urandom(6)
    return MACAddress(bytes([octets[0] & 0xFC | 0x02]) + octets[1:])


def gather(buffers: Sequence[Buffer]) -> Sequence[Buffer]:
    """`buffers` as `writev` and `sendmsg` take them best."""
    return buffers if len(buffers) <= _GATHER else (b"".join(buffers),)


def grow_receive_buffer(sock: socket.socket) -> None:
    """Let bursts wait in the kernel: 16 MiB, or what the system allows a process without CAP_NET_ADMIN."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)


class KernelLink(ABC):
    """A link behind a non-blocking descriptor of the kernel's. One thread uses it at a time.

    A frame that the kernel refuses for a reason that may pass, such as an interface that is down or a full device
    queue, is lost as on a cable that is pulled for a while: it counts as taken, and `lost` counts it. Only an
    interface that no longer exists is `LinkDown`, once; after that frames vanish and none arrive, and the descriptor
    is no longer worth polling. Using a closed link raises `LinkDown` too.
    """

    def __init__(self, name: str, capabilities: LinkCapabilities) -> None:
        self.name = name
        """The interface's name, or the address for a raw link."""
        self.lost = 0
        """Frames that the kernel refused, cut short on the way in, or marked in a way that makes no sense."""
        self._capabilities = capabilities
        self._gone = False
        self._closed = False

    @property
    def capabilities(self) -> LinkCapabilities:
        """As they were when the link was opened."""
        return self._capabilities

    def send(self, frames: Sequence[Frame], now: Ns) -> int:
        """How many of `frames`, from the front, were taken. Raises `LinkDown` when the interface is gone."""
        self._check_open()
        taken = 0
        for frame in frames:
            try:
                self._write(frame)
            except BlockingIOError:
                break
            except OSError as error:
                self._check_gone(error)
                self.lost += 1
            taken += 1
        return taken

    def receive(self, budget: int, now: Ns) -> Sequence[Frame]:
        """What waits, at most `budget` frames. Raises `LinkDown` when the interface is gone."""
        self._check_open()
        return self._drain(self._read, budget)

    def next_arrival(self) -> Ns | None:
        return None

    def set_waker(self, callback: Callable[[], None] | None) -> None:  # noqa: B027
        """Not needed: poll `fileno()`."""

    def close(self) -> None:
        """Release everything. Idempotent."""
        if not self._closed:
            self._closed = True
            self._release()

    def _drain(self, read: Callable[[], Frame | None], budget: int) -> list[Frame]:
        """What `read` gives in at most `budget` turns, until nothing waits. None from it: a frame not for the stack."""
        frames: list[Frame] = []
        for _ in range(budget):
            try:
                frame = read()
            except BlockingIOError:
                break
            except DecodeError:
                self.lost += 1
                continue
            except OSError as error:
                self._check_gone(error)
                break
            if frame is not None:
                frames.append(frame)
        return frames

    def _check_open(self) -> None:
        if self._closed:
            raise LinkDown(f"the link on {self.name} has been closed")

    def _check_gone(self, error: OSError) -> None:
        if not self._gone and self._is_gone(error):
            self._gone = True
            raise LinkDown(f"{self.name} is gone: the interface was removed while in use") from error

    @abstractmethod
    def fileno(self) -> int:
        """The descriptor to poll; -1 when closed."""

    @abstractmethod
    def _write(self, frame: Frame) -> None:
        """Hand one frame to the kernel. Raises `BlockingIOError` when it has no room."""

    @abstractmethod
    def _read(self) -> Frame | None:
        """The next frame; None for one that is not for the stack. Raises `BlockingIOError` when none waits,
        `DecodeError` for one whose marks make no sense."""

    @abstractmethod
    def _is_gone(self, error: OSError) -> bool:
        """Whether `error` means that the interface no longer exists."""

    @abstractmethod
    def _release(self) -> None:
        """Close descriptors and undo what was changed."""
