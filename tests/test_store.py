import dataclasses
import os
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench import damage, schema, store
from bench.attempts import Attempt
from bench.compaction import compact
from bench.config import AUTO, Config, DataConfig, DataSource, DecodeConfig, Engine, flatten
from bench.errors import StoreError
from bench.ledger import Ledger
from bench.readings import Certificate, Doubt, Environment, Finding, MemoryUse, PhaseTimes, Runtime, Sample
from bench.records import Degeneracy, Job, RunResult, Status, TrialOutcome, Utterance, UtteranceResult, Word, WordCounts

ENVIRONMENT = Environment(
    cpu_model="Abacus 9", cpu_cores=8, cpu_usable=4, ram_mib=1_024.5, gpu=None, gpu_driver=None, os="Linux 6.1",
    python="3.11.9", torch="2.9", transformers=None, harness="0.1.0", commit="0123456789ab-dirty",
)  # fmt: skip
CONFIG = Config(
    study="mine",
    engine=Engine.fake,
    threads=2,
    data=DataConfig(source=DataSource.manifest, path="m.csv"),
    decode=DecodeConfig(chunk_length_s=12.0, stride_length_s=2.5, timestamps=True),
)
UTTERANCES = (
    Utterance("a.wav", Path("data", "a.wav"), "one two three four", "Ann"),
    Utterance("b.wav@1.5", Path("data", "b.wav"), "", None, 1.5),
    Utterance("c.wav", Path("data", "c.wav"), "dŵr \u2028 \"quoted\", 'and' <b>"),
)
WORDS = (Word("one", 0, 0.25, 0.5, 9.5), Word("too", 1, 10.5, 11.0, 0.75), Word("three", 2))
# Inference takes 4, 1 and 2 s: the median repeat is the third, and its phases are the ones to show.
OUTCOME = TrialOutcome(
    load_s=2.0,
    audio_decode_s=0.5,
    warmup_s=(0.375, 0.125),
    passes=(
        PhaseTimes(4.0, 0.0625, 0.5, 1.0, 2.0, 0.125, 0.25),
        PhaseTimes(1.0, 0.015625, 0.125, 0.25, 0.5, 0.03125, 0.0625),
        PhaseTimes(2.0, 0.03125, 0.25, 0.75, 0.75, 0.0625, 0.125),
    ),
    cpu_s=(8.0, 2.0, 4.0),
    memory=MemoryUse(
        rss_at_start_mib=100.0,
        load_peak_rss_mib=400.0,
        rss_after_load_mib=300.0,
        peak_rss_mib=350.0,
        peak_rss_source="vmhwm",
    ),
    utterances=(
        UtteranceResult(
            UTTERANCES[0],
            20.0,
            3,
            "one too three",
            WordCounts(1, 1, 0, 2),
            words=WORDS,
            degeneracy=Degeneracy(0.75, 0, False, 0, "en", "en", False),
        ),
        UtteranceResult(
            UTTERANCES[1],
            10.0,
            1,
            "hm hm",
            WordCounts(insertions=2),
            words=(Word("hm", 0), Word("hm", 0)),
            degeneracy=Degeneracy(3.5, 6, True, 2, "cy", "en", True),
        ),
        UtteranceResult(UTTERANCES[2], None, None, None, None, error="c.wav cannot be decoded"),
    ),
    batch_size=3,
    audio_files_decoded=2,
    runtime=Runtime(torch_threads=2),
)
DOUBTED = Certificate((Finding(Doubt.contention, "others were busy"),), (Doubt.clock,))
SHARES = (64, 8, 4, 2, 32, 16)
TIMELINE = (
    Sample(0.0, "start", None, 90.0),
    Sample(
        *(0.1, "load", 150.0, 410.5),
        gpu_util_pct=20.0,
        gpu_memory_mib=1_000.0,
        gpu_process_mib=700.0,
        gpu_power_w=55.5,
    ),
    Sample(0.2, "inference", 99.0, gpu_process_mib=800.0),
)


