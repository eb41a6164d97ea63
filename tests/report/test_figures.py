import dataclasses
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from bench.config import AUTO, DecodeConfig
from bench.metrics import RTFX, WER
from bench.records import Status
from bench.report import figures
from bench.store import load_runs, load_timeline, read_study
from tests.report.builder import config, run, samples, study, utterance_result


def words(figure: Figure | None) -> list[str]:
    """List every text of a figure that has one."""
    assert figure is not None
    return [item.get_text() for item in figure.findobj() if isinstance(item, Text) and item.get_text()]


def points(line: Line2D) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]


def test_heatmap_shows_every_value_and_its_axes(grid_runs: pd.DataFrame) -> None:
    told = words(figures.heatmap(grid_runs, WER))
    # 1432 words: 102 errors at chunk 30 s, stride 3 s; 228 at chunk 5 s, stride 0 s.
    assert {"7.1", "15.9", "Chunk length [s]", "Stride on each side [s]", "WER [%], lower is better"} <= set(told)
    assert "RTFx, higher is better" in words(figures.heatmap(grid_runs, RTFX))


def test_heatmap_tells_failed_impossible_and_missing_cells_apart(grid: Path, grid_runs: pd.DataFrame) -> None:
    description = read_study(grid)
    assert description is not None
    figure = figures.heatmap(grid_runs, WER, description["skipped"])
    assert figure is not None
    axes = figure.axes[0]
    columns = [text.get_text() for text in axes.get_xticklabels()]
    rows = [text.get_text() for text in axes.get_yticklabels()]

    def cell(x: float, y: float) -> tuple[str, str]:
        return columns[int(x)], rows[int(y)]

    hatched = {cell(*patch.get_xy()) for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_hatch()}
    assert hatched == {("5", "2"), ("30", "0")}
    named = {cell(*text.get_position()): text.get_text() for text in axes.texts}
    assert (named["5", "2"], named["30", "0"]) == ("error", "oom")
    crossed = {cell(*points(line)[0]) for line in axes.lines}
    assert crossed == {("5", "3"), ("5", "5"), ("10", "5")}
    missing = ("20", "5")
    assert missing not in hatched | crossed | set(named)
    assert {"no result (error, oom)", "impossible settings", "blank: not run"} <= set(words(figure))


def test_heatmap_names_a_batch_size_the_run_found(tmp_path: Path) -> None:
    runs = [
        run(f"{chunk}{size}", dataclasses.replace(config(), decode=DecodeConfig(chunk_length_s=chunk, batch_size=size)))
        for chunk in (20, 30)
        for size in (4, AUTO)
    ]
    figure = figures.heatmap(load_runs(study(tmp_path, runs)), RTFX)
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["4", "auto"]


def test_heatmap_shows_what_cannot_be_compared_apart_and_never_as_the_best(tmp_path: Path) -> None:
    lost = [utterance_result(1, 0), utterance_result(2, failed=True)]
    runs = [
        run("whole", config(10, 1), errors=12),
        run("best", config(20, 1), errors=10),
        run("fewer", config(10, 2), utterances=lost),  # no error in the 100 words it scored
        run("shaky", config(20, 2), errors=4),
        run("shaky", config(20, 2), replicate=1, status=Status.timeout, reason="slow"),
    ]
    figure = figures.heatmap(load_runs(study(tmp_path / "s", runs)), WER)
    assert figure is not None
    axes = figure.axes[0]
    patches = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    apart = {patch.get_xy() for patch in patches if patch.get_hatch() == "...."}
    best = [tuple(round(at) for at in patch.get_xy()) for patch in patches if not patch.get_hatch()]
    # x is the chunk (10, 20), y the stride (1, 2).
    assert (apart, best) == ({(0, 1), (1, 1)}, [(1, 0)])
    told = {text.get_text(): text.get_position() for text in axes.texts}
    assert told == {"6.0": (0.5, 0.5), "5.0": (1.5, 0.5), "0.0": (0.5, 1.5), "2.0": (1.5, 1.5)}
    mesh = axes.collections[0]
    assert mesh.get_clim() == pytest.approx((5.0, 6.0))
    assert "not comparable: failed in part, or scored fewer words" in words(figure)


