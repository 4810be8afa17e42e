"""Run COMMAND, which runs pytest somewhere, so that it records: recorded.py NAME COMMAND...

It leaves build/ci/NAME/outcomes.json, what each test came to. A test that hangs ends the run with every thread's
traceback.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).parents[1].absolute() / "build" / "ci"
HANGING = ("-o", "faulthandler_timeout=300", "-o", "faulthandler_exit_on_timeout=true")


def main() -> int:
    name, *command = sys.argv[1:]
    folder = RESULTS / name
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--durations=10", f"--record-outcomes={folder / 'outcomes.json'}", *HANGING]
    environment = {"PYTEST_ADDOPTS": shlex.join(options)}
    return subprocess.run(command, env=os.environ | environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
