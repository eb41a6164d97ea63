"""Long, odd and hostile text, from the manifest to the page: kept as it is, and never run."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import bench
from bench.__main__ import main
from bench.data.leaks import Clash, Kind, Leaks, Side
from bench.records import Utterance
from bench.splits import write_clashes
from bench.spreadsheet import as_text

pytestmark = pytest.mark.faults

_NAMES = [
    "new\nline.wav", "carriage\rreturn.wav", "quote'\".wav", "back\\slash.wav", "🎙 emoji.wav", "مرحبا.wav",
    "\u202egnp.wav", "=HYPERLINK(1).wav", "+1.wav", "-1.wav", "@x.wav", "<img src=x onerror=alert(1)>.wav", "a|b`c.wav",
    "%s{}$x.wav", " blank.wav ", "comma,semi;.wav", "x" * 200 + ".wav", "\x1b[31mred.wav", "..wav", "CON.wav",
]  # fmt: skip
_HOSTILE = "<script>alert(1)</script> =1+1 </textarea> \x1b[2J & word"


def _rows(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "text", "speaker"), *rows])
    return path


def test_odd_names_and_hostile_text_go_through_everything(
    tmp_path: Path, write_wav: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in _NAMES:
        write_wav(tmp_path / name, 1)
    manifest = _rows(tmp_path / "m.csv", [(name, _HOSTILE, f"={name}") for name in _NAMES])
    study = "=1+1 <b>🎙"
    runs = bench.run(f'study="{study}"', "engine=fake", "model=fake", "data=manifest", f"data.path={manifest}")
    assert runs["status"].tolist() == ["ok"]
    assert runs["utterances_failed"].tolist() == [0]
    folder = tmp_path / "results" / study
    utterances = bench.load_utterances(folder)
    assert set(utterances["utterance_id"]) == set(_NAMES)
    assert set(utterances["reference"]) == {_HOSTILE}

    report = bench.write_report(folder, tmp_path / "reports")
    page = (report / "index.html").read_text(encoding="utf-8")
    summary = re.sub(
        r"(?ms)^```.*?^```$", "", (report / "summary.md").read_text(encoding="utf-8")
    )  # code is shown as it is
    for text in ("<script>alert(1)", "<img src=x", "<b>🎙"):
        assert text not in page
        assert text not in summary
    assert "\x1b" not in page

    for table in ("runs", "utterances"):
        capsys.readouterr()
        assert main(["export", str(folder), table]) == 0
        cells = [cell for row in csv.reader(io.StringIO(capsys.readouterr().out)) for cell in row]
        assert [cell for cell in cells if re.match(r"[=+@\t\r\n]", cell) or re.match(r"-(?![\d.])", cell)] == []
    assert main(["export", f"{folder}:best", "transcripts", "--output", str(tmp_path / "texts")]) == 0
    written = list((tmp_path / "texts").iterdir())
    assert len(written) == len(_NAMES)
    assert all(path.is_file() and path.name.isprintable() for path in written)
    capsys.readouterr()
    assert main(["show", str(folder), "best"]) == 0
    assert "\x1b[2J" not in capsys.readouterr().out


@pytest.mark.parametrize("mib", [0.2, pytest.param(10, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_a_transcript_of_ten_megabytes(tmp_path: Path, write_wav: Callable[..., Path], mib: float) -> None:
    write_wav(tmp_path / "a.wav", 2)
    text = "word and another " * (int(mib * 2**20) // 17)
    manifest = _rows(tmp_path / "m.csv", [("a.wav", text, "")])
    (row,) = bench.run(
        "study=long", "engine=fake", "model=fake", "data=manifest", f"data.path={manifest}",
        f"results.root={tmp_path / 'results'}",
    ).to_dict("records")  # fmt: skip
    assert row["status"] == "ok"
    assert row["reference_words"] == 3 * (len(text) // 17)
    assert row["hits"] == 4  # as the fake engine hears two seconds
    report = bench.write_report(tmp_path / "results" / "long", tmp_path / "reports")
    # A reader is shown a part of it.
    assert (report / "index.html").stat().st_size < 5 * 2**20


@pytest.mark.parametrize("mark", ["=", "+", "-", "@", "\t", "\r", "\n", "\N{FULLWIDTH EQUALS SIGN}"])
def test_clashes_of_splits_hold_no_formula(tmp_path: Path, mark: str) -> None:
    formula = f"{mark}cmd|' /C calc'!A0"
    side = Side("train", (Utterance(formula, Path(formula), formula),))
    write_clashes(Leaks((Clash(Kind.sentence, formula, side, side),), (), {}, {}), tmp_path / "clashes.csv")
    with (tmp_path / "clashes.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert cells.count(f"'{formula}") == 2 * 3
    assert not [cell for cell in cells if cell.startswith(mark)]
    assert as_text("plain = text") == "plain = text"
