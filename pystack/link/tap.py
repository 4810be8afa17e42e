"""TAP and TUN: a network interface of the kernel's whose other end is this process (Linux)."""

import contextlib
import errno
import os
import struct
from collections.abc import Callable
from ipaddress import ip_interface
from typing import ClassVar, Final

from typing_extensions import override

from pystack.errors import os_error
from pystack.link.base import Frame, LinkCapabilities, Medium
from pystack.link.linux import LARGEST_FRAME, gather, random_mac, require_linux
from pystack.link.netlink import AnyInterface, LinkInfo, RouteSocket
from pystack.link.vnet import HEADER_OCTETS, LARGEST_SUPER_SEGMENT, VnetLink, with_header
from pystack.wire.mac import AnyMAC, MACAddress, mac_address

__all__ = ["TapLink", "TunLink"]

_DEVICE: Final = "/dev/net/tun"
_REQUEST: Final = struct.Struct("=16sH22x")  # struct ifreq: name, flags
_LONGEST_NAME: Final = 15

_IFF_TUN, _IFF_TAP, _IFF_PERSIST, _IFF_NO_PI, _IFF_VNET_HDR = 0x0001, 0x0002, 0x0800, 0x1000, 0x4000

_SET_IFF, _SET_OFFLOAD, _SET_HEADER_SIZE = 202, 208, 216
_GET_FEATURES, _GET_IFF = 207, 210

_NO_OFFLOAD: Final = 0
_OFFLOAD: Final = 0x01 | 0x02 | 0x04 | 0x08  # partial checksums; super-segments of TCP over IPv4, over IPv6, with CWR

_GONE: Final = frozenset({errno.EBADFD, errno.ENODEV})
"""What reading and writing give once the interface is deleted; one that is merely down gives EIO."""


class _TunnelLink(VnetLink):
    """One end of a tunnel into the kernel's stack."""

    _KIND: ClassVar[str]
    _MODE: ClassVar[int]
    _MEDIUM: ClassVar[Medium]

    def __init__(
        self,
        name: str | None,
        host_address: str | AnyInterface | None,
        mtu: int | None,
        mac: MACAddress | None,
        offload: bool,
    ) -> None:
        require_linux(self._KIND)
        host = None if host_address is None else ip_interface(host_address)
        with contextlib.ExitStack() as undo:
            fd = _open_device(self._KIND)
            undo.callback(os.close, fd)
            headers = offload and _knows_headers(fd)
            name = _attach(fd, self._KIND, self._MODE | _IFF_VNET_HDR if headers else self._MODE, name)
            marked = headers and _accept_offload(fd)
            if marked:
                undo.callback(_quietly, lambda: _ioctl(fd, _iow(_SET_OFFLOAD), _NO_OFFLOAD))
            route = undo.enter_context(RouteSocket())
            info = route.link(name)
            try:
                _configure(route, info, not _is_persistent(fd), host, mtu, undo)
            except PermissionError as error:
                raise os_error(errno.EPERM, f"changing {name} needs root or CAP_NET_ADMIN") from error
            capabilities = LinkCapabilities(
                self._MEDIUM,
                info.mtu if mtu is None else mtu,
                mac,
                tx_checksum=headers,
                rx_checksum=marked,
                tso=LARGEST_SUPER_SEGMENT if headers else 0,
            )
            super().__init__(name, capabilities, headers=headers)
            self._undo = undo.pop_all()
        self._fd = fd

    @override
    def fileno(self) -> int:
        """Readable when frames wait. After `LinkDown` it reports an error for ever: stop polling. -1 when closed."""
        return self._fd

    @override
    def _write(self, frame: Frame) -> None:
        os.writev(self._fd, with_header(frame) if self._headers else gather(frame.buffers))

    @override
    def _read_frame(self) -> Frame:
        if self._headers:
            return self._behind_header(os.readv(self._fd, (self._header, self._pool.buffer)))
        return Frame((os.read(self._fd, LARGEST_FRAME),))

    @override
    def _is_gone(self, error: OSError) -> bool:
        return error.errno in _GONE

    @override
    def _release(self) -> None:
        self._fd = -1
        self._undo.close()


class TapLink(_TunnelLink):
    """A TAP interface: Ethernet frames between the kernel's stack and ours.

    `name`: created if absent, which needs root or CAP_NET_ADMIN, and gone again on `close`; None lets the kernel
    choose. A persistent device made beforehand (`ip tuntap add dev tap0 mode tap user NAME`) needs no privilege and is
    left as it was found.
    `host_address`: the kernel's own address on it, such as "192.0.2.1/24"; the interface is then brought up. A
    device created here is brought up in any case, and without the IPv6 that nobody asked for: unless `host_address`
    is an IPv6 one, it gets no link-local address and sends no router solicitations.
    `mtu`: octets of IP packet; None keeps the device's own, 1,500 for a new one.
    `mac`: the station address of our stack, random and locally administered unless given. The kernel's side has its
    own.
    `offload`: let checksums unfinished and exchange TCP super-segments of up to 64 KB with the kernel, if it knows how
    to; what `capabilities` say then. False: frames as a wire carries them.

    Raises `OSError`: EPERM without the privilege, EBUSY when another process has the device, EINVAL when the name
    belongs to something else, ENOENT without the tun driver.
    """

    _KIND = "TAP"
    _MODE = _IFF_TAP
    _MEDIUM = Medium.ETHERNET

    def __init__(
        self,
        name: str | None = None,
        *,
        host_address: str | AnyInterface | None = None,
        mtu: int | None = None,
        mac: AnyMAC | None = None,
        offload: bool = True,
    ) -> None:
        super().__init__(name, host_address, mtu, random_mac() if mac is None else mac_address(mac), offload)


