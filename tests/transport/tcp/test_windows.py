"""Windows on both sides: RFC 9293 section 3.8.6, zero-window probes, silly windows, buffers that grow."""

import errno

import pytest

from pystack.transport.tcp import State
from pystack.units import MS, SECOND
from pystack.wire.seq import wrap
from tests.transport.tcp.script import Script

# The sender


def test_nothing_beyond_the_peers_window(wire: Script) -> None:
    wire.established(win=2500, app_sends=5000)
    wire.expect("1:1001", "1001:2001")
    wire.inject(ack=2001, win=2500)
    wire.expect("2001:3001", "3001:4001")


def test_a_probe_of_one_octet_after_a_retransmission_timeout(wire: Script) -> None:
    """RFC 9293 SHLD-29 and SHLD-30: first after the RTO, then at growing intervals."""
    wire.established(rtt=100 * MS, win=1000, app_sends=3000)
    wire.expect("1:1001")
    wire.advance(100 * MS)
    wire.inject(ack=1001, win=0)
    assert wire.wait() == 300 * MS
    wire.expect("1001:1002")
    intervals = []
    for _ in range(4):
        wire.inject(ack=1001, win=0)
        intervals.append(wire.wait() // MS)
        wire.expect("1001:1002")
    assert intervals == [600, 1200, 2400, 4800]


def test_probing_goes_on_for_as_long_as_it_is_answered(wire: Script) -> None:
    """RFC 9293 MUST-37: the printer is out of paper."""
    wire.established(win=1000, app_sends=3000)
    wire.sent.clear()
    wire.inject(ack=1001, win=0)
    for _ in range(200):
        wire.wait()
        wire.expect("1001:1002")
        wire.inject(ack=1001, win=0)
    assert wire.now > 5 * 3600 * SECOND
    assert wire.tcp.state is State.ESTABLISHED
    wire.inject(ack=1001, win=10_000)
    wire.expect("1001:1002", "1002:2002")


def test_probing_a_dead_peer_ends(wire: Script) -> None:
    wire.established(win=1000, app_sends=3000)
    wire.inject(ack=1001, win=0)
    wire.advance(3600 * SECOND)
    assert isinstance(wire.tcp.error, TimeoutError)


def test_a_window_that_flaps_does_not_make_us_repeat_what_is_in_flight(wire: Script) -> None:
    """Or a few empty segments would cost us a window each."""
    wire.established(win=8000, app_sends=8000)
    wire.sent.clear()
    for _ in range(10):
        wire.inject(ack=1, win=0)
        wire.inject(ack=1, win=8000)
    wire.expect_nothing()


def test_a_probe_that_is_taken_goes_on_from_there(wire: Script) -> None:
    wire.established(win=1000, app_sends=3000)
    wire.inject(ack=1001, win=0)
    wire.sent.clear()
    wire.wait()
    wire.expect("1001:1002")
    wire.inject(ack=1002, win=0)
    wire.wait()
    wire.expect("1002:1003")


def test_acks_do_not_lie_beyond_a_closed_window_while_probing(wire: Script) -> None:
    """RFC 9293 appendix A.2: both probe, each must hear the other's ACKs."""
    wire.established(win=1000, app_sends=3000)
    wire.inject(ack=1001, win=0)
    wire.sent.clear()
    wire.wait()
    wire.sent.clear()
    wire.inject(data=1000, ack=1001, win=0)
    wire.advance(40 * MS)
    wire.expect(". 1001:1001 ack 1001")


def test_a_window_update_lets_data_out_at_once(wire: Script) -> None:
    wire.established(win=1000, app_sends=3000)
    wire.inject(ack=1001, win=0)
    wire.sent.clear()
    wire.inject(ack=1001, win=5000)
    wire.expect("1001:2001", "2001:3001")


def test_old_segments_do_not_set_the_window(wire: Script) -> None:
    """RFC 9293 section 3.10.7.4: SND.WL1 and SND.WL2."""
    wire.established(win=5000)
    wire.inject(data=b"x", win=4000)
    wire.inject(seq=1, win=100)
    assert wire.tcp.info().snd_wnd == 4000


def test_a_window_that_shrinks_below_what_is_in_flight(wire: Script) -> None:
    """RFC 9293 MUST-34, SHLD-15, SHLD-16: no new data, old data again up to the new edge."""
    wire.established(win=4000, app_sends=8000)
    wire.expect("1:1001", "1001:2001", "2001:3001", "3001:4001")
    wire.inject(ack=1, win=1500)
    wire.expect_nothing()
    wire.wait()
    wire.expect("1:1001")
    wire.inject(ack=1001, win=500)
    wire.expect("1001:1501")


def test_a_window_that_shrinks_to_nothing_is_probed_without_end(wire: Script) -> None:
    """RFC 9293 MUST-35, SHLD-17."""
    wire.established(win=4000, app_sends=4000)
    wire.sent.clear()
    wire.inject(ack=1, win=0)
    for _ in range(50):
        wire.wait()
        wire.expect("1:2")
        wire.inject(ack=1, win=0)
    assert wire.tcp.state is State.ESTABLISHED
    assert wire.tcp.congestion.cwnd == 10_000


def test_fin_probes_a_closed_window_too(wire: Script) -> None:
    wire.established(win=1000, app_sends=1000)
    wire.expect("1:1001")
    wire.inject(ack=1001, win=0)
    wire.shutdown()
    wire.expect_nothing()
    wire.wait()
    wire.expect("F. 1001:1002")


def test_an_orphan_before_a_closed_window_is_dropped_after_a_minute(wire: Script) -> None:
    wire.established(win=1000, app_sends=3000)
    wire.inject(ack=1001, win=0)
    wire.close()
    begin = wire.now
    wire.sent.clear()
    while not (wire.wait() and wire.tcp.state is State.CLOSED):
        wire.expect("1001:1002")
        wire.inject(ack=1001, win=0)
    assert wire.now - begin == 60 * SECOND
    wire.expect("R.")
    assert wire.tcp.error is not None
    assert wire.tcp.error.errno == errno.ETIMEDOUT


def test_a_reset_after_a_probe_is_where_the_peer_expects_it(wire: Script) -> None:
    """RFC 5961: only exactly at its RCV.NXT does it count."""
    wire.established(win=1000, app_sends=3000)
    wire.inject(ack=1001, win=0)
    wire.sent.clear()
    wire.wait()
    wire.expect("1001:1002")
    wire.abort()
    wire.expect("R. 1001")


def test_an_orphan_whose_window_opens_goes_on(wire: Script) -> None:
    wire.established(win=1000, app_sends=2000)
    wire.inject(ack=1001, win=0)
    wire.close()
    wire.advance(59 * SECOND)
    wire.inject(ack=1001, win=5000)
    wire.advance(10 * SECOND)
    assert wire.tcp.state is State.FIN_WAIT_1
    wire.inject()
    assert wire.tcp.state is State.FIN_WAIT_2


# Nagle and silly windows, the sender's side


def test_nagle_holds_a_small_segment_while_something_is_outstanding(wire: Script) -> None:
    """RFC 9293 section 3.7.4, SHLD-7."""
    wire.established()
    wire.send(10)
    wire.expect("1:11")
    wire.send(10)
    wire.send(10)
    wire.expect_nothing()
    wire.inject(ack=11)
    wire.expect("11:31")


def test_nagle_lets_full_segments_out(wire: Script) -> None:
    wire.established()
    wire.send(10)
    wire.send(2500)
    wire.expect("1:11", "11:1011", "1011:2011")
    wire.inject(ack=10)
    wire.expect_nothing()
    wire.inject(ack=11)
    wire.expect("2011:2511")


def test_nagle_holds_nothing_back_behind_full_segments(wire: Script) -> None:
    """RFC 9293 appendix A.3: only a small segment in flight keeps the next small one."""
    wire.established()
    wire.send(2500)
    wire.expect("1:1001", "1001:2001", "2001:2501")
    wire.send(100)
    wire.expect_nothing()
    wire.inject(ack=2001)
    wire.expect_nothing()
    wire.inject(ack=2501)
    wire.expect("2501:2601")


def test_nagle_can_be_switched_off(wire: Script) -> None:
    """RFC 9293 MUST-17."""
    wire.established(nodelay=True)
    for _ in range(3):
        wire.send(10)
    wire.expect("1:11", "11:21", "21:31")


def test_switching_nagle_off_lets_go_what_it_held(wire: Script) -> None:
    from attrs import evolve

    wire.established()
    wire.send(10)
    wire.send(10)
    wire.expect("1:11")
    wire.tcp.configure(evolve(wire.tcp.config, nodelay=True), wire.now)
    wire.expect("11:21")


def test_nagle_never_stalls_bulk_data_when_timestamps_shrink_the_payload(wire: Script) -> None:
    """Full means what fits beside the options."""
    wire.established(timestamps=True, send_buffer=1 << 20)
    wire.send(988 * 10)
    assert [segment.length for _, segment in wire.sent] == [988] * 10


def test_a_silly_window_is_not_used(wire: Script) -> None:
    """RFC 9293 MUST-38: not until it is worth a segment, or half of the largest window seen."""
    wire.established(win=4000, app_sends=8000)
    wire.sent.clear()
    wire.inject(ack=4001, win=300)
    wire.expect_nothing()
    wire.inject(ack=4001, win=999)
    wire.expect_nothing()
    wire.inject(ack=4001, win=1000)
    wire.expect("4001:5001")


def test_half_of_a_small_window_is_used(wire: Script) -> None:
    wire.established(win=600, app_sends=5000)
    wire.expect("1:601")
    wire.inject(ack=601, win=200)
    wire.expect_nothing()
    wire.inject(ack=601, win=300)
    wire.expect("601:901")


def test_the_override_timer_uses_a_silly_window_in_the_end(wire: Script) -> None:
    wire.established(rtt=100 * MS, win=4000, app_sends=8000)
    wire.inject(ack=4001, win=300)
    wire.sent.clear()
    assert 100 * MS <= wire.wait() <= 1 * SECOND
    wire.expect("4001:4301")


def test_push_marks_the_end_of_what_the_user_sent(wire: Script) -> None:
    """RFC 9293 MUST-60, 61."""
    wire.established()
    wire.send(2000)
    wire.expect(". 1:1001", "P. 1001:2001")


# The receiver


def test_the_window_opens_when_the_user_reads(wire: Script) -> None:
    wire.established(receive_buffer=8192, receive_buffer_max=8192)
    offered = wire.tcp.rcv_wnd
    for _ in range(offered // 1000):
        wire.inject(data=1000)
    wire.inject(data=offered % 1000)
    wire.advance(40 * MS)
    assert wire.sent[-1][1].window == 0
    wire.sent.clear()
    wire.recv()
    wire.expect(f". ack {offered + 1} win 4096")


def test_the_window_does_not_open_in_small_steps(wire: Script) -> None:
    """RFC 9293 MUST-39."""
    wire.established(receive_buffer=8192, receive_buffer_max=8192)
    offered = wire.tcp.rcv_wnd
    wire.inject(data=offered)
    wire.advance(40 * MS)
    wire.sent.clear()
    for _ in range(offered // 100):
        wire.recv(100)
    windows = [segment.window for _, segment in wire.sent]
    assert windows
    assert min(windows) >= 1000


def test_the_right_edge_never_retreats(wire: Script) -> None:
    """RFC 9293 SHLD-14, whatever the shift rounds."""
    wire.established(wscale=0, receive_buffer=60_000)
    edges = []
    for size in (1, 7, 1000, 300, 999, 1, 1, 1, 500) * 5:
        wire.inject(data=size)
        wire.advance(40 * MS)
        edges += [wire.relative_ack(s) + (s.window << wire.tcp.info().rcv_scale) for _, s in wire.sent]
        wire.sent.clear()
    assert edges == sorted(edges)


def test_tiny_segments_do_not_push_the_edge_beyond_what_can_be_stored(wire: Script) -> None:
    """Rounding the window up must not add up."""
    wire.established(wscale=0, receive_buffer=60_000, receive_buffer_max=1 << 24)
    for _ in range(70_000):
        wire.inject(data=b"x")
        wire.tcp.on_timer(wire.now + 40 * MS)
        wire.drain()
        wire.sent.clear()
        if wire.tcp.rcv_wnd == 0:
            break
    assert wire.tcp.readable < 70_000


def test_the_receive_buffer_grows_with_the_readers_pace(wire: Script) -> None:
    wire.established(wscale=0, rtt=10 * MS)
    start = wire.tcp.info().rcv_wnd
    for _ in range(20):
        wire.advance(10 * MS)
        for _ in range(100):
            wire.inject(data=1000)
        wire.recv()
    wire.inject(data=2000)
    assert wire.tcp.info().rcv_wnd > 2 * start


def test_the_receive_buffer_does_not_grow_for_a_slow_reader(wire: Script) -> None:
    wire.established(wscale=0, rtt=10 * MS)
    for _ in range(100):
        wire.advance(1 * SECOND)
        wire.inject(data=1000)
        wire.recv()
    assert wire.tcp.info().rcv_wnd <= 128 << 10


def test_a_receive_buffer_of_chosen_size_stays(wire: Script) -> None:
    from attrs import evolve

    wire.established(wscale=0, rtt=10 * MS)
    wire.tcp.configure(evolve(wire.tcp.config, receive_buffer=200_000), wire.now)
    for _ in range(20):
        wire.advance(10 * MS)
        for _ in range(100):
            wire.inject(data=1000)
        wire.recv()
    assert 64 << 10 < wire.tcp.info().rcv_wnd <= 100_000 + 256


@pytest.mark.parametrize(("mss", "linux"), [(536, 70_216), (1000, 75_000), (1460, 78_840), (8960, 340_480)])
@pytest.mark.parametrize("written", [100, 1460, 16_384, 1 << 20])
def test_a_new_connection_takes_at_once_what_linux_takes(wire: Script, mss: int, linux: int, written: int) -> None:
    """Measured with Linux 6.18, by one write and by many until EAGAIN."""
    wire.established(mss=mss, win=1 << 20, wscale=9)
    taken = sum(iter(lambda: wire.send(written), 0))
    assert 0.95 * linux < taken < 1.05 * linux


def test_the_send_buffer_grows_with_the_window(wire: Script) -> None:
    wire.established()
    for _ in range(12):
        wire.send(1 << 20)
        wire.inject(win=65535)
    info = wire.tcp.info()
    linux = 2 * (info.cwnd // 1000) * 2304  # SO_SNDBUF there
    wire.send(1 << 20)
    assert info.cwnd > 40_000
    assert 0.95 * linux < wire.tcp.unacknowledged < linux + 65_535


def test_the_send_buffer_does_not_grow_while_memory_is_short(wire: Script) -> None:
    wire.established(send_buffer=16_384)
    limit = wire.tcp._send.limit
    wire.tcp.may_grow = False
    for _ in range(10):
        wire.send(1 << 20)
        wire.inject(".")
    assert wire.tcp._send.limit == limit
    assert wire.tcp.congestion.cwnd > 2 * 10_000


def test_a_send_buffer_of_chosen_size_stays(wire: Script) -> None:
    from attrs import evolve

    wire.established()
    wire.tcp.configure(evolve(wire.tcp.config, send_buffer=5000), wire.now)
    for _ in range(12):
        wire.send(1 << 20)
        wire.inject()
    assert wire.send(1 << 20) <= 5000


@pytest.mark.parametrize(("low_water", "most"), [(1, 65_535), (65_535, 65_535), (100_000, 131_070)])
def test_what_waits_to_be_sent_is_limited_by_super_segments(wire: Script, low_water: int, most: int) -> None:
    wire.established(win=5000, send_buffer=1 << 20, unsent_low_water=low_water)
    assert wire.tcp.writable
    while wire.send(20_000):
        pass
    assert wire.tcp.info().unsent == most
    assert wire.tcp.send_space == 0
    assert not wire.tcp.writable
    wire.inject(ack=5001, win=4000)
    assert wire.tcp.send_space == 4000
    assert not wire.tcp.writable


def test_less_than_half_of_the_low_water_mark_asks_for_more(wire: Script) -> None:
    wire.established(win=5000, unsent_low_water=8000)
    wire.send(8999)
    assert wire.tcp.writable
    wire.send(1)
    assert not wire.tcp.writable
    wire.inject(ack=1001, win=5000)
    assert wire.tcp.writable


def test_a_full_send_buffer_takes_nothing(wire: Script) -> None:
    wire.established(win=1000)
    while wire.send(5000):
        pass
    assert wire.tcp.send_space == 0
    assert not wire.tcp.writable
    wire.inject(ack=1001, win=60_000)
    wire.inject(win=60_000)
    assert wire.tcp.writable


def test_super_segments_are_whole_segments(wire: Script) -> None:
    wire.established(send_buffer=1 << 20)
    wire.tso = 4500
    wire.send(9500)
    assert [(s.length, s.gso_size) for _, s in wire.sent] == [(4000, 1000), (4000, 1000), (1000, 0), (500, 0)]
    wire.inject(ack=4001)
    wire.sent.clear()
    wire.wait()
    wire.expect("4001:5001")  # what was lost goes at the path's size


def test_a_super_segment_counts_as_the_segments_it_stands_for(wire: Script) -> None:
    wire.established(send_buffer=1 << 20)
    before = wire.tcp.info()
    wire.tso = 4500
    wire.send(4000)
    segment = wire.take()
    segment.seq, segment.ack, segment.length = wrap(wire.place.irs + 1), wrap(wire.place.iss + 4001), 3500
    segment.payload = (bytes(3500),)
    wire.tcp.on_segment(segment, wire.now)
    info = wire.tcp.info()
    assert (info.segments_out - before.segments_out, info.data_segments_out - before.data_segments_out) == (4, 4)
    assert (info.segments_in - before.segments_in, info.data_segments_in - before.data_segments_in) == (4, 4)


def test_answers_that_the_link_takes_in_parts_count_each(wire: Script) -> None:
    wire.established(sack=True)
    before = wire.tcp.info().segments_out
    wire.hold = True
    for seq in range(1001, 11_001, 2000):
        wire.inject(seq=seq, data=1000)
    assert [len(wire.tcp.take_output(wire.now, 2)) for _ in range(4)] == [2, 2, 1, 0]
    assert wire.tcp.info().segments_out - before == 5


def test_a_received_super_segment_is_acknowledged_at_once(wire: Script) -> None:
    wire.established(quick_acks=0)
    wire.inject(data=5000)
    wire.expect(". ack 5001")


@pytest.mark.parametrize("window", [1, 100, 999])
def test_a_peer_with_a_tiny_window_gets_everything(wire: Script, window: int) -> None:
    wire.established(win=window, app_sends=3000)
    total = 0
    while total < 3000:
        if not wire.sent:
            wire.wait()
        total = max(wire.relative_seq(s) + s.length - 1 for _, s in wire.sent)
        wire.sent.clear()
        wire.inject(ack=total + 1, win=window)
    assert wire.tcp.unacknowledged == 0
