"""Which of several settings cannot be told from the best, by the errors of each in the same units.

The test of two settings exchanges them in each unit with a probability of a half, which flips the sign of the
difference ``d`` of their errors; the statistic is the sum of the differences over the root of the sum of their squares,
which no flip changes. All pairs are flipped by the same draws, unit by unit, so that what they have in common is kept.

Which setting is best is chosen by the same errors. So a setting is called different from the best only where its
statistic exceeds what the *largest of all pairs* reaches in the resamples: a pair of equal settings exceeds that with a
probability of at most the level, whichever pair the data single out. Settings called different are set aside, and the
rest is judged anew by the pairs that are left, until nobody goes: the model confidence set of Hansen, Lunde and Nason
(Econometrica 79, 2011), with their range statistic, their elimination by the difference from the best, and, for the
bootstrap, the sign flips of Romano and Wolf's step-down test (Econometrica 73, 2005), which are exact for a pair whose
settings are equal in every unit, however few units there are. A setting's p-value is the largest up to its step.

Of more settings than :data:`MOST_PAIRED`, those beyond doubt are set aside first without resamples: a sum of flipped
signs exceeds ``x`` times the root of the sum of squares with a probability of at most ``exp(-x^2 / 2)`` (Hoeffding, J.
American Statistical Association 58, 1963, theorem 2), which all ordered pairs together do with at most as many times
that. Where too many are left still, that bound is the p-value: more may seem tied then, never fewer.

In 2,000 simulations each, any of 24 equal settings was called different in 3.5 % (30 units), 5.0 % (60) and 4.8 %
(120). One that is 30 % worse than 23 equal ones (13 against 10 %) was called different in 86 % with 30 speakers of some
120 words, and in 99.9 % with 60 (``python -m benchmarks.statistics``).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.05
"""Probability with which, of settings that are all as good as the best, any may be called different."""

RESAMPLES = 10_000
"""Draws of signs: a p-value of 5 % is told to within 0.4 points (twice the standard error)."""

MOST_PAIRED = 400
"""Settings up to which all pairs are resampled: 80,000 pairs take some seconds."""

_AT_ONCE = 2_000_000
"""Signs that are held together: 8 MB."""

# Sums of single precision are compared with those of double.
_ROUNDING = 1e-5


@dataclass(frozen=True, eq=False)
class Tied:
    """Several settings against the best of them.

    Attributes:
        best: Number of the best.
        p_values: p-value of each against the best, corrected for their number; 1 for the best; shape ``(settings,)``.
        tied: Which of them cannot be told from the best, the best among them; likewise.
    """

    best: int
    p_values: NDArray[np.float64]
    tied: NDArray[np.bool_]


def tied_with_best(errors: ArrayLike, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0) -> Tied:
    """Tell which settings cannot be told from the best, the first of those with the fewest errors.

    Args:
        errors: Word errors of each setting in each unit, shape ``(settings, units)``; over the same reference words.
        level: Probability with which any setting as good as the best may be called different.
        resamples: How often signs are drawn.
        seed: Seeds them.
    """
    counts = np.asarray(errors, dtype=np.float64)
    best = int(np.argmin(counts.sum(axis=1)))
    against = _statistics(counts - counts[best])
    p_values, left = np.zeros(len(counts)), np.arange(len(counts))
    while len(left) > MOST_PAIRED:
        bound = np.minimum(1.0, len(left) * (len(left) - 1) * np.exp(-(against[left] ** 2) / 2))
        left, done = _step(p_values, left, bound, level)
        if done:
            break
    else:
        generator = np.random.default_rng(seed)
        sums = flipped_sums(counts[left], resamples, generator)
        done = len(left) < 2
        while not done:
            largest = _largest(sums, counts[left])
            share = (1 + _count_as_large(largest, against[left])) / (resamples + 1)
            kept, before = left, len(left)
            left, done = _step(p_values, left, share, level)
            sums = sums[:, np.isin(kept, left)]
            done = done or len(left) == before
    p_values[best] = 1.0
    tied = np.zeros(len(counts), dtype=bool)
    tied[left] = True
    return Tied(best, p_values, tied)


def fewest_units(settings: int, level: float = LEVEL) -> int:
    """Tell how many units it takes before a difference of one sign and size in every unit is sure to be told.

    All units favour one of two equal settings with a probability of ``2 ** (1 - units)``; the bound is the sum of that
    over all pairs, or, of more than :data:`MOST_PAIRED` settings, Hoeffding's.

    Args:
        settings: How many are compared.
        level: As for :func:`tied_with_best`.
    """
    ordered_pairs = settings * (settings - 1)
    if settings > MOST_PAIRED:
        return math.ceil(2 * math.log(ordered_pairs / level))
    return math.ceil(math.log2(ordered_pairs / level))


def exchange_p_value(differences: ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """Probability of a sum of differences at least as far from 0 if each unit's might as well have the other sign.

    One is added to both counts, so that it is never 0 (Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9, 2010).

    Args:
        differences: Of each unit, shape ``(units,)``.
        resamples: How often signs are drawn.
        seed: Seeds them.
    """
    each = np.asarray(differences, dtype=np.float64)
    drawn = flipped_sums(each[np.newaxis], resamples, np.random.default_rng(seed))[:, 0]
    return float(1 + _count_as_large(np.abs(drawn), np.abs(each.sum()))) / (resamples + 1)


def flipped_sums(values: NDArray[np.float64], resamples: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Sum the values of units, each with a sign drawn for it; every setting with the same signs.

    Args:
        values: Shape ``(settings, units)``.
        resamples: How many sums of each setting.
        generator: Draws the signs.

    Returns:
        Shape ``(resamples, settings)``.
    """
    columns = np.ascontiguousarray(values.T, dtype=np.float32)
    units, whole = len(columns), columns.sum(axis=0)
    size = max(1, min(resamples, _AT_ONCE // max(1, units)))
    parts = []
    for start in range(0, resamples, size):
        count = min(size, resamples - start)
        bits = np.unpackbits(np.frombuffer(generator.bytes(-(-count * units // 8)), np.uint8), count=count * units)
        kept = bits.reshape(count, units).astype(np.float32) @ columns
        parts.append(2 * kept - whole)  # what keeps its sign, less the rest
    return np.concatenate(parts)


def _step(
    p_values: NDArray[np.float64], left: NDArray[np.intp], shares: NDArray[np.float64], level: float
) -> tuple[NDArray[np.intp], bool]:
    """Note the p-values of those left, and set aside whoever is different; returns who stays, and if nobody went."""
    p_values[left] = np.maximum(p_values[left], shares)
    staying = left[p_values[left] > level]
    return staying, len(staying) == len(left)


def _statistics(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over the root of the sum of squares, along the last axis; 0 where nothing differs."""
    sums, norms = differences.sum(axis=-1), np.sqrt((differences**2).sum(axis=-1))
    found: NDArray[np.float64] = np.divide(sums, norms, out=np.zeros_like(sums), where=norms > 0)
    return found


def _largest(sums: NDArray[np.float32], counts: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest statistic of all pairs in each resample, shape ``(resamples,)``."""
    products = counts @ counts.T
    own = np.diag(products)
    squares = own[:, np.newaxis] + own - 2 * products
    # What is left of equal counts, after squares of some thousands have cancelled, is rounding.
    differs = squares > 1e-9 * (own[:, np.newaxis] + own)
    scale = np.where(differs, 1 / np.sqrt(np.where(differs, squares, 1.0)), 0.0).astype(np.float32)
    largest = np.zeros(len(sums), dtype=np.float32)
    for start in range(0, len(sums), 500):  # a part stays in the processor's cache
        part = np.ascontiguousarray(sums[start : start + 500].T)
        for number in range(len(part) - 1):
            apart = np.abs(part[number + 1 :] - part[number]) * scale[number + 1 :, number, np.newaxis]
            np.maximum(largest[start : start + 500], apart.max(axis=0), out=largest[start : start + 500])
    return largest


def _count_as_large(drawn: NDArray[np.float32], found: ArrayLike) -> NDArray[np.intp]:
    """Count the draws that are at least as large as each value found, up to rounding."""
    least = np.asarray(found, dtype=np.float64) * (1 - _ROUNDING)
    return len(drawn) - np.searchsorted(np.sort(drawn).astype(np.float64), least)
