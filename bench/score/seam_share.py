"""How many of the errors there are because of seams, where neighbouring windows are joined.

**What is estimated.** Errors happen near seams in any case, since words do. Call a place *near* if it is within ``n``
seconds of a seam. Suppose that of ``T`` errors some, ``E``, are at seams because of them, and that the others are as
likely to be at one word of their recording as at another: near with the probability ``p``, the share of the recording's
words that are. Then ``E + p (T - E)`` of them are near on average, so that from the ``X`` that are::

    E / T  is estimated by  sum of (x - p) / sum of (1 - p)         (sums over errors; x: 1 for one that is near, or 0)

For one recording that is the same as taking the error rate away from seams for what it would be near them, and calling
what goes beyond it the seams'. Each error is held against its own recording, so that neither speakers who are harder
than others nor recordings with more seams are taken for an effect of seams. The share may come out below 0 by chance.

**Lost words.** When a word was said that nobody heard is not known, only that it was between those heard before and
after it. It counts as near if any of that gap is: the text of ten seconds that a seam swallowed is all the seam's.
Longer gaps meet seams more often by chance. So for an error that lies within ``h`` seconds of some instant, ``x`` says
whether that instant is within ``n + h`` of a seam, and ``p`` is the share of words that are within ``n + h``, of those
that lie at least ``h`` away from the ends; where that is all of them, the error tells nothing, and both terms are 0.

**How surely.** Errors come in bursts, so that blocks of :data:`bench.score.precision.BLOCK_WORDS` words of a recording
are taken as independent, not errors. The share is a ratio of their sums and has the interval of such a ratio:
Student's, with the jackknife's standard error (:mod:`bench.score.interval`). Percentiles of a bootstrap over the same
blocks were tried, and are too narrow where blocks are few: with 8 of them they held the true share in 87 % of 500
simulations, where Student's interval held it in 92 % or more. Where errors know nothing of seams, one by one or in
bursts of lost words, it held 0 in 94 to 97 % of 500 simulations (``tests/score/test_seam_share.py``). It holds for
these recordings and others like them by these speakers: how much seams matter may differ between speakers, which no
number of blocks tells.

**What it says of a real model.** In the preset ``demo_ctc`` (a CTC model, 610 words) the share told by one trial alone
is what a stride in fact mended: with windows of 2 s, 31 % (14 to 48 %) without a stride, where a stride of 0.25 s took
away 122 of 322 errors, 38 %; with windows of 20 s, 6 % (-1 to 14 %), where it took away 13 of 197, 7 %.

**Limits.** A share near seams is no proof of a cause: where windows are cut at silences, sentences begin at seams. What
a seam does farther than ``n`` away is not counted, and makes the share too low, as it raises what is taken for usual.
Times of words are the model's own; the words it heard wrongly, or too late, may be placed off by some tenths of a
second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bench.score.interval import Interval, rate, standard_error
from bench.score.locations import Located
from bench.score.precision import BLOCK_WORDS, FEWEST_UNITS, freedom_of, student_quantile

NEAR_S = 1.0
"""How far from a seam its effect is looked for. CTC models and Whisper mishear the words that a window cuts, and those
beside them: two or three words at the usual 150 a minute."""

_EDGES_S = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0)
_LEAST_WORDS = 30
"""Words of a ring: fewer tell no rate."""

LEAST_NEAR_S = 0.25
"""Half the length of a usual word. Where half of all words lie nearer to a seam, no place is away from any."""


@dataclass(frozen=True)
class SeamShare:
    """The share of errors that there are because of seams.

    Attributes:
        share: Errors near seams beyond those that would be there anyway, as a share of all errors.
        low: Lower end of its interval, of a confidence of 95 %.
        high: Upper end.
        near_s: What counts as near, in seconds.
        errors: Number of errors.
        near: How many of them are near, a lost word if it may be.
        by_chance: How many of them would be near on average if seams did nothing.
        blocks: Blocks of words that were taken as independent.
    """

    share: float
    low: float
    high: float
    near_s: float
    errors: int
    near: int
    by_chance: float
    blocks: int


def near_s(recordings: Sequence[Located]) -> float | None:
    """Choose what counts as near: :data:`NEAR_S`, or less so that half of the words are not.

    Returns:
        Seconds; null where that would be less than :data:`LEAST_NEAR_S`, or there are no words.
    """
    found = np.concatenate([np.empty(0), *(each.word_seam_s for each in recordings)])
    if not len(found):
        return None
    chosen = min(NEAR_S, float(np.median(found)))
    return chosen if chosen >= LEAST_NEAR_S else None


def seam_share(recordings: Sequence[Located], near: float) -> SeamShare | None:
    """Estimate the share of errors that there are because of seams.

    Args:
        recordings: Words and errors of each recording that has seams; those without words tell nothing.
        near: What counts as near a seam, in seconds.

    Returns:
        Null where errors in fewer than :data:`bench.score.precision.FEWEST_UNITS` blocks do not show how much they
        vary, or where nearly all of them may be near a seam wherever they are.
    """
    judged = [(each, _judged(each, near)) for each in recordings if len(each.word_s)]
    blocks = np.concatenate([np.empty((0, 2)), *(_block_sums(each, *found) for each, found in judged)])
    excess, room = (float(each) for each in blocks.sum(axis=0))
    if np.count_nonzero(blocks[:, 1]) < FEWEST_UNITS:
        return None
    share, units = excess / room, len(blocks)
    reach = student_quantile(freedom_of(blocks[:, 1])) * standard_error(blocks[:, 0], blocks[:, 1])
    return SeamShare(
        share=share,
        low=share - reach,
        high=min(1.0, share + reach),
        near_s=near,
        errors=sum(len(hits) for _, (hits, _) in judged),
        near=sum(int(hits.sum()) for _, (hits, _) in judged),
        by_chance=sum(float(chances.sum()) for _, (_, chances) in judged),
        blocks=units,
    )


def _judged(recording: Located, near: float) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Tell which errors are near a seam, and how likely each would be if seams did nothing."""
    reaches, which = np.unique(recording.error_reach_s, return_inverse=True)
    chances = np.array([_chance(recording, near, reach) for reach in reaches], dtype=np.float64)
    return recording.error_seam_s <= near + recording.error_reach_s, chances[which]


