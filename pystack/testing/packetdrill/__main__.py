"""`python -m pystack.testing.packetdrill FILE...`: run scripts and report failures. Status 1: there were some."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pystack.testing.packetdrill.report import ScriptFailure
from pystack.testing.packetdrill.runner import run_file
from pystack.testing.packetdrill.script import ScriptError
from pystack.testing.packetdrill.settings import IP_VERSIONS, Settings


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pystack.testing.packetdrill", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--ip_version", choices=IP_VERSIONS, default="ipv4", help="unless the script has its own")
    parser.add_argument("--lenient", action="store_true", help="PSH and the order of TCP options may differ")
    parser.add_argument("-D", metavar="NAME=VALUE", action="append", default=[], help="define a name for #ifdef")
    chosen = parser.parse_args(arguments)
    defines = dict(definition.partition("=")[::2] for definition in chosen.D)
    settings = Settings(ip_version=chosen.ip_version, strict=not chosen.lenient, defines=defines)
    failures = 0
    for path in chosen.files:
        try:
            report = run_file(path, settings)
        except (ScriptError, ScriptFailure) as error:
            failures += 1
            print(error)
        else:
            print(f"{path}: passed over {report.ip_version}")
            for skipped in report.skipped:
                print(f"    skipped {skipped}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
