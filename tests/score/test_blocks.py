"""Blocks against jiwer's counts, by hand, and by what a beginning can and cannot know of the whole."""

import random
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records import WordCounts
from bench.score.blocks import block_errors, leading_block_errors
from bench.score.wer import count_words

WORDS = st.lists(st.sampled_from(["a", "b", "c", "dŵr", "e'r"]), max_size=16)
SIZES = st.integers(1, 5)


def errors_of(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Errors of the whole, by jiwer."""
    counts: WordCounts = count_words(" ".join(reference), " ".join(hypothesis))
    return counts.substitutions + counts.deletions + counts.insertions


# Reference, hypothesis, and the errors of blocks of two words, worked out by hand.
CASES = [
    ("a b c d e", "a b c d e", [0, 0, 0]),
    ("a b c d e", "a x c d e", [1, 0, 0]),
    ("a b c d e", "a b d e", [0, 1, 0]),
    ("a b c d e", "a b x y c d e", [2, 0, 0]),  # after b, the first block's last word
    ("a b c d e", "a b c x d e", [0, 1, 0]),
    ("a b c d e", "x y a b c d e", [2, 0, 0]),  # before the first word
    ("a b c d e", "a b c d e x y", [0, 0, 2]),
    ("a b c d e", "", [2, 2, 1]),
    ("", "", [0]),
    ("", "x y", [2]),
]


@pytest.mark.parametrize(("reference", "hypothesis", "expected"), CASES)
def test_errors_fall_into_the_block_of_their_word(reference: str, hypothesis: str, expected: list[int]) -> None:
    assert block_errors(reference.split(), hypothesis.split(), 2).tolist() == expected


@given(reference=WORDS, hypothesis=WORDS, size=SIZES)
def test_blocks_add_up_to_all_errors(reference: list[str], hypothesis: list[str], size: int) -> None:
    found = block_errors(reference, hypothesis, size)
    assert found.sum() == errors_of(reference, hypothesis)
    assert len(found) == max(1, (len(reference) + size - 1) // size)


@given(reference=WORDS, beginning=WORDS, rest=WORDS, size=SIZES)
def test_no_continuation_has_fewer_errors_than_its_beginning_was_charged_with(
    reference: list[str], beginning: list[str], rest: list[str], size: int
) -> None:
    assert leading_block_errors(reference, beginning, size).sum() <= errors_of(reference, [*beginning, *rest])


@given(reference=WORDS, beginning=WORDS, size=SIZES)
def test_a_beginning_ends_where_the_reference_is_nearest(reference: list[str], beginning: list[str], size: int) -> None:
    # By brute force over all beginnings of the reference; of those at the same distance the first.
    distances = [errors_of(reference[:end], beginning) for end in range(len(reference) + 1)]
    nearest = distances.index(min(distances))
    found = leading_block_errors(reference, beginning, size)
    ends = [end for end in range(size, nearest + 1, size) if nearest - end >= size / 2]
    assert len(found) == len(ends)
    assert found.tolist() == block_errors(reference[:nearest], beginning, size)[: len(found)].tolist()


@given(cut=st.integers(0, 60), size=SIZES, wrong=st.sets(st.integers(0, 59)))
def test_a_clean_cut_leaves_the_blocks_of_the_whole(cut: int, size: int, wrong: set[int]) -> None:
    # All words differ, so every error is where it was made.
    reference = [f"word{place}" for place in range(60)]
    hypothesis = ["wrong" if place in wrong - {cut - 1} else word for place, word in enumerate(reference)]
    found = leading_block_errors(reference, hypothesis[:cut], size)
    assert found.tolist() == block_errors(reference, hypothesis, size)[: len(found)].tolist()
    assert len(found) == sum(cut - end >= size / 2 for end in range(size, cut + 1, size))


def test_words_dropped_and_invented_before_the_cut_do_not_move_it() -> None:
    reference = [f"word{place}" for place in range(100)]
    spoken = [*reference[:20], "very", "very", "very", *reference[20:50], *reference[57:80]]
    assert leading_block_errors(reference, spoken, 10).tolist() == [0, 3, 0, 0, 0, 7, 0]


def test_what_is_known_to_be_spoken_makes_words_that_were_left_out_errors() -> None:
    reference = [f"word{place}" for place in range(100)]
    spoken = [*reference[:10], *reference[40:45]]  # of 60 words that were said
    assert leading_block_errors(reference, spoken, 10).tolist() == []
    assert leading_block_errors(reference, spoken, 10, spoken=60).tolist() == [0, 10, 10, 10, 5]
    assert leading_block_errors(reference, spoken, 10, spoken=1000).tolist() == [0, 10, 10, 10, 5, 10, 10, 10, 10]
    # What the transcript itself has come to counts where it is more.
    assert leading_block_errors(reference, reference[:50], 10, spoken=20).tolist() == [0] * 4


def test_a_long_recording_takes_milliseconds() -> None:
    draw = random.Random(0)
    reference = [draw.choice("abcdefghijklmnopqrst") * draw.randint(1, 20) for _ in range(2000)]
    hypothesis = [word if draw.random() < 0.9 else "wrong" for word in reference][:1900]

    def timed() -> float:
        started = time.perf_counter()
        leading_block_errors(reference, hypothesis, 10)
        return time.perf_counter() - started

    assert min(timed() for _ in range(5)) < 0.05
