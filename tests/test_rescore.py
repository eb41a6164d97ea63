"""Texts scored anew: the same counts as a run's own, other counts under other normalisers, and nothing else changed."""

import dataclasses
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import jiwer
import pandas as pd
import pytest
from filelock import FileLock
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

import bench
from bench import store
from bench.__main__ import main
from bench.config import NormalizerName, ScoreConfig
from bench.errors import ConfigError, StoreError
from bench.records import RunResult, Status, Utterance, UtteranceResult, WordCounts
from bench.report.normalizers import Rankings, rankings
from bench.rescoring import Rescored, rescore_study, score_texts
from tests.report.builder import config, run, study, unscored

ENGLISH, BASIC, NONE = NormalizerName.whisper_english, NormalizerName.whisper_basic, NormalizerName.none
COUNTS = ["substitutions", "deletions", "insertions", "hits", "reference_words"]

# Reference, hypothesis, and by hand S, D, I, H under whisper_english, whisper_basic and none.
TEXTS = [
    # Spelling is English's alone to mend; case and marks are words of their own to none.
    ("The colour, Doctor Jones!", "the color doctor jones", (0, 0, 0, 4), (1, 0, 0, 3), (4, 0, 0, 0)),
    # "105 men" to English; else "men" is hit, one of four words becomes 105, three go.
    ("one hundred and five men", "105 men", (0, 0, 0, 2), (1, 3, 0, 1), (1, 3, 0, 1)),
    # English drops hesitations.
    ("Um, yes", "yes", (0, 0, 0, 1), (0, 1, 0, 1), (0, 1, 0, 1)),
    ("Yes.", "yes indeed", (0, 0, 1, 1), (0, 0, 1, 1), (1, 0, 1, 0)),
    # Nothing in brackets was said: two words are too many, and no rate exists; to none it is a word.
    ("(laughs)", "ha ha", (0, 0, 2, 0), (0, 0, 2, 0), (1, 0, 1, 0)),
]
TEA = "The colour of tea"


def spoken(reference: str, hypothesis: str, counts: WordCounts, number: int = 1) -> UtteranceResult:
    utterance = Utterance(f"rec{number}", Path(f"rec{number}.wav"), reference)
    return UtteranceResult(utterance, 50.0, 4, hypothesis, counts)


def tea(trial: str, chunk_s: float, hypothesis: str, errors: tuple[int, int, int, int], **changes: Any) -> RunResult:
    """A run that heard of tea; `errors` are S, D, I, H under whisper_english."""
    return run(trial, config(chunk_s), utterances=[spoken(TEA, hypothesis, WordCounts(*errors))], **changes)


# WER under whisper_english, whisper_basic and none: a 0, 1/4, 2/4; b 1/4, 1/4, 1/4; c 1, 1, 1.
TEAS = (
    tea("aaaa", 10, "the color of tea", (0, 0, 0, 4)),
    tea("bbbb", 20, "The colour off tea", (1, 0, 0, 3)),
    tea("cccc", 30, "nothing", (1, 3, 0, 0)),
)


@pytest.fixture
def teas(tmp_path: Path) -> Path:
    return study(tmp_path / "results" / "teas", TEAS)


@pytest.fixture
def fake(tmp_path: Path, tone_manifest: Callable[..., Path]) -> Path:
    """A study of two settings with the fake engine, which hears two words a second, and a recording that is none."""
    manifest = tone_manifest(3, 1)
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    manifest.write_text(
        "path,text\n"
        'tones/1.wav,"Word word word, word Mr word"\n'
        "tones/2.wav,(laughs) Word\n"
        "broken.wav,word word\n"
    )  # fmt: skip
    bench.run(
        *("-m", "study=s", f"results.root={tmp_path / 'results'}", "engine=fake", "model=fake", "data=manifest"),
        *(f"data.path={manifest}", "measure.warmup=0", "decode.stride_length_s=0", "decode.chunk_length_s=1,4"),
    )
    return tmp_path / "results" / "s"


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def counts_of(scores: pd.DataFrame) -> list[tuple[int, ...]]:
    return [tuple(map(int, row)) for row in scores[COUNTS[:4]].itertuples(index=False)]


