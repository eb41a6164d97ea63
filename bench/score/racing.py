"""Whether a trial is worse than the incumbent beyond doubt, judged while only part of its units are done.

A unit is an utterance, or a block of a long recording (:mod:`bench.score.blocks`); its value is what of it is better
the less there is: word errors, or the seconds of a stage. The incumbent is done, so its values are known for all units;
the trial's are known for the first ones, and no value is negative. The hypothesis to be refuted is that over all units
the trial comes to no more than the incumbent.

The test bets against it (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", J. R.
Stat. Soc. B 86, 2024, section 5, drawing without replacement). If the units come in random order and the hypothesis
holds, the next value is on average at most what the hypothesis leaves the trial, spread over the units left. Each unit
multiplies a wealth, 1 at first, by ``1 + stake * (value - control - that average)``, where stakes are such that no
value can make it negative. Under the hypothesis the wealth can be expected never to grow, so that by Ville's inequality
it ever reaches ``1 / level`` with a probability of at most the level: one may look after every unit, and stop at will.

Where only an improvement by a margin is worth a run, the hypothesis is that the trial comes to no more than the
incumbent's sum less that share of it; all of the above holds with the incumbent's values made smaller by that share.
Races that may end with something as good as the best, up to a margin, were proposed by Maron and Moore ("The racing
algorithm: model selection for lazy learners", Artificial Intelligence Review 11, 1997, section 3.2).

The control is what pairs the two: the incumbent's value in the same unit, less the average of those left, takes out
that units differ in difficulty. Values above a cap count as the cap; otherwise one unit that went badly wrong would
bound all stakes. No cap and no stake is best for all data: an average over several bets is a bet as well.

The guarantee is exact over the random order of the units. For the blocks of one recording in their order of time it
supposes that differences come in no particular order; errors that come in bursts belie it, the more so the more blocks
a burst spans (bursts of five, independent in the two, raised false stops from 1 % to 22 % at a level of 5 %), so blocks
must be long. Only that a trial has used up more than it may in all units needs no such supposition.
"""

import math

import numpy as np
from numpy.typing import NDArray

CAPS = (0.0, 0.75, 0.95)
"""Caps on the incumbent's values, as quantiles of them; the first leaves the trial all but unpaired."""

STAKES = (0.2, 0.5, 0.8)
"""Stakes, as shares of the largest allowed; chosen with the caps for power in simulations of 60 to 2,000 units."""


def evidence(trial: NDArray[np.float64], incumbent: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weigh how surely the trial comes to more than the incumbent, after each unit.

    Leading axes hold independent comparisons and broadcast.

    Args:
        trial: The trial's values in the first ``k`` units, shape ``(..., k)``; errors or seconds, none negative.
        incumbent: The incumbent's values in all units, in the same order, shape ``(..., units)``.

    Returns:
        Natural logarithm of the wealth, shape ``(..., k)``; infinite where the hypothesis has become impossible, the
        trial having used up more than it allows for all units.
    """
    done, units = trial.shape[-1], incumbent.shape[-1]
    spent = np.cumsum(trial, axis=-1)
    allowed = np.cumsum(incumbent, axis=-1)[..., -1:]
    unseen = units - np.arange(done)
    average = (allowed - spent + trial) / unseen
    wealth = []
    for cap in np.quantile(incumbent, CAPS, axis=-1, keepdims=True):
        control = np.minimum(incumbent, cap)
        backwards = control[..., ::-1]
        left = np.cumsum(backwards, axis=-1)[..., ::-1][..., :done] / unseen
        largest = np.maximum.accumulate(backwards, axis=-1)[..., ::-1][..., :done]
        # The least that a unit can be above the average that the hypothesis allows: no errors, where the control is
        # largest. At 0 nothing can be won but by refuting the hypothesis outright.
        risk = average + largest - left
        excess = trial - average - control[..., :done] + left
        won = np.divide(excess, risk, out=np.zeros_like(excess), where=risk > 0)
        wealth += [np.cumsum(np.log1p(stake * np.maximum(won, -1.0)), axis=-1) for stake in STAKES]
    bets = np.logaddexp.reduce(wealth, axis=0) - math.log(len(wealth))
    return np.where(spent > allowed, np.inf, bets)


def beyond_doubt(trial: NDArray[np.float64], incumbent: NDArray[np.float64], level: float, margin: float = 0.0) -> bool:
    """Whether the trial is worse, or not better by a margin, and may be stopped.

    Args:
        trial: The trial's values in the first units, shape ``(k,)``.
        incumbent: The incumbent's values in all units, shape ``(units,)``.
        level: Largest probability with which a trial that deserves to go on is ever stopped, over all looks together.
        margin: By what share of the incumbent's sum a trial's must be smaller to deserve to go on.
    """
    return bool(np.max(evidence(trial, incumbent * (1 - margin)), initial=0.0) >= -math.log(level))
