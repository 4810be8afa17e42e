"""Serve a folder over HTTP from the stack. Without arguments: this folder, to a visitor in the same process, no root.

The sockets and the accept loop (see _serving.py) are pystack's; the standard library reads and writes the HTTP.
On tap, tun, packet and raw it serves until Ctrl-C. On memory nobody can come from outside, so a second host visits,
shows what it was given, and that is all.
"""

import argparse
import errno
import functools
import io
import os
import sys
import threading
from contextlib import closing, suppress
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import BinaryIO

from _demo import DemoHost
from _links import Parser, SetupError, attach, complain, count, link_options, run, sentence
from _serving import Handler, Server
from typing_extensions import override

TROUBLE = 2


class FolderHandler(Handler, SimpleHTTPRequestHandler):
    """Files and listings of one folder; nothing outside of it, not even through a symbolic link."""

    @override
    def send_head(self) -> io.BytesIO | BinaryIO | None:
        if self._is_inside():
            return super().send_head()
        self.send_error(HTTPStatus.NOT_FOUND, "File not found")
        return None

    def _is_inside(self) -> bool:
        root = os.path.realpath(self.directory)
        try:
            return os.path.commonpath((root, os.path.realpath(self.translate_path(self.path)))) == root
        except ValueError:  # a NUL in the path
            return False

    @override
    def log_message(self, format: str, *args: object) -> None:
        with suppress(OSError):
            print(f"{self.client_address[0]} {format % args}", file=sys.stderr, flush=True)


def visit(demo: DemoHost, address: str, port: int) -> None:
    """Be the visitor: fetch the listing from the far end of the cable and print it."""
    connection = demo.http_connection(address, port)
    with closing(connection):
        connection.request("GET", "/")
        response = connection.getresponse()
        print(f"visitor: GET / -> {response.status} {response.reason}")
        print(response.read().decode("utf-8", "replace"), flush=True)


def arguments() -> argparse.Namespace:
    parser = Parser(description=__doc__.splitlines()[0], parents=[link_options()])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent, help="default: these examples")
    parser.add_argument("--port", type=count(65535), default=8000, help="where to listen (default: 8000)")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    if not options.folder.is_dir():
        raise SetupError(f"{options.folder} is not a folder")
    try:
        with attach(options) as attachment, attachment.host() as host:
            listener = host.create_server(("", options.port), backlog=128)
            address, port = str(attachment.address.ip), listener.getsockname()[1]
            server = Server(listener, functools.partial(FolderHandler, directory=str(options.folder)))
            print(f"serving {options.folder} at http://{address}:{port}/", file=sys.stderr, flush=True)
            if attachment.demo:
                threading.Thread(target=server.run, name="http server", daemon=True).start()
                visit(attachment.demo, address, port)
            else:
                server.run()
    except BrokenPipeError:
        raise
    except OSError as error:
        hint = "; choose another with --port" if error.errno == errno.EADDRINUSE else ""
        complain(f"{sentence(error)}{hint}")
        return TROUBLE
    except KeyboardInterrupt:
        complain("interrupted: stopped serving")
    return 0


if __name__ == "__main__":
    run(main)
