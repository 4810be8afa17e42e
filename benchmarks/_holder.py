"""A peer on the kernel's sockets that accepts whatever comes, and holds it until its stdin ends.

As many connections as the hard limit of open files allows.
"""

import resource
import socket
import sys
import threading

from _harness import pin
from _peer import end_with_our_parent


def main() -> None:
    """Argument: the core to run on. Prints the port."""
    pin(int(sys.argv[1]))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = socket.create_server(("", 0), backlog=4096)
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=end_with_our_parent, daemon=True).start()
    held = []
    while True:
        connection, _ = listener.accept()
        held.append(connection)


if __name__ == "__main__":
    main()
