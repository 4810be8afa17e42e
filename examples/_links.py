"""The options that every example shares (which link, which address, -v, --pcap) and the host that they describe."""

import argparse
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import NoReturn

from _demo import DEMO_NAME, DemoHost
from _story import Story
from attrs import define, frozen
from typing_extensions import override

import pystack
from pystack.link.base import Link, Medium
from pystack.sockets.resolve import resolve

__all__ = [
    "Attachment",
    "LinkChoice",
    "Parser",
    "RecordingError",
    "SetupError",
    "attach",
    "complain",
    "count",
    "forget_stdout",
    "link_options",
    "run",
    "seconds",
    "sentence",
]

DEFAULT_ADDRESS = IPv4Interface("192.0.2.2/24")
"""On links that this program makes itself. 192.0.2.0/24 is set aside for documentation: nobody's network (RFC 5737)."""

CANNOT_SET_UP = 2
INTERRUPTED = 130


class SetupError(Exception):
    """The options, or this machine, do not allow the link that was asked for. The message says what to do."""


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose complaint is one line, so that scripts can read it."""

    @override
    def error(self, message: str) -> NoReturn:
        self.exit(CANNOT_SET_UP, f"{self.prog}: {message} (--help lists the options)\n")


class RecordingError(Exception):
    """The capture file cannot be written."""


@frozen
class LinkChoice:
    """`--link` taken apart: `tap:pystack0` is kind "tap", name "pystack0"."""

    kind: str
    name: str | None = None

    @classmethod
    def parse(cls, text: str) -> "LinkChoice":
        """For argparse: raises `ArgumentTypeError`."""
        kind, colon, name = text.partition(":")
        if kind in ("memory", "raw") and not colon:
            return cls(kind)
        if kind in ("tap", "tun") and (name or not colon):
            return cls(kind, name or None)
        if kind == "packet" and name:
            return cls(kind, name)
        raise argparse.ArgumentTypeError(
            f"{text!r} is none of memory, tap, tap:NAME, tun, tun:NAME, packet:INTERFACE and raw"
        )

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


def seconds(text: str) -> float:
    """For argparse: a duration above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def count(limit: int) -> Callable[[str], int]:
    """For argparse: a whole number from 0 to `limit`."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and int(text) <= limit):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {limit}")
        return int(text)

    return parse


def _interface(text: str) -> IPv4Interface:
    try:
        return IPv4Interface(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no IPv4 address with prefix, like 192.0.2.2/24") from error


def _address(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no IPv4 address, like 192.0.2.1") from error


def link_options() -> argparse.ArgumentParser:
    """A parent parser: `Parser(parents=[link_options()])`."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group(
        "link",
        "what the stack is attached to; without root, tap and tun need CAP_NET_ADMIN or a device that root has "
        "prepared, packet and raw CAP_NET_RAW",
    )
    group.add_argument(
        "--link",
        type=LinkChoice.parse,
        default=LinkChoice("memory"),
        metavar="memory|tap[:NAME]|tun[:NAME]|packet:INTERFACE|raw",
        help=f"memory (the default): an Ethernet inside this process that holds one other host, {DEMO_NAME}; tap, tun: "
        "a network device made for this run, with the kernel at its other end; packet: an existing interface, beside "
        "the kernel; raw: raw IP sockets on an address of this machine",
    )
    group.add_argument(
        "--address",
        type=_interface,
        metavar="CIDR",
        help=f"the stack's own address (default: {DEFAULT_ADDRESS}; packet needs one; raw: the address that the kernel "
        "would use for the destination)",
    )
    group.add_argument(
        "--gateway",
        type=_address,
        metavar="IP",
        help="memory, tap, tun: the other end's address (default: the first other address of the subnet); packet: the "
        "router, if any",
    )
    group.add_argument(
        "--no-offload",
        dest="offload",
        action="store_false",
        help="tap, tun, packet: frames as on a wire, no super-segments, every checksum computed",
    )
    group.add_argument("-v", "--verbose", action="store_true", help="tell on stderr what happens on the link, in words")
    group.add_argument("--pcap", metavar="FILE", help="record every frame into FILE, for Wireshark or tshark")
    return parser


@define
class Attachment:
    """The link that was asked for, opened, and what is known of its surroundings."""

    link: Link
    choice: LinkChoice
    address: IPv4Interface
    """The stack's own."""
    peer: str | None = None
    """The one address that is sure to be there: the demo host, or the kernel's side of a device made for this run."""
    gateway: str | None = None
    """The router to name to the host."""
    demo: DemoHost | None = None
    """Who else is on the memory link."""

    def host(self) -> pystack.Host:
        """A running host on the link: `with attachment.host() as host`."""
        return pystack.Host(self.link, address=str(self.address), gateway=self.gateway)

    def resolve(self, name: str) -> str:
        """The address of `name`; only the demo host's is known on the memory link. Raises `gaierror`."""
        if self.choice.kind != "memory":
            return str(resolve(name)[0])
        if not name.replace(".", "").isdigit() and name.lower() not in (DEMO_NAME, "localhost"):
            hint = f"{name}: the memory link holds only {DEMO_NAME}; --link tap, packet or raw reach further"
            raise socket.gaierror(socket.EAI_NONAME, hint)
        return str(resolve(name, {DEMO_NAME: self.peer or ""})[0])


