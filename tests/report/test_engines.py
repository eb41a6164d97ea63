"""Engines side by side: figures, agreement and differences of a study whose texts are worked by hand."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.config import Config, DType, ModelConfig, NormalizerName, Parity, ScoreConfig
from bench.records import RunResult, Status
from bench.report import build
from bench.report.accuracy import accuracies
from bench.report.comparison import compare_study
from bench.report.engine_figures import engine_sides
from bench.report.engines import Engines, engine_section, engines
from bench.report.tables import Block, blocks
from bench.store import load_runs, load_utterances
from tests.report.builder import config, run, study, unscored
from tests.report.conftest import text_of
from tests.report.test_errors import heard

PLAIN = ScoreConfig(normalizer=NormalizerName.none)
SAID = [f"the {word} sat on the mat" for word in ("cat", "dog", "cow", "hen", "fox", "owl", "bat", "ant")]
TIMES = (10.0, 10.2, 9.8, 10.1)


def settings(engine: str, dtype: DType = DType.float32, parity: Parity = Parity.locked, **changes: Any) -> Config:
    made = config(engine=engine, model=ModelConfig(dtype=dtype), score=PLAIN, **changes)
    return dataclasses.replace(made, decode=dataclasses.replace(made.decode, parity=parity))


def texts(changed: dict[int, str]) -> list[Any]:
    """Make the utterances, heard as they were said but for some."""
    return [heard(at, said, changed.get(at, said), speaker=f"s{at}") for at, said in enumerate(SAID)]


def runs_of(engine: str, changed: dict[int, str], slower: float = 1.0, **more: Any) -> list[RunResult]:
    trial = f"{engine}{more.get('dtype', '')}{more.get('parity', '')}"
    made = settings(engine, **{name: more[name] for name in ("dtype", "parity") if name in more})
    return [
        run(
            trial, made, utterances=texts(changed), inference_s=slower * time, replicate=at,
            engine_version=f"{engine} 1.0",
        )
        for at, time in enumerate(TIMES)
    ]  # fmt: skip


# One word of 48 is other under each of the two, in different utterances.
ALPHA = {0: "the cap sat on the mat"}
BETA = {1: "the dog sat on a mat"}


@pytest.fixture
def compared(tmp_path: Path) -> Path:
    failed = run("missing", settings("onnxruntime"), status=Status.error, reason="pip install <it>", threads=4)
    every = [*runs_of("transformers", ALPHA), *runs_of("faster_whisper", BETA, slower=0.5), failed]
    return study(tmp_path / "results" / "s", every)


def found_in(folder: Path, skipped: Sequence[dict[str, Any]] = ()) -> tuple[Block, Engines | None]:
    block = blocks(load_runs(folder))[0]
    return block, engines(block, load_utterances(folder), skipped)


def section_of(folder: Path, skipped: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    block, found = found_in(folder, skipped)
    assert found is not None
    utterances = load_utterances(folder)
    return engine_section(found, accuracies([block], utterances)[block.title])


def column(told: dict[str, Any], head: str) -> list[str]:
    at = [name for name, _ in told["heads"]].index(head)
    return [row[at] for row in told["rows"]]


def test_engines_stand_side_by_side(compared: Path) -> None:
    told = section_of(compared)
    assert column(told, "Engine") == ["faster_whisper", "onnxruntime", "transformers"]
    # The first takes half of the other's time in all of four runs each.
    assert column(told, "Times as fast as transformers")[0].startswith("2.00 (")
    assert column(told, "Times as fast as transformers")[2] == "baseline"
    assert column(told, "WER") == ["2.1 %", "–", "2.1 %"]  # 1 of 48 words
    assert column(told, "RTFx")[1] == "error"
    assert told["missing"] == ["onnxruntime has no result: error, pip install <it>"]
    assert [row[0] for row in told["phases"]["rows"]] == ["faster_whisper", "transformers"]
    assert "faster_whisper: faster_whisper 1.0." in told["notes"]


def test_words_that_agree_are_counted_over_both_texts(compared: Path) -> None:
    agreement = section_of(compared)["agreement"]
    (row,) = agreement["rows"]
    # Either text has 48 words; 2 of each stand beside another one.
    assert row[:3] == ["faster_whisper", "transformers", f"{100 * 2 * 46 / 96:.2f} %"]
    assert row[4].startswith("+0.00")
    assert row[5] == "tied (p = 1)"


def test_where_they_differ_most_is_shown(compared: Path) -> None:
    differing = section_of(compared)["differing"]
    assert [one["id"] for one in differing] == ["rec0", "rec1"]
    assert differing[0]["range"] == "2 of 12 words differ between faster_whisper and transformers"
    versions = {one["settings"]: one["pieces"] for one in differing[0]["versions"]}
    assert versions["1 setting: transformers"] == ["the", ["cat", "cap"], "sat on the mat"]


def test_the_page_and_the_summary_tell_of_it(compared: Path, tmp_path: Path) -> None:
    report = build(compared, tmp_path / "reports")
    page = (report / "index.html").read_text()
    for text in (text_of(page), (report / "summary.md").read_text()):
        assert "Engines side by side" in text
        assert "95.83 %" in text
    assert "pip install &lt;it&gt;" in page
    assert {"engines_1.svg", "engines_1.png"} <= {path.name for path in (report / "figures").iterdir()}


def test_one_engine_is_no_comparison(tmp_path: Path) -> None:
    assert found_in(study(tmp_path / "s", runs_of("transformers", ALPHA)))[1] is None


def test_points_that_an_engine_refused_are_told(compared: Path) -> None:
    point = {"settings": {"engine": "onnxruntime", "decode.num_beams": 5}, "reason": "it has no beams."}
    other = {"settings": {"decode.num_beams": 5}, "reason": "not about engines"}
    told = section_of(compared, [point, point, other])["missing"]
    assert told[1:] == ["onnxruntime did not run 2 points: it has no beams."]


def test_an_engine_that_is_not_installed_is_a_row_with_its_reason(tmp_path: Path) -> None:
    absent = {"settings": {"engine": "faster_whisper"}, "reason": "engine=faster_whisper is not there: pip install x"}
    folder = study(tmp_path / "s", runs_of("transformers", ALPHA))
    told = section_of(folder, [absent])
    assert column(told, "Engine") == ["transformers", "faster_whisper"]
    assert column(told, "RTFx")[1] == "not run"
    assert told["missing"] == ["faster_whisper did not run 1 point: engine=faster_whisper is not there: pip install x."]
    study(folder, runs_of("faster_whisper", BETA), skipped=[absent])  # installed since
    assert section_of(folder, [absent])["missing"] == []
    assert build(folder, tmp_path / "reports")


def test_variants_are_compared_with_full_precision_too(tmp_path: Path) -> None:
    every = [*runs_of("transformers", ALPHA), *runs_of("faster_whisper", BETA, dtype=DType.int8, slower=0.25)]
    told = section_of(study(tmp_path / "s", every))
    assert column(told, "Engine") == ["faster_whisper, int8", "transformers, float32"]
    assert column(told, "Times as fast as transformers, float32")[0].startswith("4.00 (")


def test_what_ran_natively_says_so_everywhere(tmp_path: Path) -> None:
    every = [*runs_of("transformers", ALPHA), *runs_of("faster_whisper", BETA, parity=Parity.native)]
    folder = study(tmp_path / "s", every)
    told = section_of(folder)
    assert column(told, "Engine") == ["faster_whisper, native", "transformers"]
    assert any(note.startswith("Native: ") for note in told["notes"])
    assert len(told["agreement"]["rows"]) == 1
    labels = set(found_in(folder)[0].table["label"])
    assert labels == {"faster_whisper, native", "transformers"}


def test_a_study_that_is_native_throughout_says_so_in_each_label(tmp_path: Path) -> None:
    block = blocks(load_runs(study(tmp_path / "s", runs_of("faster_whisper", BETA, parity=Parity.native))))[0]
    assert all(label.endswith("native") for label in block.table["label"])


def test_another_setting_that_varies_is_held_equal(tmp_path: Path) -> None:
    every = []
    for chunk, changed in ((10.0, ALPHA), (20.0, {})):
        for engine in ("transformers", "faster_whisper"):
            made = dataclasses.replace(settings(engine), decode=config(chunk).decode)
            every.append(run(f"{engine}{chunk:.0f}", made, utterances=texts(changed)))
    told = section_of(study(tmp_path / "s", every))
    assert column(told, "Setting") == ["chunk 20 s", "chunk 20 s", "chunk 10 s", "chunk 10 s"]
    assert told["compared"] == "chunk 20 s"
    assert told["agreement"]["rows"][0][2] == "100.00 %"
    assert told["differing"] == []


def test_random_weights_have_speed_and_no_texts(tmp_path: Path) -> None:
    every = [
        run(engine, settings(engine), utterances=[unscored(1), unscored(2)])
        for engine in ("transformers", "faster_whisper")
    ]
    told = section_of(study(tmp_path / "s", every))
    assert column(told, "RTFx") == ["10.0", "10.0"]
    assert told["agreement"]["rows"] == []
    assert build(tmp_path / "s", tmp_path / "reports")


def test_engines_are_compared_with_transformers_unless_asked_otherwise(compared: Path) -> None:
    assert compare_study(compared, "engine").baseline == "transformers"
    assert compare_study(compared, "engine", "faster_whisper").baseline == "faster_whisper"


def test_the_figure_names_each_engine_and_how_far_they_agree(compared: Path) -> None:
    block, found = found_in(compared)
    assert found is not None
    drawn = engine_sides(found, accuracies([block], load_utterances(compared))[block.title])
    assert drawn is not None
    told = [text.get_text() for part in drawn.subfigs for axis in part.axes for text in axis.texts]
    assert "95.83" in told
    labels = {label.get_text() for axis in drawn.subfigs[0].axes for label in axis.get_yticklabels()}
    assert {"faster_whisper", "transformers"} <= labels


def test_an_engine_of_another_version_is_a_block_apart(tmp_path: Path) -> None:
    old = run(
        "b", settings("faster_whisper"), engine_version="faster-whisper 1.0", started_at="2025-01-01T00:00:00Z"
    )  # fmt: skip
    new = dataclasses.replace(old, started_at="2025-02-01T00:00:00Z")
    assert new.outcome is not None
    runtime = dataclasses.replace(new.outcome.runtime, engine_version="faster-whisper 1.2")
    new = dataclasses.replace(
        new,
        job=dataclasses.replace(new.job, replicate=1),
        outcome=dataclasses.replace(new.outcome, runtime=runtime),
    )
    other = run("a", settings("transformers"), engine_version="transformers 5", started_at="2025-01-01T00:00:00Z")
    found = blocks(load_runs(study(tmp_path / "s", [old, new, other])))
    assert [set(block.runs["env.engine_version"]) for block in found] == [
        {"faster-whisper 1.2", "transformers 5"},
        {"faster-whisper 1.0"},
    ]
    assert found[1].title.endswith("earlier engine faster-whisper 1.0")


def test_runs_of_an_earlier_schema_tell_no_version_and_stay_together(tmp_path: Path) -> None:
    runs = [run("a", settings("transformers"), replicate=0), run("a", settings("transformers"), replicate=1)]
    frame = load_runs(study(tmp_path / "s", runs))
    assert len(blocks(frame)) == 1
    assert pd.isna(frame["env.engine_version"]).all()
