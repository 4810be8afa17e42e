"""The buffers against models of a few lines."""

from hypothesis import given
from hypothesis import strategies as st

from pystack.transport.tcp.reassembly import RANGE_COST
from pystack.transport.tcp.recvbuffer import ReceiveBuffer
from pystack.transport.tcp.sendbuffer import PIECE_COST, SendBuffer

BASE = 2**32 - 3000
STREAM = bytes(number % 251 for number in range(1 << 16))
MUCH = 1 << 20
sizes = st.one_of(st.integers(0, 40), st.integers(400, 600), st.integers(4000, 9000))


@given(
    st.lists(st.tuples(st.sampled_from(["append", "acknowledge", "slice"]), sizes, sizes), max_size=40), st.booleans()
)
def test_the_send_buffer_holds_what_was_appended(steps: list[tuple[str, int, int]], mutable: bool) -> None:
    buffer = SendBuffer(BASE, 20_000)
    start = end = 0
    for step, first, second in steps:
        if step == "append":
            data = STREAM[end : end + first]
            most = second * 2
            taken = buffer.append(bytearray(data) if mutable else data, most)
            assert taken <= most
            assert taken in (len(data), most) or buffer.space < len(data) - taken + 1
            end += taken
        elif step == "acknowledge":
            start = min(start + first, end)
            buffer.acknowledge(BASE + start)
        elif end > start:
            offset = start + first % (end - start)
            length = 1 + second % (end - offset)
            assert b"".join(buffer.slices(BASE + offset, length)) == STREAM[offset : offset + length]
        assert len(buffer) == end - start
        assert buffer.end == BASE + end
        assert buffer.cost <= buffer.limit + 128
    buffer.clear()
    assert len(buffer) == buffer.cost == 0


def test_bytes_are_kept_and_not_copied() -> None:
    buffer = SendBuffer(0, MUCH)
    data = bytes(10_000)
    buffer.append(data, MUCH)
    buffer.append(memoryview(data)[5000:], MUCH)
    (first,) = buffer.slices(100, 1000)
    (second,) = buffer.slices(10_100, 1000)
    assert isinstance(first, memoryview)
    assert first.obj is data
    assert isinstance(second, memoryview)
    assert second.obj is data


def test_what_the_caller_may_change_is_copied() -> None:
    buffer = SendBuffer(0, MUCH)
    data = bytearray(b"a" * 10_000)
    buffer.append(data, MUCH)
    data[:] = b"b" * 10_000
    assert b"".join(buffer.slices(0, 10_000)) == b"a" * 10_000


def test_buffers_of_other_formats_are_octets() -> None:
    buffer = SendBuffer(0, MUCH)
    assert buffer.append(memoryview(b"abcdefgh").cast("I"), MUCH) == 8
    assert buffer.append(memoryview(b"abcdefgh")[::2], MUCH) == 4
    assert b"".join(buffer.slices(0, 12)) == b"abcdefghaceg"


def test_many_small_writes_cost_as_much_as_a_large_one() -> None:
    buffer = SendBuffer(0, MUCH)
    for _ in range(100_000):
        buffer.append(b"x", MUCH)
    assert buffer.cost < 104_000


class Model:
    """The receive buffer, slowly."""

    def __init__(self) -> None:
        self.have: set[int] = set()
        self.nxt = 0
        self.read = 0

    def add(self, start: int, length: int) -> None:
        self.have.update(range(start, start + length))
        while self.nxt in self.have:
            self.nxt += 1


@given(
    st.lists(st.tuples(st.integers(0, 3000), sizes.filter(bool), st.integers(1, 3)), max_size=30),
    st.lists(sizes, min_size=1),
)
def test_the_receive_buffer_gives_the_stream_in_order(pieces: list[tuple[int, int, int]], reads: list[int]) -> None:
    buffer = ReceiveBuffer(BASE, 1 << 20, 1024)
    model = Model()
    got = b""
    for number, (offset, length, parts) in enumerate(pieces):
        start = model.nxt if offset % 3 == 0 else model.nxt + offset
        data = STREAM[start : start + length]
        step = max(1, len(data) // parts)
        buffers = tuple(memoryview(data)[at : at + step] for at in range(0, len(data), step))
        if start == model.nxt:
            buffer.append(buffers, len(data))
        else:
            assert buffer.insert(BASE + start, buffers, len(data))
        model.add(start, len(data))
        assert buffer.nxt == BASE + model.nxt
        assert bool(buffer.beyond.ranges) == (max(model.have) >= model.nxt)
        held = {at - BASE for first, last in buffer.beyond.ranges for at in range(first, last)}
        assert held == {at for at in model.have if at >= model.nxt}
        size = reads[number % len(reads)]
        assert buffer.peek(size) == STREAM[len(got) : min(len(got) + size, model.nxt)]
        if number % 2:
            got += buffer.read(size)
        else:
            space = bytearray(size)
            got += space[: buffer.read_into(memoryview(space))]
        assert got == STREAM[: len(got)]
        assert buffer.readable == model.nxt - len(got)
        assert buffer.cost >= buffer.readable + buffer.beyond.octets
        assert buffer.beyond.octets == len(held)
    got += buffer.read(1 << 20)
    assert got == STREAM[: model.nxt]
    buffer.drop_out_of_order()
    assert buffer.cost == 0


def test_ranges_out_of_order_are_capped() -> None:
    buffer = ReceiveBuffer(0, 1 << 20, 10)
    assert all(buffer.insert(start, (b"x",), 1) for start in range(2, 22, 2))
    assert not buffer.insert(30, (b"x",), 1)
    assert buffer.insert(3, (b"x",), 1)  # joins two: there is room again
    assert buffer.insert(30, (b"x",), 1)


def test_octets_out_of_order_are_capped_by_what_they_cost() -> None:
    buffer = ReceiveBuffer(0, 10_000, 1024)
    taken = sum(buffer.insert(2 + 2 * number, (b"x",), 1) for number in range(1000))
    assert taken == 10_000 // (1 + PIECE_COST + RANGE_COST)
    assert buffer.cost <= 10_000


def test_single_octets_in_any_order_cost_little_once_they_touch() -> None:
    for order in (range(2, 20_002), range(20_001, 1, -1), [*range(2, 2002, 2), *range(3, 2002, 2)]):
        buffer = ReceiveBuffer(0, 1 << 20, 1024)
        for start in order:
            assert buffer.insert(start, (b"x",), 1)
        assert buffer.cost < 20_000 + 128 * (20_000 // 100)
        buffer.append((b"ab",), 2)
        assert buffer.nxt == 2 + len(order)
        assert buffer.readable == 2 + len(order)


def test_small_pieces_in_order_are_merged() -> None:
    buffer = ReceiveBuffer(0, 1 << 20, 1024)
    for _ in range(20_000):
        buffer.append((b"x",), 1)
    assert buffer.cost < 20_500
