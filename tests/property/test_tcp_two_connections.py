"""Two connections under arbitrary interleavings of user calls, deliveries, losses, duplicates, late copies, lies and
time: RFC 9293's invariants hold after each step, and afterwards, on a network that has recovered, both ends come to
rest."""

from errno import ECONNREFUSED, EHOSTUNREACH, ENETUNREACH
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pystack.transport.tcp import Segment, State, TCPConfig
from pystack.transport.tcp.ecn import CE
from pystack.transport.tcp.segment import ACK, FIN, RST, SYN
from pystack.units import MS, SECOND
from pystack.wire.seq import wrap
from tests.transport.tcp.bookkeeping import check_books, check_timers
from tests.transport.tcp.pair import End, Pair
from tests.transport.tcp.script import PLACES

pytestmark = pytest.mark.untraced

SMALL = {"receive_buffer": 4000, "receive_buffer_max": 9000, "send_buffer": 3000, "send_buffer_max": 6000}
TINY = {"receive_buffer": 300, "receive_buffer_max": 300, "send_buffer": 400, "send_buffer_max": 400}
FEW = {"reassembly_ranges": 2, "scoreboard_ranges": 2, "retries2": 3, "syn_retries": 2, "keepalive_idle": 30 * SECOND}

switches = {
    name: st.booleans()
    for name in ("timestamps", "window_scaling", "nodelay", "keepalive", "sack", "frto", "loss_probe", "ecn")
}
configs = st.builds(
    lambda bounds, switched: TCPConfig(**bounds, **switched),
    st.sampled_from([{}, {}, SMALL, TINY, FEW, SMALL | FEW]),
    st.fixed_dictionaries(
        switches
        | {"quick_acks": st.sampled_from([0, 16]), "congestion": st.sampled_from(["cubic", "newreno"])}
        | {"initial_window": st.sampled_from([1, 3, 10]), "delayed_ack": st.sampled_from([0, 40 * MS])}
    ),
)
starts = st.sampled_from([0, 1_000_000, 2**31 - 2000, 2**31 - 1, 2**32 - 2000, 2**32 - 2, 2**32 - 1])
ends = st.integers(0, 1)
pattern = bytes(number * number % 251 for number in range(1 << 16))
MEMORY = (15 << 20) + (4 << 20)


