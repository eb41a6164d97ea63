import base64
import dataclasses
import hashlib
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from bench.config import ModelConfig, Weights
from bench.errors import StoreError
from bench.records import Status
from bench.report import build
from bench.store import write_run
from tests.report.builder import config, run, samples, study, unscored, utterance_result
from tests.report.conftest import text_of

HOSTILE = "<script>alert('a|b')</script>"


def page_of(report: Path) -> str:
    return (report / "index.html").read_text()


def test_the_verdict_comes_first_with_what_the_fastest_would_cost(tmp_path: Path) -> None:
    runs = [
        run("accurate", config(30), errors=8, inference_s=25.0, peak_mib=1000),
        run("fast", config(5), errors=18, inference_s=5.0, peak_mib=750),
    ]
    report = build(study(tmp_path / "results" / "s", runs), tmp_path / "reports")
    assert report == tmp_path / "reports" / "s"
    verdict = "Recommended: chunk 30 s (WER 4.0 %, RTFx 4.0, peak RAM 1000 MiB), the most accurate of 2 settings."
    cost = (
        "The fastest setting of all, chunk 5 s, is 5.00 times as fast (RTFx 20.0), at 5.00 points more WER"
        " (9.0 % against 4.0 %)."
    )
    assert text_of(page_of(report)).startswith(f"{verdict} {cost}")
    first, _, second, *_ = (report / "summary.md").read_text().splitlines()
    assert first == f"# {verdict}"
    assert second.startswith(cost)


def test_the_page_needs_nothing_but_itself(grid_report: Path) -> None:
    page = page_of(grid_report)
    loads = re.findall(r"""(?:src|href|srcset|action|poster)\s*=\s*["']?([^"'>\s]+)|url\(([^)]*)\)|(@import)""", page)
    targets = ["".join(target) for target in loads]
    assert len(targets) > 6
    assert not [one for one in targets if not one.startswith(("data:image/svg+xml;base64,", "figures/", "#part-"))]
    assert not re.search("<(link|iframe|object|embed)", page)
    assert not re.search(r"<script[^>]*\bsrc", page)
    inlined = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    on_disk = {path.read_bytes() for path in (grid_report / "figures").glob("*.svg")}
    assert {base64.b64decode(data) for data in inlined} == on_disk


