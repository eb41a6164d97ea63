"""Exports: every table in every format reads back, nothing runs as a formula, and files stay in their folder."""

import dataclasses
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.__main__ import main
from bench.errors import ConfigError
from bench.exports.command import run_export
from bench.exports.leaderboard import leaderboard
from bench.exports.tables import SETTINGS, study_table
from bench.exports.texts import TextFormat, file_names, texts
from bench.exports.written import TableFormat, written
from bench.records import Status, Utterance, UtteranceResult, Word, WordCounts
from bench.report.selection import Selection
from bench.store import load_runs, load_utterances
from tests.report.builder import config, run, samples, study

EVIL = '=HYPERLINK("http://x",1) & 100 % <script> $_{}^~\\#|'


def heard(name: str, hypothesis: str | None, words: tuple[Word, ...] = (), errors: int = 1) -> UtteranceResult:
    utterance = Utterance(name, Path("a.wav"), "what was said", None)
    if hypothesis is None:
        return UtteranceResult(utterance, None, None, None, None, error="damaged")
    return UtteranceResult(utterance, 10.0, 1, hypothesis, WordCounts(errors, 0, 0, 10 - errors), words=words)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    timed = (Word("-two", 0, 0.5, 1.0, 0.25), Word("words", 0, 1.0, 1.5))
    untimed = (Word("no", 0), Word("times", 1))
    runs = [
        run("aaaa", config(10), utterances=[heard("a/../b.wav", EVIL), heard("c", "-two words", timed)]),
        run("bbbb", config(20), utterances=[heard("a/../b.wav", "no times", untimed), heard("c", None)]),
        run("cccc", config(30), status=Status.oom, reason="=no memory", timeline=samples()),
    ]
    return study(tmp_path / "results" / "s", runs)


def cells(chosen: Selection, name: str) -> pd.DataFrame:
    return pd.read_csv(
        io.BytesIO(written(study_table(chosen, name), TableFormat.csv)), keep_default_na=False, dtype=str
    )


@pytest.mark.parametrize("name", ["runs", "utterances", "timeline", SETTINGS])
def test_parquet_is_what_is_stored_and_csv_has_the_same_cells(folder: Path, name: str, tmp_path: Path) -> None:
    table = study_table(Selection(folder), name)
    (tmp_path / "x.parquet").write_bytes(written(table, TableFormat.parquet))
    read = pq.read_table(tmp_path / "x.parquet")
    assert read.equals(table.data)
    frame = cells(Selection(folder), name)
    assert frame.shape == (table.data.num_rows, table.data.num_columns)
    counted = duckdb.sql(f"select count(*) from '{tmp_path / 'x.parquet'}'")
    assert counted is not None
    assert counted.fetchall() == [(len(frame),)]


def test_whole_numbers_stay_whole_beside_nulls(folder: Path) -> None:
    frame = cells(Selection(folder), "utterances")
    assert frame["substitutions"].tolist() == ["1", "1", "1", ""]
    stored = load_utterances(folder)
    assert study_table(Selection(folder), "utterances").data["substitutions"].to_pylist()[:3] == [1, 1, 1]
    assert stored["substitutions"].isna().sum() == 1


def test_lists_are_json_in_csv(folder: Path) -> None:
    words = json.loads(cells(Selection(folder), "utterances")["words"][1])
    assert [word["text"] for word in words] == ["-two", "words"]
    assert words[0]["start_s"] == 0.5


def test_no_text_runs_as_a_formula_and_numbers_stay_numbers(folder: Path) -> None:
    frame = cells(Selection(folder), "utterances")
    assert frame["hypothesis"].tolist() == [f"'{EVIL}", "'-two words", "no times", ""]
    assert cells(Selection(folder), "runs")["status_reason"].tolist()[-1] == "'=no memory"
    for column in frame.columns:
        for text in frame[column]:
            if text.startswith(("=", "+", "-", "@", "\t", "\r")):
                float(text)  # a number, or this raises


