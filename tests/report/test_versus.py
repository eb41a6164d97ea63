"""Two studies or settings against each other: pairing, margins, words, and what the command line makes of it."""

import dataclasses
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import main
from bench.config import NormalizerName, ScoreConfig
from bench.errors import ConfigError, StoreError
from bench.records import RunResult, Status, Utterance, UtteranceResult, WordCounts
from bench.report.margins import Margin, Margins, Outcome, Verdict, judge, read_margin
from bench.report.passage import escaped
from bench.report.selection import Selection, is_study, selection
from bench.report.versus import Versus, versus
from tests.report.builder import MACHINE, config, run, study

POINT = Margins(wer=Margin(0.005, relative=False))


def spoken(
    name: str, errors: int, words: int = 20, *, speaker: str | None = None, reference: str = "said", path: str = ""
) -> UtteranceResult:
    """An utterance with so many substitutions."""
    utterance = Utterance(name, Path(path or f"{name}.wav"), reference, speaker)
    return UtteranceResult(utterance, 10.0, 1, "heard", WordCounts(substitutions=errors, hits=words - errors))


def corpus(errors: Sequence[int], words: int = 20) -> list[UtteranceResult]:
    return [spoken(f"u{number}", count, words, path="all.wav") for number, count in enumerate(errors)]


def one(folder: Path, errors: Sequence[int], **changes: Any) -> Path:
    """A study of one setting."""
    return study(
        folder, [run(folder.name.ljust(4, "0"), changes.pop("settings", None), utterances=corpus(errors), **changes)]
    )


def compared(first: Path, second: Path, **options: bool) -> Versus:
    return versus(Selection(first), Selection(second), **options)


def verdict(first: Path, second: Path, margins: Margins = POINT) -> Verdict:
    (told,) = judge(compared(first, second), margins)
    return told


def test_the_difference_is_paired_and_worked_out_by_hand(tmp_path: Path) -> None:
    found = compared(one(tmp_path / "a", [0, 1, 2, 3, 0, 0]), one(tmp_path / "b", [0, 1, 2, 3, 3, 0]))
    (pair,) = found.pairs
    rates = pair.paired.rates
    assert rates is not None
    assert (rates.before.value, rates.after.value) == pytest.approx((6 / 120, 9 / 120))
    assert rates.difference.value == pytest.approx(3 / 120)
    # One unit of six differs, and its sign may as well be the other: no difference is as likely as this one.
    assert rates.p_value == pytest.approx(1)
    assert [(each.utterance_id, each.more) for each in pair.paired.changes if each.more] == [("u4", 3)]


def test_runs_of_one_setting_count_once(tmp_path: Path) -> None:
    a = study(tmp_path / "a", [run("aaaa", replicate=k, utterances=corpus([1, 0, 2, 1, 1])) for k in range(3)])
    b = study(tmp_path / "b", [run("bbbb", replicate=k, utterances=corpus([k, 0, 2, 1, 1])) for k in range(2)])
    (pair,) = compared(a, b).pairs
    assert pair.paired.before.tolist() == [1, 0, 2, 1, 1]
    assert pair.paired.after.tolist() == [0.5, 0, 2, 1, 1]
    assert pair.paired.words.tolist() == [20] * 5


def test_speakers_are_units_where_there_are_enough(tmp_path: Path) -> None:
    def talk(extra: int) -> list[UtteranceResult]:
        return [spoken(f"u{n}", n % 3 + extra * (n == 0), speaker=f"s{n % 6}") for n in range(18)]

    found = compared(
        study(tmp_path / "a", [run("aaaa", utterances=talk(0))]),
        study(tmp_path / "b", [run("bbbb", utterances=talk(2))]),
    )
    paired = found.pairs[0].paired
    assert (len(paired.words), paired.noun) == (6, "speakers")
    assert paired.words.tolist() == [60] * 6
    assert (paired.after - paired.before).tolist() == [2, 0, 0, 0, 0, 0]


