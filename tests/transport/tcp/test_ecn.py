"""Explicit congestion notification: RFC 3168 section 6.1."""

import pytest

from pystack.transport.tcp.ecn import CE, ECT0, NOT_ECT, ECNMode
from pystack.units import MS
from tests.transport.tcp.script import Script
from tests.transport.tcp.selective import RTT, full, sent


def capable(wire: Script, **config: object) -> None:
    """A connection that we opened, ECN agreed on."""
    config.setdefault("quick_acks", 0)
    config.setdefault("congestion", "newreno")
    wire.make(ecn=True, send_buffer=1 << 20, **config)  # type: ignore[arg-type]
    wire.tcp.connect(wire.now)
    wire.expect("SEW 0:1")
    wire.now += RTT
    wire.inject("S.E", mss=1000, sack_permitted=wire.sack)
    wire.expect(". 1:1")
    assert wire.tcp.info().ecn


def test_off_it_neither_asks_nor_agrees(wire: Script) -> None:
    wire.make(ecn=ECNMode.OFF)
    wire.tcp.connect(wire.now)
    wire.expect("S 0:1")
    wire.make(ecn=ECNMode.OFF)
    wire.tcp.listen()
    wire.inject("SEW", mss=1000)
    wire.expect("S. 0:1")


def test_a_listener_agrees(wire: Script) -> None:
    wire.make(ecn=True)
    wire.tcp.listen()
    wire.inject("SEW", mss=1000)
    wire.expect("S.E 0:1")
    wire.inject()
    assert wire.tcp.info().ecn


def test_by_default_it_agrees_and_does_not_ask(wire: Script) -> None:
    """As in Linux."""
    wire.make()
    wire.tcp.listen()
    wire.inject("SEW", mss=1000)
    wire.expect("S.E 0:1")
    wire.inject()
    assert wire.tcp.info().ecn
    wire.make(ecn=ECNMode.PASSIVE)
    wire.tcp.connect(wire.now)
    wire.expect("S 0:1")
    wire.inject("S.E", mss=1000)
    assert not wire.tcp.info().ecn


@pytest.mark.parametrize("flags", ["S", "SE", "SW"])
def test_a_listener_agrees_only_to_both_flags(wire: Script, flags: str) -> None:
    wire.make(ecn=True)
    wire.tcp.listen()
    wire.inject(flags, mss=1000)
    wire.expect("S. 0:1")
    assert not wire.tcp.info().ecn


@pytest.mark.parametrize("flags", ["S.", "S.EW", "S.W"])
def test_only_ece_alone_is_agreement(wire: Script, flags: str) -> None:
    """Section 6.1.1: both flags come from a peer that reflects what it does not know."""
    wire.make(ecn=True)
    wire.tcp.connect(wire.now)
    wire.expect("SEW 0:1")
    wire.inject(flags, mss=1000)
    assert not wire.tcp.info().ecn
    wire.sent.clear()
    wire.send(100)
    assert wire.take().ecn == NOT_ECT


def test_a_syn_without_answer_goes_again_without(wire: Script) -> None:
    """Section 6.1.1.1."""
    wire.make(ecn=True)
    wire.tcp.connect(wire.now)
    wire.expect("SEW 0:1")
    wire.wait()
    wire.expect("S 0:1")
    wire.inject("S.", mss=1000)
    assert not wire.tcp.info().ecn


def test_new_data_may_be_marked_and_nothing_else(wire: Script) -> None:
    """Sections 6.1.4 and 6.1.5: not pure ACKs, not retransmissions."""
    capable(wire)
    wire.send(1000)
    assert wire.take().ecn == ECT0
    wire.wait()
    assert wire.take().ecn == NOT_ECT
    wire.inject(data=3000, ack=1)
    assert wire.take().ecn == NOT_ECT


def test_a_window_probe_may_not_be_marked(wire: Script) -> None:
    """Section 6.1.6."""
    capable(wire)
    wire.inject(win=0)
    wire.send(1000)
    wire.wait()
    probe = wire.take()
    assert (probe.length, probe.ecn) == (1, NOT_ECT)


def test_a_mark_is_echoed_until_the_peer_has_slowed_down(wire: Script) -> None:
    """Section 6.1.3."""
    capable(wire)
    wire.inject(data=1000, ecn=ECT0)
    wire.advance(50 * MS)
    wire.expect(". ack 1001")
    wire.inject(data=1000, ecn=CE)
    wire.expect(".E ack 2001")
    wire.inject(data=2000, ecn=ECT0)
    wire.expect(".E ack 4001")
    wire.send(100)
    wire.expect(".E 1:101")
    wire.inject(".W", data=2000, ecn=ECT0)
    wire.expect(". ack 6001")


def test_a_mark_on_the_segment_with_cwr_is_echoed_again(wire: Script) -> None:
    capable(wire)
    wire.inject(data=1000, ecn=CE)
    wire.sent.clear()
    wire.inject(".W", data=2000, ecn=CE)
    wire.expect(".E ack 3001")


