"""Joining windows by what both say in the time they share (``decode.merge=aligned``).

Two neighbouring windows see the span between the start of the later and the end of the earlier one. Their words around
that span are aligned with the fewest edits (Needleman and Wunsch 1970; Levenshtein similarity makes "loan" a cheap
partner of "alone"), words far apart in time at a price. The seam is one place in this alignment: left of it stand
the earlier window's words, right of it the later one's. A place costs the words that it loses, those only the other
window read there, each by how much context its window had for it; of the cheapest places the one nearest the middle
of the shared span is taken. transformers' pipeline instead slides whole windows over each other and drops text wherever
they happen to agree (:mod:`bench.inference.merge`).

A word outside the shared span is never dropped, unless it was read by both windows. Where nothing is shared, the
windows are concatenated; only a word cut by the seam, which both read at their very edge, is kept once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from bench.inference.pieces import Piece
from bench.records import Window

# Times read off the attention are some tenths of a second wrong, so words just outside the span take part.
_SLACK_S = 1.0
_EDGE_S = 0.3

# A word counts in full from this distance to its window's edge: some four words, by which a model catches on.
_FULL_TRUST_S = 1.5

# Edit costs: partners below the similarity are other words, and two gaps cost as much as these at the same instant.
_GAP = 0.5
_OTHER_WORD = 1.0
_SIMILAR = 0.6
_APART_PER_S = 0.1
_NEVER = 1e6


@dataclass(frozen=True)
class _Span:
    """What two neighbours share, in seconds; ``start_s == stop_s`` where they only touch."""

    start_s: float
    stop_s: float

    @property
    def slack_s(self) -> float:
        return _SLACK_S if self.stop_s > self.start_s else _EDGE_S

    @property
    def middle_s(self) -> float:
        return (self.start_s + self.stop_s) / 2

    def reaches(self, piece: Piece) -> bool:
        """Whether a word of the earlier window ends within."""
        return self.start_s < self.stop_s and piece.end_s > self.start_s

    def receives(self, piece: Piece) -> bool:
        """Whether a word of the later window starts within."""
        return self.start_s < self.stop_s and piece.start_s < self.stop_s


def join_aligned(readings: Sequence[Sequence[Piece]], windows: Sequence[Window], rate_hz: int) -> list[Piece]:
    """Join the words of one recording's windows.

    Args:
        readings: The words of each window, in order.
        windows: The windows, each of which overlaps or touches the next, or leaves a silence out.
        rate_hz: Sampling rate the windows are counted in.

    Returns:
        The words of the recording, in order.
    """
    joined: list[Piece] = list(readings[0]) if readings else []
    for number in range(1, len(windows)):
        earlier, later = windows[number - 1], windows[number]
        span = _Span(later.start / rate_hz, max(earlier.stop, later.start) / rate_hz)
        joined = _join(joined, list(readings[number]), span, earlier.stop < later.start)
    return joined


def _join(left: list[Piece], right: list[Piece], span: _Span, apart: bool) -> list[Piece]:
    if apart or not left or not right:
        return left + right
    tail_from = len(left)
    while tail_from and left[tail_from - 1].end_s > span.start_s - span.slack_s:
        tail_from -= 1
    head_to = 0
    while head_to < len(right) and right[head_to].start_s < span.stop_s + span.slack_s:
        head_to += 1
    if span.start_s == span.stop_s:  # a seam cuts one word at most
        tail_from, head_to = max(tail_from, len(left) - 1), min(head_to, 1)
    tail, head = left[tail_from:], right[:head_to]
    keep, skip = _seam(tail, head, span)
    return left[:tail_from] + tail[:keep] + head[skip:] + right[head_to:]


def _seam(tail: Sequence[Piece], head: Sequence[Piece], span: _Span) -> tuple[int, int]:
    """How many words of ``tail`` to keep, and from which one of ``head`` on to go on."""
    path = _align(tail, head, span)
    places = [(0, 0)]
    for earlier, later in path:
        kept, skipped = places[-1]
        places.append((kept + earlier, skipped + later))
    # By how much a place is dearer than the one before the whole path.
    costs = [0.0]
    for (earlier, later), (kept, skipped) in zip(path, places[:-1], strict=True):
        change = 0.0
        if not later:
            word = tail[kept]
            change = -_gain(word, span.reaches(word), span.stop_s - word.middle_s, head)
        if not earlier:
            word = head[skipped]
            change = _gain(word, span.receives(word), word.middle_s - span.start_s, tail)
        costs.append(costs[-1] + change)
    cheapest = min(costs)
    return min(
        (place for place, cost in zip(places, costs, strict=True) if cost <= cheapest + 1e-9),
        key=lambda place: abs(_instant(place, tail, head, span) - span.middle_s),
    )


def _align(tail: Sequence[Piece], head: Sequence[Piece], span: _Span) -> list[tuple[int, int]]:
    """Cheapest alignment, as steps: (1, 1) pairs two words, (1, 0) and (0, 1) leave one without a partner."""
    rows, columns = len(tail), len(head)
    total: NDArray[np.float64] = np.zeros((rows + 1, columns + 1))
    alone, other_alone = [_gap_cost(one, span) for one in tail], [_gap_cost(other, span) for other in head]
    total[1:, 0], total[0, 1:] = np.cumsum(alone), np.cumsum(other_alone)
    pairs = np.array([[_pair_cost(one, other, span) for other in head] for one in tail]).reshape(rows, columns)
    for row in range(rows):
        for column in range(columns):
            total[row + 1, column + 1] = min(
                total[row, column] + pairs[row, column],
                total[row, column + 1] + alone[row],
                total[row + 1, column] + other_alone[column],
            )
    steps: list[tuple[int, int]] = []
    row, column = rows, columns
    while row or column:
        if row and column and np.isclose(total[row, column], total[row - 1, column - 1] + pairs[row - 1, column - 1]):
            step = (1, 1)
        elif column and np.isclose(total[row, column], total[row, column - 1] + other_alone[column - 1]):
            # Of neighbouring gaps the later window's come last, so that a place between them loses neither.
            step = (0, 1)
        else:
            step = (1, 0)
        steps.append(step)
        row, column = row - step[0], column - step[1]
    return steps[::-1]


def _gap_cost(word: Piece, span: _Span) -> float:
    """What it costs to leave a word without a partner: nothing, where the other window did not hear all of it.

    Were it dear, a word outside would take the next one like it for its partner, and "no, no, no" would shrink.
    """
    touching = span.start_s == span.stop_s
    return _GAP if touching or (span.start_s <= word.start_s and word.end_s <= span.stop_s) else 0.0


def _pair_cost(one: Piece, other: Piece, span: _Span) -> float:
    apart_s = abs(one.middle_s - other.middle_s)
    similarity = Levenshtein.normalized_similarity(_plain(one), _plain(other))
    if similarity >= _SIMILAR:
        return 1 - similarity + _APART_PER_S * apart_s
    other_word = _OTHER_WORD if span.reaches(one) and span.receives(other) else _NEVER
    return other_word + _APART_PER_S * max(0.0, apart_s - _SLACK_S / 2)


def _gain(word: Piece, shared: bool, context_s: float, others: Sequence[Piece]) -> float:
    """What it gains to keep a word that only one window read.

    Trust in it grows with the context its window had for it. Where the other window read something else at the time,
    a word without context is taken for misread: to keep it costs what a word with full context gains.
    """
    if not shared:
        return _NEVER
    trust = min(1.0, max(0.0, context_s / _FULL_TRUST_S))
    contradicted = any(other.start_s < word.end_s and other.end_s > word.start_s for other in others)
    return 2 * trust - 1 if contradicted else trust


def _instant(place: tuple[int, int], tail: Sequence[Piece], head: Sequence[Piece], span: _Span) -> float:
    """Where in time a place lies: between the last word kept and the next one."""
    kept, skipped = place
    before = tail[kept - 1].end_s if kept else span.start_s
    after = head[skipped].start_s if skipped < len(head) else span.stop_s
    return (before + after) / 2


def _plain(piece: Piece) -> str:
    """A word without case and punctuation; of what is nothing else, itself."""
    return "".join(filter(str.isalnum, piece.text.casefold())) or piece.text.strip()
