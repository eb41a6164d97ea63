"""The referee of a race: which units it pairs, when it ends a run, and that it never ends one that is no worse."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from bench.races import Race, Rival
from bench.records import Utterance
from bench.score.race import BLOCK_WORDS, FEWEST_UTTERANCES, Beaten, Referee, order_of, unit_errors


def utterances(count: int, words: int) -> list[Utterance]:
    return [
        Utterance(f"u{number}", Path("a.wav"), " ".join(f"w{word}" for word in range(words))) for number in range(count)
    ]


def spoilt(text: str, errors: int) -> str:
    """Put other words for the first few."""
    words = text.split()
    return " ".join(["x"] * errors + words[errors:])


def referee(
    items: Sequence[Utterance],
    *rivals: Rival,
    objectives: tuple[str, ...] = ("wer",),
    peaks: Mapping[str, float | None] | None = None,
    margin: float = 0.0,
) -> Referee:
    return Referee(Race(0.05, objectives, "wer", rivals, margin), items, str, 0, lambda: peaks or {})


def rival(errors: Sequence[float], stage_s: Sequence[float] = (1.0,) * 10, peak_mib: float = 100.0) -> Rival:
    shares = tuple(np.linspace(0, 1, len(stage_s) + 1)[1:])
    return Rival("rival-0", tuple(errors), shares, tuple(stage_s), {"peak_rss_mib": peak_mib})


def run_through(judge: Referee, items: Sequence[Utterance], errors: int, stage_s: float = 1.0) -> float:
    """Look after each tenth; returns the share at which the run was ended, 1 where it was not."""
    texts = [spoilt(items[number].text, errors) for number in judge.order]
    for tenth in range(1, 11):
        complete = len(items) * tenth // 10
        said = [*texts[:complete], *[""] * (len(items) - complete)]
        try:
            judge.look(tenth / 10, stage_s, 600.0, said, complete)
        except Beaten as beaten:
            standing = beaten.standing
            break
    else:
        return 1.0
    assert standing.beaten_by == "rival-0"
    assert len(standing.stage_s) == len(standing.stage_share) == tenth
    return standing.share


def test_many_utterances_are_the_units_and_few_are_divided() -> None:
    many = [("a b c", "a b c"), ("a b c", "a x c d")] * (FEWEST_UTTERANCES // 2)
    assert list(unit_errors(many)) == [0, 2] * (FEWEST_UTTERANCES // 2)
    assert list(unit_errors(many, complete=3)) == [0, 2, 0]
    reference = " ".join(f"w{number}" for number in range(2 * BLOCK_WORDS + 5))
    said = reference.replace("w3 ", "").replace(f"w{2 * BLOCK_WORDS}", "x")
    assert list(unit_errors([(reference, said), ("a", "a b")])) == [1, 0, 1, 1]
    # Of what is transcribed in part, only what is surely complete counts: not the block that is being said.
    part = " ".join(said.split()[: 2 * BLOCK_WORDS + 2])
    assert list(unit_errors([("a", "b"), (reference, part)], complete=1)) == [1, 1]


def test_the_order_is_a_shuffle_that_depends_on_seed_and_names_alone() -> None:
    items = utterances(40, 3)
    order = order_of(items, 1)
    assert sorted(order) == list(range(40))
    assert order != order_of(items, 2)
    names = [items[number].utterance_id for number in order]
    backwards = items[::-1]
    assert [backwards[number].utterance_id for number in order_of(backwards, 1)] == names


def test_a_much_worse_run_is_ended_and_an_equal_one_is_not() -> None:
    items = utterances(60, 10)
    assert run_through(referee(items, rival([1.0] * 60)), items, errors=4) <= 0.5
    assert run_through(referee(items, rival([1.0] * 60)), items, errors=1) == 1.0
    assert run_through(referee(items, rival([4.0] * 60)), items, errors=1) == 1.0
    assert run_through(referee(items), items, errors=9) == 1.0


def test_with_a_margin_a_run_must_be_better_by_that_much() -> None:
    items = utterances(60, 10)
    for objectives in (("wer",), ("wer", "rtfx", "peak_rss_mib")):
        beaten = [
            run_through(
                referee(items, rival([4.0] * 60), objectives=objectives, peaks={"peak_rss_mib": peak}, margin=0.5),
                items,
                errors=errors,
                stage_s=seconds,
            )
            < 1
            for errors, seconds, peak in ((4, 1.0, 100.0), (3, 0.9, 90.0), (2, 0.5, 50.0), (1, 0.4, 40.0))
        ]
        assert beaten == [True, True, False, False]


def test_all_objectives_must_be_worse() -> None:
    items = utterances(60, 10)
    both = ("wer", "rtfx")
    slow, fast = rival([1.0] * 60, [9.0, 11.0] * 5), rival([1.0] * 60, [0.9, 1.1] * 5)
    assert run_through(referee(items, fast, objectives=both), items, errors=4, stage_s=10.0) < 1
    assert run_through(referee(items, slow, objectives=both), items, errors=4, stage_s=10.0) == 1
    memory = ("wer", "peak_rss_mib")
    for peak_mib, ended in ((101.0, False), (110.0, True)):  # within what runs of one setting differ by, and beyond
        judge = referee(items, rival([1.0] * 60), objectives=memory, peaks={"peak_rss_mib": peak_mib})
        assert (run_through(judge, items, errors=4) < 1) is ended


def test_a_run_that_leaves_out_what_its_rival_heard_is_ended_early() -> None:
    """One recording of 600 words, in blocks: of every ten words the run has only the first two."""
    (item,) = utterances(1, 600)
    words = item.text.split()
    shares = tuple(np.arange(1, 21) / 20)
    blocks = [1.0] * (600 // BLOCK_WORDS)

    def share_at_the_end(stage_words: tuple[int, ...]) -> float:
        judge = referee([item], Rival("rival-0", tuple(blocks), shares, (1.0,) * 20, {}, stage_words))
        for share in shares:
            heard = [word for at, word in enumerate(words[: round(600 * share)]) if at % 10 < 2]
            try:
                judge.look(share, 1.0, 240.0, [" ".join(heard)], complete=int(share == 1))
            except Beaten as beaten:
                return beaten.standing.share
        return 1.0

    known = tuple(round(600 * share) for share in shares)
    assert share_at_the_end(known) <= 0.2 < share_at_the_end(())
    judge = referee([item])
    judge.look(0.5, 1.0, 240.0, [" ".join(words[:300])], complete=0)
    judge.look(1.0, 1.0, 240.0, [item.text], complete=1)
    assert judge.standing is not None
    assert judge.standing.stage_words == (300, 600)


def test_a_rival_over_other_data_ends_nothing() -> None:
    items = utterances(60, 10)
    assert run_through(referee(items, rival([0.0] * 59)), items, errors=9) == 1.0
    assert run_through(referee(items, rival([])), items, errors=9) == 1.0


def test_the_standing_tells_how_far_and_how_well() -> None:
    items = utterances(30, 10)
    judge = referee(items)
    texts = [spoilt(items[number].text, 2) for number in judge.order]
    judge.look(0.5, 4.0, 120.0, [*texts[:15], *[""] * 15], 15)
    assert judge.standing is not None
    assert (judge.standing.share, judge.standing.rtfx) == (0.5, 15.0)
    assert judge.standing.wer == pytest.approx(0.2)
    judge.look(1.0, 2.0, 120.0, texts, 30)
    assert judge.standing.stage_s == (4.0, 2.0)
    assert judge.standing.rtfx == 20.0
    assert judge.standing.beaten_by is None


def test_seconds_are_compared_at_the_same_share_of_the_audio_whatever_the_stages() -> None:
    items = utterances(60, 10)
    judge = referee(items, rival([0.0] * 60, [1.0] * 4), objectives=("rtfx",))
    texts = [items[number].text for number in judge.order]
    # As fast as the rival, in stages of a tenth: 0.4 s each.
    for tenth in range(1, 11):
        judge.look(tenth / 10, 0.4, 600.0, texts, 6 * tenth)
