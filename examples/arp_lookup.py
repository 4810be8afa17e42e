"""Ask an Ethernet who has an IPv4 address. Without arguments: the in-memory one of the demo host, no root needed.

No stack takes part: the question is built header by header and handed to the link, and the answer is picked out of
what the link receives. This is what a link is, and how far `pystack.wire` gets one by itself.
The exit status is 0 with an answer, 1 without, 2 for any other trouble.
"""

import argparse
import select
import socket
import threading
import time
from ipaddress import IPv4Address

from _demo import DEMO_NAME
from _links import Attachment, Parser, SetupError, attach, complain, count, link_options, run, seconds, sentence

from pystack.errors import DecodeError
from pystack.link.base import Frame, Link, Medium
from pystack.wire import ARPOperation, ARPPacket, EthernetHeader, EtherType, MACAddress

NO_ANSWER = 1
TROUBLE = 2
EVERYBODY = MACAddress("ff:ff:ff:ff:ff:ff")


class Ears:
    """Waits until a link has something, whichever way the link announces it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._news = threading.Event()
        link.set_waker(self._news.set)

    def wait(self, timeout: float) -> None:
        descriptor = self._link.fileno()
        if descriptor is not None:
            select.select([descriptor], [], [], timeout)
        else:
            self._news.wait(timeout)
            self._news.clear()


def question(own: MACAddress, sender: IPv4Address, target: IPv4Address) -> bytes:
    """A broadcast frame: "who has `target`? Tell `sender`.\""""
    return bytes(EthernetHeader(EVERYBODY, own, EtherType.ARP)) + bytes(ARPPacket.request(own, sender, target))


def answer_in(frame: bytes, target: IPv4Address) -> ARPPacket | None:
    """The ARP packet in `frame`, if it is `target`'s answer."""
    try:
        if EthernetHeader.from_bytes(frame).ethertype != EtherType.ARP:
            return None
        packet = ARPPacket.from_bytes(frame[EthernetHeader.SIZE :])
    except DecodeError:
        return None
    return packet if packet.operation == ARPOperation.REPLY and packet.sender_ip == target else None


def look_up(link: Link, sender: IPv4Address, target: IPv4Address, timeout: float) -> tuple[ARPPacket, float] | None:
    """The answer and how many seconds it took; None when none came within `timeout` seconds."""
    own = link.capabilities.mac
    assert own is not None
    ears = Ears(link)
    asked = time.monotonic()
    link.send([Frame((question(own, sender, target),))], time.monotonic_ns())
    while (left := asked + timeout - time.monotonic()) > 0:
        ears.wait(left)
        for frame in link.receive(64, time.monotonic_ns()):
            if packet := answer_in(frame.to_bytes(), target):
                return packet, time.monotonic() - asked
    return None


def target_address(name: str | None, attachment: Attachment) -> IPv4Address:
    """Raises `SetupError`: ARP speaks of addresses only."""
    try:
        return IPv4Address(attachment.resolve(name or attachment.peer or DEMO_NAME))
    except (ValueError, socket.gaierror):
        raise SetupError(f"{name or 'nothing'} to look up: give an IPv4 address, like 192.0.2.1") from None


def arguments() -> argparse.Namespace:
    parser = Parser(description=__doc__.splitlines()[0], parents=[link_options()])
    parser.add_argument("target", nargs="?", metavar="IP", help="the address in question (default: the other end's)")
    parser.add_argument("-c", "--count", type=count(10**6), default=3, help="ask so many times at most (default: 3)")
    parser.add_argument(
        "-W", "--wait", type=seconds, default=1.0, metavar="S", help="seconds to wait each time (default: 1)"
    )
    return parser.parse_args()


def main() -> int:
    options = arguments()
    try:
        with attach(options, options.target) as attachment:
            link = attachment.link
            if link.capabilities.medium is not Medium.ETHERNET:
                raise SetupError(
                    f"--link {options.link} has no Ethernet under it, so there is no ARP; take tap or packet"
                )
            target = target_address(options.target, attachment)
            for _ in range(options.count):
                if found := look_up(link, attachment.address.ip, target, options.wait):
                    packet, elapsed = found
                    print(f"{target} is at {packet.sender_mac} ({elapsed * 1000:.3f} ms)")
                    return 0
    except OSError as error:
        complain(sentence(error))
        return TROUBLE
    complain(f"nobody answers for {target}; is its host up, and on this very Ethernet?")
    return NO_ANSWER


if __name__ == "__main__":
    run(main)
