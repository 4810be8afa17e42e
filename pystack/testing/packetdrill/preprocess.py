"""Before parsing: comments go, directives choose lines, option lines are set aside, defined names are replaced. Every
line keeps its number."""

import re
from collections.abc import Mapping

from attrs import define, field, frozen

from pystack.testing.packetdrill.script import Option, ScriptError

__all__ = ["Prepared", "prepare"]

_TOKEN = re.compile(
    r"""
    (?P<remark> ^[ \t]*\#(?:\n|[ \t]+(?!(?:ifdef|ifndef|else|endif|define|undef)\b)[^\n]*))
  | (?P<directive> ^[ \t]*\#(?!!)[ \t]*(?P<word>\w+)(?P<rest>[^\n]*))
  | (?P<shebang> ^\#![^\n]*)
  | (?P<option> ^[ \t]*-(?=-\w|D)[^\n]*)
  | (?P<code> %\{ .*? \}%)
  | (?P<command> `[^`]*`)
  | (?P<string> "(?:[^"\\\n]|\\.)*")
  | (?P<comment> /\*.*?\*/ | //[^\n]*)
  | (?P<name> [A-Za-z_]\w*)
  | (?P<other> .)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_DROPPED = ("comment", "remark", "shebang")
_OPTION = re.compile(r'--(?P<name>\w+)(?:=(?P<value>"[^"]*"|\S*))?|-D[ \t]*(?P<macro>\S+)|(?P<loose>"[^"]*"|\S+)')


@frozen
class Prepared:
    text: str
    options: tuple[Option, ...]


@define
class _Conditions:
    """The nesting of `#ifdef`: for each level whether it was true, and whether lines count in it now."""

    levels: list[tuple[bool, bool]] = field(factory=list)

    @property
    def active(self) -> bool:
        return all(counts for _, counts in self.levels)


def prepare(source: str, name: str, defines: Mapping[str, str]) -> Prepared:
    """`defines`: names to replace from the start, as by `-D NAME=VALUE`. Raises `ScriptError`."""
    macros = dict(defines)
    conditions = _Conditions()
    options: list[Option] = []
    pieces: list[str] = []
    line = 1
    for token in _TOKEN.finditer(source):
        text = token.group()
        kept = ""
        if token["directive"] is not None:
            _obey(token["word"], token["rest"].split("//")[0].strip(), macros, conditions, name, line)
        elif not conditions.active or any(token[kind] is not None for kind in _DROPPED):
            pass
        elif token["option"] is not None:
            found = _options(text.split("//")[0], line)
            macros.update(_define(option.value) for option in found if option.name in ("D", "define"))
            options += found
        elif token["name"] is not None:
            kept = _expanded(text, macros)
        else:
            kept = text
        pieces.append(kept or ("\n" * text.count("\n") if "\n" in text else " "))
        line += text.count("\n")
    if conditions.levels:
        raise ScriptError(name, line, "#ifdef without #endif")
    return Prepared("".join(pieces), tuple(options))


def _obey(word: str, rest: str, macros: dict[str, str], conditions: _Conditions, name: str, line: int) -> None:
    match word:
        case "ifdef" | "ifndef":
            true = (rest in macros) == (word == "ifdef")
            conditions.levels.append((true, true))
        case "else" | "endif" if not conditions.levels:
            raise ScriptError(name, line, f"#{word} without #ifdef")
        case "else":
            true, _ = conditions.levels.pop()
            conditions.levels.append((true, not true))
        case "endif":
            conditions.levels.pop()
        case "define" if conditions.active:
            key, _, value = rest.partition(" ")
            macros[key] = value.strip()
        case "undef" if conditions.active:
            macros.pop(rest, None)
        case _ if conditions.active:
            raise ScriptError(name, line, f"#{word}: there are #define, #undef, #ifdef, #ifndef, #else and #endif")


def _expanded(word: str, macros: Mapping[str, str]) -> str:
    """A macro may stand for another one, but not for itself."""
    seen = set()
    while word in macros and word not in seen:
        seen.add(word)
        word = macros[word]
    return word


def _define(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def _options(text: str, line: int) -> list[Option]:
    """`--name=value`, `--name value`, `-D NAME=VALUE`, any number on a line."""
    found: list[Option] = []
    for token in _OPTION.finditer(text):
        if token["macro"] is not None:
            found.append(Option(line, "D", token["macro"]))
        elif token["name"] is not None:
            found.append(Option(line, token["name"], (token["value"] or "").strip('"')))
        elif found and not found[-1].value:
            found[-1] = Option(line, found[-1].name, token["loose"].strip('"'))
    return found
