"""Two connections under arbitrary interleavings of user calls, deliveries, losses, duplicates and time: RFC 9293's
invariants hold after each step, and afterwards, on a network that has recovered, both ends come to rest."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pystack.transport.tcp import State, TCPConfig
from pystack.units import MS, SECOND
from tests.transport.tcp.pair import End, Pair
from tests.transport.tcp.script import PLACES

SMALL = {"receive_buffer": 4000, "receive_buffer_max": 9000, "send_buffer": 3000, "send_buffer_max": 6000}

configs = st.builds(
    TCPConfig,
    timestamps=st.booleans(),
    window_scaling=st.booleans(),
    nodelay=st.booleans(),
    keepalive=st.booleans(),
    quick_acks=st.sampled_from([0, 16]),
    sack=st.booleans(),
    frto=st.booleans(),
    loss_probe=st.booleans(),
    ecn=st.booleans(),
    congestion=st.sampled_from(["cubic", "newreno"]),
) | st.builds(TCPConfig, timestamps=st.booleans(), **{name: st.just(value) for name, value in SMALL.items()})
ends = st.integers(0, 1)
pattern = bytes(number % 251 for number in range(1 << 16))


class TwoConnections(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.pair: Pair | None = None
        self.sent = [0, 0]
        self.violent = False  # somebody reset, or gave up: data may be lost

    @initialize(
        place=st.sampled_from(sorted(PLACES)),
        a=configs,
        b=configs,
        mss=st.sampled_from([60, 536, 1460]),
        simultaneous=st.booleans(),
        shaken=st.booleans(),
    )
    def begin(self, place: str, a: TCPConfig, b: TCPConfig, mss: int, simultaneous: bool, shaken: bool) -> None:
        self.pair = pair = Pair(PLACES[place], a=a, b=b, mss=mss)
        if simultaneous:
            pair.b.tcp.connect(0)
        else:
            pair.b.tcp.listen()
        pair.a.tcp.connect(0)
        while shaken and not pair.a.tcp.state is pair.b.tcp.state is State.ESTABLISHED:
            pair.turn()

    def end(self, which: int) -> End:
        assert self.pair is not None
        return self.pair.ends[which]

    @rule(which=ends, limit=st.integers(1, 20))
    def transmit(self, which: int, limit: int) -> None:
        assert self.pair is not None
        end = self.end(which)
        for frame in end.take(self.pair.now, limit):
            self.pair.carry(end, frame)

    @rule(which=ends, size=st.integers(1, 5000))
    def send(self, which: int, size: int) -> None:
        assert self.pair is not None
        end, sent = self.end(which), self.sent[which]
        if end.tcp.state in (State.ESTABLISHED, State.CLOSE_WAIT) and not end.shutdown_after:
            size = min(size, len(pattern) - sent)
            taken = end.tcp.send(pattern[sent : sent + size], self.pair.now)
            assert 0 <= taken <= size
            self.sent[which] += taken

    @rule(which=ends, size=st.integers(1, 5000))
    def recv(self, which: int, size: int) -> None:
        assert self.pair is not None
        end = self.end(which)
        end.received += end.tcp.recv(size, self.pair.now)

    @rule(which=ends)
    def shutdown(self, which: int) -> None:
        assert self.pair is not None
        end = self.end(which)
        if end.tcp.state not in (State.CLOSED, State.LISTEN):
            end.tcp.shutdown(self.pair.now)
            end.shutdown_after = True

    @precondition(lambda self: self.sent[0] > 3000)
    @rule(which=ends)
    def close(self, which: int) -> None:
        assert self.pair is not None
        end = self.end(which)
        end.received += end.tcp.recv(1 << 20, self.pair.now)
        end.tcp.close(self.pair.now)
        self.violent = True  # what comes now is answered by a reset

    @precondition(lambda self: self.sent[1] > 3000)
    @rule(which=ends)
    def abort(self, which: int) -> None:
        assert self.pair is not None
        self.end(which).tcp.abort(self.pair.now)
        self.violent = True

    @precondition(lambda self: self.pair is not None and self.pair.wire)
    @rule(index=st.integers(0, 30), lose=st.booleans(), keep=st.booleans())
    def deliver(self, index: int, lose: bool, keep: bool) -> None:
        """Any segment in flight: in any order, twice, or never."""
        assert self.pair is not None
        wire = self.pair.wire
        entry = wire[index % len(wire)]
        if not keep or lose:
            wire.remove(entry)
        if not lose:
            entry[2].deliver(entry[3], self.pair.now)

    @rule(duration=st.sampled_from([0, 1, 1 * MS, 39 * MS, 40 * MS, 200 * MS, 1 * SECOND, 61 * SECOND]))
    def let_time_pass(self, duration: int) -> None:
        assert self.pair is not None
        self.pair.now += duration
        for end in self.pair.ends:
            end.tcp.on_timer(self.pair.now)

    @invariant()
    def what_arrived_is_what_was_sent(self) -> None:
        if self.pair is None:
            return
        for which, end in enumerate(self.pair.ends):
            end.check()
            assert end.received == pattern[: len(end.received)]
            assert len(end.received) + end.tcp.readable <= self.sent[1 - which]

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
            if not self.violent and all(other.tcp.error is None for other in pair.ends) and end.tcp.eof:
                assert len(end.received) + end.tcp.readable == self.sent[1 - which]

    def is_left_alone(self, end: End) -> bool:
        """Waits for a peer that is gone, with nothing to say that would make it find out."""
        assert self.pair is not None
        other = self.pair.other(end)
        return other.tcp.state in (State.CLOSED, State.LISTEN) and not end.tcp.unacknowledged


TestTwoConnections = TwoConnections.TestCase
TestTwoConnections.settings = settings(
    max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