def _chance(recording: Located, near: float, reach: float) -> float:
    """Share of words at which what reaches so far would meet a seam, of those where the recording has room for it."""
    fits = (recording.word_s >= reach) & (recording.word_s <= recording.audio_s - reach)
    return float((recording.word_seam_s[fits] <= near + reach).mean()) if fits.any() else 1.0


def _block_sums(recording: Located, near: NDArray[np.bool_], chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum what the errors of each block go beyond chance, and how far they could at most, shape ``(blocks, 2)``."""
    blocks = recording.error_word // BLOCK_WORDS
    count = -(-len(recording.word_s) // BLOCK_WORDS)
    sums = [np.bincount(blocks, weights=each, minlength=count) for each in (near - chances, 1 - chances)]
    return np.stack(sums, axis=1)


@dataclass(frozen=True)
class Ring:
    """The words that lie so far from a seam, and their errors.

    Attributes:
        start_s: Nearest distance.
        stop_s: Farthest distance of any word.
        words: Number of reference words.
        rate: Word errors a reference word; an insertion counts where the word before it is.
    """

    start_s: float
    stop_s: float
    words: int
    rate: Interval


def rings(recordings: Sequence[Located]) -> list[Ring]:
    """Tell the error rate by distance to the nearest seam.

    Args:
        recordings: Words and errors of each recording that has seams; those without words tell nothing.

    Returns:
        Rings from the seams outwards, narrow where they are near; wider where such a one would have too few words.
    """
    known = [each for each in recordings if len(each.word_s)]
    nothing = np.empty(0)
    words_s = np.concatenate([nothing, *(each.word_seam_s for each in known)])
    errors_s = np.concatenate([nothing, *(each.word_seam_s[each.error_word] for each in known)])
    # A block of one recording is none of another.
    firsts = np.cumsum([0, *(-(-len(each.word_s) // BLOCK_WORDS) for each in known)])
    numbered = list(zip(firsts[:-1], known, strict=True))
    of_words = np.concatenate(
        [nothing, *(first + np.arange(len(each.word_s)) // BLOCK_WORDS for first, each in numbered)]
    )
    of_errors = np.concatenate([nothing, *(first + each.error_word // BLOCK_WORDS for first, each in numbered)])
    found = []
    for start_s, stop_s in pairwise(_edges(words_s)):
        mine, wrong = (words_s >= start_s) & (words_s < stop_s), (errors_s >= start_s) & (errors_s < stop_s)
        blocks, sizes = np.unique(of_words[mine], return_counts=True)
        counts = np.bincount(np.searchsorted(blocks, of_errors[wrong]), minlength=len(blocks))
        found.append(Ring(start_s, float(words_s[mine].max()), int(mine.sum()), rate(counts, sizes)))
    return found


def _edges(words_s: NDArray[np.float64]) -> list[float]:
    """Choose the borders of rings so that each has enough words."""
    chosen = [0.0]
    for edge in _EDGES_S:
        enough = np.count_nonzero((words_s >= chosen[-1]) & (words_s < edge)) >= _LEAST_WORDS
        if enough and np.count_nonzero(words_s >= edge) >= _LEAST_WORDS:
            chosen.append(edge)
    return [*chosen, np.inf] if len(words_s) else []
