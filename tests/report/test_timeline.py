import dataclasses
from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from bench.readings import PhaseMark
from bench.report import build
from bench.report.figures import timeline
from bench.store import load_runs, load_timeline
from tests.report.builder import run, samples, study
from tests.report.test_figures import words

MARKS = (PhaseMark("start", 0.0), PhaseMark("load", 0.35), PhaseMark("inference", 2.05), PhaseMark("score", 3.5))


def spans(figure: object) -> list[tuple[float, float]]:
    """List the bands of a figure's first panel, from left to right."""
    patches = figure.axes[0].patches  # type: ignore[attr-defined]
    bands = [patch for patch in patches if isinstance(patch, Rectangle)]
    return sorted((round(band.get_x(), 3), round(band.get_x() + band.get_width(), 3)) for band in bands)


def test_bands_stand_where_phases_began_and_else_where_samples_met_them(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", [run("a", timeline=samples(), marks=MARKS)])
    looked, marks = load_timeline(folder), load_runs(folder)["marks"].iloc[0]
    figure = timeline(looked, "a-0", marks)
    assert spans(figure) == [(0.0, 0.35), (0.35, 2.05), (2.05, 3.5), (3.5, 3.9)]
    assert {"start", "load", "inference", "score"} <= set(words(figure))
    assert spans(timeline(looked, "a-0")) == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 3.9)]
    assert spans(timeline(looked, "a-0", [])) == spans(timeline(looked, "a-0"))


def test_the_cpu_of_others_lies_between_that_of_the_run_and_of_the_machine(tmp_path: Path) -> None:
    looked = [dataclasses.replace(one, cpu_pct=100.0, machine_cpu_pct=100.0 + 50 * (one.t_s > 2)) for one in samples()]
    figure = timeline(load_timeline(study(tmp_path, [run("a", timeline=looked)])), "a-0")
    assert figure is not None
    assert "CPU of other processes" in words(figure)
    heights = np.concatenate([np.asarray(path.vertices)[:, 1] for path in figure.axes[0].collections[0].get_paths()])
    assert (heights.min(), heights.max()) == (100.0, 150.0)
    quiet = timeline(load_timeline(study(tmp_path / "quiet", [run("a", timeline=samples())])), "a-0")
    assert "CPU of other processes" not in words(quiet)


def test_the_gpus_tracks_are_drawn_where_they_were_sampled(tmp_path: Path) -> None:
    hot = [
        dataclasses.replace(
            one, gpu_util_pct=90.0, gpu_power_w=300.0, gpu_temperature_c=70.0, gpu_clock_mhz=1900.0,
            gpu_memory_clock_mhz=2600.0, gpu_slowdown="power_cap" if one.t_s > 3 else "",
        )
        for one in samples()
    ]  # fmt: skip
    told = words(timeline(load_timeline(study(tmp_path, [run("a", timeline=hot)])), "a-0"))
    assert {"GPU power [W]", "GPU temper-\nature [°C]", "GPU clock\n[MHz]"} <= set(told)
    assert {"clock of the GPU's memory", "GPU clocks held down"} <= set(told)
    untold = [dataclasses.replace(one, gpu_slowdown=None) for one in hot]
    told = words(timeline(load_timeline(study(tmp_path / "untold", [run("a", timeline=untold)])), "a-0"))
    assert "GPU clock\n[MHz]" in told
    assert "GPU clocks held down" not in told


def test_a_report_places_bands_by_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr("bench.report.figures.timeline", lambda looked, run_id, marks: seen.append((run_id, marks)))
    build(study(tmp_path / "results" / "s", [run("a", timeline=samples(), marks=MARKS)]), tmp_path / "reports")
    assert seen == [("a-0", [dataclasses.asdict(mark) for mark in MARKS])]