class TunLink(_TunnelLink):
    """A TUN interface: IP packets, without any link header, between the kernel's stack and ours.

    Everything else is as with `TapLink`.
    """

    _KIND = "TUN"
    _MODE = _IFF_TUN
    _MEDIUM = Medium.IP

    def __init__(
        self,
        name: str | None = None,
        *,
        host_address: str | AnyInterface | None = None,
        mtu: int | None = None,
        offload: bool = True,
    ) -> None:
        super().__init__(name, host_address, mtu, None, offload)


def _open_device(kind: str) -> int:
    try:
        return os.open(_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        raise os_error(errno.EPERM, f"{kind} needs root, or access to {_DEVICE}") from error
    except OSError as error:
        hint = f"{kind} needs {_DEVICE}; load its driver (modprobe tun), or pass the device into the container"
        raise os_error(error.errno or errno.ENOENT, hint) from error


def _attach(fd: int, kind: str, mode: int, name: str | None) -> str:
    """Tie `fd` to the device of that name, created if absent; the name, which the kernel chooses when none is given."""
    wanted = (name or "").encode()
    if len(wanted) > _LONGEST_NAME:
        raise os_error(errno.ENAMETOOLONG, f"{name}: interface names have at most {_LONGEST_NAME} octets")
    try:
        reply = _ioctl(fd, _iow(_SET_IFF), _REQUEST.pack(wanted, mode | _IFF_NO_PI))
        _ioctl(fd, _iow(_SET_OFFLOAD), _NO_OFFLOAD)  # an earlier owner of a persistent device may have left some on
        if mode & _IFF_VNET_HDR:
            _ioctl(fd, _iow(_SET_HEADER_SIZE), struct.pack("=i", HEADER_OCTETS))
    except OSError as error:
        hint = {
            errno.EPERM: f"{kind} needs root or CAP_NET_ADMIN, or a device made for you by root: "
            f"ip tuntap add dev {name or kind.lower() + '0'} mode {kind.lower()} user NAME",
            errno.EBUSY: f"{name} is in use by another process",
            errno.EINVAL: f"{name!r} is the name of something that is not a {kind} device, or cannot be a name",
        }.get(error.errno or 0, f"{kind} {name}")
        raise os_error(error.errno or errno.EIO, hint) from error
    actual, _ = _REQUEST.unpack(reply)
    return str(actual.rstrip(b"\0").decode())


def _knows_headers(fd: int) -> bool:
    """Whether the driver can put the virtio-net header in front of frames."""
    try:
        (features,) = struct.unpack("=I", _ioctl(fd, _ior(_GET_FEATURES), bytes(4)))
    except OSError:
        return False
    return bool(features & _IFF_VNET_HDR)


def _accept_offload(fd: int) -> bool:
    """Let the kernel leave checksums unfinished and segments uncut; False: it will do neither."""
    try:
        _ioctl(fd, _iow(_SET_OFFLOAD), _OFFLOAD)
    except OSError:
        return False
    return True


def _is_persistent(fd: int) -> bool:
    """A device that is not persistent lives as long as its descriptor, so this descriptor has created it."""
    _, flags = _REQUEST.unpack(_ioctl(fd, _ior(_GET_IFF), bytes(_REQUEST.size)))
    return bool(flags & _IFF_PERSIST)


def _configure(
    route: RouteSocket,
    info: LinkInfo,
    created: bool,
    host: AnyInterface | None,
    mtu: int | None,
    undo: contextlib.ExitStack,
) -> None:
    """Make the kernel's side what was asked for; `undo` takes it all back."""

    def change(do: Callable[[], None], take_back: Callable[[], None]) -> None:
        do()
        undo.callback(_quietly, take_back)

    index = info.index
    if created and (host is None or host.version == 4):
        _quietly(lambda: route.silence_ipv6(index))  # a kernel may have no IPv6 to silence
    if mtu is not None and mtu != info.mtu:
        try:
            change(lambda: route.set_mtu(index, mtu), lambda: route.set_mtu(index, info.mtu))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise os_error(errno.EINVAL, f"{info.name} cannot have an MTU of {mtu} octets") from error
    if host is not None and (index, host) not in route.addresses():
        change(lambda: route.add_address(index, host), lambda: route.delete_address(index, host))
    if not info.up and (created or host is not None):
        change(lambda: route.set_up(index, True), lambda: route.set_up(index, False))


def _quietly(call: Callable[[], object]) -> None:
    with contextlib.suppress(OSError):  # the device, or what we gave it, may be gone already
        call()


def _ioctl(fd: int, request: int, argument: bytes | int) -> bytes:
    from fcntl import ioctl

    reply = ioctl(fd, request, argument)
    return reply if isinstance(reply, bytes) else b""


def _iow(number: int) -> int:
    """The request of type 'T' that hands the kernel an int."""
    return _direction(0x4000_0000, 0x8000_0000) | 4 << 16 | ord("T") << 8 | number


def _ior(number: int) -> int:
    """The request of type 'T' that takes an int from the kernel."""
    return _direction(0x8000_0000, 0x4000_0000) | 4 << 16 | ord("T") << 8 | number


def _direction(usual: int, unusual: int) -> int:
    return unusual if os.uname().machine.startswith(("alpha", "mips", "ppc", "sparc")) else usual
