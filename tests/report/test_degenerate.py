"""What the report says of utterances that loop, have text in silence, or are in the wrong language."""

import dataclasses
import re
from pathlib import Path

import pytest

from bench.records import Status
from bench.report import build
from bench.report.degenerate import degenerate_settings
from bench.report.tables import blocks
from bench.store import load_runs, load_utterances
from tests.report.builder import IN_SILENCE, IN_WELSH, LOOPING, SOUND, config, run, study, utterance_result
from tests.report.conftest import text_of


def told_of(folder: Path) -> list[str]:
    (block,) = blocks(load_runs(folder))
    return degenerate_settings(block, load_utterances(folder))


def test_each_setting_says_which_and_how_many(tmp_path: Path) -> None:
    mixed = [SOUND, LOOPING, LOOPING, IN_WELSH, IN_SILENCE, LOOPING, LOOPING]
    runs = [
        run("a", config(10), utterances=[utterance_result(at, at, degeneracy=one) for at, one in enumerate(mixed)]),
        run("b", config(20)),
        run("c", config(30), utterances=[utterance_result(1, 99, degeneracy=IN_WELSH)]),
        run("d", config(40), status=Status.oom, reason="killed"),
    ]
    assert told_of(study(tmp_path, runs)) == [
        "chunk 10 s: of 7 utterances 4 loop (rec1, rec2, rec5 and 1 more), 1 has text in silence (rec4), 1 is in the"
        " wrong language (rec3); such errors are not those of misheard words.",
        "chunk 30 s: of 1 utterance 1 is in the wrong language (rec1); such errors are not those of misheard words.",
    ]


def test_all_well_needs_no_words_and_no_column(tmp_path: Path) -> None:
    folder = study(tmp_path / "results" / "s", [run("a"), run("b", config(20))])
    assert told_of(folder) == []
    report = build(folder, tmp_path / "reports")
    for text in (text_of((report / "index.html").read_text()), (report / "summary.md").read_text()):
        assert "egenerate" not in text
        assert "wrong language" not in text


def test_many_settings_are_summed_up(tmp_path: Path) -> None:
    loops = [utterance_result(1, 5, degeneracy=LOOPING)]
    folder = study(tmp_path, [run(f"t{at}", config(10.0 + at), utterances=loops) for at in range(7)])
    told = told_of(folder)
    assert len(told) == 6
    assert told[-1] == "2 more settings have such utterances; the table counts them."


def test_counts_are_those_of_the_typical_run_not_of_all(tmp_path: Path) -> None:
    loops = [utterance_result(1, 5, degeneracy=LOOPING), utterance_result(2)]
    folder = study(tmp_path, [run("a", utterances=loops, replicate=at) for at in range(3)])
    (line,) = told_of(folder)
    assert "of 2 utterances 1 loops (rec1);" in line


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>|x", "rec\x00\n1"])
def test_the_page_and_the_summary_show_them_as_text(tmp_path: Path, hostile: str) -> None:
    bad = utterance_result(1, 90, degeneracy=LOOPING)
    bad = dataclasses.replace(bad, utterance=dataclasses.replace(bad.utterance, utterance_id=hostile))
    silent = utterance_result(2, degeneracy=IN_SILENCE)
    runs = [run("a", config(10), utterances=[bad, silent]), run("b", config(20), errors=150)]
    report = build(study(tmp_path / "results" / "s", runs), tmp_path / "reports")
    page, summary = (report / "index.html").read_text(), (report / "summary.md").read_text()
    for text in (page, summary):
        assert "<script>alert" not in text
        assert "\x00" not in text
        assert "of 2 utterances 1 loops (" in text
    assert re.search(r"<summary>.*: WER 90.0 %, loops</summary>", page)
    assert "WER 0.0 %, has text in silence</summary>" in page
    # Cells of both tables: setting "b" has none.
    assert re.findall(r'<td class="n">(\d / \d / \d)</td>', page.split("All settings")[1]) == ["1 / 1 / 0", "0 / 0 / 0"]
    rows = [line for line in summary.splitlines() if line.startswith("|") and "chunk" in line and "/ 0 |" in line]
    head = next(line for line in summary.splitlines() if "Loops / text in silence" in line)
    rule = summary.splitlines()[summary.splitlines().index(head) + 1]
    assert {line.count("|") for line in [head, rule, *rows[-2:]]} == {head.count("|")}
    assert "| 1 / 1 / 0 |" in summary
