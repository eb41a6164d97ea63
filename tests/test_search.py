"""Searches end to end with the fake engine: resume, extension, refusal, memory, races, budgets, data kept aside."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import bench
from bench import store
from bench.errors import ConfigError, DataError, StoreError
from bench.inference.fake import SMALL_S

ZDT = [
    "search.objectives=[features_mib,cache_mib]",
    "model.name=fake/zdt1",
    "decode.batch_size=range(1,22)",
    "decode.num_beams=range(1,7)",
    "decode.chunk_length_s=range(20,31,2)",
]


@pytest.fixture
def study(tmp_path: Path, tone_manifest: Callable[..., Path]) -> list[str]:
    """Overrides of a study named "s" with the fake engine over two short recordings of 3 s and 5 s."""
    return ["-m", "study=s", f"results.root={tmp_path / 'results'}", *_fake(tone_manifest(3, 5))]


def _fake(manifest: Path) -> list[str]:
    return [
        "engine=fake",
        "model=fake",
        "data=manifest",
        f"data.path={manifest}",
        "measure.warmup=0",
        "decode.stride_length_s=0",
    ]


@pytest.fixture
def study_dir(tmp_path: Path) -> Path:
    return tmp_path / "results" / "s"


def _told(runs: pd.DataFrame) -> list[tuple[int, str, str]]:
    """What identifies a finished study, trial by trial."""
    ordered = runs.sort_values(["trial_number", "replicate"])
    return list(zip(ordered["trial_number"], ordered["run_id"], ordered["point"], strict=True))


def _points(runs: pd.DataFrame, key: str) -> list[float]:
    return [json.loads(point)[key] for point in runs.sort_values("trial_number")["point"]]


def _resumed_alike(study: list[str], study_dir: Path, kills: int, count: int) -> None:
    search = [*study, *ZDT, "search=tpe", f"search.trials={count}"]
    uninterrupted = bench.run(*search)
    whole = study_dir.with_name("whole")
    study_dir.rename(whole)
    chance = random.Random(kills)
    order = uninterrupted.sort_values("trial_number")["run_id"]
    for _ in range(kills):
        # What a driver leaves behind that is killed at any instant: the runs so far, and perhaps a part of the next.
        kept = chance.randrange(count)
        shutil.copytree(whole, study_dir)
        for number, run_id in enumerate(order):
            folders = ("runs", "utterances", "timeline") if number > kept or chance.random() < 0.5 else ("runs",)
            for path in (path for folder in folders for path in (study_dir / folder).glob(f"{run_id}.*")):
                if number >= kept:
                    path.unlink()
        (study_dir / "runs" / ".writing-half").write_bytes(b"PAR1")
        resumed = bench.run(*search)
        assert _told(resumed) == _told(uninterrupted)
        left = {path.name for path in (study_dir / "runs").iterdir()}
        assert left == {path.name for path in (whole / "runs").iterdir()}
        shutil.rmtree(study_dir)


def test_a_search_goes_on_as_if_it_had_never_been_killed(study: list[str], study_dir: Path) -> None:
    _resumed_alike(study, study_dir, kills=2, count=13)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_so_it_does_at_thirty_kill_points(study: list[str], study_dir: Path) -> None:
    _resumed_alike(study, study_dir, kills=30, count=24)


def test_a_finished_search_has_nothing_to_do_and_more_trials_extend_it(study: list[str], study_dir: Path) -> None:
    search = [*study, *ZDT, "search=tpe"]
    long = bench.run(*search, "search.trials=13")
    study_dir.rename(study_dir.with_name("long"))
    short = bench.run(*search, "search.trials=11")
    started = set(short["started_at"])
    assert set(bench.run(*search, "search.trials=11")["started_at"]) == started
    extended = bench.run(*search, "search.trials=13")
    assert started < set(extended["started_at"])
    assert _told(extended) == _told(long)
    assert list(extended.sort_values("trial_number")["trial_number"]) == list(range(13))


def test_a_wider_space_goes_on_from_the_same_trials(study: list[str]) -> None:
    narrow = bench.run(*study, "search=tpe", "search.trials=4", "search.objectives=[rtfx]", "decode.batch_size=1,2,3,4")
    wide = bench.run(
        *study, "search=tpe", "search.trials=7", "search.objectives=[rtfx]", "decode.batch_size=range(1,9)"
    )
    assert set(narrow["run_id"]) < set(wide["run_id"])
    assert len(wide) == 7
    assert max(_points(wide, "decode.batch_size")[4:]) > 4


def test_a_grid_can_be_searched_on(study: list[str]) -> None:
    grid = bench.run(*study, "decode.batch_size=1,2")
    both = bench.run(
        *study, "search=random", "search.trials=4", "search.objectives=[rtfx]", "decode.batch_size=range(1,9)"
    )
    assert set(grid["run_id"]) < set(both["run_id"])
    assert sorted(both["trial_number"]) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("threads=1", "threads=None, now 1"),
        ("model.name=fake/zdt2", "model.name=fake/zdt1, now fake/zdt2"),
        ("seed=5", "seed=0, now 5"),
        ("data.limit=1", "data.fingerprint="),
    ],
)
def test_a_search_whose_trials_would_mean_something_else_is_refused(study: list[str], change: str, said: str) -> None:
    search = [*study, *ZDT, "search=random", "search.trials=2"]
    before = bench.run(*search)
    with pytest.raises(StoreError, match=said):
        bench.run(*search, change)
    assert _told(bench.run(*search)) == _told(before)


@pytest.mark.parametrize("change", ["search.racing=true", "search.holdout=0.5"])
def test_runs_made_in_different_ways_do_not_mix(study: list[str], change: str) -> None:
    search = [*study, "search=random", "search.trials=2", "search.objectives=[wer]", "decode.batch_size=range(1,9)"]
    bench.run(*search)
    with pytest.raises(StoreError, match=change.partition("=")[0]):
        bench.run(*search, change)


def test_a_space_with_fewer_points_than_trials_is_tried_in_full(
    study: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    search = [*study, "search=tpe", "search.objectives=[rtfx]", "decode.batch_size=1,2,3"]
    assert len(bench.run(*search, "search.trials=9")) == 3
    assert "every possible point of the space has been tried" in capsys.readouterr().out


def test_a_search_in_which_nothing_can_run_is_refused(study: list[str]) -> None:
    search = [*study, "search=tpe", "search.objectives=[rtfx]", "decode.chunk_length_s=interval(1,2)"]
    with pytest.raises(ConfigError, match="no point of this space can run"):
        bench.run(*search, "decode.stride_length_s=3")


def test_an_objective_that_is_not_measured_here_ends_the_search_and_keeps_the_run(
    study: list[str], study_dir: Path
) -> None:
    with pytest.raises(ConfigError, match="runs here have no peak_gpu_reserved_mib"):
        bench.run(*study, "search=tpe", "search.objectives=[peak_gpu_reserved_mib]", "decode.batch_size=range(1,9)")
    assert len(bench.load_runs(study_dir)) == 1


def test_replicates_of_a_trial_run_before_the_next_is_chosen(study: list[str]) -> None:
    runs = bench.run(*study, *ZDT, "search=tpe", "search.trials=3", "measure.replicates=2")
    assert list(runs["trial_number"]) == [0, 0, 1, 1, 2, 2]
    assert list(runs["replicate"]) == [0, 1] * 3


def test_failures_are_tried_again_before_the_next_trial_and_then_left(study: list[str]) -> None:
    runs = bench.run(
        *study, "search=random", "search.trials=3", "search.objectives=[rtfx]", "model.name=fake/ok,fake/error",
        "executor.max_attempts=2", "decode.batch_size=1,2",
    )  # fmt: skip
    assert list(runs["trial_number"]) == [0, 1, 2]
    for _, run in runs.iterrows():
        expected = ("error", 2) if run["model.name"] == "fake/error" else ("ok", 1)
        assert (run["status"], run["attempt"]) == expected


@pytest.mark.parametrize("search", [[], ["search=tpe", "search.objectives=[rtfx]", "search.trials=9"]])
def test_after_running_out_of_memory_the_largest_batch_that_fits_is_found(
    tmp_path: Path, tone_manifest: Callable[..., Path], search: list[str]
) -> None:
    # 40 windows of 5 s; the engine holds 100 s of audio.
    runs = bench.run(
        "-m", "study=s", f"results.root={tmp_path}", *_fake(tone_manifest(200)), "model.name=fake/small",
        "decode.chunk_length_s=5", "decode.batch_size=4,40", "search.oom=bisect", *search,
    )  # fmt: skip
    sizes = {int(size): status for size, status in zip(runs["decode.batch_size"], runs["status"], strict=True)}
    fits = SMALL_S // 5
    assert sizes[fits] == "ok"
    assert sizes[fits + 1] == "oom"
    assert all((size <= fits) == (status == "ok") for size, status in sizes.items())
    assert len(runs) <= 2 + 6  # between 4 and 40: log2(36)


def test_where_no_batch_fits_the_longest_chunk_is_found(tmp_path: Path, tone_manifest: Callable[..., Path]) -> None:
    runs = bench.run(
        "-m", "study=s", f"results.root={tmp_path}", *_fake(tone_manifest(200)), "model.name=fake/small",
        "decode.chunk_length_s=160", "decode.batch_size=2,1", "search.oom=bisect",
    )  # fmt: skip
    ok = runs[runs["status"] == "ok"]
    assert ok["decode.chunk_length_s"].max() == SMALL_S
    assert set(ok["decode.batch_size"]) == {1}


def test_a_race_ends_what_is_worse_and_completes_the_rest(tmp_path: Path, tone_manifest: Callable[..., Path]) -> None:
    lengths = [3 + number % 4 for number in range(30)]
    race = [
        "-m", "study=s", f"results.root={tmp_path}", *_fake(tone_manifest(*lengths)), "decode.batch_size=2",
        "search.racing=true", "search.objectives=[wer]", "model.name=fake/ok,fake/half", "decode.chunk_length_s=3,4,6",
        "measure.replicates=2", "measure.repeats=2",
    ]  # fmt: skip
    runs = bench.run(*race)
    good, bad = runs[runs["model.name"] == "fake/ok"], runs[runs["model.name"] == "fake/half"]
    assert set(good["status"]) == {"ok"}
    assert len(good) == 6
    # Whatever came before the first good run was completed; of the others, no replicate is made in vain.
    first = good["started_at"].min()
    late = bad[(bad["started_at"] > first) & (bad["replicate"] == 0)]
    assert len(late)
    assert set(late["status"]) == {"pruned"}
    assert set(bad.loc[bad["trial_id"].isin(late["trial_id"]), "replicate"]) == {0}
    for _, run in late.iterrows():
        assert 0 < run["race_share"] < 0.6
        assert run["race_beaten_by"] in set(good["run_id"])
        assert run["race_wer"] == pytest.approx(0.5, abs=0.1)
        assert pd.isna(run["wer"])
        assert pd.isna(run["rtfx"])
        assert "worse than" in run["status_reason"]
    assert set(good["race_share"]) == {1.0}
    assert all(run["inference_s"][0] == pytest.approx(sum(run["race_stage_s"])) for _, run in good.iterrows())
    assert set(runs["race_goal"]) == {"wer"}
    # Pruned is a result: nothing of it is run again.
    assert set(bench.run(*race)["started_at"]) == set(runs["started_at"])
    # What was ended might not have been, had more been sought.
    for change in (
        "search.racing_margin=0.1",
        "search.objectives=[wer,rtfx]",
        'search.constraints=["peak_rss_mib<=100000"]',
    ):
        with pytest.raises(StoreError, match=r"a race for wer ended early, which one for .* might not have"):
            bench.run(*race, change)


def test_texts_of_a_race_are_those_of_a_run_without_one(tmp_path: Path, tone_manifest: Callable[..., Path]) -> None:
    base = [f"results.root={tmp_path}", *_fake(tone_manifest(3, 9, 5)), "decode.chunk_length_s=2,4"]
    bench.run("-m", "study=raced", *base, "search.racing=true", "search.objectives=[wer]")
    bench.run("-m", "study=plain", *base)
    key = ["run_id", "utterance_id"]
    raced, plain = (bench.load_utterances(tmp_path / name).set_index(key)["hypothesis"] for name in ("raced", "plain"))
    pd.testing.assert_series_equal(raced.sort_index(), plain.sort_index())


def test_a_race_cannot_judge_what_is_known_at_the_end_only(study: list[str]) -> None:
    with pytest.raises(ConfigError, match="cannot judge energy_j before a run has ended"):
        bench.run(*study, "search.racing=true", "search.objectives=[wer,energy_j]", "decode.batch_size=1,2")


def test_a_budget_of_time_ends_a_study_cleanly_and_a_larger_one_goes_on(
    study: list[str], study_dir: Path, cli: Callable[..., object]
) -> None:
    grid = [*study, "model.name=fake/slow", "decode.chunk_length_s=2,3,4,5", "decode.batch_size=1"]
    runs = bench.run(*grid, "search.budget_s=3")
    assert 0 < len(runs) < 4
    assert runs["wall_s"].sum() <= 3 + runs["wall_s"].max()
    assert len(bench.run(*grid)) == 4


def test_a_budget_of_money_counts_at_the_price_of_the_device(study: list[str]) -> None:
    grid = [*study, "decode.chunk_length_s=2,3,4,5", "measure.price_per_hour.cpu=3600"]  # one a second
    runs = bench.run(*grid, "search.budget_cost=0.000001")
    assert len(runs) == 1  # what a run costs is known after the first
    assert len(bench.run(*grid, "search.budget_cost=1000")) == 4


def test_the_chosen_setting_is_judged_on_data_kept_aside(tmp_path: Path, tone_manifest: Callable[..., Path]) -> None:
    manifest = tone_manifest(3, 5, 4, 6, 7, 8)
    search = ["-m", "study=s", f"results.root={tmp_path}", *_fake(manifest), "search.holdout=0.3"]
    choice = ["search.objectives=[wer]", "model.name=fake/half,fake/ok"]
    runs = bench.run(*search, *choice)
    searched, judged = runs[runs["part"] == "search"], runs[runs["part"] == "holdout"]
    assert len(searched) == 2
    (verdict,) = judged.to_dict("records")
    assert verdict["model.name"] == "fake/ok"
    assert verdict["trial_number"] == searched.loc[searched["model.name"] == "fake/ok", "trial_number"].item()
    assert verdict["utterances"] + searched["utterances"].iloc[0] == 6
    assert verdict["utterances"] == 2
    texts = bench.load_utterances(tmp_path / "s").merge(runs[["run_id", "part"]], on="run_id")
    sides = {part: set(each) for part, each in texts.groupby("part")["utterance_id"]}
    assert not sides["search"] & sides["holdout"]
    assert set(bench.run(*search, *choice)["started_at"]) == set(runs["started_at"])


def test_too_little_data_to_keep_any_aside(study: list[str]) -> None:
    with pytest.raises(DataError, match="leave nothing to search on"):
        bench.run(*study, "search.holdout=0.9", "decode.batch_size=1,2")


def test_what_is_asked_for_is_in_the_study_s_description(study: list[str], study_dir: Path) -> None:
    bench.run(*study, "search=random", "search.trials=1", "search.objectives=[rtfx]", "decode.batch_size=interval(1,9)")
    description = store.read_study(study_dir)
    assert description is not None
    assert description["space"] == {"decode.batch_size": ["int(interval(1,9))"]}
    assert description["config"]["search.sampler"] == "random"
    assert description["config"]["search.objectives"] == ["rtfx"]


# The same study started with something else: settings are known by what they are, not by how a point names them.


def test_a_new_dimension_that_holds_the_old_value_goes_on(study: list[str]) -> None:
    search = [*study, "search=random", "search.objectives=[rtfx]", "decode.batch_size=1,2"]
    old = bench.run(*search, "search.trials=2")
    new = bench.run(*search, "search.trials=9", "decode.num_beams=1,2")
    assert set(old["run_id"]) < set(new["run_id"])
    assert len(new) == 4


def test_points_that_mean_the_same_run_once(study: list[str]) -> None:
    runs = bench.run(*study, "search=random", "search.objectives=[rtfx]", "data.limit=1,2,9", "search.trials=9")
    assert len(runs) == 2  # there are two recordings


def test_the_chosen_setting_is_one_of_those_asked_for(tmp_path: Path, tone_manifest: Callable[..., Path]) -> None:
    base = ["-m", "study=s", f"results.root={tmp_path}", *_fake(tone_manifest(3, 5, 4, 6, 7, 8)), "search.holdout=0.3"]
    bench.run(*base, "model.name=fake/ok", "decode.batch_size=1,2")
    runs = bench.run(*base, "model.name=fake/half", "decode.batch_size=1,2")
    judged = runs[runs["part"] == "holdout"].set_index("model.name")["wer"]
    assert judged["fake/ok"] == 0
    assert judged["fake/half"] == pytest.approx(0.5)


def test_the_same_data_is_kept_aside_whatever_the_seed(tmp_path: Path, tone_manifest: Callable[..., Path]) -> None:
    base = ["-m", "study=s", f"results.root={tmp_path}", *_fake(tone_manifest(3, 5, 4, 6, 7, 8)), "search.holdout=0.3"]
    runs = bench.run(*base, "seed=1,2,3")
    texts = bench.load_utterances(tmp_path / "s").merge(runs[["run_id", "part"]], on="run_id")
    searched = texts[texts["part"] == "search"]
    assert searched.groupby("run_id")["utterance_id"].agg(set).map(frozenset).nunique() == 1


def test_a_budget_holds_back_the_time_to_judge(tmp_path: Path, tone_manifest: Callable[..., Path]) -> None:
    base = ["-m", "study=s", f"results.root={tmp_path}", *_fake(tone_manifest(3, 5, 4, 6))]
    runs = bench.run(
        *base, "model.name=fake/slow", "decode.batch_size=1,2,3,4", "decode.chunk_length_s=2,3",
        "search.holdout=0.3", "search.budget_s=6",
    )  # fmt: skip
    assert list(runs["part"]).count("holdout") == 1
    assert runs["part"].iloc[-1] == "holdout"
    assert len(runs) < 9


def test_bisection_leaves_batches_alone_that_runs_find_by_themselves(
    tmp_path: Path, tone_manifest: Callable[..., Path]
) -> None:
    base = ["-m", "study=s", f"results.root={tmp_path}", *_fake(tone_manifest(200)), "model.name=fake/small"]
    bisect = [*base, "decode.batch_size=auto,40", "search.oom=bisect"]
    bench.run(*bisect, "decode.chunk_length_s=5")
    # The same points over other chunks mean something else.
    runs = bench.run(*bisect, "decode.chunk_length_s=10")
    fits = runs[runs["status"] == "ok"].groupby("decode.chunk_length_s")["decode.batch_size"].max()
    assert fits.to_dict() == {5.0: SMALL_S // 5, 10.0: SMALL_S // 10}


def test_a_race_goes_on_after_recordings_were_renamed(tmp_path: Path, tone_manifest: Callable[..., Path]) -> None:
    manifest = tone_manifest(3, 5)
    race = [
        "-m",
        "study=s",
        f"results.root={tmp_path}",
        *_fake(manifest),
        "search.racing=true",
        "search.objectives=[wer]",
    ]
    bench.run(*race, "decode.batch_size=1,2")
    (tmp_path / "tones" / "1.wav").rename(tmp_path / "tones" / "renamed.wav")
    manifest.write_text(manifest.read_text().replace("tones/1.wav", "tones/renamed.wav"))
    runs = bench.run(*race, "decode.batch_size=1,2,3")
    assert set(runs["status"]) == {"ok"}
    assert len(runs) == 3


def test_a_judgement_that_is_repeated_keeps_its_number(
    tmp_path: Path, tone_manifest: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = ["-m", "study=s", f"results.root={tmp_path}", *_fake(tone_manifest(3, 5, 4, 6, 7, 8)), "search.holdout=0.3"]
    monkeypatch.setattr("bench.ledger.Ledger.is_valid", lambda self, run_id: False)
    runs = bench.run(*base, "measure.rerun_invalid=1", "model.name=fake/half,fake/ok")
    assert set(runs["attempt"]) == {2}
    (verdict,) = runs[runs["part"] == "holdout"].to_dict("records")
    chosen = runs[(runs["part"] == "search") & (runs["model.name"] == "fake/ok")]
    assert verdict["trial_number"] == chosen["trial_number"].item()
