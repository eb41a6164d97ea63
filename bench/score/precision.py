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

After a run the variance is measured: that of a ratio of sums, linearised (Cochran, Sampling Techniques, 1977, section
6.3), over units, with Student's quantile for as many units less one (Cameron and Miller, "A Practitioner's Guide to
Cluster-Robust Inference", J. Human Resources 50, 2015, section VI). In simulations of the model above at a WER of 5 and
20 % the interval covered the true WER in 89 to 93 % of cases with 5 to 10 speakers and 94 to 95 % with 40, where one
that takes utterances as independent covered it in 65 to 73 %.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

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

_NORMAL = NormalDist().inv_cdf(0.5 + LEVEL / 2)


@dataclass(frozen=True)
class Precision:
    """How surely a WER is known, or would be.

    Attributes:
        wer: The WER.
        standard_error: Its standard error, likewise as a fraction.
        units: How many units were taken as independent.
        by_cluster: Whether these are whole speakers or recordings, so that the interval holds beyond them.
    """

    wer: float
    standard_error: float
    units: int
    by_cluster: bool

    @property
    def half_width(self) -> float:
        """Half the width of the interval."""
        return student_quantile(self.units - 1) * self.standard_error

    def needed(self, count: int) -> int:
        """How many would tell the WER to within :data:`TARGET`, rounded up to two significant digits.

        Variance falls with the number of units, and Student's quantile comes to the normal one.

        Args:
            count: How many there are now: utterances, speakers, or anything else that grows with the units.
        """
        return _rounded_up(count * (_NORMAL * self.standard_error / TARGET) ** 2)


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
    sizes = np.bincount(clusters, weights=words)
    count = int(np.count_nonzero(sizes))
    by_cluster = count >= FEWEST_UNITS
    units = count if by_cluster else int(full.sum() + np.count_nonzero(rest))
    if units < FEWEST_UNITS:
        return None
    in_blocks = float((full * BLOCK_WORDS**2 + rest**2).sum())
    effect = 1 + WITHIN_UTTERANCE * (in_blocks / total - 1)
    if by_cluster:
        effect += WITHIN_CLUSTER * (float((sizes**2).sum()) - in_blocks) / total
    return Precision(wer, math.sqrt(word_variance(wer) * effect / total), units, by_cluster)


def measured(errors: NDArray[np.float64], words: NDArray[np.float64], clusters: NDArray[np.int64]) -> Precision | None:
    """Tell how surely a WER is known from errors that were counted.

    Args:
        errors: Substitutions, deletions and insertions of each utterance or block, shape ``(k,)``.
        words: Their reference words, shape ``(k,)``; some may have none.
        clusters: Number of each one's speaker or recording, from 0 without gaps, shape ``(k,)``.

    Returns:
        Null where fewer than :data:`FEWEST_UNITS` units have any errors.
    """
    if len(set(clusters[words > 0].tolist())) >= FEWEST_UNITS:
        sums = [np.bincount(clusters, weights=each).astype(np.float64) for each in (errors, words)]
        return _linearised(*sums, by_cluster=True)
    return _linearised(errors, words, by_cluster=False)


def word_variance(wer: float) -> float:
    """Variance of the errors of a single word at a WER.

    A word is right or wrong, ``p (1 - p)``, up to a WER of 50 %. That falls again beyond, and is negative above 100 %,
    which insertions make possible; but where most words are wrong their number is no less chancy, so it is taken to
    stay as it is.
    """
    share = min(wer, 0.5)
    return share * (1 - share)


def student_quantile(freedom: int) -> float:
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


def _linearised(errors: NDArray[np.float64], words: NDArray[np.float64], *, by_cluster: bool) -> Precision | None:
    units, total = len(errors), float(words.sum())
    if not total or np.count_nonzero(errors) < FEWEST_UNITS:
        return None
    wer = float(errors.sum()) / total
    squares = float(((errors - wer * words) ** 2).sum())
    return Precision(wer, math.sqrt(units / (units - 1) * squares) / total, units, by_cluster)


def _rounded_up(value: float) -> int:
    """Round up to two significant digits."""
    step: int = 10 ** max(0, math.floor(math.log10(max(value, 1.0))) - 1)
    return math.ceil(value / step - 1e-9) * step
