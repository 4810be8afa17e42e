"""The clock, and users who act by it."""

from socket import MSG_OOB

import pytest

from pystack.errors import StateError
from pystack.link.base import Medium
from pystack.link.faults import Faults
from pystack.sim import SimSocket, Simulation, Stage, User
from pystack.units import MS, SECOND

HOST, PEER = "192.0.2.1", "192.0.2.2"


class Cable:
    """Two hosts, `near` and `far`, and users at each."""

    def __init__(self, delay: int = 0, **fields: object) -> None:
        self.sim = sim = Simulation(1)
        self.near, self.far = sim.stack(), sim.stack()
        faults = Faults(delay=delay)
        self.link = sim.join(self.near, f"{HOST}/24", self.far, f"{PEER}/24", there=faults, back=faults, **fields)  # type: ignore[arg-type]
        self.stage = Stage(sim)

    def established(self) -> tuple[SimSocket, SimSocket]:
        listener = SimSocket.listening(self.sim, self.far, 7)
        near = SimSocket(self.sim, self.near.stream())
        connecting = near.connect((PEER, 7))
        far = self.sim.wait(listener.accept())
        assert self.sim.wait(connecting)
        listener.close()
        return near, far


def test_sleep_lasts_as_long_as_it_is_asked_for() -> None:
    cable, woken = Cable(), []

    def sleeper(duration: int) -> User:
        yield cable.sim.sleep(duration)
        woken.append((duration, cable.sim.now))
        yield cable.sim.sleep(duration)
        woken.append((duration, cable.sim.now))

    for duration in (3 * SECOND, 0, 2 * SECOND):
        cable.stage.enter(sleeper(duration))
    cable.stage.play()
    assert woken == [(each * SECOND, when * SECOND) for each, when in ((0, 0), (0, 0), (2, 2), (3, 3), (2, 4), (3, 6))]
    assert cable.sim.next_deadline() is None


def test_a_user_goes_on_at_the_instant_in_which_a_call_is_answered() -> None:
    """On a path without delay a whole conversation takes no time, whatever is due later."""
    cable = Cable()
    sim = cable.sim
    near, far = cable.established()
    ended = []

    def ask() -> User:
        for _ in range(10):
            yield near.sendall(b"?")
            assert (yield near.recv(1)) == b"!"
        near.close()
        ended.append(sim.now)

    def answer() -> User:
        while (yield far.recv(1)):
            yield far.sendall(b"!")
        far.close()
        ended.append(sim.now)

    def wait() -> User:
        yield sim.sleep(SECOND)
        ended.append(sim.now)

    for user in (ask(), answer(), wait()):
        cable.stage.enter(user)
    cable.stage.play()
    assert ended == [0, 0, SECOND]


def test_what_is_due_now_is_seen_before_time_passes() -> None:
    cable = Cable()
    near, far = cable.established()
    reading = far.recv(10)
    near.sendall(b"now")
    assert cable.sim.step(10 * SECOND)
    assert reading.done
    assert cable.sim.now == 0


def test_a_simulation_ends_when_the_last_thing_has_happened() -> None:
    cable = Cable(10 * MS)
    near, far = cable.established()
    near.close()
    far.close()
    began = cable.sim.now
    cable.sim.run()
    assert began + 60 * SECOND <= cable.sim.now < began + 61 * SECOND  # TIME-WAIT


def test_a_simulation_that_goes_on_is_an_error() -> None:
    cable = Cable()
    cable.sim.sleep(2 * SECOND)
    with pytest.raises(StateError, match="still busy"):
        cable.sim.run(timeout=SECOND)


def test_a_call_that_nothing_will_answer_is_an_error() -> None:
    cable = Cable()
    _, far = cable.established()

    def wait() -> User:
        yield far.recv(1)

    cable.stage.enter(wait())
    with pytest.raises(StateError, match="nothing more happens"):
        cable.stage.play()


def test_a_user_is_thrown_the_error_of_a_call() -> None:
    cable, errors = Cable(10 * MS), []
    near, far = cable.established()

    def read(sock: SimSocket, timeout: int | None) -> User:
        try:
            yield sock.recv(1, timeout=timeout)
        except OSError as error:
            errors.append((type(error), cable.sim.now))

    began = cable.sim.now
    cable.stage.enter(read(near, 5 * MS))
    cable.stage.enter(read(near, None))
    far.abort()
    cable.stage.play()
    assert [(kind.__name__, when - began) for kind, when in errors] == [
        ("TimeoutError", 5 * MS),
        ("PeerReset", 10 * MS),
    ]


def test_sendall_waits_for_room_and_acknowledged_for_the_peer() -> None:
    cable = Cable(10 * MS)
    near, far = cable.established()
    sending = near.sendall(bytes(300_000))
    assert not sending.done
    heard = 0
    while heard < 300_000:
        heard += len(cable.sim.wait(far.recv(1 << 20)))
    assert sending.result() == 300_000
    assert cable.sim.wait(near.acknowledged())
    assert not near.endpoint.unsent


def test_flags_reach_the_endpoint() -> None:
    cable = Cable()
    near, far = cable.established()
    cable.sim.wait(near.sendall(b"ab!", MSG_OOB))
    assert cable.sim.wait(far.recv(10)) == b"ab"
    assert cable.sim.wait(far.recv(1, MSG_OOB)) == b"!"


@pytest.mark.parametrize("medium", list(Medium))
@pytest.mark.parametrize("tso", [0, 65_535])
def test_join_gives_both_hosts_the_same_kind_of_link(medium: Medium, tso: int) -> None:
    cable = Cable(medium=medium, tso=tso, mtu=9000)
    for stack in (cable.near, cable.far):
        (capabilities,) = [each.capabilities for each in stack.interfaces if not each.is_loopback]
        assert (capabilities.medium, capabilities.tso, capabilities.mtu) == (medium, tso, 9000)
        assert capabilities.tx_checksum is bool(tso)
    near, far = cable.established()
    near.sendall(bytes(10_000))
    assert cable.sim.wait(far.recv(1))
    assert cable.link.outbound.counters["frames"] > 3


def test_each_cable_has_faults_of_its_own() -> None:
    def lost(cables: int) -> int:
        sim = Simulation(1)
        one, other = sim.stack(), sim.stack()
        for number in range(cables):
            addresses = [f"198.51.100.{4 * number + place}" for place in (1, 2)]
            link = sim.join(one, f"{addresses[0]}/30", other, f"{addresses[1]}/30", there=Faults(loss=0.5))
        for sequence in range(64):
            one.ping(addresses[1], sim.now, sequence=sequence)
        sim.run()
        return link.outbound.counters["lost"]

    assert lost(1) == lost(1)
    assert len({lost(cables) for cables in range(1, 6)}) > 1
