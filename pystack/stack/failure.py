"""What the network says of a flow, as the exception its user sees."""

from pystack.errors import os_error
from pystack.net.address import address_text
from pystack.net.errors import PathError

__all__ = ["failure_of"]


def failure_of(error: PathError) -> OSError:
    """The stdlib's `OSError` subclass, with who said so."""
    if error.reporter is None:
        return os_error(error.errno, f"nobody answers ARP for the way to {address_text(error.dst)}")
    return os_error(error.errno, f"{address_text(error.reporter)} reports it of {address_text(error.dst)}")
