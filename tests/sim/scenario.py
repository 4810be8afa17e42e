"""What happens to whom in a session, drawn from a seed."""

from random import Random
from typing import TypeAlias

from attrs import evolve, field, frozen

from pystack.link.base import Medium
from pystack.link.faults import NO_FAULTS, Faults
from pystack.transport.tcp.config import TCPConfig
from pystack.units import MS, SECOND, Ns
from tests.sim.router import ALL_IS_WELL, Flood, Narrowing, Weather

__all__ = [
    "CLIENT_ABORTS",
    "CLIENT_GIVES_UP",
    "FAST",
    "ORDERLY",
    "PORT",
    "SERVER_CLOSES_EARLY",
    "SIMULTANEOUS",
    "Ending",
    "Manners",
    "Opening",
    "Outage",
    "Scenario",
]

Outage: TypeAlias = tuple[Ns, Ns]
"""From when to when nothing gets through."""

Opening: TypeAlias = str
PLAIN, FAST, SIMULTANEOUS = "plain", "TCP Fast Open", "simultaneous"

Ending: TypeAlias = str
ORDERLY, CLIENT_ABORTS, SERVER_CLOSES_EARLY, CLIENT_GIVES_UP = (
    "orderly",
    "client aborts",
    "server closes early",
    "client gives up",
)

PORT = 7
MINUTE = 60 * SECOND


@frozen(kw_only=True)
class Manners:
    """How the user of one end behaves, as long as nobody is rude."""

    answers: bool = False
    """Says nothing before the other has said everything and closed its side."""
    pauses: tuple[tuple[int, Ns], ...] = ()
    """Having heard so many octets, reads nothing for so long."""
    urgent: float | None = None
    """Where the octet is that is sent as urgent data, from 0 to 1."""
    inline: bool = False
    """Finds the peer's in the stream (SO_OOBINLINE)."""
    linger: Ns | None = None
    """How long it waits for the last acknowledgement before it leaves the rest to its host; None: as long as it takes.
    """


@frozen(kw_only=True)
class Scenario:
    """What happens to whom. Two scenarios that are equal play out alike, octet for octet."""

    seed: int
    outbound: Faults = NO_FAULTS
    inbound: Faults = NO_FAULTS
    weather: Weather = ALL_IS_WELL
    outages: tuple[Outage, ...] = ()
    version: int = 4
    medium: Medium = Medium.IP
    mtu: int = 1500
    offload: bool = False
    """Hosts hand over super-segments with their checksums open, and the bad network cuts and completes them."""
    iss: int | None = None
    """Where both ends begin to count; None: as the stack likes."""
    client: TCPConfig = field(factory=TCPConfig)
    server: TCPConfig = field(factory=TCPConfig)
    memory_limit: int = 256 << 20
    half_open_limit: int = 256
    connections: int = 1
    upward: int = 10_000
    """Octets that each client sends, `downward` those that it is sent."""
    downward: int = 10_000
    opening: Opening = PLAIN
    talking: tuple[Manners, Manners] = (Manners(), Manners())
    """The client's and the server's."""
    ending: Ending = ORDERLY

    @classmethod
    def draw(cls, seed: int) -> "Scenario":
        """One of all the kinds of trouble: loss up to a fifth of all frames, and so on."""
        rng = Random(f"scenario {seed}")
        medium = rng.choice((Medium.IP, Medium.ETHERNET))
        version = 4 if medium is Medium.ETHERNET else rng.choice((4, 6))
        scenario = cls(
            seed=seed,
            outbound=_faults(rng),
            inbound=_faults(rng),
            weather=_weather(rng, version),
            outages=tuple(_outage(rng) for _ in range(rng.choice((0, 0, 1, 2)))),
            version=version,
            medium=medium,
            mtu=rng.choice((1280, 1500, 1500, 9000)),
            iss=rng.choice((None, None, 2**32 - 1 - rng.randrange(40_000))),
            client=_config(rng),
            server=_config(rng),
            memory_limit=rng.choice((128 << 10, 256 << 20, 256 << 20)),
            connections=rng.choice((1, 1, 1, 2, 3)),
            upward=rng.choice((0, 1, 1000, rng.randrange(20_000), rng.randrange(80_000))),
            downward=rng.choice((0, 1, 1000, rng.randrange(20_000), rng.randrange(80_000))),
            opening=rng.choice((PLAIN, PLAIN, PLAIN, FAST)),
            talking=(_manners(rng), _manners(rng)),
            ending=rng.choice((ORDERLY,) * 8 + (CLIENT_ABORTS, SERVER_CLOSES_EARLY, CLIENT_GIVES_UP)),
            offload=rng.random() < 0.5,
        )
        return _made_possible(scenario, rng)


