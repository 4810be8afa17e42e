"""pystack: a TCP/IP stack that you import.

Public names are loaded when they are first used (PEP 562), so that `import pystack` costs next to nothing and
`import pystack.wire` loads no other layer.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pystack import errors as errors
    from pystack import wire as wire
    from pystack.errors import DecodeError as DecodeError
    from pystack.errors import LinkDown as LinkDown
    from pystack.errors import PeerReset as PeerReset
    from pystack.errors import PystackError as PystackError
    from pystack.errors import StateError as StateError
    from pystack.link.base import Frame as Frame
    from pystack.link.base import Link as Link
    from pystack.link.base import LinkCapabilities as LinkCapabilities
    from pystack.link.base import Medium as Medium
    from pystack.link.capture import CaptureLink as CaptureLink
    from pystack.link.capture import PcapngSink as PcapngSink
    from pystack.link.faults import FaultLink as FaultLink
    from pystack.link.faults import Faults as Faults
    from pystack.link.memory import MemoryHub as MemoryHub
    from pystack.link.memory import MemoryLink as MemoryLink
    from pystack.link.packet import PacketLink as PacketLink
    from pystack.link.rawip import RawIPLink as RawIPLink
    from pystack.link.tap import TapLink as TapLink
    from pystack.link.tap import TunLink as TunLink
    from pystack.sockets.host import Host as Host
    from pystack.sockets.socket import Socket as Socket
    from pystack.stack.config import StackConfig as StackConfig
    from pystack.stack.stack import Stack as Stack
    from pystack.transport.tcp.config import TCPConfig as TCPConfig
    from pystack.transport.tcp.connection import TCPConnection as TCPConnection

__version__ = "0.1.0"

_HOMES = {
    "CaptureLink": "link.capture",
    "DecodeError": "errors",
    "FaultLink": "link.faults",
    "Faults": "link.faults",
    "Frame": "link.base",
    "Host": "sockets.host",
    "Link": "link.base",
    "LinkCapabilities": "link.base",
    "LinkDown": "errors",
    "Medium": "link.base",
    "MemoryHub": "link.memory",
    "MemoryLink": "link.memory",
    "PacketLink": "link.packet",
    "PcapngSink": "link.capture",
    "PeerReset": "errors",
    "PystackError": "errors",
    "RawIPLink": "link.rawip",
    "Socket": "sockets.socket",
    "Stack": "stack.stack",
    "StackConfig": "stack.config",
    "StateError": "errors",
    "TCPConfig": "transport.tcp.config",
    "TCPConnection": "transport.tcp.connection",
    "TapLink": "link.tap",
    "TunLink": "link.tap",
}

_MODULES = ("errors", "wire")

__all__ = [*_HOMES, *_MODULES, "__version__"]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"pystack.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'pystack' has no attribute {name!r}")
    _be_silent()
    value = getattr(import_module(f"pystack.{home}"), name)
    globals()[name] = value
    return value


def _be_silent() -> None:
    """Without this, `logging` would print warnings of programs that have not set it up. Importing it is left to those
    who use a stack."""
    logging = import_module("logging")
    logger = logging.getLogger("pystack")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def __dir__() -> list[str]:
    return sorted(__all__)
