"""Any bytes decode or raise `DecodeError`; what decodes encodes to the same bytes; values survive both ways."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from pystack.errors import DecodeError
from pystack.testing import strategies as wire_strategies
from pystack.wire import (
    ARPPacket,
    EthernetHeader,
    ICMPv4Message,
    ICMPv6Message,
    IPv4Header,
    IPv6Header,
    LinkType,
    PcapngBlock,
    TCPHeader,
    UDPHeader,
    VLANTag,
    build,
    describe,
    dissect,
    pack_ipv4_options,
    pack_options,
    parse_ipv4_options,
    parse_options,
    read_blocks,
)
from pystack.wire.base import WireValue
from pystack.wire.packet import Header

pytestmark = pytest.mark.untraced

HEADERS: dict[type[Header], st.SearchStrategy[Header]] = {
    EthernetHeader: wire_strategies.ethernet_headers,
    VLANTag: wire_strategies.vlan_tags,
    ARPPacket: wire_strategies.arp_packets,
    IPv4Header: wire_strategies.ipv4_headers(),
    IPv6Header: wire_strategies.ipv6_headers,
    ICMPv4Message: wire_strategies.icmpv4_messages,
    ICMPv6Message: wire_strategies.icmpv6_messages,
    UDPHeader: wire_strategies.udp_headers,
    TCPHeader: wire_strategies.tcp_headers,
}


def damaged(sound: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Sound octets, then cut, lengthened or with some of them replaced: errors lie deeper than in random octets."""

    @st.composite
    def strategy(draw: st.DrawFn) -> bytes:
        octets = bytearray(draw(sound))
        for at, value in draw(
            st.lists(st.tuples(st.integers(0, max(0, len(octets) - 1)), wire_strategies.u8), max_size=3)
        ):
            octets[at : at + 1] = bytes((value,))
        return bytes(octets[: draw(st.integers(0, len(octets)))] if draw(st.booleans()) else octets)

    return st.one_of(st.binary(max_size=80), strategy())


@pytest.mark.parametrize("kind", HEADERS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_any_bytes_decode_losslessly_or_raise_decode_error(kind: type[Header], data: st.DataObject) -> None:
    octets = data.draw(damaged(HEADERS[kind].map(bytes)))
    with suppress(DecodeError):
        header = kind.from_bytes(octets)
        assert header.to_bytes() == octets[: header.size]
        assert repr(header).startswith(f"<{kind.__name__} ")


@pytest.mark.parametrize("kind", HEADERS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_header_survives_the_way_to_bytes_and_back(kind: type[Header], data: st.DataObject) -> None:
    header = data.draw(HEADERS[kind])
    rest = b"" if kind in (ICMPv4Message, ICMPv6Message) else data.draw(st.binary(max_size=8))
    octets = bytes(header)
    assert len(octets) == header.size
    for buffer in (octets + rest, bytearray(octets + rest), memoryview(octets + rest)):
        decoded = kind.from_bytes(buffer)
        assert decoded == header
        assert hash(decoded) == hash(header)
        assert repr(decoded) == repr(header)


@pytest.mark.parametrize(
    ("parse", "pack"), [(parse_options, pack_options), (parse_ipv4_options, pack_ipv4_options)], ids=["tcp", "ipv4"]
)
@given(area=st.one_of(st.binary(max_size=40), wire_strategies.tcp_option_areas.map(pack_options)))
def test_option_areas_are_lossless(
    parse: Callable[[bytes], tuple[WireValue, ...]], pack: Callable[[tuple[WireValue, ...]], bytes], area: bytes
) -> None:
    with suppress(DecodeError):
        options = parse(area)
        assert b"".join(map(bytes, options)) == area
        assert pack(options) == area + bytes(-len(area) % 4)


@given(blocks=wire_strategies.capture_files())
def test_capture_files_survive_the_way_to_bytes_and_back(blocks: tuple[PcapngBlock, ...]) -> None:
    assert tuple(read_blocks(b"".join(map(bytes, blocks)))) == blocks


@given(octets=damaged(wire_strategies.capture_files().map(lambda blocks: b"".join(map(bytes, blocks)))))
def test_any_bytes_are_capture_blocks_or_raise_decode_error(octets: bytes) -> None:
    read = b""
    with suppress(DecodeError):
        for block in read_blocks(octets):
            assert repr(block)
            read += bytes(block)
    assert octets.startswith(read)


LINKS = st.sampled_from(LinkType)


@given(octets=damaged(st.one_of(wire_strategies.frames(), wire_strategies.packets())), link=LINKS, verify=st.booleans())
def test_any_bytes_are_dissected_or_raise_decode_error(octets: bytes, link: LinkType, verify: bool) -> None:
    with suppress(DecodeError):
        layers = dissect(octets, link, verify=verify)
        assert isinstance(layers[-1], bytes)
        assert octets.startswith(b"".join(map(bytes, layers)))


@given(octets=damaged(st.one_of(wire_strategies.frames(), wire_strategies.packets())), link=LINKS, verify=st.booleans())
def test_any_bytes_are_told_in_one_line(octets: bytes, link: LinkType, verify: bool) -> None:
    told = describe(octets, link, verify=verify, origins={})
    assert told.isprintable()
    assert told


@given(frame=wire_strategies.frames())
def test_built_frames_verify_and_build_again(frame: bytes) -> None:
    layers = dissect(frame, verify=True)
    assert b"".join(map(bytes, layers)) == frame
    assert build(*layers) == frame


ETHERNET = EthernetHeader("02:00:00:00:00:0b", "02:00:00:00:00:0a")


@given(ip=st.one_of(wire_strategies.ipv4_headers(), wire_strategies.ipv6_headers), data=st.data())
def test_a_burst_of_up_to_eight_bits_is_always_found(ip: IPv4Header | IPv6Header, data: st.DataObject) -> None:
    """The corruption that fault runs use. Left out are the octet that says how much IPv4's sum covers, and IPv6's
    header, which no sum covers."""
    if isinstance(ip, IPv4Header):
        ip = evolve(ip, flags=0, fragment_offset=0)
    frame = build(ETHERNET, ip, data.draw(wire_strategies.tcp_headers), data.draw(st.binary(max_size=32)))
    first = 8 * (14 + (1 if isinstance(ip, IPv4Header) else ip.size))
    width = data.draw(st.integers(1, 8))
    at = data.draw(st.integers(first, 8 * len(frame) - width))
    pattern = data.draw(st.integers(1, (1 << width) - 1))
    flipped = int.from_bytes(frame, "big") ^ pattern << (8 * len(frame) - at - width)
    assert dissect(frame, verify=True)
    with pytest.raises(DecodeError):
        dissect(flipped.to_bytes(len(frame), "big"), verify=True)
