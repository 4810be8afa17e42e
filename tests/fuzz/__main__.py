"""Fuzz the parsers, guided by the branches that each input takes: `python -m tests.fuzz [SECONDS [TARGET ...]]`.

Needs the extra `fuzz`. The corpus begins with frames of our own; what fails is left in the working directory as
`crash-...`, and `python -m tests.fuzz FILE` runs that again.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pystack"]):
    from tests.fuzz.targets import TARGETS, seeds

LARGEST = 2000
CHILD = "--child"


def fuzz(name: str, seconds: int) -> int:
    """In a process of its own: libFuzzer ends it. The exit status."""
    with tempfile.TemporaryDirectory() as corpus:
        for number, octets in enumerate(seeds()):
            Path(corpus, str(number)).write_bytes(octets)
        arguments = [f"-max_total_time={seconds}", f"-max_len={LARGEST}", "-seed=1", "-verbosity=0", corpus]
        return subprocess.run([sys.executable, "-m", "tests.fuzz", CHILD, name, *arguments], check=False).returncode


def main(first: str = "60", *names: str) -> int:
    if first == CHILD:
        atheris.Setup(list(names), TARGETS[names[0]])
        atheris.Fuzz()
    if Path(first).is_file():
        for target in TARGETS.values():
            target(Path(first).read_bytes())
        return 0
    wanted = names or tuple(TARGETS)
    seconds = max(1, int(first) // len(wanted))
    for name in wanted:
        print(f"{name}: {seconds} s", flush=True)
        status = fuzz(name, seconds)
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