def test_the_page_s_own_policy_lets_nothing_run_but_what_it_was_written_with(grid_report: Path) -> None:
    page = page_of(grid_report)
    (policy,) = re.findall('<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    for name in ("style", "script"):
        (text,) = re.findall(f"(?s)<{name}>(.*?)</{name}>", page)
        assert rules[f"{name}-src"] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    # What the policy forbids is not there either.
    assert not re.search(r"<[^>]+\s(on\w+|style)=", re.sub(r"(?s)<script\b.*?</script>", "", page))


def test_a_long_table_stands_in_the_page_in_part_and_in_its_data_whole(
    grid: Path, grid_runs: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.report.trial_data.MOST_PLAIN", 5)
    every = set(grid_runs["trial_id"])
    report = build(grid, tmp_path)
    page = page_of(report)
    (table,) = re.findall(r'(?s)<div class="trials">.*?</table>', page)
    assert table.count("<tr") == 1 + 5
    assert f"{len(every) - 5} more settings follow these" in page
    (data,) = re.findall(r'(?s)<script type="application/json">(.*?)</script>', page)
    assert set(json.loads(data)["trials"]) == every
    assert f"And {len(every) - 5} more, which" in (report / "summary.md").read_text()


def test_figures_are_written_as_drawings_and_pictures(grid_report: Path) -> None:
    drawn = {path.name for path in (grid_report / "figures").iterdir()}
    names = {"wer", "rtfx", "tradeoff", "memory", "phases", "timeline_1"}
    assert drawn == {f"{name}.{kind}" for name in names for kind in ("png", "svg")}
    for name in names:
        with Image.open(grid_report / "figures" / f"{name}.png") as picture:
            assert picture.width > 900
            assert picture.height > 300
            colours = picture.convert("RGB").getcolors(maxcolors=2**20)
            assert colours is not None
            assert len(colours) > 50
        assert (grid_report / "figures" / f"{name}.svg").read_text().rstrip().endswith("</svg>")


def test_the_page_lists_failures_skipped_points_and_how_to_repeat(grid_report: Path) -> None:
    for text in (text_of(page_of(grid_report)), (grid_report / "summary.md").read_text()):
        assert "out-of-memory killer ended the run at 7613 MiB" in text
        assert "Skipped: 3 impossible points" in text
        assert "stride 5 is half of chunk 10 or more" in text
        assert "python -m bench run -m decode.chunk_length_s=5,10 decode.stride_length_s=1,2" in text
        assert "chunk_length_s: 10.0" in text
        assert "Test CPU 9000" in text
        assert "1432 reference words" in text
        assert "3 timed passes" in text
        assert "may be noise" in text


def test_every_command_of_the_study_is_shown_and_the_configuration_is_of_the_latest_start(tmp_path: Path) -> None:
    told = {"commands": ["asr-sweep study=s -m device=cpu", "asr-sweep study=s -m device=cuda"], "command": "the last"}
    report = build(study(tmp_path / "results" / "s", [run("a")], **told), tmp_path / "reports")
    for text in (text_of(page_of(report)), (report / "summary.md").read_text()):
        assert re.search(r"-m device=cpu\s+asr-sweep study=s -m device=cuda", text)
        assert "the latest last" in text
        assert "the last" not in text.replace("the latest last", "")
        assert "Composed configuration of the latest start (settings that vary are left out)" in text


def test_a_description_of_which_nothing_is_known_leaves_out_its_parts(tmp_path: Path) -> None:
    folder = study(tmp_path / "results" / "s", [run("a")])
    (folder / "study.yaml").write_text("skipped:\n- settings: {}\n")
    report = build(folder, tmp_path / "reports")
    for text in (text_of(page_of(report)), (report / "summary.md").read_text()):
        assert "Repeat it" not in text
        assert "Skipped: 1 impossible point" in text
        assert "None" not in text


def test_a_recording_that_fails_in_every_setting_is_listed_once(tmp_path: Path) -> None:
    lost, other = utterance_result(2, failed=True), dataclasses.replace(utterance_result(3, failed=True), error="empty")
    runs = [run(f"t{chunk}", config(chunk), utterances=[utterance_result(1), lost]) for chunk in range(10, 60)]
    runs.append(run("more", config(60), utterances=[utterance_result(1), utterance_result(2), other]))
    report = build(study(tmp_path / "results" / "s", runs), tmp_path / "reports")
    rows = re.findall(r"\| (rec\d) \| (.*?) \| (.*?) \|", (report / "summary.md").read_text())
    assert rows == [("rec2", "cannot be decoded: truncated file", "50 of 51"), ("rec3", "empty", "1 of 1")]
    assert "rec2 cannot be decoded: truncated file 50 of 51 rec3 empty 1 of 1" in text_of(page_of(report))
    assert "more are in the study's records" not in page_of(report)


def test_the_same_results_give_the_same_bytes(grid: Path, grid_report: Path, tmp_path: Path) -> None:
    again = build(grid, tmp_path)
    first = {path.relative_to(grid_report): path.read_bytes() for path in grid_report.rglob("*") if path.is_file()}
    second = {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()}
    assert first == second


def test_a_later_report_replaces_the_earlier_and_its_figures(tmp_path: Path) -> None:
    folder = study(tmp_path / "results" / "s", [run("a")])
    report = build(folder, tmp_path / "reports")
    (report / "figures" / "timeline_9.svg").write_text("stale")
    (report / "notes.txt").write_text("the user's own")
    before = page_of(report)
    write_run(folder, run("b", config(20), errors=2))
    build(folder, tmp_path / "reports")
    assert page_of(report) != before
    assert not (report / "figures" / "timeline_9.svg").exists()
    assert (report / "figures" / "tradeoff.svg").exists()
    assert (report / "notes.txt").exists()
    assert not list(report.rglob(".*"))


def test_text_from_outside_stays_text(tmp_path: Path) -> None:
    heard = utterance_result(1, 10, reference=f"said {HOSTILE}", hypothesis=f"heard {HOSTILE}\x00\n| next")
    lost = dataclasses.replace(utterance_result(2, failed=True), error=f"error {HOSTILE}")
    runs = [
        run("a", utterances=[heard, lost], data=(f"data {HOSTILE}", "f00d")),
        run("b", config(20), status=Status.error, reason=f"reason {HOSTILE}\nsecond line", data=("d", "f00d")),
    ]
    told = {
        "command": f"command {HOSTILE}\n```\nescaped?",
        "config": {"key": f"config {HOSTILE}"},
        "space": {f"space {HOSTILE}": [HOSTILE]},
        "environment": {"os": HOSTILE},
        "skipped": [{"settings": {"decode.language": HOSTILE}, "reason": f"skipped {HOSTILE}"}],
    }
    name = "<script>alert(1)<script>"
    report = build(study(tmp_path / "results" / name, runs, **told), tmp_path / "reports")
    page = page_of(report)
    # The page's own scripts are all there are: the data of the table, and the one that reads them.
    scripts = re.findall(r"(?s)<script([^>]*)>(.*?)</script>", page)
    assert [kind for kind, _ in scripts] == [' type="application/json"', ""]
    assert page.count("<script") == len(scripts)
    assert all(HOSTILE not in text for _, text in scripts)
    assert "\x00" not in page
    for source in ("said", "heard", "error", "data", "reason", "command", "config", "skipped"):
        assert f"{source} &lt;script&gt;" in page
    summary = (report / "summary.md").read_text()
    outside_fences = re.sub(r"(?ms)^(`{3,})\w*$.*?^\1$", "", summary)
    assert "<script" not in outside_fences
    row = next(line for line in summary.splitlines() if "reason &lt;script" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 6  # five cells, as in the table's head
    assert "````sh" in summary  # a fence that the command's own backticks cannot end


def test_nothing_that_cannot_be_printed_stands_in_a_report(tmp_path: Path) -> None:
    hidden = "a\x1b[2Jb\u202ec"
    told = {"command": f"asr-sweep run\tx='{hidden}'\n  y", "config": {"k": hidden}, "space": {hidden: [hidden]}}
    report = build(study(tmp_path / "results" / "s", [run("a")], **told), tmp_path / "reports")
    for text in (page_of(report), (report / "summary.md").read_text()):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "a\ufffd[2Jb\ufffdc" in text.replace("\\", "")
    assert "asr-sweep run\tx='a\ufffd[2Jb\ufffdc'\n  y\n" in (report / "summary.md").read_text()


def test_a_report_is_written_through_no_link(tmp_path: Path) -> None:
    folder, foreign = study(tmp_path / "results" / "s", [run("a")]), tmp_path / "pictures"
    foreign.mkdir()
    (foreign / "cat.png").write_text("a cat")
    report = tmp_path / "reports" / "s"
    report.mkdir(parents=True)
    for link in (report / "figures", report):
        if link.is_dir():
            link.rename(tmp_path / "aside")
        link.symlink_to(foreign)
        with pytest.raises(StoreError, match=f"{link} is a link"):
            build(folder, tmp_path / "reports")
        assert [path.name for path in foreign.iterdir()] == ["cat.png"]
        link.unlink()


def test_another_s_file_is_not_written_whatever_a_report_s_files_lead_to(tmp_path: Path) -> None:
    folder, victim = study(tmp_path / "results" / "s", [run("a")]), tmp_path / "victim"
    victim.write_text("precious")
    report = tmp_path / "reports" / "s"
    report.mkdir(parents=True)
    for name in ("index.html", ".index.html.writing"):
        (report / name).symlink_to(victim)
    build(folder, tmp_path / "reports")
    assert victim.read_text() == "precious"
    assert page_of(report).startswith("<!DOCTYPE html>")
    assert not (report / "index.html").is_symlink()


def test_a_description_that_unfolds_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.report.description._MOST_VALUES", 10_000)
    folder = study(tmp_path / "s", [run("a")])
    (folder / "study.yaml").write_text("space:\n  a: &a [1, *a]\n")  # what holds itself
    with pytest.raises(StoreError, match=r"study\.yaml unfolds to more than 10000 values"):
        build(folder, tmp_path / "reports")
    layers = [f"  l{at}: &l{at} [{', '.join([f'*l{at - 1}'] * 10)}]" for at in range(1, 6)]
    (folder / "study.yaml").write_text("\n".join(["space:", "  l0: &l0 [x]", *layers]))
    with pytest.raises(StoreError, match="unfolds"):
        build(folder, tmp_path / "reports")


def test_transcripts_are_limited_and_the_worst_come_first(tmp_path: Path) -> None:
    many = [utterance_result(number, number % 50, reference=f"text {number} " * 400) for number in range(30)]
    report = build(study(tmp_path / "results" / "s", [run("a", utterances=many)]), tmp_path / "reports")
    page = page_of(report)
    shown = re.findall(r"<summary>(rec\d+): WER", page)
    assert shown == [f"rec{number}" for number in range(29, 9, -1)]
    assert "10 more utterances" in page
    assert max(map(len, re.findall(r"<dd>(text.*?)</dd>", page))) < 1600


def test_two_devices_get_a_recommendation_each_and_the_difference_in_words(tmp_path: Path) -> None:
    runs = [
        run("a", config(10, device="cpu"), errors=10),
        run("b", config(20, device="cpu"), errors=20),
        run("c", config(10, device="cuda"), errors=10),
        run("d", config(20, device="cuda"), errors=6),
    ]
    report = build(study(tmp_path / "results" / "s", runs), tmp_path / "reports")
    for text in (text_of(page_of(report)), (report / "summary.md").read_text()):
        assert "Recommended: chunk 10 s (WER 5.0 %" in text
        assert "Recommended: chunk 20 s (WER 3.0 %" in text
        assert "device: cpu in block 1; cuda in block 2" in text


@pytest.mark.parametrize(
    ("runs", "verdict"),
    [
        ([], "Nothing has run yet in this study."),
        (
            [run("a", status=Status.oom, reason="killed", timeline=samples())],
            "No setting can be recommended: 1 ended in oom.",
        ),
        (
            [run("a", config(10, 1))],
            "Only one setting can be judged: model packaged/whisper-tiny.en, chunk 10 s, stride 1 s, batch 8",
        ),
    ],
)
def test_little_or_nothing_to_report_is_said_so(tmp_path: Path, runs: list[object], verdict: str) -> None:
    report = build(study(tmp_path / "results" / "s", runs), tmp_path / "reports")  # type: ignore[arg-type]
    assert text_of(page_of(report)).startswith(verdict)
    assert (report / "summary.md").read_text().startswith(f"# {verdict}")
    if any("killed" in str(item) for item in runs):
        assert "killed" in page_of(report)
        assert (report / "figures" / "timeline_1.png").exists()


def test_an_excluded_trial_is_named_with_its_reason(tmp_path: Path) -> None:
    runs = [
        run("whole", config(10), errors=20),
        run("part", config(20), utterances=[utterance_result(1, 0), utterance_result(2, failed=True)]),
    ]
    report = build(study(tmp_path / "results" / "s", runs), tmp_path / "reports")
    for text in (text_of(page_of(report)), (report / "summary.md").read_text()):
        assert "chunk 20 s: scored 100 of the 200 reference words other settings scored" in text
        assert "cannot be decoded: truncated file" in text


def test_a_study_without_any_wer_is_reported_by_speed_and_memory(tmp_path: Path) -> None:
    random = ModelConfig(weights=Weights.random)
    runs = [
        run(
            f"{chunk}-{stride}",
            config(chunk, stride, model=random),
            inference_s=100.0 / chunk,
            utterances=[unscored(1), unscored(2)],
            timeline=samples(),
        )
        for chunk in (10, 20)
        for stride in (1, 2)
    ]
    report = build(study(tmp_path / "results" / "s", runs), tmp_path / "reports")
    drawn = {path.stem for path in (report / "figures").iterdir()}
    assert drawn == {"rtfx", "memory", "phases", "timeline_1"}
    for text in (text_of(page_of(report)), (report / "summary.md").read_text()):
        assert "no setting has a WER" in text
        assert "All settings, fastest first" in text
        assert "Most accurate" not in text
        assert "What was heard" not in text
        assert not re.search(r"\bnan\b|None", text)


def test_an_unknown_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no study"):
        build(tmp_path / "nowhere", tmp_path / "reports")
    assert not (tmp_path / "reports").exists()
