from functools import cache

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.score.agreement import Agreement, agreement

WORDS = st.lists(st.sampled_from("abcd"), max_size=12)


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        ("the cat sat", "the cat sat", 3),
        ("the cat sat", "the bat sat", 2),
        ("the cat sat", "cat sat down", 2),
        ("a b", "b a", 1),
        ("one two three four", "zero one three five four", 3),
        ("a a a", "a", 1),
        ("", "word", 0),
    ],
)
def test_equal_words_of_a_hand_worked_case(first: str, second: str, equal: int) -> None:
    found = agreement(first.split(), second.split())
    assert found == Agreement(equal, len(first.split()), len(second.split()))
    assert found.share == 2 * equal / len((first + " " + second).split())


def test_without_words_there_is_no_share() -> None:
    assert Agreement().share is None
    assert agreement([], []).share is None


def test_counts_add_up_so_that_long_texts_weigh_more() -> None:
    summed = agreement(["a"] * 8, ["a"] * 8) + agreement(["a", "b"], ["c", "d"])
    assert summed.share == 16 / 20
    assert (summed.words, summed.differing) == (20, 4)


def longest_common(first: list[str], second: list[str]) -> int:
    """The definition of a longest common subsequence, by recursion."""

    @cache
    def of(m: int, n: int) -> int:
        if not m or not n:
            return 0
        return of(m - 1, n - 1) + 1 if first[m - 1] == second[n - 1] else max(of(m - 1, n), of(m, n - 1))

    return of(len(first), len(second))


@given(WORDS, WORDS)
def test_it_is_the_longest_common_subsequence_and_the_same_both_ways(first: list[str], second: list[str]) -> None:
    assert agreement(first, second).equal == agreement(second, first).equal == longest_common(first, second)


@given(WORDS.filter(bool), WORDS.filter(bool))
def test_against_jiwer(first: list[str], second: list[str]) -> None:
    seen, found = jiwer.process_words(" ".join(first), " ".join(second)), agreement(first, second)
    errors = seen.substitutions + seen.deletions + seen.insertions
    # An alignment of the fewest edits has no more equal words, and one of the most equal words no fewer edits. A word
    # put in place of another is one edit and two words that differ.
    assert seen.hits <= found.equal
    assert errors <= found.differing <= 2 * seen.substitutions + seen.deletions + seen.insertions
    if not seen.substitutions:
        assert found.share == 2 * seen.hits / (len(first) + len(second))
