"""Where in a recording its words were said and its errors happened, and how far from a seam that is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.score.alignment import Step

Span = tuple[float, float]
"""Start and end, in seconds from the start of the recording."""


@dataclass(frozen=True, eq=False)
class Located:
    """One recording's words and errors, by their distance to the nearest seam.

    An error lies at the middle of the word that was heard. One whose time is not known, above all that of a word that
    was lost, lies somewhere between the words heard before and after it, together with all others between those two.

    Attributes:
        audio_s: Length of the recording.
        word_s: When each reference word was said, shape ``(reference words,)``; words that were not heard are taken to
            be spread evenly between their neighbours.
        word_seam_s: Distance of each to the nearest seam, likewise.
        error_word: The reference word each error belongs to, an insertion to the one before it, shape ``(errors,)``.
        error_s: The middle of where each error may lie, shape ``(errors,)``.
        error_seam_s: Distance of that to the nearest seam, likewise.
        error_reach_s: How far it may lie from there to either side, likewise; 0 where its time is known.
    """

    audio_s: float
    word_s: NDArray[np.float64]
    word_seam_s: NDArray[np.float64]
    error_word: NDArray[np.int64]
    error_s: NDArray[np.float64]
    error_seam_s: NDArray[np.float64]
    error_reach_s: NDArray[np.float64]


def locate(steps: Sequence[Step], heard: Sequence[Span | None], audio_s: float, seams_s: Sequence[float]) -> Located:
    """Place the words and errors of one recording.

    Args:
        steps: The alignment.
        heard: When each hypothesis word was said; null where that is not known.
        audio_s: Length of the recording.
        seams_s: Where its windows are joined, rising; at least one.
    """
    placed = np.array(list(_placed(steps, heard, audio_s)), dtype=np.float64).reshape(-1, 3)
    said = np.array([step.said is not None for step in steps], dtype=bool)
    wrong = np.array([not step.right for step in steps], dtype=bool)
    places = np.array([step.place for step in steps], dtype=np.int64)
    likely_s, middle_s, reach_s = placed.T
    return Located(
        audio_s=audio_s,
        word_s=likely_s[said],
        word_seam_s=distances(likely_s[said], seams_s),
        error_word=np.maximum(0, places - ~said)[wrong],
        error_s=middle_s[wrong],
        error_seam_s=distances(middle_s[wrong], seams_s),
        error_reach_s=reach_s[wrong],
    )


def distances(instants_s: ArrayLike, seams_s: Sequence[float]) -> NDArray[np.float64]:
    """Distance of each instant to the nearest seam, in seconds; infinite without seams."""
    instants = np.asarray(instants_s, dtype=np.float64)
    bounds = np.array([-np.inf, *seams_s, np.inf])
    after = np.searchsorted(bounds, instants)
    nearest: NDArray[np.float64] = np.minimum(instants - bounds[after - 1], bounds[after] - instants)
    return nearest


def _placed(
    steps: Sequence[Step], heard: Sequence[Span | None], audio_s: float
) -> Iterator[tuple[float, float, float]]:
    """Yield for each step when it most likely was, and the middle and half the length of when it may have been."""
    spans = [None if step.heard is None else heard[step.heard] for step in steps]
    before_s, at = 0.0, 0
    for known, group in groupby(spans, key=lambda span: span is not None):
        count = len(list(group))
        mine, at = spans[at : at + count], at + count
        if known:
            for start_s, stop_s in filter(None, mine):
                before_s = stop_s
                yield (start_s + stop_s) / 2, (start_s + stop_s) / 2, 0.0
            continue
        following = spans[at] if at < len(spans) else None
        after_s = audio_s if following is None else following[0]
        low_s, high_s = sorted((before_s, after_s))  # times of words that a model tells may overlap
        for number in range(count):
            likely_s = low_s + (high_s - low_s) * (number + 0.5) / count
            yield likely_s, (low_s + high_s) / 2, (high_s - low_s) / 2
