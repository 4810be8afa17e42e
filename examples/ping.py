"""Ask a host for echoes through pystack, and say how long they took. Without arguments: the demo host, no root needed.

The exit status is ping's: 0 when an answer came, 1 when none did, 2 for any other trouble.
"""

import argparse
import itertools
import math
import time
from contextlib import suppress

from _demo import DEMO_NAME
from _links import Parser, attach, complain, count, link_options, run, seconds, sentence
from attrs import define, field

import pystack

NO_ANSWER = 1
TROUBLE = 2

ICMP_HEADER = 8
IP_HEADER = 20
LARGEST = 65535 - IP_HEADER - ICMP_HEADER


@define
class Statistics:
    """What came back. Times in milliseconds."""

    sent: int = 0
    times: list[float] = field(factory=list)

    def report(self, name: str, elapsed: float) -> str:
        """In ping's words; `elapsed` in seconds."""
        received = len(self.times)
        loss = 100 * (self.sent - received) / self.sent if self.sent else 0
        lines = [
            f"--- {name} ping statistics ---",
            f"{self.sent} packets transmitted, {received} received, {loss:g}% packet loss, time {elapsed * 1000:.0f}ms",
        ]
        if received:
            mean = sum(self.times) / received
            deviation = math.sqrt(max(0.0, sum(time * time for time in self.times) / received - mean * mean))
            values = (min(self.times), mean, max(self.times), deviation)
            lines.append("rtt min/avg/max/mdev = " + "/".join(f"{value:.3f}" for value in values) + " ms")
        return "\n".join(lines)


def ping_all(host: pystack.Host, address: str, options: argparse.Namespace, statistics: Statistics) -> None:
    """One echo request each interval; a line for each answer."""
    started = time.monotonic()
    for number in itertools.count(1):
        statistics.sent += 1
        try:
            milliseconds = host.ping(address, timeout=options.wait, size=options.size) * 1000
        except TimeoutError:
            pass  # the statistics tell
        except OSError as error:
            print(f"From the stack: icmp_seq={number} {sentence(error)}", flush=True)
        else:
            statistics.times.append(milliseconds)
            answer = f"{options.size + ICMP_HEADER} bytes from {address}: icmp_seq={number} time={milliseconds:.3f} ms"
            print(answer, flush=True)
        if number == options.count:
            return
        time.sleep(max(0.0, started + number * options.interval - time.monotonic()))


def arguments() -> argparse.Namespace:
    parser = Parser(description=__doc__.splitlines()[0], parents=[link_options()])
    parser.add_argument("destination", nargs="?", metavar="HOST", help="default: the other end of the link")
    parser.add_argument("-c", "--count", type=count(10**9), default=4, help="stop after so many; 0: never (default: 4)")
    parser.add_argument(
        "-i", "--interval", type=seconds, default=1.0, metavar="S", help="seconds between two (default: 1)"
    )
    parser.add_argument("-s", "--size", type=count(LARGEST), default=56, help="octets of data in each (default: 56)")
    parser.add_argument(
        "-W", "--wait", type=seconds, default=1.0, metavar="S", help="seconds to wait for each answer (default: 1)"
    )
    return parser.parse_args()


def main() -> int:
    options = arguments()
    statistics = Statistics()
    try:
        with attach(options, options.destination) as attachment, attachment.host() as host:
            name = options.destination or attachment.peer or DEMO_NAME
            address = attachment.resolve(name)
            octets = options.size + ICMP_HEADER + IP_HEADER
            print(f"PING {name} ({address}) {options.size}({octets}) bytes of data.", flush=True)
            started = time.monotonic()
            with suppress(KeyboardInterrupt):
                ping_all(host, address, options, statistics)
            print(f"\n{statistics.report(name, time.monotonic() - started)}")
    except BrokenPipeError:
        raise
    except OSError as error:
        complain(sentence(error))
        return TROUBLE
    return 0 if statistics.times else NO_ANSWER


if __name__ == "__main__":
    run(main)
