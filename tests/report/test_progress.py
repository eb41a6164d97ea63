"""The figure of a search's course."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from optuna._hypervolume import compute_hypervolume

from bench.records import RunResult, Status
from bench.report import figures
from bench.report.progress import hypervolume, reached
from bench.report.searching import goal_of
from bench.store import load_runs
from tests.report.builder import completed, config, pruned, run, study
from tests.report.test_figures import points, words

RUNS = [
    run("t0", config(10), errors=20, inference_s=10.0, number=0),
    run("t1", config(11), number=1, status=Status.oom, reason="killed"),
    run("t2", config(12), errors=10, inference_s=20.0, number=2),
    run("t3", config(13), errors=0, inference_s=5.0, number=3, peak_mib=5000.0),
    pruned("t4", config(14), 0.5, 0.08, "t2-0", number=4),
    pruned("t5", config(15), 0.2, 0.9, "t2-0", number=5),
    run("t6", config(16), errors=14, inference_s=8.0, number=6),
    run("t7", config(17), number=7, status=Status.error, reason="broke"),
]


def course(tmp_path: Path, runs: list[RunResult], objectives: list[str], *constraints: str) -> Figure | None:
    goal = goal_of({"search.objectives": objectives, "search.constraints": list(constraints)})
    return figures.progress(load_runs(study(tmp_path / "s", runs)), goal)


def close(*places: tuple[float, float]) -> list[object]:
    return [pytest.approx(place) for place in places]


def marks(figure: Figure, axis: int = 0) -> dict[str, list[tuple[float, float]]]:
    """Map the shape of each marker on an axis to the places where it stands."""
    lines = [line for line in figure.axes[axis].lines if str(line.get_marker()) not in ("None", "")]
    return {str(line.get_marker()): points(line) for line in lines if len(points(line))}


def test_one_objective_is_drawn_with_the_best_so_far(tmp_path: Path) -> None:
    figure = course(tmp_path, RUNS, ["wer"], "peak_rss_mib<=4000")
    assert figure is not None
    (best,) = [line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-post"]
    # Neither what breaks the constraint (t3) nor what was ended early is a best; the line holds to the last trial.
    assert points(best) == [(0, 10), (2, 5), (6, 5), (7, 5)]
    placed: dict[str, list[tuple[float, float]]] = {}
    for line in figure.axes[0].lines:
        if line is not best:
            placed.setdefault(str(line.get_marker()), []).extend(points(line))
    assert placed["o"] == close((0, 10), (2, 5), (6, 7))
    assert placed["D"] == [(3, 0)]
    # The one at 90 % lies far off and stands above, as do those without a value.
    assert placed["v"] == [(4, 8), (5, 1.05)]
    assert (placed["X"], placed["+"]) == ([(1, 1.05)], [(7, 1.05)])
    assert {"ran to its end (3)", "breaks a constraint (1)", "ran out of memory (1)"} <= set(words(figure))


def test_of_two_objectives_the_front_and_how_much_of_it_was_reached(tmp_path: Path) -> None:
    figure = course(tmp_path, RUNS, ["wer", "rtfx"], "peak_rss_mib<=4000")
    assert figure is not None
    left, right = figure.axes
    (share,) = [line for line in left.lines if line.get_drawstyle() == "steps-post"]
    # WER 10, 5, 7 %; RTFx 10, 5, 12.5; the reference is 10.5 % and 4.25: t0 alone dominates 0.5 x 5.75, t2 adds
    # 5 x 0.75; t6 dominates 3.5 x 8.25, of which 0.5 x 5.75 and another 3 x 0.75 are not new.
    volumes = (2.875, 2.875 + 3.75, 2.875 + 3.75 + 28.875 - 2.875 - 2.25)
    first, second = (100 * volume / volumes[-1] for volume in volumes[:2])
    assert points(share) == close((0, first), (2, second), (6, 100), (7, 100))
    (front,) = [line for line in right.lines if line.get_linestyle() == "-"]
    assert points(front) == close((5, 5), (12.5, 7))
    assert marks(figure, 1)["o"] == close((10, 10), (5, 5), (12.5, 7))


def test_of_three_objectives_each_has_an_axis(tmp_path: Path) -> None:
    figure = course(tmp_path, RUNS, ["wer", "rtfx", "peak_rss_mib"])
    assert figure is not None
    assert len(figure.axes) == 3


def test_where_all_break_a_constraint_there_is_no_best(tmp_path: Path) -> None:
    for objectives in (["wer"], ["wer", "rtfx"]):
        figure = course(tmp_path, RUNS, objectives, "peak_rss_mib<=1")
        assert figure is not None
        assert not any(line.get_drawstyle() == "steps-post" for axis in figure.axes for line in axis.lines)


def test_too_few_trials_are_no_course(tmp_path: Path) -> None:
    assert course(tmp_path, [RUNS[0], RUNS[1], RUNS[4]], ["wer"]) is None


def test_completed_runs_of_a_race_count_as_they_ended(tmp_path: Path) -> None:
    runs = [run(f"t{at}", config(at), errors=at, number=at, standing=completed(wer=0.5)) for at in (10, 20)]
    figure = course(tmp_path, runs, ["wer"])
    assert figure is not None
    assert marks(figure)["o"] == [(10, 5), (20, 10)]


@pytest.mark.parametrize("seed", range(5))
def test_hypervolume_is_that_of_optuna(seed: int) -> None:
    values = np.random.default_rng(seed).random((12, 2)).round(1)  # with ties
    reference = np.array([1.1, 1.2])
    assert hypervolume(values, reference) == pytest.approx(compute_hypervolume(values, reference))
    shares = reached(values)
    assert (np.diff(shares) >= 0).all()
    assert shares[-1] == 1


def test_equal_values_are_all_of_the_front() -> None:
    assert reached(np.array([[0.0, 3.0], [0.0, 3.0]])).tolist() == [1, 1]