def run(trial: str = "aaaa", attempt: int = 1, replicate: int = 0, **changes: Any) -> RunResult:
    """A run that went well; `changes` replace fields of the result."""
    job = Job("mine", trial, replicate, attempt, CONFIG, "models/tiny", UTTERANCES, "cafe", "data/m.csv", "feedfeed")
    ok = RunResult(job, Status.ok, None, False, "2026-01-02T03:04:05+00:00", 15.0, OUTCOME, TIMELINE, ENVIRONMENT)
    return dataclasses.replace(ok, **changes)


def failed(status: Status = Status.error, **changes: Any) -> RunResult:
    """A run whose process did not reach its end."""
    return run(**{"status": status, "status_reason": "it broke", "outcome": None, **changes})


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "results" / "mine"
    store.write_study(folder, {"study": "mine"})
    return folder


def row(study: Path) -> dict[str, Any]:
    (found,) = store.load_runs(study).to_dict("records")
    return {str(name): value for name, value in found.items()}


def test_a_run_is_read_as_it_was_written(study: Path) -> None:
    store.write_run(study, run(replicate=3))
    found = row(study)
    assert found["schema_version"] == schema.SCHEMA_VERSION
    assert (found["study"], found["trial_id"], found["run_id"]) == ("mine", "aaaa", "aaaa-3")
    assert (found["replicate"], found["attempt"], found["status"]) == (3, 1, "ok")
    assert found["model.fingerprint"] == "cafe"
    assert (found["data.name"], found["data.fingerprint"], found["utterances"]) == ("data/m.csv", "feedfeed", 3)
    assert (found["started_at"], found["wall_s"]) == ("2026-01-02T03:04:05+00:00", 15.0)
    assert not found["retryable"]
    assert pd.isna(found["status_reason"])
    assert pd.isna(found["traceback"])


def test_every_setting_has_a_column_with_its_value(study: Path) -> None:
    store.write_run(study, run())
    found = row(study)
    expected = {
        name: value
        for name, value in flatten(CONFIG)
        # What is a list, and where a cluster is, holds for a study as a whole.
        if not name.startswith(("study", "executor.address", "results.", "search.")) and not isinstance(value, list)
    }
    # How a point was chosen is no property of its run; how the run was made is.
    expected |= {"search.racing": False, "search.holdout": 0.0}
    assert set(schema.SETTINGS) == set(expected)
    expected["finetune.memory.device_batch_size"] = None  # "auto" is no number; what was found is in train.*
    for name, value in expected.items():
        assert pd.isna(found[name]) if value is None else found[name] == value, name
    assert not {"results.root", "results.reports", "search.trials"} & set(found)


def test_the_environment_is_kept_with_the_threads_the_run_used(study: Path) -> None:
    store.write_run(study, run())
    found = row(study)
    for name, value in dataclasses.asdict(dataclasses.replace(ENVIRONMENT, torch_threads=2)).items():
        assert pd.isna(found[f"env.{name}"]) if value is None else found[f"env.{name}"] == value, name


def test_metrics_by_hand(study: Path) -> None:
    store.write_run(study, run())
    found = row(study)
    assert list(found["warmup_s"]) == [0.375, 0.125]
    assert list(found["inference_s"]) == [4.0, 1.0, 2.0]
    phases = [found[f"{name}_s"] for name in ("segment", "features", "encode", "decode", "align", "merge")]
    assert phases == [0.03125, 0.25, 0.75, 0.75, 0.0625, 0.125]
    # 15 s of wall time, of which load 2, audio 0.5, warm-ups 0.5 and inference 7.
    assert (found["load_s"], found["audio_decode_s"], found["overhead_s"]) == (2.0, 0.5, 5.0)
    # 30 s of audio in a median of 2 s.
    assert (found["audio_s"], found["rtfx"]) == (30.0, 15.0)
    assert found["rtf"] == pytest.approx(1 / 15)
    assert found["cpu_pct"] == 200.0  # 14 CPU seconds in 7 s
    # 1 substitution, 1 deletion, and 2 insertions where nothing was said; 4 words said.
    assert [found[name] for name in ("substitutions", "deletions", "insertions", "hits")] == [1, 1, 2, 2]
    assert (found["reference_words"], found["wer"], found["utterances_failed"]) == (4, 1.0, 1)
    assert (found["batch_size"], found["audio_files_decoded"]) == (3, 2)


