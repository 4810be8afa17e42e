"""A place in the text of a script."""

import re
from bisect import bisect_right
from typing import Final, NoReturn

from pystack.testing.packetdrill.script import ScriptError, ScriptUnsupported

__all__ = ["Scanner"]

_BLANK = re.compile(r"\s*")
_WORD: Final = re.compile(r"[A-Za-z_]\w*")


class Scanner:
    """Reads tokens one after the other, blanks between them skipped, and says in which line it is."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self._at = 0
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._skip_blanks()

    @property
    def at(self) -> int:
        return self._at

    @property
    def line(self) -> int:
        return bisect_right(self._line_starts, self._at)

    @property
    def done(self) -> bool:
        return self._at >= len(self.text)

    def _skip_blanks(self) -> None:
        match = _BLANK.match(self.text, self._at)
        self._at = match.end() if match else self._at

    def sees(self, token: str) -> bool:
        return self.text.startswith(token, self._at)

    @property
    def sees_digit(self) -> bool:
        return self.text[self._at : self._at + 1].isdecimal()

    def take(self, token: str) -> bool:
        """Whether `token` comes next; if so it is passed."""
        if not self.sees(token):
            return False
        self._at += len(token)
        self._skip_blanks()
        return True

    def expect(self, token: str) -> None:
        if not self.take(token):
            self.fail(f'expected "{token}"')

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What `pattern` finds here; if it does, that is passed."""
        match = pattern.match(self.text, self._at)
        if match is not None:
            self._at = match.end()
            self._skip_blanks()
        return match

    def need(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        match = self.match(pattern)
        if match is None:
            self.fail(f"expected {what}")
        return match

    def word(self, what: str) -> str:
        return self.need(_WORD, what).group()

    def take_word(self, word: str) -> bool:
        """As `take`, for a whole name only."""
        match = _WORD.match(self.text, self._at)
        return match is not None and match.group() == word and self.take(word)

    def peek_word(self) -> str:
        """The name that comes next; "" if none does."""
        match = _WORD.match(self.text, self._at)
        return match.group() if match else ""

    def lacks(self, construct: str) -> NoReturn:
        """What comes here is of the language, and not of this runner."""
        raise ScriptUnsupported(self.name, self.line, construct)

    def fail(self, problem: str) -> NoReturn:
        rest = self.text[self._at : self._at + 40].split("\n")[0]
        raise ScriptError(self.name, self.line, f'{problem} before "{rest}"' if rest else f"{problem} before the end")
