"""The names of C that scripts use in calls, by the numbers of this platform where it has them, else by Linux's."""

import errno
import select
import socket
from collections.abc import Mapping
from typing import Final

__all__ = ["CONSTANTS", "O_NONBLOCK", "O_RDWR", "SHUTDOWNS", "errno_name"]

O_RDWR: Final = 2
O_NONBLOCK: Final = 0o4000

_LINUX: Mapping[str, int] = {
    "AF_INET": 2,
    "AF_INET6": 10,
    "PF_INET": 2,
    "PF_INET6": 10,
    "SOCK_STREAM": 1,
    "SOCK_DGRAM": 2,
    "SOCK_NONBLOCK": O_NONBLOCK,
    "SOCK_CLOEXEC": 0o2000000,
    "IPPROTO_IP": 0,
    "IPPROTO_TCP": 6,
    "IPPROTO_UDP": 17,
    "IPPROTO_IPV6": 41,
    "SOL_SOCKET": 1,
    "SOL_IP": 0,
    "SOL_TCP": 6,
    "SOL_UDP": 17,
    "SOL_IPV6": 41,
    "INADDR_ANY": 0,
    "SO_REUSEADDR": 2,
    "SO_TYPE": 3,
    "SO_ERROR": 4,
    "SO_BROADCAST": 6,
    "SO_SNDBUF": 7,
    "SO_RCVBUF": 8,
    "SO_KEEPALIVE": 9,
    "SO_OOBINLINE": 10,
    "SO_PRIORITY": 12,
    "SO_LINGER": 13,
    "SO_REUSEPORT": 15,
    "SO_RCVLOWAT": 18,
    "SO_SNDLOWAT": 19,
    "SO_RCVTIMEO": 20,
    "SO_SNDTIMEO": 21,
    "SO_TIMESTAMP": 29,
    "SO_ACCEPTCONN": 30,
    "SO_PROTOCOL": 38,
    "SO_DOMAIN": 39,
    "SO_BUSY_POLL": 46,
    "SO_MAX_PACING_RATE": 47,
    "SO_INCOMING_CPU": 49,
    "SO_ZEROCOPY": 60,
    "IP_TOS": 1,
    "IP_TTL": 2,
    "IP_OPTIONS": 4,
    "IP_MTU_DISCOVER": 10,
    "IP_MTU": 14,
    "IPV6_UNICAST_HOPS": 16,
    "IPV6_V6ONLY": 26,
    "IPV6_TCLASS": 67,
    "TCP_NODELAY": 1,
    "TCP_MAXSEG": 2,
    "TCP_CORK": 3,
    "TCP_KEEPIDLE": 4,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 6,
    "TCP_SYNCNT": 7,
    "TCP_LINGER2": 8,
    "TCP_DEFER_ACCEPT": 9,
    "TCP_WINDOW_CLAMP": 10,
    "TCP_INFO": 11,
    "TCP_QUICKACK": 12,
    "TCP_CONGESTION": 13,
    "TCP_USER_TIMEOUT": 18,
    "TCP_FASTOPEN": 23,
    "TCP_NOTSENT_LOWAT": 25,
    "TCP_SAVE_SYN": 27,
    "TCP_FASTOPEN_CONNECT": 30,
    "TCP_FASTOPEN_KEY": 33,
    "TCP_FASTOPEN_NO_COOKIE": 34,
    "TCP_INQ": 36,
    "TCP_TX_DELAY": 37,
    "MSG_OOB": 0x1,
    "MSG_PEEK": 0x2,
    "MSG_DONTROUTE": 0x4,
    "MSG_CTRUNC": 0x8,
    "MSG_TRUNC": 0x20,
    "MSG_DONTWAIT": 0x40,
    "MSG_EOR": 0x80,
    "MSG_WAITALL": 0x100,
    "MSG_ERRQUEUE": 0x2000,
    "MSG_NOSIGNAL": 0x4000,
    "MSG_MORE": 0x8000,
    "MSG_ZEROCOPY": 0x4000000,
    "MSG_FASTOPEN": 0x20000000,
    "SHUT_RD": 0,
    "SHUT_WR": 1,
    "SHUT_RDWR": 2,
}
_SCRIPTS_OWN: Mapping[str, int] = {
    "F_GETFL": 3,
    "F_SETFL": 4,
    "F_GETFD": 1,
    "F_SETFD": 2,
    "FD_CLOEXEC": 1,
    "O_RDONLY": 0,
    "O_WRONLY": 1,
    "O_RDWR": O_RDWR,
    "O_NONBLOCK": O_NONBLOCK,
    "FIONREAD": 0x541B,
    "SIOCINQ": 0x541B,
    "SIOCOUTQ": 0x5411,
    "SIOCOUTQNSD": 0x894B,
    "SIOCATMARK": 0x8905,
    "FIONBIO": 0x5421,
    "POLLIN": getattr(select, "POLLIN", 1),
    "POLLPRI": getattr(select, "POLLPRI", 2),
    "POLLOUT": getattr(select, "POLLOUT", 4),
    "POLLERR": getattr(select, "POLLERR", 8),
    "POLLHUP": getattr(select, "POLLHUP", 16),
    "POLLNVAL": getattr(select, "POLLNVAL", 32),
    "POLLRDNORM": 0x40,
    "POLLRDBAND": 0x80,
    "POLLWRNORM": 0x100,
    "POLLWRBAND": 0x200,
    "POLLRDHUP": 0x2000,
    "IP_PMTUDISC_DONT": 0,
    "IP_PMTUDISC_WANT": 1,
    "IP_PMTUDISC_DO": 2,
    "IP_PMTUDISC_PROBE": 3,
    "NULL": 0,
}
"""What scripts mean by these does not depend on where they run: nothing of it reaches the platform."""

_NOT_SHARED = ("SOCK_NONBLOCK", "SOCK_CLOEXEC")

CONSTANTS: Mapping[str, int] = {
    **{name: value if name in _NOT_SHARED else int(getattr(socket, name, value)) for name, value in _LINUX.items()},
    **_SCRIPTS_OWN,
}

SHUTDOWNS: Mapping[int, int] = {0: socket.SHUT_RD, 1: socket.SHUT_WR, 2: socket.SHUT_RDWR}


def errno_name(code: int | None) -> str:
    if code == errno.EOPNOTSUPP:  # ENOTSUP is the same number on Linux
        return "EOPNOTSUPP"
    return errno.errorcode.get(code or 0, str(code))
