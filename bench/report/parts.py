"""The word errors of settings in the parts of the data that they share: utterances, or blocks of long ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.score.blocks import block_errors
from bench.score.interval import unit_numbers
from bench.score.normalize import Normalizer
from bench.score.precision import BLOCK_WORDS, has_clusters, in_blocks
from bench.score.testset import Clusters, clusters_of

ERRORS = ["substitutions", "deletions", "insertions"]

MOST_ALIGNED = 60_000
"""Words of long recordings that are aligned anew to find the errors of their blocks: some ten seconds. Settings beyond,
the least accurate, have no interval."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Errors and words of settings in each part, sums over a setting's runs.

    Attributes:
        trials: The settings.
        errors: Word errors, shape ``(settings, parts)``.
        words: Reference words, likewise; a setting that did not score a part has none there.
        units: Number of the unit that each part is of, shape ``(parts,)``: what is taken as independent (see
            :mod:`bench.score.precision`).
        by_cluster: Whether units are whole speakers or recordings.
        in_blocks: Whether long utterances were cut into blocks.
        clusters: Where the utterances come from.
    """

    trials: tuple[str, ...]
    errors: NDArray[np.float64]
    words: NDArray[np.float64]
    units: NDArray[np.int64]
    by_cluster: bool
    in_blocks: bool
    clusters: Clusters

    def of_units(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum values of parts up by unit; shape ``(settings, units)``."""
        sums = np.zeros((int(self.units.max(initial=-1)) + 1, len(values)))
        np.add.at(sums, self.units, values.T)
        return np.ascontiguousarray(sums.T)


def parts_of(trials: Sequence[str], scored: pd.DataFrame, normalize: Normalizer) -> Parts:
    """Find the errors of each setting in each part.

    Args:
        trials: Settings, most accurate first.
        scored: Rows of the utterances table that count: of runs of these settings that ended well, with a reference.
        normalize: What they were scored under; only used where there are blocks to find.
    """
    first = scored.drop_duplicates("utterance_id")
    speakers = [None if pd.isna(speaker) else str(speaker) for speaker in first["speaker"]]
    clusters = clusters_of(speakers, first["path"].tolist())
    sizes = first["reference_words"].to_numpy(dtype=np.float64)
    cut = in_blocks(sizes, clusters.numbers)
    counts = np.maximum(1, np.ceil(sizes / BLOCK_WORDS)).astype(np.int64) if cut else np.ones(len(sizes), np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)])
    is_long = scored["utterance_id"].isin(first["utterance_id"][counts > 1])
    kept = _affordable(trials, scored[is_long])
    rows = scored[scored["trial_id"].isin(kept)]
    at = pd.Index(kept).get_indexer(pd.Index(rows["trial_id"]))
    utterance = pd.Index(first["utterance_id"]).get_indexer(pd.Index(rows["utterance_id"]))
    errors, words = np.zeros((2, len(kept), int(starts[-1])))
    short = ~is_long.loc[rows.index].to_numpy()
    places = (at[short], starts[utterance[short]])
    np.add.at(errors, places, rows[ERRORS].sum(axis=1).to_numpy(dtype=np.float64)[short])
    np.add.at(words, places, rows["reference_words"].to_numpy(dtype=np.float64)[short])
    long = rows[~short].to_dict("records")
    for row, trial, number in zip(long, at[~short], utterance[~short], strict=True):
        found = block_counts(row, normalize)[: counts[number]]
        span = slice(starts[number], starts[number] + len(found))
        errors[trial, span] += found[:, 0]
        words[trial, span] += found[:, 1]
    members = np.repeat(clusters.numbers, counts)
    most = words.max(axis=0, initial=0.0)
    units = unit_numbers(most, members)
    return Parts(tuple(kept), errors, words, units, has_clusters(most, members), bool((counts > 1).any()), clusters)


def block_counts(row: Mapping[Any, Any], normalize: Normalizer) -> NDArray[np.float64]:
    """Count the errors and the words of each block of a long utterance, shape ``(blocks, 2)``.

    An utterance that was scored by another version of the normaliser is one block.
    """
    words = int(row["reference_words"])
    reference, hypothesis = (normalize(str(row[text])).split() for text in ("reference", "hypothesis"))
    if len(reference) != words:
        return np.array([[sum(row[name] for name in ERRORS), words]], dtype=np.float64)
    errors = block_errors(reference, hypothesis, BLOCK_WORDS)
    sizes = [min(BLOCK_WORDS, words - start) for start in range(0, max(1, words), BLOCK_WORDS)]
    return np.stack([errors, sizes], axis=1).astype(np.float64)


def _affordable(trials: Sequence[str], long: pd.DataFrame) -> list[str]:
    """Take settings, the first ones first, until aligning their long utterances would take too long."""
    words = long.groupby("trial_id")["reference_words"].sum().reindex(list(trials), fill_value=0).cumsum()
    return [str(trial) for trial, total in words.items() if total <= MOST_ALIGNED] or [str(one) for one in trials[:1]]
