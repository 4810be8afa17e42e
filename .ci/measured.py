"""Run COMMAND, which runs pytest somewhere, so that it records and measures: measured.py NAME COMMAND...

It leaves build/ci/NAME/outcomes.json, what each test came to, and build/ci/NAME/coverage. A test that hangs ends the
run with every thread's traceback.
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
    options = ["--cov", "--cov-report=", "--durations=10", f"--record-outcomes={folder / 'outcomes.json'}", *HANGING]
    environment = {"PYTEST_ADDOPTS": shlex.join(options), "COVERAGE_FILE": str(folder / "coverage")}
    return subprocess.run(command, env=os.environ | environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
