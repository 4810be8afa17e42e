"""The shell commands of a script: which settings they make, and what else they would do. Nothing is executed."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from attrs import define

__all__ = ["Assignment", "read_commands"]

_REMARK = re.compile(r"(?:^|(?<=\s))#[^\n]*")
_TOKEN = re.compile(
    r"""
    (?P<blank> [ \t\r]+ | \\\n)
  | (?P<end> \n | ; | && | \|\|? | &(?!>))
  | (?P<redirect> (?:\d*|&)[<>]{1,2}&?)
  | (?P<word> (?: [^\s;&|<>"'\\] | \\. | "(?:[^"\\]|\\.)*" | '[^']*')+)
    """,
    re.VERBOSE | re.DOTALL,
)
_QUOTING = re.compile(r"""\\(.)|"((?:[^"\\]|\\.)*)"|'([^']*)'""", re.DOTALL)
_SYSTEM = "/proc/sys/"
_SHELLS = ("sh", "bash", "dash", "source", ".")
_ROUTE_SETTINGS = frozenset(
    {
        *("advmss", "congctl", "cwnd", "features", "initcwnd", "initrwnd", "mtu", "quickack", "reordering"),
        *("rto_min", "rtt", "ssthresh", "window"),
    }
)
"""What `ip route` says of connections."""
_DEEPEST = 4
"""Files that name files that name files."""

Assignment: TypeAlias = tuple[str, str]
"""Name and value of a setting."""


@define
class _Command:
    words: list[str]
    target: str = ""
    """Where its output goes."""

    def __str__(self) -> str:
        return " ".join([*self.words, *(("> " + self.target,) if self.target else ())])


def read_commands(text: str, folder: Path | None = None) -> list[Assignment | str]:
    """What the commands in `text` set, in their order, and between that the text of those that set nothing. Shell
    scripts that they run are read too, if `folder` has them."""
    return list(_read(text, folder, 0))


def _read(text: str, folder: Path | None, depth: int) -> Iterator[Assignment | str]:
    commands = _split(text)
    if commands is None:
        yield text.strip()
        return
    for command in commands:
        assignments = _assignments(command)
        script = None if assignments or folder is None or depth == _DEEPEST else _script(command, folder)
        if assignments:
            yield from assignments
        elif script is not None:
            yield from _read(script, folder, depth + 1)
        elif command.words[0] not in ("set", "exit", "true", ":"):
            yield str(command)


def _split(text: str) -> list[_Command] | None:
    """None: this is not shell as it is understood here."""
    text = _REMARK.sub("", text)
    commands: list[_Command] = []
    current = _Command([])
    redirected = False
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            return None
        at = token.end()
        if token["redirect"] is not None:
            redirected = True
        elif token["word"] is not None:
            word = _QUOTING.sub(_unquoted, token["word"])
            if not redirected:
                current.words.append(word)
            elif word.startswith(_SYSTEM):
                current.target = word
            redirected = False
        elif token["end"] is not None:
            commands.append(current)
            current = _Command([])
    return [command for command in [*commands, current] if command.words]


def _unquoted(match: re.Match[str]) -> str:
    bare, double, single = match.groups()
    return bare or (single if double is None else re.sub(r"\\([\"\\$`])", r"\1", double))


def _assignments(command: _Command) -> list[Assignment]:
    name, *arguments = command.words
    if name == "echo" and command.target:
        value = " ".join(each for each in arguments if not re.fullmatch("-[neE]+", each))
        return [(_setting(command.target), value.strip())]
    if Path(name).name == "sysctl":
        return list(_pairs(_joined(arguments), ""))
    if Path(name).name == "ip" and "route" in arguments:
        return [(f"route {key}", value) for key, value in pairwise(arguments) if key in _ROUTE_SETTINGS]
    return list(_pairs(arguments, _SYSTEM))


def _joined(words: Sequence[str]) -> Iterator[str]:
    """Blanks around `=` do no harm."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if rest and rest[0].startswith("=") and "=" not in word:
            word += rest.pop(0)
        if rest and word.endswith("="):
            word += rest.pop(0)
        yield word


def _pairs(words: Sequence[str] | Iterator[str], prefix: str) -> Iterator[Assignment]:
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name.startswith(prefix) and not name.startswith("-"):
            yield _setting(name), value.strip()


def _setting(name: str) -> str:
    """A path below /proc/sys is a name as well."""
    return name.removeprefix(_SYSTEM).replace("/", ".")


def _script(command: _Command, folder: Path) -> str | None:
    """The text of the shell script that `command` runs, if it is one and lies beside the script or near it."""
    first, *others = command.words
    name = others[0] if first in _SHELLS and others else first
    path = folder / name
    if Path(name).is_absolute() or not path.is_file() or (name is first and "/" not in name):
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    return text if path.suffix == ".sh" or re.match(r"#!.*\b(ba|da)?sh\b", text) else None
