"""What a change made of the word errors of the same utterances: the difference, its interval, if it is real."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.05
RESAMPLES = 10_000
_AT_ONCE = 2_000_000  # numbers drawn together: 16 MB


@dataclass(frozen=True)
class Interval:
    """A rate with the interval of its bootstrap, of a confidence of 95 %."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval is on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Gain:
    """Word error rates before and after, over the same utterances.

    Attributes:
        before: Before the change.
        after: After it.
        difference: After less before, pair by pair: below 0 is better.
        p_value: Probability of a difference at least as large if the change did nothing.
        clusters: What was drawn anew.
    """

    before: Interval
    after: Interval
    difference: Interval
    p_value: float
    clusters: int


def gain(before: ArrayLike, after: ArrayLike, words: ArrayLike, clusters: ArrayLike, seed: int = 0) -> Gain:
    """Compare two scores of the same utterances.

    The intervals are percentiles of a bootstrap that draws whole clusters, and both scores of each together (Bisani and
    Ney, ICASSP 2004). The p-value is that of a permutation test that exchanges before and after, cluster by cluster;
    one is added to both counts, so that it is never 0 (Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9, 2010).

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
    columns = [np.bincount(members, weights=np.asarray(each, dtype=float)) for each in (before, after, words)]
    totals: NDArray[np.float64] = np.stack(columns, axis=1).astype(np.float64)
    if not totals[:, 2].sum():
        raise ValueError("there are no words to be wrong")
    generator = np.random.default_rng(seed)
    rates = np.concatenate([_rates(totals, count, generator) for count in _parts(len(totals))])
    value = totals.sum(axis=0)
    value_before, value_after = value[0] / value[2], value[1] / value[2]
    return Gain(
        _interval(value_before, rates[:, 0]),
        _interval(value_after, rates[:, 1]),
        _interval(value_after - value_before, rates[:, 1] - rates[:, 0]),
        _exchanged(totals[:, 1] - totals[:, 0], generator),
        len(totals),
    )


def _parts(clusters: int) -> list[int]:
    """Divide the resamples so that each part fits into memory."""
    size = max(1, min(RESAMPLES, _AT_ONCE // clusters))
    return [min(size, RESAMPLES - start) for start in range(0, RESAMPLES, size)]


def _rates(totals: NDArray[np.float64], count: int, generator: np.random.Generator) -> NDArray[np.float64]:
    drawn = totals[generator.integers(len(totals), size=(count, len(totals)))].sum(axis=1)
    words = drawn[:, 2:]
    rates: NDArray[np.float64] = np.divide(drawn[:, :2], words, out=np.zeros((count, 2)), where=words > 0)
    return rates


def _interval(value: float, resampled: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(resampled, [LEVEL / 2, 1 - LEVEL / 2])
    return Interval(float(value), float(low), float(high))


def _exchanged(differences: NDArray[np.float64], generator: np.random.Generator) -> float:
    observed = abs(differences.sum())
    as_far = 0
    for count in _parts(len(differences)):
        signs = generator.integers(2, size=(count, len(differences))) * 2 - 1
        as_far += int((np.abs(signs @ differences) >= observed - 1e-9).sum())
    return (as_far + 1) / (RESAMPLES + 1)