def test_dots_say_what_cannot_be_compared(tmp_path: Path) -> None:
    lost = [utterance_result(1, 0), utterance_result(2, failed=True)]
    runs = [run("a", config(10), errors=9), run("b", config(20), errors=5), run("c", config(30), utterances=lost)]
    assert {"4.5", "2.5", "0.0, not comparable"} <= set(words(figures.heatmap(load_runs(study(tmp_path, runs)), WER)))


def test_a_figure_says_how_many_settings_it_leaves_out(tmp_path: Path) -> None:
    runs = [run(f"t{number}", config(10 + number), peak_mib=800.0 + number) for number in range(31)]
    runs.append(run("dead", config(99), status=Status.oom, reason="killed"))
    for name, some, title in [("few", runs[1:], ""), ("many", runs, ", the 30 least of 31")]:
        loaded = load_runs(study(tmp_path / name, some))
        assert f"Memory: demo on cpu{title}" in words(figures.memory(loaded))
        assert f"Where the time goes: demo on cpu{title}" in words(figures.phases(loaded))


def test_heatmap_of_several_blocks_names_and_separates_them(tmp_path: Path) -> None:
    runs = [
        run(f"{device}{chunk}{stride}", config(chunk, stride, device=device), errors=errors + chunk)
        for device, errors in (("cpu", 0), ("cuda", 20))
        for chunk in (10, 20)
        for stride in (1, 2)
    ]
    told = words(figures.heatmap(load_runs(study(tmp_path / "s", runs)), WER))
    assert {"WER: demo on cpu", "WER: demo on cuda"} <= set(told)
    assert {"5.0", "10.0", "15.0", "20.0"} <= set(told)  # 10, 20, 30 and 40 errors of 200 words


@pytest.mark.parametrize(("columns", "step"), [(24, 1), (60, 3)])
def test_heatmap_names_the_cells_of_a_wide_map_and_numbers_them_while_there_is_room(
    columns: int, step: int, tmp_path: Path
) -> None:
    chunks = range(10, 10 + columns)
    runs = [run(f"{chunk}-{stride}", config(chunk, stride)) for chunk in chunks for stride in (1, 2)]
    figure = figures.heatmap(load_runs(study(tmp_path, runs)), WER)
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == [str(chunk) for chunk in chunks[::step]]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["1", "2"]
    assert words(figure).count("5.0") == (2 * columns if step == 1 else 0)


def test_a_third_setting_gets_panels_and_many_are_folded_into_the_best(tmp_path: Path) -> None:
    def sweep(batches: tuple[int, ...], name: str) -> list[str]:
        runs = []
        for batch in batches:
            for chunk in (10, 20):
                for stride in (1, 2):
                    base = config(chunk, stride)
                    settings = dataclasses.replace(base, decode=dataclasses.replace(base.decode, batch_size=batch))
                    runs.append(run(f"{batch}-{chunk}-{stride}", settings, errors=batch + chunk))
        return words(figures.heatmap(load_runs(study(tmp_path / name, runs)), WER))

    assert {"batch 1", "batch 2"} <= set(sweep((1, 2), "few"))
    folded = sweep((2, 4, 6, 8, 10), "many")
    assert "each cell the best of 5 combinations of batch" in " ".join(folded)
    assert "6.0" in folded  # the best of chunk 10: (2 + 10) / 200
    assert "10.0" not in folded  # the worst of it: (10 + 10) / 200


def test_one_varied_setting_is_drawn_as_dots(tmp_path: Path) -> None:
    runs = [run("a", config(10), errors=9), run("b", config(20), errors=5)]
    runs.append(run("c", config(30), status=Status.timeout, reason="slow"))
    told = words(figures.heatmap(load_runs(study(tmp_path / "s", runs)), WER))
    assert {"chunk 10 s", "chunk 20 s", "chunk 30 s", "4.5", "2.5", "no result (timeout)"} <= set(told)


