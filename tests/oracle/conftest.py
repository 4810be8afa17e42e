"""Other people's packet libraries, as oracles: what we build they read, what they build we read."""

import importlib
import os
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("oracle", deadline=None)
settings.load_profile("oracle")


def load(module: str) -> Any:
    """The module; without it the test is skipped, or fails where PYSTACK_REQUIRE_ALL=1 says that it must be there."""
    if os.environ.get("PYSTACK_REQUIRE_ALL") == "1":
        return importlib.import_module(module)
    return pytest.importorskip(module)


@pytest.fixture(scope="session")
def scapy() -> SimpleNamespace:
    """The layers of scapy, by their names."""
    modules = [load(f"scapy.layers.{name}") for name in ("l2", "inet", "inet6")] + [
        load("scapy.utils"),
        load("scapy.packet"),
    ]
    return SimpleNamespace(**{name: value for module in modules for name, value in vars(module).items()})


@pytest.fixture(scope="session")
def dpkt() -> Any:
    return load("dpkt")
