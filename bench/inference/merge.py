"""Joining the token sequences of overlapping windows, as transformers' speech-recognition pipeline does.

Source: ``_find_longest_common_sequence`` and ``_decode_asr`` in transformers 5, in the file
``models/whisper/tokenization_whisper.py``. The tests hold the texts equal to the pipeline's, word for word, because
published chunk and stride experiments were made with that algorithm. It searches the whole of both windows for their
best overlap, whether or not they share any audio; where it finds a chance match it throws text away. That is why a
stride of 0 scores so badly.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Tokens = Sequence[int]


@dataclass(frozen=True)
class Part:
    """Tokens of one window."""

    window: int
    tokens: Tokens


def join_parts(parts: Sequence[Part]) -> list[Part]:
    """Join the tokens of windows, each overlapping the next, where they agree best.

    Two neighbours are slid over each other. A shift by which ``i`` tokens of extent overlap scores
    ``matches / i + i / 10000`` and counts only with at least two matches; the first best shift wins. The left sequence
    is kept up to the middle of the overlap and the right one from there on. Without any such shift they are
    concatenated.

    Args:
        parts: The windows' tokens, in order.

    Returns:
        What is left of each.
    """
    joined: list[Part] = []
    left = Part(0, ())
    for right in parts:
        left_keep, right_from = _best_overlap(left.tokens, right.tokens)
        joined.append(Part(left.window, left.tokens[:left_keep]))
        left = Part(right.window, right.tokens[right_from:])
    return [*joined[1:], left] if parts else []


def _best_overlap(left: Tokens, right: Tokens) -> tuple[int, int]:
    """Return how many tokens of ``left`` to keep and from which token on to keep ``right``."""
    n_left, n_right = len(left), len(right)
    rows, columns = np.nonzero(np.asarray(left)[:, None] == np.asarray(right)[None, :])
    # Equal tokens at (row, column) meet when the right sequence is pushed in by n_left - row + column.
    matches = np.bincount(n_left - rows + columns, minlength=n_left + n_right)[1:]
    if not (matches > 1).any():
        return n_left, 0
    shifts = np.arange(1, len(matches) + 1)
    scores = np.where(matches > 1, matches / shifts + shifts / 10000.0, 0.0)
    shift = int(shifts[np.argmax(scores)])
    left_start, left_stop = max(0, n_left - shift), min(n_left, n_left + n_right - shift)
    right_start, right_stop = max(0, shift - n_left), min(n_right, shift)
    return (left_start + left_stop) // 2, (right_start + right_stop) // 2


@dataclass(frozen=True)
class TimedTokens:
    """A window's tokens with its place, in seconds: its whole length and the strides on either side."""

    tokens: Tokens
    length_s: float
    left_s: float
    right_s: float


class TimestampJoiner:
    """Joins windows whose tokens carry segment times (Whisper's ``<|1.08|>`` tokens), as the pipeline does.

    Text is gathered until a segment's end time; segments that end within a stride stay open and are joined with the
    next window's text, by :func:`join_parts`.

    Args:
        first_time_token: Id of ``<|0.00|>``; all ids from there on are times.
        time_step_s: Seconds between neighbouring time tokens.
        segment_s: Length of the model's own input in seconds, by which a long-form output starts anew.
    """

    def __init__(self, first_time_token: int, time_step_s: float, segment_s: float) -> None:
        self._first_time_token = first_time_token
        self._time_step_s = time_step_s
        self._segment_s = segment_s
        self._segments: list[list[Part]] = []
        self._open: list[Part] = []
        self._segment_start_s: float | None = None
        self._skip_next = False
        self._offset_s = 0.0

    def join(self, windows: Sequence[TimedTokens]) -> list[list[Part]]:
        """Join all windows of one recording, special tokens removed; returns the parts of each segment."""
        for number, window in enumerate(windows):
            self._read(number, window)
        if self._open:
            self._close()
        return self._segments

    def _read(self, number: int, window: TimedTokens) -> None:
        kept_from = window.left_s / self._time_step_s + self._first_time_token
        held_back_from = self._first_held_back(window)
        current: list[int] = []
        for token, now_s in self._placed_in_time(window):
            if now_s is None:
                current.append(token)
            elif held_back_from is not None and token >= held_back_from:
                self._skip_next = True  # times come in pairs: this end and the start that follows
            elif self._skip_next or (self._open and token < kept_from):
                self._skip_next = False
            elif self._segment_start_s is None:
                self._segment_start_s = now_s
            elif now_s != self._segment_start_s:
                self._open.append(Part(number, current))
                current = []
                self._close()
        self._offset_s += window.length_s - window.left_s - window.right_s
        if current:
            self._open.append(Part(number, current))
        elif not any(part.tokens for part in self._open):
            self._open = []
            self._segment_start_s = None

    def _placed_in_time(self, window: TimedTokens) -> Iterator[tuple[int, float | None]]:
        """Yield each token, and for a time its place in the recording in seconds; null marks a word."""
        window_start_s = self._offset_s - window.left_s
        latest_s = penultimate_s = earlier_segments_s = 0.0
        for position, token in enumerate(window.tokens):
            if token < self._first_time_token:
                yield token, None
                continue
            time_s = (token - self._first_time_token) * self._time_step_s
            if time_s < latest_s:  # times start anew: the model took the window in several goes
                if self._ends_with_one_time(window.tokens, position):
                    earlier_segments_s += self._segment_s
                else:
                    latest_s = penultimate_s
                    earlier_segments_s += penultimate_s
            penultimate_s, latest_s = latest_s, time_s
            yield token, round(time_s + window_start_s + earlier_segments_s, 2)

    def _ends_with_one_time(self, tokens: Tokens, position: int) -> bool:
        return position >= 2 and min(tokens[position - 2 : position]) < self._first_time_token

    def _first_held_back(self, window: TimedTokens) -> int | None:
        """Earliest time token of the run that lies in the right stride; the window's last time always does."""
        if not window.right_s:
            return None
        stride_start_s = window.length_s - window.right_s
        first: int | None = None
        for token in reversed(window.tokens):
            if token < self._first_time_token:
                continue
            if first is not None and (token - self._first_time_token) * self._time_step_s < stride_start_s:
                break
            first = token
        return first

    def _close(self) -> None:
        self._segments.append(join_parts(self._open))
        self._open = []
        self._segment_start_s = None
