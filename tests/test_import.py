"""What importing pystack costs and offers."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import pystack

MODULES = sorted(module.name for module in pkgutil.walk_packages(pystack.__path__, "pystack."))

PUBLIC = sorted(
    {"Stack", "Host", "Socket", "TCPConnection", "TCPConfig", "errors", "wire"}
    | {"MemoryLink", "MemoryHub", "TapLink", "TunLink", "PacketLink", "RawIPLink", "FaultLink", "Faults"}
    | {"CaptureLink", "PcapngSink", "Medium", "LinkCapabilities"}
)
"""The names that documentation and scripts rely on."""


def modules_after(statement: str) -> set[str]:
    """What a new interpreter has loaded after `statement`."""
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_import_pystack_loads_no_layer() -> None:
    loaded = modules_after("import pystack")
    assert {name for name in loaded if name.startswith("pystack.")} <= {"pystack.errors", "pystack.units"}
    assert not loaded & {"asyncio", "attr", "ctypes", "ipaddress", "logging", "selectors", "socket", "threading"}


def test_a_program_that_has_not_set_up_logging_is_told_nothing() -> None:
    script = "import pystack, logging; pystack.Stack; pystack.Host; logging.getLogger('pystack.arp').warning('x')"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stderr == ""


def test_import_wire_loads_only_errors_beside() -> None:
    loaded = {name for name in modules_after("import pystack.wire") if name.split(".")[0] == "pystack"}
    beside = {name for name in loaded if not name.startswith("pystack.wire")}
    assert beside <= {"pystack", "pystack.errors"}


def test_import_wire_needs_no_operating_system() -> None:
    assert not modules_after("import pystack.wire") & {"asyncio", "fcntl", "selectors", "socket"}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_resolves(name: str) -> None:
    assert name in pystack.__all__
    assert getattr(pystack, name) is getattr(pystack, name)
    assert name in dir(pystack)


def test_every_public_name_resolves() -> None:
    assert sorted(pystack.__all__) == sorted(set(pystack.__all__))
    for name in pystack.__all__:
        assert getattr(pystack, name) is not None


@pytest.mark.parametrize("name", ["Hots", "_Host"])
def test_unknown_name_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(pystack, name)
    with pytest.raises(ImportError):
        exec(f"from pystack import {name}")


@pytest.mark.parametrize("name", MODULES)
def test_every_name_in_all_exists(name: str) -> None:
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", [])
    assert [each for each in exported if not hasattr(module, each)] == []
    assert len(exported) == len(set(exported))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_imports_by_itself(name: str) -> None:
    """No import cycle hides behind the order in which others were imported."""
    subprocess.run([sys.executable, "-W", "error", "-c", f"import {name}"], check=True, capture_output=True)
