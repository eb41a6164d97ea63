import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from bench.config import DType, MeasureConfig, ModelConfig, PriceConfig
from bench.readings import EnergyUse
from bench.records import RunResult
from bench.report import build, figures
from bench.report.devices import devices
from bench.report.tables import blocks
from bench.store import load_runs, load_timeline
from tests.report.builder import config, run, samples, study
from tests.report.conftest import text_of
from tests.report.test_figures import points, words
from tests.report.test_pairs import FAST, GPU, SLOW
from tests.report.test_tables import Split

ABSENT = {"settings": {"device": "cuda"}, "reason": "device=cuda is not there: no GPU here <b>"}


def on(device: str, dtype: DType, seconds: float, replicate: int = 0) -> RunResult:
    measure = MeasureConfig(price_per_hour=PriceConfig(cpu=0.5, cuda=4.0))
    settings = config(device=device, model=ModelConfig(dtype=dtype), measure=measure)
    looked = [dataclasses.replace(one, gpu_util_pct=80.0 if one.phase == "inference" else 0.0) for one in samples()]
    if device == "cpu":
        return run(f"cpu{dtype}", settings, inference_s=seconds, replicate=replicate, energy=EnergyUse(cpu_j=100.0))
    return run(
        f"cuda{dtype}", settings, inference_s=seconds, replicate=replicate, machine=GPU, gpu_mib=2000.0,
        timeline=looked, energy=EnergyUse(gpu_j=200.0),
    )  # fmt: skip


@pytest.fixture
def compared(tmp_path: Path) -> Path:
    """Four runs each: in float32 the GPU is twice as fast, in float16, which the CPU did not run, four times."""
    runs = [on("cpu", DType.float32, time, at) for at, time in enumerate(SLOW)]
    runs += [on("cuda", DType.float32, time, at) for at, time in enumerate(FAST)]
    runs += [on("cuda", DType.float16, time / 2, at) for at, time in enumerate(FAST)]
    return study(tmp_path / "results" / "s", runs)


def test_devices_stand_side_by_side_with_what_they_take(compared: Path) -> None:
    told = devices(blocks(load_runs(compared)), load_timeline(compared), [])
    assert told is not None
    assert [head for head, _ in told["heads"]] == [
        *("Device", "dtype", "Block", "RTFx"),
        *("Times as fast as cpu", "Times as fast as cpu, float32", "WER"),
    ]
    rows = [[*row[:2], *row[4:]] for row in told["rows"]]
    assert rows == [
        ["cpu", "float32", "baseline", "baseline", "5.0 %"],
        # Against float32 there are two pairs, for which four runs each are too few.
        ["cuda", "float32", "2.00 (1.54 to 2.60)", "2.00, too few runs", "5.0 %"],
        ["cuda", "float16", "–", "4.00, too few runs", "5.0 %"],
    ]
    assert "Where runs are too few to tell: give measure.replicates=5." in told["notes"]
    assert [head for head, _ in told["taken"]["heads"]][2:] == [
        *("Peak RAM", "Peak GPU memory", "GPU use in inference", "Energy an hour of audio", "Cost an hour of audio"),
    ]
    # The median run takes 11.5 s for 100 s of audio at 0.5 an hour; RTFx is a median over runs.
    costs = {tuple(row[:2]): row[2:6] for row in told["taken"]["rows"]}
    assert costs["cpu", "float32"] == ["800 MiB", "–", "–", "1.000 Wh (cpu)"]
    assert costs["cuda", "float16"] == ["800 MiB", "2000 MiB", "80 %", "2.000 Wh (gpu)"]
    assert [row[-1] for row in told["taken"]["rows"]] == ["0.0575", "0.2300", "0.1150"]
    assert any("no like for like" in note for note in told["notes"])


def test_the_report_compares_devices_here_and_nowhere_else(compared: Path, tmp_path: Path) -> None:
    report = build(compared, tmp_path / "reports")
    for text in (text_of((report / "index.html").read_text()), (report / "summary.md").read_text()):
        assert "CPU against GPU" in text
        assert "Settings are compared within a block, never across blocks. The one exception is the same" in text
        assert "2.00 (1.54 to 2.60)" in text
    assert {"speedup.svg", "timeline_2.svg"} <= {path.name for path in (report / "figures").iterdir()}


def test_an_environment_that_differs_otherwise_is_warned_of(tmp_path: Path) -> None:
    newer = dataclasses.replace(GPU, torch="2.6.0")
    runs = [run("a"), run("b", config(device="cuda"), machine=newer)]
    report = build(study(tmp_path / "results" / "s", runs), tmp_path / "reports")
    for text in (text_of((report / "index.html").read_text()), (report / "summary.md").read_text()):
        assert "Warning: device cuda: torch differs: 2.6.0 against 2.5.0." in text


def test_the_speed_up_is_drawn_with_its_interval(compared: Path) -> None:
    figure = figures.speedup(load_runs(compared), "device")
    assert figure is not None
    lines = [[x for x, _ in points(line)] for line in figure.axes[0].lines]
    assert lines[1:] == [pytest.approx([10 / 6.5, 13 / 5]), pytest.approx([2.0])]
    assert {"2.00 (1.54 to 2.60)", "device cuda, dtype float32"} <= set(words(figure))
    assert figures.speedup(load_runs(compared), "threads") is None


def test_with_one_device_the_missing_ones_are_named(tmp_path: Path) -> None:
    folder = study(tmp_path / "results" / "s", [run("a")], skipped=[ABSENT, ABSENT])
    report = build(folder, tmp_path / "reports")
    for text in (text_of((report / "index.html").read_text()), (report / "summary.md").read_text()):
        assert "Everything ran on cpu; there is no other device to compare it with." in text
        assert "cuda is missing, so that 2 points did not run: no GPU here" in text
    assert "GPU here <b>" not in (report / "index.html").read_text()


def test_a_study_of_one_device_has_no_such_section(blocks_of: Split) -> None:
    found = blocks_of(run("a"), run("b", config(20)))
    stride = {"settings": {}, "reason": "decode.stride_length_s=5 is not smaller than half"}
    assert devices(found, pd.DataFrame({"run_id": [], "phase": [], "gpu_util_pct": []}), [stride]) is None