def ranked(folder: Path, first: NormalizerName = NONE) -> Rankings:
    (only,) = rankings(folder, first)
    return only


@pytest.mark.parametrize(("place", "name"), [(0, ENGLISH), (1, BASIC), (2, NONE)])
def test_counts_by_hand(place: int, name: NormalizerName) -> None:
    rows = [{"utterance_id": text[0], "reference": text[0], "hypothesis": text[1], "error": None} for text in TEXTS]
    for row, (reference, _, *by_hand) in zip(score_texts(rows, name), TEXTS, strict=True):
        substitutions, deletions, insertions, hits = by_hand[place]
        assert [row[field] for field in COUNTS[:4]] == [substitutions, deletions, insertions, hits], reference
        words = substitutions + deletions + hits
        assert row["reference_words"] == words
        assert row["wer"] == ((substitutions + deletions + insertions) / words if words else None)
        assert row["normalizer"] == name


@pytest.mark.parametrize(
    ("name", "normalize"), [(ENGLISH, EnglishTextNormalizer()), (BASIC, BasicTextNormalizer()), (NONE, str)]
)
def test_summed_counts_are_those_of_jiwer(
    tmp_path: Path, name: NormalizerName, normalize: Callable[[str], str]
) -> None:
    said = [(text[0], text[1]) for text in TEXTS[:4]]  # jiwer has no counts for a reference without words
    heard = [spoken(*text, WordCounts(), number) for number, text in enumerate(said)]
    scores = bench.rescore(study(tmp_path / "s", [run("aaaa", utterances=heard)]), name)
    theirs = jiwer.process_words([normalize(one) for one, _ in said], [normalize(two) for _, two in said])
    sums = scores[COUNTS].sum()
    assert list(sums[COUNTS[:4]]) == [theirs.substitutions, theirs.deletions, theirs.insertions, theirs.hits]
    assert sums[COUNTS[:3]].sum() / sums["reference_words"] == theirs.wer


def test_the_studys_own_normaliser_gives_the_counts_it_has(fake: Path) -> None:
    keys, compared = ["run_id", "utterance_id"], [*COUNTS, "wer"]
    own = bench.load_utterances(fake).set_index(keys)[compared].sort_index()
    anew = bench.rescore(fake, "whisper_english").set_index(keys)[compared].sort_index()
    assert len(own) == 6
    assert own["hits"].notna().sum() == 4
    pd.testing.assert_frame_equal(own, anew)


def test_a_finished_study_is_scored_anew_and_its_records_stay(fake: Path) -> None:
    before = contents(fake)
    scores = bench.rescore(fake, "none").set_index("utterance_id")
    after = contents(fake)
    assert {path: after[path] for path in before} == before
    assert {path.parent.name for path in after.keys() - before.keys()} == {"scores"}
    # Six words were heard in 3 s: "Word", "word," and "Mr" are not among them. Two in 1 s, against "(laughs) Word".
    said, laughed, broken = (scores.loc[[name]] for name in ("tones/1.wav", "tones/2.wav", "broken.wav"))
    assert counts_of(said) == [(3, 0, 0, 3)] * 2
    assert counts_of(laughed) == [(2, 0, 0, 0)] * 2
    assert list(laughed["wer"]) == [1.0] * 2
    assert broken[[*COUNTS, "wer"]].isna().all(axis=None)


def test_scores_are_a_file_a_run_that_any_tool_reads(fake: Path) -> None:
    scores = bench.rescore(fake, "whisper_basic")
    runs = bench.load_runs(fake)
    assert {path.name for path in (fake / "scores").iterdir()} == {
        f"{run_id}.1.whisper_basic.parquet" for run_id in runs["run_id"]
    }
    columns = ["schema_version", "study", "trial_id", "run_id", "attempt", "utterance_id", "normalizer", *COUNTS, "wer"]
    assert list(scores.columns) == columns
    assert set(zip(scores["trial_id"], scores["run_id"], scores["attempt"], strict=True)) == set(
        zip(runs["trial_id"], runs["run_id"], runs["attempt"], strict=True)
    )
    assert set(scores["study"]) == {"s"}
    pattern = fake / "scores" / "*.parquet"
    assert duckdb.execute(f"select count(*), sum(substitutions), sum(hits) from '{pattern}'").fetchall() == [(6, 2, 12)]


