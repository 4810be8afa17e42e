"""Links: where frames leave a host and arrive.

This layer may know what a frame is made of (its buffers, its offload marks, and, to finish checksums and cut
super-segments, the headers of `pystack.wire`), and how one medium is driven. It knows nothing of addresses, routes,
neighbours, ports or connections, and `net/` above it asks a link what it can do, never which link it is. `base.py` is
the contract; `memory.py` and the wrappers (`faults.py`, `capture.py`) read no clock, start no thread and draw no
randomness of their own, while the drivers of real interfaces are the only ones that call the operating system.
"""