def test_degenerate_utterances_are_counted_beside_the_error_rate(study: Path) -> None:
    store.write_run(study, run())
    found = row(study)
    counts = ("utterances_looping", "utterances_text_in_silence", "utterances_wrong_language", "compression_ratio")
    assert [found[name] for name in counts] == [1, 1, 1, 3.5]
    said, silent, broken = store.load_utterances(study).to_dict("records")
    names = [field.name for field in dataclasses.fields(Degeneracy)]
    assert [said[name] for name in names] == [0.75, 0, False, 0, "en", "en", False]
    assert [silent[name] for name in names] == [3.5, 6, True, 2, "cy", "en", True]
    assert all(pd.isna(broken[name]) for name in names)


def test_every_word_keeps_where_it_comes_from(study: Path) -> None:
    store.write_run(study, run())
    said, silent, broken = store.load_utterances(study).to_dict("records")
    assert tuple(Word(**word) for word in said["words"]) == WORDS
    assert [word["window"] for word in silent["words"]] == [0, 0]
    assert broken["words"] is None
    parts = schema.UTTERANCE_SCHEMA.field("words").type.value_type
    columns = [("text", pa.string()), ("window", pa.int32())]
    columns += [(name, pa.float64()) for name in ("start_s", "end_s", "seam_s")]
    assert [(part.name, part.type) for part in parts] == columns
    assert [name for name, _ in columns] == [field.name for field in dataclasses.fields(Word)]
    query = f"select word.window from (select unnest(words) as word from '{study / 'utterances' / '*.parquet'}')"
    assert duckdb.execute(query).fetchall() == [(0,), (1,), (2,), (0,), (0,)]


def test_a_word_may_hold_what_parquet_may_not(study: Path) -> None:
    odd = dataclasses.replace(OUTCOME.utterances[0], hypothesis="\ud800", words=(Word("\ud800", 0),))
    store.write_run(study, run(outcome=dataclasses.replace(OUTCOME, utterances=(odd,))))
    (found,) = store.load_utterances(study)["words"]
    assert found[0]["text"] == "?"


def test_random_weights_leave_text_words_and_rates_null(study: Path) -> None:
    blank = tuple(UtteranceResult(item, 10.0, 2, None, None) for item in UTTERANCES)
    store.write_run(study, run(outcome=dataclasses.replace(OUTCOME, utterances=blank)))
    found = row(study)
    for name in ("wer", "substitutions", "hits", "reference_words", "utterances_looping", "compression_ratio"):
        assert pd.isna(found[name]), name
    assert (found["audio_s"], found["rtfx"], found["utterances_failed"]) == (30.0, 15.0, 0)
    loaded = store.load_utterances(study)
    for name in ("hypothesis", "words", "wer", "looping", "wrong_language", "error"):
        assert loaded[name].isna().all(), name
    assert list(loaded["windows"]) == [2, 2, 2]


def test_a_batch_size_that_was_found_is_told_from_one_that_was_set(study: Path) -> None:
    auto = dataclasses.replace(CONFIG, decode=dataclasses.replace(CONFIG.decode, batch_size=AUTO))
    store.write_run(study, run("set"))
    store.write_run(study, run("found", job=dataclasses.replace(run("found").job, config=auto)))
    assert schema.RUN_SCHEMA.field("decode.batch_size").type == pa.int64()
    found = store.load_runs(study).set_index("trial_id")
    assert (found["decode.batch_size"]["set"], found["batch_size"]["set"]) == (8, 3)
    assert pd.isna(found["decode.batch_size"]["found"])
    assert found["batch_size"]["found"] == 3