def test_marks_mean_nothing_without_agreement(wire: Script) -> None:
    wire.established()
    wire.inject(data=2000, ecn=CE)
    wire.expect(". ack 2001")


@pytest.mark.parametrize("sack", [True, False])
def test_an_echo_reduces_the_window_once(wire: Script, sack: bool) -> None:
    """Section 6.1.2: once per window of data; the next new data says so."""
    capable(wire, sack=sack)
    wire.send(100_000)
    assert sent(wire) == full(1, 10_001)
    wire.advance(RTT)
    wire.inject(".E", ack=1001)
    wire.inject(".E", ack=2001)
    assert wire.tcp.congestion.ssthresh == 5000
    for ack in range(3001, 9002, 1000):
        wire.inject(".E", ack=ack)
    assert wire.tcp.congestion.ssthresh == 5000
    flags = [segment.flags & 128 for _, segment in wire.sent]
    assert flags[0] == 128
    assert not any(flags[1:])
    assert wire.tcp.congestion.cwnd <= 6000


@pytest.mark.parametrize("sack", [True, False])
def test_an_echo_in_the_next_window_reduces_it_again(wire: Script, sack: bool) -> None:
    capable(wire, sack=sack)
    wire.send(100_000)
    sent(wire)
    wire.advance(RTT)
    wire.inject(".E", ack=10_001)
    first = wire.tcp.congestion.ssthresh
    end = sent(wire)[-1][1]
    assert first == 5000
    wire.advance(RTT)
    wire.inject(".E", ack=end)
    assert wire.tcp.congestion.ssthresh < first


def test_the_window_shrinks_without_a_pause(wire: Script) -> None:
    """With SACK it is PRR that leads it to ssthresh: a segment for two that arrive."""
    capable(wire, sack=True)
    wire.send(100_000)
    sent(wire)
    wire.advance(RTT)
    out = []
    for ack in range(1001, 10_002, 1000):
        wire.inject(".E", ack=ack)
        out.append(len(sent(wire)))
        assert wire.tcp.info().phase == ("CWR" if ack < 10_001 else "Open")
    assert max(out) == 1
    assert sum(out) == 5
    assert wire.tcp.congestion.cwnd == wire.tcp.congestion.ssthresh == 5000
    assert wire.tcp.info().delivered_ce == 10_000


def test_a_loss_is_answered_with_cwr_too(wire: Script) -> None:
    """Section 6.1.2: whatever reduced the window."""
    capable(wire, sack=True)
    wire.send(100_000)
    sent(wire)
    wire.advance(RTT)
    wire.inject(ack=1, sack=[(1001, 4001)])
    wire.expect(". 1:1001", ".W 10001:11001")


def test_cwr_does_not_ride_on_a_super_segment(wire: Script) -> None:
    """Whoever cuts it would repeat the flag."""
    capable(wire, sack=True)
    wire.tso = 65_000
    wire.send(100_000)
    sent(wire)
    wire.advance(RTT)
    wire.inject(".E", ack=10_001)
    first = wire.take()
    assert first.flags & 128
    assert first.gso_size == 0


@pytest.mark.parametrize("sack", [True, False])
@pytest.mark.parametrize("congestion", ["newreno", "cubic"])
def test_marks_shrink_the_window_to_one_segment_and_then_space_them_out(
    wire: Script, sack: bool, congestion: str
) -> None:
    """Section 6.1.2: at one segment the retransmission timer starts again, and the next one waits for it."""
    capable(wire, sack=sack, congestion=congestion)
    wire.send(100_000)
    for _ in range(12):
        end = sent(wire)[-1][1]
        wire.advance(RTT)
        wire.inject(".E", ack=end)
        if wire.tcp.congestion.cwnd < 2000:
            break
    assert wire.tcp.congestion.cwnd < 2000
    end = sent(wire)[-1][1]
    for _ in range(3):
        wire.advance(RTT)
        wire.inject(".E", ack=end)
        assert wire.tcp.congestion.cwnd < 2000
        rto = wire.tcp.info().rto
        assert wire.wait() == rto
        assert wire.sent[0][1].ecn == ECT0
        (_, end), *others = sent(wire)
        assert not others
    wire.advance(RTT)
    wire.inject(ack=end)  # no mark any more
    assert len(sent(wire)) == 2


@pytest.mark.parametrize("sack", [True, False])
def test_the_window_does_not_grow_by_an_acknowledgement_with_an_echo(wire: Script, sack: bool) -> None:
    """Section 6.1.2: not even by those that come after the reduction, and do not reduce it again."""
    capable(wire, sack=sack)
    wire.send(100_000)
    sent(wire)
    wire.advance(RTT)
    windows = []
    for ack in range(1001, 12_002, 1000):
        wire.inject(".E" if ack <= 10_001 else ".", ack=ack)
        windows.append(wire.tcp.congestion.cwnd)
    if not sack:
        assert windows[:10] == [5000] * 10
    assert windows[9] == wire.tcp.congestion.ssthresh == 5000


