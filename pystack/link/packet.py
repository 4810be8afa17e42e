"""AF_PACKET: raw Ethernet frames on an interface that exists already, beside the kernel's own stack (Linux)."""

import contextlib
import errno
import socket
import struct
from typing import Final

from attrs import evolve
from typing_extensions import Buffer, override

from pystack.errors import DecodeError, os_error
from pystack.link.base import Checksum, Frame, LinkCapabilities, Medium, Offload
from pystack.link.bpf import accept_station, attach
from pystack.link.linux import gather, grow_receive_buffer, random_mac, require_linux
from pystack.link.netlink import LinkInfo, RouteSocket
from pystack.link.unfinished import unfinished
from pystack.link.vnet import LARGEST_SUPER_SEGMENT, VnetLink, with_header
from pystack.wire.mac import AnyMAC, MACAddress, mac_address

__all__ = ["PacketLink"]

_NOTHING_YET: Final = 0
_ETH_P_ALL: Final = 0x0003
_ARPHRD_ETHER: Final = 1

_SOL_PACKET: Final = 263
_PACKET_ADD_MEMBERSHIP, _PACKET_AUXDATA, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 1, 8, 15, 23
_MEMBERSHIP: Final = struct.Struct("=iHH8x")  # interface index, type, length of the address that follows
_PACKET_MR_PROMISC: Final = 1

_AUXDATA: Final = struct.Struct("=IIIHHHH")  # status, lengths on the wire and here, offsets, VLAN tag, VLAN ethertype
_CSUM_NOT_READY, _VLAN_VALID, _VLAN_TPID_VALID, _CSUM_VALID = 1 << 3, 1 << 4, 1 << 6, 1 << 7
_ANCILLARY_SPACE: Final = 64
_VLAN: Final = 0x8100

_ETHERNET_HEADER: Final = 14
_ADDRESSES: Final = 12
_VLAN_TAG: Final = 4
_VERIFIED: Final = Offload(checksum=Checksum.VERIFIED)


class PacketLink(VnetLink):
    """A second station on the Ethernet behind interface `name`, with a MAC address and IP address of its own.

    The interface must exist and be up; nothing about it is changed but that it listens promiscuously until `close`,
    so that frames to `mac` (random and locally administered unless given) reach us. Needs root or CAP_NET_RAW, and
    Linux 4.20.

    The other stations see one more of their kind, but the machine's own kernel does not see us on that interface, nor
    we it: what one of the two sends goes out, past the other. Most wireless networks drop frames of an unknown station.
    An interface that goes down and comes up again is a cable that was pulled for a while; one that is deleted, or
    moved to another network namespace, is `LinkDown`.

    A frame may be larger than the MTU: between two stations on one machine, and where the kernel merges what it
    received, it hands over TCP super-segments whole.

    `offload`: give the kernel super-segments and unfinished checksums too; it cuts and finishes where the device does
    not. What `capabilities` say then. False: what is sent is as a wire carries it.
    """

    def __init__(self, name: str, mac: AnyMAC | None = None, *, offload: bool = True) -> None:
        require_linux("PacketLink")
        station = random_mac() if mac is None else mac_address(mac)
        info = _find(name)
        with contextlib.ExitStack() as undo:
            self._socket = undo.enter_context(_open_socket())
            headers = offload and _ask_for_headers(self._socket)
            _listen(self._socket, info, station)
            undo.pop_all()
        capabilities = LinkCapabilities(
            Medium.ETHERNET,
            info.mtu,
            station,
            tx_checksum=headers,
            rx_checksum=True,
            tso=LARGEST_SUPER_SEGMENT if headers else 0,
        )
        super().__init__(name, capabilities, headers=headers)

    @override
    def fileno(self) -> int:
        """Readable when frames wait; -1 when closed."""
        return self._socket.fileno()

    @override
    def _write(self, frame: Frame) -> None:
        self._socket.sendmsg(with_header(frame) if self._headers else gather(frame.buffers))

    @override
    def _read_frame(self) -> Frame | None:
        buffers = (self._header, self._pool.buffer) if self._headers else (self._pool.buffer,)
        try:
            octets, ancillary, flags, _ = self._socket.recvmsg_into(buffers, _ANCILLARY_SPACE)
        except OSError as error:
            if error.errno == errno.EINVAL:  # a tunnel's super-frame, say: no header can tell how to cut it
                raise DecodeError("offload.gso_type") from error
            raise
        if flags & socket.MSG_TRUNC:
            raise DecodeError("packet.truncated")
        status, _, _, _, _, tag, ethertype = _AUXDATA.unpack(ancillary[0][2])
        frame = self._behind_header(octets) if self._headers else _marked(self._pool.frame(octets), status)
        if status & _VLAN_VALID:
            return _tagged(frame, ethertype if status & _VLAN_TPID_VALID else _VLAN, tag)
        return frame

    @override
    def _is_gone(self, error: OSError) -> bool:
        interface: str = self._socket.getsockname()[0]  # empty once the interface that it was bound to is gone
        return not interface

    @override
    def _release(self) -> None:
        self._socket.close()


def _find(name: str) -> LinkInfo:
    """The interface, if a station of ours can live on it."""
    try:
        with RouteSocket() as route:
            info = route.link(name)
    except OSError as error:
        hint = f'there is no interface {name}; "ip link" lists those that exist'
        raise os_error(error.errno or errno.ENODEV, hint) from error
    if info.hardware != _ARPHRD_ETHER:
        raise os_error(errno.EOPNOTSUPP, f"{name} is not an Ethernet; RawIPLink works without one")
    if not info.up:
        raise os_error(errno.ENETDOWN, f"{name} is down; bring it up with: ip link set {name} up")
    return info


def _open_socket() -> socket.socket:
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NOTHING_YET)
    except PermissionError as error:
        raise os_error(errno.EPERM, "PacketLink needs root or CAP_NET_RAW") from error


def _listen(sock: socket.socket, info: LinkInfo, station: MACAddress) -> None:
    """Have `sock` receive what is meant for `station`, from this interface and never from another."""
    attach(sock, accept_station(station))
    grow_receive_buffer(sock)
    sock.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
    sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _MEMBERSHIP.pack(info.index, _PACKET_MR_PROMISC, 0))
    sock.bind((info.name, _ETH_P_ALL))


def _ask_for_headers(sock: socket.socket) -> bool:
    """Have frames marked, both ways; False: this kernel does not know how."""
    try:
        sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    except OSError:
        return False
    return True


def _marked(data: Buffer, status: int) -> Frame:
    """A frame that came without header, marked as far as `status` tells."""
    if status & _CSUM_NOT_READY:
        return Frame((data,), unfinished(memoryview(data), _ETHERNET_HEADER))
    return Frame((data,), _VERIFIED if status & _CSUM_VALID else None)


def _tagged(frame: Frame, ethertype: int, tag: int) -> Frame:
    """`frame` with the 802.1Q tag that the kernel took out of it put back."""
    octets, offload = frame.to_bytes(), frame.offload
    if offload is not None and offload.checksum is Checksum.PARTIAL:
        offload = evolve(offload, csum_start=offload.csum_start + _VLAN_TAG)
    return Frame((octets[:_ADDRESSES] + struct.pack("!HH", ethertype, tag) + octets[_ADDRESSES:],), offload)