@pytest.mark.parametrize(
    ("seconds", "shown"), [((3.0,), 3.0), ((3.0, 5.0), 3.0), ((5.0, 3.0), 3.0), ((9.0, 1.0, 5.0, 7.0), 5.0)]
)
def test_the_phases_are_those_of_one_pass_in_the_middle(study: Path, seconds: tuple[float, ...], shown: float) -> None:
    passes = tuple(PhaseTimes(each, *(each / part for part in SHARES)) for each in seconds)
    store.write_run(study, run(outcome=dataclasses.replace(OUTCOME, passes=passes, cpu_s=seconds)))
    found = row(study)
    phases = [found[f"{name}_s"] for name in ("segment", "features", "encode", "decode", "align", "merge")]
    assert phases == [shown / part for part in SHARES]


def test_peaks_come_from_the_kernel_and_the_driver(study: Path) -> None:
    store.write_run(study, run())
    found = row(study)
    assert (found["rss_at_start_mib"], found["load_peak_rss_mib"], found["rss_after_load_mib"]) == (100.0, 400.0, 300.0)
    assert (found["peak_rss_mib"], found["peak_rss_source"]) == (350.0, "vmhwm")
    assert found["peak_gpu_process_mib"] == 800.0
    assert pd.isna(found["peak_gpu_allocated_mib"])


def test_a_killed_run_keeps_its_highest_sample_and_says_so(study: Path) -> None:
    after_load = (
        Sample(0.3, "warm-up", 99.0, 320.25),
        Sample(0.4, "inference", 99.0, 310.0),
        Sample(0.5, "score", 99.0, 400.0),
    )
    store.write_run(study, failed(Status.oom, timeline=(*TIMELINE, *after_load)))
    found = row(study)
    # 410.5 MiB were seen while the model was loaded, 400 while texts were scored; both are no part of this peak.
    assert (found["peak_rss_mib"], found["peak_rss_source"]) == (320.25, "sampled")


def test_a_run_that_was_never_seen_has_no_peak(study: Path) -> None:
    store.write_run(study, failed(Status.error, timeline=()))
    found = row(study)
    assert pd.isna(found["peak_rss_mib"])
    assert pd.isna(found["peak_rss_source"])
    assert store.load_timeline(study).empty


@pytest.mark.parametrize("status", [Status.error, Status.oom, Status.timeout])
def test_a_failed_run_is_a_row_with_its_reason_and_nulls(study: Path, status: Status) -> None:
    store.write_run(study, failed(status, retryable=True, traceback="Traceback:\n  line"))
    found = row(study)
    assert (found["status"], found["status_reason"], found["traceback"]) == (status, "it broke", "Traceback:\n  line")
    assert found["retryable"]
    for name in ("wer", "rtfx", "rtf", "overhead_s", "hits", "audio_s", "utterances_failed", "load_s", "cpu_pct"):
        assert pd.isna(found[name]), name
    assert found["inference_s"] is None
    assert found["utterances"] == 3
    assert found["decode.chunk_length_s"] == 12.0
    assert store.load_utterances(study).empty
    assert list(store.load_utterances(study).columns) == schema.UTTERANCE_SCHEMA.names


def test_utterances_are_read_as_they_were_written(study: Path) -> None:
    store.write_run(study, run())
    said, silent, broken = store.load_utterances(study).to_dict("records")
    assert said["run_id"] == "aaaa-0"
    assert (said["utterance_id"], said["path"], said["speaker"]) == ("a.wav", str(Path("data", "a.wav")), "Ann")
    assert (said["reference"], said["hypothesis"]) == ("one two three four", "one too three")
    counts = [said[name] for name in ("substitutions", "deletions", "insertions", "hits", "reference_words", "windows")]
    assert counts == [1, 1, 0, 2, 4, 3]
    assert said["wer"] == 0.5
    assert (silent["start_s"], silent["audio_s"], silent["insertions"], silent["reference_words"]) == (1.5, 10.0, 2, 0)
    assert pd.isna(silent["wer"])
    assert broken["reference"] == UTTERANCES[2].text
    assert broken["error"] == "c.wav cannot be decoded"
    for name in ("hypothesis", "audio_s", "windows", "substitutions", "hits", "wer", "speaker"):
        assert pd.isna(broken[name]), name


