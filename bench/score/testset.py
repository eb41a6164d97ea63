"""Who or what the utterances of a test set come from, and how it is said what they tell of a WER."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.score.precision import FEW_CLUSTERS, TARGET, Precision


@dataclass(frozen=True, eq=False)
class Clusters:
    """Which utterances go together: those of a speaker where every speaker is named, those of a recording otherwise.

    Attributes:
        numbers: Number of each utterance's cluster, from 0 without gaps, shape ``(utterances,)``.
        by_speaker: Whether these are speakers.
    """

    numbers: NDArray[np.int64]
    by_speaker: bool

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.numbers.max(initial=-1)) + 1

    @property
    def noun(self) -> str:
        """What they are called, in the number that there are."""
        return f"{'speaker' if self.by_speaker else 'recording'}{'' if self.count == 1 else 's'}"

    @property
    def origin(self) -> str:
        """Where the utterances come from: "by 5 speakers"."""
        return f"{self.preposition} {self.count:,} {self.noun}"

    @property
    def preposition(self) -> str:
        """How utterances belong to them."""
        return "by" if self.by_speaker else "from"


def clusters_of(speakers: Sequence[str | None], recordings: Sequence[str]) -> Clusters:
    """Group utterances by the speaker of each, and by the recording unless every speaker is named."""
    by_speaker = all(speakers)
    numbers: dict[str | None, int] = {}
    labels = speakers if by_speaker else recordings
    found = [numbers.setdefault(label, len(numbers)) for label in labels]
    return Clusters(np.array(found, dtype=np.int64), by_speaker)


def scope(precision: Precision, clusters: Clusters) -> str:
    """Say whom an interval holds for where that is not everybody: " for these 3 speakers alone"."""
    if precision.by_cluster:
        return ""
    these = "this" if clusters.count == 1 else f"these {clusters.count}"
    return f" for {these} {clusters.noun} alone"


def growth(precision: Precision, clusters: Clusters) -> str | None:
    """Say how many utterances a point takes, as a sentence without its stop; null where there are enough.

    Args:
        precision: What the utterances there are tell.
        clusters: Where they come from.
    """
    utterances = len(clusters.numbers)
    needed = precision.needed(utterances)
    if precision.half_width <= TARGET or needed <= utterances:
        return None
    more = ""
    if precision.by_cluster and clusters.count < utterances:
        more = f" {clusters.preposition} {precision.needed(clusters.count):,} {clusters.noun}"
    return f"±1 point would take about {needed:,} such utterances{more}"


def doubt(precision: Precision, clusters: Clusters) -> str | None:
    """Say why an interval may still be too narrow, as a sentence without its stop; null where nothing is known."""
    if not precision.by_cluster:
        return None
    if clusters.count < FEW_CLUSTERS:
        return f"fewer than {FEW_CLUSTERS} {clusters.noun} make even that doubtful"
    return None if clusters.by_speaker else "it is wider if some speakers, whom the data do not name, speak often"


def points(rate: float) -> str:
    """Write a difference of error rates in points, with as many decimals as can mean anything."""
    shown = 100 * rate
    return f"{shown:.0f}" if shown >= 9.95 else f"{shown:.1f}" if shown >= 0.95 else f"{shown:.2f}"


def counted(count: int, one: str) -> str:
    """Write a number of things: "1 word", "1,012 words"."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"
