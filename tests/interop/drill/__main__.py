"""`python -m tests.interop.drill FILE...`: what the kernel of this machine makes of scripts. Needs root."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from attrs import evolve

from pystack.testing.packetdrill import ScriptError, ScriptUnsupported, parse_script
from tests.interop.drill.judge import SETTINGS, duration, judge


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.interop.drill", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="scripts, or folders of them")
    parser.add_argument("--ip_version", action="append", choices=("ipv4", "ipv6"), help="default: ipv4")
    parser.add_argument("--at-once", type=int, default=16, metavar="N")
    parser.add_argument("--attempts", type=int, default=1, metavar="N")
    parser.add_argument("--longest", type=float, default=60, metavar="SECONDS", help="leave out longer ones")
    parser.add_argument("--lenient", action="store_true")
    chosen = parser.parse_args()
    files = [file for path in chosen.files for file in (sorted(path.rglob("*.pkt")) if path.is_dir() else [path])]
    short = [path for path in files if _length(path) <= chosen.longest]
    scripts = [(path, version) for path in short for version in chosen.ip_version or ["ipv4"]]
    settings = evolve(SETTINGS, strict=not chosen.lenient)
    counts: Counter[str] = Counter()
    for sentence in judge(scripts, settings=settings, at_once=chosen.at_once, attempts=chosen.attempts):
        counts[sentence.outcome] += 1
        if sentence.outcome == "passed":
            print(f"{sentence.path}: passed over {sentence.version}")
        else:
            print(f"{sentence.outcome} over {sentence.version}: {sentence.text}")
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()), f"{len(files) - len(short)} too long")
    return 1 if counts["failed"] else 0


def _length(path: Path) -> float:
    try:
        return duration(parse_script(path.read_text(encoding="utf-8"), str(path)))
    except (ScriptError, ScriptUnsupported):
        return 0


if __name__ == "__main__":
    sys.exit(main())