def test_the_timeline_is_read_as_it_was_written(study: Path) -> None:
    store.write_run(study, run())
    found = store.load_timeline(study)
    assert list(found["phase"]) == ["start", "load", "inference"]
    for name in (field.name for field in dataclasses.fields(Sample)):
        written = [getattr(sample, name) for sample in TIMELINE]
        assert [None if pd.isna(value) else value for value in found[name]] == written


def test_the_last_attempt_counts(study: Path) -> None:
    for attempt in (1, 9, 10, 2):  # 10 comes before 9 in the order of letters
        last = attempt == 10
        result = run(attempt=attempt) if last else failed(attempt=attempt, status_reason=f"attempt {attempt}")
        store.write_run(study, result)
    store.write_run(study, failed(trial="bbbb"))
    found = store.histories(study)
    assert {run_id: history.standing for run_id, history in found.items()} == {
        "aaaa-0": Attempt("aaaa-0", 10, Status.ok),
        "bbbb-0": Attempt("bbbb-0", 1, Status.error),
    }
    assert [one.attempt for one in found["aaaa-0"].attempts] == [1, 2, 9, 10]
    assert store.load_runs(study)[["run_id", "attempt"]].to_numpy().tolist() == [["aaaa-0", 10], ["bbbb-0", 1]]
    assert set(store.load_utterances(study)["attempt"]) == {10}
    assert set(store.load_timeline(study)["attempt"]) == {1, 10}


def test_runs_come_in_the_order_they_were_started(study: Path) -> None:
    for trial, second in (("c", 3), ("a", 2), ("b", 1)):
        store.write_run(study, run(trial=trial, started_at=f"2026-01-02T03:04:0{second}+00:00"))
    assert list(store.load_runs(study)["trial_id"]) == ["b", "a", "c"]


def test_other_tools_read_the_folders_as_they_are(study: Path) -> None:
    store.write_run(study, run())
    store.write_run(study, failed(Status.oom, trial="bbbb"))
    (study / "runs" / ".writing-left-behind").write_bytes(b"half a fi")
    query = f"select run_id, \"decode.chunk_length_s\", wer from '{study / 'runs' / '*.parquet'}' order by run_id"
    assert duckdb.execute(query).fetchall() == [("aaaa-0", 12.0, 1.0), ("bbbb-0", 12.0, None)]
    frame = pd.read_parquet(study / "runs")
    assert sorted(frame["status"]) == ["ok", "oom"]
    assert len(pd.read_parquet(study / "utterances")) == 3
    assert len(pd.read_parquet(study / "timeline")) == 6
    assert len(store.load_runs(study)) == 2


def test_a_result_outlives_a_later_attempt_that_failed(study: Path) -> None:
    store.write_run(study, run(attempt=1, certificate=DOUBTED))
    store.write_run(study, run(attempt=2, certificate=DOUBTED))
    store.write_run(study, failed(attempt=3))
    history = store.histories(study)["aaaa-0"]
    assert (history.standing.attempt, history.last, history.reruns) == (2, 3, 2)
    assert store.load_runs(study)["attempt"].tolist() == [2]


def test_the_runs_whose_timing_is_not_valid_are_known(study: Path) -> None:
    store.write_run(study, run(trial="aaaa", certificate=DOUBTED))
    store.write_run(study, run(trial="bbbb", certificate=Certificate()))
    store.write_run(study, run(trial="cccc", certificate=None))
    store.write_run(study, run(trial="dddd", attempt=1, certificate=DOUBTED))
    store.write_run(study, run(trial="dddd", attempt=2, certificate=Certificate()))
    store.write_run(study, failed(trial="eeee"))
    ledger = Ledger(study)
    assert [trial for trial in ("aaaa", "bbbb", "cccc", "dddd", "eeee") if not ledger.is_valid(f"{trial}-0")] == [
        "aaaa"
    ]
    told = {row["trial_id"]: row for row in store.load_runs(study).to_dict("records")}
    assert list(told["aaaa"]["doubts"]) == [{"doubt": "contention", "detail": "others were busy"}]
    assert list(told["aaaa"]["unchecked"]) == ["clock"]
    assert [told[trial]["valid"] for trial in ("aaaa", "bbbb", "cccc")] == [False, True, None]


