from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.frontier import recommend
from bench.report.heard import Piece, differing, heard_by_trial, pieces, worth_a_look
from bench.report.tables import Block, blocks
from bench.store import load_runs, load_utterances
from tests.report.builder import config, run, study, utterance_result

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=60)


def told(found: Sequence[Piece], side: int) -> list[str]:
    """Read one side of an alignment back; right words that are left out cannot be, and are not asked for here."""
    return " ".join(str(piece[side]) if isinstance(piece, list) else str(piece) for piece in found).split()


def test_a_hand_worked_alignment() -> None:
    said = ["the", "quick", "brown", "fox", "jumps", "over", "it"]
    found = pieces(said, ["the", "quack", "fox", "jumps", "high", "over"])
    assert found == ["the", ["quick brown", "quack"], "fox jumps", ["", "high"], "over", ["it", ""]]


def test_a_long_stretch_is_counted_but_for_the_words_next_to_an_error() -> None:
    right = [f"w{at}" for at in range(100)]
    found = pieces([*right, "said", *right], [*right, "heard", *right])
    assert found == [88, " ".join(right[88:]), ["said", "heard"], " ".join(right[:12]), 88]
    assert pieces(right, right) == [100]
    assert pieces([], []) == []


def test_of_a_long_error_both_ends_are_shown() -> None:
    loop = [str(number) for number in range(1000)]
    ((said, heard),) = pieces(["a"], ["b", *loop])  # type: ignore[misc, str-unpack]
    assert said == "a"
    assert heard.split()[:3] == ["b", "0", "1"]
    assert " 148 [701 words] 850 " in heard
    assert heard.endswith(" 998 999")


@given(WORDS, WORDS)
def test_no_word_is_lost_and_what_is_called_right_is(reference: list[str], hypothesis: list[str]) -> None:
    found = pieces(reference, hypothesis)
    left_out = sum(piece for piece in found if isinstance(piece, int))
    if not left_out:
        assert told(found, 0) == reference
        assert told(found, 1) == hypothesis
    shown = [piece for piece in found if not isinstance(piece, int)]
    assert len(told(shown, 0)) + left_out == len(reference)
    assert len(told(shown, 1)) + left_out == len(hypothesis)


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., tuple[Block, Path]]:
    def make(texts: dict[str, list[tuple[str, int]]]) -> tuple[Block, Path]:
        runs = [
            run(
                trial,
                config(10.0 + at),
                utterances=[
                    utterance_result(number, errors, 10, reference="alpha beta gamma", hypothesis=text)
                    for number, (text, errors) in enumerate(heard)
                ],
            )
            for at, (trial, heard) in enumerate(texts.items())
        ]
        folder = study(tmp_path / "s", runs)
        (block,) = blocks(load_runs(folder))
        return block, folder

    return make


def test_texts_stay_within_their_budget_and_the_worst_come_first(opened: Callable[..., tuple[Block, Path]]) -> None:
    block, folder = opened({"a": [("alpha beta gamma", 0), ("alpha", 2), ("alpha beta", 1)], "b": [("x", 3)] * 3})
    utterances = load_utterances(folder)
    found = heard_by_trial(block, ["a", "b"], utterances, 10_000)
    assert [row["id"] for row in found["a"].rows] == ["rec1", "rec2", "rec0"]
    assert found["a"].rows[0]["pieces"] == ["alpha", ["beta gamma", ""]]
    assert found["b"].left_out == 0
    one_row = heard_by_trial(block, ["a", "b"], utterances, 100)
    assert [len(one.rows) for one in one_row.values()] == [1, 0]
    assert [one.left_out for one in one_row.values()] == [2, 3]


def test_what_is_worth_a_look_begins_with_the_recommended_and_has_the_worst_and_the_tied(
    opened: Callable[..., tuple[Block, Path]],
) -> None:
    block, _ = opened({f"t{errors}": [("alpha", errors)] for errors in range(9)})
    chosen = worth_a_look(block, recommend(block), tied=["t1"])
    assert chosen[0] == "t0"
    assert {"t8", "t7", "t6", "t1"} <= set(chosen)
    assert "t4" not in chosen


def test_utterances_that_settings_hear_alike_are_not_among_those_that_differ(
    opened: Callable[..., tuple[Block, Path]],
) -> None:
    alike = ("alpha beta gamma", 0)
    block, folder = opened(
        {"a": [alike, ("alpha beta", 1)], "b": [alike, ("alpha", 2)], "c": [alike, ("alpha beta", 1)]}
    )
    (found,) = differing(block, load_utterances(folder))
    assert (found["id"], found["range"], found["left_out"]) == ("rec1", "1 to 2 word errors", 0)
    best, worst = found["versions"]
    assert (best["errors"], best["settings"]) == ("1 error", "2 settings: chunk 10 s; chunk 12 s")
    assert (worst["errors"], worst["settings"]) == ("2 errors", "1 setting: chunk 11 s")
