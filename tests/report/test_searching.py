"""The section about the search, of hand-made rows and of a real search with the fake engine."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import bench
from bench.config import DecodeConfig
from bench.errors import ConfigError
from bench.readings import Doubt
from bench.records import RunResult, Status
from bench.report import build
from bench.report.searching import goal_of, search_section, trials_of
from bench.report.tables import blocks
from bench.store import load_runs
from tests.report.builder import completed, config, doubted, pruned, run, searched_study, study
from tests.report.conftest import text_of

TPE = {"search.sampler": "tpe", "search.trials": 6, "search.objectives": ["wer"]}


def sized(batch: int, ended: str = "ok", chunk_s: float = 10.0) -> RunResult:
    settings = dataclasses.replace(config(), decode=DecodeConfig(chunk_length_s=chunk_s, batch_size=batch))
    reason = None if ended == "ok" else "killed"
    return run(f"{chunk_s:g}-{batch}", settings, status=Status(ended), reason=reason)


def is_new(column: str) -> bool:
    """Tell whether a column is none of schema version 2."""
    return column in ("trial_number", "point", "part") or column.startswith(("race_", "search."))


def sizes(tmp_path: Path, *runs: RunResult) -> list[str]:
    found = blocks(load_runs(study(tmp_path / "s", runs)))
    section = search_section(found, goal_of({}), {})
    assert section is not None
    lines: list[str] = section["sizes"]
    return lines


def test_trials_objectives_and_constraints_are_told(tmp_path: Path) -> None:
    runs = [
        run("a", config(5), errors=8, number=0, standing=completed()),
        pruned("b", config(10), 0.5, 0.2, "a-0", number=1),
        run("c", config(20), number=2, status=Status.oom, reason="killed"),
        run("d", config(30), number=3, status=Status.error, reason="broke"),
        run("e", config(40), errors=2, peak_mib=900.0, number=4, standing=completed()),
    ]
    told = TPE | {"search.constraints": ["peak_rss_mib<=850"]}
    goal = goal_of(told)
    found = blocks(load_runs(study(tmp_path / "s", runs)), goal.constraints)
    section = search_section(found, goal, told)
    assert section is not None
    assert section["told"] == [
        "The sampler tpe chose the settings; 5 of 6 trials ran: 2 ran to their end, 1 was ended early by racing,"
        " 1 ran out of memory, 1 failed.",
        "Objective: WER (lower is better).",
        "Constraint: peak_rss_mib<=850; nothing is recommended that breaks one, though a sampler may try it.",
        "Best by WER: chunk 5 s (4.0 %).",
    ]


def test_a_grid_has_no_such_section_unless_it_ran_out_of_memory(tmp_path: Path) -> None:
    fitting = [run("a", config(5)), run("b", config(10), status=Status.error, reason="broke")]
    found = blocks(load_runs(study(tmp_path / "s", fitting)))
    assert search_section(found, goal_of({}), {"search.sampler": "grid"}, 2) is None
    full = blocks(load_runs(study(tmp_path / "f", [*fitting, run("c", config(20), status=Status.oom, reason="x")])))
    section = search_section(full, goal_of({}), {}, 4)
    assert section is not None
    assert section["racing"] is None
    assert section["told"] == ["A grid, of which 3 of 4 settings ran: 1 ran to its end, 1 ran out of memory, 1 failed."]


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        ([sized(4), sized(20), sized(21, "oom"), sized(40, "oom")],
         ["Batch 20 is the largest that fits: batch 21 runs out of memory."]),
        ([sized(4), sized(40, "oom")],
         ["Batch 4 fits and batch 40 runs out of memory; nothing between was tried."]),
        ([sized(4, "oom"), sized(8, "oom")], ["Batch 4 runs out of memory, the smallest tried."]),
        ([sized(4, chunk_s=5), sized(4, "oom"), sized(2)],
         ["With chunk 10 s, batch 2 fits and batch 4 runs out of memory; nothing between was tried."]),
        ([sized(1, chunk_s=19), sized(1, "oom", 20), sized(2, "oom", 20)],
         ["With chunk 20 s, not even batch 1 fits.",
          "With batch 1, chunk 19 s is the largest that fits: chunk 20 s runs out of memory."]),
    ],
)  # fmt: skip
def test_what_fits_is_said_in_words(tmp_path: Path, runs: list[RunResult], told: list[str]) -> None:
    assert sizes(tmp_path, *runs) == told


def test_a_study_of_an_older_version_has_no_goal_and_no_trials(tmp_path: Path) -> None:
    old = load_runs(study(tmp_path / "s", [run("a", config(5)), run("b", config(10))]))
    for name in filter(is_new, old.columns):
        old[name] = None
    (block,) = blocks(old)
    goal = goal_of({"device": "cpu"})
    assert ([one.column for one in goal.objectives], goal.constraints) == (["wer", "rtfx"], ())
    assert trials_of(block, goal) == []
    assert search_section([block], goal, {"device": "cpu"}) is None
    assert len(block.table) == 2


@pytest.mark.parametrize("wrong", ["wer", {"a": 1}, [1]])
def test_a_goal_that_cannot_be_read_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match="no list of objectives"):
        goal_of({"search.constraints": wrong})


def test_an_older_study_is_reported_as_ever(tmp_path: Path) -> None:
    folder = study(tmp_path / "results" / "s", [run("a", config(5)), run("b", config(10))])
    for path in (folder / "runs").iterdir():
        frame = pd.read_parquet(path)
        frame.drop(columns=[name for name in map(str, frame.columns) if is_new(name)]).assign(
            schema_version=2
        ).to_parquet(path)
    text = text_of((build(folder, tmp_path / "reports") / "index.html").read_text())
    assert text.startswith("Recommended: ")
    assert "The search" not in text


def test_text_in_the_section_is_escaped(tmp_path: Path) -> None:
    runs = [run("a", config(5), number=0), run("b", config(10), number=1)]
    folder = searched_study(tmp_path / "results" / "s", runs, sampler="<script>x|y")
    report = build(folder, tmp_path / "reports")
    assert "<script>x" not in (report / "index.html").read_text()
    assert "sampler &lt;script&gt;x\\|y chose" in (report / "summary.md").read_text()


def test_a_search_is_reported_from_end_to_end(tmp_path: Path, tone_manifest: Callable[..., Path]) -> None:
    base = ["-m", "study=s", f"results.root={tmp_path / 'results'}", "engine=fake", "model=fake", "data=manifest"]
    space = ["decode.batch_size=range(1,22)", "decode.num_beams=range(1,7)", "decode.chunk_length_s=range(20,31,2)"]
    runs = bench.run(
        *base, *space, f"data.path={tone_manifest(3, 5, 4)}", "measure.warmup=0", "decode.stride_length_s=0",
        "model.name=fake/zdt1", "search=tpe", "search.trials=8", "search.objectives=[features_mib,cache_mib]",
        'search.constraints=["features_mib<=0.5"]', "search.holdout=0.3",
    )  # fmt: skip
    tried = runs[runs["part"] == "search"]
    report = build(tmp_path / "results" / "s", tmp_path / "reports")
    for text in (text_of((report / "index.html").read_text()), (report / "summary.md").read_text()):
        assert "The sampler tpe chose the settings; 8 of 8 trials ran: 8 ran to their end." in text
        assert (
            "Objectives: Features (lower is better), Cache (lower is better). What is recommended above goes by WER,"
            in text
        )
        assert "on 1 utterance" in text
        assert "judged on data kept aside" in text or "it was chosen on" in text
        broken = int((tried["features_mib"] > 0.5).sum())
        assert broken
        assert f"{broken} setting{'s were' if broken > 1 else ' was'} set aside" in text
    assert (report / "figures" / "search.svg").exists()
    assert (report / "index.html").read_text().count("How much of the final front of Features and Cache") == 2


def test_without_invalid_timings_the_course_is_still_that_of_the_search(tmp_path: Path) -> None:
    doubt = doubted((Doubt.spread, "passes differ"))
    runs = [run(f"t{at}", config(at), inference_s=float(at), number=at, certificate=doubt) for at in (5, 10)]
    folder = searched_study(tmp_path / "results" / "s", runs, sampler="tpe", objectives=["rtfx"])
    report = build(folder, tmp_path / "reports", valid_only=True)
    text = text_of((report / "index.html").read_text())
    assert text.startswith("No setting can be recommended: 2 has no valid timing.")
    assert "Best by RTFx: chunk 5 s (20.0)." in text
    assert (report / "figures" / "search.png").exists()
