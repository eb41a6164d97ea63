"""How surely the WER of every setting of a block is known, and which settings cannot be told from the best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.config import NormalizerName
from bench.metrics import RTFX, WER
from bench.records import Status
from bench.report.frontier import WITHIN_WER, Recommendation, recommend
from bench.report.parts import Parts, parts_of
from bench.report.tables import Block
from bench.score.interval import Interval, difference, measured
from bench.score.normalize import normalizer
from bench.score.precision import Precision
from bench.score.segments import MatchedPairs, matched_pairs, segment_errors
from bench.score.testset import Clusters, counted
from bench.score.tied import fewest_units, tied_with_best

FEWEST_TESTED = fewest_units(2)
"""Units from which on settings are tested: of fewer, even one that is worse in all of them would be called different
with a probability of more than 5 % by chance."""


@dataclass(frozen=True)
class Against:
    """A setting against the best.

    Attributes:
        difference: Its WER less the best's, with the 95 % interval of this one difference.
        p_value: Corrected for the number of settings, and for the best having been chosen by the same errors.
        tied: Whether it cannot be told from the best.
    """

    difference: Interval
    p_value: float
    tied: bool


@dataclass(frozen=True, eq=False)
class Accuracy:
    """What the errors of a block's settings tell of their WERs.

    Attributes:
        precisions: How surely each WER is known, by ``trial_id``; those without an interval are not in it.
        against: Settings that can be compared, against the best of them, which is among them; none where there are too
            few units to test.
        best: The most accurate setting; null where nothing has a WER.
        parts: The errors themselves; null likewise.
    """

    precisions: Mapping[str, Precision] = field(default_factory=dict)
    against: Mapping[str, Against] = field(default_factory=dict)
    best: str | None = None
    parts: Parts | None = None

    @property
    def tied(self) -> frozenset[str]:
        """The settings that cannot be told from the best, which is one of them."""
        return frozenset(trial for trial, one in self.against.items() if one.tied)

    @property
    def clusters(self) -> Clusters | None:
        """Where the utterances come from; null where nothing has a WER."""
        return self.parts.clusters if self.parts else None

    @property
    def units(self) -> str:
        """What is taken as independent, with its number: "14 blocks of 75 words"."""
        if self.parts is None:
            return ""
        count = int(self.parts.units.max(initial=-1)) + 1
        if self.parts.by_cluster:
            return self.parts.clusters.origin.partition(" ")[2]
        return counted(count, "part") + " of recordings" if self.parts.in_blocks else counted(count, "utterance")

    @property
    def too_few_units(self) -> int | None:
        """How many units it would take to tell so many settings apart, where there are fewer; null otherwise."""
        if self.parts is None or len(self.against) < 2:
            return None
        needed = fewest_units(len(self.against))
        return needed if len(np.unique(self.parts.units)) < needed else None

    def interval(self, trial: str) -> str:
        """Write the interval of a setting's WER: "5.1 to 7.9 %"."""
        found = self.precisions.get(trial)
        if found is None:
            return "\N{EN DASH}"
        low, high = (WER.show(end) for end in found.ends)
        return f"{low.removesuffix(' %')} to {high}"

    def standing(self, trial: str) -> str:
        """Say how a setting stands to the best, for a table."""
        if trial == self.best:
            return "best"
        if (one := self.against.get(trial)) is None:
            return "\N{EN DASH}"
        return "tied" if one.tied else "different"

    def fastest_tied(self, block: Block) -> str | None:
        """Choose the fastest of the settings that cannot be told from the best, and whose WER is near; null for none.

        With little data hardly anything can be told apart; what seems much worse is no pick for that.
        """
        tied = block.table[block.table.index.isin(self.tied)]
        tied = tied[tied[WER.column] <= tied[WER.column].min() + WITHIN_WER]
        if tied.empty:
            return None
        return str(tied.sort_values([RTFX.column, WER.column], ascending=[False, True], kind="stable").index[0])


def accuracies(found: Sequence[Block], utterances: pd.DataFrame) -> dict[str, Accuracy]:
    """Judge the settings of every block; by the block's title.

    Args:
        found: The blocks of a study.
        utterances: Its utterances.
    """
    return {block.title: accuracy(block, recommend(block), utterances) for block in found}


