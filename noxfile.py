"""One command checks all: `nox`. `nox -l` lists the sessions; `nox -s ci` is what `.ci/run` runs."""

import shutil
from pathlib import Path

import nox

nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "docs", "tests", "interop", "bench"]

PYTHONS = ["3.11", "3.12", "3.13"]
EVERYTHING = "-e.[test,oracle,lint,docs,plots,fuzz]"
RESULTS = Path("build", "ci")
"""What `.ci/recorded.py` leaves: a folder per run of the tests, with `outcomes.json`."""
BRANCH_COVERAGE = 95
"""Percent of `pystack/`, branches counted, below which the `coverage` session fails."""
MUST_RUN = {"PYSTACK_REQUIRE_ALL": "1"}
"""A test that lacks root or a program fails instead of being skipped."""


@nox.session
def lint(session: nox.Session) -> None:
    """Style and layout, by ruff."""
    session.install("ruff")
    check_style(session)


@nox.session
def types(session: nox.Session) -> None:
    """`mypy --strict` over all Python that is here: the package, tests, examples, benchmarks, documents, CI."""
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
    run_interop(session, "not deep", *session.posargs)


@nox.session
def requirements(session: nox.Session) -> None:
    """Each row of RFC 9293's summary against the tests named for it.

    Arguments: records of runs that have just been made (`pytest --record-outcomes`). Without any the tests are run,
    which needs root.
    """
    session.install("-e.[test,oracle]")
    records = session.posargs
    if not records:
        records = [f"{session.create_tmp()}/{name}.json" for name in ("tests", "interop")]
        session.run("pytest", "-q", "-n", "auto", "--record-outcomes", records[0])
        run_interop(session, "not deep", "-q", "--record-outcomes", records[1])
    check_requirements(session, *records)


@nox.session
def coverage(session: nox.Session) -> None:
    """Which branches of the package the tests take, those on real kernels included: needs root, and fifteen minutes.

    Processes that tests start, and tests marked `untraced`, are not counted.
    """
    session.install("-e.[test,oracle]")
    session.run("coverage", "erase")
    session.run("pytest", "-q", "-n", "auto", "--cov", "--cov-report=", env=MUST_RUN)
    run_interop(session, "not deep", "-q", "--cov", "--cov-append", "--cov-report=")
    session.run("coverage", "report", f"--fail-under={BRANCH_COVERAGE}")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Every parser, guided by coverage, for ten minutes; arguments: seconds and names of targets (tests/fuzz)."""
    session.install("-e.[fuzz]")
    session.run("python", "-m", "tests.fuzz", *(session.posargs or ["600"]))


@nox.session
def bench(session: nox.Session) -> None:
    """Every benchmark at full size, each row held to its floor; needs root. Arguments go to benchmarks/all.py."""
    session.install("-e.[test,oracle]")
    session.run("python", "benchmarks/all.py", "--check", *session.posargs)


@nox.session
def beside(session: nox.Session) -> None:
    """Other user-space stacks beside ours, as far as they are installed; PyTCP gets an environment of its own."""
    session.install("-e.[test,oracle]")
    pytcp = Path(session.create_tmp(), "pytcp", "bin", "python").absolute()
    session.run("python", "-m", "venv", str(pytcp.parents[1]))
    session.run(str(pytcp), "-m", "pip", "install", "-q", "PyTCP==2.7.6", external=True)
    session.run("python", "benchmarks/beside.py", *session.posargs, env={"PYTCP_PYTHON": str(pytcp)})


@nox.session
def deep(session: nox.Session) -> None:
    """The long runs: many seeds, many cycles, big transfers, interop without offload too. Arguments go to pytest."""
    session.install("-e.[test,oracle]")
    session.run("pytest", "-n", "auto", "-m", "deep and not interop", *session.posargs, env=MUST_RUN)
    run_interop(session, "deep", *session.posargs)


@nox.session
def ci(session: nox.Session) -> None:
    """All of the above in one environment, briefly: short benchmarks, which fail under half a floor only.

    Arguments name the parts to run: `static`, `tests`, `rest`. `.ci/run` runs README command two in place of `tests`;
    what `rest` runs is only what that leaves out or skips.
    """
    parts = session.posargs or ["static", "tests", "rest"]
    session.install(EVERYTHING, "nox")
    if "static" in parts:
        check_style(session)
        check_types(session)
        build_docs(session)
    if "tests" in parts:
        shutil.rmtree(RESULTS, ignore_errors=True)
        run_recorded(session, "plain", "-n", "auto")
    if "rest" in parts:
        run_recorded(session, "oracle", "-n", "auto", "tests/oracle")
        run_recorded(session, "interop", "-m", "interop and not deep")
        check_requirements(session, *map(str, RESULTS.glob("*/outcomes.json")))
        session.run("python", "-m", "tests.requirements.count", str(RESULTS), "--none-skipped")
        session.run("python", "-m", "tests.fuzz", "30")
        session.run("python", "benchmarks/all.py", "--quick", "--check", "0.5")


def check_style(session: nox.Session) -> None:
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


def check_types(session: nox.Session) -> None:
    session.run("mypy")


def build_docs(session: nox.Session) -> None:
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build/html")


def run_interop(session: nox.Session, which: str, *arguments: str) -> None:
    """Not in parallel: what is shown includes how soon a ping is answered."""
    session.run("pytest", "-m", f"interop and {which}", *arguments, env=MUST_RUN)


def check_requirements(session: nox.Session, *records: str) -> None:
    session.run("python", "-m", "tests.requirements", *records, "--check")


def run_recorded(session: nox.Session, name: str, *arguments: str) -> None:
    session.run("python", ".ci/recorded.py", name, "pytest", "-q", *arguments, env=MUST_RUN)
