"""Runs over data kept aside judge what was chosen, and are in nothing else; others here have 200 words in 2 utterances.

Those kept aside are 1 utterance of 50 words.
"""

from pathlib import Path

from bench.records import RunResult, Status
from bench.report import build, figures
from bench.report.comparison import compare_study
from bench.report.scaling import scaled_settings
from bench.report.tables import blocks
from bench.store import load_runs
from tests.report.builder import config, run, searched_study, study, utterance_result
from tests.report.conftest import text_of

SEARCHED = [
    run("good", config(20), errors=8, number=0, started_at="2025-01-01T00:00:00Z"),
    run("poor", config(10), errors=20, number=1, started_at="2025-01-01T00:00:01Z"),
]


def judging(number: int = 0, errors: int = 6, **more: object) -> RunResult:
    """Make a run over 1 utterance of 50 words kept aside."""
    given = {"utterances": [utterance_result(9, errors, 50)], "started_at": "2025-01-01T00:01:00Z"} | more
    return run(f"aside{number}", config(20.0 if number == 0 else 10.0), number=number, part="holdout",
               data=("demo (holdout)", "beef"), **given)  # type: ignore[arg-type]  # fmt: skip


def told(tmp_path: Path, *runs: RunResult, **search: object) -> str:
    folder = searched_study(tmp_path / "results" / "s", runs, **({"holdout": 0.3} | search))
    report = build(folder, tmp_path / "reports")
    page = text_of((report / "index.html").read_text())
    assert "2 blocks" not in page
    return page


def test_the_wer_to_expect_stands_beside_the_verdict(tmp_path: Path) -> None:
    verdict, _, rest = told(tmp_path, *SEARCHED, judging()).partition("to expect.")
    assert verdict.startswith("Recommended: chunk 20 s")
    assert verdict.endswith(
        "WER 4.0 % on the 2 utterances (200 words) it was chosen on, 12.0 % on 1 utterance (50 words) kept aside:"
        " the second is the one "
    )
    assert "kept aside" not in rest


def test_where_another_setting_was_judged_that_is_said(tmp_path: Path) -> None:
    said = told(tmp_path, *SEARCHED, judging(1), objectives=["rtfx"])
    assert (
        "The setting judged on data kept aside is not the one recommended here but chunk 10 s, which the search chose"
        " by RTFx: WER 10.0 % on the 2 utterances (200 words) it was chosen on, 12.0 % on 1 utterance"
    ) in said


def test_of_several_judged_the_recommended_one_is_told(tmp_path: Path) -> None:
    later = judging(1, errors=1, started_at="2025-01-01T00:02:00Z")
    said = told(tmp_path, *SEARCHED, judging(), later)
    assert "WER 4.0 % on the 2 utterances (200 words) it was chosen on, 12.0 %" in said
    assert "2 settings have been judged on the data kept aside" in said


def test_a_judging_run_that_failed_is_told_and_one_that_is_missing_too(tmp_path: Path) -> None:
    failed = judging(status=Status.timeout, reason="took <too> long")
    assert (
        "The run that was to judge chunk 20 s on the data kept aside ended in timeout: took &lt;too&gt; long."
    ) in told(tmp_path, *SEARCHED, failed)
    assert "No setting has been judged on the data kept aside yet." in told(tmp_path / "more", *SEARCHED)
    assert "kept aside" not in told(tmp_path / "none", *SEARCHED, holdout=0.0)


def test_utterances_kept_aside_that_failed_are_counted_there_and_nowhere_else(tmp_path: Path) -> None:
    lost = judging(utterances=[utterance_result(8, 3, 50), utterance_result(9, failed=True)])
    said = told(tmp_path, *SEARCHED, lost)
    assert "6.0 % on 1 utterance (50 words) kept aside: the second is the one to expect. 1 of those kept" in said
    assert "Utterances that were not used" not in said


def test_nothing_else_takes_them_for_settings(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", [*SEARCHED, judging()])
    runs, without = load_runs(folder), load_runs(study(tmp_path / "w", SEARCHED))
    (block,) = blocks(runs)
    assert set(block.runs["run_id"]) == {"good-0", "poor-0"}
    assert scaled_settings(blocks(runs)) == scaled_settings(blocks(without)) == ["decode.chunk_length_s"]
    (pair,) = compare_study(folder, "decode.chunk_length_s").pairs
    assert (pair.side.trial_id, pair.base and pair.base.trial_id) == ("good", "poor")
    figure, plain = figures.memory(runs), figures.memory(without)
    assert figure is not None
    assert plain is not None
    assert len(figure.axes) == len(plain.axes)
