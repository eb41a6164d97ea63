"""The alignment of what was heard with what was said."""

import jiwer
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.records import WordCounts
from bench.score.alignment import Step, align, counts
from bench.score.wer import count_words

WORDS = st.lists(st.sampled_from("abcde"), max_size=12)


def test_every_kind_of_step() -> None:
    assert align(["a", "b", "c"], ["x", "a", "d"]) == [
        Step(0, None, 0, False),
        Step(0, 0, 1, True),
        Step(1, 1, 2, False),
        Step(2, 2, None, False),
    ]


@settings(deadline=None)
@given(WORDS, WORDS)
def test_every_word_comes_once_and_the_counts_are_jiwers(said: list[str], heard: list[str]) -> None:
    steps = align(said, heard)
    assert [step.said for step in steps if step.said is not None] == list(range(len(said)))
    assert [step.heard for step in steps if step.heard is not None] == list(range(len(heard)))
    assert all(step.right == (said[step.said] == heard[step.heard]) for step in steps
               if step.said is not None and step.heard is not None)  # fmt: skip
    assert counts(steps) == count_words(" ".join(said), " ".join(heard))
    if said:
        found = jiwer.process_words(" ".join(said), " ".join(heard))
        assert counts(steps) == WordCounts(found.substitutions, found.deletions, found.insertions, found.hits)
