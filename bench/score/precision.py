"""How surely a number of words tells a word error rate: its 95 % interval, before a run and after it.

Errors do not fall word by word. They come in bursts, and some speakers are harder than others, so a thousand words tell
less than a thousand independent tosses would. The *units* that are taken as independent of each other are speakers (or
recordings, where not every speaker is named), if there are at least :data:`FEWEST_UNITS`: the interval then holds for
speech of that kind by anybody. Fewer cannot show how far speakers differ; then the units are utterances, or blocks of
:data:`BLOCK_WORDS` of a longer one, and the interval holds for those speakers alone.

Before a run the variance is modelled. A WER of ``p`` over ``N`` words has the variance ``v(p) / N`` times a design
effect (Kish, Survey Sampling, 1965, section 5.4; here for two levels and unequal sizes)::

    1 + within_utterance * (sum of b^2 / N - 1) + within_cluster * (sum of c^2 - sum of b^2) / N

over blocks of ``b`` words and clusters of ``c`` words, where the two factors are the correlation of the errors of two
words in one block, and of two in one cluster but not one block. :data:`WITHIN_UTTERANCE` and :data:`WITHIN_CLUSTER` are
from few data and differ between models and kinds of speech, so that a foretold width may well be a third off, and one
that rests on few speakers by a factor of two. The model leaves out loops, whose insertions know no bound (one loop can
outweigh a corpus), utterances that share a text, and an uneven choice of speech, which no number of words mends.

After a run the interval is measured, in :mod:`bench.score.interval`, over the same units.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
"""Share of intervals that are to hold the true WER."""

TARGET = 0.01
"""Half-width that is taken as good enough: a point of WER."""

BLOCK_WORDS = 75
"""Reference words of a block: 30 s of speech at 150 words a minute, as much as Whisper sees at once. What goes wrong in
a window rarely reaches beyond the next."""

WITHIN_UTTERANCE = 0.1
"""Correlation of the errors of two words in one utterance or block.

By the method of moments, from the errors of whisper-tiny.en and whisper-base: 0.10 (bootstrap over utterances, 95 %:
0.05 to 0.15) and 0.04 (0.01 to 0.07) on 50 utterances of LibriSpeech test-other with 877 words; 0.10 and 0.09 on 4
minutes of LJ Speech (8 blocks, 0 to 0.14); 0.16 and 0.13 on the demo's recordings (14 blocks, 0.02 to 0.23)."""

WITHIN_CLUSTER = 0.04
"""Correlation of the errors of two words by one speaker, in different utterances or blocks.

Likewise, from the 5 speakers of those 50 utterances: 0.036 and 0.032. Five speakers tell their variance, and so this,
to within a factor of 0.4 to 8 (95 %, chi-squared with 4 degrees of freedom); it is rounded up."""

FEWEST_UNITS = 5
"""Units, and units with errors, from which on an interval is told. With fewer speakers Student's quantile makes it
useless (4.3 standard errors for 3, 12.7 for 2); with errors in fewer units, chance may hide how much they vary."""

FEW_CLUSTERS = 10
"""Speakers or recordings below which the interval, though wide, is likely to be too narrow still."""

MANY_UTTERANCES = 30
"""Utterances from which on none is cut into blocks: larger units are the safer ones, and these are enough of them."""

_NORMAL = NormalDist().inv_cdf(0.5 + LEVEL / 2)


@dataclass(frozen=True)
class Precision:
    """How surely a WER is known, or would be.

    Attributes:
        wer: The WER.
        standard_error: Its standard error, likewise as a fraction.
        units: How many units were taken as independent.
        by_cluster: Whether these are whole speakers or recordings, so that the interval holds beyond them.
        freedom: Degrees of freedom of the standard error (see :func:`freedom_of`).
    """

    wer: float
    standard_error: float
    units: int
    by_cluster: bool
    freedom: float

    @property
    def half_width(self) -> float:
        """Half the width of an interval that reaches as far to both sides."""
        return student_quantile(self.freedom) * self.standard_error

    @property
    def ends(self) -> tuple[float, float]:
        """Ends of the interval, which is symmetric on a logarithmic scale: a WER knows no end above, but is never 0."""
        ratio = math.exp(self.half_width / self.wer)
        return self.wer / ratio, self.wer * ratio

    def needed(self, count: int) -> int:
        """How many would tell the WER to within :data:`TARGET`, rounded up to two significant digits.

        Variance falls with the number of units, and Student's quantile comes to the normal one.

        Args:
            count: How many there are now: utterances, speakers, or anything else that grows with the units.
        """
        return rounded_up(count * (_NORMAL * self.standard_error / TARGET) ** 2)


