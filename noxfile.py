"""One command checks all: `nox`. `nox -l` lists the sessions; `nox -s ci` is what `.ci/run` runs."""

from pathlib import Path

import nox

nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "docs", "tests", "interop", "bench"]

PYTHONS = ["3.11", "3.12", "3.13"]
EVERYTHING = "-e.[test,oracle,lint,docs,plots]"
TYPED = ["noxfile.py", *map(str, sorted(Path("benchmarks").rglob("*.py")))]
RESULTS = Path("build", "ci")
"""Where the `ci` session leaves one JUnit file per test run."""
BRANCH_COVERAGE = 90
"""Percent of `pystack/`, branches counted, below which the `ci` session fails."""
MUST_RUN = {"PYSTACK_REQUIRE_ALL": "1"}
"""A test that lacks root or a program fails instead of being skipped."""
HANGING = ("-o", "faulthandler_timeout=300", "-o", "faulthandler_exit_on_timeout=true")
"""A test that hangs ends the run with every thread's traceback."""


@nox.session
def lint(session: nox.Session) -> None:
    """Style and layout, by ruff."""
    session.install("ruff")
    check_style(session)


@nox.session
def types(session: nox.Session) -> None:
    """`mypy --strict` over the package, the examples, the benchmarks and this file."""
    session.install(EVERYTHING, "nox")
    check_types(session)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, a warning being an error."""
    session.install("-e.[docs]")
    build_docs(session)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Every test that runs in seconds and needs no other program, on each Python. Arguments go to pytest."""
    session.install("-e.[test,oracle]")
    session.run("pytest", "-n", "auto", "-m", "not interop and not deep", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """The examples, each as a user starts it."""
    session.install("-e.[test]")
    session.run("pytest", "-n", "auto", "tests/examples", *session.posargs)


@nox.session
def interop(session: nox.Session) -> None:
    """Against the kernel, nginx, curl, ping and tshark, which must be there; needs root."""
    session.install("-e.[test,oracle]")
    run_interop(session, *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Every benchmark at full size, each row held to its floor; needs root. Arguments go to benchmarks/all.py."""
    session.install("-e.[test,oracle]")
    session.run("python", "benchmarks/all.py", "--check", *session.posargs)


@nox.session
def deep(session: nox.Session) -> None:
    """The long runs: many seeds, many cycles, big transfers."""
    session.install("-e.[test,oracle]")
    session.run("pytest", "-n", "auto", "-m", "deep", *session.posargs, env=MUST_RUN)


@nox.session
def ci(session: nox.Session) -> None:
    """All of the above in one environment, briefly: short benchmarks, which fail under half a floor only."""
    session.install(EVERYTHING, "nox")
    RESULTS.mkdir(parents=True, exist_ok=True)
    session.run("coverage", "erase")
    check_style(session)
    check_types(session)
    build_docs(session)
    run_covered(session, "tests", "-n", "2", "-m", "not interop and not deep")
    run_covered(session, "interop", "-m", "interop and not deep")
    session.run("coverage", "report", f"--fail-under={BRANCH_COVERAGE}")
    session.run("python", "benchmarks/all.py", "--quick", "--check", "0.5")


def check_style(session: nox.Session) -> None:
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


def check_types(session: nox.Session) -> None:
    session.run("mypy", "--strict")
    session.run("mypy", "--strict", *TYPED)


def build_docs(session: nox.Session) -> None:
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build/html")


def run_interop(session: nox.Session, *arguments: str) -> None:
    """Not in parallel: what is shown includes how soon a ping is answered."""
    session.run("pytest", "-m", "interop and not deep", *arguments, env=MUST_RUN)


def run_covered(session: nox.Session, name: str, *arguments: str) -> None:
    """One run of the tests, its coverage added to the earlier ones'."""
    measured = ("--cov", "--cov-append", "--cov-report=", "--durations=10", f"--junitxml={RESULTS / name}.xml")
    session.run("pytest", "-q", *arguments, *HANGING, *measured, env=MUST_RUN)
