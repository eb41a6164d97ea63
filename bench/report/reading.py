"""What runs heard, aligned word by word with what was said, with the time of every word that has one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from bench.config import NormalizerName
from bench.report.labels import plain
from bench.report.tables import Block
from bench.score.alignment import Step, align, counts
from bench.score.locations import Located, Span, locate
from bench.score.normalize import Normalizer, normalizer
from bench.score.origins import origins

_COUNTS = ("substitutions", "deletions", "insertions", "hits")


@dataclass(frozen=True, eq=False)
class Reading:
    """What one run heard of one utterance.

    Attributes:
        utterance_id: Which utterance.
        said: Words of the reference, normalised.
        heard: Words of the hypothesis, likewise.
        steps: How they go together.
        times_s: When each word of the hypothesis was said, from the utterance's start; null where that is unknown.
        audio_s: Length of the utterance.
        seams_s: Where its windows are joined; none where nobody recorded it.
    """

    utterance_id: str
    said: list[str]
    heard: list[str]
    steps: list[Step]
    times_s: list[Span | None]
    audio_s: float
    seams_s: list[float]

    @property
    def located(self) -> Located | None:
        """Its words and errors by their distance to a seam; null without times, or without seams."""
        if not self.seams_s or not any(self.times_s):
            return None
        return locate(self.steps, self.times_s, self.audio_s, self.seams_s)


class Reader:
    """Reads the utterances of a block's runs, normalised as they were scored; each word is normalised once."""

    def __init__(self, block: Block) -> None:
        normalize = normalizer(NormalizerName(str(block.factors["score.normalizer"])))
        self._reference: Callable[[str], list[str]] = cache(lambda text: normalize(text).split())
        self._normalize = normalize
        self._word: Normalizer = cache(normalize)

    def read(self, rows: pd.DataFrame) -> Iterator[Reading]:
        """Read utterances.

        Args:
            rows: Rows of the utterances table. Those without a text are passed over, as are those whose texts, aligned
                now, give other counts than the run recorded: another version of the normaliser scored them.
        """
        for row in rows[rows["hypothesis"].notna() & rows["reference"].notna()].to_dict("records"):
            reading = self._reading({str(name): value for name, value in row.items()})
            found = counts(reading.steps)
            if all(plain(row[name]) == getattr(found, name) for name in _COUNTS):
                yield reading

    def _reading(self, row: dict[str, Any]) -> Reading:
        said = self._reference(str(row["reference"]))
        heard = self._normalize(str(row["hypothesis"])).split()
        times_s = self._times(heard, _listed(row["words"]))
        audio_s = plain(row["audio_s"])
        return Reading(
            utterance_id=str(row["utterance_id"]),
            said=said,
            heard=heard,
            steps=align(said, heard),
            times_s=times_s,
            audio_s=float(str(audio_s)) if audio_s is not None else max([0.0, *(t[1] for t in times_s if t)]),
            seams_s=_listed(row["seams_s"]),
        )

    def _times(self, heard: list[str], written: list[dict[str, Any]]) -> list[Span | None]:
        """Find when each normalised word was said, from the first to the last of the words that it came from."""
        if not any(_is_timed(word) for word in written):
            return [None] * len(heard)
        spans = origins(heard, [str(word["text"]) for word in written], self._word)
        if len(spans) != len(heard):
            return [None] * len(heard)
        return [_span(written[start:stop]) for start, stop in spans]


def _span(words: list[dict[str, Any]]) -> Span | None:
    if not all(_is_timed(word) for word in words):
        return None
    return float(words[0]["start_s"]), float(words[-1]["end_s"])


def _is_timed(word: dict[str, Any]) -> bool:
    return plain(word["start_s"]) is not None and plain(word["end_s"]) is not None


def _listed(value: object) -> list[Any]:
    """Undo what a data frame does to a list; nothing for null."""
    return list(value) if isinstance(value, list | tuple | np.ndarray) else []
