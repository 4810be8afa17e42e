"""The siege with frames that hypothesis builds: whole headers with any field, their lengths and checksums right, aimed
at what listens, at the honest peer's connection, and at whatever the host has just said to somebody."""

import pytest
from attrs import evolve, frozen
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from pystack.link.base import Medium
from pystack.testing import strategies as wire_strategies
from pystack.testing.strategies import u8, u16, u32
from pystack.wire import (
    EthernetHeader,
    EtherType,
    ICMPv4Message,
    ICMPv6Message,
    IPv4Flags,
    IPv4Header,
    IPv6Header,
    LinkType,
    TCPFlags,
    TCPHeader,
    UDPHeader,
    build,
    dissect,
)
from tests.stack.conftest import HOSTS
from tests.stack.siege import Besieged, Ground

pytestmark = pytest.mark.untraced

FRAMES = 20_000
PER_TURN = 20
GROUNDS = [Ground(Medium.ETHERNET, 4, 1), Ground(Medium.IP, 4, 1), Ground(Medium.IP, 6, 1), Ground(Medium.IP, 6, 2)]


@frozen
class Shot:
    """A packet to be: what hypothesis draws, before it is aimed."""

    header: IPv4Header | IPv6Header
    upper: TCPHeader | UDPHeader | ICMPv4Message | ICMPv6Message
    payload: bytes
    target: int
    """Which of the frames heard it answers or quotes; less than 0: it is aimed at a port."""
    near: int
    """How far its numbers lie from the right ones."""
    from_nowhere: bool
    """Nobody has its source address."""

    def aimed(self, besieged: Besieged) -> bytes:
        ground, link = besieged.ground, besieged.pair.link_a.capabilities
        ours, theirs = HOSTS[ground.version]
        said = [frame for frame in besieged.heard if not self._is_reset(frame, besieged)] if self.target >= 0 else []
        heard = said[self.target % len(said)] if said else None
        stranger = self.from_nowhere and heard is None
        header = evolve(self.header, dst=theirs) if stranger else evolve(self.header, src=ours, dst=theirs)
        upper = self._at_a_port(besieged) if heard is None else self._answer(besieged, heard)
        if link.mac is None:
            return build(header, upper, self.payload)
        peer = besieged.pair.link_b.capabilities.mac
        assert peer is not None
        kind = EtherType.IPV4 if ground.version == 4 else EtherType.IPV6
        return build(EthernetHeader(peer, link.mac, kind), header, upper, self.payload)

    @staticmethod
    def _is_reset(frame: bytes, besieged: Besieged) -> bool:
        """Nothing answers that; most of what the host says is that."""
        at = 14 * (besieged.ground.medium is Medium.ETHERNET) + (33 if besieged.ground.version == 4 else 53)
        return len(frame) > at and bool(frame[at] & 4)

    def _at_a_port(self, besieged: Besieged) -> TCPHeader | UDPHeader | ICMPv4Message | ICMPv6Message:
        upper = self.upper
        if isinstance(upper, UDPHeader):
            return evolve(upper, dst_port=53)
        if isinstance(upper, TCPHeader):
            upper = evolve(upper, dst_port=80)
            match upper.src_port % 4:
                case 0:  # of the honest peer's connection no more than the ports are known
                    upper = evolve(upper, src_port=besieged.client.getsockname()[1])
                case 1 | 2:
                    upper = evolve(upper, flags=TCPFlags.SYN)
        return upper

    def _answer(self, besieged: Besieged, heard: bytes) -> TCPHeader | UDPHeader | ICMPv4Message | ICMPv6Message:
        upper = self.upper
        ethernet = besieged.ground.medium is Medium.ETHERNET
        if isinstance(upper, ICMPv4Message | ICMPv6Message):
            return evolve(upper, data=heard[14 * ethernet :][:100])
        layers = dissect(heard, LinkType.ETHERNET if ethernet else LinkType.RAW)
        said = next((layer for layer in layers if isinstance(layer, TCPHeader)), None)
        if said is None or not isinstance(upper, TCPHeader) or said.dst_port == besieged.client.getsockname()[1]:
            return upper
        text = len(layers[-1]) if isinstance(layers[-1], bytes) else 0
        end = said.seq + text + bool(said.flags & TCPFlags.SYN) + bool(said.flags & TCPFlags.FIN)
        return evolve(
            upper,
            src_port=said.dst_port,
            dst_port=said.src_port,
            seq=said.ack + self.near & 0xFFFFFFFF,
            ack=end & 0xFFFFFFFF,
        )


def shots(version: int) -> st.SearchStrategy[Shot]:
    if version == 4:
        addresses = wire_strategies.ipv4_addresses
        plain = st.builds(IPv4Header, addresses, addresses, ttl=u8, ecn=st.integers(0, 3))
        fragments = st.builds(
            lambda header, flags, offset: evolve(header, flags=IPv4Flags(flags), fragment_offset=offset),
            *(plain, st.integers(0, 7), st.integers(0, 20)),
        )
        with_options = st.builds(
            lambda header, options: evolve(header, options=options), plain, wire_strategies.ipv4_option_areas
        )
        headers = st.one_of(plain, plain, plain, fragments, with_options)
    else:
        headers = wire_strategies.ipv6_headers
    flags = st.sampled_from(
        [TCPFlags(bits) for bits in (0x10, 0x10, 0x10, 0x10, 0x18, 0x11, 0x12, 0x02, 0x02, 0x04, 0x14)]
    )
    segments = st.builds(
        TCPHeader,
        *(u16, u16, u32, u32),
        flags=st.one_of(flags, flags, wire_strategies.tcp_flags),
        window=st.one_of(st.just(65535), u16),
        urgent=u16,
        options=st.one_of(st.just(()), wire_strategies.tcp_option_areas),
    )
    messages = wire_strategies.icmpv4_messages if version == 4 else wire_strategies.icmpv6_messages
    return st.builds(
        Shot,
        headers,
        st.one_of(segments, segments, segments, segments, wire_strategies.udp_headers, messages),
        st.one_of(st.just(b""), st.binary(max_size=64)),
        st.integers(-60, 63),
        st.one_of(*[st.just(0)] * 5, st.integers(-3000, 3000)),
        st.booleans(),
    )


@pytest.mark.parametrize("ground", GROUNDS, ids=lambda each: f"{each.medium.value}-ipv{each.version}-{each.seed}")
def test_structured_frames_raise_nothing_and_fill_nothing(ground: Ground) -> None:
    """One host takes them all, so that a failure is not shrunk: it is the same again with every run."""
    besieged = Besieged.make(ground)
    unaimed = wire_strategies.frames() if ground.medium is Medium.ETHERNET else wire_strategies.packets()
    shot = shots(ground.version)
    drawn = st.lists(st.one_of(*[shot] * 9, unaimed), min_size=PER_TURN, max_size=PER_TURN)
    turns = 0

    @seed(ground.seed)
    @settings(
        max_examples=FRAMES // len(GROUNDS) // PER_TURN,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn)
    def turn(shots: list[Shot | bytes]) -> None:
        nonlocal turns
        turns += 1
        besieged.take([each if isinstance(each, bytes) else each.aimed(besieged) for each in shots])
        if turns % 50 == 0:
            besieged.exchange(bytes(5000))

    turn()
    assert turns == FRAMES // len(GROUNDS) // PER_TURN
    assert besieged.served  # some have guessed a whole handshake
    besieged.relieve()
