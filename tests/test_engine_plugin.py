"""The example of an engine in a package of its own: it installs, passes the tests of engines, and runs a study."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import bench

EXAMPLE = Path(__file__).parents[1] / "examples" / "asr-sweep-pocketsphinx"
GUIDE = Path(__file__).parents[1] / "docs" / "engines.md"
CODE = EXAMPLE / "asr_sweep_pocketsphinx.py"

pytestmark = pytest.mark.skipif(
    find_spec("pocketsphinx") is None, reason="needs PocketSphinx: pip install pocketsphinx"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip has installed the example to."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command = [*pip, "--no-build-isolation", "--no-index", "--target", str(target), str(EXAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return target


def with_it(installed: Path, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )


def test_it_is_as_short_as_the_guide_says() -> None:
    assert len(CODE.read_text().splitlines()) < 60
    told = GUIDE.read_text()
    for file in (CODE, EXAMPLE / "pyproject.toml", EXAMPLE / "test_pocketsphinx.py"):
        assert file.name in told
    # What the guide shows of the code is the code.
    shown = [part for part in told.split("```python\n")[1:] if "class TestMine" not in part]
    lines = {
        line.strip()
        for line in (*CODE.read_text().splitlines(), *(EXAMPLE / "test_pocketsphinx.py").read_text().splitlines())
    }
    missing = [line for part in shown for line in part.split("```")[0].splitlines() if line.strip() not in lines]
    assert missing == []


def test_it_runs_a_study(installed: Path, tmp_path: Path) -> None:
    settings = ["engine=pocketsphinx", "model.name=pocketsphinx/en-us", "data=synthetic", "data.synthetic.sentences=2"]
    done = with_it(installed, "-m", "bench", "run", "study=s", *settings, "measure.warmup=0", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = bench.load_runs(tmp_path / "results" / "s").to_dict("records")
    assert (run["engine"], run["status"]) == ("pocketsphinx", "ok")
    assert str(run["env.engine_version"]).startswith("asr-sweep-pocketsphinx 0.1.0, pocketsphinx 5")
    assert run["decode_s"] > 0
    words = [word for words in bench.load_utterances(tmp_path / "results" / "s")["words"] for word in words]
    assert words
    assert all(0 <= word["start_s"] < word["end_s"] for word in words)


def test_what_it_does_not_list_is_refused_before_anything_runs(installed: Path, tmp_path: Path) -> None:
    settings = ["engine=pocketsphinx", "model.name=pocketsphinx/en-us", "decode.num_beams=5"]
    done = with_it(installed, "-m", "bench", "run", *settings, cwd=tmp_path)
    assert done.returncode == 2
    assert "engine=pocketsphinx cannot honour decode.num_beams=5" in done.stderr
    assert "transformers and faster_whisper can" in done.stderr
    assert not (tmp_path / "results").exists()


def test_it_passes_the_tests_of_engines(installed: Path, tmp_path: Path) -> None:
    done = with_it(
        installed, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(EXAMPLE / "test_pocketsphinx.py"),
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "14 passed" in done.stdout