def accuracy(
    block: Block, recommendation: Recommendation, utterances: pd.DataFrame, name: str | None = None
) -> Accuracy:
    """Judge the settings of a block by their errors.

    Args:
        block: The settings.
        recommendation: What is recommended of them: what it excludes has an interval, and is compared with nothing.
        utterances: The study's utterances, or their scores under another normaliser, with ``speaker`` and ``path``.
        name: That normaliser; null takes the block's own.
    """
    good = block.runs.loc[block.runs["status"] == Status.ok.value, "run_id"]
    scored = utterances[utterances["run_id"].isin(good)].dropna(subset=["reference_words"])
    trials = [str(trial) for trial in block.table.index[block.table[WER.column].notna()]]
    scored = scored[scored["trial_id"].isin(trials)]
    if scored.empty or recommendation.picks is None:
        return Accuracy()
    normalize = normalizer(NormalizerName(name or str(block.factors["score.normalizer"])))
    parts = parts_of(trials, scored, normalize)
    precisions = {
        trial: one
        for trial, errors, words in zip(parts.trials, parts.errors, parts.words, strict=True)
        if (one := measured(errors, words, _clusters_of_parts(parts))) is not None
    }
    fit = [trial for trial in parts.trials if trial not in recommendation.excluded]
    if not fit:
        return Accuracy(precisions)
    best = fit[0] if name is None else _lowest(parts, fit)
    return Accuracy(precisions, _against(parts, fit, best), best, parts)


def segments_against(block: Block, found: Accuracy, trial: str, utterances: pd.DataFrame) -> MatchedPairs | None:
    """Test a setting against the best by segments of one run of each (see :mod:`bench.score.segments`).

    Segments are found by the words of recordings where these are cut into blocks too, and are utterances otherwise.

    Args:
        block: The settings.
        found: What their errors tell.
        trial: The setting.
        utterances: The study's utterances.
    """
    if found.parts is None or found.best is None or {trial, found.best} - set(found.parts.trials):
        return None
    if not found.parts.in_blocks:
        ours, theirs = (found.parts.errors[found.parts.trials.index(one)] for one in (trial, found.best))
        runs = [float(block.row(one)["runs_ok"]) for one in (trial, found.best)]
        return matched_pairs(ours / runs[0], theirs / runs[1])
    normalize = normalizer(NormalizerName(str(block.factors["score.normalizer"])))
    texts = [
        utterances[utterances["run_id"] == block.row(one)["typical_run"]]
        .dropna(subset=["reference_words"])
        .set_index("utterance_id")
        for one in (trial, found.best)
    ]
    pairs = [
        segment_errors(*(normalize(str(text)).split() for text in (row["reference"], row["hypothesis"], other)))
        for (_, row), other in zip(texts[0].iterrows(), texts[1]["hypothesis"].reindex(texts[0].index), strict=True)
    ]
    both = np.concatenate([np.zeros((0, 2)), *pairs])
    return matched_pairs(both[:, 0], both[:, 1])


def _clusters_of_parts(parts: Parts) -> NDArray[np.int64]:
    """The unit of each part where units are clusters; one for all otherwise, so that parts are the units."""
    return parts.units if parts.by_cluster else np.zeros(len(parts.units), dtype=np.int64)


def _lowest(parts: Parts, fit: Sequence[str]) -> str:
    rates = parts.errors.sum(axis=1) / parts.words.sum(axis=1)
    return min(fit, key=lambda trial: float(rates[parts.trials.index(trial)]))


def _against(parts: Parts, fit: Sequence[str], best: str) -> dict[str, Against]:
    """Compare settings that scored the same words of every part."""
    at = {trial: number for number, trial in enumerate(parts.trials)}
    words = parts.words[at[best]]
    scales = parts.words.sum(axis=1) / words.sum()
    same = np.isclose(parts.words, scales[:, np.newaxis] * words).all(axis=1) & (scales > 0)
    trials = [best, *(trial for trial in fit if trial != best and same[at[trial]])]
    rows = [at[trial] for trial in trials]
    errors = parts.of_units(parts.errors[rows] / scales[rows, np.newaxis])
    sizes = parts.of_units(words[np.newaxis])[0]
    if np.count_nonzero(sizes) < FEWEST_TESTED:
        return {}
    judged = tied_with_best(errors)
    return {
        trial: Against(difference(errors[number], errors[0], sizes), float(p_value), bool(tied))
        for number, (trial, p_value, tied) in enumerate(zip(trials, judged.p_values, judged.tied, strict=True))
    }