def test_a_fin_without_data_may_not_be_marked(wire: Script) -> None:
    """Section 6.1.4: what carries no data is not ECN-capable; behind data it is."""
    capable(wire)
    wire.send(1000)
    assert wire.take().ecn == ECT0
    wire.shutdown()
    fin = wire.take()
    assert (fin.flags & 1, fin.length, fin.ecn) == (1, 0, NOT_ECT)


def test_cwr_waits_for_data(wire: Script) -> None:
    """Section 6.1.2: the first new data packet says it, a FIN alone does not."""
    capable(wire)
    wire.send(1000)
    sent(wire)
    wire.advance(RTT)
    wire.inject(".E", ack=1001)
    wire.shutdown()
    wire.expect("F. 1001:1002")


def test_whoever_has_offered_heeds_marks_though_a_later_syn_did_not_offer(wire: Script) -> None:
    """Section 6.1.1: the peer has agreed to the first SYN, and its data may be marked; ours may not."""
    wire.make(ecn=True, quick_acks=0)
    wire.tcp.connect(wire.now)
    wire.expect("SEW 0:1")
    wire.wait()
    wire.expect("S 0:1")
    wire.inject("S.E", mss=1000)
    wire.expect(". 1:1")
    wire.inject(data=2000, ecn=CE)
    wire.expect(".E ack 2001")
    wire.inject(".W", data=2000, ecn=ECT0)
    wire.expect(". ack 4001")
    wire.send(1000)
    assert wire.take().ecn == NOT_ECT


@pytest.mark.parametrize(("again", "answer", "mark"), [("S", "S.", NOT_ECT), ("SEW", "S.E", ECT0)])
def test_a_syn_that_comes_again_without_the_offer_takes_it_back(
    wire: Script, again: str, answer: str, mark: int
) -> None:
    """Section 6.1.1.1, the example: then neither side may mark its data."""
    wire.make(ecn=True)
    wire.tcp.listen()
    wire.inject("SEW", mss=1000)
    wire.expect("S.E 0:1")
    wire.inject(again, seq=0, mss=1000)
    wire.expect(f"{answer} 0:1")
    wire.inject()
    wire.send(1000)
    assert wire.take().ecn == mark


def test_a_mark_on_what_lies_outside_the_window_is_ignored(wire: Script) -> None:
    """Section 6.1.5."""
    capable(wire)
    wire.inject(data=1000, ecn=ECT0)
    wire.advance(50 * MS)
    wire.expect(". ack 1001")
    wire.inject(data=1000, seq=1, ecn=CE)
    wire.expect(". ack 1001")
    wire.inject(data=1000, seq=1001 + (1 << 20), ecn=CE)
    wire.expect(". ack 1001")


def test_a_mark_on_a_window_probe_is_echoed(wire: Script) -> None:
    """Section 6.1.6: the window is closed, the octet goes nowhere, its mark counts."""
    capable(wire, receive_buffer=4096, receive_buffer_max=4096)
    while wire.tcp.rcv_wnd:
        wire.inject(data=min(1000, wire.tcp.rcv_wnd))
    wire.sent.clear()
    wire.inject(data=1, seq=wire.peer_seq, ecn=CE)
    wire.expect(".E win 0")


def test_a_tail_is_probed_while_marks_shrink_the_window(wire: Script) -> None:
    """RFC 8985 section 7.2: only fast recovery, the timer's, and blocks beyond a gap keep a probe from being due."""
    capable(wire, sack=True)
    wire.send(12_000)
    sent(wire)
    wire.advance(RTT)
    wire.inject(".E", ack=4001)
    assert wire.tcp.info().phase == "CWR"
    last = sent(wire)[-1]
    assert wire.wait() < 250 * MS  # two round trips; the timeout is 300 ms
    assert sent(wire) in ([last], [(last[1], last[1] + 1000)])


def test_echoes_of_what_was_never_marked_reduce_the_window_once_too(wire: Script) -> None:
    """Section 6.1.2: whatever the peer means by them. Nothing then says CWR, and super-segments go on."""
    wire.make(ecn=True, quick_acks=0, sack=True, congestion="newreno", send_buffer=1 << 20)
    wire.tcp.connect(wire.now)
    wire.expect("SEW 0:1")
    wire.wait()
    wire.expect("S 0:1")
    wire.advance(RTT)
    wire.inject("S.E", mss=1000, sack_permitted=True)
    wire.tso = 65_000
    wire.send(100_000)
    sent(wire)
    wire.advance(RTT)
    for ack in range(2001, 10_002, 2000):
        wire.inject(".E", ack=ack)
        assert wire.tcp.congestion.ssthresh == 5000
        assert not any(segment.flags & 128 for _, segment in wire.sent)
    wire.inject(ack=wire.tcp.snd_nxt - wire.place.iss)
    assert wire.sent[-1][1].gso_size
