"""Two kernel TCPs, each behind a TAP of its own, joined by one Python thread that polls, reads and writes each frame.

It is what Python and two TAPs cost without any TCP in Python: the measure for latency.
"""

import os
import select
import sys

from _harness import pin
from _network import enter_private_network, open_tap, peer

__all__ = ["FAR_ADDRESS"]

NEAR_ADDRESS, FAR_ADDRESS = "198.51.100.1", "198.51.100.2"


def main() -> None:
    """Arguments: our core, the server's. Prints the port of the server behind the far TAP, then relays frames."""
    core, server_core = sys.argv[1:]
    near = open_tap("near", f"{NEAR_ADDRESS}/24")
    enter_private_network()
    far = open_tap("far", f"{FAR_ADDRESS}/24")
    with peer("_peer", server_core) as port:
        print(port, flush=True)
        pin(int(core))
        poller = select.poll()
        for descriptor in (near, far, sys.stdin.fileno()):
            poller.register(descriptor, select.POLLIN)
        other = {near: far, far: near}
        while True:
            for descriptor, _ in poller.poll():
                if descriptor not in other:
                    return
                os.write(other[descriptor], os.read(descriptor, 2048))


if __name__ == "__main__":
    main()
