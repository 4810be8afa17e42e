"""From text to `Script`."""

import re
from collections.abc import Mapping

from pystack.testing.packetdrill.expressions import parse_arguments, parse_expression
from pystack.testing.packetdrill.packets import parse_packet
from pystack.testing.packetdrill.preprocess import prepare
from pystack.testing.packetdrill.scanner import Scanner
from pystack.testing.packetdrill.script import (
    Action,
    Call,
    Code,
    Command,
    Direction,
    Event,
    Script,
    Time,
    TimeKind,
)
from pystack.units import SECOND, Ns

__all__ = ["parse_script"]

_MOMENT = r"(\+?)\s*(\d+\.\d+|\d+|\.\d+)"
_TIME = re.compile(rf"{_MOMENT}(?:\s*~\s*{_MOMENT})?")
_UNTIL = re.compile(rf"\.\.\.\s*{_MOMENT}")
_ANY = re.compile(r"\*(?=[\s.])")
_CODE = re.compile(r"%\{(.*?)\}%", re.DOTALL)
_COMMAND = re.compile(r"`([^`]*)`")
_ERRNO = re.compile(r"E[A-Z0-9]+\b")
_NOTE = re.compile(r"\([^)\n]*\)")


def parse_script(source: str, name: str = "script", defines: Mapping[str, str] | None = None) -> Script:
    """Read a whole script; `defines` are what `-D NAME=VALUE` would define. Raises `ScriptError`."""
    prepared = prepare(source, name, defines or {})
    lines = source.splitlines()
    scanner = Scanner(prepared.text, name)
    events = []
    while not scanner.done:
        first, at = scanner.line, scanner.at
        time = _parse_time(scanner)
        action = _parse_action(scanner)
        last = first + prepared.text[at : scanner.at].rstrip().count("\n")
        events.append(Event(first, "\n".join(lines[first - 1 : last]), time, action))
    return Script(name, prepared.options, tuple(events))


def _parse_time(scanner: Scanner) -> Time:
    """A command or code may go without: it then follows at once."""
    if scanner.sees("`") or scanner.sees("%{"):
        return Time(TimeKind.RELATIVE)
    if scanner.match(_ANY) is not None:
        return Time(TimeKind.ANY)
    match = scanner.need(_TIME, "a time")
    kind = TimeKind.RELATIVE if match[1] else TimeKind.ABSOLUTE
    start = _moment(match[2])
    end = _moment(match[4]) if match[4] else start
    if end < start:
        scanner.fail(f"the range {match.group().strip()} ends before it starts;")
    until = scanner.match(_UNTIL)
    return Time(kind, start, end, _moment(until[2]) if until else None)


def _moment(text: str) -> Ns:
    whole, _, fraction = text.partition(".")
    return int(whole or "0") * SECOND + int(f"{fraction:0<9}"[:9])


def _parse_action(scanner: Scanner) -> Action:
    for direction in Direction:
        if scanner.take(direction.value):
            return parse_packet(scanner, direction)
    if (code := scanner.match(_CODE)) is not None:
        return Code(code[1])
    if (command := scanner.match(_COMMAND)) is not None:
        return Command(command[1].strip())
    return _parse_call(scanner)


def _parse_call(scanner: Scanner) -> Call:
    name = scanner.word("<, >, a socket call, %{ or `")
    arguments = parse_arguments(scanner)
    scanner.expect("=")
    result = ... if scanner.take("?") else parse_expression(scanner)
    error = scanner.match(_ERRNO)
    scanner.match(_NOTE)
    return Call(name, arguments, result, error.group() if error else None)
