"""What the documents show is true: commands compose, files exist, examples run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import _parser
from bench.search.compose import compose

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _fenced(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


COMMANDS = [line for block in _fenced("sh") for line in block.splitlines()]


def test_readme_shows_commands() -> None:
    assert {"make demo", "make test"} <= set(COMMANDS)
    assert sum(line.startswith("asr-sweep run") for line in COMMANDS) >= 3


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_understood(command: str) -> None:
    program, verb, *arguments = shlex.split(command)
    if program == "make":
        assert re.search(rf"^{verb}:.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif verb == "run":
        assert compose(arguments) is not None
    else:
        assert _parser().parse_args([verb, *arguments]).command is not None


@pytest.mark.parametrize("guide", ["compare.md", "engines.md", "export.md", "storage.md"])
def test_commands_of_a_guide_are_understood(guide: str) -> None:
    blocks = re.findall(
        r"^```sh\n(.*?)^```$", (ROOT / "docs" / guide).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    commands = [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]
    assert commands
    for verb, *arguments in commands:
        if verb == "run":
            assert compose(arguments) is not None
        else:
            assert _parser().parse_args([verb, *arguments]).command is not None


def test_commands_of_the_cluster_guide_compose() -> None:
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    blocks = dict.fromkeys(("sh", "bash", "yaml"), "")
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        blocks[language] += block
    commands = [shlex.split(line) for line in blocks["sh"].splitlines()]
    # Within the scripts a command goes on to the end of its quotes, or of the script.
    for script in (blocks["bash"], blocks["yaml"]):
        commands += [shlex.split(found) for found in re.findall(r"asr-sweep run [^'#]*", script)]
    assert len(commands) >= 5
    for command in commands:
        study = compose(command[2:])
        assert study is not None
        assert study.config.executor.workers != 1


def test_links_and_pictures_exist() -> None:
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in target]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_config_groups_are_listed() -> None:
    listed = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", README, re.MULTILINE))
    for group in (path for path in (ROOT / "conf").iterdir() if path.is_dir()):
        assert set(re.findall(r"`(\w+)`", listed[group.name])) == {choice.stem for choice in group.glob("*.yaml")}


@pytest.mark.parametrize(
    "code", [*_fenced("python"), (ROOT / "examples" / "quickstart.py").read_text(encoding="utf-8")]
)
def test_python_example_runs(code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.glob("results/*/runs/*.ok.parquet"))
