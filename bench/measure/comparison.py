"""Whether one setting takes longer than another, and by how much, from repeated measurements of both.

The unit is a run: passes within one process share its luck (memory layout, neighbours, heat), so that a hundred of them
are no hundred measurements. A few runs are no basis for a normal distribution either, and timings have long tails. Both
the test and the interval therefore go by ranks alone, and exactly: the test of Mann and Whitney (1947), and the
interval of Hodges and Lehmann (1963) that belongs to it, of the ratio, as Kalibera and Jones (2013) advise for
benchmarks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

CONFIDENCE = 0.95
"""Of intervals, and 1 less the level at which two settings are called different."""


@dataclass(frozen=True)
class Comparison:
    """Two samples, one against the other.

    Attributes:
        ratio: Typical ratio of a value of the second to one of the first: the median over all pairs.
        low: Lower end of its interval, of 95 % unless asked otherwise; null where so few values cannot bound it.
        high: Upper end, likewise.
        p_value: Probability of ranks at least as far apart if both came from the same distribution.
        counts: Sizes of the two samples.
    """

    ratio: float
    low: float | None
    high: float | None
    p_value: float
    counts: tuple[int, int]

    @property
    def different(self) -> bool:
        """Whether the two are called different, at the 5 % level."""
        return self.p_value <= 1 - CONFIDENCE + 1e-12

    @property
    def decidable(self) -> bool:
        """Whether so many values could be called different at all; from four of each on they can."""
        return self.low is not None


def compare(first: Sequence[float], second: Sequence[float], confidence: float = CONFIDENCE) -> Comparison:
    """Compare two samples of positive values, taken independently of each other.

    Args:
        first: The baseline, such as seconds a run.
        second: What is compared with it.
        confidence: Of the interval; either end alone is missed with half of what is left of 1.

    Raises:
        ValueError: A sample is empty, or holds a value that is not positive.
    """
    if not first or not second or min(*first, *second) <= 0:
        raise ValueError("two samples of positive values are needed")
    ratios = sorted(b / a for a in first for b in second)
    below = sum((ratio < 1) + 0.5 * (ratio == 1) for ratio in ratios)
    # Of ties half a win is rounded against a difference.
    tail = _at_most(math.ceil(min(below, len(ratios) - below)), len(first), len(second))
    trimmed = _trimmed(len(first), len(second), 1 - confidence)
    return Comparison(
        ratio=_median(ratios),
        low=ratios[trimmed - 1] if trimmed else None,
        high=ratios[-trimmed] if trimmed else None,
        p_value=min(1.0, 2 * tail),
        counts=(len(first), len(second)),
    )


def _trimmed(m: int, n: int, level: float) -> int:
    """How far from either end of the sorted ratios their interval ends lie, from 1; 0 where there is no interval."""
    rank = 0
    while rank < m * n / 2 and 2 * _at_most(rank, m, n) <= level + 1e-12:
        rank += 1
    return rank


def _at_most(statistic: int, m: int, n: int) -> float:
    """Probability that the statistic of Mann and Whitney is at most so much where both samples are alike."""
    return sum(_ways(m, n)[: statistic + 1]) / math.comb(m + n, m)


@lru_cache(maxsize=64)
def _ways(m: int, n: int) -> tuple[int, ...]:
    """Orders of two samples by their statistic, from 0 to ``m * n``: the coefficients of a Gaussian binomial."""
    ways = [1] + [0] * (m * n)
    for factor in range(1, m + 1):
        for power in range(m * n, n + factor - 1, -1):  # times 1 - q^(n + factor)
            ways[power] -= ways[power - n - factor]
        for power in range(factor, m * n + 1):  # over 1 - q^factor
            ways[power] += ways[power - factor]
    return tuple(ways)


def _median(ordered: Sequence[float]) -> float:
    """Median of positive sorted values; of an even number the geometric mean of the two in the middle."""
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else math.sqrt(ordered[middle - 1] * ordered[middle])
