"""Whether one setting is worse than another, judged by cross-validation over the same folds.

Each utterance is scored by the model that was trained without its fold, once a repeat. What is told of two settings is
the difference of their word error rates pooled over all these scores. Two things make it vary, which the same data has
to tell apart:

*Which utterances there are.* Errors come in bursts, and more of them in some groups of utterances than in others. Over
groups, taken as independent, the variance of the pooled difference ``D`` is that of a ratio of sums, linearised
(Cochran, Sampling Techniques, 1977, section 6.3), as in :mod:`bench.score.precision`: with ``r = sum of (d - D w)`` the
residual of a group that has ``d`` more errors in ``w`` words, ``W`` words and ``G`` groups in all::

    P = G / (G - 1) * sum of r^2 / W^2

*Which models came out.* Training is random, and so is the training data, much of which the folds have in common; scores
of folds are not independent, and no estimate of their variance is unbiased for all distributions (Bengio and
Grandvalet, J. Machine Learning Research 5, 2004). Nadeau and Bengio ("Inference for the generalization error", Machine
Learning 52, 2003) suppose a correlation of ``n_test / (n_test + n_train)``, by which the mean of ``J`` scores, each of
variance ``S``, has the variance ``S * (1 / J + n_test / n_train)``. In cross-validation with ``K`` folds the second
term is ``1 / (K - 1)``, and with repeats ``J`` counts the folds of all (Bouckaert and Frank, PAKDD 2004).

The usual ``S`` is the variance of the scores themselves, which three folds give two degrees of freedom, and Student's
quantile of 4.3: hardly anything is ever different. But a fold is a ``K``-th of the data, so that its score has the
variance ``K P`` by the groups alone. Put in for ``S``, it has as many degrees of freedom as there are groups less one::

    by groups:  P * (1 + K / (K - 1))                              (J = K: other repeats have the same groups)
    by folds:   J^2 / (J - 1) * sum of r^2 / W^2 * (1 / J + 1 / (K - 1))           (r: residuals of folds)

where ``P`` is the mean over repeats, which make it no smaller: they average the luck of training, and the groups stay
as they are. Both forms are equal where each fold is one group. The larger one is taken. The one by groups does not see
a training that went astray; the one by folds does, though three of them may look alike by chance. If the one by groups
is a share ``s`` of what is taken, the degrees of freedom are ``1 / (s / (G - 1) + (1 - s) / (J - 1))``: those of the
groups where they explain all, those of the folds where training does.

**What holds.** In 10,000 simulations of settings that are equal on average (``tests/score/test_resampled.py``; WER of
20 %, half of the errors made under both settings, luck of training with a deviation of 0, 5 and 10 % of the WER), at
most 5 % were called different at that level, and less than 1 % where there is little of that luck: the form by groups
allows for as much of it as utterances have. In a normal model the level holds for three folds or more and any amount of
luck that is independent between trainings. It does not hold for two folds in one repeat (9 %), nor where luck that
folds share, correlated by ``1 / K`` as Nadeau and Bengio have it, outweighs by far that of the utterances: up to 9 %
with three folds, 6 % with five. Among several settings the one that differs most is the likeliest to have folds that
look alike by chance, which :func:`against_best` makes up for.

**What is seen.** Percentage of settings with a WER of 26 % that were called different from one with 20 %, by utterances
(of ten words on average, each a group of its own), folds, and luck of training as a share of the WER:

==========  ===================  ===================  =====================  =====================
utterances  3 folds              5 folds              10 folds               5 times 2 folds
luck in %   0 / 2 / 5 / 10       0 / 2 / 5 / 10       0 / 2 / 5 / 10         0 / 2 / 5 / 10
==========  ===================  ===================  =====================  =====================
60          9 / 10 / 9 / 10      12 / 11 / 12 / 12    16 / 17 / 15 / 14      1 / 1 / 1 / 1
150         40 / 39 / 35 / 25    47 / 45 / 43 / 31    55 / 55 / 50 / 43      38 / 37 / 32 / 14
300         72 / 69 / 56 / 33    81 / 80 / 72 / 47    91 / 91 / 85 / 68      94 / 93 / 76 / 20
600         87 / 80 / 63 / 31    97 / 97 / 86 / 50    100 / 100 / 99 / 85    100 / 100 / 89 / 22
==========  ===================  ===================  =====================  =====================

So 60 utterances hardly ever tell a factor of 1.3. Three folds suffice where training is steady; where it is not, more
folds help, and with few folds more data does not.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, special

from bench.score.holm import holm

LEVEL = 0.05
"""Probability with which settings that are equal may be called different."""


@dataclass(frozen=True)
class Estimate:
    """Differences of pooled word error rates, and how much they vary; each of the shape of the leading axes.

    Attributes:
        difference: Ours less theirs.
        by_groups: Variance of the difference, by the groups.
        by_folds: The same, by the folds.
        groups: Number of groups.
        folds: Number of folds, those of all repeats.
    """

    difference: NDArray[np.float64]
    by_groups: NDArray[np.float64]
    by_folds: NDArray[np.float64]
    groups: int
    folds: int

    @property
    def variance(self) -> NDArray[np.float64]:
        """The larger of the two variances."""
        return np.maximum(self.by_groups, self.by_folds)

    @property
    def freedom(self) -> NDArray[np.float64]:
        """Degrees of freedom of the variance: between those of the folds and those of the groups."""
        variance = self.variance
        share = np.divide(self.by_groups, variance, out=np.ones_like(variance), where=variance > 0)
        found: NDArray[np.float64] = 1 / (share / max(1, self.groups - 1) + (1 - share) / (self.folds - 1))
        return found

    @property
    def p_values(self) -> NDArray[np.float64]:
        """Two-sided p-values by Student's distribution, but none below ``2^(1 - groups)``.

        That is the least that can be told from signs alone, without supposing a distribution: the probability that no
        group is for one of two equal settings. It decides where all groups have the same difference a word, so that
        the variance is 0. No difference has a p-value of 1 whatever its variance.
        """
        ratio = np.divide(
            np.abs(self.difference),
            np.sqrt(self.variance),
            out=np.where(self.difference == 0, 0.0, np.inf),
            where=self.variance > 0,
        )
        student: NDArray[np.float64] = 2 * special.stdtr(self.freedom, -ratio)
        return np.maximum(student, 2.0 ** (1 - self.groups))


@dataclass(frozen=True)
class Comparison:
    """One setting against another.

    Attributes:
        difference: Pooled word error rate of the first less that of the second: above 0, the first is worse.
        low: Lower end of its interval, of a confidence of 1 less the level; null where there are so few groups that no
            difference could be told at that level (fewer than 6 at 5 %).
        high: Upper end, likewise.
        p_value: Probability of a difference at least as large between settings that are equal on average; 1 where there
            is a single group.
    """

    difference: float
    low: float | None
    high: float | None
    p_value: float


@dataclass(frozen=True)
class AgainstBest:
    """One of several settings against the best of them.

    Attributes:
        comparison: With the best as the second; of the best itself, no difference and no interval.
        p_adjusted: Holm's p-value over all settings but the best.
        tied: Whether it cannot be told from the best.
    """

    comparison: Comparison
    p_adjusted: float
    tied: bool


def compare(
    ours: ArrayLike,
    theirs: ArrayLike,
    words: ArrayLike,
    groups: ArrayLike,
    folds: ArrayLike,
    repeats: ArrayLike,
    level: float = LEVEL,
) -> Comparison:
    """Compare two settings by the scores of the same utterances in the same folds.

    Args:
        ours: Word errors of the first setting in each utterance, shape ``(n,)``; an utterance comes once a repeat.
        theirs: Those of the second, in the same order.
        words: Reference words of each, likewise.
        groups: Number of the group each is of. Groups are taken as independent of each other.
        folds: Number of the fold each was scored in; folds of other repeats have other numbers.
        repeats: Number of the repeat.
        level: Probability with which equal settings may be called different.

    Raises:
        ValueError: There are no words, or fewer than two folds a repeat.
    """
    return _comparisons(estimate(np.atleast_2d(np.subtract(ours, theirs)), words, groups, folds, repeats), level)[0]


def against_best(
    errors: ArrayLike,
    words: ArrayLike,
    groups: ArrayLike,
    folds: ArrayLike,
    repeats: ArrayLike,
    level: float = LEVEL,
) -> tuple[AgainstBest, ...]:
    """Tell which of several settings cannot be told from the best: the first of those with the lowest pooled WER.

    Trainings of the other settings that do no worse tell how much luck there is too: the ratio of the variance by folds
    to that by groups is taken as no less than its median over them. Without it, of ten equal settings with 600
    utterances, three folds and luck of 10 %, some were told from the best in 24 % of simulations; with it, in 2 %. That
    the best is chosen by the same scores is corrected for in no other way.

    Args:
        errors: Word errors of each setting, shape ``(settings, n)``.
        words: See :func:`compare`; so are the others.
        groups: The group of each score.
        folds: The fold.
        repeats: The repeat.
        level: Probability with which, of settings that are all equal, any may be told from the best.

    Returns:
        One entry a setting, in their order.

    Raises:
        ValueError: There are no words, or fewer than two folds a repeat.
    """
    counts = np.asarray(errors, dtype=float)
    best, *others = np.argsort(counts.sum(axis=1), kind="stable").tolist()
    found = _with_typical_luck(estimate(counts[others] - counts[best], words, groups, folds, repeats))
    comparisons = dict(zip(others, _comparisons(found, level), strict=True))
    adjusted = dict(zip(others, holm([comparisons[number].p_value for number in others]), strict=True))
    itself = AgainstBest(Comparison(0.0, None, None, 1.0), 1.0, tied=True)
    return tuple(
        itself if number == best else AgainstBest(comparisons[number], adjusted[number], adjusted[number] > level)
        for number in range(len(counts))
    )


def estimate(
    differences: ArrayLike, words: ArrayLike, groups: ArrayLike, folds: ArrayLike, repeats: ArrayLike
) -> Estimate:
    """Estimate the difference of two pooled word error rates and its variance, as the head of this module derives it.

    Args:
        differences: Errors of one setting less those of the other, shape ``(..., n)``; leading axes hold independent
            comparisons of the same utterances.
        words: See :func:`compare`; so are the others.
        groups: The group of each score.
        folds: The fold.
        repeats: The repeat.

    Raises:
        ValueError: There are no words, or fewer than two folds a repeat.
    """
    more, weights = np.asarray(differences, dtype=float), np.asarray(words, dtype=float)
    group, group_count = _numbered(groups)
    fold, fold_count = _numbered(folds)
    repeat, repeat_count = _numbered(repeats)
    total = weights.sum()
    if total <= 0 or fold_count < 2 * repeat_count:
        raise ValueError("reference words and two folds in each repeat are needed")
    shared_luck = 1 / (fold_count / repeat_count - 1)
    difference = more.sum(axis=-1) / total
    residuals = more - difference[..., np.newaxis] * weights
    by_group = _sums(residuals, repeat * group_count + group, repeat_count * group_count)
    words_of_repeat = np.repeat(np.bincount(repeat, weights), group_count)
    pooled = np.sum((by_group / words_of_repeat) ** 2, axis=-1) / repeat_count * group_count / max(1, group_count - 1)
    by_groups = pooled * (1 + fold_count / repeat_count * shared_luck)
    by_fold = _sums(residuals, fold, fold_count) / total
    of_a_fold = np.sum(by_fold**2, axis=-1) * fold_count**2 / (fold_count - 1)
    return Estimate(difference, by_groups, of_a_fold * (1 / fold_count + shared_luck), group_count, fold_count)


def _with_typical_luck(found: Estimate) -> Estimate:
    """Let no variance by folds be less, beside that by groups, than is typical of the settings that do no worse.

    Args:
        found: Of several settings, from the lowest difference to the highest.
    """
    ratios = np.divide(found.by_folds, found.by_groups, out=np.zeros_like(found.by_folds), where=found.by_groups > 0)
    typical = np.array([np.median(ratios[: number + 1]) for number in range(len(ratios))])
    return replace(found, by_folds=np.maximum(found.by_folds, typical * found.by_groups))


def _comparisons(found: Estimate, level: float) -> list[Comparison]:
    half_widths = special.stdtrit(found.freedom, 1 - level / 2) * np.sqrt(found.variance)
    bounded = 2.0 ** (1 - found.groups) <= level
    return [
        Comparison(
            difference=float(difference),
            low=float(difference - half_width) if bounded else None,
            high=float(difference + half_width) if bounded else None,
            p_value=float(p_value),
        )
        for difference, half_width, p_value in zip(found.difference, half_widths, found.p_values, strict=True)
    ]


def _numbered(labels: ArrayLike) -> tuple[NDArray[np.intp], int]:
    """Number labels from 0 on; returns each one's number and how many there are."""
    distinct, numbers = np.unique(np.asarray(labels), return_inverse=True)
    return numbers, len(distinct)


def _sums(values: NDArray[np.float64], labels: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """Sum over the last axis by label; shape ``(..., count)``."""
    place = sparse.csr_array((np.ones(len(labels)), (labels, np.arange(len(labels)))), shape=(count, len(labels)))
    flat = values.reshape(-1, len(labels))
    return np.asarray((place @ flat.T).T).reshape(*values.shape[:-1], count)
