"""The values in calls: numbers, names, strings, lists, structs, and `...` for what the script leaves open."""

import ast
import re

from pystack.testing.packetdrill.scanner import Scanner
from pystack.testing.packetdrill.script import Application, BitOr, Expression, Group, Inverse, Symbol

__all__ = ["parse_arguments", "parse_expression"]

_NUMBER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|\d+\.\d+|\d+)(?:[uUlL]+)?")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_FIELD = re.compile(r"([A-Za-z_]\w*)\s*(?:\(([^)]*)\)\s*)?=(?!=)")


def parse_expression(scanner: Scanner) -> Expression:
    parts = [_parse_one(scanner)]
    while scanner.take("|"):
        parts.append(_parse_one(scanner))
    return parts[0] if len(parts) == 1 else BitOr(tuple(parts))


def _parse_one(scanner: Scanner) -> Expression:
    if scanner.take("..."):
        return ...
    if (number := scanner.match(_NUMBER)) is not None:
        text = number.group().rstrip("uUlL") if "x" not in number.group().lower() else number.group()
        return float(text) if "." in text else _integer(text)
    if scanner.take("~"):
        return Inverse(_parse_one(scanner))
    if scanner.sees('"'):
        return _parse_string(scanner)
    if scanner.take("["):
        return _until(scanner, "]")
    if scanner.take("{"):
        return _parse_group(scanner)
    if scanner.take("("):
        inner = parse_expression(scanner)
        scanner.expect(")")
        return inner
    scanner.take("&")
    name = scanner.word("a value")
    if scanner.take("("):
        return Application(name, tuple(_until(scanner, ")")))
    return Symbol(name)


def _parse_string(scanner: Scanner) -> str:
    """Several that follow each other are one, as in C."""
    pieces = []
    while (string := scanner.match(_STRING)) is not None:
        pieces.append(str(ast.literal_eval(string.group())))
    if not pieces:
        scanner.fail("expected a string that ends in its line")
    return "".join(pieces)


def _integer(text: str) -> int:
    """As C reads it: a leading zero means octal."""
    digits = text.lstrip("-")
    octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
    return int(text, 8 if octal else 0)


def parse_arguments(scanner: Scanner) -> tuple[Expression, ...]:
    """What stands between the parentheses of a call."""
    scanner.expect("(")
    return tuple(_until(scanner, ")"))


def _until(scanner: Scanner, end: str) -> list[Expression]:
    items: list[Expression] = []
    while not scanner.take(end):
        if items:
            scanner.expect(",")
        items.append(parse_expression(scanner))
    return items


def _parse_group(scanner: Scanner) -> Group:
    fields: list[tuple[str, Expression]] = []
    items: list[Expression] = []
    while not scanner.take("}"):
        if fields or items:
            scanner.expect(",")
        if (named := scanner.match(_FIELD)) is not None:
            fields.append((named[1], parse_expression(scanner)))
        else:
            items.append(parse_expression(scanner))
    return Group(tuple(fields), tuple(items))
