"""Texts of finished runs scored under another normaliser: nothing is transcribed again, no record of a run changes."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench import store
from bench.claim import claimed
from bench.config import NormalizerName
from bench.errors import ConfigError, StoreError
from bench.records import Status
from bench.score.normalize import normalizer
from bench.score.wer import count_words
from bench.storage import Place

Row = dict[str, Any]

_READ_AT_ONCE = 100  # runs whose texts are held at a time


@dataclass(frozen=True)
class Rescored:
    """What a call did.

    Attributes:
        scored: Runs whose texts were scored.
        had: Runs that had these scores already.
    """

    scored: int
    had: int


def normalizer_named(name: str) -> NormalizerName:
    """Look up a normaliser's name.

    Raises:
        ConfigError: There is none of that name; the message lists them.
    """
    try:
        return NormalizerName(name)
    except ValueError:
        raise ConfigError(f"score.normalizer={name} is unknown; use one of {', '.join(NormalizerName)}") from None


def rescore_study(study_dir: Place, name: NormalizerName) -> Rescored:
    """Score the texts of a study's standing attempts under a normaliser, where that was not done before.

    Each run's scores are on disk before the next run is scored, so an interrupted call goes on where it stopped.

    Raises:
        StoreError: There is no such study, another process is running it, or it holds no texts.
    """
    store.standing_attempts(study_dir)  # a lock would need the study's folder
    with claimed(study_dir, "wait until it has ended, then score it anew"):
        store.remove_leftovers(study_dir)
        return _rescore_locked(study_dir, name)


def score_texts(texts: Sequence[Row], name: NormalizerName) -> list[Row]:
    """Count the word errors of stored texts, as a run does of its own.

    Args:
        texts: What names each utterance, its ``reference``, ``hypothesis`` and ``error``.
        name: The normaliser.

    Returns:
        Rows of :data:`bench.store.SCORE_SCHEMA`. An utterance that could not be used, or has no text (as random weights
        leave it), has no counts.
    """
    return [
        {field: value for field, value in row.items() if field in store.SCORE_SCHEMA.names}
        | {"normalizer": name.value}
        | _counts(row, name)
        for row in texts
    ]


def _rescore_locked(study_dir: Place, name: NormalizerName) -> Rescored:
    before = store.scored(study_dir, name)
    wanted = [attempt for attempt in store.standing_attempts(study_dir) if attempt not in before]
    scored = 0
    for first in range(0, len(wanted), _READ_AT_ONCE):
        batch = wanted[first : first + _READ_AT_ONCE]
        texts: dict[tuple[str, int], list[Row]] = {}
        for row in store.read_texts(study_dir, batch):
            texts.setdefault((row["run_id"], row["attempt"]), []).append(row)
        for attempt in batch:
            mine = texts.get((attempt.run_id, attempt.attempt), [])
            if attempt.status is Status.ok or any(map(_is_comparable, mine)):
                store.write_scores(study_dir, attempt, name, score_texts(mine, name))
                scored += 1
    if not scored + len(before):
        raise StoreError(f"no run in {study_dir} has ended well, so there are no texts to score; run the study first")
    return Rescored(scored, len(before))


def _is_comparable(row: Row) -> bool:
    return row["error"] is None and row["hypothesis"] is not None and row["reference"] is not None


def _counts(row: Row, name: NormalizerName) -> Row:
    if not _is_comparable(row):
        return {}
    normalize = normalizer(name)
    counts = count_words(normalize(row["reference"]), normalize(row["hypothesis"]))
    return {**dataclasses.asdict(counts), "reference_words": counts.reference_words, "wer": counts.wer}
