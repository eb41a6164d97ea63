"""Texts of finished runs scored under another normaliser: nothing is transcribed again, no record of a run changes."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bench import store
from bench.config import NormalizerName
from bench.errors import ConfigError, StoreError
from bench.records import Status
from bench.score.normalize import normalizer
from bench.score.wer import count_words

Row = dict[str, Any]


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


def rescore_study(study_dir: Path, name: NormalizerName) -> Rescored:
    """Score the texts of a study's standing attempts under a normaliser, where that was not done before.

    Each run's scores are on disk before the next run's texts are read, so an interrupted call goes on where it stopped.

    Raises:
        StoreError: There is no such study, another process is running it, or it holds no texts.
    """
    store.standing_attempts(study_dir)  # a lock would need the study's folder
    try:
        with FileLock(study_dir / ".lock", timeout=0):
            store.remove_leftovers(study_dir)
            return _rescore_locked(study_dir, name)
    except Timeout:
        raise StoreError(
            f"another process is running the study in {study_dir}; wait until it has ended, then score it anew"
        ) from None


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


def _rescore_locked(study_dir: Path, name: NormalizerName) -> Rescored:
    scored = had = 0
    for attempt in store.standing_attempts(study_dir):
        if store.has_scores(study_dir, attempt, name):
            had += 1
            continue
        texts = store.read_texts(study_dir, attempt)
        if attempt.status is Status.ok or any(map(_is_comparable, texts)):
            store.write_scores(study_dir, attempt, name, score_texts(texts, name))
            scored += 1
    if not scored + had:
        raise StoreError(f"no run in {study_dir} has ended well, so there are no texts to score; run the study first")
    return Rescored(scored, had)


def _is_comparable(row: Row) -> bool:
    return row["error"] is None and row["hypothesis"] is not None and row["reference"] is not None


def _counts(row: Row, name: NormalizerName) -> Row:
    if not _is_comparable(row):
        return {}
    normalize = normalizer(name)
    counts = count_words(normalize(row["reference"]), normalize(row["hypothesis"]))
    return {**dataclasses.asdict(counts), "reference_words": counts.reference_words, "wer": counts.wer}