def test_a_second_call_does_nothing(teas: Path) -> None:
    assert rescore_study(teas, BASIC) == Rescored(scored=3, had=0)
    stamps = {path: path.stat().st_mtime_ns for path in (teas / "scores").iterdir()}
    assert rescore_study(teas, BASIC) == Rescored(scored=0, had=3)
    assert {path: path.stat().st_mtime_ns for path in (teas / "scores").iterdir()} == stamps
    assert rescore_study(teas, NONE) == Rescored(scored=3, had=0)
    assert sorted(bench.load_scores(teas).value_counts("normalizer").items()) == [("none", 3), ("whisper_basic", 3)]


def test_a_run_that_was_run_anew_is_scored_anew(teas: Path) -> None:
    bench.rescore(teas, "none")
    again = tea("cccc", 30, "The colour of coffee", (1, 0, 0, 3))
    store.write_run(teas, dataclasses.replace(again, job=dataclasses.replace(again.job, attempt=2)))
    assert set(bench.load_scores(teas)["trial_id"]) == {"aaaa", "bbbb"}
    assert rescore_study(teas, NONE) == Rescored(scored=1, had=2)
    found = bench.load_scores(teas).set_index("trial_id")
    assert list(found["attempt"].sort_index()) == [1, 1, 2]
    assert counts_of(found.loc[["cccc"]]) == [(1, 0, 0, 3)]


def test_runs_without_texts(tmp_path: Path) -> None:
    blank = run("blank", utterances=[unscored(1), unscored(2)])
    failed = run("failed", config(40), status=Status.error, reason="it broke")
    folder = study(tmp_path / "s", [blank, TEAS[1], failed])
    # Random weights leave no text: a row without counts. What failed has no rows.
    scores = bench.rescore(folder, "none").set_index("trial_id")
    assert scores.loc[["blank"], [*COUNTS, "wer"]].isna().all(axis=None)
    assert len(scores.loc[["blank"]]) == 2
    assert set(scores.index) == {"blank", "bbbb"}
    # Texts are worth scoring however their run ended, but only runs that ended well have a WER.
    store.write_run(folder, dataclasses.replace(TEAS[0], status=Status.pruned))
    assert counts_of(bench.rescore(folder, "none").set_index("trial_id").loc[["aaaa"]]) == [(2, 0, 0, 2)]
    table = ranked(folder).table
    assert table["none"].dropna().to_dict() == {"bbbb": 0.25}
    assert ranked(folder).lacking == {}


def test_leftovers_of_a_killed_call_are_removed(teas: Path) -> None:
    (teas / "scores").mkdir()
    leftover = teas / "scores" / ".writing-x"
    leftover.write_bytes(b"half")
    assert bench.load_scores(teas).empty
    bench.rescore(teas, "none")
    assert not leftover.exists()


def test_a_damaged_file_is_named_with_the_cure(teas: Path) -> None:
    bench.rescore(teas, "none")
    damaged = teas / "scores" / "aaaa-0.1.none.parquet"
    damaged.write_bytes(b"rubbish")
    with pytest.raises(StoreError, match=rf"{damaged} cannot be read .*; delete it, and score the study anew"):
        bench.load_scores(teas)
    damaged.unlink()
    assert rescore_study(teas, NONE) == Rescored(scored=1, had=2)
    assert len(bench.load_scores(teas)) == 3


def test_it_does_not_run_beside_a_sweep(teas: Path) -> None:
    with FileLock(teas / ".lock"), pytest.raises(StoreError, match=r"another process is running .* wait until it has"):
        bench.rescore(teas, "none")
    assert not (teas / "scores").exists()
    assert len(bench.rescore(teas, "none")) == 3