@pytest.mark.parametrize(
    ("folder", "schema"),
    [("runs", schema.RUN_SCHEMA), ("utterances", schema.UTTERANCE_SCHEMA), ("timeline", schema.TIMELINE_SCHEMA)],
)
def test_columns_are_typed_even_where_all_is_null(study: Path, folder: str, schema: pa.Schema) -> None:
    store.write_run(study, failed(timeline=()))
    (path,) = (study / folder).glob("*.parquet")
    assert pq.read_schema(path).equals(schema)
    assert not any(pa.types.is_null(kind) for kind in schema.types)


def test_a_new_study_is_empty_and_has_every_column(study: Path) -> None:
    assert store.histories(study) == {}
    found = store.load_runs(study)
    assert found.empty
    assert list(found.columns) == schema.RUN_SCHEMA.names


@pytest.mark.parametrize("load", [store.load_runs, store.load_utterances, store.load_timeline])
def test_a_study_that_is_not_there_is_told_from_those_that_are(
    study: Path, load: Callable[[Path], pd.DataFrame]
) -> None:
    with pytest.raises(StoreError, match=rf"^no study at {re.escape(str(study.parent / 'my'))}; .*: mine$"):
        load(study.parent / "my")


def test_studies_are_listed_by_name(study: Path) -> None:
    store.write_study(study.parent / "a study", {})
    (study.parent / "no study").mkdir()
    assert store.list_studies(study.parent) == [study.parent / "a study", study]
    assert store.list_studies(study.parent / "nowhere") == []


def test_a_description_is_read_as_it_was_written(study: Path) -> None:
    description = {"command": "asr-sweep run -m 'a=1,2'", "space": {"decode.language": ["cy", None]}, "name": "dŵr"}
    store.write_study(study, description)
    assert store.read_study(study) == description
    assert store.read_study(study.parent / "new") is None


@pytest.mark.parametrize(
    "content",
    [
        b"- a\n- list\n", b"", b"a: [1,\nb: }", b"\xff\xfe\x00", b"a: 2020-13-45", b"a: !!int x", b"a: !!int ''",
        b"a: !!bool x", b"a: !!timestamp x", b"a: " + b"9" * 5_000, b"[" * 5_000,
    ],
)  # fmt: skip
def test_a_damaged_description_is_named_with_the_cure(study: Path, content: bytes) -> None:
    (study / "study.yaml").write_bytes(content)
    with pytest.raises(StoreError) as caught:
        store.read_study(study)
    assert str(caught.value).startswith(str(study / "study.yaml"))
    assert "restore it, or delete it" in str(caught.value)


def test_a_description_is_utf_8_whatever_the_locale(study: Path) -> None:
    store.write_study(study, {"name": "dŵr"})
    program = (
        "import sys, pathlib, bench.store; print(ascii(bench.store.read_study(pathlib.Path(sys.argv[1]))['name']))"
    )
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    told = subprocess.run(
        [sys.executable, "-c", program, study], env=os.environ | plain, capture_output=True, text=True, check=True
    )
    assert told.stdout == "'d\\u0175r'\n"


def test_what_is_no_file_is_refused_and_passed_over_and_never_waited_for(study: Path) -> None:
    store.write_run(study, run())
    os.mkfifo(study / "runs" / "bbbb-0.1.ok.parquet")
    assert store.load_runs(study)["run_id"].tolist() == ["aaaa-0"]
    assert damage.set_aside(study) == []
    os.mkfifo(study / "folds.parquet")
    with pytest.raises(StoreError, match=r"folds\.parquet is no regular file; move it out"):
        store.load_folds(study)
    (study / "study.yaml").unlink()
    os.mkfifo(study / "study.yaml")
    with pytest.raises(StoreError, match=r"study\.yaml is no regular file; move it out"):
        store.read_study(study)


