import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.config import MeasureConfig
from bench.readings import Doubt
from bench.report import build
from bench.report.frontier import recommend
from bench.report.timings import without_invalid
from bench.report.validity import doubt_of, validity
from bench.schema import RUN_SCHEMA, TIMELINE_SCHEMA, UTTERANCE_SCHEMA
from bench.store import load_runs
from tests.report.builder import VALID, config, doubted, run, samples, study
from tests.report.conftest import text_of
from tests.report.test_tables import Split

HOSTILE = "<script>alert('a|b')</script>"
ONE_PASS = (Doubt.warm_up, Doubt.spread, Doubt.outlier)
BUSY = doubted((Doubt.contention, f"others used 23 % {HOSTILE}"), unchecked=(*ONE_PASS, Doubt.steal))
CALM = doubted(unchecked=ONE_PASS)


def texts(report: Path) -> tuple[str, str]:
    return text_of((report / "index.html").read_text()), (report / "summary.md").read_text()


def test_doubts_are_listed_by_run_and_what_was_not_checked_once(blocks_of: Split) -> None:
    (block,) = blocks_of(
        run("a", certificate=CALM), run("a", replicate=1, certificate=BUSY), run("b", config(20), certificate=CALM)
    )
    told = validity(block, valid_only=False)
    assert told["summary"].startswith("2 of 3 runs have a valid timing.")
    assert told["rows"] == [("chunk 10 s", "a-1", [f"contention: others used 23 % {HOSTILE}"])]
    assert told["unchecked"] == [
        "Not checked: warm-up, spread, outliers; 3 of 3 runs had too few passes for it; use measure.repeats=5.",
        "Not checked: time stolen by the hypervisor; the readings of 1 of 3 runs do not tell.",
    ]
    assert doubt_of(block.row("a")) == "1 of 2 timings not valid"
    assert doubt_of(block.row("b")) == ""


def test_the_report_marks_settings_and_names_the_cure_for_the_recommended_one(tmp_path: Path) -> None:
    runs = [
        run("a", config(10), errors=4, certificate=BUSY),
        run("b", config(20), errors=9, certificate=CALM),
    ]
    report = build(study(tmp_path / "results" / "s", runs), tmp_path / "reports")
    for text in texts(report):
        assert "1 of 2 runs have a valid timing." in text
        assert "ok; 1 of 1 timing not valid" in text
        told = "The timing of the recommended setting, chunk 10 s, is not valid (contention)."
        assert f"{told} To measure it again where that happens: measure.rerun" in text.replace("\\_", "_")
    for name in ("index.html", "summary.md"):
        assert "<script>alert" not in (report / name).read_text()
    assert "others used 23 % &lt;script&gt;" in (report / "index.html").read_text()


def test_valid_only_takes_invalid_timings_out_of_speed_and_nothing_else(tmp_path: Path) -> None:
    runs = [
        run("a", config(10), errors=4, inference_s=10.0, certificate=CALM),
        run("a", config(10), errors=6, inference_s=40.0, replicate=1, certificate=BUSY),
        run("b", config(20), errors=9, inference_s=5.0, certificate=BUSY),
        run("c", config(30), errors=9, inference_s=20.0, certificate=None),  # of an earlier version
    ]
    folder = study(tmp_path / "results" / "s", runs)
    loaded = without_invalid(load_runs(folder)).set_index("run_id")
    assert loaded["rtfx"].dropna().to_dict() == {"a-0": 10.0, "c-0": 5.0}
    assert [loaded["inference_s"][name] is None for name in ("a-0", "a-1", "b-0")] == [False, True, True]
    for text in texts(build(folder, tmp_path / "reports", valid_only=True)):
        # 10 errors of 400 words: the text of a run is as good as ever; 100 s in 10 s, not in the 25 s of both.
        assert "Recommended: chunk 10 s (WER 2.5 %, RTFx 10.0" in text
        assert "2 were left out of everything about speed" in text
        assert "1 more of an earlier version were never judged" in text
        assert "chunk 20 s: has no valid timing" in text
        assert "is not valid in 1 of 2 runs (contention); its speed is that of the others" in text
    for text in texts(build(folder, tmp_path / "reports")):
        assert "Recommended: chunk 10 s (WER 2.5 %, RTFx 6.2" in text  # the median of 10 and 2.5


