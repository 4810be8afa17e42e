"""A pytest plugin that collects `.pkt` files: `pytest -p pystack.testing.pytest_packetdrill`.

Each script is run over IPv4 and IPv6, `script.pkt::ipv4` and `script.pkt::ipv6`, unless it says `--ip_version` itself.
A `conftest.py` that wants other settings for its folder returns a `ScriptFile` of its own from `pytest_collect_file`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from typing_extensions import override

from pystack.testing.packetdrill import (
    ScriptError,
    ScriptFailure,
    ScriptUnsupported,
    Settings,
    parse_script,
    run_file,
    supports,
)

__all__ = ["ScriptFile", "ScriptItem", "pytest_addoption", "pytest_collect_file"]

SUFFIX = ".pkt"
IPV6_HEADER_EXCESS = 20
"""Octets by which an IPv6 header is longer: with so much more MTU segment sizes are those of IPv4."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("packetdrill", "packetdrill scripts")
    group.addoption(
        "--packetdrill-lenient",
        action="store_true",
        help="let PSH and the order of TCP options differ from the script",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "ScriptFile | None":
    if file_path.suffix != SUFFIX:
        return None
    lenient = parent.config.getoption("--packetdrill-lenient", default=False)
    return ScriptFile.from_parent(parent, path=file_path, settings=Settings(strict=not lenient))


class ScriptFile(pytest.File):
    """A script; `settings` but for the IP version."""

    def __init__(self, *, settings: Settings | None = None, skips: bool = True, **kwargs: Any) -> None:
        """`skips`: a script that needs what is not there is skipped, and says what that is; else it fails."""
        super().__init__(**kwargs)
        self.settings = settings or Settings()
        self.skips = skips

    @override
    def collect(self) -> "Iterator[ScriptItem]":
        for version in self._versions():
            mtu = self.settings.mtu + (IPV6_HEADER_EXCESS if version == "ipv6" else 0)
            settings = evolve(self.settings, ip_version=version, mtu=mtu)
            yield ScriptItem.from_parent(self, name=version, settings=settings, skips=self.skips)

    def _versions(self) -> tuple[str, ...]:
        try:
            script = parse_script(self.path.read_text(encoding="utf-8"), self.path.name, self.settings.defines)
        except (ScriptError, ScriptUnsupported):
            return ("ipv4",)  # running it shows the error
        fixed = [option.value.replace("-", "_") for option in script.options if option.name == "ip_version"]
        return tuple(fixed) or tuple(version for version in ("ipv4", "ipv6") if supports(version))


class ScriptItem(pytest.Item):
    """A script over one version of IP."""

    def __init__(self, *, settings: Settings, skips: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = settings
        self.skips = skips

    @override
    def runtest(self) -> None:
        try:
            report = run_file(self.path, self.settings)
        except ScriptUnsupported as error:
            if self.skips:
                pytest.skip(str(error))
            raise
        if report.skipped:
            self.add_report_section("call", "skipped", "\n".join(report.skipped))

    @override
    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, ScriptError | ScriptFailure | ScriptUnsupported):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    @override
    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"{self.path.name} over {self.name}"