def test_what_cannot_be_scored_says_why(tmp_path: Path, teas: Path) -> None:
    with pytest.raises(ConfigError, match="=nil is unknown; use one of whisper_english, whisper_basic, multi"):
        bench.rescore(teas, "nil")
    with pytest.raises(StoreError, match=r"studies in .*: teas"):
        bench.rescore(teas.parent / "nosuch", "none")
    assert not (teas.parent / "nosuch").exists()
    failed = run("failed", status=Status.error, reason="it broke")
    with pytest.raises(StoreError, match=r"no run in .* has ended well, .* run the study first"):
        bench.rescore(study(tmp_path / "s", [failed]), "none")


def test_rates_and_rankings_by_hand(teas: Path) -> None:
    for name in (BASIC, NONE, ENGLISH):
        bench.rescore(teas, name)
    found = ranked(teas)
    assert found.table.drop(columns="label").to_dict("index") == {
        "aaaa": {"own": 0.0, "none": 0.5, "whisper_english": 0.0, "whisper_basic": 0.25},
        "bbbb": {"own": 0.25, "none": 0.25, "whisper_english": 0.25, "whisper_basic": 0.25},
        "cccc": {"own": 1.0, "none": 1.0, "whisper_english": 1.0, "whisper_basic": 1.0},
    }
    assert list(found.table["label"]) == ["chunk 10 s", "chunk 20 s", "chunk 30 s"]
    # Of three pairs, none turns one around: (2 - 1) / 3. whisper_basic ties one: tau-b is 2 / sqrt(3 * 2).
    assert found.notes() == [
        "The ranking of 3 settings depends on the normaliser: best under whisper_english is chunk 10 s, under none"
        " chunk 20 s; Kendall's tau is 0.33.",
        "The ranking of 3 settings is the same under whisper_english and whisper_english, scored anew: best is"
        " chunk 10 s; Kendall's tau is 1.00.",
        "The ranking of 3 settings depends on the normaliser: best under whisper_english is chunk 10 s, under"
        " whisper_basic chunk 10 s and chunk 20 s; Kendall's tau is 0.82.",
    ]


TWO_SAME = (TEAS[0], tea("bbbb", 20, "the color of tea", (0, 0, 0, 4)))
# Under none "The" and "off" make 2/4 of what is 1/4: as much as "The" and "color" of the other.
FLAT = (TEAS[0], tea("bbbb", 20, "the colour off tea", (1, 0, 0, 3)))
# 0, 1/4, 2/4 against 0, 3/4, 2/4: of three pairs one is turned around.
TAIL = (
    tea("aaaa", 10, TEA, (0, 0, 0, 4)),
    tea("bbbb", 20, "the color off tea", (1, 0, 0, 3)),
    tea("cccc", 30, "The colour it is", (2, 0, 0, 2)),
)


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (TEAS[:1], "No ranking to compare: it takes two settings with a WER under whisper_english and none."),
        (TWO_SAME, "All 2 settings have the same WER, under whisper_english and under none."),
        (
            FLAT,
            "The ranking of 2 settings depends on the normaliser: best under whisper_english is chunk 10 s, under none"
            " chunk 10 s and chunk 20 s; all have the same WER under none, so Kendall's tau is not defined.",
        ),
        (
            TAIL,
            "The ranking of 3 settings depends on the normaliser, but not which is best: under whisper_english and none"
            " it is chunk 10 s; Kendall's tau is 0.33.",
        ),
    ],
    ids=["one", "same", "flat", "tail"],
)
def test_verdicts(tmp_path: Path, runs: Sequence[RunResult], said: str) -> None:
    folder = study(tmp_path / "s", runs)
    bench.rescore(folder, "none")
    assert ranked(folder).notes() == [said]


def test_a_rate_is_of_all_of_a_settings_runs_or_none(teas: Path) -> None:
    bench.rescore(teas, "whisper_basic")
    store.write_run(teas, tea("aaaa", 10, "the", (0, 3, 0, 1), replicate=1))
    bench.rescore(teas, "none")
    found = ranked(teas)
    # Two runs of four words: 3 of 8 are gone, and to none "The" and "color" differ in one and "The" in the other.
    assert found.table["own"]["aaaa"] == 3 / 8
    assert found.table["none"]["aaaa"] == 6 / 8
    assert pd.isna(found.table["whisper_basic"]["aaaa"])
    assert found.lacking == {"whisper_basic": 1}
    assert found.notes()[1:] == [
        "The ranking of 2 settings is the same under whisper_english and whisper_basic: best is chunk 20 s;"
        " Kendall's tau is 1.00.",
        "Not all runs are scored under whisper_basic (settings concerned: 1); to mend it:"
        " score.normalizer=whisper_basic",
    ]


