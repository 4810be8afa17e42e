"""Fetch a page over HTTP through pystack. Without arguments: from a second stack in this process, no root needed.

The HTTP is the standard library's; `StackConnection` below is all that it takes to run http.client over pystack.
The exit status is curl's for the same event.
"""

import argparse
import base64
import http.client
import io
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, BinaryIO, Self, cast
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from _links import (
    Attachment,
    Parser,
    RecordingError,
    attach,
    complain,
    forget_stdout,
    link_options,
    run,
    seconds,
    sentence,
)
from attrs import define, frozen
from typing_extensions import Buffer, override

import pystack

UNSUPPORTED_SCHEME = 1
MALFORMED_URL = 3
CANNOT_RESOLVE = 6
CANNOT_CONNECT = 7
STRANGE_REPLY = 8
PARTIAL_BODY = 18
CANNOT_WRITE = 23
TIMED_OUT = 28
TOO_MANY_REDIRECTS = 47
EMPTY_REPLY = 52
CANNOT_SEND = 55
CANNOT_RECEIVE = 56

DEFAULT_URL = "http://demo.pystack/"
MAX_REDIRECTS = 50
PIECE = 1 << 18
"""Octets read at a time: the body is never in memory as a whole."""


class Failure(Exception):
    """Ends the program with `status` and one line on stderr."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@frozen
class Deadline:
    """The end of --timeout, on the monotonic clock; None: never."""

    at: float | None

    @classmethod
    def after(cls, timeout: float | None) -> Self:
        return cls(None if timeout is None else time.monotonic() + timeout)

    def left(self) -> float | None:
        """Seconds until then. Raises `TimeoutError` when there are none."""
        if self.at is None:
            return None
        left = self.at - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left


@frozen
class Target:
    """A URL that can be fetched."""

    url: str
    host: str
    port: int
    path: str
    credentials: str | None
    """user:password"""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises `Failure`."""
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url):
            url = f"http://{url}"
        try:
            if re.search(r"[\x00-\x20\x7f]", url):
                raise ValueError("it holds a space or a control character (write a space as %20)")
            parts = urlsplit(url)
            port = 80 if parts.port is None else parts.port
            host = (parts.hostname or "").encode("idna").decode()
            if not host:
                raise ValueError("it names no host")
        except ValueError as error:
            raise Failure(
                MALFORMED_URL, f"malformed URL {url!r}: {sentence(error)}; write http://HOST[:PORT]/PATH"
            ) from None
        if parts.scheme != "http":
            raise Failure(UNSUPPORTED_SCHEME, f"{parts.scheme}:// is not supported yet; write http://")
        return cls(parts._replace(fragment="").geturl(), host, port, _request_path(parts), _credentials(parts))

    def headers(self) -> dict[str, str]:
        headers = {"User-Agent": "pystack-curl_lite", "Accept": "*/*"}
        if self.credentials:
            headers["Authorization"] = "Basic " + base64.b64encode(self.credentials.encode()).decode()
        return headers


def _request_path(parts: SplitResult) -> str:
    path = parts.path or "/"
    return quote(f"{path}?{parts.query}" if parts.query else path, safe="%/:=&?~#+!$,;'@()*[]")


def _credentials(parts: SplitResult) -> str | None:
    if parts.username is None:
        return None
    return f"{unquote(parts.username)}:{unquote(parts.password or '')}"


class TimedReader(io.RawIOBase):
    """Reads from a socket until the deadline, however slowly the octets drip."""

    def __init__(self, sock: pystack.Socket, deadline: Deadline) -> None:
        self._sock = sock
        self._stream = cast(io.RawIOBase, sock.makefile("rb", buffering=0))
        self._deadline = deadline

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Buffer) -> int | None:
        self._sock.settimeout(self._deadline.left())
        return self._stream.readinto(buffer)

    @override
    def close(self) -> None:
        self._stream.close()
        super().close()


@define
class TimedSocket:
    """What http.client needs of a socket, with one deadline over everything."""

    sock: pystack.Socket
    deadline: Deadline

    def sendall(self, data: Buffer) -> None:
        self.sock.settimeout(self.deadline.left())
        self.sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(TimedReader(self.sock, self.deadline))

    def close(self) -> None:
        self.sock.close()


