"""How surely the recommended setting's WER is known, by the errors it made, and whether there is data enough."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bench.config import NormalizerName
from bench.metrics import WER
from bench.records import Status
from bench.report.frontier import Recommendation
from bench.report.tables import Block
from bench.score.blocks import block_errors
from bench.score.normalize import Normalizer, normalizer
from bench.score.precision import BLOCK_WORDS, FEWEST_UNITS, Precision, measured
from bench.score.testset import clusters_of, counted, doubt, growth, points, scope

_ERRORS = ["substitutions", "deletions", "insertions"]


@dataclass(frozen=True)
class Certainty:
    """What is said of how surely a WER is known, as sentences; none where there is no WER.

    Attributes:
        told: Its interval and how much data would narrow that to a point, to follow the verdict.
        caveats: What the interval does not tell.
    """

    told: list[str] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)


def certainty(block: Block, recommendation: Recommendation, utterances: pd.DataFrame) -> Certainty:
    """Say how surely the WER of a block's recommended setting is known.

    Args:
        block: The settings.
        recommendation: What is recommended of them.
        utterances: The study's utterances.
    """
    mine = _scored(block, recommendation, utterances)
    if mine.empty:
        return Certainty()
    first = mine.drop_duplicates("utterance_id")
    speakers = [None if pd.isna(speaker) else str(speaker) for speaker in first["speaker"]]
    clusters = clusters_of(speakers, first["path"].tolist())
    found = _measured(mine, dict(zip(first["utterance_id"], clusters.numbers.tolist(), strict=True)), block)
    shown = WER.show(block.row(str(mine["trial_id"].iloc[0]))[WER.column])
    amount = f"{counted(len(first), 'utterance')} {clusters.origin}"
    if found is None:
        few = f"errors in fewer than {FEWEST_UNITS} independent parts of them do not show how much they vary"
        return Certainty([f"The WER of {shown} ({amount}) has no interval: {few}."])
    parts = [
        f"The WER of {shown} ({amount}) has a 95 % interval of about ±{points(found.half_width)} points"
        f"{scope(found, clusters)}",
        growth(found, clusters),
        doubt(found, clusters),
    ]
    told = "; ".join(part for part in parts if part) + "."
    if recommendation.compared < 2:
        return Certainty([told])
    # The difference of two independent WERs has the square root of 2 times the standard error of either.
    apart = points(math.sqrt(2) * found.half_width)
    return Certainty(
        [told],
        [
            f"Two such WERs of different recordings could be told apart from a difference of about {apart} points on;"
            " settings that transcribed the same recordings can be told apart sooner, if they are compared utterance by"
            " utterance, which these intervals do not do.",
            f"Nor do they know that the setting was chosen of {recommendation.compared} by these very numbers, which"
            " makes its WER look better than it is; data kept aside (search.holdout) tell.",
        ],
    )


def _scored(block: Block, recommendation: Recommendation, utterances: pd.DataFrame) -> pd.DataFrame:
    """Choose the utterances that the recommended setting's WER was counted over, in all its runs."""
    if recommendation.picks is None or pd.isna(block.row(recommendation.picks.recommended)[WER.column]):
        return utterances.iloc[:0]
    runs = block.runs
    good = runs[(runs["trial_id"] == recommendation.picks.recommended) & (runs["status"] == Status.ok.value)]
    mine = utterances[utterances["run_id"].isin(good["run_id"])]
    return mine.dropna(subset=["reference_words"])


def _measured(scored: pd.DataFrame, cluster_of: Mapping[str, int], block: Block) -> Precision | None:
    """Count the errors of independent parts, those of several runs over the same part together."""
    is_long = scored["reference_words"] > BLOCK_WORDS
    parts: dict[tuple[str, int], list[float]] = {}
    short = scored.loc[~is_long, ["utterance_id", *_ERRORS, "reference_words"]].groupby("utterance_id").sum()
    for name, counts in zip(short.index, short.to_numpy(dtype=float), strict=True):
        parts[name, 0] = [counts[:-1].sum(), counts[-1]]
    normalize = normalizer(NormalizerName(str(block.factors["score.normalizer"])))
    for _, row in scored[is_long].iterrows():
        for number, (errors, words) in enumerate(_block_counts(row, normalize)):
            part = parts.setdefault((row["utterance_id"], number), [0.0, 0.0])
            part[0] += errors
            part[1] += words
    counts = np.array(list(parts.values()), dtype=np.float64).reshape(-1, 2)
    clusters = np.array([cluster_of[utterance] for utterance, _ in parts], dtype=np.int64)
    return measured(counts[:, 0], counts[:, 1], clusters)


def _block_counts(row: "pd.Series[Any]", normalize: Normalizer) -> list[tuple[float, float]]:
    """Count the errors and the words of each block of a long utterance."""
    words = int(row["reference_words"])
    reference, hypothesis = (normalize(str(row[text])).split() for text in ("reference", "hypothesis"))
    if len(reference) != words:  # scored by another version of the normaliser
        return [(float(row[_ERRORS].sum()), words)]
    errors = block_errors(reference, hypothesis, BLOCK_WORDS)
    starts = range(0, words, BLOCK_WORDS)
    return [(float(one), min(BLOCK_WORDS, words - start)) for one, start in zip(errors, starts, strict=True)]
