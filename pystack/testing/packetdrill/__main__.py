"""`python -m pystack.testing.packetdrill FILE...`: run scripts and report what became of each.

Status 0: none has failed. A script that needs what the runner or the stack does not have counts as skipped.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pystack.testing.packetdrill.report import ScriptFailure
from pystack.testing.packetdrill.runner import run_file
from pystack.testing.packetdrill.script import ScriptError, ScriptUnsupported
from pystack.testing.packetdrill.settings import IP_VERSIONS, Settings


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pystack.testing.packetdrill", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--ip_version",
        type=lambda text: text.replace("-", "_"),
        choices=IP_VERSIONS,
        default="ipv4",
        help="unless the script has its own",
    )
    parser.add_argument("--lenient", action="store_true", help="PSH and the order of TCP options may differ")
    parser.add_argument(
        "-D", "--define", dest="D", metavar="NAME=VALUE", action="append", default=[], help="define a name for #ifdef"
    )
    chosen = parser.parse_args(arguments)
    defines = dict(definition.partition("=")[::2] for definition in chosen.D)
    settings = Settings(ip_version=chosen.ip_version, strict=not chosen.lenient, defines=defines)
    failures = skips = 0
    for path in chosen.files:
        try:
            report = run_file(path, settings)
        except (ScriptError, ScriptFailure) as error:
            failures += 1
            print(error)
        except ScriptUnsupported as error:
            skips += 1
            print(f"{path}: skipped: {error}")
        else:
            print(f"{path}: passed over {report.ip_version}")
            for skipped in report.skipped:
                print(f"    skipped {skipped}")
    print(f"{len(chosen.files) - failures - skips} passed, {failures} failed, {skips} skipped")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