@pytest.mark.parametrize(
    "name",
    [
        "notes.parquet", "aaaa-0.1.parquet", "aaaa-0.one.ok.parquet", "aaaa-0.\u0663.ok.parquet",
        "aaaa-0.01.ok.parquet", f"aaaa-0.{'9' * 30}.ok.parquet", "aaaa-0.1.fine.parquet", "a.b-0.1.ok.parquet",
    ],
)  # fmt: skip
def test_a_strange_file_is_named(study: Path, name: str) -> None:
    store.write_run(study, run())
    (study / "runs" / name).write_bytes(b"")
    with pytest.raises(StoreError) as caught:
        store.load_runs(study)
    assert str(study / "runs" / name) in str(caught.value)
    assert "move it out" in str(caught.value)


def test_a_file_that_was_cut_off_is_named(study: Path) -> None:
    store.write_run(study, run())
    (path,) = (study / "runs").glob("*.parquet")
    path.write_bytes(path.read_bytes()[:1_000])
    with pytest.raises(StoreError, match=re.escape(str(path))):
        store.load_runs(study)


def rewrite(study: Path, change: Callable[[pa.Table], pa.Table], pattern: str = "runs/*.parquet") -> None:
    """Change a file of the study, its only one of runs, as another version of the harness might have written it."""
    (path,) = study.glob(pattern)
    pq.write_table(change(pq.read_table(path)), path)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("trial_id", None), ("started_at", None), ("started_at", "<x>"), ("point", "<x>"), ("point", "[1]"),
        ("point", "[" * 100_000), ("trial_number", None), ("score.normalizer", "<x>"), ("rtfx", float("inf")),
        ("decode.chunk_length_s", float("-inf")), ("run_id", "bbbb-0"), ("run_id", None), ("attempt", 2),
        ("status", "<x>"), ("wall_s", 1e300), ("wall_s", None),
    ],
)  # fmt: skip
def test_a_row_that_no_run_wrote_is_told_of_by_its_file(study: Path, column: str, value: object) -> None:
    store.write_run(study, run())
    rewrite(study, lambda table: replaced(table, column, value))
    store.write_run(study, run(trial="cccc"))
    for read in (store.load_runs, Ledger):
        with pytest.raises(StoreError, match=r"runs/aaaa-0\.1\.ok\.parquet holds (a row|rows).*; move it out"):
            read(study)


def test_an_infinite_number_in_a_list_is_told_of_too(study: Path) -> None:
    store.write_run(study, run())
    rewrite(study, lambda table: replaced(table, "inference_s", [1.0, float("inf")]))
    with pytest.raises(StoreError, match="its inference_s is not finite"):
        store.load_runs(study)


def test_settings_of_trainings_may_be_infinite(study: Path) -> None:
    store.write_run(study, run())
    rewrite(study, lambda table: replaced(table, "finetune.optimizer.max_grad_norm", float("inf")))
    assert len(store.load_runs(study)) == 1


def test_utterances_of_another_run_are_told_of_by_their_file(study: Path) -> None:
    for trial in ("aaaa", "bbbb"):
        store.write_run(study, run(trial=trial))
    rewrite(study, lambda table: replaced(table, "run_id", "cccc-0"), "utterances/bbbb*.parquet")
    with pytest.raises(StoreError, match=r"utterances/bbbb-0\.1\.ok\.parquet holds rows of other runs"):
        store.load_utterances(study)


def test_a_row_in_a_merged_file_is_told_of_by_that(study: Path) -> None:
    for trial in ("aaaa", "bbbb"):
        store.write_run(study, run(trial=trial))
    rewrite(study, lambda table: replaced(table, "started_at", "<x>"), "runs/bbbb*.parquet")
    compact(study)
    with pytest.raises(StoreError, match=r"runs/merged-000001-\w+\.parquet holds a row .*its started_at is '<x>'"):
        store.load_runs(study)


def replaced(table: pa.Table, column: str, value: object) -> pa.Table:
    field = table.schema.field(column)
    values = pa.array([value] * table.num_rows, field.type)
    return table.set_column(table.schema.get_field_index(column), field, values)