class StackConnection(http.client.HTTPConnection):
    """http.client over a pystack host: only the way to connect is different."""

    def __init__(self, host: pystack.Host, target: Target, attachment: Attachment, deadline: Deadline) -> None:
        super().__init__(target.host, target.port)
        self._pystack = host
        self._attachment = attachment
        self._deadline = deadline

    @override
    def connect(self) -> None:
        address = self._attachment.resolve(self.host)
        sock = self._pystack.create_connection((address, self.port), timeout=self._deadline.left())
        self._sock = sock
        self.sock = cast(Any, TimedSocket(sock, self._deadline))

    def take_leave(self) -> None:
        """Say that we are done and wait a moment until the server does: a story deserves its end."""
        if self.sock is not None:
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
                self._sock.settimeout(1)
                while self._sock.recv(PIECE):
                    pass


@contextmanager
def connecting(target: Target) -> Iterator[None]:
    """Errors on the way to a connection, as this program's statuses."""
    where = f"{target.host} port {target.port}"
    try:
        yield
    except socket.gaierror as error:
        raise Failure(CANNOT_RESOLVE, f"cannot resolve {target.host}: {sentence(error)}") from error
    except TimeoutError as error:
        raise Failure(
            TIMED_OUT, f"no answer from {where} in time; is the address right? --timeout waits longer"
        ) from error
    except OSError as error:
        raise Failure(
            CANNOT_CONNECT, f"cannot connect to {where}: {sentence(error)}; check address and port"
        ) from error


@contextmanager
def receiving(target: Target) -> Iterator[None]:
    """Errors while the answer comes in, as this program's statuses."""
    try:
        yield
    except http.client.RemoteDisconnected as error:
        raise Failure(
            EMPTY_REPLY, f"{target.host} closed the connection without an answer; does it speak HTTP?"
        ) from error
    except http.client.IncompleteRead as error:
        raise Failure(
            PARTIAL_BODY, f"{target.host} closed the connection inside a chunk of the body; try again"
        ) from error
    except http.client.BadStatusLine as error:
        raise Failure(UNSUPPORTED_SCHEME, f"{target.host} does not answer in HTTP/1; check the port") from error
    except http.client.HTTPException as error:
        raise Failure(STRANGE_REPLY, f"{target.host} sent a malformed answer: {sentence(error)}") from error
    except OSError as error:
        if isinstance(error, TimeoutError) and error.errno is None:  # ours; with an errno, TCP itself has given up
            raise Failure(TIMED_OUT, "the time given by --timeout is over; a larger one waits longer") from error
        raise Failure(CANNOT_RECEIVE, f"receiving from {target.host} failed: {sentence(error)}; try again") from error


class Output:
    """Where the answer goes: stdout, or a file that is made when the first answer is there."""

    def __init__(self, path: str | None) -> None:
        self._path = None if path == "-" else path
        self._file: BinaryIO | None = None

    @property
    def on_terminal(self) -> bool:
        return self._path is None and sys.stdout.isatty()

    def write(self, data: bytes) -> None:
        with self._failing():
            if self._file is None:
                self._file = open(self._path, "wb", buffering=0) if self._path else sys.stdout.buffer  # noqa: SIM115
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
            self._file.flush()

    def close(self) -> None:
        with self._failing():
            if self._path and self._file:
                self._file.close()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._path:
                forget_stdout()
            where = self._path or "standard output"
            raise Failure(
                CANNOT_WRITE, f"cannot write to {where}: {error.strerror}; is there room, and a reader?"
            ) from error


