"""Many scripts against the kernel at once, each in a process and a network of its own: they mostly sleep."""

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic

from attrs import define, evolve, frozen

from pystack.testing.packetdrill import (
    ScriptError,
    ScriptFailure,
    ScriptUnsupported,
    Settings,
    parse_script,
)
from pystack.testing.packetdrill.runner import run_file
from pystack.testing.packetdrill.script import Script, TimeKind
from pystack.testing.pytest_packetdrill import IPV6_HEADER_EXCESS
from pystack.units import MS, SECOND
from tests.interop.drill.bench import KernelBench

__all__ = ["SETTINGS", "Sentence", "duration", "judge"]

SETTINGS = Settings(complete=True, tolerance=12 * MS, tolerance_percent=20)
"""A kernel's timers may be late by an eighth, and by a tick of 4 ms where it has 250 in a second; the rest is for a
machine that does other things too."""
_GRACE = 30.0
"""Seconds by which a script may take longer than it says."""


@frozen
class Sentence:
    path: Path
    version: str
    outcome: str
    """passed, failed, unsupported"""
    text: str = ""


@define(eq=False)
class _Trial:
    path: Path
    version: str
    process: multiprocessing.process.BaseProcess
    verdict: Connection
    deadline: float


def duration(script: Script) -> float:
    """Seconds that it takes at least."""
    now = 0
    for event in script.events:
        span = event.time.until or event.time.start
        now = span if event.time.kind is TimeKind.ABSOLUTE else now + span
    return now / SECOND


def judge(
    scripts: Iterable[tuple[Path, str]], *, settings: Settings = SETTINGS, at_once: int = 16, attempts: int = 1
) -> Iterator[Sentence]:
    """What the kernel makes of each script over the given version of IP; a failure only after so many attempts."""
    waiting = [(path, version, attempts) for path, version in reversed(list(scripts))]
    running: dict[Connection, tuple[_Trial, int]] = {}
    while waiting or running:
        while waiting and len(running) < at_once:
            path, version, left = waiting.pop()
            trial = _begin(path, version, settings)
            running[trial.verdict] = trial, left
        for verdict in wait(list(running), 1.0):
            assert isinstance(verdict, Connection)
            trial, left = running.pop(verdict)
            sentence = _end(trial)
            if sentence.outcome == "failed" and left > 1:
                waiting.insert(0, (trial.path, trial.version, left - 1))
            else:
                yield sentence
        for verdict, (trial, _) in list(running.items()):
            if monotonic() > trial.deadline:
                del running[verdict]
                trial.process.kill()
                trial.process.join()
                yield Sentence(trial.path, trial.version, "failed", f"{trial.path}: it does not come to an end")


def _begin(path: Path, version: str, settings: Settings) -> _Trial:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    mtu = settings.mtu + (IPV6_HEADER_EXCESS if version == "ipv6" else 0)
    process = multiprocessing.get_context("fork").Process(
        target=_play, args=(path, evolve(settings, ip_version=version, mtu=mtu), theirs), daemon=True
    )
    process.start()
    theirs.close()
    try:
        length = duration(parse_script(path.read_text(encoding="utf-8"), str(path)))
    except (ScriptError, ScriptUnsupported):
        length = 0
    return _Trial(path, version, process, ours, monotonic() + 1.2 * length + _GRACE)


def _play(path: Path, settings: Settings, verdict: Connection) -> None:
    try:
        run_file(path, settings, KernelBench)
    except (ScriptError, ScriptFailure) as error:
        told = "failed", str(error)
    except ScriptUnsupported as error:
        told = "unsupported", str(error)
    except Exception as error:
        told = "failed", f"{path}: {type(error).__name__}: {error}"
    else:
        told = "passed", ""
    verdict.send(told)
    verdict.close()
    os._exit(0)  # a thread may be in a call that never returns


def _end(trial: _Trial) -> Sentence:
    try:
        outcome, text = trial.verdict.recv()
    except EOFError:
        outcome, text = "failed", f"{trial.path}: the process died"
    trial.process.join()
    return Sentence(trial.path, trial.version, outcome, text)
