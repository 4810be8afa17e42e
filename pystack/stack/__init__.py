"""One host: interfaces, network, transport, ports and what a socket can do, driven by `Stack.poll(now)`.

This layer wires net/ and transport/, which do not know each other. It still reads no clock, starts no thread and draws
randomness only from the sources it is given; it never waits: what cannot be answered at once becomes an `Operation`.
"""
