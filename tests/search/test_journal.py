"""The mirror for optuna-dashboard: it says what the rows say, and a reader finds all of a version of it or none."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
import pyarrow.parquet as pq
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import TrialState

import bench
from bench.search.compose import compose
from bench.search.journal import write_journal
from bench.search.objectives import Goal, parse_goal
from bench.search.space import Condition, Interval, Point, Space

GOAL = parse_goal(["wer", "rtfx"], ["peak_rss_mib<=1000"])
BATCHES = Space((), {}, {"decode.batch_size": (1, 2, 4, 8)})
GOOD: dict[str, Any] = {"wer": 0.25, "rtfx": 12.5, "peak_rss_mib": 800.0}


def row(number: int, point: Point, status: str = "ok", minute: int = 0, **columns: Any) -> dict[str, Any]:
    """A row of the runs table, as far as a journal looks at it; the run starts so long after noon, and takes 10 s."""
    return {
        "trial_id": f"id{number}",
        "trial_number": number,
        "point": json.dumps(point),
        "status": status,
        "started_at": f"2026-01-02T12:{minute:02}:00.500+00:00",
        "wall_s": 10.0,
        **columns,
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.log"


def storage(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path)))


def read(path: Path) -> optuna.Study:
    """Read a journal as anyone would, and check its trials as Optuna does those it writes itself."""
    study = optuna.load_study(study_name="s", storage=storage(path))
    for trial in study.trials:
        trial._validate()
    return study


def mirrored(path: Path, points: list[Point], space: Space, goal: Goal = GOAL) -> optuna.Study:
    """Write trials that ended well at these points, and read them back."""
    write_journal(path, "s", [row(number, point, **GOOD) for number, point in enumerate(points)], goal, space)
    return read(path)


def test_a_journal_says_what_the_rows_say(path: Path) -> None:
    rows = [
        row(0, {"decode.batch_size": 4}, minute=1, cold_s=3.0, **GOOD),
        row(0, {"decode.batch_size": 4}, minute=9, wer=0.35, rtfx=13.5, peak_rss_mib=820.0, cold_s=4.0),
        row(1, {"decode.batch_size": 1}, wer=0.5, rtfx=4.0, peak_rss_mib=1500.0),
        row(2, {"decode.batch_size": 8}, "oom", wer=None, rtfx=None),
        row(3, {"decode.batch_size": 2}, "pruned", race_wer=0.25, race_rtfx=12.5, race_share=0.4, peak_rss_mib=700.0),
        row(4, {"decode.batch_size": 2}, "error", wer=None),
    ]
    # Rows come in any order, and those of older versions name no point.
    write_journal(path, "s", [*reversed(rows), {**rows[0], "point": None, "trial_number": None}], GOAL, BATCHES)
    study = read(path)

    assert study.directions == [StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE]
    assert study.metric_names == ["wer", "rtfx"]
    trials = study.trials
    assert [trial.params for trial in trials] == [{"decode.batch_size": batch} for batch in (4, 1, 8, 2, 2)]
    complete, pruned, fail = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
    assert [trial.state for trial in trials] == [complete, complete, fail, pruned, fail]
    assert [trial.user_attrs["outcome"] for trial in trials] == ["ok", "ok", "oom", "pruned", "failed"]
    assert [trial.user_attrs["trial"] for trial in trials] == [0, 1, 2, 3, 4]
    assert [trial.user_attrs["runs"] for trial in trials] == [2, 1, 1, 1, 1]
    assert trials[0].values == pytest.approx([0.3, 13.0])
    assert trials[1].values == [0.5, 4.0]
    assert trials[2].values is None
    assert trials[3].values == [0.25, 12.5]
    assert [trial.user_attrs.get("race_share") for trial in trials] == [None, None, None, 0.4, None]
    # 1500 breaks the bound by half of it.
    assert trials[1].constraints["peak_rss_mib<=1000"] == pytest.approx(0.5)
    assert trials[0].constraints["peak_rss_mib<=1000"] == pytest.approx(-0.19)
    assert [trial.number for trial in study.best_trials] == [0]
    first = trials[0]
    assert first.user_attrs["trial_id"] == "id0"
    assert (first.user_attrs["peak_rss_mib"], first.user_attrs["cold_s"]) == (810.0, 3.5)
    assert "wer" not in first.user_attrs
    assert first.datetime_start is not None
    assert first.datetime_start.astimezone(UTC) == datetime(2026, 1, 2, 12, 1, 0, 500_000, UTC)
    assert first.duration is not None
    assert first.duration.total_seconds() == 20


def test_the_dashboard_finds_the_constraints(path: Path) -> None:
    """optuna-dashboard 0.21 reads one attribute: a list of numbers, above zero where a bound is broken."""
    rows = [row(0, {"seed": 1}, **GOOD), row(1, {"seed": 2}, **{**GOOD, "peak_rss_mib": 2000.0})]
    write_journal(path, "s", rows, GOAL, BATCHES)
    assert [trial._system_attrs["constraints"] for trial in read(path).trials] == [[pytest.approx(-0.2)], [1.0]]


def test_settings_have_their_own_values(path: Path) -> None:
    """Samplers are told the places of listed numbers; people are not."""
    space = Space(
        (),
        {"model": ("fake", "whisper")},
        {
            "decode.batch_size": (8, 1, 32, 2),
            "decode.chunk_length_s": (10, 5.5, 30),
            "decode.stride_length_s": Interval(0, 3),
            "threads": Interval(1, 64, log=True, whole=True),
            "decode.language": ("en", None),
            "decode.timestamps": (True, False),
            "seed": (7,),
        },
    )
    point = {
        "model": "whisper",
        "decode.batch_size": 32,
        "decode.chunk_length_s": 5.5,
        "decode.stride_length_s": 1.25,
        "threads": 16,
        "decode.language": None,
        "decode.timestamps": False,
        "seed": 7,
    }
    (trial,) = mirrored(path, [point], space).trials
    assert trial.params == point
    assert list(trial.params) == list(point)
    assert trial.distributions == {
        "model": CategoricalDistribution(("fake", "whisper")),
        "decode.batch_size": IntDistribution(1, 32),
        "decode.chunk_length_s": FloatDistribution(5.5, 30),
        "decode.stride_length_s": FloatDistribution(0, 3),
        "threads": IntDistribution(1, 64, log=True),
        "decode.language": CategoricalDistribution(("en", None)),
        "decode.timestamps": CategoricalDistribution((True, False)),
        "seed": IntDistribution(7, 7),
    }


def test_settings_that_combine_stand_by_themselves(path: Path) -> None:
    pairs: list[Point] = [{"decode.chunk_length_s": 10, "threads": 1}, {"decode.chunk_length_s": 20, "threads": 4}]
    study = mirrored(path, pairs[1:], Space((), {}, {}, tuple(pairs)))
    assert study.trials[0].params == pairs[1]
    assert study.trials[0].distributions["decode.chunk_length_s"] == IntDistribution(10, 20)


@pytest.mark.parametrize("otherwise", [(), (0,)])
def test_a_setting_is_shown_only_where_it_varies(path: Path, otherwise: tuple[int, ...]) -> None:
    stride, strategy = "decode.stride_length_s", "decode.strategy"
    space = Space(
        (),
        {},
        {strategy: ("chunked", "vad"), stride: Interval(1, 4, log=True)},
        conditions={stride: Condition(strategy, ("chunked",), otherwise)},
    )
    settled = {stride: otherwise[0]} if otherwise else {}
    trials = mirrored(path, [{strategy: "chunked", stride: 2.5}, {strategy: "vad", **settled}], space).trials
    assert [trial.params for trial in trials] == [{strategy: "chunked", stride: 2.5}, {strategy: "vad"}]
    # What the condition settles does not stretch the range, nor end its logarithm.
    assert trials[0].distributions[stride] == FloatDistribution(1, 4, log=True)


def test_a_condition_may_be_about_a_setting_that_does_not_vary(path: Path) -> None:
    stride = "decode.stride_length_s"
    space = Space((), {}, {stride: (1, 2)}, conditions={stride: Condition("decode.strategy", ("vad",), (0,))})
    rows = [{**row(0, {stride: 0}, **GOOD), "decode.strategy": "chunked"}]
    write_journal(path, "s", rows, GOAL, space)
    assert read(path).trials[0].params == {}


def test_points_outside_the_space_are_shown_like_the_others(path: Path) -> None:
    """The space has changed, or a batch that did not fit was halved: one distribution holds for all trials."""
    batch, chunk, language, merge = "decode.batch_size", "decode.chunk_length_s", "decode.language", "decode.merge"
    space = Space((), {}, {chunk: Interval(10, 20, log=True), language: ("de",)})
    points: list[Point] = [
        {chunk: 10.5, language: "en", merge: "aligned", batch: 64},
        {chunk: 28.0, language: "de"},
        {chunk: 15.0, language: "de", batch: 24},
    ]
    trials = mirrored(path, points, space).trials
    assert [trial.params for trial in trials] == points
    for key, expected in {
        chunk: FloatDistribution(10, 28, log=True),
        language: CategoricalDistribution(("de", "en")),
        merge: CategoricalDistribution(("aligned",)),
        batch: IntDistribution(24, 64),
    }.items():
        assert [trial.distributions[key] for trial in trials if key in trial.params] == [expected] * sum(
            key in point for point in points
        )


def test_a_value_that_has_no_logarithm_ends_the_logarithm(path: Path) -> None:
    space = Space((), {}, {"decode.stride_length_s": Interval(1, 4, log=True)})
    trials = mirrored(path, [{"decode.stride_length_s": 0.0}, {"decode.stride_length_s": 2.0}], space).trials
    assert [trial.distributions["decode.stride_length_s"] for trial in trials] == [FloatDistribution(0, 4)] * 2


def test_a_raced_trial_shows_what_it_had_by_then(path: Path) -> None:
    ended = row(0, {"seed": 1}, "pruned", wer=None, rtfx=None, race_wer=0.5, race_rtfx=8.0, race_share=0.25)
    write_journal(path, "s", [ended], parse_goal(["rtfx"], ["wer<=0.4"]), BATCHES)
    (trial,) = read(path).trials
    assert (trial.state, trial.value) == (TrialState.PRUNED, 8.0)
    assert (trial.user_attrs["wer"], trial.user_attrs["race_share"]) == (0.5, 0.25)
    assert trial.constraints["wer<=0.4"] == pytest.approx(0.25)


def test_values_that_are_no_numbers_any_more_are_shown_as_categories(path: Path) -> None:
    batch = "decode.batch_size"
    points: list[Point] = [{batch: "auto"}, {batch: 4}]
    for space in (Space((), {}, {batch: Interval(1, 8, log=True, whole=True)}), Space((), {}, {batch: ("auto", 4)})):
        trials = mirrored(path, points, space).trials
        assert [trial.params for trial in trials] == points
        assert trials[0].distributions == trials[1].distributions == {batch: CategoricalDistribution(("auto", 4))}


def test_what_no_run_measures_is_left_out(path: Path) -> None:
    """Random weights have no WER, and a grid of them is compared by its speed."""
    rows = [row(number, {"seed": number}, wer=None, rtfx=2.0 + number) for number in range(2)]
    write_journal(path, "s", rows, GOAL, BATCHES)
    study = read(path)
    assert study.directions == [StudyDirection.MAXIMIZE]
    assert [trial.value for trial in study.trials] == [2.0, 3.0]
    assert study.best_trial.number == 1
    # A model of known text among them brings it back, and the others have no values then.
    rows.append(row(2, {"seed": 2}, **GOOD))
    write_journal(path, "s", rows, GOAL, BATCHES)
    assert [trial.values for trial in read(path).trials] == [None, None, [0.25, 12.5]]


def test_a_study_without_results_has_a_journal(path: Path) -> None:
    write_journal(path, "s", [row(0, {"seed": 0}, "error")], GOAL, BATCHES)
    assert [trial.state for trial in read(path).trials] == [TrialState.FAIL]
    write_journal(path, "s", [], GOAL, BATCHES)
    assert read(path).trials == []


def test_records_have_the_form_that_optuna_gives_them(path: Path, tmp_path: Path) -> None:
    """The records of the same trial, written by Optuna, are the same."""
    point: Point = {"decode.batch_size": 2, "decode.chunk_length_s": 7.5, "decode.language": None}
    space = Space(
        (), {}, {"decode.batch_size": (1, 2), "decode.chunk_length_s": Interval(5, 9), "decode.language": ("en", None)}
    )
    for goal in (parse_goal(["wer"], ["peak_rss_mib<=1000"]), GOAL):
        ours = mirrored(path, [point], space, goal)
        theirs = tmp_path / f"theirs{len(goal.objectives)}.log"
        copy = optuna.create_study(storage=storage(theirs), study_name="s", directions=ours.directions)
        copy.add_trials(ours.trials)
        records = [[json.loads(line) for line in file.read_text().splitlines()] for file in (path, theirs)]
        # Between the study and its trial there are attributes here.
        for mine, other in zip([records[0][0], records[0][-1]], records[1], strict=True):
            del mine["worker_id"], other["worker_id"]
            assert mine == other


def test_equal_rows_make_equal_files(path: Path) -> None:
    mirrored(path, [{"decode.batch_size": 1}, {"decode.batch_size": 2}], BATCHES)
    first = path.read_bytes()
    mirrored(path, [{"decode.batch_size": 1}, {"decode.batch_size": 2}], BATCHES)
    assert path.read_bytes() == first


def test_a_journal_takes_the_place_of_an_earlier_one_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirrored(path, [{"decode.batch_size": 1}], BATCHES)
    before = path.read_bytes()
    found: list[bytes] = []

    def fail(descriptor: int) -> None:
        found.append(path.read_bytes())
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        mirrored(path, [{"decode.batch_size": 2}, {"decode.batch_size": 4}], BATCHES)
    assert found == [before]
    assert path.read_bytes() == before
    monkeypatch.undo()
    study = mirrored(path, [{"decode.batch_size": 2}, {"decode.batch_size": 4}], BATCHES)
    assert [trial.params["decode.batch_size"] for trial in study.trials] == [2, 4]
    assert list(path.parent.iterdir()) == [path]


def test_an_open_reader_goes_on_though_earlier_lines_have_changed(path: Path) -> None:
    """The dashboard keeps a storage open, which remembers the byte where it stopped reading."""
    rows = [row(number, {"decode.batch_size": 1}, **GOOD) for number in range(3)]
    write_journal(path, "s", rows, GOAL, BATCHES)
    reader = storage(path)
    assert len(reader.get_all_trials(0)) == 3
    # A second run of the first trial, and a value that widens the distribution of all.
    more = [row(0, {"decode.batch_size": 1}, wer=0.123456789, rtfx=1 / 3, peak_rss_mib=2 / 3)]
    more += [row(3, {"decode.batch_size": 123_456}, **GOOD), row(4, {"decode.batch_size": 2}, **GOOD)]
    write_journal(path, "s", rows + more, GOAL, BATCHES)
    trials = reader.get_all_trials(0)
    assert [trial.params["decode.batch_size"] for trial in trials] == [1, 1, 1, 123_456, 2]
    # The name of a setting, or a text, may be of any length.
    write_journal(path, "s", [row(0, {"decode.language": "x" * 9000}, **GOOD)], GOAL, BATCHES)
    assert read(path).trials[0].params == {"decode.language": "x" * 9000}


def test_a_grid_that_was_run_has_a_journal(path: Path, tmp_path: Path, tone_manifest: Callable[..., Path]) -> None:
    arguments = ["-m", "study=g", f"results.root={tmp_path}", "engine=fake", "model=fake", "decode.stride_length_s=0"]
    arguments += ["data=manifest", f"data.path={tone_manifest(3)}", "measure.warmup=0", "decode.chunk_length_s=2,4"]
    runs = bench.run(*arguments)
    rows = [row for file in (tmp_path / "g" / "runs").glob("*.parquet") for row in pq.read_table(file).to_pylist()]
    study = compose(arguments)
    assert study is not None
    write_journal(path, "s", rows, parse_goal(["wer", "rtfx"], []), study.space)
    values = {trial.user_attrs["trial_id"]: (trial.params, trial.values) for trial in read(path).trials}
    assert values == {
        one["trial_id"]: (
            {"decode.chunk_length_s": one["decode.chunk_length_s"]},
            [one["wer"], one["rtfx"]],
        )
        for one in runs.to_dict("records")
    }
    assert len(values) == 2
