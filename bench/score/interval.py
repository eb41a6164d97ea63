"""The 95 % interval of a word error rate that was measured, and of the difference between two.

Units (see :mod:`bench.score.precision`: speakers, recordings, utterances or blocks) are left out one at a time, which
gives the jackknife's standard error of a ratio of sums; it allows for large units better than the linearised one does
(Efron and Stein, Annals of Statistics 9, 1981; the CR3 variance of MacKinnon, Nielsen and Webb, "Cluster-robust
inference", J. Econometrics 232, 2023). The interval is Student's, on the logarithm of the rate, with as many degrees of
freedom as there are effective units less one (:func:`bench.score.precision.freedom_of`).

It was chosen by its coverage in 2,000 simulations a case: 30 clusters, of equal size, uniform from 20 to 200 words, and
log-normal with a deviation of 0.5, 0.7 and 1 of the logarithm; WERs of 3, 5, 10 and 30 %; correlations of 0.03 to 0.15
between words of a cluster. It held the true WER in 93.0 to 95.9 % of the simulations of every case, and with 60
clusters in 94.0 to 94.6 % of those of 13 cases. With 30 clusters the linearised interval gave 87 to 95 %, and Fieller's
91 to 96 %; in a smaller round of such cases the bootstrap's percentiles (80 to 95 %, after Hesterberg's expansion,
2015, no better than the linearised interval), BCa (83 to 95 %) and Hall's fell short where sizes are unequal or errors
rare, and the bootstrap-t covered as well but had no upper end in some simulations. With 5 clusters it covers less,
which reports warn of (``python -m benchmarks.statistics`` prints by how much).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.score.precision import FEWEST_UNITS, Precision, freedom_of, has_clusters, student_quantile


@dataclass(frozen=True)
class Interval:
    """A rate, or a difference of two, with its 95 % interval.

    Attributes:
        value: The rate.
        low: Lower end; null, with the upper one, where errors in too few units show how much they vary.
        high: Upper end.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval is on one side of 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def measured(errors: NDArray[np.float64], words: NDArray[np.float64], clusters: NDArray[np.int64]) -> Precision | None:
    """Tell how surely a WER is known from errors that were counted.

    Args:
        errors: Substitutions, deletions and insertions of each utterance or block, shape ``(k,)``.
        words: Their reference words, shape ``(k,)``; some may have none.
        clusters: Number of each one's speaker or recording, from 0 without gaps, shape ``(k,)``.

    Returns:
        Null where fewer than :data:`FEWEST_UNITS` units have any errors.
    """
    by_cluster = has_clusters(words, clusters)
    numbers = unit_numbers(words, clusters)
    of_units = np.bincount(numbers, words).astype(np.float64)
    return _precision(np.bincount(numbers, errors).astype(np.float64), of_units, by_cluster)


def unit_numbers(words: NDArray[np.float64], clusters: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the unit that each utterance or block is part of, from 0: its cluster, or itself."""
    return clusters if has_clusters(words, clusters) else np.arange(len(words))


def rate(errors: ArrayLike, words: ArrayLike) -> Interval:
    """Tell a WER and its interval.

    Args:
        errors: Word errors of each unit, shape ``(units,)``.
        words: Reference words of each; not all 0.
    """
    counts, sizes = np.asarray(errors, dtype=float), np.asarray(words, dtype=float)
    found = _precision(counts, sizes, by_cluster=False)
    low, high = found.ends if found else (None, None)
    return Interval(float(counts.sum() / sizes.sum()), low, high)


def difference(ours: ArrayLike, theirs: ArrayLike, words: ArrayLike) -> Interval:
    """Tell the difference of two WERs over the same units, pair by pair.

    It is symmetric: a difference may as well be below 0. An interval that ends at 0 goes with equal error counts in all
    units but a few.

    Args:
        ours: Word errors of each unit, shape ``(units,)``.
        theirs: Those it is compared with.
        words: Reference words of each; not all 0.
    """
    more = np.subtract(ours, theirs, dtype=float)
    sizes = np.asarray(words, dtype=float)
    value = float(more.sum() / sizes.sum())
    if len(more) < FEWEST_UNITS:
        return Interval(value, None, None)
    reach = student_quantile(freedom_of(sizes)) * standard_error(more, sizes)
    return Interval(value, value - reach, value + reach)


def standard_error(errors: NDArray[np.float64], words: NDArray[np.float64]) -> float:
    """Standard error of the ratio of two sums, by leaving out one unit at a time, shape ``(units,)`` each.

    Without unit ``u`` the ratio ``p`` is ``p - r / (W - w)``, with the residual ``r = e - p w``. A unit that has all
    words cannot be left out; the error is infinite then.
    """
    units, total = len(errors), words.sum()
    residuals = errors - errors.sum() / total * words
    rest = total - words
    moved = np.divide(residuals, rest, out=np.where(residuals == 0, 0.0, np.inf), where=rest > 0)
    return math.sqrt((units - 1) / units * float((moved**2).sum()))


def _precision(errors: NDArray[np.float64], words: NDArray[np.float64], by_cluster: bool) -> Precision | None:
    total = float(words.sum())
    if not total or np.count_nonzero(errors) < FEWEST_UNITS:
        return None
    wer = float(errors.sum()) / total
    return Precision(wer, standard_error(errors, words), len(errors), by_cluster, freedom_of(words))
