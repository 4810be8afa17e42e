"""Memory of received frames: used again when nobody looks at it, and never before."""

import pytest

from pystack.link import pool
from pystack.link.pool import MOST, SMALL, FramePool

SIZE = 65_557


def filled(pool: FramePool, octet: int, octets: int = SIZE) -> bytes | memoryview:
    """A frame of `octets` times `octet`, as if read."""
    pool.buffer[:octets] = bytes([octet]) * octets
    frame = pool.frame(octets)
    assert isinstance(frame, bytes | memoryview)
    return frame


def test_a_frame_is_what_was_read() -> None:
    frame = filled(FramePool(SIZE), 7, 40_000)
    assert frame == bytes([7]) * 40_000


def test_nobody_may_change_a_frame() -> None:
    for octets in (SMALL - 1, SMALL):
        assert memoryview(filled(FramePool(SIZE), 7, octets)).readonly


def test_small_frames_hold_no_more_than_themselves() -> None:
    frames = FramePool(SIZE)
    buffer = frames.buffer
    assert type(filled(frames, 1, SMALL - 1)) is bytes
    assert frames.buffer is buffer


def test_frames_in_use_stay_as_they_are() -> None:
    frames = FramePool(SIZE)
    held = [filled(frames, octet) for octet in range(20)]
    assert [frame[0] for frame in held] == list(range(20))
    assert [frame[-1] for frame in held] == list(range(20))


def test_a_part_of_a_frame_holds_it() -> None:
    frames = FramePool(SIZE)
    part = filled(frames, 1)[100:200]
    for octet in range(2, 10):
        filled(frames, octet)
    assert part == b"\x01" * 100


def test_what_was_let_go_is_used_again() -> None:
    frames = FramePool(SIZE)
    seen = set()
    for octet in range(50):
        filled(frames, octet)
        seen.add(id(frames.buffer))
    assert len(seen) == 2  # one is read into, the one before may still be looked at


def test_the_size_stays() -> None:
    frames = FramePool(SIZE)
    for octet in range(5):
        filled(frames, octet)
        assert len(frames.buffer) == SIZE


def test_what_is_held_for_long_is_forgotten() -> None:
    frames = FramePool(SIZE)
    held = [filled(frames, octet % 256) for octet in range(MOST + 20)]
    assert len(frames._lent) == MOST
    assert all(frame[0] == octet % 256 for octet, frame in enumerate(held))


def test_without_a_way_to_tell_nothing_is_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_TELLS", False)
    frames = FramePool(SIZE)
    first = frames.buffer
    filled(frames, 1)
    filled(frames, 2)
    assert frames.buffer is not first
