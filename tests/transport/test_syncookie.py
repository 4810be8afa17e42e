"""Cookies bring back what they carry, to the pair they were made for, while they are fresh."""

import pytest

from pystack.transport.tcp.segment import ACK, SYN, Segment
from pystack.transport.tcp.syncookie import SYNCookies
from pystack.units import SECOND

COOKIES = SYNCookies(b"k" * 32)
KEY = bytes(12)


def exchange(syn: Segment, *, stamp: int | None = None, key: bytes = KEY, wait: int = 0, at: int = 0) -> Segment | None:
    """What is recovered from the ACK of an honest peer that sent `syn`."""
    syn_ack = Segment(0, syn.seq + 1 & 0xFFFF_FFFF, SYN | ACK, 64240, mss=1460)
    if stamp is not None and syn.ts_val is not None:
        syn_ack.ts_val, syn_ack.ts_ecr = stamp, syn.ts_val
        syn_ack.window_scale = None if syn.window_scale is None else 8
        syn_ack.sack_permitted = syn.sack_permitted
    COOKIES.answer(KEY, syn, syn_ack, at)
    ack = Segment(syn.seq + 1 & 0xFFFF_FFFF, syn_ack.seq + 1 & 0xFFFF_FFFF, ACK, 500)
    if syn_ack.ts_val is not None:
        ack.ts_val, ack.ts_ecr = 77, syn_ack.ts_val
    return COOKIES.recover(key, ack, at + wait)


@pytest.mark.parametrize("seq", [0, 1, 0xFFFF_FFFF, 0x8000_0000])
@pytest.mark.parametrize("at", [0, 63 * SECOND, 31 * 64 * SECOND, 10**18])
def test_the_syn_comes_back(seq: int, at: int) -> None:
    syn = exchange(Segment(seq, 0, SYN, 1000, mss=1460), at=at)
    assert syn is not None
    assert (syn.seq, syn.flags, syn.mss) == (seq, SYN, 1460)
    assert syn.window_scale is None
    assert not syn.sack_permitted


@pytest.mark.parametrize(("mss", "kept"), [(None, 536), (1, 48), (600, 536), (1400, 1220), (1460, 1460), (65495, 8960)])
def test_the_mss_comes_back_rounded_down(mss: int | None, kept: int) -> None:
    syn = exchange(Segment(5, 0, SYN, 1000, mss=mss))
    assert syn is not None
    assert syn.mss == kept


@pytest.mark.parametrize("scale", [None, 0, 7, 14])
@pytest.mark.parametrize("sack", [False, True])
def test_scale_and_sack_come_back_through_the_timestamp(scale: int | None, sack: bool) -> None:
    sent = Segment(5, 0, SYN, 1000, mss=1460, window_scale=scale, sack_permitted=sack, ts_val=9)
    syn = exchange(sent, stamp=0xFFFF_FFFF)
    assert syn is not None
    assert (syn.window_scale, syn.sack_permitted, syn.ts_val) == (scale, sack, 77)


def test_the_timestamp_is_set_back_by_less_than_32_ticks() -> None:
    syn_ack = Segment(0, 6, SYN | ACK, 1000, ts_val=1000, window_scale=8)
    COOKIES.answer(KEY, Segment(5, 0, SYN, 1000, ts_val=1, window_scale=7), syn_ack, 0)
    assert syn_ack.ts_val is not None
    assert abs(syn_ack.ts_val - 1000) < 32


def test_a_cookie_is_good_for_one_to_two_periods() -> None:
    syn = Segment(5, 0, SYN, 1000)
    assert exchange(syn, wait=64 * SECOND) is not None
    assert exchange(syn, wait=127 * SECOND) is not None
    assert exchange(syn, wait=128 * SECOND) is None
    assert exchange(syn, wait=32 * 64 * SECOND) is None


def test_a_cookie_is_good_for_its_pair_only() -> None:
    assert exchange(Segment(5, 0, SYN, 1000), key=bytes(11) + b"\1") is None


def test_guesses_fail() -> None:
    accepted = [
        number
        for number in range(0, 1 << 32, 99991)
        if COOKIES.recover(KEY, Segment(6, number, ACK, 1000), 10 * SECOND) is not None
    ]
    assert accepted == []


def test_a_segment_without_ack_carries_none() -> None:
    assert COOKIES.recover(KEY, Segment(6, 0, SYN, 1000), 0) is None