@contextmanager
def attach(options: argparse.Namespace, destination: str | None = None) -> Iterator[Attachment]:
    """Open the link that `options` name, with story and capture around it as asked; undo all of it in the end.

    `destination` is for the raw link: which of this machine's addresses leads there. Raises `SetupError`, `gaierror`
    when it is unknown, and `RecordingError` when the capture cannot be written.
    """
    with ExitStack() as stack:
        attachment = _open(options, destination, stack)
        medium = attachment.link.capabilities.medium
        if options.pcap:
            attachment.link = pystack.CaptureLink(attachment.link, _recorder(options.pcap, medium, stack))
        if options.verbose:
            story = Story(sys.stderr, medium)
            stack.enter_context(story.states(attachment.address.ip))
            attachment.link = pystack.CaptureLink(attachment.link, story)
        yield attachment


def _open(options: argparse.Namespace, destination: str | None, stack: ExitStack) -> Attachment:
    """What `options` name, to be closed by `stack`."""
    choice: LinkChoice = options.link
    address: IPv4Interface = options.address or DEFAULT_ADDRESS
    gateway = str(options.gateway) if options.gateway else None
    link: Link
    try:
        match choice.kind:
            case "memory":
                peer = gateway or _first_other(address)
                link, far_end = pystack.MemoryLink.pair()
                demo = stack.enter_context(DemoHost(far_end, f"{peer}/{address.network.prefixlen}"))
                attachment = Attachment(link, choice, address, peer, demo=demo)
            case "tap" | "tun":
                peer = gateway or _first_other(address)
                device = pystack.TapLink if choice.kind == "tap" else pystack.TunLink
                network = f"{peer}/{address.network.prefixlen}"
                link = device(choice.name, host_address=network, offload=options.offload)
                attachment = Attachment(link, choice, address, peer, gateway=peer)
            case "packet":
                if options.address is None:
                    raise SetupError(
                        f"--link {choice} needs --address: a free one of that network, like 10.0.0.50/24 "
                        "(the kernel keeps its own)"
                    )
                link = pystack.PacketLink(choice.name or "", offload=options.offload)
                attachment = Attachment(link, choice, address, gateway, gateway)
            case _:
                link = pystack.RawIPLink(options.address.ip if options.address else _source_address(destination))
                attachment = Attachment(link, choice, link.address)
    except socket.gaierror:
        raise
    except (OSError, ValueError) as error:
        hint = "; --link memory needs no privilege" if isinstance(error, PermissionError) else ""
        raise SetupError(f"--link {choice}: {sentence(error)}{hint}") from error
    stack.callback(link.close)
    return attachment


def _first_other(address: IPv4Interface) -> str:
    """The first address of the subnet that is not `address` itself."""
    for candidate in address.network.hosts():
        if candidate != address.ip:
            return str(candidate)
    raise SetupError(f"--address {address} leaves no room for the other end: take a shorter prefix, like /24")


def _source_address(destination: str | None) -> IPv4Address:
    """The address of this machine that its kernel would use to reach `destination`. Nothing is sent for that.

    Without a route it is the loopback's, from where connecting fails as it should. Raises `gaierror`.
    """
    target = resolve(destination or "127.0.0.1")[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect((str(target), 9))
        return IPv4Address(probe.getsockname()[0])
    return IPv4Address("127.0.0.1")


def _recorder(path: str, medium: Medium, stack: ExitStack) -> pystack.PcapngSink:
    """A capture sink that writes into the file at `path`, closed by `stack`. Raises `RecordingError`."""
    try:
        file = open(path, "wb")  # noqa: SIM115 - `finish` closes it
        # The stack's clock is the monotonic one; a capture carries the time of day.
        sink = pystack.PcapngSink(file, medium, time.time_ns() - time.monotonic_ns())
    except OSError as error:
        raise RecordingError(f"cannot write the capture: {sentence(error)}") from error

    def finish() -> None:
        with suppress(OSError):
            file.close()
        if sink.error:
            raise RecordingError(f"the capture {path} is not complete: {sentence(sink.error)}") from sink.error

    stack.callback(finish)
    return sink


def sentence(error: BaseException) -> str:
    """What `error` says, in one line, without its number."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(text.split()) or type(error).__name__


def complain(message: str) -> None:
    """The one line on stderr that a failing example leaves."""
    with suppress(OSError):
        print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr, flush=True)


def forget_stdout() -> None:
    """The reader of stdout has gone; what is still buffered must not fail again when the interpreter ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def run(program: Callable[[], int]) -> NoReturn:
    """End the process with `program`'s status; what every example answers in the same way is answered here."""
    try:
        status = program()
        sys.stdout.flush()
    except (SetupError, RecordingError) as error:
        complain(str(error))
        status = CANNOT_SET_UP
    except BrokenPipeError:
        forget_stdout()
        status = CANNOT_SET_UP
    except KeyboardInterrupt:
        complain("interrupted")
        status = INTERRUPTED
    sys.exit(status)
