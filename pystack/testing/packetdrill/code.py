"""The Python blocks of a script."""

import textwrap
from types import CodeType

from pystack.testing.packetdrill.tcpinfo import LINUX_NAMES, PYTHON_CONSTANTS, tcpi_names
from pystack.testing.packetdrill.values import Unsupported
from pystack.transport.tcp.info import TCPInfo

__all__ = ["run_code"]


def run_code(text: str, info: TCPInfo | None, names: dict[str, object]) -> None:
    """Run a block with the `tcpi_` names of `info`; `names` is what the blocks of a script share. Raises
    `AssertionError`, and `Unsupported` for a name that is not there and for any other error in it."""
    for stale in LINUX_NAMES:
        names.pop(stale, None)
    names.update(PYTHON_CONSTANTS)
    if info is not None:
        names.update(tcpi_names(info))
    try:
        exec(_compiled(text), names)
    except AssertionError:
        raise
    except NameError as error:
        raise Unsupported(_explained(error.name or "", info)) from None
    except Exception as error:
        raise Unsupported(f"the block raised {type(error).__name__}: {error}") from error


def _compiled(text: str) -> CodeType:
    """Blocks may be indented as a whole."""
    try:
        return compile(textwrap.dedent(text).strip(), "<block>", "exec")
    except SyntaxError as error:
        raise Unsupported(f"the block is not Python: {error}") from None


def _explained(name: str, info: TCPInfo | None) -> str:
    if info is None and name in LINUX_NAMES:
        return f"{name}: the script has no descriptor of the connection here"
    if name in LINUX_NAMES:
        return f"{name}: this stack does not tell it"
    return f"{name}: no tcpi_ name of Linux, and no variable of the script"
