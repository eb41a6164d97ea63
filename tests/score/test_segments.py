"""The matched-pairs test: segments worked out by hand, counts against jiwer, the statistic against scipy."""

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.score.segments import MatchedPairs, matched_pairs, segment_errors
from tests.score.test_precision import BASE, TINY


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        pytest.param("a b c d e f g h", "a b c d e f g h", [], id="no errors"),
        pytest.param("X b c d e f g h", "a b c d e f g X", [[1, 0], [0, 1]], id="two, far apart"),
        pytest.param("X b c Y e f g h", "a b c d e f g h", [[1, 0], [1, 0]], id="two right words between"),
        pytest.param("X b Y d e f g h", "a b c d e f g h", [[2, 0]], id="one right word between"),
        pytest.param("X b c Y e f g h", "a X c d e f g h", [[2, 1]], id="right in one of the two only"),
        pytest.param("a b Z c d Z e f g h", "a b c d e f g h", [[1, 0], [1, 0]], id="two words between insertions"),
        pytest.param("a b Z c Z d e f g h", "a b c d e f g h", [[2, 0]], id="one word between insertions"),
        pytest.param("e f g h", "a b c d e f g h", [[4, 0]], id="a lost beginning is one burst"),
        pytest.param("a b c d e f g h Z Z", "Y a b c d e f g h", [[0, 1], [2, 0]], id="insertions at the ends"),
        pytest.param("", "a b c d e f g h", [[8, 0]], id="nothing heard"),
    ],
)
def test_segments_by_hand(ours: str, theirs: str, expected: list[list[int]]) -> None:
    found = segment_errors(list("abcdefgh"), ours.split(), theirs.split())
    assert found.tolist() == expected


texts = st.lists(st.sampled_from("abc"), max_size=14)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=14), texts, texts)
def test_all_errors_are_in_some_segment_as_jiwer_counts_them(
    reference: list[str], ours: list[str], theirs: list[str]
) -> None:
    found = segment_errors(reference, ours, theirs)
    for column, said in enumerate((ours, theirs)):
        counts = jiwer.process_words(" ".join(reference), " ".join(said))
        assert found[:, column].sum() == counts.substitutions + counts.deletions + counts.insertions
    assert (found.sum(axis=1) > 0).all()


def test_over_utterances_it_is_the_paired_t_statistic_of_scipy() -> None:
    found = matched_pairs(TINY, BASE)
    expected = stats.ttest_rel(TINY, BASE)
    assert found.segments == 50
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(expected.statistic)))


def test_without_a_spread_there_is_no_statistic() -> None:
    assert matched_pairs([], []) == MatchedPairs(0, 0.0, None, None)
    assert matched_pairs([3], [1]) == MatchedPairs(1, 2.0, None, None)
    assert matched_pairs([2, 2], [1, 1]) == MatchedPairs(2, 1.0, None, None)
    assert matched_pairs(np.zeros(9), np.zeros(9)).p_value is None
