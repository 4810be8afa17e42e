"""The layers' imports go one way, and the core reads no clock, starts no thread and calls no operating system."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pystack"

LAYERS = (
    {"errors", "units"},
    {"wire"},
    {"link"},
    {"net", "transport"},
    {"services"},
    {"stack"},
    {"sockets"},
    {"sim"},
    {"gateway"},
    {"capture"},
    {"apps"},
    {"testing"},
)
"""From the bottom: a part imports from itself and from the parts below it; parts on one level never meet."""

RANK = {part: rank for rank, level in enumerate(LAYERS) for part in level}

CORE = ("wire", "net", "transport", "services", "stack")
CORE_LINK_FILES = ("base.py", "memory.py", "normalise.py", "faults.py", "capture.py")

OUTSIDE_WORLD = (
    {"datetime", "time"}
    | {"_thread", "asyncio", "concurrent", "multiprocessing", "threading"}
    | {"random", "secrets", "uuid"}
    | {"ctypes", "fcntl", "os", "pathlib", "select", "selectors", "shutil", "signal", "subprocess", "tempfile"}
    | {"socket", "ssl"}
)
TYPES = {"random": {"Random"}, "socket": {"SocketKind"}, "threading": {"Lock"}}
"""What the core may take from there all the same, beside constants: the caller seeds a `Random`; a `Lock` guards a
queue that two hosts share and starts nothing."""

SOURCES = sorted(PACKAGE.rglob("*.py"))


def named(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported anywhere in `tree`: in functions and under TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def upward_imports(source: str, part: str, package: str) -> list[str]:
    """The imports of `source`, a file of `part`, that the layers forbid."""
    wrong = []
    for line, name in imports(ast.parse(source), package):
        root, _, rest = name.partition(".")
        if root != "pystack":
            continue
        target = rest.split(".")[0]
        if target != part and (target not in RANK or RANK[target] >= RANK[part]):
            wrong.append(f"line {line}: {name}")
    return wrong


def is_harmless(module: str, name: str) -> bool:
    return module in TYPES and (name in TYPES[module] or name.isupper())


def uses_of(module: str, tree: ast.AST) -> set[str]:
    """What `tree` takes from `module` by attribute. "" stands for the module itself, handed on as a whole."""
    taken: set[str] = set()
    seen: set[ast.AST] = set()
    for node in ast.walk(tree):
        match node:
            case (
                ast.Attribute(value=ast.Name(id=owner) as place, attr=name)
                | ast.Call(
                    func=ast.Name(id="getattr"), args=[ast.Name(id=owner) as place, ast.Constant(value=str(name)), *_]
                )
            ) if owner == module:
                taken.add(name)
                seen.add(place)
            case ast.Name(id=owner) if owner == module and node not in seen:
                taken.add("")
    return taken


def outside_imports(source: str, package: str) -> list[str]:
    """The imports of `source` that reach for a clock, a thread, randomness or the operating system."""
    tree = ast.parse(source)
    wrong = []
    for line, name in imports(tree, package):
        module, _, attribute = name.partition(".")
        if module not in OUTSIDE_WORLD:
            continue
        used = {attribute} if attribute else uses_of(module, tree)
        if not used or not all(is_harmless(module, each) for each in used):
            wrong.append(f"line {line}: {name}")
    return wrong


def unseeded_randomness(source: str) -> list[int]:
    """Lines that call `Random()` without a seed, which takes one from the operating system."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Random"
        and not (node.args or node.keywords)
    ]


def package_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).parent.parts)


def is_core(path: Path) -> bool:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] in CORE or (parts[0] == "link" and parts[-1] in CORE_LINK_FILES)


@pytest.mark.parametrize("path", [p for p in SOURCES if p != PACKAGE / "__init__.py"], ids=named)
def test_imports_only_from_below(path: Path) -> None:
    assert upward_imports(path.read_text(encoding="utf-8"), part_of(path), package_of(path)) == []


@pytest.mark.parametrize("path", [p for p in SOURCES if is_core(p)], ids=named)
def test_core_imports_no_outside_world(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert outside_imports(source, package_of(path)) == []
    assert unseeded_randomness(source) == []


def test_every_folder_has_its_level() -> None:
    assert {part_of(path) for path in SOURCES} - {"__init__"} <= set(RANK)


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("import pystack.stack", "link"),
        ("from pystack.transport import udp", "net"),
        ("from pystack.net import network", "transport"),
        ("def f():\n    from pystack.net import network", "wire"),
        ("if TYPE_CHECKING:\n    from pystack.stack import Stack", "net"),
        ("from pystack import Host", "net"),
        ("import pystack", "sockets"),
        ("from .. import transport", "net"),
        ("from ..transport import udp", "net"),
        ("from pystack.unheard_of import thing", "testing"),
    ],
)
def test_the_rule_sees_each_kind_of_upward_import(source: str, part: str) -> None:
    assert upward_imports(source, part, f"pystack.{part}") != []


@pytest.mark.parametrize(
    "source",
    [
        "from pystack.wire import tcp",
        "from pystack import errors, wire",
        "from pystack.net.path import Path",
        "from .path import Path",
        "from . import path",
        "from ..wire import tcp",
        "import struct",
    ],
)
def test_the_rule_lets_downward_imports_pass(source: str) -> None:
    assert upward_imports(source, "net", "pystack.net") == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from time import monotonic_ns",
        "import random\nrandom.random()",
        "import os.path",
        "from socket import *",
        "import socket\nsocket.SOL_SOCKET, socket.socket()",
        "import socket\nhand_on(socket)",
        "import socket\ngetattr(socket, 'create_connection')",
    ],
)
def test_the_rule_sees_the_outside_world(source: str) -> None:
    assert outside_imports(source, "pystack.net") != []


@pytest.mark.parametrize(
    "source",
    [
        "from random import Random",
        "from socket import SOL_SOCKET, SocketKind",
        "import socket\nsocket.SOL_SOCKET, getattr(socket, 'TCP_MAXSEG', 2)",
        "import errno",
    ],
)
def test_types_and_numbers_are_not_the_outside_world(source: str) -> None:
    assert outside_imports(source, "pystack.net") == []


def test_the_rule_sees_a_random_without_a_seed() -> None:
    assert unseeded_randomness("Random(7)\nRandom()") == [2]
