"""How a script is run: what the tool takes on its command line, or a script carries in its first lines."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attrs import evolve, field, frozen
from attrs.validators import in_

from pystack.stack.config import StackConfig
from pystack.testing.packetdrill.script import Option, ScriptError
from pystack.units import MS, US, Ns

__all__ = ["IP_VERSIONS", "Settings", "apply_options"]

IP_VERSIONS = ("ipv4", "ipv6", "ipv4_mapped_ipv6")

_DEFAULTS = {
    4: ("192.168.0.1", "192.0.2.1", "192.168.0.2", 16),
    6: ("fd3d:a0b:17d6::1", "fd3d:fa7b:d17d::1", "fd3d:a0b:17d6:8888::1", 48),
}
"""Local, remote, gateway, prefix length."""


@frozen(kw_only=True)
class Settings:
    """Addresses are empty for the version's own. Durations in nanoseconds."""

    ip_version: str = field(default="ipv4", validator=in_(IP_VERSIONS))
    local_ip: str = ""
    remote_ip: str = ""
    gateway_ip: str = ""
    netmask_ip: str = ""
    bind_port: int = 8080
    connect_port: int = 8080
    mtu: int = 1500

    tolerance: Ns = 4 * MS
    """How far an event may be from its time ..."""
    tolerance_percent: float = 12.5
    """... or by so much of the time since the event before, if that is more."""
    timestamp_tick: Ns = 0
    """0: TSval is not compared. Else it is, in counts of the stack's own clock, one more or less."""

    strict: bool = True
    """Compare what the tool compares. False: PSH and the order of the options, NOPs included, do not matter."""
    complete: bool = False
    """A packet that the stack has sent and the script has not expected, by the script's end, is a failure too."""
    seed: int = 1
    config: StackConfig = field(factory=StackConfig)
    """What the script's sysctl commands start from."""
    folder: Path | None = None
    """Where the files are that the script's commands name."""
    fast_open_cookie: str = ""
    """What a script writes, in hex, for the cookie that the stack gives its peer: `-D TFO_COOKIE=...`, as the tool's
    scripts have it for the kernel's key."""
    defines: Mapping[str, str] = field(factory=dict, converter=MappingProxyType)
    """Names that the script finds defined."""

    @property
    def version(self) -> int:
        """Of the packets: 4 or 6."""
        return 6 if self.ip_version == "ipv6" else 4

    @property
    def local(self) -> IPv4Address | IPv6Address:
        return ip_address(self.local_ip or _DEFAULTS[self.version][0])

    @property
    def remote(self) -> IPv4Address | IPv6Address:
        return ip_address(self.remote_ip or _DEFAULTS[self.version][1])

    @property
    def gateway(self) -> str:
        return self.gateway_ip or _DEFAULTS[self.version][2]

    @property
    def interface(self) -> str:
        """The stack's address with its prefix."""
        prefix = _DEFAULTS[self.version][3]
        if self.netmask_ip:
            prefix = ip_network(f"{self.local}/{self.netmask_ip}", strict=False).prefixlen
        return f"{self.local}/{prefix}"


_ADDRESSES = ("local_ip", "remote_ip", "gateway_ip", "netmask_ip")
_NUMBERS = ("bind_port", "connect_port", "mtu")
_FIELDS = {"tolerance_usecs": "tolerance", "tcp_ts_tick_usecs": "timestamp_tick"}
"""Options that have another name here; both are counted in microseconds."""
_PER_CENT = "tolerance_percent"
_WITHOUT_EFFECT = (
    *("mss", "speed", "D", "define", "wire_client", "wire_server", "verbose", "v", "non_fatal", "persistent_tun_dev"),
    *("init_scripts", "send_omit_free", "debug", "dry_run"),
)
"""Known, and nothing to do: frames on the script's link are never larger than a segment, and its speed has no limit."""


def apply_options(settings: Settings, options: Sequence[Option], name: str) -> tuple[Settings, list[str]]:
    """`settings` as the script wants them, and a line for each option that was skipped. Raises `ScriptError`."""
    changes: dict[str, Any] = {}
    skipped = []
    for option in options:
        try:
            value = _value(option)
        except ValueError:
            raise ScriptError(name, option.line, f"--{option.name} cannot be {option.value!r}") from None
        if option.name == "D" and option.value.startswith("TFO_COOKIE="):
            changes["fast_open_cookie"] = option.value.partition("=")[2]
        elif value is not None:
            changes[_FIELDS.get(option.name, option.name)] = value
        elif option.name not in _WITHOUT_EFFECT:
            skipped.append(f"line {option.line}: option --{option.name}")
    return evolve(settings, **changes), skipped


def _value(option: Option) -> str | float | None:
    """None: the option sets nothing. Raises `ValueError`."""
    if option.name == "ip_version":
        version = option.value.replace("-", "_")
        if version not in IP_VERSIONS:
            raise ValueError(option.value)
        return version
    if option.name in _ADDRESSES:
        ip_address(option.value)
    if option.name in _FIELDS:
        return int(option.value, 0) * US
    if option.name == _PER_CENT:
        return float(option.value)
    if option.name in _NUMBERS:
        return int(option.value, 0)
    return option.value if option.name in _ADDRESSES else None
