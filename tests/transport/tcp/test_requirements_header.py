"""RFC 9293 Appendix B, rows about what a header holds: the window, urgent data, options, the MSS."""

from collections.abc import Iterable

import pytest

from pystack.transport.tcp import Segment, State, TCPConfig, TCPConnection
from pystack.transport.tcp.segment import SYN, URG
from pystack.units import MS, SECOND
from pystack.wire.seq import wrap
from pystack.wire.tcp import TCP
from tests.transport.tcp.pair import Fate, Pair
from tests.transport.tcp.script import LETTERS, PLACES, Place, Script


def inject_options(wire: Script, flags: str, options: bytes, data: bytes = b"") -> None:
    """A segment in order whose option area is exactly `options`."""
    assert len(options) % 4 == 0
    tcp, place = wire.tcp, wire.place
    bits = sum(LETTERS[letter] for letter in flags)
    word = TCP.size + len(options) << 10 | bits
    acknowledged = wrap(tcp.snd_nxt) if bits & LETTERS["."] else 0
    header = TCP.pack(80, 1024, wrap(place.irs + wire.peer_seq), acknowledged, word, 65535, 0, 0)
    wire.peer_seq += len(data) + bool(bits & SYN) + bool(bits & LETTERS["F"])
    tcp.on_segment(Segment.from_bytes((header + options + data,)), wire.now)
    wire.drain()


def segments_of(trace: list[bytes]) -> list[Segment]:
    return [Segment.from_bytes((octets,)) for octets in trace]


LOST_BOTH_WAYS = [Fate.LOSE if number in (6, 8, 17, 19) else Fate.DELIVER for number in range(20)]
"""Two of the first segments with data of each side are lost, so that ACKs and data carry SACK blocks."""


def whole_life(place: Place, fates: Iterable[Fate] = (), **config: object) -> list[bytes]:
    """Every segment of a connection that carries data both ways and closes in order, as octets."""
    settings = TCPConfig(**config)  # type: ignore[arg-type]
    pair = Pair(place, a=settings, b=settings, fates=fates)
    for end in pair.ends:
        end.to_send = memoryview(bytes(20_000))
        end.shutdown_after = True
    pair.open()
    pair.run()
    assert {end.tcp.state for end in pair.ends} == {State.CLOSED}
    return pair.trace


# Window


def test_the_window_is_an_unsigned_number(wire: Script) -> None:
    """MUST-1: beyond 32767 too."""
    wire.established(win=40_000, initial_window=100, send_buffer=1 << 20, app_sends=65_535)
    assert len(wire.sent) == 40
    wire.inject(ack=40_001, win=65_535)
    assert wire.tcp.info().snd_wnd == 65_535


def test_windows_beyond_16_bits_are_reckoned_with(wire: Script) -> None:
    """REC-1."""
    wire.established(win=1 << 20, wscale=8, initial_window=2000, send_buffer=4 << 20, app_sends=3 << 20)
    assert sum(segment.length for _, segment in wire.sent) == (1 << 20) // 1000 * 1000
    assert wire.tcp.info().snd_wnd == 1 << 20


def test_our_window_may_stay_closed_for_ever(wire: Script) -> None:
    """MAY-8: every probe is answered, however long nobody reads."""
    wire.established(receive_buffer=8192, receive_buffer_max=8192)
    offered = wire.tcp.rcv_wnd
    wire.inject(data=offered)
    wire.advance(40 * MS)
    wire.sent.clear()
    for _ in range(100):
        wire.advance(120 * SECOND)
        wire.inject(seq=offered + 1, data=b"?")
        wire.expect(f". 1:1 ack {offered + 1} win 0")
    assert wire.tcp.state is State.ESTABLISHED
    assert wire.tcp.readable == offered
    wire.recv()
    wire.expect(f". ack {offered + 1} win 4096")


@pytest.mark.parametrize("text", [b"", b"?"])
def test_urg_is_heard_at_a_closed_window(wire: Script, text: bytes) -> None:
    """MUST-66. The text goes nowhere, the pointer counts."""
    wire.established(receive_buffer=8192, receive_buffer_max=8192)
    offered = wire.tcp.rcv_wnd
    wire.inject(data=offered)
    wire.advance(40 * MS)
    assert wire.sent[-1][1].window == 0
    wire.inject("U.", seq=offered + 1, data=text, urg=7)
    assert wire.tcp.urgent == offered + 7
    assert wire.tcp.readable == offered


def test_data_in_a_reset_is_no_fault(wire: Script) -> None:
    """SHLD-2."""
    wire.established()
    wire.inject("R", data=b"why it was reset")
    assert wire.tcp.state is State.CLOSED
    assert isinstance(wire.tcp.error, ConnectionResetError)
    assert wire.tcp.readable == 0


# Urgent data


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_nothing_is_urgent_unless_the_user_says_so(place: Place) -> None:
    """SHLD-13: the library never employs the mechanism by itself."""
    assert not any(segment.flags & URG or segment.urgent for segment in segments_of(whole_life(place)))


