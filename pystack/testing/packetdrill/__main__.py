"""Run scripts in packetdrill's language against pystack and report what became of each.

status: 0: none has failed; 1: one has; 2: the command line is wrong, or a file cannot be read. A script that needs what
the runner or the stack does not have counts as skipped.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import define, field

from pystack.testing.packetdrill.report import Report, ScriptFailure, seconds
from pystack.testing.packetdrill.runner import run_file
from pystack.testing.packetdrill.script import ScriptError, ScriptUnsupported
from pystack.testing.packetdrill.settings import IP_VERSIONS, Settings

_EXAMPLES = """examples:
  python -m pystack.testing.packetdrill echo.pkt            one script, over IPv4
  python -m pystack.testing.packetdrill -q scripts          all below a folder; tell of those that fail or are skipped
  python -m pystack.testing.packetdrill -v echo.pkt         with everything that happened
  python -m pystack.testing.packetdrill --ip_version ipv6 --mtu 1520 echo.pkt
  python -m pystack.testing.packetdrill --lenient bsd.pkt   PSH and the order of options may differ
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pystack.testing.packetdrill",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a script, or a folder: all *.pkt below it")
    parser.add_argument(
        "--ip_version",
        type=lambda text: text.replace("-", "_"),
        choices=IP_VERSIONS,
        default="ipv4",
        help="unless the script has its own",
    )
    parser.add_argument("--mtu", type=int, default=1500, help="of the link, unless the script has its own")
    parser.add_argument("--lenient", action="store_true", help="PSH and the order of TCP options may differ")
    parser.add_argument(
        "-D", "--define", dest="D", metavar="NAME=VALUE", action="append", default=[], help="define a name for #ifdef"
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("-q", "--quiet", action="store_true", help="do not name the scripts that pass")
    amount.add_argument("-v", "--verbose", action="store_true", help="every event of those that pass")
    return parser


@define
class _Session:
    settings: Settings
    quiet: bool
    verbose: bool
    passed: int = field(default=0, init=False)
    failed: int = field(default=0, init=False)
    skipped: int = field(default=0, init=False)
    unreadable: int = field(default=0, init=False)

    def run(self, path: Path) -> None:
        try:
            report = run_file(path, self.settings)
        except (ScriptError, ScriptFailure) as error:
            self.failed += 1
            print(error)
        except ScriptUnsupported as error:
            self.skipped += 1
            print(f"{path}: skipped: {error}")
        except (OSError, UnicodeDecodeError) as error:
            self.complain(path, error.strerror or str(error) if isinstance(error, OSError) else "this is not text")
        else:
            self.passed += 1
            if not self.quiet:
                self._tell(path, report)

    def _tell(self, path: Path, report: Report) -> None:
        print(f"{path}: passed over {report.ip_version}")
        for skipped in report.skipped:
            print(f"    skipped {skipped}")
        if self.verbose:
            for event in report.history:
                print(f"    {event}")
            print(f"    {report.events} events in {seconds(report.duration)} s")

    def complain(self, path: Path, problem: str) -> None:
        self.unreadable += 1
        print(f"error: {path}: {problem}", file=sys.stderr)

    @property
    def status(self) -> int:
        return 2 if self.unreadable else 1 if self.failed else 0


def _scripts(paths: Sequence[Path], session: _Session) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
        elif found := sorted(path.rglob("*.pkt")):
            yield from found
        else:
            session.complain(path, "no file below this folder ends in .pkt")


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    defines = dict(definition.partition("=")[::2] for definition in chosen.D)
    settings = Settings(ip_version=chosen.ip_version, mtu=chosen.mtu, strict=not chosen.lenient, defines=defines)
    session = _Session(settings, chosen.quiet, chosen.verbose)
    for path in _scripts(chosen.paths, session):
        session.run(path)
    print(f"{session.passed} passed, {session.failed} failed, {session.skipped} skipped")
    return session.status


if __name__ == "__main__":
    sys.exit(main())