def test_settings_are_ranked_within_what_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = [tea("dddd", 10, TEA, (0, 0, 0, 4), data=("other", "beef"), started_at="2024-01-01T00:00:00Z")]
    folder = study(tmp_path / "s", [*TEAS, *other])
    assert main(["rescore", str(folder), "score.normalizer=none"]) == 0
    found = rankings(folder, NONE)
    assert [(one.title, list(one.table.index)) for one in found] == [
        ("demo on cpu", ["aaaa", "bbbb", "cccc"]),
        ("other on cpu", ["dddd"]),
    ]
    lines = capsys.readouterr().out.splitlines()
    assert lines.index("demo on cpu") < lines.index("other on cpu")


def test_the_command_prints_rates_and_a_verdict(teas: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rescore", "teas", "--results", str(teas.parent), "score.normalizer=none"]) == 0
    done, head, *rows, verdict = capsys.readouterr().out.splitlines()
    assert done == f"scored under none: 3 runs; the scores: {teas / 'scores'}"
    assert re.split(" {2,}", head.strip()) == [
        "setting", "WER under whisper_english (the study's own)", "WER under none",
    ]  # fmt: skip
    assert [row.split("  ")[0].strip() for row in rows] == ["chunk 10 s", "chunk 20 s", "chunk 30 s"]
    assert [row.split()[3:] for row in rows] == [["0.0", "%", "50.0", "%"], ["25.0", "%"] * 2, ["100.0", "%"] * 2]
    assert verdict.startswith("The ranking of 3 settings depends on the normaliser: best under whisper_english is")
    assert main(["rescore", str(teas), "score.normalizer=none"]) == 0
    again = capsys.readouterr().out.splitlines()
    assert again[0] == f"scored under none: nothing to do (3 had been before); the scores: {teas / 'scores'}"
    assert again[1:] == [head, *rows, verdict]


def test_the_studys_own_normaliser_is_the_one_it_ran_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = config(10, score=ScoreConfig(NONE))
    heard = [spoken(TEA, "the color of tea", WordCounts(2, 0, 0, 2))]
    folder = study(tmp_path / "s", [run("aaaa", plain, utterances=heard)])
    assert main(["rescore", str(folder), "score.normalizer=whisper_english"]) == 0
    _, head, row, _ = capsys.readouterr().out.splitlines()
    assert "WER under none (the study's own)" in head
    assert row.split()[-4:] == ["50.0", "%", "0.0", "%"]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ([], "the following arguments are required: score.normalizer="),
        (["score.normalizer=nil"], "score.normalizer=nil is unknown"),
        (["score.normalizer="], "score.normalizer= is unknown"),
        (["whisper_basic"], "whisper_basic: rescore changes the normaliser and nothing else"),
        (["decode.num_beams=5"], "decode.num_beams=5: rescore changes the normaliser and nothing else"),
        (["score.normalizer=none", "device=cuda"], "device=cuda: rescore changes the normaliser and nothing else"),
        (["score.normalizer=none", "score.normalizer=whisper_basic"], "give one score.normalizer="),
    ],
)
def test_a_wrong_request_is_refused_in_a_line_with_the_names(
    teas: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], fault: str
) -> None:
    assert main(["rescore", str(teas), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert fault in line
    assert all(name in line for name in NormalizerName)
    assert not (teas / "scores").exists()


def test_as_a_process(teas: Path, cli: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = cli("rescore", "teas", "score.normalizer=whisper_basic")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].startswith("scored under whisper_basic: 3 runs; ")
    with FileLock(teas / ".lock"):
        done = cli("rescore", "teas", "score.normalizer=none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("asr-sweep: another process is running the study in results/teas; wait until")
