"""What the documents show is what happens: their code runs, their numbers are the code's, their links lead to files."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from _story import STATES

from pystack import StackConfig, TCPConfig
from pystack.net.config import NetConfig
from pystack.stack.linuxinfo import TOLD
from pystack.testing.packetdrill import Settings, sysctl
from pystack.testing.packetdrill.calls import SocketCalls
from pystack.testing.packetdrill.preprocess import prepare
from pystack.testing.packetdrill.settings import apply_options
from pystack.transport.tcp.state import State
from pystack.units import SECOND
from tests.examples.conftest import Run

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


def test_the_story_is_told_as_shown(run: Run) -> None:
    """Sentence by sentence, up to the good-bye, which two hosts may say in more than one way."""
    told = sentences(run("curl_lite.py", "-v", "-o", "page.html").stderr.decode())
    for block in blocks("docs/tutorial.md", "text")[1:4]:
        assert set(sentences(block)) <= set(told)


def sentences(story: str) -> list[str]:
    """What one line of the story, and what it goes on in, says, all numbers alike."""
    text = re.sub(r"\d+", "0", " ".join(story.split()))
    return [sentence.strip() for sentence in re.split(r"(?=0\.0 ms |=== |TCP between)", text) if sentence]


def test_simulations_print_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    programs, shown = blocks("docs/simulation.md", "python"), blocks("docs/simulation.md", "text")
    assert [output_of(program) for program in programs] == shown


def test_simulated_time_is_the_same_every_time() -> None:
    program = blocks("docs/howto/embed.md", "python")[0]
    assert output_of(program) == output_of(program)


def test_a_congestion_control_of_one_s_own_runs() -> None:
    assert output_of(blocks("docs/congestion.md", "python")[-1]) == blocks("docs/congestion.md", "text")[0]


def test_frames_are_built_and_read() -> None:
    build, read, *_ = blocks("docs/howto/frames.md", "python")
    assert "192.0.2.1.1234 > 192.0.2.2.80: Flags [S]" in output_of(build + read)


def test_a_property_of_frames_holds() -> None:
    output_of(blocks("docs/howto/frames.md", "python")[-1] + "test_every_frame_can_be_described()")


def test_a_link_of_one_s_own_carries_packets() -> None:
    assert output_of(blocks("docs/howto/embed.md", "python")[-1]).startswith("answered after ")


def test_the_readme_has_two_commands() -> None:
    demo, tests = blocks("README.md", "sh")
    assert demo.count("\n") == tests.count("\n") == 1
    assert "examples/curl_lite.py" in demo
    assert "pytest" in tests


PACKETDRILL = "docs/packetdrill.md"


@pytest.fixture
def script_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the scripts that the page shows, each under the name in its first line."""
    monkeypatch.chdir(tmp_path)
    for block in blocks(PACKETDRILL, "text"):
        if named := re.match(r"// (\w+\.pkt):", block):
            (tmp_path / named[1]).write_text(block, encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("script_folder")
def test_packetdrill_prints_what_is_shown() -> None:
    sessions = blocks(PACKETDRILL, "console")
    assert len(sessions) == 4
    for session in sessions:
        command, shown = session.split("\n", 1)
        dollar, python, *arguments = shlex.split(command)
        assert (dollar, python) == ("$", "python")
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert (done.stdout, done.stderr) == (shown, "")
        assert done.returncode == int(" 1 failed" in shown)


@pytest.mark.usefixtures("script_folder")
def test_scripts_are_run_from_python() -> None:
    assert output_of(blocks(PACKETDRILL, "python")[0]) in blocks(PACKETDRILL, "text")


@pytest.mark.parametrize(
    ("conftest", "outcome"), [(1, "2 failed, 4 passed, 2 skipped"), (2, "4 failed, 4 passed")], ids=["plugin", "own"]
)
def test_scripts_are_tests_of_pytest(script_folder: Path, conftest: int, outcome: str) -> None:
    (script_folder / "conftest.py").write_text(blocks(PACKETDRILL, "python")[conftest], encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-c", "none.ini", "--rootdir", ".", "-p", "no:cacheprovider"]
    (script_folder / "none.ini").write_text("[pytest]\n")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert outcome in done.stdout.splitlines()[-1]


def test_every_call_of_a_script_is_listed() -> None:
    text = (ROOT / PACKETDRILL).read_text(encoding="utf-8")
    table = text.partition("### Calls")[2].partition("Values are")[0]
    calls = {name.removeprefix("call_") for name in dir(SocketCalls) if name.startswith("call_")}
    assert set(re.findall(r"`([a-z]\w+)`", table)) == calls


def test_every_sysctl_of_a_script_is_listed_and_sets_what_it_says() -> None:
    text = (ROOT / PACKETDRILL).read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `((?:net|kern)\.[\w.]+)` \| (.+) \|$", text, re.MULTILINE))
    assert listed.keys() == sysctl.KNOWN
    for name, effect in listed.items():
        assert sysctl_fields(name) == set(re.findall(r"`([\w.]+)`", effect))


def sysctl_fields(name: str) -> set[str]:
    """Fields of `StackConfig` that some value of `name` changes."""
    default = StackConfig()
    changed = set()
    for value in ("0", "1", "2", "7777", "77777", "newreno", "4096 20000 30000", "100 200"):
        config, _ = sysctl.apply_command(default, f"sysctl -q {name}='{value}'")
        for prefix, before, after in (("", default, config), ("tcp.", default.tcp, config.tcp)):
            fields = [field.name for field in attrs.fields(type(before)) if field.name != "tcp"]
            changed |= {f"{prefix}{field}" for field in fields if getattr(before, field) != getattr(after, field)}
    return changed


def test_script_options_are_listed() -> None:
    text = (ROOT / PACKETDRILL).read_text(encoding="utf-8")
    table = text.partition("### Options in a script")[2].partition("Any other is")[0]
    names = re.findall(r"`(--\w+)`", table)
    values = {
        "--ip_version": "ipv6",
        "--local_ip": "::1",
        "--remote_ip": "::1",
        "--gateway_ip": "::1",
        "--netmask_ip": "::",
    }
    source = "".join(f"{name}={values.get(name, '7')}\n" for name in names)
    assert apply_options(Settings(), prepare(source, "a.pkt", {}).options, "a.pkt")[1] == []


def test_tcp_info_of_a_script_is_listed() -> None:
    text = (ROOT / PACKETDRILL).read_text(encoding="utf-8")
    section = text.partition("### Python blocks")[2].partition("### ")[0]
    assert re.findall(r"`(tcpi_\w+)`", section) == list(TOLD)


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
