import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bench.readings import Environment
from bench.records import RunResult
from bench.report import build, figures
from bench.report.scaling import oversubscribed, scaled_settings, scaling_sections
from bench.store import load_runs
from tests.report.builder import MACHINE, config, run, study
from tests.report.conftest import text_of
from tests.report.test_figures import points, words
from tests.report.test_pairs import FAST, SLOW
from tests.report.test_tables import Split

TWO = dataclasses.replace(MACHINE, cpu_usable=2)


def on(threads: int, seconds: Sequence[float], chunk: float = 10, machine: Environment = TWO) -> list[RunResult]:
    settings = config(chunk, threads=threads)
    trial = f"{threads}-{chunk:g}"
    return [
        run(trial, settings, inference_s=time, replicate=at, threads=threads, machine=machine)
        for at, time in enumerate(seconds)
    ]


def test_threads_get_a_table_of_speed_efficiency_and_what_is_too_many(blocks_of: Split) -> None:
    found = blocks_of(*on(1, [20.0]), *on(2, [12.5]), *on(8, [10.0]))
    (told,) = scaling_sections(found)
    assert told["rows"] == [
        ["1", "", "5.0", "baseline", "–"],
        ["2", "", "8.0", "1.60, too few runs", "80 %"],
        ["8", "more than the 2 processors this run may use", "10.0", "2.00, too few runs", "25 %"],
    ]
    assert [head for head, _ in told["heads"]] == [
        "Threads",
        "Warning",
        "RTFx",
        "Times as fast as with 1",
        "Efficiency",
    ]


@pytest.mark.parametrize(
    ("threads", "machine", "told"),
    [
        (8, TWO, ["threads=8 is more than the 2 processors this run may use; threads then wait for each other."]),
        (2, TWO, []),
        (
            2,
            dataclasses.replace(TWO, cpu_quota=1.5),
            ["threads=2 is more than the 1.5 processors this run may use; threads then wait for each other."],
        ),
        (8, dataclasses.replace(TWO, cpu_usable=None), []),
    ],
)
def test_more_threads_than_processors_are_warned_of(
    blocks_of: Split, threads: int, machine: Environment, told: list[str]
) -> None:
    (block,) = blocks_of(*on(threads, [10.0, 11.0], machine=machine))
    assert oversubscribed(block) == told


def test_threads_that_torch_chose_are_warned_of_too(blocks_of: Split) -> None:
    (block,) = blocks_of(run("a", threads=4, machine=TWO))
    (told,) = oversubscribed(block)
    assert told.startswith("torch's own number of threads, 4, is more than the 2 processors this run may use")


def test_speed_is_drawn_against_threads_with_intervals_and_the_ideal(tmp_path: Path) -> None:
    runs = [*on(1, SLOW), *on(2, FAST), *on(1, [30.0], chunk=20), *on(4, [10.0], chunk=20)]
    figure = figures.scaling(load_runs(study(tmp_path, runs)))
    assert figure is not None
    first, whisker, ideal, second, _ = (np.array(points(line)) for line in figure.axes[0].lines)
    base = 100 / 11.5
    assert first == pytest.approx(np.array([(1, base), (2, 100 / 5.75)]))
    assert whisker == pytest.approx(np.array([(2, base * 10 / 6.5), (2, base * 13 / 5)]))
    assert ideal == pytest.approx(np.array([(1, base), (2, 2 * base)]))
    assert second == pytest.approx(np.array([(1, 100 / 30), (4, 10)]))
    assert {"chunk 10 s", "chunk 20 s", "RTFx, higher is better", "Threads"} <= set(words(figure))


def test_a_number_that_varies_alone_gets_a_line_and_no_ideal(tmp_path: Path, blocks_of: Split) -> None:
    runs = [run("a", config(10), inference_s=10.0), run("b", config(20), inference_s=5.0)]
    found = blocks_of(*runs)
    assert scaled_settings(found) == ["decode.chunk_length_s"]
    figure = figures.scaling(load_runs(study(tmp_path / "s", runs)), "decode.chunk_length_s")
    assert figure is not None
    assert [points(line) for line in figure.axes[0].lines] == [[(10.0, 10.0), (20.0, 20.0)]]
    (told,) = scaling_sections(found)
    assert told["rows"] == [["10 s", "10.0", "baseline"], ["20 s", "20.0", "2.00, too few runs"]]


def test_two_numbers_are_left_to_the_map_and_words_to_the_table(blocks_of: Split) -> None:
    both = [run(f"{chunk}{stride}", config(chunk, stride)) for chunk in (10, 20) for stride in (1, 2)]
    assert scaled_settings(blocks_of(*both)) == []
    assert figures.scaling(blocks_of(run("a"))[0].runs) is None


def test_the_report_has_the_section_and_its_figure(tmp_path: Path) -> None:
    report = build(study(tmp_path / "results" / "s", [*on(1, SLOW), *on(8, FAST)]), tmp_path / "reports")
    for text in (text_of((report / "index.html").read_text()), (report / "summary.md").read_text()):
        assert "Speed by threads" in text
        assert "2.00 (1.54 to 2.60)" in text
        assert "threads=8 is more than the 2 processors this run may use" in text
    assert (report / "figures" / "scaling_threads.png").exists()
