"""What a change made of the word errors of the same utterances: the difference, its interval, if it is real."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.score.interval import Interval, difference, rate
from bench.score.tied import LEVEL, exchange_p_value

__all__ = ["LEVEL", "Gain", "gain"]


@dataclass(frozen=True)
class Gain:
    """Word error rates before and after, over the same utterances.

    Attributes:
        before: Before the change.
        after: After it.
        difference: After less before, pair by pair: below 0 is better.
        p_value: Probability of a difference at least as large if the change did nothing.
        clusters: How many units were taken as independent.
    """

    before: Interval
    after: Interval
    difference: Interval
    p_value: float
    clusters: int


def gain(before: ArrayLike, after: ArrayLike, words: ArrayLike, clusters: ArrayLike, seed: int = 0) -> Gain:
    """Compare two scores of the same utterances, cluster by cluster.

    The intervals are those of :mod:`bench.score.interval`. The p-value is that of a permutation test that exchanges
    before and after in whole clusters (:func:`bench.score.tied.exchange_p_value`).

    Args:
        before: Word errors of each utterance before, shape ``(n,)``.
        after: Those after, in the same order.
        words: Reference words of each.
        clusters: What each belongs to: utterances of one cluster (a recording, a speaker) are not independent.
        seed: Seeds what is drawn.

    Raises:
        ValueError: There are no words.
    """
    _, members = np.unique(np.asarray(clusters), return_inverse=True)
    was, became, sizes = (np.bincount(members, np.asarray(each, dtype=float)) for each in (before, after, words))
    if not sizes.sum():
        raise ValueError("there are no words to be wrong")
    return Gain(
        before=rate(was, sizes),
        after=rate(became, sizes),
        difference=difference(became, was, sizes),
        p_value=exchange_p_value(became - was, seed=seed),
        clusters=len(sizes),
    )