@pytest.mark.parametrize("size", [1, 999, 1000, 1001, 65_535, 65_536, 200_000])
def test_urgent_data_of_any_length(wire: Script, size: int) -> None:
    """MUST-31, MUST-62: the pointer names the octet behind the urgent data, as soon as 16 bits reach there."""
    wire.established(initial_window=1000, send_buffer=1 << 20, win=1 << 20, wscale=8, nodelay=True)
    assert wire.tcp.send(bytes(size), wire.now, urgent=True) == size
    wire.send(5000)
    wire.drain()
    for _, segment in wire.sent:
        start = wire.relative_seq(segment)
        if start <= size:
            assert segment.flags & URG
            assert segment.urgent == min(size + 1 - start, 65_535)
        else:
            assert not segment.flags & URG


# Options


@pytest.mark.parametrize(
    ("options", "mss"),
    [
        pytest.param("020402bc", 700, id="alone"),
        pytest.param("01020402bc010101", 700, id="behind a no-operation"),
        pytest.param("0101020402bc0000", 700, id="at octet 2"),
        pytest.param("010101020402bc00", 700, id="at octet 3"),
        pytest.param("00000000", 536, id="nothing but the end"),
        pytest.param("01010100020402bc", 536, id="behind the end"),
        pytest.param("fd06f989abcd020402bc0000", 700, id="behind an unknown one, at octet 6"),
        pytest.param("01030303020402bc", 700, id="behind another"),
    ],
)
def test_the_mandatory_options_at_any_octet(wire: Script, options: str, mss: int) -> None:
    """MUST-4, MUST-14, MUST-64: end of options, no-operation and MSS, aligned or not."""
    wire.make(mss=1400)
    wire.tcp.listen()
    inject_options(wire, "S", bytes.fromhex(options))
    assert wire.take().flags & SYN
    wire.inject(".")
    assert wire.tcp.info().snd_mss == mss


UNKNOWN = bytes.fromhex("fd08f98901020304 6e03ff 01 5504abcd")
"""An experimental option (RFC 6994), two unassigned ones, a no-operation between them."""


@pytest.mark.parametrize("flags", [".", "P.", "F.", "R.", "U."])
@pytest.mark.parametrize("passive", [False, True])
def test_options_in_any_segment_and_of_any_kind(wire: Script, flags: str, passive: bool) -> None:
    """MUST-5, MUST-6: what nobody knows is ignored, in every segment of a connection."""
    if passive:
        wire.make()
        wire.tcp.listen()
        inject_options(wire, "S", UNKNOWN)
        wire.expect("S. 0:1 ack 1")
        inject_options(wire, ".", UNKNOWN)
    else:
        wire.syn_sent()
        inject_options(wire, "S.", UNKNOWN)
        wire.expect(". 1:1 ack 1")
    assert wire.tcp.state is State.ESTABLISHED
    inject_options(wire, flags, UNKNOWN, b"" if flags == "R." else b"data")
    if flags == "R.":
        assert isinstance(wire.tcp.error, ConnectionResetError)
    else:
        assert wire.recv() == b"data"
        assert wire.tcp.eof is (flags == "F.")


@pytest.mark.parametrize("fates", [(), LOST_BOTH_WAYS], ids=["clean", "losses"])
@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_every_segment_of_a_connection_has_sound_options(place: Place, timestamps: bool, fates: Iterable[Fate]) -> None:
    """MUST-65: MSS in SYNs only. MUST-68: whatever is neither the end nor a no-operation has a length. MUST-69: behind
    the end there are zeros."""
    trace = whole_life(place, fates, timestamps=timestamps)
    seen: set[tuple[int, bool]] = set()
    for octets in trace:
        area = octets[20 : octets[12] >> 4 << 2]
        at, kinds = 0, []
        while at < len(area):
            kinds.append(area[at])
            if area[at] == 0:
                assert not any(area[at:])
                break
            at += 1 if area[at] == 1 else area[at + 1]
        assert at <= len(area)
        assert (2 in kinds) is bool(octets[13] & SYN)
        seen.update((kind, len(octets) > octets[12] >> 4 << 2) for kind in kinds)
    assert {(5, False), (5, True)} <= seen or not fates, "no SACK blocks to look at"
    assert sum(bool(octets[13] & SYN) for octets in trace) == 2


def test_an_mss_that_comes_later_changes_nothing(wire: Script) -> None:
    """MUST-65, the receiver's side."""
    wire.established()
    inject_options(wire, ".", bytes.fromhex("02040064"), b"x")
    assert wire.tcp.info().snd_mss == 1000


@pytest.mark.parametrize(("default", "name"), [(536, "ipv4"), (1220, "ipv6-wrap")])
@pytest.mark.parametrize("mss", [400, 536, 1220, 1460])
def test_the_send_mss_of_a_peer_that_does_not_say(default: int, name: str, mss: int) -> None:
    """MUST-15, MUST-16: 536 over IPv4, 1220 over IPv6, or less if the path takes less."""
    place = PLACES[name]
    tcp = TCPConnection(
        place.local,
        place.remote,
        1,
        2,
        iss=place.iss,
        mss=mss,
        default_mss=default,
        config=TCPConfig(timestamps=False),
    )
    tcp.listen()
    tcp.on_segment(Segment(place.irs, 0, SYN, 65535), 0)
    (syn_ack,) = tcp.take_output(0, 9)
    assert syn_ack.mss == mss  # SHLD-5, MAY-3: always
    tcp.on_segment(Segment(wrap(place.irs + 1), wrap(place.iss + 1), LETTERS["."], 65535), 0)
    tcp.send(bytes(4 * min(mss, default)), 0)
    assert {segment.length for segment in tcp.take_output(0, 9)} == {min(mss, default)}
