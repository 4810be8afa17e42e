"""Send a datagram through pystack and wait for the answer. Without arguments: to the demo host's echo, no root needed.

The exit status is 0 when an answer came (or none was waited for), 1 when none did, 2 for any other trouble.
"""

import argparse
import os
import socket
import sys
from contextlib import suppress

from _demo import DEMO_NAME, ECHO_PORT
from _links import Attachment, Parser, attach, complain, count, link_options, run, seconds, sentence

import pystack

NO_ANSWER = 1
TROUBLE = 2
LARGEST = 65507


def duration(text: str) -> float:
    """For argparse: seconds, or 0."""
    return 0.0 if text == "0" else seconds(text)


def message_of(text: str) -> bytes:
    """`text` itself; "-" stands for what stdin holds, octet for octet."""
    return sys.stdin.buffer.read(LARGEST + 1) if text == "-" else os.fsencode(text)


def exchange(host: pystack.Host, address: tuple[str, int], message: bytes, wait: float) -> bytes | None:
    """The answer to `message`; None when none came within `wait` seconds.

    The socket is connected, so that only the one peer's datagrams are taken, and so that "nobody listens there"
    (ICMP port unreachable) comes back as `ConnectionRefusedError`.
    """
    with host.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        if not wait:
            # The datagram would wait for ARP, and go down with the host: an echo has ARP done before.
            with suppress(OSError):
                host.ping(address[0])
        sock.send(message)
        if not wait:
            return None
        sock.settimeout(wait)
        try:
            return sock.recv(65535)
        except TimeoutError:
            return None


def arguments() -> argparse.Namespace:
    parser = Parser(description=__doc__.splitlines()[0], parents=[link_options()])
    parser.add_argument("host", nargs="?", metavar="HOST", help="default: the other end of the link")
    parser.add_argument(
        "port", nargs="?", type=count(65535), default=ECHO_PORT, metavar="PORT", help="default: 7, echo"
    )
    parser.add_argument(
        "message", nargs="?", default="hello", help='what to send; "-": what stdin holds (default: hello)'
    )
    parser.add_argument(
        "--wait",
        type=duration,
        default=2.0,
        metavar="S",
        help="seconds to wait for an answer (default: 2; 0: do not wait)",
    )
    return parser.parse_args()


def destination(options: argparse.Namespace, attachment: Attachment) -> tuple[str, int]:
    return attachment.resolve(options.host or attachment.peer or DEMO_NAME), options.port


def main() -> int:
    options = arguments()
    try:
        message = message_of(options.message)
        with attach(options, options.host) as attachment, attachment.host() as host:
            address = destination(options, attachment)
            answer = exchange(host, address, message, options.wait)
    except ConnectionRefusedError:
        complain(f"nobody listens on UDP port {options.port} of {address[0]}")
        return NO_ANSWER
    except OSError as error:
        complain(sentence(error))
        return TROUBLE
    if answer is not None:
        sys.stdout.buffer.write(answer + b"\n" * (not answer.endswith(b"\n")))
    elif options.wait:
        complain(f"{len(message)} octets sent, no answer within {options.wait:g} s; --wait waits longer")
        return NO_ANSWER
    return 0


if __name__ == "__main__":
    run(main)