def _made_possible(scenario: Scenario, rng: Random) -> Scenario:
    """Some things only happen together, or never."""
    client, server = scenario.talking
    if server.answers or scenario.ending == CLIENT_GIVES_UP:  # or nobody would begin
        client = evolve(client, answers=False)
    if scenario.memory_limit < 1 << 20 or any(pause > MINUTE for each in (client, server) for _, pause in each.pauses):
        # Short of memory, or before a window that stays closed, a host forgets whose user has left.
        client, server = evolve(client, linger=None), evolve(server, linger=None)
    scenario = evolve(scenario, talking=(client, server))
    if scenario.ending == CLIENT_GIVES_UP:
        start = rng.randrange(300) * MS
        impatient = evolve(scenario.client, user_timeout=5 * SECOND)
        return evolve(scenario, client=impatient, outages=((start, start + 100 * SECOND),), upward=80_000)
    if scenario.ending == ORDERLY and scenario.medium is Medium.IP and rng.random() < 0.1:
        if rng.random() < 0.5:
            return evolve(scenario, opening=SIMULTANEOUS, connections=1)
        # Who is let in by a cookie is known by the first segment that arrives: it must be the one that acknowledges.
        flood = evolve(scenario.weather, flood=Flood(40, 10 * MS, PORT))
        return evolve(
            scenario,
            weather=flood,
            half_open_limit=2,
            outbound=Faults(delay=scenario.outbound.delay, jitter=scenario.outbound.jitter),
            outages=(),
            opening=PLAIN,
        )
    return scenario


def _weather(rng: Random, version: int) -> Weather:
    narrowing = Narrowing(
        start=rng.choice((0, rng.randrange(500) * MS, rng.randrange(500) * MS)),
        mtu=rng.choice((576, 1006, 1400)) if version == 4 else rng.choice((1280, 1400)),
        silence=rng.choice((0, 0, 5 * SECOND)),
        tells=rng.random() < 0.8,
    )
    return Weather(
        narrowing=rng.choice((None, None, narrowing)),
        marks=rng.choice((0.0, 0.0, 0.05, 0.5)),
        lies=rng.choice((0.0, 0.0, 0.1)),
        grumbles=rng.choice((0.0, 0.0, 0.1)),
    )


def _manners(rng: Random) -> Manners:
    return Manners(
        answers=rng.random() < 0.25,
        pauses=rng.choice(((), (), tuple(_pause(rng) for _ in range(rng.randint(1, 3))))),
        urgent=rng.choice((None, None, rng.random())),
        inline=rng.random() < 0.5,
        linger=rng.choice((None, None, 0, 1 * SECOND)),
    )


def _pause(rng: Random) -> tuple[int, Ns]:
    return rng.choice((0, rng.randrange(60_000))), rng.choice((10 * MS, 1 * SECOND, 90 * SECOND))


def _faults(rng: Random) -> Faults:
    def sometimes(most: float) -> float:
        return rng.choice((0.0, rng.uniform(0, most), rng.uniform(0, most)))

    return Faults(
        loss=sometimes(0.2),
        duplicate=sometimes(0.2),
        reorder=sometimes(0.2),
        corrupt=sometimes(0.1),
        delay=rng.choice((0, 1, 20, 100)) * MS,
        jitter=rng.choice((0, 0, 1, 50)) * MS,
        rate=rng.choice((None, None, rng.randrange(20_000, 100_000), rng.randrange(100_000, 2_000_000))),
        queue=rng.choice((2, 10, 1000)),
        reorder_gap=rng.randint(1, 5),
        reorder_delay=rng.choice((1, 10, 200)) * MS,
    )


def _outage(rng: Random) -> Outage:
    start = rng.randrange(2000) * MS
    return start, start + rng.choice((100 * MS, 3 * SECOND, 40 * SECOND))


def _config(rng: Random) -> TCPConfig:
    return TCPConfig(
        congestion=rng.choice(("cubic", "cubic", "newreno")),
        timestamps=rng.random() < 0.7,
        sack=rng.random() < 0.8,
        loss_probe=rng.random() < 0.8,
        frto=rng.random() < 0.8,
        ecn=rng.random() < 0.5,
        reassembly_ranges=rng.choice((2, 1024, 1024)),
        scoreboard_ranges=rng.choice((2, 1024, 1024)),
        window_scaling=rng.random() < 0.8,
        nodelay=rng.random() < 0.5,
        receive_buffer=rng.choice((2048, 128 << 10, 128 << 10)),
        send_buffer=rng.choice((2048, 16 << 10, 16 << 10)),
        delayed_ack=rng.choice((0, 40 * MS, 40 * MS)),
        syn_retries=30,  # of a few thousand handshakes one would lose all of eight SYNs
        orphan_zero_window=600 * SECOND,  # an outage and a closed window together may take more than the usual minute
        keepalive=True,  # a reset may be lost
        keepalive_idle=rng.choice((2, 300)) * SECOND,
    )
