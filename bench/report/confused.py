"""What a setting heard for what, how often, and which other settings heard it right."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.printable import clean
from bench.report.reading import Reading
from bench.score.confusions import Confusion, confusions

_MOST_SUBSTITUTIONS = 12
_MOST_OTHERS = 8
_MOST_LOOKED_AT = 100
"""Confusions of a kind of which it is found out who hears them right."""

_CONTEXT = 4
"""Words of an example on either side."""


@dataclass(frozen=True)
class _Place:
    """One occurrence of a confusion."""

    reading: Reading
    at: Confusion

    @property
    def said(self) -> str:
        return " ".join(self.reading.said[self.at.start : self.at.stop])

    @property
    def heard(self) -> str:
        return " ".join(self.reading.heard[self.at.heard_start : self.at.heard_stop])


@dataclass(frozen=True, eq=False)
class _Right:
    """Which reference words of an utterance were heard right, and before which one words were inserted.

    Attributes:
        hits: Shape ``(reference words,)``.
        clear: Whether nothing was inserted before each word, and at the end, shape ``(reference words + 1,)``.
    """

    hits: NDArray[np.bool_]
    clear: NDArray[np.bool_]

    def covers(self, at: Confusion) -> bool:
        """Whether the words of a place are right; of an insertion, those on either side, with none between."""
        if at.start == at.stop:
            return bool(self.clear[at.start] and self.hits[max(0, at.start - 1) : at.start + 1].all())
        return bool(self.hits[at.start : at.stop].all() and self.clear[at.start + 1 : at.stop].all())


def confused(readings: Sequence[Reading], elsewhere: Mapping[str, Sequence[Reading]]) -> list[dict[str, Any]]:
    """List the most frequent confusions of a setting.

    Args:
        readings: What it heard.
        elsewhere: What other settings heard of the same utterances, by their names.

    Returns:
        A table a kind of error, those without any left out: ``title``, ``rows`` and ``left_out`` (further confusions).
        A row has ``said``, ``heard``, ``count``, ``example`` (as :func:`bench.report.heard.pieces` has it), ``where``,
        ``right`` (how many of the others hear it right wherever it was), ``partly`` (how many somewhere), ``of`` (how
        many others there are) and ``settings`` (the names of those that hear it right).
    """
    found: dict[tuple[str, str], list[_Place]] = defaultdict(list)
    for reading in readings:
        for at in confusions(reading.said, reading.heard, reading.steps):
            place = _Place(reading, at)
            found[place.said, place.heard].append(place)
    kinds = {
        "Substitutions": [places for (said, heard), places in found.items() if said and heard],
        "Deletions": [places for (said, heard), places in found.items() if not heard],
        "Insertions": [places for (said, heard), places in found.items() if not said],
    }
    tables = []
    for title, mine in kinds.items():
        # Of equally frequent ones that of more words, then by the alphabet.
        ordered = sorted(mine, key=lambda places: (-len(places), -places[0].at.errors, places[0].said, places[0].heard))
        looked_at = ordered[:_MOST_LOOKED_AT]
        rights = _rights(elsewhere, {place.reading.utterance_id for places in looked_at for place in places})
        # And before that, which most others hear right: something can be done about it.
        rows = sorted((_row(places, rights) for places in looked_at), key=lambda row: (-row["count"], -row["right"]))
        most = _MOST_SUBSTITUTIONS if title == "Substitutions" else _MOST_OTHERS
        if rows:
            tables.append({"title": title, "rows": rows[:most], "left_out": len(ordered) - len(rows[:most])})
    return tables


def _rights(elsewhere: Mapping[str, Sequence[Reading]], names: set[str]) -> dict[str, dict[str, _Right]]:
    """Tell which words other settings heard right in some utterances."""
    return {
        label: {one.utterance_id: _right(one) for one in readings if one.utterance_id in names}
        for label, readings in elsewhere.items()
    }


def _right(reading: Reading) -> _Right:
    hits = np.zeros(len(reading.said), dtype=bool)
    clear = np.ones(len(reading.said) + 1, dtype=bool)
    for step in reading.steps:
        if step.said is None:
            clear[step.place] = False
        else:
            hits[step.said] = step.right
    return _Right(hits, clear)


def _row(places: Sequence[_Place], rights: Mapping[str, Mapping[str, _Right]]) -> dict[str, Any]:
    first = places[0]
    right = {label: _count_right(places, found) for label, found in rights.items()}
    everywhere = [label for label, count in right.items() if count == len(places)]
    return {
        "said": clean(first.said),
        "heard": clean(first.heard),
        "count": len(places),
        "example": _example(first),
        "where": _where(first),
        "right": len(everywhere),
        "partly": sum(0 < count < len(places) for count in right.values()),
        "of": len(rights),
        "settings": everywhere,
    }


def _count_right(places: Sequence[_Place], found: Mapping[str, _Right]) -> int:
    known = [(found.get(place.reading.utterance_id), place.at) for place in places]
    return sum(right is not None and right.covers(at) for right, at in known)


def _example(place: _Place) -> list[Any]:
    said, at = place.reading.said, place.at
    before, after = said[max(0, at.start - _CONTEXT) : at.start], said[at.stop : at.stop + _CONTEXT]
    pieces: list[Any] = [clean(" ".join(before)), [clean(place.said), clean(place.heard)], clean(" ".join(after))]
    return [piece for piece in pieces if piece]


def _where(place: _Place) -> str:
    """Name the utterance, and the time within it where that is known."""
    name = clean(place.reading.utterance_id)
    # The word before one that was lost tells when that was.
    first = place.at.heard_start if place.heard else max(0, place.at.heard_start - 1)
    time_s = next((span[0] for span in place.reading.times_s[first : first + 1] if span is not None), None)
    if time_s is None:
        return name
    minutes, seconds = divmod(int(time_s), 60)
    return f"{name}, {minutes}:{seconds:02}"
