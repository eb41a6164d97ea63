"""The matched-pairs sentence-segment word error test, as NIST's scoring toolkit has it for two transcripts.

Gillick and Cox, "Some statistical issues in the comparison of speech recognition algorithms" (ICASSP 1989). Errors come
in bursts, so what is paired are *segments*: stretches that hold an error of either transcript and are apart by at least
two reference words that both have right, or else whole utterances. The difference of the two error counts in each is
taken as independent of the others, and their mean over its standard error as normal. It looks within recordings and
knows no speakers, so it may call different what another set of speakers would not; it is told beside the tests over
whole units (:mod:`bench.score.tied`), since other toolkits tell it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rapidfuzz.distance import Levenshtein

SEPARATION = 2
"""Words in a row that both transcripts have right between two segments: as in SCTK's ``sc_stats``."""

FEWEST_SEGMENTS = 2


@dataclass(frozen=True)
class MatchedPairs:
    """Outcome of the test.

    Attributes:
        segments: How many were compared.
        mean: Mean difference of the errors in a segment: above 0, the first transcript has more.
        statistic: The mean over its standard error; null where segments are fewer than two, or all differ alike.
        p_value: Probability of one at least as far from 0 by the normal distribution, two-sided; null likewise. Fewer
            than about 50 segments make it too small.
    """

    segments: int
    mean: float
    statistic: float | None
    p_value: float | None


def matched_pairs(ours: ArrayLike, theirs: ArrayLike) -> MatchedPairs:
    """Test whether two transcripts have equally many errors in a segment.

    Args:
        ours: Word errors of the first in each segment, shape ``(segments,)``.
        theirs: Those of the second.
    """
    differences = np.subtract(ours, theirs, dtype=np.float64)
    count = len(differences)
    mean = float(differences.mean()) if count else 0.0
    deviation = float(differences.std(ddof=1)) if count >= FEWEST_SEGMENTS else 0.0
    if deviation == 0:
        return MatchedPairs(count, mean, None, None)
    statistic = mean / (deviation / math.sqrt(count))
    return MatchedPairs(count, mean, statistic, 2 * NormalDist().cdf(-abs(statistic)))


def segment_errors(reference: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> NDArray[np.int64]:
    """Count the word errors of two transcripts of one utterance in each segment.

    Args:
        reference: Words of the utterance, normalised as those of the transcripts are.
        ours: Words of the first transcript.
        theirs: Words of the second.

    Returns:
        Errors of the first and of the second, shape ``(segments, 2)``; no segment is without any.
    """
    # An insertion lies between words, so every word has a place of odd number and every gap one of even number.
    places = [
        np.array(
            [2 * edit.src_pos + (edit.tag != "insert") for edit in Levenshtein.editops(reference, said)], dtype=np.int64
        )
        for said in (ours, theirs)
    ]
    wrong = np.unique(np.concatenate(places))
    # The words strictly between two places: both have them right.
    between = wrong[1:] // 2 - (wrong[:-1] + 1) // 2
    number = np.concatenate([[0], np.cumsum(between >= SEPARATION)]) if len(wrong) else np.zeros(0, dtype=np.int64)
    count = int(number[-1]) + 1 if len(wrong) else 0
    return np.column_stack([np.bincount(number[np.searchsorted(wrong, place)], minlength=count) for place in places])