def test_a_setting_alone_has_its_rows_alone(folder: Path) -> None:
    assert set(cells(Selection(folder, "aa"), "utterances")["trial_id"]) == {"aaaa"}
    assert cells(Selection(folder, "bbbb"), SETTINGS)["trial_id"].tolist() == ["bbbb"]


def test_settings_agree_with_the_runs(folder: Path) -> None:
    data = study_table(Selection(folder), SETTINGS).data.to_pandas().set_index("trial_id")
    runs = load_runs(folder).set_index("trial_id")
    assert data.loc[["aaaa", "bbbb"], "wer"].tolist() == runs.loc[["aaaa", "bbbb"], "wer"].tolist()
    assert data.loc["cccc", "status"] == "oom"


def test_latex_escapes_what_it_would_run_and_is_a_table_of_booktabs(folder: Path) -> None:
    text = written(study_table(Selection(folder), "utterances"), TableFormat.latex).decode()
    assert r"\& 100 \% \textless{}script\textgreater{} \$\_\{\}\textasciicircum{}\textasciitilde{}" in text
    assert r"\textbackslash{}\#\textbar{}" in text
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}"):
        assert part in text
    shown = written(study_table(Selection(folder), SETTINGS), TableFormat.latex).decode().splitlines()
    assert shown[3] == r"data & setting & status & WER & RTFx & Peak RAM & Peak GPU memory \\"
    assert all(line.count(" & ") == 6 for line in shown[5:-2])
    assert r"10.0 \%" in "\n".join(shown)


@pytest.mark.parametrize("name", ["[10cm]evil", "*evil"])
def test_no_cell_is_an_argument_of_what_stands_before_it(name: str, tmp_path: Path) -> None:
    folder = study(
        tmp_path / "s", [run(trial, config(chunk), data=(name, "f")) for trial, chunk in (("a", 5), ("b", 10))]
    )
    lines = written(study_table(Selection(folder), SETTINGS), TableFormat.latex).decode().splitlines()
    first, second = lines[lines.index("\\midrule") + 1 : lines.index("\\bottomrule")]
    assert first.startswith("{}" + name)
    assert second.startswith("{}" + name)


def test_a_link_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out.csv").symlink_to("/dev/null")
    with pytest.raises(ConfigError, match=r"out\.csv is no plain file"):
        run_export([Selection(folder)], "runs", None, tmp_path / "out.csv", overwrite=True)
    assert (tmp_path / "out.csv").is_symlink()


def test_markdown_rows_have_as_many_cells_as_heads(folder: Path) -> None:
    lines = written(study_table(Selection(folder), "utterances"), TableFormat.md).decode().splitlines()
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert "&lt;script&gt;" in "\n".join(lines)


def test_a_leaderboard_has_a_row_a_setting_and_a_column_a_data_set(tmp_path: Path) -> None:
    fast = config(20)
    one = study(
        tmp_path / "one",
        [run("a1", config(10), errors=10, inference_s=10.0), run("a2", fast, errors=40, inference_s=5.0)],
    )
    other = study(
        tmp_path / "two",
        [
            run("b1", config(10), errors=30, inference_s=20.0, data=("noisy", "beef")),
            run("b2", fast, errors=80, inference_s=5.0, data=("noisy", "beef")),
        ],
    )
    rows = leaderboard([Selection(one), Selection(other)]).data.to_pylist()
    assert len(rows) == 1  # both recommend the first
    assert (rows[0]["wer demo"], rows[0]["wer noisy"]) == pytest.approx((0.05, 0.15))
    assert rows[0]["wer average"] == pytest.approx(0.1)
    assert rows[0]["rtfx"] == pytest.approx(200 / 30)
    named = leaderboard([Selection(one), Selection(other), Selection(one, "a2")]).data.to_pylist()
    assert [row["setting"] for row in named] == ["chunk 10 s", "chunk 20 s"]
    assert named[1]["wer average"] == pytest.approx((0.2 + 0.4) / 2)


