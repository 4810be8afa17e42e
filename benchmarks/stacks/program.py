"""A child process that measures on request: a line asks for a figure, a line answers."""

import selectors
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from _network import HERE
from attrs import frozen

__all__ = ["Failed", "Program", "started"]

PATIENCE = 20
"""Seconds."""


class Failed(Exception):
    """Why there is no figure."""


@frozen
class Program:
    """Reads lines of a letter of `_work.py`, how much of it, and the peer's port."""

    process: subprocess.Popen[str]
    complaints: IO[str]
    """Its standard error."""

    def ask(self, work: bytes, amount: int, port: int) -> float:
        """Its figure. Raises `Failed` when it ends instead, or says nothing for `PATIENCE`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(f"{work.decode()} {amount} {port}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(self.end()) from None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(PATIENCE):
                raise Failed(f"no answer within {PATIENCE} s")
        answer = self.process.stdout.readline()
        if not answer:
            raise Failed(self.end())
        return float(answer)

    def end(self) -> str:
        """How it ended, and its last word."""
        status = self.process.wait(PATIENCE)
        self.complaints.seek(0)
        last = self.complaints.read().splitlines()[-1:]
        return ": ".join([f"killed by signal {-status}" if status < 0 else f"ended with status {status}", *last])


@contextmanager
def started(command: Sequence[str], *descriptors: int) -> Iterator[Program]:
    """Run `command` beside us; it inherits our cores, and `descriptors`."""
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(
            command,
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            pass_fds=descriptors,
        ) as process,
    ):
        try:
            yield Program(process, complaints)
        finally:
            process.kill()
