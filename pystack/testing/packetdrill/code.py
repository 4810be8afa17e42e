"""The Python blocks of a script."""

import re
import textwrap
from collections.abc import Mapping
from types import CodeType

from pystack.testing.packetdrill.tcpinfo import LINUX_NAMES, PYTHON_CONSTANTS
from pystack.testing.packetdrill.values import Misused, Unsupported

__all__ = ["run_code"]

_PRINT_STATEMENT = re.compile(r"^([ \t]*)print[ \t]+([^(\n=][^\n]*)$", re.MULTILINE)
"""As Python 2 had it; old scripts still print so."""
_OF_ANOTHER_STRUCT = re.compile(r"(tcpv|bbr|sk_meminfo|SK_MEMINFO)_?\w*\Z")
"""What the tool takes from TCP_CC_INFO and SO_MEMINFO."""


def run_code(text: str, info: Mapping[str, object] | None, names: dict[str, object]) -> None:
    """Run a block with the `tcpi_` names in `info`; `names` is what the blocks of a script share. Raises
    `AssertionError`, `Unsupported` for what this stack does not tell, and `Misused` for any other error in it."""
    for stale in LINUX_NAMES:
        names.pop(stale, None)
    names.update(PYTHON_CONSTANTS)
    if info is not None:
        names.update(info)
    try:
        exec(_compiled(text), names)
    except AssertionError:
        raise
    except NameError as error:
        raise _explained(error.name or "", info) from None
    except Exception as error:
        raise Misused(f"the block raised {type(error).__name__}: {error}") from error


def _compiled(text: str) -> CodeType:
    """Blocks may be indented as a whole."""
    source = textwrap.dedent(text).strip()
    problem: SyntaxError | None = None
    for candidate in (source, _PRINT_STATEMENT.sub(r"\1print(\2)", source)):
        try:
            return compile(candidate, "<block>", "exec")
        except SyntaxError as error:
            problem = problem or error
    raise Misused(f"the block is not Python: {problem}")


def _explained(name: str, info: Mapping[str, object] | None) -> Exception:
    if info is None and name in LINUX_NAMES:
        return Misused(f"{name}: the script has no descriptor of the connection here")
    if name in LINUX_NAMES:
        return Unsupported(f"{name}: this stack does not tell it")
    if _OF_ANOTHER_STRUCT.match(name):
        return Unsupported(f"{name}: blocks have the values of TCP_INFO")
    return Misused(f"{name}: no tcpi_ name of Linux, and no variable of the script")
