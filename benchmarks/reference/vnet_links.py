"""Descriptors that carry frames behind the virtio-net header: a TAP's, and AF_PACKET on an interface."""

import fcntl
import os
import socket
import struct

from _network import IFF_NO_PI, IFF_TAP, TUNSETIFF, ip

from pystack.link.bpf import accept_station, attach
from pystack.wire import MACAddress

__all__ = ["open_vnet_packet", "open_vnet_tap"]

IFF_VNET_HDR = 0x4000
TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454D0, 0x400454D8
CHECKSUMS_AND_SEGMENTS = 0x01 | 0x02 | 0x04
HEADER_OCTETS = 10

ETH_P_ALL = 0x0003
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 1, 15, 23
PACKET_MR_PROMISC = 1
SO_RCVBUFFORCE = 33
RECEIVE_BUFFER = 16 << 20


def open_vnet_tap(name: str, address: str) -> int:
    """A new TAP device, up, with `address` (with prefix length) on the kernel's side. It goes when it is closed."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    request = struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
    fcntl.ioctl(descriptor, TUNSETIFF, request)
    fcntl.ioctl(descriptor, TUNSETVNETHDRSZ, struct.pack("=i", HEADER_OCTETS))
    fcntl.ioctl(descriptor, TUNSETOFFLOAD, CHECKSUMS_AND_SEGMENTS)
    ip("address", "add", address, "dev", name)
    ip("link", "set", name, "up")
    return descriptor


def open_vnet_packet(name: str, station: bytes) -> socket.socket:
    """Raw frames of interface `name` for the address `station`, and no others: they would fill the queue."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    attach(sock, accept_station(MACAddress(station)))
    sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    membership = struct.pack("=iHH8x", socket.if_nametoindex(name), PACKET_MR_PROMISC, 0)
    sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
    sock.bind((name, ETH_P_ALL))
    return sock
