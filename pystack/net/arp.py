"""ARP on one Ethernet interface: RFC 826, with RFC 5227's defence of our own addresses."""

import logging
from collections import Counter
from collections.abc import Callable
from random import Random

from attrs import define, field
from typing_extensions import Buffer

from pystack.errors import DecodeError
from pystack.link.base import Frame
from pystack.net.address import InterfaceAddress, address_text
from pystack.net.config import NetConfig
from pystack.net.family import IPV4
from pystack.net.neighbour import Neighbour, NeighbourCache
from pystack.units import Ns
from pystack.wire.arp import ARPOperation, pack_arp, unpack_arp
from pystack.wire.ethernet import EtherType, pack_ethernet
from pystack.wire.mac import BROADCAST

__all__ = ["AddressResolution"]

log = logging.getLogger("pystack.arp")

UNKNOWN = bytes(6)


@define(eq=False)
class AddressResolution:
    """What this interface asks, answers and believes.

    It believes an answer to its own question, and whoever asks for one of our addresses. What others tell everybody
    (gratuitous announcements, overheard questions) only corrects neighbours that are in use; it never adds one.
    """

    mac: bytes
    addresses: list[InterfaceAddress]
    """The interface's own, not a copy."""
    config: NetConfig
    rng: Random
    counters: Counter[str]
    transmit: Callable[[Frame], None]
    """For packets that waited for an answer."""
    transmit_control: Callable[[Frame], None]
    """For ARP itself."""
    unreachable: Callable[[Neighbour, Ns], None]
    cache: NeighbourCache = field(init=False)
    _defended: dict[bytes, Ns] = field(init=False, factory=dict)
    """When each of our addresses was last defended."""

    def __attrs_post_init__(self) -> None:
        self.cache = NeighbourCache(
            self.config, self.rng, self.counters, self.ipv4_header, self._ask, self.transmit, self.unreachable
        )

    def ipv4_header(self, mac: bytes) -> bytes:
        """What goes in front of an IPv4 packet for `mac`."""
        return pack_ethernet(mac, self.mac, EtherType.IPV4)

    def announce(self, address: bytes) -> None:
        """Tell everybody that `address` is ours (RFC 5227, section 2.3), so that stale entries are corrected."""
        self._transmit(BROADCAST.octets, ARPOperation.REQUEST, address, UNKNOWN, address)

    def receive(self, packet: Buffer, link_broadcast: bool, now: Ns) -> None:
        """Handle what follows the Ethernet header. Raises `DecodeError` for what is not ARP."""
        operation, sender_mac, sender, target_mac, target = unpack_arp(packet)
        if operation not in (ARPOperation.REQUEST, ARPOperation.REPLY):
            raise DecodeError("arp.operation", str(operation))
        if sender_mac[0] & 1 or sender_mac == UNKNOWN:
            raise DecodeError("arp.sender", f"{sender_mac.hex(':')} is not one station's address")
        if sender_mac == self.mac:
            self.counters["arp.own"] += 1  # a hub or a bridge loop sends us back what we sent
        elif self._is_ours(sender):
            self._defend(sender, sender_mac, now)
        elif operation == ARPOperation.REQUEST and self._is_ours(target):
            self._answer(target, sender_mac, sender, now)
        else:
            to_us = target_mac == self.mac and not link_broadcast and self._is_ours(target)
            solicited = operation == ARPOperation.REPLY and to_us
            if self.cache.advertised(sender, sender_mac, now, solicited=solicited):
                log.debug("%s is at %s", address_text(sender), sender_mac.hex(":"))
            else:
                self.counters["arp.untrusted" if operation == ARPOperation.REPLY else "arp.not_ours"] += 1

    def _answer(self, target: bytes, sender_mac: bytes, sender: bytes, now: Ns) -> None:
        log.debug("%s asks for %s: it is at %s", address_text(sender), address_text(target), self.mac.hex(":"))
        if self._is_neighbour(sender):
            self.cache.introduced(sender, sender_mac, now)
        elif sender != IPV4.any:  # which is a probe (RFC 5227, section 2.1.1), answered but nothing to learn from
            self.counters["arp.untrusted"] += 1
        self._transmit(sender_mac, ARPOperation.REPLY, target, sender_mac, sender)

    def _defend(self, address: bytes, mac: bytes, now: Ns) -> None:
        """Another station claims one of our addresses: keep it, and say so at most once per interval (RFC 5227,
        section 2.4, choice c)."""
        self.counters["arp.conflict"] += 1
        last = self._defended.get(address)
        if last is None or now - last >= self.config.defend_interval:
            self._defended[address] = now
            log.warning("%s also claims our address %s", mac.hex(":"), address_text(address))
            self.announce(address)

    def _ask(self, target: bytes, mac: bytes | None) -> None:
        """Ask everybody for `target`, or only `mac` whether it is still there."""
        on_link = (own.address for own in self.addresses if own.covers(target))
        source = next(on_link, self.addresses[0].address if self.addresses else IPV4.any)
        log.debug("who has %s? tell %s", address_text(target), address_text(source))
        self._transmit(mac or BROADCAST.octets, ARPOperation.REQUEST, source, UNKNOWN, target)

    def _transmit(
        self, destination: bytes, operation: ARPOperation, sender: bytes, target_mac: bytes, target: bytes
    ) -> None:
        header = pack_ethernet(destination, self.mac, EtherType.ARP)
        self.transmit_control(Frame((header + pack_arp(operation, self.mac, sender, target_mac, target),)))

    def _is_ours(self, address: bytes) -> bool:
        return any(own.address == address for own in self.addresses)

    def _is_neighbour(self, address: bytes) -> bool:
        """Whether `address` can be one host on a network of this interface."""
        return any(
            own.covers(address) and (own.broadcast is None or address not in (own.network, own.broadcast))
            for own in self.addresses
        )