def test_a_later_schema_version_is_refused(study: Path) -> None:
    store.write_run(study, run())
    later = pa.array([schema.SCHEMA_VERSION + 1], pa.int32())
    rewrite(study, lambda table: table.set_column(table.column_names.index("schema_version"), "schema_version", later))
    with pytest.raises(StoreError, match=rf"schema version {schema.SCHEMA_VERSION + 1}.*upgrade asr-sweep"):
        store.load_runs(study)


def test_a_column_an_earlier_version_did_not_have_is_null(study: Path) -> None:
    store.write_run(study, run())
    rewrite(study, lambda table: table.drop_columns(["merge_s", "env.commit"]))
    store.write_run(study, run(trial="bbbb", started_at="2027-01-01"))
    found = store.load_runs(study)
    assert list(found.columns) == schema.RUN_SCHEMA.names
    assert [None if pd.isna(value) else value for value in found["merge_s"]] == [None, 0.125]
    assert [None if pd.isna(value) else value for value in found["env.commit"]] == [None, ENVIRONMENT.commit]


def test_a_write_that_fails_leaves_nothing_behind(study: Path) -> None:
    store.write_run(study, run())
    files = {path.relative_to(study) for path in study.rglob("*")}
    (study / "runs" / Attempt("bbbb-0", 1, Status.ok).file_name).mkdir()  # a file cannot replace a folder
    with pytest.raises(OSError, match="directory"):
        store.write_run(study, run(trial="bbbb"))
    assert not [path for path in (study / "runs").iterdir() if path.name.startswith(".")]
    (study / "runs" / "bbbb-0.1.ok.parquet").rmdir()
    # What was written before the run's own file is invisible, and the next attempt overwrites it.
    assert set(store.load_utterances(study)["run_id"]) == {"aaaa-0"}
    assert {path.relative_to(study) for path in study.rglob("*")} - files == {
        Path("timeline", "bbbb-0.1.ok.parquet"),
        Path("utterances", "bbbb-0.1.ok.parquet"),
    }


def test_files_may_be_read_by_others(study: Path) -> None:
    store.write_run(study, run())
    assert {path.stat().st_mode & 0o777 for path in study.rglob("*") if path.is_file()} == {0o644}


# Writes the same three runs over and over, each with thousands of samples, until it is killed.
WRITER = """
import pickle, sys
from pathlib import Path
from bench import store

results = pickle.load(sys.stdin.buffer)
for result in results:
    store.write_run(Path(sys.argv[1]), result)
print("ready", flush=True)
while True:
    for result in results:
        store.write_run(Path(sys.argv[1]), result)
"""


@contextmanager
def _killed_at_the_end(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Leave no writer behind a failing test, which would then wait for it for ever."""
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_a_reader_never_sees_part_of_a_file_even_when_the_writer_is_killed(study: Path) -> None:
    samples = tuple(Sample(number / 10, "inference", float(number), 1.0) for number in range(5_000))
    trials = ("aaaa", "bbbb", "cccc")
    command = [sys.executable, "-c", WRITER, str(study)]
    with _killed_at_the_end(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        pickle.dump([run(trial=trial, timeline=samples) for trial in trials], writer.stdin)
        writer.stdin.close()
        assert writer.stdout.readline() == b"ready\n"
        files = sorted(study.glob("*/*.parquet"))
        versions = set()
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            for path in files:
                content = path.read_bytes()
                assert content[:4] == content[-4:] == b"PAR1"  # as every whole parquet file begins and ends
                versions.add(path.stat().st_ino)
        assert sorted(store.load_runs(study)["trial_id"]) == list(trials)
        assert len(store.load_timeline(study)) == 3 * len(samples)
    assert len(files) == 9
    assert len(versions) > len(files)  # they were indeed written anew meanwhile
    assert len(store.load_timeline(study)) == 3 * len(samples)
    assert sorted(store.histories(study)) == [f"{trial}-0" for trial in trials]


def test_what_a_killed_training_left_is_removed_and_kept_models_stay(tmp_path: Path) -> None:
    for name in (".training-abc-0", "abc-1"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "model.safetensors").write_bytes(b"x")
    store.remove_leftovers(tmp_path)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["abc-1"]