class Progress:
    """One line on a terminal about a download that takes more than a second."""

    def __init__(self, total: int | None, *, shown: bool) -> None:
        self._total = total
        self._shown = shown
        self._start = time.monotonic()
        self._due = self._start + 1
        self._visible = False

    def update(self, done: int) -> None:
        now = time.monotonic()
        if not self._shown or now < self._due:
            return
        rate = done / (now - self._start)
        text = f"{done / 1e6:,.1f} MB"
        if self._total:
            left = (self._total - done) / rate if rate else 0
            text += f" of {self._total / 1e6:,.1f} ({done / self._total:.0%}), {left:,.0f} s left"
        self._write(f"{text}, {rate / 1e6:,.1f} MB/s")
        self._due = now + 0.2

    def finish(self) -> None:
        if self._visible:
            self._write("")

    def _write(self, text: str) -> None:
        self._visible = True
        with suppress(OSError):
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def copy_body(response: http.client.HTTPResponse, target: Target, output: Output, *, quiet: bool) -> None:
    """The body as it comes, octet for octet."""
    total = response.length
    done = 0
    progress = Progress(total, shown=not quiet and sys.stderr.isatty() and not output.on_terminal)
    try:
        while True:
            with receiving(target):
                piece = response.read1(PIECE)
            if not piece:
                break
            output.write(piece)
            done += len(piece)
            progress.update(done)
    finally:
        progress.finish()
    if response.length:
        raise Failure(PARTIAL_BODY, f"{target.host} closed the connection after {done} of {total} octets; try again")
    output.write(b"")


def head(response: http.client.HTTPResponse) -> bytes:
    """Status line and header fields, as -i shows them."""
    version = "HTTP/1.0" if response.version == 10 else "HTTP/1.1"
    lines = [f"{version} {response.status} {response.reason}".rstrip()]
    lines += [f"{name}: {value}" for name, value in response.headers.raw_items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def fetch(options: argparse.Namespace, output: Output) -> None:
    """The program. Raises `Failure`, `SetupError`, `RecordingError`."""
    deadline = Deadline.after(options.timeout)
    target = Target.parse(options.url)
    with attach(options, target.host) as attachment, attachment.host() as host:
        for _ in range(MAX_REDIRECTS + 1):
            connection = StackConnection(host, target, attachment, deadline)
            with closing(connection), answer(connection, target) as response:
                if options.include:
                    output.write(head(response))
                location = response.headers.get("Location")
                if not (options.location and location and response.status in (301, 302, 303, 307, 308)):
                    copy_body(response, target, output, quiet=options.verbose)
                    if options.verbose or options.pcap:
                        connection.take_leave()
                    return
                target = Target.parse(urljoin(target.url, location.replace(" ", "%20")))
    raise Failure(
        TOO_MANY_REDIRECTS, f"more than {MAX_REDIRECTS} redirects, the last to {target.url}; the site goes in circles"
    )


def answer(connection: StackConnection, target: Target) -> http.client.HTTPResponse:
    """Connect, ask, and wait for the head of the answer."""
    with connecting(target):
        connection.connect()
    try:
        connection.request("GET", target.path, headers=target.headers())
    except TimeoutError:
        raise Failure(TIMED_OUT, "the time given by --timeout was over before the request had left") from None
    except OSError as error:
        raise Failure(CANNOT_SEND, f"sending to {target.host} failed: {sentence(error)}; try again") from error
    with receiving(target):
        return connection.getresponse()


def arguments() -> argparse.Namespace:
    parser = Parser(description=__doc__.splitlines()[0], parents=[link_options()])
    parser.add_argument(
        "url", nargs="?", default=DEFAULT_URL, metavar="URL", help=f"http only (default: {DEFAULT_URL})"
    )
    parser.add_argument("-i", "--include", action="store_true", help="show the header fields of the answer too")
    parser.add_argument("-L", "--location", action="store_true", help=f"follow redirects, at most {MAX_REDIRECTS}")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the body into FILE")
    parser.add_argument("--timeout", type=seconds, metavar="S", help="seconds for the whole of it (default: no limit)")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    output = Output(options.output)
    try:
        with closing(output):
            fetch(options, output)
    except Failure as failure:
        complain(f"({failure.status}) {failure}")
        return failure.status
    except socket.gaierror as error:  # while looking for the raw link's own address
        complain(f"({CANNOT_RESOLVE}) cannot resolve the host of {options.url}: {sentence(error)}")
        return CANNOT_RESOLVE
    except RecordingError as error:
        complain(f"({CANNOT_WRITE}) {error}")
        return CANNOT_WRITE
    return 0


if __name__ == "__main__":
    run(main)
