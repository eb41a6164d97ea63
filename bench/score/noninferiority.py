"""Whether a setting makes at most so many more word errors than another: a bound, not the absence of significance.

Two settings transcribed the same utterances. Let ``D`` be how many errors more the second made in ``W`` words, and
``V`` the variance of that sum over units that are taken as independent (:mod:`bench.score.interval`). The usual bound
``D + c * sqrt(V)``, with ``c`` the one-sided quantile of Student's distribution, fails where little has happened: if no
utterance differs, it is 0, however few there are. But errors not seen yet would vary as well, each by one at least. The
bound is therefore the sum ``D + u`` that is so large that the one observed would only just pass for chance::

    u^2 = c^2 * (V + u),   so   u = c^2 / 2 + c * sqrt(V + c^2 / 4)

Of errors that come one by one (``V = D``) that is the score interval of Poisson's distribution; where nothing differs,
``u`` is ``c^2``, 2.7 errors for many units, near the 3 of the exact "rule of three" (Hanley and Lippman-Hand, J.
American Medical Association 249, 1983).

``tests/score/test_noninferiority.py`` simulates settings that are worse by exactly the margin, and counts how often the
margin is said to be kept: within chance no more often than :data:`LEVEL`, for 5 to 200 units, WERs of 1 to 10 % and
errors correlated by up to 0.1 within a unit, where the usual bound is wrong in up to 28 %. What no bound of this kind
sees is harm that is rare and large, such as one transcript in 300 that comes out empty.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from bench.score.interval import standard_error
from bench.score.precision import freedom_of

LEVEL = 0.05
"""Probability with which a setting that is worse by the margin may be passed."""

POWER = 0.8
"""Probability of showing what holds, by which the data needed is reckoned."""

_PASSES = NormalDist().inv_cdf(1 - LEVEL)
_POWER = NormalDist().inv_cdf(POWER)


@dataclass(frozen=True)
class Excess:
    """Errors that one setting makes in excess of another's, a word.

    Attributes:
        value: What was observed.
        low: Lower end of an interval of 95 % that has no upper end.
        high: Upper end of one that has no lower end.
        words: Reference words.
        variance: Of the excess errors, their sum.
    """

    value: float
    low: float
    high: float
    words: float
    variance: float

    def needed(self, margin: float) -> float | None:
        """How many times as much data would show, with a probability of 80 %, that a margin is kept.

        The usual reckoning (Julious, Statistics in Medicine 23, 2004), if the excess stays what it is.

        Args:
            margin: Largest excess allowed.

        Returns:
            Null where the excess observed is not below the margin, so that no amount of data would.
        """
        room = (margin - self.value) * self.words
        if room <= 0:
            return None
        spread = (_PASSES + _POWER) * math.sqrt(self.variance)
        # Of n times as much data the room is n times, the spread the root of n times as large, and 2.7 errors remain.
        root = (spread + math.sqrt(spread**2 + 4 * room * _PASSES**2)) / (2 * room)
        return root**2


def excess(before: ArrayLike, after: ArrayLike, words: ArrayLike, factor: float = 1.0) -> Excess:
    """Bound how many errors one setting makes in excess of a multiple of another's.

    Args:
        before: Word errors of each unit under the first setting, shape ``(units,)``, of two units or more.
        after: Those under the second, in the same order.
        words: Reference words of each, not all 0.
        factor: How many times the first setting's errors are allowed for.
    """
    sizes = np.asarray(words, dtype=np.float64)
    more = np.asarray(after, dtype=np.float64) - factor * np.asarray(before, dtype=np.float64)
    total = float(sizes.sum())
    value = float(more.sum()) / total
    variance = (standard_error(more, sizes) * total) ** 2
    quantile = float(special.stdtrit(freedom_of(sizes), 1 - LEVEL))
    reach = (quantile**2 / 2 + quantile * math.sqrt(variance + quantile**2 / 4)) / total
    return Excess(value, value - reach, value + reach, total, variance)