class TwoConnections(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.pair: Pair | None = None
        self.sent = [0, 0]
        self.urgent = [0, 0]
        """Where the urgent data of each ends, counted from the start of its stream."""
        self.peaceful = True
        """Nobody resets, lies or gives up in this run."""
        self.violent = False
        """Somebody did: data may be lost."""

    @initialize(
        place=st.sampled_from(sorted(PLACES)),
        iss=starts,
        irs=starts,
        a=configs,
        b=configs,
        mss=st.sampled_from([60, 536, 1460]),
        simultaneous=st.booleans(),
        shaken=st.booleans(),
        peaceful=st.booleans(),
    )
    def begin(
        self,
        place: str,
        iss: int,
        irs: int,
        a: TCPConfig,
        b: TCPConfig,
        mss: int,
        simultaneous: bool,
        shaken: bool,
        peaceful: bool,
    ) -> None:
        self.peaceful = peaceful
        self.pair = pair = Pair(evolve(PLACES[place], iss=iss, irs=irs), a=a, b=b, mss=mss)
        if simultaneous:
            pair.b.tcp.connect(0)
        else:
            pair.b.tcp.listen()
        pair.a.tcp.connect(0)
        while shaken and not pair.a.tcp.state is pair.b.tcp.state is State.ESTABLISHED:
            assert pair.turn()

    def end(self, which: int) -> End:
        assert self.pair is not None
        return self.pair.ends[which]

    @property
    def now(self) -> int:
        assert self.pair is not None
        return self.pair.now

    # The users

    @rule(
        which=ends,
        size=st.integers(1, 5000),
        urgent=st.sampled_from([False, False, False, True]),
        more=st.sampled_from([False, False, True]),
    )
    def send(self, which: int, size: int, urgent: bool, more: bool) -> None:
        end, sent = self.end(which), self.sent[which]
        if end.tcp.state in (State.ESTABLISHED, State.CLOSE_WAIT) and not end.shutdown_after:
            size = min(size, len(pattern) - sent)
            space = end.tcp.send_space
            taken = end.tcp.send(pattern[sent : sent + size], self.now, urgent=urgent, more=more)
            assert taken == min(size, space)
            self.sent[which] += taken
            if urgent and taken:
                self.urgent[which] = self.sent[which]

    @rule(which=ends, size=st.integers(1, 5000), into=st.booleans())
    def recv(self, which: int, size: int, into: bool) -> None:
        end = self.end(which)
        if into:
            buffer = bytearray(size)
            end.received += buffer[: end.tcp.recv_into(buffer, self.now)]
        else:
            end.received += end.tcp.recv(size, self.now)

    @rule(which=ends)
    def shutdown(self, which: int) -> None:
        end = self.end(which)
        if end.tcp.state not in (State.CLOSED, State.LISTEN):
            end.tcp.shutdown(self.now)
            end.shutdown_after = True

    @precondition(lambda self: self.sent[0] > 3000 and not self.peaceful)
    @rule(which=ends)
    def close(self, which: int) -> None:
        end = self.end(which)
        end.received += end.tcp.recv(1 << 20, self.now)
        end.tcp.close(self.now)
        self.violent = True  # what comes now is answered by a reset

    @precondition(lambda self: self.sent[1] > 3000 and not self.peaceful)
    @rule(which=ends)
    def abort(self, which: int) -> None:
        self.end(which).tcp.abort(self.now)
        assert self.end(which).tcp.state is State.CLOSED
        self.violent = True

    @rule(
        which=ends,
        changed=st.fixed_dictionaries(
            {},
            optional={
                "nodelay": st.booleans(),
                "cork": st.booleans(),
                "keepalive": st.booleans(),
                "user_timeout": st.sampled_from([0, 5 * SECOND, 100 * SECOND]),
                "congestion": st.sampled_from(["cubic", "newreno"]),
                "receive_buffer": st.sampled_from([300, 5000, 1 << 17]),
                "send_buffer": st.sampled_from([300, 5000, 1 << 17]),
                "unsent_low_water": st.sampled_from([0, 1, 5000]),
            },
        ),
    )
    def configure(self, which: int, changed: dict[str, Any]) -> None:
        end = self.end(which)
        end.tcp.configure(evolve(end.tcp.config, **changed), self.now)
        end.shrinks |= "receive_buffer" in changed

    @rule(which=ends, quick=st.booleans())
    def acknowledge_quickly(self, which: int, quick: bool) -> None:
        self.end(which).tcp.acknowledge_quickly(quick)

    # The host

    @rule(which=ends, limit=st.integers(1, 20), tso=st.sampled_from([0, 0, 4000, 64_000]))
    def transmit(self, which: int, limit: int, tso: int) -> None:
        assert self.pair is not None
        end = self.end(which)
        idle = not end.tcp.has_output(self.now)
        frames = end.take(self.now, limit, tso)
        assert len(frames) <= limit
        assert not (idle and frames), "output that nobody was told of"
        for frame in frames:
            self.pair.carry(end, frame)

    @rule(which=ends)
    def transmit_everything(self, which: int) -> None:
        assert self.pair is not None
        end = self.end(which)
        for _ in range(2000):
            if not end.tcp.has_output(self.now):
                break
            for frame in end.take(self.now):
                self.pair.carry(end, frame)
        else:
            raise AssertionError("output without end")

    @rule(which=ends, may_grow=st.booleans())
    def run_short_of_memory(self, which: int, may_grow: bool) -> None:
        tcp = self.end(which).tcp
        tcp.may_grow = may_grow
        tcp.drop_out_of_order()

    @rule(which=ends, mss=st.sampled_from([48, 60, 500, 536, 1000, 1460, 9000]))
    def change_the_path_mtu(self, which: int, mss: int) -> None:
        self.end(which).tcp.on_path_mtu(mss, self.now)

    @rule(which=ends, code=st.sampled_from([ECONNREFUSED, EHOSTUNREACH, ENETUNREACH]), hard=st.booleans())
    def report_a_path_error(self, which: int, code: int, hard: bool) -> None:
        tcp = self.end(which).tcp
        before = tcp.state
        tcp.on_path_error(code, hard, self.now)
        if before is not tcp.state:
            assert hard
            assert before in (State.SYN_SENT, State.SYN_RECEIVED)
            self.violent = True

    # The network

    @precondition(lambda self: self.pair is not None and self.pair.wire)
    @rule(index=st.integers(0, 30), lose=st.booleans(), keep=st.booleans(), marked=st.booleans())
    def deliver(self, index: int, lose: bool, keep: bool, marked: bool) -> None:
        """Any segment in flight: in any order, twice, or never; marked by a router on its way."""
        assert self.pair is not None
        wire = self.pair.wire
        entry = wire[index % len(wire)]
        if not keep or lose:
            wire.remove(entry)
        if not lose:
            entry[2].deliver(entry[3], self.now, CE if marked else 0)

    @precondition(lambda self: self.pair is not None and self.pair.trace)
    @rule(index=st.integers(0, 400))
    def deliver_an_old_duplicate(self, index: int) -> None:
        """Of everything that was ever sent; the wire may have kept it for minutes."""
        assert self.pair is not None
        frame = self.pair.trace[index % len(self.pair.trace)]
        receiver = next(end for end in self.pair.ends if end.ports[1].to_bytes(2, "big") == frame[:2])
        receiver.deliver(frame, self.now)

    @precondition(lambda self: self.pair is not None and self.pair.wire and not self.peaceful)
    @rule(index=st.integers(0, 30), wrong=st.one_of(st.integers(-3000, 3000), st.integers(-(2**31), 2**31 - 1)))
    def deliver_with_a_wrong_ack_field(self, index: int, wrong: int) -> None:
        """A lie that no checksum finds: data may be lost by it, but nothing else may happen."""
        assert self.pair is not None
        wire = self.pair.wire
        _, _, end, frame = wire[index % len(wire)]
        segment = Segment.from_bytes((frame,))
        if segment.flags & ACK:
            segment.ack = wrap(segment.ack + wrong)
            end.take_segment(segment, self.now)
            self.violent = True

    @precondition(lambda self: not self.peaceful)
    @rule(
        which=ends,
        flags=st.sampled_from([RST, RST | ACK, SYN, SYN | ACK, FIN | ACK, ACK]),
        seq=st.one_of(st.integers(-2, 2), st.integers(-3000, 70_000), st.integers(-(2**31), 2**31 - 1)),
        ack=st.one_of(st.integers(-2, 2), st.integers(-70_000, 3000)),
    )
    def forge(self, which: int, flags: int, seq: int, ack: int) -> None:
        """Somebody who guesses sends a segment without data. A FIN that is believed cuts the stream short."""
        end = self.end(which)
        tcp = end.tcp
        end.take_segment(Segment(wrap(tcp.rcv_nxt + seq), wrap(tcp.snd_nxt + ack), flags, 1000, (), 0), self.now)
        self.violent = True

    @rule(duration=st.sampled_from([0, 1, 1 * MS, 39 * MS, 40 * MS, 200 * MS, 1 * SECOND, 61 * SECOND]))
    def let_time_pass(self, duration: int) -> None:
        assert self.pair is not None
        self.pair.now += duration
        self.ring()

    @rule()
    def let_the_next_timer_expire(self) -> None:
        assert self.pair is not None
        deadlines = [deadline for end in self.pair.ends if (deadline := end.tcp.next_deadline()) is not None]
        self.pair.now = max(self.now, min(deadlines, default=0))
        self.ring()

    def ring(self) -> None:
        assert self.pair is not None
        for end in self.pair.ends:
            end.tcp.on_timer(self.now)
            check_timers(end.tcp, self.now)

    @rule(turns=st.integers(1, 10))
    def let_the_network_work(self, turns: int) -> None:
        assert self.pair is not None
        for _ in range(turns):
            self.pair.turn()

    @invariant()
    def what_arrived_is_what_was_sent(self) -> None:
        if self.pair is None:
            return
        for which, end in enumerate(self.pair.ends):
            tcp = end.tcp
            end.check()
            check_books(tcp)
            assert tcp.memory <= MEMORY
            arrived = bytes(end.received) + tcp.peek(1 << 20)
            assert len(arrived) == len(end.received) + tcp.readable
            assert arrived == pattern[: len(arrived)]
            assert len(arrived) <= self.sent[1 - which]
            if tcp.urgent is not None:
                assert len(end.received) + tcp.urgent <= self.urgent[1 - which]

    def teardown(self) -> None:
        """The network recovers, the users finish: everything ends, and if nobody was violent all has arrived."""
        pair = self.pair
        if pair is None:
            return
        pair.fates = iter(())
        for end in pair.ends:
            end.shutdown_after = True
        for _ in range(20_000):
            for end in pair.ends:
                if end.tcp.state is State.FIN_WAIT_2 and pair.other(end).tcp.state is State.CLOSED:
                    end.tcp.close(pair.now)  # nobody is there to send a FIN: the minute passes
            if not pair.turn():
                break
        else:
            raise AssertionError(f"no end in sight: {pair.a.tcp} {pair.b.tcp}")
        for which, end in enumerate(pair.ends):
            assert end.tcp.state in (State.CLOSED, State.LISTEN) or self.is_left_alone(end)
            if not self.violent and all(other.tcp.error is None for other in pair.ends):
                assert len(end.received) + end.tcp.readable == self.sent[1 - which]
        self.what_arrived_is_what_was_sent()

    def is_left_alone(self, end: End) -> bool:
        """Waits for a peer that is gone, with nothing to say that would make it find out."""
        assert self.pair is not None
        other = self.pair.other(end)
        return other.tcp.state in (State.CLOSED, State.LISTEN) and not end.tcp.unacknowledged


HURRIED = settings(deadline=None, suppress_health_check=list(HealthCheck))
TestTwoConnections = TwoConnections.TestCase
TestTwoConnections.settings = settings(HURRIED, max_examples=100, stateful_step_count=60)


@pytest.mark.deep
def test_two_connections_for_long() -> None:
    run_state_machine_as_test(
        TwoConnections, settings=settings(HURRIED, max_examples=5000, stateful_step_count=150, print_blob=True)
    )
