"""demo.pystack: a second pystack host, at the other end of the in-memory Ethernet, so that no example is ever alone."""

import contextlib
import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import parse_qs, urlsplit

import attrs
from _serving import Handler, Server
from typing_extensions import override

import pystack
from pystack.link.base import Link

__all__ = ["DEMO_NAME", "ECHO_PORT", "FRONT_PAGE", "DemoHost"]

DEMO_NAME = "demo.pystack"
HTTP_PORT = 80
ECHO_PORT = 7
"""The echo service of RFC 862, over UDP."""

FRONT_PAGE = """\
<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>demo.pystack</title><body><pre>
Hello from demo.pystack.

You are reading this page across a network that lives in one Python process:
two hosts, each with a TCP/IP stack of its own, joined by an Ethernet cable made
of two queues. No kernel socket has taken part. This is what happened.

  ARP    Your host knew the address of this one, 192.0.2.1 unless you chose
         another, but Ethernet delivers by MAC address. So it asked everybody
         on the cable "who has 192.0.2.1?", and this host answered.
  TCP    SYN, SYN ACK, ACK: three segments, and both ends had agreed on where
         to start counting octets in each direction, and on how large a
         segment may be. Then the octets travelled, numbered and acknowledged.
  HTTP   Your side sent "GET / HTTP/1.1"; this page is the answer's body.
  FIN    Each side said that it had no more to say, and the other
         acknowledged that. The connection was closed, in good order.

See it happen:             curl_lite.py -v
Look at each frame:        curl_lite.py --pcap page.pcapng    (open it in Wireshark)

Other pages here, each one a lesson:

  /connection            what this end's TCP knows about your connection
  /chunked               a body that comes in chunks, its length unknown at first
  /until-close           a body that ends where the connection ends
  /large?octets=100000000    as much as you like
  /slow                  a line every second: try --timeout 3
  /redirect, /loop       try -L
  /short                 the connection ends too early: exit status 18
  /empty                 no answer at all: exit status 52
  /reset                 an answer cut off by a TCP reset: exit status 56

And then leave the process. The same program talks to your machine's kernel
(--link tap) and to any web server near it (--link packet:eth0, --link raw).
docs/ says how.
</pre></body></html>
"""

_CHUNK = bytes(range(256)) * 256


class DemoPages(Handler):
    """The pages that FRONT_PAGE lists."""

    @override
    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()

    def do_GET(self) -> None:
        pages: dict[str, Callable[[], None]] = {
            "/": self._front,
            "/connection": self._connection,
            "/chunked": self._chunked,
            "/until-close": self._until_close,
            "/large": self._large,
            "/slow": self._slow,
            "/redirect": lambda: self._redirect("/"),
            "/loop": lambda: self._redirect("/loop"),
            "/short": self._short,
            "/empty": self._hang_up,
            "/reset": self._reset,
        }
        page = pages.get(urlsplit(self.path).path)
        if page is None:
            self._text(
                f"There is no page {self.path} here. The front page / lists what there is.\n", HTTPStatus.NOT_FOUND
            )
        else:
            page()

    do_HEAD = do_GET

    def _front(self) -> None:
        self._text(FRONT_PAGE, kind="text/html")

    def _connection(self) -> None:
        connection = cast(pystack.Socket, self.connection)
        (here, port), (there, peer_port) = connection.getsockname(), connection.getpeername()
        known = attrs.asdict(connection.info())
        lines = [
            f"from {there} port {peer_port} to {here} port {port}",
            "",
            "times in nanoseconds, sizes in octets",
            "",
        ]
        self._text("\n".join(lines + [f"{name:18} {value}" for name, value in known.items()]) + "\n")

    def _chunked(self) -> None:
        self._head({"Content-Type": "text/html; charset=utf-8", "Transfer-Encoding": "chunked"})
        for line in (*FRONT_PAGE.splitlines(keepends=True), ""):
            self._body(b"%x\r\n%b\r\n" % (len(line), line.encode()))

    def _until_close(self) -> None:
        self._head({"Content-Type": "text/html; charset=utf-8", "Connection": "close"})
        self._body(FRONT_PAGE.encode())

    def _large(self) -> None:
        text = parse_qs(urlsplit(self.path).query).get("octets", ["10000000"])[0]
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            self._text(f"octets={text}: not a number\n", HTTPStatus.BAD_REQUEST)
            return
        left = int(text)
        self._head({"Content-Type": "application/octet-stream", "Content-Length": text})
        while left and self.command != "HEAD":
            self._body(_CHUNK[:left])
            left -= min(left, len(_CHUNK))

    def _slow(self) -> None:
        self._head({"Content-Type": "text/plain; charset=utf-8", "Connection": "close"})
        for number in range(1, 61):
            self._body(b"line %d of 60\n" % number)
            time.sleep(1)

    def _redirect(self, target: str) -> None:
        self.send_response(HTTPStatus.FOUND)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _short(self) -> None:
        self._head({"Content-Type": "text/plain; charset=utf-8", "Content-Length": "1000", "Connection": "close"})
        self._body(b"1000 octets were announced, but this line is all.\n")

    def _hang_up(self) -> None:
        self.close_connection = True

    def _reset(self) -> None:
        self._short()
        # A linger time of zero makes close() an abort: RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _text(self, text: str, status: HTTPStatus = HTTPStatus.OK, kind: str = "text/plain") -> None:
        body = text.encode()
        self._head({"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body))}, status)
        self._body(body)

    def _head(self, fields: dict[str, str], status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()

    def _body(self, data: bytes) -> None:
        if self.command != "HEAD":
            self.wfile.write(data)


class DemoHost:
    """The running host: HTTP on port 80, UDP echo on port 7; ARP and ping are answered by the stack itself."""

    def __init__(self, link: Link, address: str) -> None:
        self._host = pystack.Host(link, address=address)
        self._pages = Server(self._host.create_server(("", HTTP_PORT)), DemoPages)
        self._echo = self._host.socket(type=socket.SOCK_DGRAM)
        self._echo.bind(("", ECHO_PORT))
        self._threads = [
            threading.Thread(target=task, name=f"demo {task.__name__}", daemon=True)
            for task in (self._answer_requests, self._answer_datagrams)
        ]
        for thread in self._threads:
            thread.start()

    def http_connection(self, address: str, port: int) -> http.client.HTTPConnection:
        """A connection from this host to a server elsewhere."""
        connection = http.client.HTTPConnection(address, port)
        connection.sock = cast(Any, self._host.create_connection((address, port), timeout=10))
        return connection

    def _answer_requests(self) -> None:
        with contextlib.suppress(OSError):  # the host was closed
            self._pages.run()

    def _answer_datagrams(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, sender = self._echo.recvfrom(65535)
                with contextlib.suppress(ConnectionError):
                    self._echo.sendto(data, sender)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._host.close(timeout=0)
        for thread in self._threads:
            thread.join()