def test_what_is_not_significant_is_not_shown(tmp_path: Path) -> None:
    told = verdict(one(tmp_path / "a", [1] * 10), one(tmp_path / "b", [1] * 10))
    assert told.outcome is Outcome.not_shown
    assert "too little data" in told.sentence
    assert "would show it in 4 of 5 cases" in told.sentence


def test_enough_data_without_a_difference_passes(tmp_path: Path) -> None:
    told = verdict(one(tmp_path / "a", [1] * 50), one(tmp_path / "b", [1] * 50))
    assert told.outcome is Outcome.passed  # 2.8 errors in 1,000 words are 0.28 points
    assert "at most 0.28 points higher" in told.sentence


def test_a_clear_harm_fails_and_a_gain_passes(tmp_path: Path) -> None:
    good, bad = one(tmp_path / "a", [1, 2] * 30), one(tmp_path / "b", [4, 5] * 30)
    assert verdict(good, bad).outcome is Outcome.failed
    assert "at least" in verdict(good, bad).sentence
    better = verdict(bad, good)
    assert better.outcome is Outcome.passed
    assert "lower by at least" in better.sentence


def test_an_observed_harm_beyond_the_margin_is_not_blamed_on_too_little_data(tmp_path: Path) -> None:
    told = verdict(one(tmp_path / "a", [0] * 20), one(tmp_path / "b", [1, 0, 0, 1] + [0] * 16))
    assert told.outcome is Outcome.not_shown
    assert "more data may well refute it" in told.sentence


def test_a_share_of_the_wer_is_a_margin_too(tmp_path: Path) -> None:
    a, b = one(tmp_path / "a", [5] * 100), one(tmp_path / "b", [5] * 99 + [6])
    assert verdict(a, b, Margins(wer=Margin(0.05, relative=True))).outcome is Outcome.passed
    assert verdict(a, b, Margins(wer=Margin(0.005, relative=True))).outcome is Outcome.not_shown


def test_few_utterances_have_no_interval_and_pass_nothing(tmp_path: Path) -> None:
    a, b = one(tmp_path / "a", [1, 0]), one(tmp_path / "b", [1, 0])
    assert compared(a, b).pairs[0].paired.rates is not None
    told = verdict(a, b, Margins(wer=Margin(1.0, relative=False)))
    assert told.outcome is Outcome.not_shown
    assert "too little data: an interval takes 5 independent parts" in told.sentence


def test_what_the_second_could_not_transcribe_passes_nothing(tmp_path: Path) -> None:
    broken = dataclasses.replace(corpus([1])[0], hypothesis=None, counts=None, error="damaged", audio_s=None)
    b = study(tmp_path / "b", [run("bbbb", utterances=[broken, *corpus([1] * 60)[1:]])])
    a = one(tmp_path / "a", [1] * 60)
    assert compared(a, b).pairs[0].paired.unpaired.second_failed == ("u0",)
    assert "could not transcribe 1 utterance that the first did (u0)" in verdict(a, b).sentence
    assert verdict(a, b).outcome is Outcome.not_shown
    assert verdict(b, a).outcome is Outcome.passed


def test_utterances_of_one_side_are_named_and_left_out(tmp_path: Path) -> None:
    a, b = one(tmp_path / "a", [1] * 6), one(tmp_path / "b", [1] * 8, data=("demo", "other"))
    found = compared(a, b)
    assert found.pairs[0].paired.unpaired.second_only == ("u6", "u7")
    assert len(found.pairs[0].paired.changes) == 6
    assert found.pairs[0].time.apart == "their data are not the same"


def test_other_references_are_refused(tmp_path: Path) -> None:
    a, b = (
        study(tmp_path / name, [run(name * 4, utterances=[spoken("u", 0, reference=text)])])
        for name, text in (("a", "alone"), ("b", "a loan"))
    )
    with pytest.raises(StoreError, match=r"different references for 1 of 1 utterances \(u: 'alone' and 'a loan'\)"):
        compared(a, b)


