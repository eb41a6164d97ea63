"""The wheel holds all that a run needs: configuration, templates, the demo's text, the sweeper plugin."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_a_sweep_runs_from_the_wheel_alone(unpacked: Path, tmp_path: Path) -> None:
    script = (
        "import bench, pathlib; print(pathlib.Path(bench.__file__).parent);"
        "from bench.__main__ import main;"
        "raise SystemExit(main('run -m engine=fake model=fake decode.chunk_length_s=20,30 data.limit=1'.split()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path(done.stdout.splitlines()[0]) == unpacked / "bench"
    page = (tmp_path / "reports" / "default" / "index.html").read_text()
    assert "class Trials" in page  # the script, which lies beside the templates
    assert "prefers-color-scheme" in page  # the style, likewise
    assert {path.name for path in tmp_path.iterdir()} == {"results", "reports"}