def test_a_data_set_that_is_lacking_leaves_no_average(tmp_path: Path) -> None:
    one = study(tmp_path / "one", [run("a1", config(10))])
    other = study(tmp_path / "two", [run("b1", config(20), data=("noisy", "beef"))])
    rows = leaderboard([Selection(one), Selection(other)]).data.to_pylist()
    assert [row["wer average"] for row in rows] == [None, None]
    assert [row["rtfx"] for row in rows] == [None, None]


@given(st.lists(st.text(max_size=300), max_size=8))
def test_names_of_files_stay_in_their_folder_and_differ(ids: list[str]) -> None:
    names = file_names(ids)
    assert len(names) == len(ids)
    assert len({name.casefold() for name in names}) == len(ids)
    for name in names:
        assert Path(name).name == name
        assert not name.startswith(".")
        assert 0 < len(f"{name}.srt".encode()) < 200
        assert name.isprintable()


def test_names_of_files_by_hand() -> None:
    ids = ["a/../b.wav", "../../etc/passwd", "..", "", "CON.wav", "Ä b.wav@1.5+2", "A", "a", "x\0y\x1b"]
    assert file_names(ids) == [
        "a_.._b.wav", "etc_passwd", "utterance", "utterance-2", "_CON.wav", "Ä_b.wav@1.5+2", "A", "a-2", "x_y",
    ]  # fmt: skip


def test_subtitles_keep_times_and_estimate_those_that_lack(folder: Path) -> None:
    found = texts(load_utterances(folder, {"aaaa-0"}), TextFormat.srt)
    assert found.files["c.srt"].startswith("1\r\n00:00:00,500 --> 00:00:01,500\r\n-two words\r\n")
    assert found.estimated == 1
    lacking = texts(load_utterances(folder, {"bbbb-0"}), TextFormat.vtt)
    assert (len(lacking.files), lacking.estimated, lacking.left_out) == (1, 1, 1)
    assert "00:00.000 --> " in next(iter(lacking.files.values())).replace("00:00:00.000", "00:00.000")


def test_transcripts_of_a_run_become_files(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told = run_export([Selection(folder, "aaaa-0")], "transcripts", None, out, overwrite=False)
    assert sorted(path.name for path in out.iterdir()) == ["a_.._b.wav.txt", "c.txt"]
    assert (out / "c.txt").read_text(encoding="utf-8") == "-two words\n"
    assert "2 transcripts of run aaaa-0" in told[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["s", "s", "runs"], "runs are those of one study"),
        (["s", "words"], "words is no table"),
        (["s", "runs", "--format", "srt"], "runs cannot be written as srt; use one of: csv, parquet, md, latex"),
        (["s", "transcripts", "--format", "csv", "--output", "x"], "transcripts cannot be written as csv"),
        (["s", "transcripts"], "add --output FOLDER"),
        (["s", "runs", "--format", "parquet"], "parquet needs a file"),
        (["s", "curves"], "s has no curves"),
        (["nosuch", "runs"], "no study at results/nosuch"),
        (["s:cccc", "transcripts", "--output", "x"], "has no transcript"),
        (["s", "runs", "--output", "there.csv"], "there.csv exist already; add --overwrite"),
    ],
)
def test_a_wrong_request_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(folder.parents[1])
    Path("there.csv").write_text("kept")
    assert main(["export", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert Path("there.csv").read_text() == "kept"


def test_as_a_process_a_table_goes_to_a_pipe(
    folder: Path, cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = cli("export", folder, "settings", "--format", "csv")
    assert done.returncode == 0
    assert pd.read_csv(io.StringIO(done.stdout))["trial_id"].tolist() == ["aaaa", "bbbb", "cccc"]
    assert cli("export", folder, "runs", "--output", "made/runs.parquet").returncode == 0
    assert len(pd.read_parquet(folder.parents[1] / "made" / "runs.parquet")) == 3


def test_a_run_without_hypotheses_has_no_texts(folder: Path) -> None:
    rows = load_utterances(folder, {"bbbb-0"}).assign(hypothesis=None)
    assert dataclasses.astuple(texts(rows, TextFormat.txt)) == ({}, 0, 2)
