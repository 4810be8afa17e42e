"""Every error this library raises on purpose. The class says whose fault it was: peer, caller, link."""

import errno
import os

__all__ = ["DecodeError", "LinkDown", "PeerReset", "PystackError", "StateError", "os_error"]


class PystackError(Exception):
    """Root of every error this library raises on purpose."""


class DecodeError(PystackError, ValueError):
    """The remote side's bytes are not a valid message; `reason`, e.g. "udp.short", also names the drop counter."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)  # both, so that it survives pickling
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class StateError(PystackError, RuntimeError):
    """The local caller asked for what the current state forbids. No peer can cause it."""


class PeerReset(PystackError, ConnectionResetError):
    """The peer sent RST: whatever it had not acknowledged is lost. `errno` is ECONNRESET."""

    def __init__(self, message: str = "the peer reset the connection") -> None:
        super().__init__(errno.ECONNRESET, message)

    def __reduce__(self) -> tuple[type["PeerReset"], tuple[str]]:
        return type(self), (str(self.strerror),)


class LinkDown(PystackError, OSError):
    """The link is gone for good, and every socket bound to it fails with this. `errno` is ENETDOWN."""

    def __init__(self, message: str = "the link is down") -> None:
        super().__init__(errno.ENETDOWN, message)

    def __reduce__(self) -> tuple[type["LinkDown"], tuple[str]]:
        return type(self), (str(self.strerror),)


def os_error(code: int, hint: str = "") -> OSError:
    """The `OSError` subclass for `code` that the stdlib's sockets would raise, with `hint` saying what to do."""
    message = os.strerror(code)
    return OSError(code, f"{message}: {hint}" if hint else message)
