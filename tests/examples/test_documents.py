"""What the documents show is what happens: their code runs, their numbers are the code's, their links lead to files."""

import re
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from _story import STATES

from pystack import StackConfig, TCPConfig
from pystack.net.config import NetConfig
from pystack.transport.tcp.state import State
from pystack.units import SECOND

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
SETTINGS = {config.__name__: config() for config in (NetConfig, StackConfig, TCPConfig)}


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def output_of(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.mark.parametrize("document", ["README.md", "docs/tutorial.md", "docs/howto/options.md"])
def test_the_first_program_prints_what_is_shown(document: str) -> None:
    assert output_of(blocks(document, "python")[0]) == blocks(document, "text")[0]


@pytest.mark.parametrize("document", ["docs/howto/memory.md", "docs/howto/embed.md", "docs/howto/capture.md"])
def test_the_first_program_runs(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    output_of(blocks(document, "python")[0])


def test_simulated_time_is_the_same_every_time() -> None:
    program = blocks("docs/howto/embed.md", "python")[0]
    assert output_of(program) == output_of(program)


def test_a_congestion_control_of_one_s_own_runs() -> None:
    assert output_of(blocks("docs/congestion.md", "python")[-1]) == blocks("docs/congestion.md", "text")[0]


def test_frames_are_built_and_read() -> None:
    build, read, *_ = blocks("docs/howto/frames.md", "python")
    assert "192.0.2.1.1234 > 192.0.2.2.80: Flags [S]" in output_of(build + read)


def test_the_readme_has_two_commands() -> None:
    demo, tests = blocks("README.md", "sh")
    assert demo.count("\n") == tests.count("\n") == 1
    assert "examples/curl_lite.py" in demo
    assert "pytest" in tests


def rows() -> list[tuple[str, str]]:
    """(setting, default) of each row of limits.md."""
    text = (ROOT / "docs/limits.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `([\w.]+)` \| ([^|]+?) \|", text, re.MULTILINE)


@pytest.mark.parametrize(("setting", "default"), rows())
def test_limits_are_those_of_the_code(setting: str, default: str) -> None:
    config, name = setting.split(".")
    value = getattr(SETTINGS[config], name)
    if isinstance(value, tuple):
        assert default == f"{value[0]} to {value[1]}"
    elif default.endswith(" s"):
        assert default == f"{value // SECOND} s"
    else:
        assert default == f"{value:,}"


def test_every_cap_is_listed() -> None:
    text = (ROOT / "docs/limits.md").read_text(encoding="utf-8")
    caps = re.compile(r"limit|queue|backlog|ranges|_max$|buffer|burst|_rate$")
    for config, settings in SETTINGS.items():
        names = [field.name for field in attrs.fields(type(settings)) if caps.search(field.name)]
        assert [name for name in names if f"`{config}.{name}`" not in text] == []


def test_every_state_is_explained() -> None:
    assert set(STATES) == {str(state) for state in State}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    missing = [
        target for target in targets if target and "://" not in target and not (document.parent / target).exists()
    ]
    assert missing == []
