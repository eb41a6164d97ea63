"""What breaks a constraint is never recommended, is marked, and is said why; runs are of 200 words and 100 s."""

from pathlib import Path

import pandas as pd
import pytest

from bench.metrics import RTFX, WER
from bench.records import RunResult, Status
from bench.report import build, figures
from bench.report.frontier import recommend
from bench.report.tables import Block, blocks
from bench.report.verdict import headline, set_aside
from bench.search.objectives import Constraint, parse_goal
from bench.store import load_runs
from tests.report.builder import config, run, searched_study, study
from tests.report.conftest import text_of
from tests.report.test_figures import words


def limits(*texts: str) -> tuple[Constraint, ...]:
    return parse_goal(["wer"], texts).constraints


def block_of(tmp_path: Path, runs: list[RunResult], *constraints: str) -> Block:
    (block,) = blocks(load_runs(study(tmp_path / "hand", runs)), limits(*constraints))
    return block


THREE = [
    run("best", config(30), errors=2, inference_s=4.0, peak_mib=9120.0),
    run("good", config(20), errors=6, inference_s=8.0, peak_mib=700.0),
    run("poor", config(10), errors=9, inference_s=9.0, peak_mib=600.0),
]


def test_the_best_is_not_recommended_in_any_role_where_it_breaks_a_constraint(tmp_path: Path) -> None:
    free = recommend(block_of(tmp_path, THREE)).picks
    assert free is not None
    assert {free.most_accurate, free.fastest_within, free.fastest} == {"best"}
    block = block_of(tmp_path, THREE, "peak_rss_mib<=8000")
    found = recommend(block)
    assert found.picks is not None
    assert (found.picks.most_accurate, found.picks.fastest, found.picks.least_memory) == ("good", "good", "poor")
    assert found.excluded == {"best": "breaks peak_rss_mib<=8000 with 9120 MiB"}
    assert "the most accurate of 2 settings" in headline(block, found)
    assert set_aside(found) == [
        "1 setting was set aside: it breaks a constraint, or has no value for it (search.constraints)."
    ]


@pytest.mark.parametrize(
    ("constraint", "said"),
    [
        ("wer<=0.02", "breaks wer<=0.02 (2.0 %) with 3.0 %"),
        ("wer<=0.0299999", "breaks wer<=0.0299999 (3.0 %) with 3 %"),
        ("rtfx>=12.51", "breaks rtfx>=12.51 with 12.5"),
        ("peak_gpu_reserved_mib<=8000", "has no value for peak_gpu_reserved_mib<=8000"),
    ],
)
def test_why_is_said_with_both_values(tmp_path: Path, constraint: str, said: str) -> None:
    assert recommend(block_of(tmp_path, THREE, constraint)).excluded["good"] == said


def test_a_bound_itself_is_kept_and_runs_count_by_their_median(tmp_path: Path) -> None:
    peaks = (700.0, 800.0, 5000.0)
    runs = [run("a", config(20), replicate=number, peak_mib=peak) for number, peak in enumerate(peaks)]
    assert not recommend(block_of(tmp_path, runs, "peak_rss_mib<=800")).broken
    assert recommend(block_of(tmp_path, runs, "peak_rss_mib<=799")).broken


def test_where_none_keeps_the_constraints_the_nearest_miss_is_named(tmp_path: Path) -> None:
    runs = [*THREE, run("dead", config(5), status=Status.oom, reason="killed")]
    block = block_of(tmp_path, runs, "peak_rss_mib<=500", "rtfx>=10")
    # Shares of the bound: 17.2 for 9120 MiB, 0.4 for 700 MiB, 0.2 for 600 MiB, whose speed is not enough either.
    assert headline(block, recommend(block)) == (
        "No setting keeps the constraints: 3 break one or more; 1 ended in oom. The nearest miss is chunk 10 s: it"
        " breaks peak_rss_mib<=500 with 600 MiB."
    )


def test_no_miss_is_near_where_no_setting_has_a_value(tmp_path: Path) -> None:
    block = block_of(tmp_path, THREE, "peak_gpu_reserved_mib<=500")
    assert headline(block, recommend(block)) == "No setting keeps the constraints: 3 break one or more."


def test_a_failed_run_breaks_nothing(tmp_path: Path) -> None:
    runs = [*THREE, run("dead", config(5), status=Status.error, reason="broken")]
    found = recommend(block_of(tmp_path, runs, "peak_rss_mib<=8000"))
    assert set(found.broken) == {"best"}
    assert found.excluded["dead"] == "ended in error"


def test_the_report_marks_what_breaks_a_constraint(tmp_path: Path) -> None:
    folder = searched_study(tmp_path / "results" / "s", THREE, constraints=["peak_rss_mib<=8000"])
    report = build(folder, tmp_path / "reports")
    page, summary = (report / "index.html").read_text(), (report / "summary.md").read_text()
    assert page.count("breaks peak_rss_mib&lt;=8000 with 9120 MiB") == 2  # in the table, and among those not considered
    assert '<td class="bad">ok; breaks peak_rss_mib&lt;=8000' in page
    assert "| ok; breaks peak\\_rss\\_mib&lt;=8000 with 9120 MiB |" in summary
    assert text_of(page).startswith("Recommended: chunk 20 s")
    assert "1 setting was set aside" in summary.splitlines()[2]


def test_figures_set_apart_what_breaks_a_constraint(tmp_path: Path) -> None:
    runs: pd.DataFrame = load_runs(study(tmp_path / "s", THREE))
    kept = limits("peak_rss_mib<=8000")
    assert "1.0, not comparable" in words(figures.heatmap(runs, WER, constraints=kept))
    assert "25.0" in words(figures.heatmap(runs, RTFX))
    assert "breaks a constraint" in words(figures.tradeoff(runs, kept))
    assert "breaks a constraint" not in words(figures.tradeoff(runs))
