"""What can be set about a host's internet layer, and how much each of its tables may hold."""

from attrs import frozen

from pystack.units import SECOND, Ns

__all__ = ["NetConfig"]


@frozen(kw_only=True)
class NetConfig:
    """Times are nanoseconds. The defaults are those of the RFCs named, or Linux's where they name none."""

    neighbour_limit: int = 1024
    """Neighbours per interface; those not used for longest go first."""
    unresolved_limit: int = 256
    """Of these, so many whose link address is being asked for: strangers who make us answer to invented addresses
    cannot push out the neighbours that exist."""
    waiting_limit: int = 16
    """Packets kept per neighbour while its link address is asked for; the oldest goes first (RFC 1122, 2.3.2.2)."""
    reachable_time: Ns = 30 * SECOND
    """How long a confirmation counts, on average: each is drawn from half to one and a half of it (RFC 4861, 6.3.2)."""
    first_probe_delay: Ns = 5 * SECOND
    """How long a used but unconfirmed neighbour has for a sign of life (RFC 4861, 10: DELAY_FIRST_PROBE_TIME)."""
    solicit_interval: Ns = 1 * SECOND
    """Between questions to one neighbour (RFC 1122, 2.3.2.1: at most one a second)."""
    solicit_count: int = 3
    """Questions without an answer before a neighbour counts as gone."""
    neighbour_lock: Ns = 1 * SECOND
    """A neighbour's link address, once set, does not change for so long: the first of competing answers wins."""
    defend_interval: Ns = 10 * SECOND
    """Between two defences of one address of ours (RFC 5227, 1.1: DEFEND_INTERVAL)."""

    transmit_queue: int = 512
    """Frames an interface holds for its link."""
    path_limit: int = 1024
    """Destinations whose way is remembered."""
    path_mtu_limit: int = 1024
    """Destinations whose path MTU is known to be lower than the link's."""
    path_mtu_age: Ns = 600 * SECOND
    """After so long a lowered path MTU is forgotten, so that an increase is found (RFC 1191, 6.3)."""

    accept_source_routes: bool = False
    """Take datagrams that come by a source route, and answer by the same way (RFC 1122, 3.2.1.8). Whoever chooses the
    way can read what goes over it and speak in another's name, so that RFC 7126, 4.3 and 4.4, wants them dropped."""

    icmp_error_rate: int = 1000
    """ICMP errors a second, all destinations together (RFC 1812, 4.3.2.8)."""
    icmp_error_burst: int = 50
    echo_reply_rate: int = 20_000
    """Echo replies a second, all destinations together."""
    echo_reply_burst: int = 2_000
