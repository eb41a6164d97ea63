"""What was heard for what."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.score.alignment import align, counts
from bench.score.confusions import confusions

WORDS = st.lists(st.sampled_from(["a", "loan", "alone", "an", "low"]), max_size=9)


def told(said: str, heard: str) -> list[tuple[str, str]]:
    reference, hypothesis = said.split(), heard.split()
    return [
        (" ".join(reference[one.start : one.stop]), " ".join(hypothesis[one.heard_start : one.heard_stop]))
        for one in confusions(reference, hypothesis, align(reference, hypothesis))
    ]


@pytest.mark.parametrize(
    ("said", "heard", "found"),
    [
        ("he asked for a loan today", "he asked for alone today", [("a loan", "alone")]),
        ("i like ice cream a lot", "i like i scream a lot", [("ice cream", "i scream")]),
        ("the big dog ran", "the dawg ran", [("big", ""), ("dog", "dawg")]),
        ("to day it rains", "today it rained", [("to day", "today"), ("rains", "rained")]),
        ("one two", "", [("one", ""), ("two", "")]),
        ("", "one two", [("", "one"), ("", "two")]),
        ("all is well", "all is well", []),
    ],
)
def test_neighbours_that_sound_alike_go_together(said: str, heard: str, found: list[tuple[str, str]]) -> None:
    assert told(said, heard) == found


@settings(deadline=None)
@given(WORDS, WORDS)
def test_the_errors_are_those_of_the_word_error_rate(said: list[str], heard: list[str]) -> None:
    steps = align(said, heard)
    found, counted = confusions(said, heard, steps), counts(steps)
    assert sum(one.errors for one in found) == counted.substitutions + counted.deletions + counted.insertions
    right = [step for step in steps if step.right]
    covered = {word for one in found for word in range(one.start, one.stop)}
    assert covered == set(range(len(said))) - {step.said for step in right}
    assert sum(one.heard_stop - one.heard_start for one in found) == len(heard) - len(right)


def test_where_a_decoder_has_run_wild_every_word_stands_for_itself() -> None:
    found = told(" ".join(f"a{number}" for number in range(25)), " ".join(f"b{number}" for number in range(25)))
    assert found == [(f"a{number}", f"b{number}") for number in range(25)]
