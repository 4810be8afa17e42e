"""A running stack and its sockets: the layer that owns the clock, the threads and the operating system's randomness.

`Host` gives a `Stack` its links, its time and a pump; `Socket` waits for it as the standard library's `socket.socket`
waits for the kernel. What a socket means (options, errors, readiness) lives below, in stack/; this layer only waits.
"""