def test_other_normalisers_are_refused(tmp_path: Path) -> None:
    plain = config(score=ScoreConfig(NormalizerName.none))
    a, b = one(tmp_path / "a", [1]), one(tmp_path / "b", [1], settings=plain)
    with pytest.raises(StoreError, match=r"scored under whisper_english, .* under none"):
        compared(a, b)


def times(trial: str, seconds: Sequence[float], **changes: Any) -> list[RunResult]:
    return [
        run(trial, utterances=corpus([1] * 60), inference_s=each, replicate=k, **changes)
        for k, each in enumerate(seconds)
    ]


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        ([10.0], [10.0], Outcome.not_shown),  # one run bounds nothing
        ([10.0, 10.1], [10.0, 10.1], Outcome.not_shown),
        ([10.0, 10.1, 10.2], [10.0, 10.1, 10.2], Outcome.passed),  # at most 10.2 / 10.0
        ([10.0, 10.1, 10.2], [10.0, 10.1, 13.0], Outcome.not_shown),
        ([10.0, 10.1, 10.2], [12.0, 12.1, 12.2], Outcome.failed),  # at least 12.0 / 10.2
    ],
)
def test_slowdown_is_bounded_by_ranks(
    tmp_path: Path, first: list[float], second: list[float], outcome: Outcome
) -> None:
    a, b = study(tmp_path / "a", times("aaaa", first)), study(tmp_path / "b", times("bbbb", second))
    assert verdict(a, b, Margins(time=Margin(0.05, relative=True))).outcome is outcome


def test_times_of_other_machines_are_compared_only_if_asked(tmp_path: Path) -> None:
    other = dataclasses.replace(MACHINE, cpu_model="Other CPU")
    a = study(tmp_path / "a", times("aaaa", [10.0] * 3))
    b = study(tmp_path / "b", times("bbbb", [10.0] * 3, machine=other))
    margin = Margins(time=Margin(0.05, relative=True))
    assert "different machines (CPU Test CPU 9000 and Other CPU)" in verdict(a, b, margin).sentence
    assert verdict(a, b, margin).outcome is Outcome.not_shown
    found = compared(a, b, across_machines=True)
    assert judge(found, margin)[0].outcome is Outcome.passed
    assert ("env.cpu_model", "Test CPU 9000", "Other CPU") in found.environment


def test_settings_that_both_studies_have_are_matched(tmp_path: Path) -> None:
    def grid(name: str, chunks: Sequence[float], extra: int, **last: Any) -> Path:
        runs = [run(f"{name}{n}", config(chunk), utterances=corpus([n + extra] * 6)) for n, chunk in enumerate(chunks)]
        return study(tmp_path / name, [*runs, *([run(f"{name}9", config(30), **last)] if last else [])])

    a = grid("a", [5, 10, 20, 30], 0)
    b = grid("b", [5, 10, 15], 1, status=Status.error, reason="broke")
    found = compared(a, b)
    assert [pair.label for pair in found.pairs] == ["chunk 5 s", "chunk 10 s"]
    assert [pair.paired.rates.difference.value for pair in found.pairs if pair.paired.rates] == pytest.approx(
        [0.05] * 2
    )
    assert (found.only_first, found.only_second, found.lost) == (("chunk 20 s",), ("chunk 15 s",), ("chunk 30 s",))


def test_a_setting_that_was_lost_passes_nothing(tmp_path: Path) -> None:
    texts = corpus([1] * 60)
    a = study(tmp_path / "a", [run(f"a{n}", config(5.0 * n), utterances=texts) for n in (1, 2, 4)])
    runs = [run(f"b{n}", config(5.0 * n), utterances=texts) for n in (1, 2)]
    b = study(tmp_path / "b", [*runs, run("b4", config(20.0), status=Status.oom, reason="no memory")])
    told = verdict(a, b)
    assert told.outcome is Outcome.not_shown
    assert "no run that ended well of chunk 20 s" in told.sentence


def test_random_weights_have_times_and_no_wer(tmp_path: Path) -> None:
    silent = [dataclasses.replace(each, hypothesis=None, counts=None, degeneracy=None) for each in corpus([0] * 6)]
    a, b = (study(tmp_path / name, [run(name * 4, utterances=silent)]) for name in "ab")
    told = verdict(a, b)
    assert told.outcome is Outcome.not_shown
    assert "there is no WER" in told.sentence