def test_tradeoff_draws_the_front_and_names_the_picks(tmp_path: Path) -> None:
    runs = [
        run("a", config(30), errors=8, inference_s=25.0, peak_mib=1000),
        run("b", config(20), errors=10, inference_s=10.0, peak_mib=900),
        run("beaten", config(15), errors=30, inference_s=20.0, peak_mib=950),
        run("c", config(5), errors=18, inference_s=4.0, peak_mib=750),
    ]
    figure = figures.tradeoff(load_runs(study(tmp_path / "s", runs)))
    assert figure is not None
    front = np.array(points(figure.axes[0].lines[0]))
    assert front == pytest.approx(np.array([(4.0, 4.0), (10.0, 5.0), (25.0, 9.0)]))
    told = words(figure)
    assert "most accurate: chunk 30 s" in told
    assert "fastest within 1 point of WER: chunk 20 s" in told
    assert "least memory, fastest: chunk 5 s" in told


def test_memory_shows_peaks_and_the_gpu_only_where_there_is_one(tmp_path: Path, grid_runs: pd.DataFrame) -> None:
    told = words(figures.memory(grid_runs))
    assert {"690", "1055", "RAM [MiB], lower is better"} <= set(told)  # 620 + 14 * chunk + 3 * stride
    assert {"RAM after load", "RAM peak after load"} <= set(told)
    assert not any("GPU" in text for text in told)
    gpu = [run(f"t{chunk}", config(chunk, device="cuda"), gpu_mib=1000.0 + chunk) for chunk in (10, 20)]
    told = words(figures.memory(load_runs(study(tmp_path / "s", gpu))))
    assert {"1010", "1020", "GPU memory [MiB], lower is better"} <= set(told)


def test_phases_stack_to_the_times_measured(tmp_path: Path) -> None:
    figure = figures.phases(load_runs(study(tmp_path / "s", [run("a", inference_s=10.0)])))
    assert figure is not None
    widths = [bar.get_width() for bar in figure.axes[0].patches if isinstance(bar, Rectangle)]
    assert widths == pytest.approx([1.5, 0.25, 0.1, 1.0, 3.0, 5.0, 0.2, 0.5])
    assert {"load, not part of RTFx", "decode", "Time of one run [s], lower is better"} <= set(words(figure))


def test_timeline_shades_phases_and_shows_the_gpu_only_if_sampled(tmp_path: Path) -> None:
    busy = [dataclasses.replace(sample, gpu_util_pct=50.0) for sample in samples()]
    runs = [run("a", config(10), timeline=samples()), run("b", config(20), timeline=busy), run("c", config(30))]
    timeline = load_timeline(study(tmp_path / "s", runs))
    told = words(figures.timeline(timeline, "a-0"))
    assert {"load", "audio", "warm-up", "inference", "RAM [MiB]"} <= set(told)
    assert "GPU use [%]" not in told
    assert "GPU use [%]" in words(figures.timeline(timeline, "b-0"))
    assert figures.timeline(timeline, "c-0") is None


def test_what_cannot_be_drawn_is_left_out(tmp_path: Path) -> None:
    one = load_runs(study(tmp_path / "one", [run("a")]))
    assert figures.heatmap(one, WER) is None
    assert figures.tradeoff(one) is None
    failed = [run("a", status=Status.oom), run("b", config(20), utterances=[utterance_result(1, words=0)])]
    runs = load_runs(study(tmp_path / "failed", failed))
    assert figures.heatmap(runs, WER) is None
    assert figures.tradeoff(runs) is None
    none = load_runs(study(tmp_path / "none", []))
    assert [figures.memory(none), figures.phases(none), figures.heatmap(none, WER)] == [None, None, None]


def test_dollars_and_unknown_scripts_in_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    runs = [run(f"t{chunk}", config(chunk), data=("price $x^$ \u4e2d\u6587", "f00d")) for chunk in (10, 20)]
    figure = figures.memory(load_runs(study(tmp_path / "s", runs)))
    assert figure is not None
    with pytest.warns(UserWarning, match="Glyph"):
        figure.draw_without_rendering()
    assert any("price $x^$" in text for text in words(figure))


def test_figures_leave_matplotlibs_settings_alone(grid_runs: pd.DataFrame) -> None:
    before = dict(matplotlib.rcParams)
    figures.phases(grid_runs)
    assert dict(matplotlib.rcParams) == before


def test_reporting_imports_no_model_library() -> None:
    code = "import sys, bench.report; print(sorted({'torch', 'transformers', 'tkinter'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
