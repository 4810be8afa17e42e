"""Each of our scripts is also judged by a real kernel, over both versions of IP.

What is known to be otherwise there stands in `disagreements.txt`, with its reason.
"""

from pathlib import Path

import pytest

from pystack.testing.packetdrill import parse_script
from tests.interop.drill.judge import Sentence, duration, judge

pytestmark = [pytest.mark.interop, pytest.mark.deep]

SCRIPTS = Path(__file__).parents[2] / "scripts"
DISAGREEMENTS = Path(__file__).with_name("disagreements.txt")
LONGEST = 130
"""Seconds: the kernel's time is real."""


def known() -> dict[str, str]:
    lines = DISAGREEMENTS.read_text(encoding="utf-8").splitlines()
    entries = (line.partition(": ") for line in lines if line and not line.startswith("#"))
    return {name: reason for name, _, reason in entries}


def scripts() -> list[tuple[Path, str]]:
    """Those that end in time, each over the versions that it is written for."""
    found = []
    for path in sorted(SCRIPTS.rglob("*.pkt")):
        script = parse_script(path.read_text(encoding="utf-8"), str(path))
        fixed = [option.value for option in script.options if option.name == "ip_version"]
        if duration(script) <= LONGEST:
            found += [(path, version) for version in fixed or ("ipv4", "ipv6")]
    return found


def test_a_real_kernel_agrees() -> None:
    sentences = list(judge(scripts(), at_once=32, attempts=3))
    failures: dict[str, list[Sentence]] = {}
    for each in sentences:
        if each.outcome == "failed":
            failures.setdefault(str(each.path.relative_to(SCRIPTS)), []).append(each)
    listed = known()
    unexpected = [
        each.text
        for name, failed in failures.items()
        for each in failed
        if name not in listed and f"{Path(name).parent}/" not in listed
    ]
    stale = [name for name in listed if not any(each.startswith(name) for each in failures)]
    assert not unexpected, "\n".join(unexpected)
    assert not stale, f"the kernel agrees by now: {', '.join(stale)}"
    assert sum(each.outcome == "passed" for each in sentences) > len(sentences) // 2
