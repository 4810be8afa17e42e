"""The names that scripts use for ICMP types and codes."""

from collections.abc import Mapping

from pystack.wire.icmpv4 import ICMPv4Type, RedirectCode, TimeExceededCode, UnreachableCode
from pystack.wire.icmpv6 import ICMPv6Type, ICMPv6UnreachableCode

__all__ = ["CODES", "TYPES"]

TYPES: Mapping[int, Mapping[str, int]] = {
    4: {
        "echo_reply": ICMPv4Type.ECHO_REPLY,
        "unreachable": ICMPv4Type.UNREACHABLE,
        "source_quench": 4,
        "redirect": ICMPv4Type.REDIRECT,
        "echo_request": ICMPv4Type.ECHO_REQUEST,
        "time_exceeded": ICMPv4Type.TIME_EXCEEDED,
        "parameter_problem": ICMPv4Type.PARAMETER_PROBLEM,
    },
    6: {
        "unreachable": ICMPv6Type.UNREACHABLE,
        "packet_too_big": ICMPv6Type.PACKET_TOO_BIG,
        "time_exceeded": ICMPv6Type.TIME_EXCEEDED,
        "parameter_problem": ICMPv6Type.PARAMETER_PROBLEM,
        "echo_request": ICMPv6Type.ECHO_REQUEST,
        "echo_reply": ICMPv6Type.ECHO_REPLY,
    },
}
"""By IP version."""

CODES: Mapping[tuple[int, int], Mapping[str, int]] = {
    (4, ICMPv4Type.UNREACHABLE): {
        "net_unreachable": UnreachableCode.NETWORK,
        "host_unreachable": UnreachableCode.HOST,
        "protocol_unreachable": UnreachableCode.PROTOCOL,
        "port_unreachable": UnreachableCode.PORT,
        "frag_needed": UnreachableCode.FRAGMENTATION_NEEDED,
        "source_route_failed": UnreachableCode.SOURCE_ROUTE_FAILED,
        "net_unknown": UnreachableCode.NETWORK_UNKNOWN,
        "host_unknown": UnreachableCode.HOST_UNKNOWN,
        "source_host_isolated": UnreachableCode.SOURCE_HOST_ISOLATED,
        "net_prohibited": UnreachableCode.NETWORK_PROHIBITED,
        "host_prohibited": UnreachableCode.HOST_PROHIBITED,
        "net_unreachable_for_tos": UnreachableCode.NETWORK_TOS,
        "host_unreachable_for_tos": UnreachableCode.HOST_TOS,
        "packet_filtered": UnreachableCode.COMMUNICATION_PROHIBITED,
        "precedence_violation": UnreachableCode.HOST_PRECEDENCE_VIOLATION,
        "precedence_cutoff": UnreachableCode.PRECEDENCE_CUTOFF,
    },
    (4, ICMPv4Type.REDIRECT): {
        "net": RedirectCode.NETWORK,
        "host": RedirectCode.HOST,
        "net_for_tos": RedirectCode.TOS_NETWORK,
        "host_for_tos": RedirectCode.TOS_HOST,
    },
    (4, ICMPv4Type.TIME_EXCEEDED): {
        "ttl_exceeded": TimeExceededCode.IN_TRANSIT,
        "frag_reassembly_time_exceeded": TimeExceededCode.REASSEMBLY,
    },
    (6, ICMPv6Type.UNREACHABLE): {
        "noroute": ICMPv6UnreachableCode.NO_ROUTE,
        "admin_prohibited": ICMPv6UnreachableCode.PROHIBITED,
        "not_neighbour": ICMPv6UnreachableCode.BEYOND_SCOPE,
        "addr_unreachable": ICMPv6UnreachableCode.ADDRESS,
        "port_unreachable": ICMPv6UnreachableCode.PORT,
    },
    (6, ICMPv6Type.TIME_EXCEEDED): {
        "exceeded_hop_limit": 0,
        "exceeded_frag_time": 1,
    },
    (6, ICMPv6Type.PARAMETER_PROBLEM): {
        "header_field": 0,
        "unknown_next_header": 1,
        "unknown_option": 2,
    },
}
"""By IP version and type."""
