"""Two hosts on one cable."""

from pystack.link.memory import MemoryLink
from pystack.sockets.host import Host
from pystack.sockets.socket import Socket
from tests.sockets.still import PATIENCE

__all__ = ["Two"]


class Two:
    """Hosts `a`, 192.0.2.1, and `b`, 192.0.2.2, on one cable."""

    def __init__(self) -> None:
        self.cable = MemoryLink.pair()
        self.a = Host(self.cable[0], address="192.0.2.1/24", hosts={"b.example": "192.0.2.2"})
        self.b = Host(self.cable[1], address="192.0.2.2/24", gateway="192.0.2.1")

    def connection(self) -> tuple[Socket, Socket]:
        with self.b.create_server(("", 0)) as listener:
            listener.settimeout(PATIENCE)
            near = self.a.create_connection(("192.0.2.2", listener.getsockname()[1]), PATIENCE)
            far, _ = listener.accept()
        far.settimeout(PATIENCE)
        return near, far