def expected(words: NDArray[np.int64], clusters: NDArray[np.int64], wer: float) -> Precision | None:
    """Foretell how surely utterances will tell a WER.

    Args:
        words: Reference words of each utterance, shape ``(utterances,)``.
        clusters: Number of each one's speaker or recording, from 0 without gaps, shape ``(utterances,)``.
        wer: What the WER is taken to be, above 0.

    Returns:
        Null where there are fewer than :data:`FEWEST_UNITS` of any kind.
    """
    total = int(words.sum())
    full, rest = np.divmod(words, BLOCK_WORDS)
    by_cluster = has_clusters(words, clusters)
    blocks = np.concatenate([np.full(int(full.sum()), BLOCK_WORDS), rest[rest > 0]])
    cut = blocks if in_blocks(words, clusters) else words[words > 0]
    sizes = np.bincount(clusters, weights=words)
    units = sizes[sizes > 0] if by_cluster else cut
    if len(units) < FEWEST_UNITS:
        return None
    squares = float((blocks**2).sum())
    effect = 1 + WITHIN_UTTERANCE * (squares / total - 1)
    if by_cluster:
        effect += WITHIN_CLUSTER * (float((sizes**2).sum()) - squares) / total
    return Precision(wer, math.sqrt(word_variance(wer) * effect / total), len(units), by_cluster, freedom_of(units))


def has_clusters(words: NDArray[Any], clusters: NDArray[np.int64]) -> bool:
    """Whether whole speakers or recordings are the units: at least :data:`FEWEST_UNITS` of them have words."""
    return len(np.unique(clusters[words > 0])) >= FEWEST_UNITS


def in_blocks(words: NDArray[Any], clusters: NDArray[np.int64]) -> bool:
    """Whether long utterances are cut into blocks: only where neither clusters nor utterances are units enough."""
    return not has_clusters(words, clusters) and int(np.count_nonzero(words)) < MANY_UTTERANCES


def freedom_of(words: NDArray[Any]) -> float:
    """Degrees of freedom of a variance measured over units of these words: the effective number of units, less one.

    Units of unequal size tell less of their variance than as many equal ones; as many as ``W^2 / sum of w^2`` (Kish,
    1965, section 8.2; Carter, Schnepel and Steigerwald, Review of Economics and Statistics 99, 2017). No fewer than
    :data:`FEWEST_UNITS` are counted: below, the quantile grows beyond all use.
    """
    sizes = np.asarray(words, dtype=np.float64)
    return float(max(sizes.sum() ** 2 / (sizes**2).sum(), FEWEST_UNITS)) - 1


def word_variance(wer: float) -> float:
    """Variance of the errors of a single word at a WER.

    A word is right or wrong, ``p (1 - p)``, up to a WER of 50 %. That falls again beyond, and is negative above 100 %,
    which insertions make possible; but where most words are wrong their number is no less chancy, so it is taken to
    stay as it is.
    """
    share = min(wer, 0.5)
    return share * (1 - share)


def student_quantile(freedom: float) -> float:
    """How many standard errors the interval reaches to each side.

    The expansion of Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5: exact to 1 in 2,000 from 4
    degrees of freedom on, as many as there are at least. To import SciPy for it would hold up the start of a study.

    Args:
        freedom: Degrees of freedom, at least 4.
    """
    z = _NORMAL
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, 1))


def rounded_up(value: float) -> int:
    """Round up to two significant digits."""
    step: int = 10 ** max(0, math.floor(math.log10(max(value, 1.0))) - 1)
    return math.ceil(value / step - 1e-9) * step
