"""Numbers that say what comes next inside an IP packet."""

from enum import IntEnum

__all__ = ["IPProtocol", "protocol_name"]


class IPProtocol(IntEnum):
    """IP protocol numbers (IANA "Protocol Numbers") that this library or its error messages speak of."""

    HOPOPT = 0
    ICMP = 1
    IGMP = 2
    IPV4 = 4
    TCP = 6
    UDP = 17
    IPV6 = 41
    IPV6_ROUTE = 43
    IPV6_FRAG = 44
    ESP = 50
    AH = 51
    ICMPV6 = 58
    IPV6_NONXT = 59
    IPV6_OPTS = 60
    SCTP = 132


_NAMES = {
    IPProtocol.IPV4: "IPv4",
    IPProtocol.IPV6: "IPv6",
    IPProtocol.ICMPV6: "ICMPv6",
    IPProtocol.IPV6_ROUTE: "IPv6-Route",
    IPProtocol.IPV6_FRAG: "IPv6-Frag",
    IPProtocol.IPV6_NONXT: "IPv6-NoNxt",
    IPProtocol.IPV6_OPTS: "IPv6-Opts",
}


def protocol_name(protocol: int) -> str:
    """The name as IANA writes it, or the number."""
    try:
        known = IPProtocol(protocol)
    except ValueError:
        return str(protocol)
    return _NAMES.get(known, known.name)
