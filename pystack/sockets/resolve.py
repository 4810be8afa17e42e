"""Names to addresses without asking a server: literals, the host's own names, `localhost`, the system's hosts file."""

import os
import socket
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final, TypeAlias

__all__ = ["IPAddress", "hosts_file", "resolve"]

IPAddress: TypeAlias = IPv4Address | IPv6Address

SPECIAL: Final = {"": ("0.0.0.0", "::"), "<broadcast>": ("255.255.255.255",)}
"""What the standard library's sockets understand by these."""

ADDRESS_FAMILY: Final = getattr(socket, "EAI_ADDRFAMILY", socket.EAI_FAMILY)

LOCALHOST: Final = ("127.0.0.1", "::1")


def resolve(
    host: str | bytes | IPAddress,
    names: Mapping[str, str | IPAddress] | None = None,
    *,
    versions: tuple[int, ...] = (4,),
) -> list[IPAddress]:
    """The addresses of `host`, at least one, best first. `names` comes before the system's hosts file.

    `versions`: the IP versions that the caller can use. Raises `socket.gaierror`: EAI_NONAME for a name that nobody
    here knows, EAI_ADDRFAMILY for one that has only addresses of other versions.
    """
    found = list(_candidates(host, names or {}))
    usable = [address for address in found if address.version in versions]
    if usable:
        return usable
    if found:
        wanted = " or ".join(f"IPv{version}" for version in versions)
        raise socket.gaierror(ADDRESS_FAMILY, f"{host!r} is {found[0]}: give an {wanted} address instead")
    raise socket.gaierror(
        socket.EAI_NONAME,
        f"{host!r} is unknown: give an IP address, or name it in {hosts_file()} or in the Host's hosts=",
    )


def hosts_file() -> Path:
    if os.name == "nt":
        return Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "drivers", "etc", "hosts")
    return Path("/etc/hosts")


def _candidates(host: str | bytes | IPAddress, names: Mapping[str, str | IPAddress]) -> Iterator[IPAddress]:
    if isinstance(host, IPv4Address | IPv6Address):
        yield host
        return
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if text in SPECIAL:
        yield from map(ip_address, SPECIAL[text])
        return
    try:
        yield ip_address(text)
        return
    except ValueError:
        pass
    name = _canonical(text)
    own = [ip_address(address) for known, address in names.items() if _canonical(known) == name]
    if own:
        yield from own
    elif name == "localhost" or name.endswith(".localhost"):  # RFC 6761, section 6.3
        yield from map(ip_address, LOCALHOST)
    else:
        yield from _from_hosts_file(name)


def _from_hosts_file(name: str) -> Iterator[IPAddress]:
    """An unreadable file knows nobody, and a line that is no address is passed over, as the system's resolver does."""
    try:
        lines = hosts_file().read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        address, *known = line.partition("#")[0].split() or [""]
        if name in map(_canonical, known):
            try:
                yield ip_address(address)
            except ValueError:
                continue


def _canonical(name: str) -> str:
    return name.removesuffix(".").casefold()
