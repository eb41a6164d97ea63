"""Where words were said and errors happened."""

import numpy as np
import pytest

from bench.inference.seams import nearest
from bench.score.alignment import align
from bench.score.locations import Located, Span, locate


def located(said: str, heard: str, times_s: list[Span | None], seams_s: list[float], audio_s: float = 10.0) -> Located:
    return locate(align(said.split(), heard.split()), times_s, audio_s, seams_s)


def test_errors_that_were_heard_lie_at_the_word_heard() -> None:
    found = located("a b c", "a x c d", [(0, 1), (1, 2), (2, 3), (3, 4)], [2.0])
    assert found.word_s.tolist() == [0.5, 1.5, 2.5]
    assert found.word_seam_s.tolist() == [1.5, 0.5, 0.5]
    assert found.error_word.tolist() == [1, 2]  # the substitution, and the insertion after the last word
    assert found.error_s.tolist() == [1.5, 3.5]
    assert found.error_reach_s.tolist() == [0, 0]


def test_lost_words_lie_between_those_heard() -> None:
    # From 1 s to 5 s: at 2 and 4 s if they are spread evenly, and anywhere between for all that is known.
    found = located("a b c d", "a d", [(0, 1), (5, 6)], [4.5])
    assert found.word_s.tolist() == [0.5, 2.0, 4.0, 5.5]
    assert found.error_s.tolist() == [3.0, 3.0]
    assert found.error_reach_s.tolist() == [2.0, 2.0]
    assert found.error_seam_s.tolist() == [1.5, 1.5]


def test_lost_words_at_the_ends_reach_to_the_ends() -> None:
    found = located("a b c", "b", [(4, 6)], [5.0])
    assert found.error_s.tolist() == [2.0, 8.0]
    assert found.error_reach_s.tolist() == [2.0, 2.0]


def test_nothing_was_heard() -> None:
    found = located("a b", "", [], [5.0])
    assert found.word_s.tolist() == [2.5, 7.5]
    assert found.error_reach_s.tolist() == [5.0, 5.0]


def test_a_word_without_a_time_is_as_uncertain_as_a_lost_one() -> None:
    found = located("a b c", "a x c", [(0, 1), None, (3, 4)], [9.0])
    assert (found.error_s.tolist(), found.error_reach_s.tolist()) == ([2.0], [1.0])


def test_an_insertion_before_the_first_word_belongs_to_it() -> None:
    assert located("a", "x a", [(0, 1), (1, 2)], [9.0]).error_word.tolist() == [0]


def test_distances_are_those_that_words_are_stored_with() -> None:
    rng = np.random.default_rng(0)
    seams_s = sorted(rng.uniform(0, 60, 9).tolist())
    times = [(start, start + 0.2) for start in sorted(rng.uniform(0, 59, 200).tolist())]
    said = " ".join(f"w{number}" for number in range(200))
    found = located(said, said, list(times), seams_s, 60.0)
    assert found.word_seam_s == pytest.approx([nearest(start + 0.1, seams_s) for start, _ in times])