def test_where_no_timing_is_valid_that_is_said(tmp_path: Path) -> None:
    runs = [run(f"t{at}", config(10.0 * at), certificate=BUSY, timeline=samples()) for at in (1, 2)]
    folder = study(tmp_path / "results" / "s", runs)
    for text in texts(build(folder, tmp_path / "reports", valid_only=True)):
        assert re.match(r"(# )?No setting can be recommended: 2 has no valid timing.", text)
        assert "0 of 2 runs have a valid timing. 2 were left out of everything about speed. Nothing remains" in text
        assert "nan" not in text.lower()
        assert "100 s of audio, in passes without a valid timing" in text


@pytest.mark.parametrize(
    ("certificates", "summary"),
    [
        ((None, None), "Whether the timings are valid was not recorded: the runs are of an earlier version."),
        ((VALID, VALID), "2 of 2 runs have a valid timing."),
        ((VALID, None), "1 of 1 run has a valid timing. 1 more of an earlier version were never judged."),
    ],
)
def test_where_nothing_speaks_against_the_timings_one_sentence_is_enough(
    blocks_of: Split, certificates: tuple[object, object], summary: str
) -> None:
    first, second = certificates
    (block,) = blocks_of(
        run("a", certificate=first),  # type: ignore[arg-type]
        run("b", config(20), certificate=second),  # type: ignore[arg-type]
    )
    assert validity(block, valid_only=False) == {"summary": summary, "rows": [], "left_out": 0, "unchecked": []}


def test_many_doubted_runs_are_counted_and_not_all_listed(blocks_of: Split) -> None:
    (block,) = blocks_of(*(run("a", replicate=number, certificate=BUSY) for number in range(43)))
    told = validity(block, valid_only=False)
    assert (len(told["rows"]), told["left_out"]) == (40, 3)


def test_a_study_of_the_first_schema_version_is_reported_still(tmp_path: Path) -> None:
    measure = MeasureConfig(warmup=0)
    runs = [run(f"t{at}", config(10.0 * at, measure=measure), warmup_s=(), timeline=samples()) for at in (1, 2)]
    folder = study(tmp_path / "results" / "s", runs)
    added = re.compile(
        r"valid|doubts|unchecked|files_s|cold_s|single_stream|.*latency|laps|marks|energy|cost|pss|uss|anonymous|mapped"
        r"|weights_mib|features_mib|cache_mib|activations|peak_descendants|cgroup|gpu_memory|peak_gpu_device|gpu_unexpl"
        r"|during\.|descendants|cpu_mhz|machine_cpu|stolen|cpu_energy|gpu_(processes|energy|temp|clock|memory_clock|slow)"
        r"|measure\.(single_stream|rerun|price)"
    )
    for part, schema in (("runs", RUN_SCHEMA), ("timeline", TIMELINE_SCHEMA), ("utterances", UTTERANCE_SCHEMA)):
        for path in (folder / part).glob("*.parquet"):
            table = pq.read_table(path, schema=schema)
            table = table.drop_columns([name for name in table.column_names if added.match(name)])
            version = pa.array([1] * table.num_rows, pa.int32())
            pq.write_table(table.set_column(0, "schema_version", version), path)
    assert load_runs(folder)["schema_version"].eq(1).all()
    for valid_only in (False, True):
        report = build(folder, tmp_path / "reports", valid_only)
        for text in texts(report):
            assert "Whether the timings are valid was not recorded" in text
            assert "Latency, energy and cost" not in text
            assert "What its memory is made of" not in text
            assert not re.search(r"\bnan\b|None", text.replace("None were left out", ""))
    assert (report / "figures" / "timeline_1.svg").exists()


def test_a_setting_without_a_valid_timing_is_no_pick(blocks_of: Split, tmp_path: Path) -> None:
    (block,) = blocks_of(run("a", certificate=BUSY), run("b", config(20), errors=50, certificate=CALM))
    assert recommend(block).picks is not None
    assert recommend(block).excluded == {}  # unless asked to, nothing is left out