@pytest.mark.parametrize(
    ("text", "points", "margin"),
    [("0.5", True, Margin(0.005, False)), ("5%", True, Margin(0.05, True)), (" 10 % ", False, Margin(0.1, True))],
)
def test_margins_are_read(text: str, points: bool, margin: Margin) -> None:
    assert read_margin("--max", text, points) == margin


@pytest.mark.parametrize("text", ["", "%", "-1", "five", "nan", "1e9", "5", "inf%"])
def test_other_margins_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--max-slowdown=.* is no margin; give a share \(5%\)"):
        read_margin("--max-slowdown", text)


def test_a_setting_is_named_by_the_beginning_of_its_trial(tmp_path: Path) -> None:
    study(tmp_path / "s", [run("abcd", config(10)), run("abef", config(20), errors=30)])
    assert selection("s", tmp_path) == Selection(tmp_path / "s")
    assert selection("s:ab", tmp_path) == Selection(tmp_path / "s", "ab")
    assert selection(str(tmp_path / "s"), Path("elsewhere")) == Selection(tmp_path / "s")
    assert is_study("s:ab", tmp_path)
    assert not is_study("device", tmp_path)
    found = versus(selection("s:abe", tmp_path), selection("s:best", tmp_path))
    assert (found.pairs[0].first.trial_id, found.pairs[0].second.trial_id) == ("abef", "abcd")
    for wrong, why in (("ab", "2 settings begin with ab"), ("x", "no setting begins with 'x'"), ("", "no setting")):
        with pytest.raises(StoreError, match=why):
            versus(Selection(tmp_path / "s", wrong), Selection(tmp_path / "s", "best"))


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Studies good, same and bad in a folder of results, and one named as a setting."""
    monkeypatch.chdir(tmp_path)
    for name, errors in (("good", 1), ("same", 1), ("bad", 4)):
        one(tmp_path / "results" / name, [errors] * 60)
    study(tmp_path / "results" / "threads", [run("t1", config(threads=1)), run("t2", config(threads=2))])
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["good", "bad"], 0, "bad against good"),
        (["good", "same", "--max-wer-increase", "0.5"], 0, "WER: passed"),
        (["good", "bad", "--max-wer-increase", "0.5"], 1, "WER: failed"),
        (["good", "same", "--max-wer-increase", "0.5", "--max-slowdown", "5%"], 1, "Time: not shown"),
        (["good", "same", "--max-memory-increase", "5%", "--format", "markdown"], 1, "## same against good"),
        (["threads", "threads"], 0, "against 1"),
    ],
)
def test_the_exit_status_is_the_verdict(
    three: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, said: str
) -> None:
    assert main(["compare", *arguments]) == status
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["good", "nosuch"], "nosuch is neither a study under results nor a setting"),
        (["good", "nosuch:a"], "nosuch:a is neither a study"),
        (["nosuch", "good"], "no study at results/nosuch"),
        (["good", "bad", "--baseline", "1"], "--baseline is a value of a setting"),
        (["good", "bad", "--max-slowdown", "5"], "--max-slowdown=5 is no margin"),
        (["good", "threads", "--max-slowdown", "5%"], "--max-slowdown is for two studies"),
        (["good:zzz", "bad"], "no setting begins with 'zzz'"),
    ],
)
def test_a_wrong_request_is_one_line_and_2(
    three: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["compare", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_as_a_process_a_margin_that_is_not_kept_exits_with_1(
    three: Path, cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = cli("compare", "good", "bad", "--max-wer-increase", "0.5")
    assert done.returncode == 1
    assert "WER: failed" in done.stdout
    assert done.stderr == ""


def test_markdown_shows_names_as_they_are() -> None:
    assert escaped("a|b <script> @you \x1b[2J") == "a\\|b &lt;script&gt; @\u200cyou \N{REPLACEMENT CHARACTER}\\[2J"
